//! What the tasks of one run share: the plan's beginning, the account of what was sent, the meters, the end.
//!
//! Always true: whoever finds that the run cannot go on says so once, here; the first word stands.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::Duration;

use ringlog_core::time::Instant;
use ringlog_runtime::environment::Environment;
use ringlog_runtime::uring::UringEnvironment;

use crate::ledger::Ledger;
use crate::meter::Meter;
use crate::result::{Throughput, Verdict};
use crate::template::Template;

/// One run, shared by its tasks on one shard.
pub struct Session {
    /// The shard.
    pub env: UringEnvironment,
    /// Where records go.
    pub topic: String,
    /// Requests, encoded.
    pub templates: Vec<Template>,
    /// Producer ids and epochs, with idempotence.
    pub identities: Vec<(i64, i16)>,
    /// Whether answers come at all.
    pub acknowledged: bool,
    /// Bytes of key and value of one record.
    pub record_bytes: u64,
    /// The part that is measured, on the monotonic clock; nothing before [`Session::begin`].
    pub measured: Cell<Window>,
    /// What was sent.
    pub ledger: RefCell<Ledger>,
    /// From the planned time to the acknowledgement.
    pub publish: RefCell<Meter>,
    /// From the planned time to a consumer.
    pub end_to_end: RefCell<Meter>,
    /// How late requests were handed over that nothing held up.
    pub pacing: RefCell<Meter>,
    /// What went through in the measured part.
    pub counts: Cell<Throughput>,
    /// Records acknowledged since the last look.
    pub acknowledged_lately: Cell<u64>,
    /// Requests that are due and wait.
    pub backlog: Cell<u64>,
    /// Requests that left and whose answer is to come.
    pub in_flight: Cell<u64>,
    /// No request will be added any more.
    pub sending_ended: Cell<bool>,
    end: RefCell<Option<(Verdict, String)>>,
}

/// A stretch of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// From here on.
    pub from: Instant,
    /// Until before this.
    pub to: Instant,
}

impl Window {
    /// Whether it is within.
    pub fn holds(&self, time: Instant) -> bool {
        self.from <= time && time < self.to
    }

    /// How long it is.
    pub fn seconds(&self) -> f64 {
        self.to.since(self.from).as_secs_f64()
    }
}

impl Session {
    /// A run that has not begun.
    pub fn new(env: UringEnvironment, topic: String, templates: Vec<Template>) -> Session {
        let now = env.now();
        Session {
            env,
            topic,
            templates,
            identities: Vec::new(),
            acknowledged: true,
            record_bytes: 0,
            measured: Cell::new(Window { from: now, to: now }),
            ledger: RefCell::default(),
            publish: RefCell::default(),
            end_to_end: RefCell::default(),
            pacing: RefCell::default(),
            counts: Cell::default(),
            acknowledged_lately: Cell::new(0),
            backlog: Cell::new(0),
            in_flight: Cell::new(0),
            sending_ended: Cell::new(false),
            end: RefCell::default(),
        }
    }

    /// Sets the clock: warm-up from `began` on, then the measured part.
    pub fn begin(&self, began: Instant, warmup_seconds: u32, seconds: u32) {
        let from = began + Duration::from_secs(u64::from(warmup_seconds));
        self.measured.set(Window { from, to: from + Duration::from_secs(u64::from(seconds)) });
    }

    /// The run cannot go on.
    pub fn fail(&self, verdict: Verdict, words: String) {
        self.end.borrow_mut().get_or_insert((verdict, words));
    }

    /// The broker at this address is to blame.
    pub fn broker_failed(&self, address: SocketAddr, what: &str) {
        self.fail(Verdict::BrokerFailed, format!("the broker {address} {what}"));
    }

    /// Why it cannot go on, if it cannot.
    pub fn failure(&self) -> Option<(Verdict, String)> {
        self.end.borrow().clone()
    }

    /// Whether it can go on.
    pub fn goes_on(&self) -> bool {
        self.end.borrow().is_none()
    }

    /// A request was acknowledged now.
    pub fn count_request(&self, records: u64, now: Instant) {
        self.acknowledged_lately.set(self.acknowledged_lately.get() + records);
        if self.measured.get().holds(now) {
            let mut counts = self.counts.get();
            counts.requests += 1;
            counts.records += records;
            counts.bytes += records * self.record_bytes;
            self.counts.set(counts);
        }
    }

    /// A request was refused.
    pub fn count_refusal(&self) {
        let mut counts = self.counts.get();
        counts.refused_requests += 1;
        self.counts.set(counts);
    }

    /// One more request is due, or one less.
    pub fn backlog_changed(&self, by: i64) {
        let backlog = self.backlog.get().wrapping_add_signed(by);
        self.backlog.set(backlog);
        let mut counts = self.counts.get();
        if backlog > counts.backlog_requests_max {
            counts.backlog_requests_max = backlog;
            self.counts.set(counts);
        }
    }

    /// Now.
    pub fn now(&self) -> Instant {
        self.env.now()
    }
}
