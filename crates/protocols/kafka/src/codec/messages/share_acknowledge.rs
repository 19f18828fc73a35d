//! ShareAcknowledge: settle records of a share group.

use super::share_fetch::{AcknowledgementBatch, LeaderIdAndEpoch, NodeEndpoint};
use super::*;

message! {
    /// Settles records.
    struct ShareAcknowledgeRequest: ShareAcknowledge {
        group_id: Option<String> [0..] null [0..];
        member_id: Option<String> [0..] null [0..];
        share_session_epoch: i32 [0..];
        is_renew_ack: bool [2..];
        topics: Vec<AcknowledgeTopic> [0..];
    }

    struct AcknowledgeTopic {
        topic_id: Uuid [0..];
        partitions: Vec<AcknowledgePartition> [0..];
    }

    struct AcknowledgePartition {
        partition_index: i32 [0..];
        acknowledgement_batches: Vec<AcknowledgementBatch> [0..];
    }

    /// What was settled.
    struct ShareAcknowledgeResponse: ShareAcknowledge {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] null [0..];
        acquisition_lock_timeout_ms: i32 [2..];
        responses: Vec<ShareAcknowledgeTopicResponse> [0..];
        node_endpoints: Vec<NodeEndpoint> [0..];
    }

    struct ShareAcknowledgeTopicResponse {
        topic_id: Uuid [0..];
        partitions: Vec<PartitionData> [0..];
    }

    struct PartitionData {
        partition_index: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] null [0..];
        current_leader: LeaderIdAndEpoch [0..];
    }
}
