//! ListGroups (API key 16): which groups there are.

use super::prelude::*;

message! {
    /// Asks for the groups of this broker, by state and type.
    request ListGroupsRequest<'a> of ListGroups, versions 0..=5, flexible 3.. {
        states_filter: Vec<&'a str> [4..],
        types_filter: Vec<&'a str> [5..],
    }
}

message! {
    /// The groups.
    response ListGroupsResponse<'a> of ListGroups, versions 0..=5, flexible 3.. {
        throttle_time_ms: i32 [1..],
        error_code: i16,
        groups: Vec<ListedGroup<'a>>,
    }

    /// One group.
    part ListedGroup<'a> {
        group_id: &'a str,
        protocol_type: &'a str,
        group_state: &'a str [4..],
        group_type: &'a str [5..],
    }
}
