//! SyncGroup (API key 14): hand out the assignment of a generation.

use super::prelude::*;

message! {
    /// Asks for the member's assignment; the leader brings everyone's.
    request SyncGroupRequest<'a> of SyncGroup, versions 0..=5, flexible 4.. {
        group_id: &'a str,
        generation_id: i32,
        member_id: &'a str,
        group_instance_id: Option<&'a str> [3..],
        protocol_type: Option<&'a str> [5..],
        protocol_name: Option<&'a str> [5..],
        assignments: Vec<SyncGroupRequestAssignment<'a>>,
    }

    /// One member's assignment.
    part SyncGroupRequestAssignment<'a> {
        member_id: &'a str,
        assignment: &'a [u8],
    }
}

message! {
    /// The member's assignment, as opaque to the broker as it came.
    response SyncGroupResponse<'a> of SyncGroup, versions 0..=5, flexible 4.. {
        throttle_time_ms: i32 [1..],
        error_code: i16,
        protocol_type: Option<&'a str> [5..],
        protocol_name: Option<&'a str> [5..],
        assignment: &'a [u8],
    }
}
