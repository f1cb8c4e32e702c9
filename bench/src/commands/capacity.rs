//! `ringlog-bench capacity`: records as fast as they are acknowledged.

use std::rc::Rc;
use std::time::Duration;

use ringlog_net::protocol::fetch::FetchRequest;
use ringlog_net::protocol::produce::ProduceRequest;
use ringlog_runtime::environment::{Environment, TaskClass};
use ringlog_runtime::uring::{UringEnvironment, wall_clock};

use crate::command_line::CapacityArguments;
use crate::commands::load::finish;
use crate::drive::{Lanes, Loop, Sending, drained, keep_going, start_watching, times};
use crate::failure::BenchFailure;
use crate::follower::FETCH_VERSION;
use crate::outcome::{Outcome, blank};
use crate::reread::reread;
use crate::result::BenchResult;
use crate::session::Window;
use crate::setup;
use crate::shard::on_shard;
use crate::template::{PRODUCE_VERSION, PRODUCE_VERSION_MIN};

/// Runs it.
///
/// # Errors
/// [`BenchFailure`] if nothing could be measured.
pub fn run(arguments: &CapacityArguments) -> Result<Outcome, BenchFailure> {
    let mut result = blank("capacity", arguments);
    let started_unix_ms = wall_clock().0;
    let (target, records) = (&arguments.target, &arguments.records);
    let mut cluster = setup::connect(target)?;
    let version =
        setup::version_of::<ProduceRequest<'_>>(&mut cluster, PRODUCE_VERSION_MIN, PRODUCE_VERSION)?;
    setup::version_of::<FetchRequest<'_>>(&mut cluster, FETCH_VERSION, FETCH_VERSION)?;
    let topic = setup::prepare(&mut cluster, &arguments.topic)?;
    let producers = if records.idempotence { records.connections } else { 0 };
    let identities = setup::producer_ids(&mut cluster, producers)?;
    result.target = Some(setup::describe(&mut cluster, target, Some(&topic))?);
    let sending = Sending::new(target, records, arguments.in_flight, topic, version, identities)?;
    let run = CapacityRun { arguments: arguments.clone(), sending, started_unix_ms, result };
    let (result, log) = on_shard(&target.own, move |env| run.on(env))??;
    Ok(Outcome { result, logs: vec![("request.hlog", log)], own: target.own.clone() })
}

/// A closed loop on its shard.
struct CapacityRun {
    arguments: CapacityArguments,
    sending: Sending,
    started_unix_ms: i64,
    result: BenchResult,
}

impl CapacityRun {
    async fn on(mut self, env: UringEnvironment) -> Result<(BenchResult, Vec<u8>), BenchFailure> {
        let placeholder = Window { from: env.now(), to: env.now() };
        let mut session = self.sending.session(&env, placeholder);
        let began = env.now();
        let from = began + Duration::from_secs(u64::from(self.arguments.warmup_seconds));
        session.measured = Window { from, to: from + Duration::from_secs(u64::from(self.arguments.seconds)) };
        let session = Rc::new(session);
        let lanes = Rc::new(Lanes::open(&session, &self.sending, Loop::Closed)?);
        let marks = start_watching(&session, &lanes, began, &self.sending);
        env.spawn(TaskClass::Network, keep_going(session.clone(), lanes.clone()));
        drained(&session).await;
        lanes.forget_all();
        let ledger = session.ledger.borrow().clone();
        let (topic, timeout) = (&self.sending.topic, self.sending.timeout);
        let found = reread(&env, topic, &ledger, self.sending.expected(), timeout).await;
        let result = &mut self.result;
        result.throughput = session.counts.get();
        result.cpu = marks.borrow().cpu(result.throughput.records);
        finish(result, &session, found);
        // There is no plan to be late to: what was measured is the time from sending to the answer.
        result.latencies.request = result.latencies.publish.take();
        result.latencies.pacing_error = None;
        result.times = times(self.started_unix_ms, &session);
        let log = session.publish.borrow().log();
        Ok((self.result, log))
    }
}
