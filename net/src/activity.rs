//! What a connection has done lately, so that a sweep can tell the idle and the stalled from the busy.
//!
//! One sweep per shard looks at every connection about once a second; nothing here needs a timer of its own.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ringlog_core::time::Instant;

/// How patient the broker is with a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// `connections.max.idle.ms`: no request under way and none arriving.
    pub idle_max: Duration,
    /// How long a client may take none of the bytes offered to it.
    pub send_stall_max: Duration,
    /// How long a frame may take before its pace is looked at.
    pub frame_grace: Duration,
    /// The slowest pace, over the whole frame, at which it may arrive after the grace.
    pub frame_bytes_per_second_min: u64,
}

/// Why a connection should be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stall {
    /// Nothing asked for too long.
    Idle,
    /// The client does not read its replies.
    NotReading,
    /// A frame arrives more slowly than any honest client sends (slow-loris).
    SlowFrame,
}

impl fmt::Display for Stall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Stall::Idle => "it was idle for longer than connections.max.idle.ms",
            Stall::NotReading => "it does not read its replies",
            Stall::SlowFrame => "it sends a request more slowly than allowed",
        })
    }
}

/// A handle to one connection's record of activity; clones share it.
#[derive(Clone)]
pub struct Activity {
    record: Rc<Record>,
}

struct Record {
    last_request: Cell<Instant>,
    requests_waiting: Cell<usize>,
    frame: Cell<Option<(Instant, u64)>>,
    send_began: Cell<Option<Instant>>,
}

impl Activity {
    /// A connection accepted at `now`.
    pub fn new(now: Instant) -> Activity {
        Activity {
            record: Rc::new(Record {
                last_request: Cell::new(now),
                requests_waiting: Cell::new(0),
                frame: Cell::new(None),
                send_began: Cell::new(None),
            }),
        }
    }

    /// The first bytes of a frame are here, others are missing.
    pub fn frame_began(&self, now: Instant) {
        self.record.frame.set(Some((now, 0)));
    }

    /// More bytes of the frame came.
    pub fn frame_grew(&self, bytes: usize) {
        if let Some((began, received)) = self.record.frame.get() {
            self.record.frame.set(Some((began, received + bytes as u64)));
        }
    }

    /// The frame is whole.
    pub fn frame_ended(&self) {
        self.record.frame.set(None);
    }

    /// A request is being answered.
    pub fn request_began(&self, now: Instant) {
        self.record.last_request.set(now);
        self.record.requests_waiting.set(self.record.requests_waiting.get() + 1);
    }

    /// A request was answered, or needs no answer.
    pub fn request_ended(&self, now: Instant) {
        self.record.last_request.set(now);
        self.record.requests_waiting.set(self.record.requests_waiting.get() - 1);
    }

    /// Bytes are being offered to the client.
    pub fn send_began(&self, now: Instant) {
        self.record.send_began.set(Some(now));
    }

    /// The client took them.
    pub fn send_ended(&self) {
        self.record.send_began.set(None);
    }

    /// Whether nothing is being read, answered or sent.
    pub fn is_quiet(&self) -> bool {
        self.record.requests_waiting.get() == 0
            && self.record.frame.get().is_none()
            && self.record.send_began.get().is_none()
    }

    /// Whether patience with this connection has run out.
    pub fn stall(&self, now: Instant, patience: &Patience) -> Option<Stall> {
        if let Some(began) = self.record.send_began.get() {
            return (now.since(began) > patience.send_stall_max).then_some(Stall::NotReading);
        }
        if let Some((began, received)) = self.record.frame.get() {
            let taken = now.since(began);
            let expected = taken.as_secs() * patience.frame_bytes_per_second_min;
            return (taken > patience.frame_grace && received < expected).then_some(Stall::SlowFrame);
        }
        let quiet = self.record.requests_waiting.get() == 0
            && now.since(self.record.last_request.get()) > patience.idle_max;
        quiet.then_some(Stall::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        idle_max: Duration::from_secs(600),
        send_stall_max: Duration::from_secs(30),
        frame_grace: Duration::from_secs(10),
        frame_bytes_per_second_min: 1024,
    };

    fn at(seconds: u64) -> Instant {
        Instant::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn w13_a_connection_with_a_pending_long_poll_is_not_idle() {
        let activity = Activity::new(at(0));
        activity.request_began(at(1));
        assert_eq!(activity.stall(at(5_000), &PATIENCE), None);
        activity.request_ended(at(5_000));
        assert_eq!(activity.stall(at(5_600), &PATIENCE), None);
        assert_eq!(activity.stall(at(5_601), &PATIENCE), Some(Stall::Idle));
    }

    #[test]
    fn a_frame_that_drips_is_cut_and_a_slow_but_honest_one_is_not() {
        let activity = Activity::new(at(0));
        activity.frame_began(at(0));
        activity.frame_grew(20 * 1024);
        assert_eq!(activity.stall(at(20), &PATIENCE), None);
        assert_eq!(activity.stall(at(21), &PATIENCE), Some(Stall::SlowFrame));
        activity.frame_ended();
        assert_eq!(activity.stall(at(21), &PATIENCE), None);
    }

    #[test]
    fn a_client_that_never_reads_its_replies_is_cut() {
        let activity = Activity::new(at(0));
        activity.request_began(at(0));
        activity.send_began(at(1));
        assert_eq!(activity.stall(at(31), &PATIENCE), None);
        assert_eq!(activity.stall(at(32), &PATIENCE), Some(Stall::NotReading));
    }
}
