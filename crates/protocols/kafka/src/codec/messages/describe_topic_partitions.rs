//! DescribeTopicPartitions: describe topics page by page.

use super::*;

message! {
    /// Asks for the partitions of topics.
    struct DescribeTopicPartitionsRequest: DescribeTopicPartitions {
        topics: Vec<TopicRequest> [0..];
        response_partition_limit: i32 [0..] = 2000;
        cursor: Option<Cursor> [0..] null [0..];
    }

    struct TopicRequest {
        name: String [0..];
    }

    struct Cursor {
        topic_name: String [0..];
        partition_index: i32 [0..];
    }

    /// The partitions.
    struct DescribeTopicPartitionsResponse: DescribeTopicPartitions {
        throttle_time_ms: i32 [0..];
        topics: Vec<DescribeTopicPartitionsResponseTopic> [0..];
        next_cursor: Option<DescribeTopicPartitionsCursor> [0..] null [0..];
    }

    struct DescribeTopicPartitionsResponseTopic {
        error_code: i16 [0..];
        name: Option<String> [0..] null [0..];
        topic_id: Uuid [0..];
        is_internal: bool [0..];
        partitions: Vec<DescribeTopicPartitionsResponsePartition> [0..];
        topic_authorized_operations: i32 [0..] = i32::MIN;
    }

    struct DescribeTopicPartitionsResponsePartition {
        error_code: i16 [0..];
        partition_index: i32 [0..];
        leader_id: i32 [0..];
        leader_epoch: i32 [0..] = -1;
        replica_nodes: Vec<i32> [0..];
        isr_nodes: Vec<i32> [0..];
        eligible_leader_replicas: Option<Vec<i32>> [0..] null [0..];
        last_known_elr: Option<Vec<i32>> [0..] null [0..];
        offline_replicas: Vec<i32> [0..];
    }

    struct DescribeTopicPartitionsCursor {
        topic_name: String [0..];
        partition_index: i32 [0..];
    }
}
