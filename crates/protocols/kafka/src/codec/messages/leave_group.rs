//! LeaveGroup: leave a group.

use super::*;

message! {
    /// Leaves a group.
    struct LeaveGroupRequest: LeaveGroup {
        group_id: String [0..];
        member_id: String [0..=2];
        members: Vec<MemberIdentity> [3..];
    }

    struct MemberIdentity {
        member_id: String [3..];
        group_instance_id: Option<String> [3..] null [3..];
        reason: Option<String> [5..] null [5..];
    }

    /// Who has left.
    struct LeaveGroupResponse: LeaveGroup {
        throttle_time_ms: i32 [1..];
        error_code: i16 [0..];
        members: Vec<MemberResponse> [3..];
    }

    struct MemberResponse {
        member_id: String [3..];
        group_instance_id: Option<String> [3..] null [3..];
        error_code: i16 [3..];
    }
}
