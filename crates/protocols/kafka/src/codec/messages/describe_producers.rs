//! DescribeProducers: who writes to partitions.

use super::*;

message! {
    /// Asks who writes to partitions.
    struct DescribeProducersRequest: DescribeProducers {
        topics: Vec<TopicRequest> [0..];
    }

    struct TopicRequest {
        name: String [0..];
        partition_indexes: Vec<i32> [0..];
    }

    /// Who writes.
    struct DescribeProducersResponse: DescribeProducers {
        throttle_time_ms: i32 [0..];
        topics: Vec<TopicResponse> [0..];
    }

    struct TopicResponse {
        name: String [0..];
        partitions: Vec<PartitionResponse> [0..];
    }

    struct PartitionResponse {
        partition_index: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] null [0..];
        active_producers: Vec<ProducerState> [0..];
    }

    struct ProducerState {
        producer_id: i64 [0..];
        producer_epoch: i32 [0..];
        last_sequence: i32 [0..] = -1;
        last_timestamp: i64 [0..] = -1;
        coordinator_epoch: i32 [0..];
        current_txn_start_offset: i64 [0..] = -1;
    }
}
