//! InitProducerId: numbers for producers.

use super::*;

message! {
    /// Asks for a producer's number and epoch.
    struct InitProducerIdRequest: InitProducerId {
        transactional_id: Option<String> [0..] null [0..];
        transaction_timeout_ms: i32 [0..];
        producer_id: i64 [3..] = -1;
        producer_epoch: i16 [3..] = -1;
    }

    /// The producer's number and epoch.
    struct InitProducerIdResponse: InitProducerId {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        producer_id: i64 [0..] = -1;
        producer_epoch: i16 [0..];
    }
}
