//! ShareGroupHeartbeat: a member's part in a share group.

use super::*;

message! {
    /// What a member says; null where nothing has changed since it last said it.
    struct ShareGroupHeartbeatRequest: ShareGroupHeartbeat {
        group_id: String [0..];
        member_id: String [0..];
        member_epoch: i32 [0..];
        rack_id: Option<String> [0..] null [0..];
        subscribed_topic_names: Option<Vec<String>> [0..] null [0..];
    }

    /// What it is told.
    struct ShareGroupHeartbeatResponse: ShareGroupHeartbeat {
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

    struct TopicPartitions {
        topic_id: Uuid [0..];
        partitions: Vec<i32> [0..];
    }
}
