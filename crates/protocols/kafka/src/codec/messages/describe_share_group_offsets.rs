//! DescribeShareGroupOffsets: where share groups start.

use super::*;

message! {
    /// Asks where share groups start.
    struct DescribeShareGroupOffsetsRequest: DescribeShareGroupOffsets {
        groups: Vec<RequestGroup> [0..];
    }

    struct RequestGroup {
        group_id: String [0..];
        topics: Option<Vec<RequestTopic>> [0..] null [0..];
    }

    struct RequestTopic {
        topic_name: String [0..];
        partitions: Vec<i32> [0..];
    }

    /// Where they start.
    struct DescribeShareGroupOffsetsResponse: DescribeShareGroupOffsets {
        throttle_time_ms: i32 [0..];
        groups: Vec<ResponseGroup> [0..];
    }

    struct ResponseGroup {
        group_id: String [0..];
        topics: Vec<ResponseTopic> [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] null [0..];
    }

    struct ResponseTopic {
        topic_name: String [0..];
        topic_id: Uuid [0..];
        partitions: Vec<ResponsePartition> [0..];
    }

    struct ResponsePartition {
        partition_index: i32 [0..];
        start_offset: i64 [0..];
        leader_epoch: i32 [0..];
        lag: i64 [1..] = -1;
        error_code: i16 [0..];
        error_message: Option<String> [0..] null [0..];
    }
}
