//! ListConfigResources (API key 74): what can be configured.

use super::prelude::*;

message! {
    /// Asks for resources by type.
    request ListConfigResourcesRequest of ListConfigResources, versions 0..=1, flexible 0.. {
        resource_types: Vec<i8> [1..],
    }
}

message! {
    /// The resources.
    response ListConfigResourcesResponse<'a> of ListConfigResources, versions 0..=1, flexible 0.. {
        throttle_time_ms: i32,
        error_code: i16,
        config_resources: Vec<ConfigResource<'a>>,
    }

    /// One resource.
    part ConfigResource<'a> {
        resource_name: &'a str,
        resource_type: i8 [1..] = 16,
    }
}
