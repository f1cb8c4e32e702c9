//! `ringlog-bench consume`: a topic from its beginning, as fast as it comes, every record judged.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ringlog_core::time::Instant;
use ringlog_net::protocol::fetch::FetchRequest;
use ringlog_runtime::environment::{Environment, TaskClass};
use ringlog_runtime::uring::{UringEnvironment, wall_clock};

use crate::command_line::ConsumeArguments;
use crate::cpu::CpuReading;
use crate::failure::BenchFailure;
use crate::follower::{FETCH_VERSION, FetchBounds, Fetched, Follower};
use crate::latency::Recorder;
use crate::outcome::{Outcome, blank};
use crate::progress::Progress;
use crate::result::{BenchResult, Times, Verdict};
use crate::setup::{self, Topic};
use crate::shard::on_shard;
use crate::verifier::{Expected, Verifier};

/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// Runs it.
///
/// # Errors
/// [`BenchFailure`] if nothing could be measured.
pub fn run(arguments: &ConsumeArguments) -> Result<Outcome, BenchFailure> {
    let mut result = blank("consume", arguments);
    result.times.started_unix_ms = wall_clock().0;
    let target = &arguments.target;
    let mut cluster = setup::connect(target)?;
    setup::version_of::<FetchRequest<'_>>(&mut cluster, FETCH_VERSION, FETCH_VERSION)?;
    let topic = setup::find(&mut cluster, &arguments.topic)?;
    if topic.earliest == topic.latest {
        let words = format!("topic {} is empty: fill it with `load` or `capacity`", arguments.topic);
        return Err(BenchFailure::Arguments(words));
    }
    result.target = Some(setup::describe(&mut cluster, target, Some(&topic))?);
    let (own, arguments) = (target.own.clone(), arguments.clone());
    let result = on_shard(&own, move |env| read_all(env, arguments, topic, result))??;
    Ok(Outcome { result, logs: Vec::new(), own })
}

/// What all readers note.
struct Reading {
    verifier: RefCell<Verifier>,
    requests: RefCell<Recorder>,
    sum: RefCell<Fetched>,
    left: RefCell<usize>,
    failure: RefCell<Option<BenchFailure>>,
}

async fn read_all(
    env: UringEnvironment,
    arguments: ConsumeArguments,
    topic: Topic,
    mut result: BenchResult,
) -> Result<BenchResult, BenchFailure> {
    let followers = open(&env, &arguments, &topic)?;
    // Where retention was at work a producer's first record is gone: its numbers begin later.
    let expected =
        Expected { begun_late: topic.earliest.iter().any(|offset| *offset > 0), ..Default::default() };
    let reading = Rc::new(Reading {
        verifier: RefCell::new(Verifier::new(expected)),
        requests: RefCell::default(),
        sum: RefCell::default(),
        left: RefCell::new(followers.len()),
        failure: RefCell::default(),
    });
    let (before, began, wall) =
        (CpuReading::take(arguments.target.broker_pid), env.now(), env.wall_clock().0);
    for follower in followers {
        env.spawn(TaskClass::Network, read(env.clone(), reading.clone(), follower, topic.latest.clone()));
    }
    wait(&env, &reading, arguments.target.own.quiet).await;
    let seconds = env.now().since(began).as_secs_f64();
    let reading =
        Rc::try_unwrap(reading).map_err(|_| BenchFailure::Host("a reader did not end".to_owned()))?;
    if let Some(failure) = reading.failure.into_inner() {
        return Err(failure);
    }
    let sum = reading.sum.into_inner();
    result.cpu = CpuReading::take(arguments.target.broker_pid).since(&before, sum.records);
    let now = env.wall_clock().0;
    result.times = Times {
        measured_from_unix_ms: wall,
        measured_to_unix_ms: now,
        ended_unix_ms: now,
        measured_seconds: seconds,
        ..result.times
    };
    let requests = reading.requests.into_inner();
    result.throughput.requests = requests.samples();
    result.throughput.records = sum.records;
    result.throughput.bytes = sum.bytes;
    result.throughput.records_per_second = sum.records as f64 / seconds;
    result.throughput.megabytes_per_second = sum.bytes as f64 / 1e6 / seconds;
    result.latencies.request = requests.summary();
    let found = reading.verifier.into_inner().finish_alone();
    result.verified = found.is_clean() && found.read > 0;
    result.verification = Some(found);
    (result.verdict, result.verdict_words) = match result.verified {
        true => (Verdict::Kept, "every record is one that was sent, once and in order".to_owned()),
        false => {
            (Verdict::VerificationFailed, "the log is not what producers of this program send".to_owned())
        }
    };
    Ok(result)
}

/// Partitions are spread over the connections, those of one leader over connections to it.
fn open(
    env: &UringEnvironment,
    arguments: &ConsumeArguments,
    topic: &Topic,
) -> Result<Vec<Follower>, BenchFailure> {
    let bounds = FetchBounds { bytes: arguments.fetch_bytes, partition_bytes: arguments.partition_bytes };
    let timeout = setup::timeout(&arguments.target);
    let mut followers = Vec::new();
    for (address, partitions) in topic.by_leader() {
        for connection in 0..arguments.connections as usize {
            let mine = partitions.iter().skip(connection).step_by(arguments.connections as usize);
            let positions: Vec<(i32, i64)> =
                mine.map(|partition| (*partition, topic.earliest[*partition as usize])).collect();
            if !positions.is_empty() {
                followers.push(Follower::open(env, address, &topic.name, positions, bounds, timeout)?);
            }
        }
    }
    Ok(followers)
}

async fn read(env: UringEnvironment, reading: Rc<Reading>, mut follower: Follower, ends: Vec<i64>) {
    loop {
        let finished: Vec<i32> = follower
            .positions()
            .iter()
            .filter(|(partition, position)| position.next >= ends[**partition as usize])
            .map(|(partition, _)| *partition)
            .collect();
        finished.into_iter().for_each(|partition| follower.leave(partition));
        if follower.positions().is_empty() {
            break;
        }
        let asked = env.now();
        match follower.fetch(|partition, batch| reading.verifier.borrow_mut().batch(partition, batch)).await {
            Ok(fetched) => note(&reading, &fetched, asked, env.now()),
            Err(failure) => {
                reading.failure.borrow_mut().get_or_insert(failure);
                break;
            }
        }
    }
    *reading.left.borrow_mut() -= 1;
}

fn note(reading: &Reading, fetched: &Fetched, asked: Instant, now: Instant) {
    reading.requests.borrow_mut().record_ns(now.since(asked).as_nanos() as u64);
    let mut sum = reading.sum.borrow_mut();
    sum.batches += fetched.batches;
    sum.records += fetched.records;
    sum.bytes += fetched.bytes;
}

async fn wait(env: &UringEnvironment, reading: &Rc<Reading>, quiet: bool) {
    let progress = Progress::new(quiet);
    let began = env.now();
    let mut told = began;
    while *reading.left.borrow() > 0 && reading.failure.borrow().is_none() {
        env.sleep_until(env.now() + LOOK).await;
        if env.now().since(told) >= Duration::from_secs(1) {
            told = env.now();
            let sum = *reading.sum.borrow();
            let seconds = told.since(began).as_secs_f64();
            progress.say(&format!(
                "{seconds:>4.0} s  {} records, {:.1} MB/s on average",
                sum.records,
                sum.bytes as f64 / 1e6 / seconds
            ));
        }
    }
    // The last reader lets go of what it shares when its task ends.
    while Rc::strong_count(reading) > 1 && reading.failure.borrow().is_none() {
        env.sleep_until(env.now() + LOOK).await;
    }
}
