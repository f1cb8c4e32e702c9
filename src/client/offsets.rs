//! Where partitions begin and end, and which offset a time stands for.

use std::collections::BTreeMap;

use ringlog_net::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};

use crate::client::cluster::{Cluster, MissingTopics, Target};
use crate::client::failure::ClientFailure;

/// Not a follower.
const CONSUMER: i32 = -1;

/// A partition by its topic's name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PartitionName {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

/// Which offset is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OffsetSpec {
    /// The first one that can be read.
    Earliest,
    /// The one the next record gets.
    Latest,
    /// That of the record with the largest timestamp.
    MaxTimestamp,
    /// The first one at this time (milliseconds since 1970) or later.
    AtTime(i64),
}

impl OffsetSpec {
    fn to_wire(self) -> i64 {
        match self {
            OffsetSpec::Latest => -1,
            OffsetSpec::Earliest => -2,
            OffsetSpec::MaxTimestamp => -3,
            OffsetSpec::AtTime(timestamp) => timestamp,
        }
    }
}

/// An offset, and the timestamp of its record where one was looked for; an offset of `None` is that of no record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FoundOffset {
    /// The offset.
    pub offset: Option<i64>,
    /// The timestamp.
    pub timestamp: Option<i64>,
}

/// Partitions and their leaders, as far as these are known now.
///
/// # Errors
/// [`ClientFailure::NoLeader`], or that a topic or partition does not exist.
pub fn leaders_of(
    cluster: &mut Cluster,
    partitions: &[PartitionName],
) -> Result<BTreeMap<i32, Vec<PartitionName>>, ClientFailure> {
    let mut names: Vec<&str> = partitions.iter().map(|partition| partition.topic.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let metadata = cluster.metadata(Some(&names), MissingTopics::Leave)?;
    let mut by_leader: BTreeMap<i32, Vec<PartitionName>> = BTreeMap::new();
    for name in partitions {
        let partition = metadata.topic(&name.topic)?.partition(name.partition)?;
        let leader = partition.leader.ok_or_else(|| ClientFailure::NoLeader {
            topic: name.topic.clone(),
            partition: name.partition,
        })?;
        by_leader.entry(leader).or_default().push(name.clone());
    }
    Ok(by_leader)
}

/// The offset of each partition that `spec` stands for.
///
/// # Errors
/// [`ClientFailure`]; what may pass by itself was waited for.
pub fn find_offsets(
    cluster: &mut Cluster,
    partitions: &[PartitionName],
    spec: OffsetSpec,
) -> Result<BTreeMap<PartitionName, FoundOffset>, ClientFailure> {
    cluster.patiently(|cluster| {
        let mut found = BTreeMap::new();
        for (leader, led) in leaders_of(cluster, partitions)? {
            ask_leader(cluster, leader, &led, spec, &mut found)?;
        }
        Ok(found)
    })
}

fn ask_leader(
    cluster: &mut Cluster,
    leader: i32,
    partitions: &[PartitionName],
    spec: OffsetSpec,
    found: &mut BTreeMap<PartitionName, FoundOffset>,
) -> Result<(), ClientFailure> {
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for name in partitions {
        let wanted = ListOffsetsPartition {
            partition_index: name.partition,
            timestamp: spec.to_wire(),
            ..ListOffsetsPartition::default()
        };
        topics.entry(&name.topic).or_default().push(wanted);
    }
    let topics = topics.into_iter().map(|(name, partitions)| ListOffsetsTopic { name, partitions });
    let request = ListOffsetsRequest {
        replica_id: CONSUMER,
        topics: topics.collect(),
        timeout_ms: cluster.timeout_ms(),
        ..ListOffsetsRequest::default()
    };
    let answer = cluster.ask(Target::Broker(leader), &request)?;
    for topic in answer.read(ListOffsetsResponse::decode)?.topics {
        for partition in topic.partitions {
            let name = PartitionName { topic: topic.name.to_owned(), partition: partition.partition_index };
            let subject = || format!("partition {} of topic {}", name.partition, name.topic);
            ClientFailure::check(partition.error_code, subject, None)?;
            let known = |number: i64| (number >= 0).then_some(number);
            let offset =
                FoundOffset { offset: known(partition.offset), timestamp: known(partition.timestamp) };
            found.insert(name, offset);
        }
    }
    Ok(())
}
