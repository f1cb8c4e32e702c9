//! Heartbeat (API key 12): stay a member of a group.

use super::prelude::*;

message! {
    /// Says that a member lives.
    request HeartbeatRequest<'a> of Heartbeat, versions 0..=4, flexible 4.. {
        group_id: &'a str,
        generation_id: i32,
        member_id: &'a str,
        group_instance_id: Option<&'a str> [3..],
    }
}

message! {
    /// Whether it still belongs to its generation.
    response HeartbeatResponse of Heartbeat, versions 0..=4, flexible 4.. {
        throttle_time_ms: i32 [1..],
        error_code: i16,
    }
}
