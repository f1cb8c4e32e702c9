//! `ringlog-bench load`: records by a plan.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ringlog_runtime::environment::{Environment, TaskClass};
use ringlog_runtime::uring::{UringEnvironment, wall_clock};

use crate::command_line::LoadArguments;
use crate::consumer::{Clockwork, Running, catch_up, tail};
use crate::drive::{CpuMarks, Lanes, Loop, Sending, drained, pace, start_watching, times};
use crate::failure::BenchFailure;
use crate::follower::{FetchBounds, Follower};
use crate::outcome::{Outcome, blank};
use crate::plan::Plan;
use crate::reread::reread;
use crate::result::{BenchResult, CatchUp, Verdict};
use crate::session::Session;
use crate::shard::on_shard;

/// Between the last connection and the first request.
const BREATH: Duration = Duration::from_millis(50);

/// How long consumers may take to their end after the last acknowledgement.
const CONSUMERS_END: Duration = Duration::from_secs(10);

/// Runs it.
///
/// # Errors
/// [`BenchFailure`] if nothing could be measured.
pub fn run(arguments: &LoadArguments) -> Result<Outcome, BenchFailure> {
    let mut result = blank("load", arguments);
    let started_unix_ms = wall_clock().0;
    let target = &arguments.target;
    let (sending, described) =
        Sending::prepare(target, &arguments.topic, &arguments.records, arguments.in_flight)?;
    result.target = Some(described);
    let run = LoadRun { arguments: arguments.clone(), sending, started_unix_ms, result };
    let (result, logs) = on_shard(&target.own, move |env| run.on(env))??;
    Ok(Outcome { result, logs, own: target.own.clone() })
}

/// A load on its shard.
struct LoadRun {
    arguments: LoadArguments,
    sending: Sending,
    started_unix_ms: i64,
    result: BenchResult,
}

type Told = Result<(BenchResult, Vec<(&'static str, Vec<u8>)>), BenchFailure>;

impl LoadRun {
    async fn on(self, env: UringEnvironment) -> Told {
        let plan = self.plan();
        let session = self.sending.session(&env);
        let mut followers = self.followers(&env)?;
        let late = if self.arguments.catch_up { self.open_followers(&env)? } else { Vec::new() };
        let lanes = Rc::new(Lanes::open(&session, &self.sending, Loop::Open)?);
        // Connecting may take long with many connections: the clock is set when all are there.
        let began = env.now() + BREATH;
        session.begin(began, self.arguments.warmup_seconds, self.arguments.seconds);
        let clockwork = Rc::new(Clockwork {
            plan,
            began,
            batch_records: self.arguments.records.batch_records,
            producers: self.sending.producers(),
        });
        let running = Running::default();
        for follower in followers.drain(..) {
            running.set(running.get() + 1);
            let task = tail(session.clone(), clockwork.clone(), follower, running.clone());
            env.spawn(TaskClass::Network, task);
        }
        let caught = self.start_catching_up(&session, late, &running);
        let marks = start_watching(&session, &lanes, began, &self.sending);
        env.spawn(TaskClass::Network, pace(session.clone(), lanes.clone(), plan, began));
        drained(&session).await;
        wait_for_consumers(&session, &running).await;
        lanes.forget_all();
        self.conclude(&session, &marks, &caught).await
    }

    fn plan(&self) -> Plan {
        let arguments = &self.arguments;
        let requests = arguments.rate / arguments.records.batch_records as f64;
        let seconds = f64::from(arguments.warmup_seconds) + f64::from(arguments.seconds);
        let partitions = self.sending.topic.leaders.len() as u64;
        Plan::new(requests, seconds, arguments.records.connections, partitions)
    }

    fn followers(&self, env: &UringEnvironment) -> Result<Vec<Follower>, BenchFailure> {
        let mut followers = Vec::new();
        for _ in 0..self.arguments.consumers {
            followers.extend(self.open_followers(env)?);
        }
        Ok(followers)
    }

    /// One consumer: a follower of each leader.
    fn open_followers(&self, env: &UringEnvironment) -> Result<Vec<Follower>, BenchFailure> {
        let topic = &self.sending.topic;
        let open = |(address, partitions): (_, Vec<i32>)| {
            let positions =
                partitions.iter().map(|partition| (*partition, topic.latest[*partition as usize]));
            let bounds = FetchBounds::default();
            Follower::open(env, address, &topic.name, positions, bounds, self.sending.timeout)
        };
        topic.by_leader().into_iter().map(open).collect()
    }

    fn start_catching_up(
        &self,
        session: &Rc<Session>,
        followers: Vec<Follower>,
        running: &Running,
    ) -> Vec<Rc<Cell<Option<CatchUp>>>> {
        let mut caught = Vec::new();
        for follower in followers {
            running.set(running.get() + 1);
            let told = Rc::new(Cell::new(None));
            caught.push(told.clone());
            let (session, running) = (session.clone(), running.clone());
            let env = session.env.clone();
            env.spawn(TaskClass::Network, async move {
                session.env.sleep_until(session.measured.get().from).await;
                catch_up(session, follower, told, running).await;
            });
        }
        caught
    }

    async fn conclude(
        mut self,
        session: &Session,
        marks: &RefCell<CpuMarks>,
        caught: &[Rc<Cell<Option<CatchUp>>>],
    ) -> Told {
        let ledger = session.ledger.borrow().clone();
        let (topic, timeout) = (&self.sending.topic, self.sending.timeout);
        let found = reread(&session.env, topic, &ledger, self.sending.expected(), timeout).await;
        let result = &mut self.result;
        result.throughput = session.counts.get();
        result.throughput.planned_records_per_second = Some(self.arguments.rate);
        result.cpu = marks.borrow().cpu(result.throughput.records);
        result.catch_up = CatchUp::sum(caught.iter().filter_map(|told| told.get()));
        finish(result, session, found);
        result.times = times(self.started_unix_ms, session);
        let mut logs = vec![
            ("publish.hlog", session.publish.borrow().log()),
            ("pacing_error.hlog", session.pacing.borrow().log()),
        ];
        if self.arguments.consumers > 0 {
            logs.push(("end_to_end.hlog", session.end_to_end.borrow().log()));
        }
        Ok((self.result, logs))
    }
}

async fn wait_for_consumers(session: &Session, running: &Running) {
    let patience = session.now() + CONSUMERS_END;
    while running.get() > 0 && session.goes_on() {
        if session.now() > patience {
            session.fail(Verdict::BrokerFailed, "consumers did not come to the end of the log".to_owned());
        }
        session.env.sleep_until(session.now() + Duration::from_millis(5)).await;
    }
}

/// Fills in what all runs that send records have in common: rates, latencies, verdict.
pub fn finish(
    result: &mut BenchResult,
    session: &Session,
    found: Result<crate::result::Verification, BenchFailure>,
) {
    let seconds = session.measured.get().seconds();
    let throughput = &mut result.throughput;
    throughput.records_per_second = throughput.records as f64 / seconds;
    throughput.megabytes_per_second = throughput.bytes as f64 / 1e6 / seconds;
    result.latencies.publish = session.publish.borrow().summary();
    result.latencies.end_to_end = session.end_to_end.borrow().summary();
    result.latencies.pacing_error = session.pacing.borrow().summary();
    let failure = session.failure();
    match found {
        Ok(found) => {
            result.verified = found.is_clean();
            result.verification = Some(found);
        }
        Err(failure) => {
            session.fail(Verdict::BrokerFailed, format!("nothing could be read back: {failure}"));
        }
    }
    let failure = failure.or_else(|| session.failure());
    (result.verdict, result.verdict_words) = match failure {
        Some(failure) => failure,
        None if !result.verified => {
            let words = "what was read back is not what was sent: the run is void, the broker is to blame";
            (Verdict::VerificationFailed, words.to_owned())
        }
        None => (Verdict::Kept, "every record was read back as it was sent".to_owned()),
    };
}
