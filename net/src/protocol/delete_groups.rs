//! DeleteGroups (API key 42): delete groups.

use super::prelude::*;

message! {
    /// Names groups to delete.
    request DeleteGroupsRequest<'a> of DeleteGroups, versions 0..=2, flexible 2.. {
        groups_names: Vec<&'a str>,
    }
}

message! {
    /// What became of each.
    response DeleteGroupsResponse<'a> of DeleteGroups, versions 0..=2, flexible 2.. {
        throttle_time_ms: i32,
        results: Vec<DeletableGroupResult<'a>>,
    }

    /// The result for one group.
    part DeletableGroupResult<'a> {
        group_id: &'a str,
        error_code: i16,
    }
}
