//! LeaveGroup (API key 13): stop being a member of a group.

use super::prelude::*;

message! {
    /// Removes members; before version 3 exactly one.
    request LeaveGroupRequest<'a> of LeaveGroup, versions 0..=5, flexible 4.. {
        group_id: &'a str,
        member_id: &'a str [..=2],
        members: Vec<MemberIdentity<'a>> [3..],
    }

    /// A member to remove.
    part MemberIdentity<'a> {
        member_id: &'a str,
        group_instance_id: Option<&'a str>,
        reason: Option<&'a str> [5..],
    }
}

message! {
    /// Whether they were removed.
    response LeaveGroupResponse<'a> of LeaveGroup, versions 0..=5, flexible 4.. {
        throttle_time_ms: i32 [1..],
        error_code: i16,
        members: Vec<MemberResponse<'a>> [3..],
    }

    /// The result for one member.
    part MemberResponse<'a> {
        member_id: &'a str,
        group_instance_id: Option<&'a str>,
        error_code: i16,
    }
}
