//! `ringlog-bench connections`: what a connection costs the broker in memory.
//!
//! ```text
//!   resident ─► N idle connections, each asked once ─► resident ─► M busy ones for a while ─► resident
//! ```
//!
//! What is asked is the metadata of no topic: it costs the broker a connection and nothing that stays.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ringlog_core::time::Instant;
use ringlog_net::protocol::metadata::{MetadataRequest, MetadataResponse};
use ringlog_runtime::environment::{Environment, TaskClass};
use ringlog_runtime::uring::{UringEnvironment, wall_clock};

use crate::command_line::ConnectionsArguments;
use crate::cpu::{self, CpuReading};
use crate::failure::BenchFailure;
use crate::latency::Recorder;
use crate::line::Line;
use crate::outcome::{Outcome, blank};
use crate::result::{BenchResult, ConnectionCost, Verdict};
use crate::setup;
use crate::shard::{on_shard, resolve};

/// Between the last connection and a look at the broker's memory.
const SETTLING: Duration = Duration::from_secs(1);

/// Between two looks at whether the busy ones have ended.
const LOOK: Duration = Duration::from_millis(10);

/// Runs it.
///
/// # Errors
/// [`BenchFailure`] if nothing could be measured.
pub fn run(arguments: &ConnectionsArguments) -> Result<Outcome, BenchFailure> {
    let mut result = blank("connections", arguments);
    result.times.started_unix_ms = wall_clock().0;
    let target = &arguments.target;
    let Some(pid) = target.broker_pid else {
        let words = "--broker-pid: whose memory is measured has to be said";
        return Err(BenchFailure::Arguments(words.to_owned()));
    };
    let mut cluster = setup::connect(target)?;
    let version = setup::version_of::<MetadataRequest<'_>>(&mut cluster, 1, i16::MAX)?;
    result.target = Some(setup::describe(&mut cluster, target, None)?);
    let address = resolve(cluster.connection(ringlog::client::cluster::Target::Any)?.address())?;
    let (own, given) = (target.own.clone(), arguments.clone());
    let result = on_shard(&own, move |env| async move {
        let before = resident(pid);
        let open = |count: u64| -> Result<Vec<Line>, BenchFailure> {
            (0..count).map(|_| Line::open(&env, address, setup::timeout(&given.target))).collect()
        };
        let mut idle = open(given.idle)?;
        for line in &mut idle {
            ask(line, version).await?;
        }
        env.sleep_until(env.now() + SETTLING).await;
        let with_idle = resident(pid);
        let busy = open(given.busy)?;
        let (mut result, with_busy) = measure(&env, busy, version, &given, result).await?;
        let grown = with_busy.saturating_sub(before) as f64;
        result.connections = Some(ConnectionCost {
            idle: given.idle,
            busy: given.busy,
            broker_bytes_before: before,
            broker_bytes_idle: with_idle,
            broker_bytes_busy: with_busy,
            broker_bytes_per_connection: grown / (given.idle + given.busy) as f64,
        });
        drop(idle);
        Ok::<_, BenchFailure>(result)
    })??;
    Ok(Outcome { result, logs: Vec::new(), own })
}

fn resident(pid: u32) -> u64 {
    cpu::of_process(&pid.to_string()).map_or(0, |(_, bytes)| bytes)
}

async fn ask(line: &mut Line, version: i16) -> Result<(), BenchFailure> {
    let request = MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
    let reply = line.ask(version, &request).await?;
    reply.read::<MetadataRequest<'_>, _>(MetadataResponse::decode).map(|_| ())
}

/// What the busy connections share.
struct Busy {
    recorder: RefCell<Recorder>,
    /// How each that has ended did so.
    ended: RefCell<Vec<Result<(), BenchFailure>>>,
}

/// The result without what connections cost, and the broker's memory while all of them are there.
async fn measure(
    env: &UringEnvironment,
    lines: Vec<Line>,
    version: i16,
    arguments: &ConnectionsArguments,
    mut result: BenchResult,
) -> Result<(BenchResult, u64), BenchFailure> {
    let count = lines.len();
    let busy = Rc::new(Busy { recorder: RefCell::default(), ended: RefCell::default() });
    let before = CpuReading::take(arguments.target.broker_pid);
    result.times.measured_from_unix_ms = env.wall_clock().0;
    let began = env.now();
    let until = began + Duration::from_secs(u64::from(arguments.seconds));
    for line in lines {
        let (own, busy) = (env.clone(), busy.clone());
        env.spawn(TaskClass::Network, async move {
            let how = keep_asking(&own, line, version, until, &busy).await;
            busy.ended.borrow_mut().push(how);
        });
    }
    env.sleep_until(until).await;
    // Its connections are all still there.
    let with_busy = arguments.target.broker_pid.map_or(0, resident);
    while busy.ended.borrow().len() < count {
        env.sleep_until(env.now() + LOOK).await;
    }
    busy.ended.take().into_iter().collect::<Result<(), _>>()?;
    let recorder = busy.recorder.take();
    let seconds = env.now().since(began).as_secs_f64();
    result.times.measured_to_unix_ms = env.wall_clock().0;
    result.times.ended_unix_ms = result.times.measured_to_unix_ms;
    result.times.measured_seconds = seconds;
    result.throughput.requests = recorder.samples();
    result.throughput.records_per_second = recorder.samples() as f64 / seconds;
    result.latencies.request = recorder.summary();
    result.cpu = CpuReading::take(arguments.target.broker_pid).since(&before, recorder.samples());
    result.verified = recorder.samples() > 0;
    result.verdict = Verdict::Kept;
    result.verdict_words = "every question was answered".to_owned();
    Ok((result, with_busy))
}

async fn keep_asking(
    env: &UringEnvironment,
    mut line: Line,
    version: i16,
    until: Instant,
    busy: &Busy,
) -> Result<(), BenchFailure> {
    while env.now() < until {
        let asked = env.now();
        ask(&mut line, version).await?;
        busy.recorder.borrow_mut().record_ns(env.now().since(asked).as_nanos() as u64);
    }
    Ok(())
}
