//! `ringlog-bench capacity`: records as fast as they are acknowledged.

use std::rc::Rc;

use ringlog_runtime::environment::{Environment, TaskClass};
use ringlog_runtime::uring::{UringEnvironment, wall_clock};

use crate::command_line::CapacityArguments;
use crate::commands::load::finish;
use crate::drive::{Lanes, Loop, Sending, drained, keep_going, start_watching, times};
use crate::failure::BenchFailure;
use crate::outcome::{Outcome, blank};
use crate::reread::reread;
use crate::result::BenchResult;
use crate::shard::on_shard;

/// Runs it.
///
/// # Errors
/// [`BenchFailure`] if nothing could be measured.
pub fn run(arguments: &CapacityArguments) -> Result<Outcome, BenchFailure> {
    let mut result = blank("capacity", arguments);
    let started_unix_ms = wall_clock().0;
    let target = &arguments.target;
    let (sending, described) =
        Sending::prepare(target, &arguments.topic, &arguments.records, arguments.in_flight)?;
    result.target = Some(described);
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
        let session = self.sending.session(&env);
        let lanes = Rc::new(Lanes::open(&session, &self.sending, Loop::Closed)?);
        let began = env.now();
        session.begin(began, self.arguments.warmup_seconds, self.arguments.seconds);
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
