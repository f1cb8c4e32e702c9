//! `ringlog-bench metadata`: the whole cluster's metadata, one question at a time.

use std::time::Duration;

use ringlog::client::Cluster;
use ringlog::client::cluster::{MissingTopics, pause};
use ringlog_core::error_code::ErrorCode;
use ringlog_net::protocol::metadata::{MetadataRequest, MetadataResponse};
use ringlog_runtime::environment::Environment;
use ringlog_runtime::uring::{UringEnvironment, wall_clock};

use crate::command_line::MetadataArguments;
use crate::cpu::CpuReading;
use crate::failure::BenchFailure;
use crate::latency::Recorder;
use crate::line::Line;
use crate::outcome::{Outcome, blank};
use crate::progress::Progress;
use crate::result::{BenchResult, Verdict};
use crate::setup;
use crate::shard::{on_shard, resolve};

/// A broker may tell of a topic a while after it was made.
const TELLING_LOOK: Duration = Duration::from_millis(250);
const TELLING_LOOKS_MAX: usize = 120;

/// What topics made here are called.
const PREFIX: &str = "bench-metadata-";

/// Runs it.
///
/// # Errors
/// [`BenchFailure`] if nothing could be measured.
pub fn run(arguments: &MetadataArguments) -> Result<Outcome, BenchFailure> {
    let mut result = blank("metadata", arguments);
    result.times.started_unix_ms = wall_clock().0;
    let target = &arguments.target;
    let mut cluster = setup::connect(target)?;
    let version = setup::version_of::<MetadataRequest<'_>>(&mut cluster, 1, i16::MAX)?;
    fill(&mut cluster, arguments)?;
    let mut described = setup::describe(&mut cluster, target, None)?;
    described.partitions = arguments.topic_partitions as usize;
    result.target = Some(described);
    let bootstrap = cluster.connection(ringlog::client::cluster::Target::Any)?.address().clone();
    let address = resolve(&bootstrap)?;
    let (own, given) = (target.own.clone(), arguments.clone());
    let result = on_shard(&own, move |env| async move {
        let line = Line::open(&env, address, setup::timeout(&given.target))?;
        ask(env, line, version, given, result).await
    })??;
    Ok(Outcome { result, logs: Vec::new(), own })
}

/// Makes topics until the cluster has as many partitions; the last may have fewer than the others.
fn fill(cluster: &mut Cluster, arguments: &MetadataArguments) -> Result<(), BenchFailure> {
    let progress = Progress::new(arguments.target.own.quiet);
    let mut count = partitions_told(cluster)?;
    let mut number = 0;
    while count < arguments.topic_partitions {
        let partitions = arguments.partitions_per_topic.min(arguments.topic_partitions - count);
        let name = format!("{PREFIX}{number}");
        number += 1;
        match setup::create(cluster, &name, partitions, 1, &[]) {
            // Counted above.
            Err(BenchFailure::Client(failure)) if failure.code() == Some(ErrorCode::TopicAlreadyExists) => {}
            made => {
                made?;
                count += partitions;
                progress.say(&format!("{count} of {} partitions", arguments.topic_partitions));
            }
        }
    }
    for _ in 0..TELLING_LOOKS_MAX {
        if partitions_told(cluster)? >= arguments.topic_partitions {
            return Ok(());
        }
        pause(TELLING_LOOK);
    }
    Err(BenchFailure::Broker("it does not tell of all topics that were made".to_owned()))
}

fn partitions_told(cluster: &mut Cluster) -> Result<i32, BenchFailure> {
    let metadata = cluster.metadata(None, MissingTopics::Leave)?;
    let whole = metadata.topics.iter().filter(|topic| topic.error_code == 0);
    Ok(whole.map(|topic| topic.partitions.len() as i32).sum())
}

async fn ask(
    env: UringEnvironment,
    mut line: Line,
    version: i16,
    arguments: MetadataArguments,
    mut result: BenchResult,
) -> Result<BenchResult, BenchFailure> {
    let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
    let (mut recorder, mut bytes) = (Recorder::new(), 0);
    let mut fewest = usize::MAX;
    let before = CpuReading::take(arguments.target.broker_pid);
    result.times.measured_from_unix_ms = env.wall_clock().0;
    let began = env.now();
    let until = began + Duration::from_secs(u64::from(arguments.seconds));
    while env.now() < until {
        let asked = env.now();
        let reply = line.ask(version, &request).await?;
        recorder.record_ns(env.now().since(asked).as_nanos() as u64);
        bytes += reply.bytes() as u64;
        let response = reply.read::<MetadataRequest<'_>, _>(MetadataResponse::decode)?;
        let whole = response.topics.iter().filter(|topic| topic.error_code == 0);
        fewest = fewest.min(whole.map(|topic| topic.partitions.len()).sum());
    }
    let seconds = env.now().since(began).as_secs_f64();
    result.times.measured_to_unix_ms = env.wall_clock().0;
    result.times.ended_unix_ms = env.wall_clock().0;
    result.times.measured_seconds = seconds;
    result.throughput.requests = recorder.samples();
    result.throughput.bytes = bytes;
    result.throughput.records_per_second = recorder.samples() as f64 / seconds;
    result.throughput.megabytes_per_second = bytes as f64 / 1e6 / seconds;
    result.latencies.request = recorder.summary();
    result.cpu = CpuReading::take(arguments.target.broker_pid).since(&before, recorder.samples());
    result.verified = fewest >= arguments.topic_partitions as usize;
    (result.verdict, result.verdict_words) = match result.verified {
        true => (Verdict::Kept, format!("every answer told of {fewest} partitions or more")),
        false => {
            let wanted = arguments.topic_partitions;
            let words =
                format!("an answer told of {fewest} partitions, {wanted} were made: the broker is to blame");
            (Verdict::VerificationFailed, words)
        }
    };
    Ok(result)
}
