//! DeleteGroups: delete groups.

use super::*;

message! {
    /// Deletes groups.
    struct DeleteGroupsRequest: DeleteGroups {
        groups_names: Vec<String> [0..];
    }

    /// What was deleted.
    struct DeleteGroupsResponse: DeleteGroups {
        throttle_time_ms: i32 [0..];
        results: Vec<DeletableGroupResult> [0..];
    }

    struct DeletableGroupResult {
        group_id: String [0..];
        error_code: i16 [0..];
    }
}
