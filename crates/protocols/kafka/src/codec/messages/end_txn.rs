//! EndTxn: commit or abort a transaction.

use super::*;

message! {
    /// Ends a transaction.
    struct EndTxnRequest: EndTxn {
        transactional_id: String [0..];
        producer_id: i64 [0..];
        producer_epoch: i16 [0..];
        committed: bool [0..];
    }

    /// Whether it ended.
    struct EndTxnResponse: EndTxn {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        producer_id: i64 [5..] = -1;
        producer_epoch: i16 [5..] = -1;
    }
}
