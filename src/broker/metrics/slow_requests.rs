//! The log of slow requests: which, from whom, and where the time went.
//!
//! Always true: a shard writes at most [`LINES_PER_SECOND`] such lines a second and says how many it left out; a
//! broker in trouble is not made slower by telling of it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use ringlog_core::time::Instant;
use ringlog_net::protocol::ApiKey;

/// Lines a shard writes in a second at most.
pub const LINES_PER_SECOND: u32 = 5;

/// One shard's log of slow requests.
#[derive(Default)]
pub struct SlowRequests {
    limit: Option<Duration>,
    second_began: Cell<Instant>,
    lines: Cell<u32>,
    left_out: Cell<u64>,
}

/// Where a request's time went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeSpent {
    /// Behind earlier requests of its connection.
    pub queued: Duration,
    /// Being worked on.
    pub handler: Duration,
    /// Waiting for logs: reads, or batches to become safe.
    pub storage: Duration,
    /// Waiting for data to arrive: no fault of the broker's.
    pub data: Duration,
    /// Handing the reply to the socket.
    pub reply: Duration,
}

/// A request that took long.
pub struct SlowRequest<'r> {
    /// Who asked.
    pub peer: SocketAddr,
    /// What the client calls itself.
    pub client_id: &'r str,
    /// What it asked for.
    pub api_key: ApiKey,
    /// In which version.
    pub version: i16,
    /// Its frame's size.
    pub request_bytes: usize,
    /// Its reply's size.
    pub response_bytes: usize,
    /// Where the time went.
    pub spent: &'r TimeSpent,
}

impl SlowRequests {
    /// Logs what takes longer than `limit`, or nothing.
    pub fn new(limit: Option<Duration>) -> SlowRequests {
        SlowRequests { limit, ..SlowRequests::default() }
    }

    /// Whether that is slow.
    pub fn is_slow(&self, taken: Duration) -> bool {
        self.limit.is_some_and(|limit| taken > limit)
    }

    /// Writes a line, if there were not too many in this second.
    pub fn log(&self, now: Instant, slow: &SlowRequest<'_>) {
        let Some(left_out) = self.admit(now) else { return };
        let spent = slow.spent;
        let total = spent.queued + spent.handler + spent.storage + spent.data + spent.reply;
        tracing::info!(
            peer = %slow.peer,
            client_id = slow.client_id,
            api = ?slow.api_key,
            version = slow.version,
            total_ms = milliseconds(total),
            queued_ms = milliseconds(spent.queued),
            handler_ms = milliseconds(spent.handler),
            storage_ms = milliseconds(spent.storage),
            data_ms = milliseconds(spent.data),
            reply_ms = milliseconds(spent.reply),
            request_bytes = slow.request_bytes,
            response_bytes = slow.response_bytes,
            left_out,
            "slow request"
        );
    }

    /// How many lines were left out before this one; `None` if this one must be too.
    fn admit(&self, now: Instant) -> Option<u64> {
        if now.since(self.second_began.get()) >= Duration::from_secs(1) {
            self.second_began.set(now);
            self.lines.set(0);
        }
        if self.lines.get() >= LINES_PER_SECOND {
            self.left_out.set(self.left_out.get() + 1);
            return None;
        }
        self.lines.set(self.lines.get() + 1);
        Some(self.left_out.take())
    }
}

/// With three digits behind the point.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_room_for_so_many_lines_and_the_next_says_how_many_were_left_out() {
        let slow = SlowRequests::new(Some(Duration::from_millis(1)));
        let at = |milliseconds| Instant::default() + Duration::from_millis(milliseconds);
        for line in 0..u64::from(LINES_PER_SECOND) {
            assert_eq!(slow.admit(at(5_000 + line)), Some(0));
        }
        assert_eq!(slow.admit(at(5_500)), None);
        assert_eq!(slow.admit(at(5_999)), None);
        assert_eq!(slow.admit(at(6_000)), Some(2));
        assert_eq!(slow.admit(at(6_001)), Some(0));
    }

    #[test]
    fn only_what_takes_longer_than_the_bound_is_slow() {
        let slow = SlowRequests::new(Some(Duration::from_millis(500)));
        assert!(!slow.is_slow(Duration::from_millis(500)));
        assert!(slow.is_slow(Duration::from_millis(501)));
        assert!(!SlowRequests::new(None).is_slow(Duration::MAX));
    }
}
