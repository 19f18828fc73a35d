//! DeleteTopics: delete topics.

use super::*;

message! {
    /// Deletes topics.
    struct DeleteTopicsRequest: DeleteTopics {
        topics: Vec<DeleteTopicState> [6..];
        topic_names: Vec<String> [0..=5];
        timeout_ms: i32 [0..];
    }

    struct DeleteTopicState {
        name: Option<String> [6..] null [6..];
        topic_id: Uuid [6..];
    }

    /// What was deleted.
    struct DeleteTopicsResponse: DeleteTopics {
        throttle_time_ms: i32 [0..];
        responses: Vec<DeletableTopicResult> [0..];
    }

    struct DeletableTopicResult {
        name: Option<String> [0..] null [6..];
        topic_id: Uuid [6..];
        error_code: i16 [0..];
        error_message: Option<String> [5..] null [5..];
    }
}
