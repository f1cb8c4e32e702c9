//! Driving a run that sends records: connections, the pacer or the closed loop, a look every second, the end.
//!
//! ```text
//!   begin ── warm-up ── measured.from ── ... ── measured.to ── drain ── reread
//!   every second: an interval of the meters, a line of progress, a look at the backlog
//! ```

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog_core::time::Instant;
use ringlog_net::protocol::fetch::FetchRequest;
use ringlog_net::protocol::produce::ProduceRequest;
use ringlog_runtime::environment::{Environment, TaskClass};
use ringlog_runtime::uring::UringEnvironment;
use rustc_hash::FxHashMap;

use crate::command_line::{RecordArguments, TargetArguments, TopicArguments};
use crate::cpu::CpuReading;
use crate::failure::BenchFailure;
use crate::filler::Filler;
use crate::follower::FETCH_VERSION;
use crate::lane::{Due, Lane, LaneParts, Source};
use crate::limits::{
    BACKLOG_NS_MAX, BACKLOG_REQUESTS_MAX, BATCH_BYTES_MAX, DRAIN_NS_MAX, OWN_LATENESS_NS_MAX,
};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::result::{Cpu, Target, Times, Verdict};
use crate::session::Session;
use crate::setup::{self, Topic};
use crate::shard::dial;
use crate::template::{KEY_BYTES, PRODUCE_VERSION, PRODUCE_VERSION_MIN, Shape, Template};
use crate::verifier::Expected;

/// Memory for templates, and how many there are at most: enough that no two neighbours are alike.
const TEMPLATES_BYTES: usize = 64 << 20;
const TEMPLATES_MAX: usize = 16;

/// How many requests the pacer hands out before others have their turn.
const PACER_BURST: u32 = 64;

/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// What is sent and how, for a run on a shard.
#[derive(Clone, Debug)]
pub struct Sending {
    /// The records.
    pub records: RecordArguments,
    /// Where they go.
    pub topic: Topic,
    /// Producer ids, with idempotence.
    pub identities: Vec<(i64, i16)>,
    /// The version of Produce.
    pub version: i16,
    /// Requests under way on each connection.
    pub in_flight: usize,
    /// The longest single wait.
    pub timeout: Duration,
    /// The broker's process.
    pub broker_pid: Option<u32>,
    /// Say nothing.
    pub quiet: bool,
}

impl Sending {
    /// Makes ready what was asked for: the topic, versions, producer ids. Tells what the cluster is as well.
    ///
    /// # Errors
    /// [`BenchFailure`]; [`BenchFailure::Arguments`] if a batch would be too large.
    pub fn prepare(
        target: &TargetArguments,
        topic: &TopicArguments,
        records: &RecordArguments,
        in_flight: u64,
    ) -> Result<(Sending, Target), BenchFailure> {
        let batch_bytes = records.record_bytes * records.batch_records;
        if batch_bytes > BATCH_BYTES_MAX {
            let words = format!("a batch of {batch_bytes} bytes, at most {BATCH_BYTES_MAX} are sent");
            return Err(BenchFailure::Arguments(words));
        }
        let mut cluster = setup::connect(target)?;
        let version =
            setup::version_of::<ProduceRequest<'_>>(&mut cluster, PRODUCE_VERSION_MIN, PRODUCE_VERSION)?;
        setup::version_of::<FetchRequest<'_>>(&mut cluster, FETCH_VERSION, FETCH_VERSION)?;
        let topic = setup::prepare(&mut cluster, topic)?;
        let producers = if records.idempotence { records.connections } else { 0 };
        let identities = setup::producer_ids(&mut cluster, producers)?;
        let described = setup::describe(&mut cluster, target, Some(&topic))?;
        let sending = Sending {
            records: records.clone(),
            topic,
            identities,
            version,
            in_flight: in_flight as usize,
            timeout: setup::timeout(target),
            broker_pid: target.broker_pid,
            quiet: target.own.quiet,
        };
        Ok((sending, described))
    }

    /// What the records must look like when they are read back.
    pub fn expected(&self) -> Expected {
        Expected {
            record_bytes: Some(self.records.record_bytes as usize),
            keys: Some(self.records.keys),
            identities: self.producers(),
            producers: Some(self.records.connections as u32),
            begun_late: false,
        }
    }

    /// Producers by id.
    pub fn producers(&self) -> FxHashMap<i64, u32> {
        let numbered = self.identities.iter().enumerate();
        numbered.map(|(producer, (id, _))| (*id, producer as u32)).collect()
    }

    /// Encodes the requests.
    pub fn templates(&self) -> Vec<Template> {
        let records = &self.records;
        let shape = Shape {
            topic: &self.topic.name,
            batch_records: records.batch_records as usize,
            record_bytes: records.record_bytes as usize,
            keys: records.keys,
            codec: records.compression,
            acks: records.acks.to_wire(),
            timeout_ms: self.timeout.as_millis() as i32,
            version: self.version,
        };
        let filler = Filler::new();
        let first = Template::new(0, &shape, &filler);
        let count = (TEMPLATES_BYTES / first.frame_bytes()).clamp(1, TEMPLATES_MAX);
        let others = (1..count).map(|index| Template::new(index, &shape, &filler));
        std::iter::once(first).chain(others).collect()
    }

    /// The session of a run that has not begun.
    pub fn session(&self, env: &UringEnvironment) -> Rc<Session> {
        let mut session = Session::new(env.clone(), self.topic.name.clone(), self.templates());
        session.identities = self.identities.clone();
        session.acknowledged = self.records.acks.to_wire() != 0;
        let key_bytes = if self.records.keys > 0 { KEY_BYTES as u64 } else { 0 };
        session.record_bytes = self.records.record_bytes + key_bytes;
        Rc::new(session)
    }
}

/// All connections of a run.
pub struct Lanes {
    lanes: Vec<Rc<Lane>>,
    /// Which lane, by connection and leader.
    of: FxHashMap<(u64, SocketAddr), usize>,
    leaders: Vec<SocketAddr>,
}

/// Whether lanes take their requests from a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loop {
    /// By a plan.
    Open,
    /// Whenever there is room.
    Closed,
}

impl Lanes {
    /// Connects: each connection of the plan to each leader.
    ///
    /// # Errors
    /// [`BenchFailure::Broker`].
    pub fn open(session: &Rc<Session>, sending: &Sending, kind: Loop) -> Result<Lanes, BenchFailure> {
        let mut lanes =
            Lanes { lanes: Vec::new(), of: FxHashMap::default(), leaders: sending.topic.leaders.clone() };
        let mut parts = Vec::new();
        for producer in 0..sending.records.connections {
            for (address, partitions) in sending.topic.by_leader() {
                let source = match kind {
                    Loop::Open => Source::Planned(Default::default()),
                    Loop::Closed => Source::Endless { turn: producer as usize, partitions },
                };
                lanes.of.insert((producer, address), parts.len());
                parts.push(LaneParts {
                    connection: dial(&session.env, address, sending.timeout)?,
                    address,
                    producer: producer as u32,
                    in_flight_max: sending.in_flight,
                    version: sending.version,
                    source,
                });
            }
        }
        lanes.lanes = parts.into_iter().map(|parts| Lane::start(session, parts)).collect();
        Ok(lanes)
    }

    fn of_request(&self, connection: u64, partition: u64) -> &Lane {
        &self.lanes[self.of[&(connection, self.leaders[partition as usize])]]
    }

    fn wake_all(&self) {
        self.lanes.iter().for_each(|lane| lane.wake());
    }

    fn oldest_due(&self) -> Option<Instant> {
        self.lanes.iter().filter_map(|lane| lane.oldest_due()).min()
    }

    /// What is on its way now was not acknowledged.
    pub fn forget_all(&self) {
        self.lanes.iter().for_each(|lane| lane.forget_all());
    }
}

/// Hands out what is due, when it is due, whatever the broker does.
pub async fn pace(session: Rc<Session>, lanes: Rc<Lanes>, plan: Plan, began: Instant) {
    let (mut number, mut burst) = (0, 0);
    while number < plan.requests && session.goes_on() {
        let due = Instant(began.0 + plan.due_ns(number));
        let now = session.now();
        if now < due {
            session.env.sleep_until(due).await;
            burst = 0;
            continue;
        }
        if now.since(due) > Duration::from_nanos(OWN_LATENESS_NS_MAX) {
            could_not_follow(&session, now.since(due));
        }
        let request = plan.request(number);
        let lane = lanes.of_request(request.connection, request.partition);
        lane.push(Due { at: due, partition: request.partition as i32 });
        number += 1;
        if session.backlog.get() > BACKLOG_REQUESTS_MAX {
            could_not_keep(
                &session,
                &format!("more than {BACKLOG_REQUESTS_MAX} requests wait for their turn"),
            );
        }
        burst += 1;
        if burst == PACER_BURST {
            burst = 0;
            session.env.yield_now().await;
        }
    }
    session.sending_ended.set(true);
}

fn could_not_keep(session: &Session, why: &str) {
    let words = format!(
        "could not keep the plan: {why}. The broker does not hold this rate with these connections and this many \
         requests in flight; ask for less, or allow more in flight"
    );
    session.fail(Verdict::CouldNotKeepThePlan, words);
}

/// The pacer waits for nobody: where it is late, this program's core is full or taken by others.
fn could_not_follow(session: &Session, late: Duration) {
    let words = format!(
        "could not keep the plan: this program itself is {:.1} s late, the broker is not to blame. Give it a core of its \
         own (--core), ask for larger batches or a lower rate",
        late.as_secs_f64()
    );
    session.fail(Verdict::CouldNotKeepThePlan, words);
}

/// Lets a closed loop run until the measured part is over.
pub async fn keep_going(session: Rc<Session>, lanes: Rc<Lanes>) {
    lanes.wake_all();
    session.env.sleep_until(session.measured.get().to).await;
    session.sending_ended.set(true);
}

/// Looks every second, from the beginning until the session has ended.
pub async fn watch(session: Rc<Session>, lanes: Rc<Lanes>, began: Instant, quiet: bool) {
    let progress = Progress::new(quiet);
    let mut last = began;
    loop {
        session.env.sleep_until(last + Duration::from_secs(1)).await;
        let now = session.now();
        let seconds = now.since(last).as_secs_f64();
        let started = last.since(began).as_secs_f64();
        session.pacing.borrow_mut().turn(started, seconds);
        let end_to_end = session.end_to_end.borrow_mut().turn(started, seconds);
        let publish = session.publish.borrow_mut().turn(started, seconds);
        let rate = session.acknowledged_lately.replace(0) as f64 / seconds;
        let waits = session.backlog.get();
        let phase = if now < session.measured.get().from { "warm-up" } else { "measured" };
        progress.tell(phase, now.since(began).as_secs(), rate, &publish, &end_to_end, waits);
        let late = lanes.oldest_due().map_or(Duration::ZERO, |due| now.since(due));
        if late > Duration::from_nanos(BACKLOG_NS_MAX) {
            could_not_keep(&session, &format!("a request waits for {} s already", late.as_secs()));
        }
        last = now;
    }
}

/// What the processes used in the measured part.
#[derive(Clone, Copy, Default)]
pub struct CpuMarks {
    from: Option<CpuReading>,
    to: Option<CpuReading>,
}

impl CpuMarks {
    /// For each of so many records.
    pub fn cpu(&self, records: u64) -> Cpu {
        match (self.from, self.to) {
            (Some(from), Some(to)) => to.since(&from, records),
            _ => Cpu::default(),
        }
    }
}

/// Reads the processor times where the measured part begins and ends.
pub async fn mark_cpu(session: Rc<Session>, marks: Rc<RefCell<CpuMarks>>, broker_pid: Option<u32>) {
    session.env.sleep_until(session.measured.get().from).await;
    marks.borrow_mut().from = Some(CpuReading::take(broker_pid));
    session.env.sleep_until(session.measured.get().to).await;
    marks.borrow_mut().to = Some(CpuReading::take(broker_pid));
}

/// Waits until everything is sent and answered, or the run cannot go on.
pub async fn drained(session: &Session) {
    let patience = Instant(session.measured.get().to.0 + DRAIN_NS_MAX);
    while session.goes_on() {
        let now = session.now();
        let left = session.backlog.get() + session.in_flight.get();
        if session.sending_ended.get() && left == 0 && now >= session.measured.get().to {
            return;
        }
        if now > patience {
            let words =
                format!("the broker left {left} requests unanswered for {} s", DRAIN_NS_MAX / 1_000_000_000);
            session.fail(Verdict::BrokerFailed, words);
        }
        session.env.sleep_until(now + LOOK).await;
    }
}

/// Starts the tasks that every run has.
pub fn start_watching(
    session: &Rc<Session>,
    lanes: &Rc<Lanes>,
    began: Instant,
    sending: &Sending,
) -> Rc<RefCell<CpuMarks>> {
    let marks = Rc::new(RefCell::new(CpuMarks::default()));
    let watching = watch(session.clone(), lanes.clone(), began, sending.quiet);
    session.env.spawn(TaskClass::Network, watching);
    session.env.spawn(TaskClass::Network, mark_cpu(session.clone(), marks.clone(), sending.broker_pid));
    marks
}

/// When a run was measured, by the wall clock, given when it began.
pub fn times(started_unix_ms: i64, session: &Session) -> Times {
    let (now, wall) = (session.now(), session.env.wall_clock().0);
    let at = |time: Instant| wall - now.since(time).as_millis() as i64;
    Times {
        started_unix_ms,
        measured_from_unix_ms: at(session.measured.get().from),
        measured_to_unix_ms: at(session.measured.get().to),
        ended_unix_ms: wall,
        measured_seconds: session.measured.get().seconds(),
    }
}
