//! CreateAcls: add permissions.

use super::*;

message! {
    /// Adds permissions.
    struct CreateAclsRequest: CreateAcls {
        creations: Vec<AclCreation> [0..];
    }

    struct AclCreation {
        resource_type: i8 [0..];
        resource_name: String [0..];
        resource_pattern_type: i8 [0..] = 3;
        principal: String [0..];
        host: String [0..];
        operation: i8 [0..];
        permission_type: i8 [0..];
    }

    /// What was added.
    struct CreateAclsResponse: CreateAcls {
        throttle_time_ms: i32 [0..];
        results: Vec<AclCreationResult> [0..];
    }

    struct AclCreationResult {
        error_code: i16 [0..];
        error_message: Option<String> [0..] null [0..];
    }
}
