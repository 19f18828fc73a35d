//! ConsumerGroupHeartbeat: a member's part in a group of the new protocol.

use super::*;

message! {
    /// What a member says; null where nothing has changed since it last said it.
    struct ConsumerGroupHeartbeatRequest: ConsumerGroupHeartbeat {
        group_id: String [0..];
        member_id: String [0..];
        member_epoch: i32 [0..];
        instance_id: Option<String> [0..] null [0..];
        rack_id: Option<String> [0..] null [0..];
        rebalance_timeout_ms: i32 [0..] = -1;
        subscribed_topic_names: Option<Vec<String>> [0..] null [0..];
        subscribed_topic_regex: Option<String> [1..] null [1..];
        server_assignor: Option<String> [0..] null [0..];
        topic_partitions: Option<Vec<TopicPartitions>> [0..] null [0..];
    }

    struct TopicPartitions {
        topic_id: Uuid [0..];
        partitions: Vec<i32> [0..];
    }

    /// What it is told.
    struct ConsumerGroupHeartbeatResponse: ConsumerGroupHeartbeat {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] null [0..];
        member_id: Option<String> [0..] null [0..];
        member_epoch: i32 [0..];
        heartbeat_interval_ms: i32 [0..];
        assignment: Option<Assignment> [0..] null [0..];
    }

    struct Assignment {
        topic_partitions: Vec<TopicPartitions> [0..];
    }
}
