//! AlterConfigs (API key 33): replace a configuration.

use super::prelude::*;

message! {
    /// Sets the whole configuration of resources.
    request AlterConfigsRequest<'a> of AlterConfigs, versions 0..=2, flexible 2.. {
        resources: Vec<AlterConfigsResource<'a>>,
        validate_only: bool,
    }

    /// One resource.
    part AlterConfigsResource<'a> {
        resource_type: i8,
        resource_name: &'a str,
        configs: Vec<AlterableConfig<'a>>,
    }

    /// One value.
    part AlterableConfig<'a> {
        name: &'a str,
        value: Option<&'a str>,
    }
}

message! {
    /// What became of each resource.
    response AlterConfigsResponse<'a> of AlterConfigs, versions 0..=2, flexible 2.. {
        throttle_time_ms: i32,
        responses: Vec<AlterConfigsResourceResponse<'a>>,
    }

    /// The result for one resource.
    part AlterConfigsResourceResponse<'a> {
        error_code: i16,
        error_message: Option<&'a str>,
        resource_type: i8,
        resource_name: &'a str,
    }
}
