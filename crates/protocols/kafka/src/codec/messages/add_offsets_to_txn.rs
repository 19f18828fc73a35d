//! AddOffsetsToTxn: add a group's offsets to a transaction.

use super::*;

message! {
    /// Adds a group's offsets to a transaction.
    struct AddOffsetsToTxnRequest: AddOffsetsToTxn {
        transactional_id: String [0..];
        producer_id: i64 [0..];
        producer_epoch: i16 [0..];
        group_id: String [0..];
    }

    /// Whether they were added.
    struct AddOffsetsToTxnResponse: AddOffsetsToTxn {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
    }
}
