//! OffsetForLeaderEpoch: where leaders' epochs end.

use super::*;

message! {
    /// Asks where leaders' epochs end.
    struct OffsetForLeaderEpochRequest: OffsetForLeaderEpoch {
        replica_id: i32 [3..] = -2;
        topics: Vec<OffsetForLeaderTopic> [0..];
    }

    struct OffsetForLeaderTopic {
        topic: String [0..];
        partitions: Vec<OffsetForLeaderPartition> [0..];
    }

    struct OffsetForLeaderPartition {
        partition: i32 [0..];
        current_leader_epoch: i32 [0..] = -1;
        leader_epoch: i32 [0..];
    }

    /// Where they end.
    struct OffsetForLeaderEpochResponse: OffsetForLeaderEpoch {
        throttle_time_ms: i32 [0..];
        topics: Vec<OffsetForLeaderTopicResult> [0..];
    }

    struct OffsetForLeaderTopicResult {
        topic: String [0..];
        partitions: Vec<EpochEndOffset> [0..];
    }

    struct EpochEndOffset {
        error_code: i16 [0..];
        partition: i32 [0..];
        leader_epoch: i32 [0..] = -1;
        end_offset: i64 [0..] = -1;
    }
}
