//! JoinGroup (API key 11): become a member of a group.

use super::prelude::*;

message! {
    /// Joins a group, or joins it again.
    request JoinGroupRequest<'a> of JoinGroup, versions 0..=9, flexible 6.. {
        group_id: &'a str,
        session_timeout_ms: i32,
        rebalance_timeout_ms: i32 [1..] = -1,
        member_id: &'a str,
        group_instance_id: Option<&'a str> [5..],
        protocol_type: &'a str,
        protocols: Vec<JoinGroupRequestProtocol<'a>>,
        reason: Option<&'a str> [8..],
    }

    /// An assignor and what the member tells it.
    part JoinGroupRequestProtocol<'a> {
        name: &'a str,
        metadata: &'a [u8],
    }
}

message! {
    /// The generation joined; its leader also learns who else is in it.
    response JoinGroupResponse<'a> of JoinGroup, versions 0..=9, flexible 6.. {
        throttle_time_ms: i32 [2..],
        error_code: i16,
        generation_id: i32 = -1,
        protocol_type: Option<&'a str> [7..],
        protocol_name: Option<&'a str> [..; null 7..] = Some(""),
        leader: &'a str,
        skip_assignment: bool [9..],
        member_id: &'a str,
        members: Vec<JoinGroupResponseMember<'a>>,
    }

    /// A member, as its leader sees it.
    part JoinGroupResponseMember<'a> {
        member_id: &'a str,
        group_instance_id: Option<&'a str> [5..],
        metadata: &'a [u8],
    }
}
