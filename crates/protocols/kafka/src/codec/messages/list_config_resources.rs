//! ListConfigResources: list what has settings.

use super::*;

message! {
    /// Asks what has settings.
    struct ListConfigResourcesRequest: ListConfigResources {
        resource_types: Vec<i8> [1..];
    }

    /// What has settings.
    struct ListConfigResourcesResponse: ListConfigResources {
        throttle_time_ms: i32 [0..];
        error_code: i16 [0..];
        config_resources: Vec<ConfigResource> [0..];
    }

    struct ConfigResource {
        resource_name: String [0..];
        resource_type: i8 [1..] = 16;
    }
}
