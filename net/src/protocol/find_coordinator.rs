//! FindCoordinator (API key 10): which broker coordinates a group or a transaction.

use super::prelude::*;

message! {
    /// Asks for the coordinators of keys; key type 0 is a group, 1 a transaction, 2 a share group.
    request FindCoordinatorRequest<'a> of FindCoordinator, versions 0..=6, flexible 3.. {
        key: &'a str [..=3],
        key_type: i8 [1..],
        coordinator_keys: Vec<&'a str> [4..],
    }
}

message! {
    /// The coordinators.
    response FindCoordinatorResponse<'a> of FindCoordinator, versions 0..=6, flexible 3.. {
        throttle_time_ms: i32 [1..],
        error_code: i16 [..=3],
        error_message: Option<&'a str> [1..=3],
        node_id: i32 [..=3],
        host: &'a str [..=3],
        port: i32 [..=3],
        coordinators: Vec<Coordinator<'a>> [4..],
    }

    /// The coordinator of one key.
    part Coordinator<'a> {
        key: &'a str,
        node_id: i32,
        host: &'a str,
        port: i32,
        error_code: i16,
        error_message: Option<&'a str>,
    }
}
