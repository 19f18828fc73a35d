//! Heartbeat: say that a member lives.

use super::*;

message! {
    /// Says that a member lives.
    struct HeartbeatRequest: Heartbeat {
        group_id: String [0..];
        generation_id: i32 [0..];
        member_id: String [0..];
        group_instance_id: Option<String> [3..] null [3..];
    }

    /// Whether its generation still holds.
    struct HeartbeatResponse: Heartbeat {
        throttle_time_ms: i32 [1..];
        error_code: i16 [0..];
    }
}
