//! ApiVersions (API key 18): what this broker speaks.

use super::prelude::*;

message! {
    /// The first question of a client; its answer's header is always the oldest.
    request ApiVersionsRequest<'a> of ApiVersions, versions 0..=4, flexible 3.. {
        client_software_name: &'a str [3..],
        client_software_version: &'a str [3..],
    }
}

message! {
    /// The APIs, their versions and the features in force.
    response ApiVersionsResponse<'a> of ApiVersions, versions 0..=4, flexible 3.. {
        error_code: i16,
        api_keys: Vec<ApiVersion>,
        throttle_time_ms: i32 [1..],
    } tagged {
        0 => supported_features: Vec<SupportedFeatureKey<'a>> [3..],
        1 => finalized_features_epoch: i64 [3..] = -1,
        2 => finalized_features: Vec<FinalizedFeatureKey<'a>> [3..],
        3 => zk_migration_ready: bool [3..],
    }

    /// The versions of one API.
    part ApiVersion {
        api_key: i16,
        min_version: i16,
        max_version: i16,
    }

    /// A feature the broker could have.
    part SupportedFeatureKey<'a> {
        name: &'a str,
        min_version: i16,
        max_version: i16,
    }

    /// A feature in force.
    part FinalizedFeatureKey<'a> {
        name: &'a str,
        max_version_level: i16,
        min_version_level: i16,
    }
}
