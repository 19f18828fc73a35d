//! DeleteShareGroupOffsets: forget where a share group starts.

use super::*;

message! {
    /// Forgets where a share group starts.
    struct DeleteShareGroupOffsetsRequest: DeleteShareGroupOffsets {
        group_id: String [0..];
        topics: Vec<RequestTopic> [0..];
    }

    struct RequestTopic {
        topic_name: String [0..];
    }

    /// What was forgotten.
    struct DeleteShareGroupOffsetsResponse: DeleteShareGroupOffsets {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] null [0..];
        responses: Vec<ResponseTopic> [0..];
    }

    struct ResponseTopic {
        topic_name: String [0..];
        topic_id: Uuid [0..];
        error_code: i16 [0..];
        error_message: Option<String> [0..] null [0..];
    }
}
