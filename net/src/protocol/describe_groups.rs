//! DescribeGroups (API key 15): what groups are doing.

use super::prelude::*;

message! {
    /// Asks about groups by name.
    request DescribeGroupsRequest<'a> of DescribeGroups, versions 0..=6, flexible 5.. {
        groups: Vec<&'a str>,
        include_authorized_operations: bool [3..],
    }
}

message! {
    /// The state and members of each.
    response DescribeGroupsResponse<'a> of DescribeGroups, versions 0..=6, flexible 5.. {
        throttle_time_ms: i32 [1..],
        groups: Vec<DescribedGroup<'a>>,
    }

    /// One group.
    part DescribedGroup<'a> {
        error_code: i16,
        error_message: Option<&'a str> [6..],
        group_id: &'a str,
        group_state: &'a str,
        protocol_type: &'a str,
        protocol_data: &'a str,
        members: Vec<DescribedGroupMember<'a>>,
        authorized_operations: i32 [3..] = i32::MIN,
    }

    /// One member.
    part DescribedGroupMember<'a> {
        member_id: &'a str,
        group_instance_id: Option<&'a str> [4..],
        client_id: &'a str,
        client_host: &'a str,
        member_metadata: &'a [u8],
        member_assignment: &'a [u8],
    }
}
