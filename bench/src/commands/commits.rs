//! `ringlog-bench commits`: offsets of groups, committed as fast as they are acknowledged.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog::client::ClientFailure;
use ringlog::client::Cluster;
use ringlog::client::cluster::Target as Asked;
use ringlog::client::coordinator::{commit_offsets, committed_offsets};
use ringlog::client::offsets::PartitionName;
use ringlog_core::time::Instant;
use ringlog_net::protocol::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use ringlog_net::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use ringlog_runtime::environment::{Environment, TaskClass};
use ringlog_runtime::uring::{UringEnvironment, wall_clock};

use crate::command_line::CommitsArguments;
use crate::cpu::CpuReading;
use crate::failure::{BenchFailure, error_name};
use crate::latency::Recorder;
use crate::line::Line;
use crate::outcome::{Outcome, blank};
use crate::result::{BenchResult, Verdict};
use crate::setup;
use crate::shard::{on_shard, resolve};

/// Later versions name topics by id.
const COMMIT_VERSION_MAX: i16 = 9;

/// From this version on a commit carries what we write.
const COMMIT_VERSION_MIN: i16 = 6;

/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// Runs it.
///
/// # Errors
/// [`BenchFailure`] if nothing could be measured.
pub fn run(arguments: &CommitsArguments) -> Result<Outcome, BenchFailure> {
    let mut result = blank("commits", arguments);
    result.times.started_unix_ms = wall_clock().0;
    let target = &arguments.target;
    let mut cluster = setup::connect(target)?;
    let topic = setup::with_partitions(&mut cluster, &arguments.topic, arguments.partitions)?;
    result.target = Some(setup::describe(&mut cluster, target, Some(&topic))?);
    let version =
        setup::version_of::<OffsetCommitRequest<'_>>(&mut cluster, COMMIT_VERSION_MIN, COMMIT_VERSION_MAX)?;
    let mut groups = Vec::new();
    for number in 0..arguments.groups {
        let name = format!("bench-commits-{number}");
        prime(&mut cluster, &name, &arguments.topic)?;
        groups.push((coordinator(&mut cluster, &name)?, name));
    }
    let (own, given) = (target.own.clone(), arguments.clone());
    let asked = groups.clone();
    let (mut result, last) = on_shard(&own, move |env| commit_all(env, given, version, asked, result))??;
    let lost = compare(&mut cluster, arguments, &groups, &last)?;
    result.verified = lost.is_empty();
    (result.verdict, result.verdict_words) = match lost.first() {
        None => (Verdict::Kept, "the last commit of every group was read back".to_owned()),
        Some(words) => (Verdict::VerificationFailed, words.clone()),
    };
    Ok(Outcome { result, logs: Vec::new(), own })
}

/// Commits once, patiently: a coordinator that has just been found may still be reading its log.
fn prime(cluster: &mut Cluster, group: &str, topic: &str) -> Result<(), BenchFailure> {
    let name = PartitionName { topic: topic.to_owned(), partition: 0 };
    let offsets = BTreeMap::from([(name, 0)]);
    cluster.patiently(|cluster| commit_offsets(cluster, group, &offsets))?;
    Ok(())
}

/// Where a group's coordinator is; waits while there is none yet.
///
/// # Errors
/// [`BenchFailure`].
pub fn coordinator(cluster: &mut Cluster, group: &str) -> Result<SocketAddr, BenchFailure> {
    let request = FindCoordinatorRequest { key: group, key_type: 0, coordinator_keys: vec![group] };
    let address = cluster.patiently(|cluster| {
        let answer = cluster.ask(Asked::Any, &request)?;
        let response = answer.read(FindCoordinatorResponse::decode)?;
        // Until version 3 the answer is about one key, later about a list of them.
        let (code, host, port) = match response.coordinators.first() {
            Some(found) => (found.error_code, found.host, found.port),
            None => (response.error_code, response.host, response.port),
        };
        ClientFailure::check(code, || format!("the coordinator of group {group}"), None)?;
        Ok(ringlog::client::Address { host: host.to_owned(), port: u16::try_from(port).unwrap_or_default() })
    })?;
    resolve(&address)
}

/// What all committers note.
struct Committing {
    recorder: RefCell<Recorder>,
    last: RefCell<Vec<i64>>,
    left: RefCell<u64>,
    failure: RefCell<Option<BenchFailure>>,
}

async fn commit_all(
    env: UringEnvironment,
    arguments: CommitsArguments,
    version: i16,
    groups: Vec<(SocketAddr, String)>,
    mut result: BenchResult,
) -> Result<(BenchResult, Vec<i64>), BenchFailure> {
    let timeout = setup::timeout(&arguments.target);
    let mut lines = Vec::new();
    for (address, _) in &groups {
        lines.push(Line::open(&env, *address, timeout)?);
    }
    let committing = Rc::new(Committing {
        recorder: RefCell::default(),
        last: RefCell::new(vec![-1; groups.len()]),
        left: RefCell::new(arguments.groups),
        failure: RefCell::default(),
    });
    let before = CpuReading::take(arguments.target.broker_pid);
    result.times.measured_from_unix_ms = env.wall_clock().0;
    let began = env.now();
    let until = began + Duration::from_secs(u64::from(arguments.seconds));
    for (number, (line, (_, group))) in lines.into_iter().zip(groups).enumerate() {
        let committer = Committer {
            env: env.clone(),
            line,
            version,
            group,
            number,
            topic: arguments.topic.clone(),
            partitions: arguments.partitions,
        };
        env.spawn(TaskClass::Network, committer.go(committing.clone(), until));
    }
    while *committing.left.borrow() > 0 && committing.failure.borrow().is_none() {
        env.sleep_until(env.now() + LOOK).await;
    }
    if let Some(failure) = committing.failure.borrow_mut().take() {
        return Err(failure);
    }
    let seconds = env.now().since(began).as_secs_f64();
    let recorder = committing.recorder.borrow();
    result.times.measured_to_unix_ms = env.wall_clock().0;
    result.times.ended_unix_ms = env.wall_clock().0;
    result.times.measured_seconds = seconds;
    result.throughput.requests = recorder.samples();
    result.throughput.records_per_second = recorder.samples() as f64 / seconds;
    result.latencies.request = recorder.summary();
    result.cpu = CpuReading::take(arguments.target.broker_pid).since(&before, recorder.samples());
    let last = committing.last.borrow().clone();
    Ok((result, last))
}

/// One group's.
struct Committer {
    env: UringEnvironment,
    line: Line,
    version: i16,
    group: String,
    number: usize,
    topic: String,
    partitions: i32,
}

impl Committer {
    async fn go(mut self, committing: Rc<Committing>, until: Instant) {
        let mut offset = 0;
        while self.env.now() < until && committing.failure.borrow().is_none() {
            let asked = self.env.now();
            if let Err(failure) = self.commit(offset).await {
                committing.failure.borrow_mut().get_or_insert(failure);
                break;
            }
            let latency = self.env.now().since(asked).as_nanos() as u64;
            committing.recorder.borrow_mut().record_ns(latency);
            committing.last.borrow_mut()[self.number] = offset;
            offset += 1;
        }
        *committing.left.borrow_mut() -= 1;
    }

    async fn commit(&mut self, offset: i64) -> Result<(), BenchFailure> {
        let partition = |partition_index| OffsetCommitRequestPartition {
            partition_index,
            committed_offset: offset,
            committed_leader_epoch: -1,
            committed_metadata: Some(""),
        };
        let topic = OffsetCommitRequestTopic {
            name: &self.topic,
            partitions: (0..self.partitions).map(partition).collect(),
            ..OffsetCommitRequestTopic::default()
        };
        let request = OffsetCommitRequest {
            group_id: &self.group,
            topics: vec![topic],
            ..OffsetCommitRequest::default()
        };
        let reply = self.line.ask(self.version, &request).await?;
        let response = reply.read::<OffsetCommitRequest<'_>, _>(OffsetCommitResponse::decode)?;
        let mut answers = response.topics.iter().flat_map(|topic| &topic.partitions);
        match answers.find(|answer| answer.error_code != 0) {
            None => Ok(()),
            Some(refused) => {
                let name = error_name(refused.error_code);
                Err(BenchFailure::Broker(format!("it refused a commit of group {}: {name}", self.group)))
            }
        }
    }
}

/// What groups have committed, against what was acknowledged to them last.
fn compare(
    cluster: &mut Cluster,
    arguments: &CommitsArguments,
    groups: &[(SocketAddr, String)],
    last: &[i64],
) -> Result<Vec<String>, BenchFailure> {
    let mut lost = Vec::new();
    for ((_, group), expected) in groups.iter().zip(last) {
        let committed = committed_offsets(cluster, group)?;
        for partition in 0..arguments.partitions {
            let name = PartitionName { topic: arguments.topic.clone(), partition };
            let found = committed.get(&name).map(|committed| committed.offset);
            if found != Some(*expected) {
                lost.push(format!("group {group}, partition {partition}: {found:?} instead of {expected}"));
            }
        }
    }
    Ok(lost)
}
