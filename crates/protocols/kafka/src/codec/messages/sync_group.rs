//! SyncGroup: give and get the assignment of a generation.

use bytes::Bytes;

use super::*;

message! {
    /// Asks for the assignment; the leader brings it.
    struct SyncGroupRequest: SyncGroup {
        group_id: String [0..];
        generation_id: i32 [0..];
        member_id: String [0..];
        group_instance_id: Option<String> [3..] null [3..];
        protocol_type: Option<String> [5..] null [5..];
        protocol_name: Option<String> [5..] null [5..];
        assignments: Vec<SyncGroupRequestAssignment> [0..];
    }

    struct SyncGroupRequestAssignment {
        member_id: String [0..];
        assignment: Bytes [0..];
    }

    /// The member's assignment.
    struct SyncGroupResponse: SyncGroup {
        throttle_time_ms: i32 [1..];
        error_code: i16 [0..];
        protocol_type: Option<String> [5..] null [5..];
        protocol_name: Option<String> [5..] null [5..];
        assignment: Bytes [0..];
    }
}
