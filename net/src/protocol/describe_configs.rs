//! DescribeConfigs (API key 32): what is configured.

use super::prelude::*;

message! {
    /// Asks for the configuration of topics, brokers and others; null keys ask for all.
    request DescribeConfigsRequest<'a> of DescribeConfigs, versions 1..=4, flexible 4.. {
        resources: Vec<DescribeConfigsResource<'a>>,
        include_synonyms: bool,
        include_documentation: bool [3..],
    }

    /// One resource.
    part DescribeConfigsResource<'a> {
        resource_type: i8,
        resource_name: &'a str,
        configuration_keys: Option<Vec<&'a str>> = Some(Vec::new()),
    }
}

message! {
    /// The values in force and where each comes from.
    response DescribeConfigsResponse<'a> of DescribeConfigs, versions 1..=4, flexible 4.. {
        throttle_time_ms: i32,
        results: Vec<DescribeConfigsResult<'a>>,
    }

    /// The results for one resource.
    part DescribeConfigsResult<'a> {
        error_code: i16,
        error_message: Option<&'a str>,
        resource_type: i8,
        resource_name: &'a str,
        configs: Vec<DescribeConfigsResourceResult<'a>>,
    }

    /// One value.
    part DescribeConfigsResourceResult<'a> {
        name: &'a str,
        value: Option<&'a str>,
        read_only: bool,
        config_source: i8 = -1,
        is_sensitive: bool,
        synonyms: Vec<DescribeConfigsSynonym<'a>>,
        config_type: i8 [3..],
        documentation: Option<&'a str> [3..],
    }

    /// Another key the value could come from.
    part DescribeConfigsSynonym<'a> {
        name: &'a str,
        value: Option<&'a str>,
        source: i8,
    }
}
