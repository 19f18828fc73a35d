//! AlterShareGroupOffsets: move where a share group starts.

use super::*;

message! {
    /// Moves where a share group starts.
    struct AlterShareGroupOffsetsRequest: AlterShareGroupOffsets {
        group_id: String [0..];
        topics: Vec<RequestTopic> [0..];
    }

    struct RequestTopic {
        topic_name: String [0..];
        partitions: Vec<RequestPartition> [0..];
    }

    struct RequestPartition {
        partition_index: i32 [0..];
        start_offset: i64 [0..];
    }

    /// What was moved.
    struct AlterShareGroupOffsetsResponse: AlterShareGroupOffsets {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] null [0..];
        responses: Vec<ResponseTopic> [0..];
    }

    struct ResponseTopic {
        topic_name: String [0..];
        topic_id: Uuid [0..];
        partitions: Vec<ResponsePartition> [0..];
    }

    struct ResponsePartition {
        partition_index: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] null [0..];
    }
}
