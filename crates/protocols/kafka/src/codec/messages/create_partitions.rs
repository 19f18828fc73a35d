//! CreatePartitions: add partitions.

use super::*;

message! {
    /// Adds partitions.
    struct CreatePartitionsRequest: CreatePartitions {
        topics: Vec<CreatePartitionsTopic> [0..];
        timeout_ms: i32 [0..];
        validate_only: bool [0..];
    }

    struct CreatePartitionsTopic {
        name: String [0..];
        count: i32 [0..];
        assignments: Option<Vec<CreatePartitionsAssignment>> [0..] null [0..];
    }

    struct CreatePartitionsAssignment {
        broker_ids: Vec<i32> [0..];
    }

    /// What was added.
    struct CreatePartitionsResponse: CreatePartitions {
        throttle_time_ms: i32 [0..];
        results: Vec<CreatePartitionsTopicResult> [0..];
    }

    struct CreatePartitionsTopicResult {
        name: String [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] null [0..];
    }
}
