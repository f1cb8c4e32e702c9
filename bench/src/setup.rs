//! What is done before a measurement, by the blocking client: the topic, its leaders, where its logs end, producer ids.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ringlog::client::cluster::{MissingTopics, Target as Asked};
use ringlog::client::offsets::{OffsetSpec, PartitionName, find_offsets};
use ringlog::client::{ClientFailure, Cluster, ClusterOptions};
use ringlog::commands::arguments::KeyValue;
use ringlog_core::error_code::ErrorCode;
use ringlog_net::protocol::Message;
use ringlog_net::protocol::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use ringlog_net::protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse};
use ringlog_net::protocol::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use crate::command_line::{TargetArguments, TopicArguments};
use crate::cpu;
use crate::failure::BenchFailure;
use crate::result::Target;
use crate::shard::{core, resolve};

/// A topic, ready to be measured.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// The leader's address, by partition.
    pub leaders: Vec<SocketAddr>,
    /// Where each partition's log begins.
    pub earliest: Vec<i64>,
    /// Where each partition's log ends: what lies before is not this run's.
    pub latest: Vec<i64>,
}

impl Topic {
    /// The leaders, each once, with what they lead.
    pub fn by_leader(&self) -> BTreeMap<SocketAddr, Vec<i32>> {
        let mut by_leader: BTreeMap<SocketAddr, Vec<i32>> = BTreeMap::new();
        for (partition, leader) in self.leaders.iter().enumerate() {
            by_leader.entry(*leader).or_default().push(partition as i32);
        }
        by_leader
    }
}

/// Reaches the cluster, once it is clear that what this machine shall do it can.
///
/// # Errors
/// [`BenchFailure`].
pub fn connect(target: &TargetArguments) -> Result<Cluster, BenchFailure> {
    if let Some(pid) = target.broker_pid.filter(|pid| !cpu::exists(*pid)) {
        return Err(BenchFailure::Arguments(format!("--broker-pid {pid}: there is no such process")));
    }
    core(&target.own)?;
    let timeout = timeout(target);
    Ok(Cluster::connect(ClusterOptions { bootstrap: target.bootstrap_server.clone(), timeout })?)
}

/// The longest single wait.
pub fn timeout(target: &TargetArguments) -> Duration {
    Duration::from_millis(u64::from(target.request_timeout_ms))
}

/// What the result says of the cluster.
///
/// # Errors
/// [`BenchFailure`].
pub fn describe(
    cluster: &mut Cluster,
    target: &TargetArguments,
    topic: Option<&Topic>,
) -> Result<Target, BenchFailure> {
    let metadata = cluster.metadata(Some(&[]), MissingTopics::Leave)?;
    Ok(Target {
        bootstrap_servers: target.bootstrap_server.iter().map(ToString::to_string).collect(),
        cluster_id: metadata.cluster_id,
        brokers: metadata.brokers.len(),
        topic: topic.map(|topic| topic.name.clone()),
        partitions: topic.map_or(0, |topic| topic.leaders.len()),
    })
}

/// The newest version of a message that both sides have, not above `max`.
///
/// # Errors
/// [`BenchFailure::Broker`] if there is none that is at least `min`.
pub fn version_of<M: Message>(cluster: &mut Cluster, min: i16, max: i16) -> Result<i16, BenchFailure> {
    let served = cluster.connection(Asked::Any)?.served().get(&(M::API_KEY as i16)).copied();
    let (first, last) = served.map_or((1, 0), |served| (served.first, served.last));
    let version = last.min(max).min(M::VERSIONS.last);
    if version < first.max(min).max(M::VERSIONS.first) {
        return Err(BenchFailure::Broker(format!(
            "it serves {:?} in versions {first} to {last}, this program needs one from {min} to {max}",
            M::API_KEY
        )));
    }
    Ok(version)
}

/// The topic as asked for: made anew, or as it is.
///
/// # Errors
/// [`BenchFailure`].
pub fn prepare(cluster: &mut Cluster, arguments: &TopicArguments) -> Result<Topic, BenchFailure> {
    if arguments.create {
        delete_if_there(cluster, &arguments.topic)?;
        let (partitions, replication) = (arguments.partitions, arguments.replication_factor);
        create(cluster, &arguments.topic, partitions, replication, &arguments.configs)?;
    }
    find(cluster, &arguments.topic)
}

/// The topic with at least as many partitions, made if it does not exist.
///
/// # Errors
/// [`BenchFailure`].
pub fn with_partitions(cluster: &mut Cluster, name: &str, partitions: i32) -> Result<Topic, BenchFailure> {
    match create(cluster, name, partitions, 1, &[]) {
        Err(BenchFailure::Client(failure)) if failure.code() == Some(ErrorCode::TopicAlreadyExists) => {}
        made => made?,
    }
    let topic = find(cluster, name)?;
    if topic.leaders.len() < partitions as usize {
        let count = topic.leaders.len();
        let words = format!("topic {name} exists and has {count} partitions, not {partitions}: name another");
        return Err(BenchFailure::Arguments(words));
    }
    Ok(topic)
}

/// The topic as it is: waits for its leaders.
///
/// # Errors
/// [`BenchFailure`].
pub fn find(cluster: &mut Cluster, name: &str) -> Result<Topic, BenchFailure> {
    let leaders = cluster.patiently(|cluster| {
        let metadata = cluster.metadata(Some(&[name]), MissingTopics::Leave)?;
        let partitions = &metadata.topic(name)?.partitions;
        let mut leaders = Vec::new();
        for partition in partitions {
            let no_leader = ClientFailure::NoLeader { topic: name.to_owned(), partition: partition.index };
            let id = partition.leader.ok_or(no_leader)?;
            let broker = metadata.brokers.get(&id).ok_or(ClientFailure::UnknownBroker { id })?;
            leaders.push(broker.address.clone());
        }
        Ok(leaders)
    })?;
    let leaders = leaders.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
    let (earliest, latest) = (ends(cluster, name, leaders.len(), OffsetSpec::Earliest)?, {
        ends(cluster, name, leaders.len(), OffsetSpec::Latest)?
    });
    Ok(Topic { name: name.to_owned(), leaders, earliest, latest })
}

fn ends(
    cluster: &mut Cluster,
    name: &str,
    partitions: usize,
    spec: OffsetSpec,
) -> Result<Vec<i64>, BenchFailure> {
    let partition = |partition| PartitionName { topic: name.to_owned(), partition: partition as i32 };
    let names: Vec<PartitionName> = (0..partitions).map(partition).collect();
    let found = find_offsets(cluster, &names, spec)?;
    Ok(names.iter().map(|name| found.get(name).and_then(|found| found.offset).unwrap_or(0)).collect())
}

/// Makes a topic.
///
/// # Errors
/// [`BenchFailure`].
pub fn create(
    cluster: &mut Cluster,
    name: &str,
    partitions: i32,
    replication_factor: i16,
    configs: &[KeyValue],
) -> Result<(), BenchFailure> {
    let configs = configs
        .iter()
        .map(|pair| CreatableTopicConfig { name: &pair.key, value: Some(&pair.value) })
        .collect();
    let topic = CreatableTopic {
        name,
        num_partitions: partitions,
        replication_factor,
        configs,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: cluster.timeout_ms(),
        ..CreateTopicsRequest::default()
    };
    // A topic deleted just now may still be on its way out.
    cluster.patiently(|cluster| {
        let answer = cluster.ask_controller(&request)?;
        for topic in answer.read(CreateTopicsResponse::decode)?.topics {
            ClientFailure::check(topic.error_code, || format!("topic {name}"), topic.error_message)?;
        }
        Ok(())
    })?;
    Ok(())
}

fn delete_if_there(cluster: &mut Cluster, name: &str) -> Result<(), BenchFailure> {
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name: Some(name), ..DeleteTopicState::default() }],
        topic_names: vec![name],
        timeout_ms: cluster.timeout_ms(),
    };
    let answer = cluster.ask_controller(&request)?;
    for topic in answer.read(DeleteTopicsResponse::decode)?.responses {
        if topic.error_code != ErrorCode::UnknownTopicOrPartition.number() {
            ClientFailure::check(topic.error_code, || format!("topic {name}"), topic.error_message)?;
        }
    }
    Ok(())
}

/// A producer id and epoch for each of so many producers.
///
/// # Errors
/// [`BenchFailure`].
pub fn producer_ids(cluster: &mut Cluster, count: u64) -> Result<Vec<(i64, i16)>, BenchFailure> {
    let request =
        InitProducerIdRequest { transaction_timeout_ms: i32::MAX, ..InitProducerIdRequest::default() };
    let mut identities = Vec::new();
    for _ in 0..count {
        let identity = cluster.patiently(|cluster| {
            let answer = cluster.ask(Asked::Any, &request)?;
            let response = answer.read(InitProducerIdResponse::decode)?;
            ClientFailure::check(response.error_code, || "a producer id".to_owned(), None)?;
            Ok((response.producer_id, response.producer_epoch))
        })?;
        identities.push(identity);
    }
    Ok(identities)
}
