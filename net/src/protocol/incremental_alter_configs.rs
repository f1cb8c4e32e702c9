//! IncrementalAlterConfigs (API key 44): change single configured values.

use super::prelude::*;

message! {
    /// Sets (0), deletes (1), appends to (2) or subtracts from (3) values.
    request IncrementalAlterConfigsRequest<'a> of IncrementalAlterConfigs, versions 0..=1, flexible 1.. {
        resources: Vec<AlterConfigsResource<'a>>,
        validate_only: bool,
    }

    /// One resource.
    part AlterConfigsResource<'a> {
        resource_type: i8,
        resource_name: &'a str,
        configs: Vec<AlterableConfig<'a>>,
    }

    /// One change.
    part AlterableConfig<'a> {
        name: &'a str,
        config_operation: i8,
        value: Option<&'a str>,
    }
}

message! {
    /// What became of each resource.
    response IncrementalAlterConfigsResponse<'a> of IncrementalAlterConfigs, versions 0..=1, flexible 1.. {
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
