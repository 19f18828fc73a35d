//! ListGroups: list groups.

use super::*;

message! {
    /// Asks which groups there are.
    struct ListGroupsRequest: ListGroups {
        states_filter: Vec<String> [4..];
        types_filter: Vec<String> [5..];
    }

    /// The groups.
    struct ListGroupsResponse: ListGroups {
        throttle_time_ms: i32 [1..];
        error_code: i16 [0..];
        groups: Vec<ListedGroup> [0..];
    }

    struct ListedGroup {
        group_id: String [0..];
        protocol_type: String [0..];
        group_state: String [4..];
        group_type: String [5..];
    }
}
