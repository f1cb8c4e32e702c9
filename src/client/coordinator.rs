//! Who coordinates a group, and how far the group has read.
//!
//! ```text
//!   group ── FindCoordinator ──► broker ── OffsetFetch, OffsetCommit ──► offsets by partition
//! ```

use std::collections::BTreeMap;

use ringlog_net::protocol::Message;
use ringlog_net::protocol::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use ringlog_net::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use ringlog_net::protocol::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse};

use crate::client::address::Address;
use crate::client::cluster::{Cluster, Target};
use crate::client::connection::Answer;
use crate::client::failure::ClientFailure;
use crate::client::offsets::PartitionName;

/// Kafka's number for groups among what is coordinated.
const GROUP_KEY_TYPE: i8 = 0;

/// Later versions name topics by id.
const OFFSETS_BY_NAME_VERSION_MAX: i16 = 9;

/// Nobody's generation: a commit from outside of the group, which must have no members.
const OUTSIDE: i32 = -1;

/// How far a group has read one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: i64,
    /// In which leader epoch the record before it was; -1 if unknown.
    pub leader_epoch: i32,
    /// What the group's consumers noted with it.
    pub metadata: String,
}

/// Asks a group's coordinator; waits while there is none yet.
///
/// # Errors
/// [`ClientFailure`].
pub fn ask_coordinator<M: Message>(
    cluster: &mut Cluster,
    group: &str,
    version_max: i16,
    request: &M,
) -> Result<Answer, ClientFailure> {
    let coordinator = cluster.patiently(|cluster| find_coordinator(cluster, group))?;
    cluster.ask_up_to(Target::Broker(coordinator), version_max, request)
}

fn find_coordinator(cluster: &mut Cluster, group: &str) -> Result<i32, ClientFailure> {
    let request =
        FindCoordinatorRequest { key: group, key_type: GROUP_KEY_TYPE, coordinator_keys: vec![group] };
    let answer = cluster.ask(Target::Any, &request)?;
    let response = answer.read(FindCoordinatorResponse::decode)?;
    // Until version 3 the answer is about one key, later about a list of them.
    let found = match response.coordinators.first() {
        Some(found) => (found.error_code, found.error_message, found.node_id, found.host, found.port),
        None => (response.error_code, response.error_message, response.node_id, response.host, response.port),
    };
    let (error_code, words, id, host, port) = found;
    ClientFailure::check(error_code, || format!("group {group}"), words)?;
    let address = Address { host: host.to_owned(), port: u16::try_from(port).unwrap_or_default() };
    cluster.remember(std::iter::once((id, address)));
    Ok(id)
}

/// All offsets that a group has committed.
///
/// # Errors
/// [`ClientFailure`].
pub fn committed_offsets(
    cluster: &mut Cluster,
    group: &str,
) -> Result<BTreeMap<PartitionName, CommittedOffset>, ClientFailure> {
    let request = OffsetFetchRequest {
        group_id: group,
        topics: None,
        groups: vec![OffsetFetchRequestGroup {
            group_id: group,
            topics: None,
            ..OffsetFetchRequestGroup::default()
        }],
        require_stable: false,
    };
    cluster.patiently(|cluster| {
        let answer = ask_coordinator(cluster, group, OFFSETS_BY_NAME_VERSION_MAX, &request)?;
        let response = answer.read(OffsetFetchResponse::decode)?;
        read_committed(group, &response)
    })
}

fn read_committed(
    group: &str,
    response: &OffsetFetchResponse<'_>,
) -> Result<BTreeMap<PartitionName, CommittedOffset>, ClientFailure> {
    let mut committed = BTreeMap::new();
    let mut note =
        |topic: &str, partition: i32, error: i16, offset: i64, leader_epoch: i32, metadata: Option<&str>| {
            ClientFailure::check(
                error,
                || format!("partition {partition} of topic {topic} in group {group}"),
                None,
            )?;
            if offset >= 0 {
                let name = PartitionName { topic: topic.to_owned(), partition };
                let metadata = metadata.unwrap_or_default().to_owned();
                committed.insert(name, CommittedOffset { offset, leader_epoch, metadata });
            }
            Ok::<_, ClientFailure>(())
        };
    ClientFailure::check(response.error_code, || format!("group {group}"), None)?;
    for topic in &response.topics {
        for found in &topic.partitions {
            let (offset, epoch) = (found.committed_offset, found.committed_leader_epoch);
            note(topic.name, found.partition_index, found.error_code, offset, epoch, found.metadata)?;
        }
    }
    for answered in &response.groups {
        ClientFailure::check(answered.error_code, || format!("group {group}"), None)?;
        for topic in &answered.topics {
            for found in &topic.partitions {
                let (offset, epoch) = (found.committed_offset, found.committed_leader_epoch);
                note(topic.name, found.partition_index, found.error_code, offset, epoch, found.metadata)?;
            }
        }
    }
    Ok(committed)
}

/// Commits offsets for a group without being its member.
///
/// # Errors
/// [`ClientFailure`]; a group with members refuses.
pub fn commit_offsets(
    cluster: &mut Cluster,
    group: &str,
    offsets: &BTreeMap<PartitionName, i64>,
) -> Result<(), ClientFailure> {
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition<'_>>> = BTreeMap::new();
    for (name, offset) in offsets {
        let commit = OffsetCommitRequestPartition {
            partition_index: name.partition,
            committed_offset: *offset,
            committed_leader_epoch: -1,
            committed_metadata: Some(""),
        };
        topics.entry(&name.topic).or_default().push(commit);
    }
    let topics = topics.into_iter().map(|(name, partitions)| OffsetCommitRequestTopic {
        name,
        partitions,
        ..OffsetCommitRequestTopic::default()
    });
    let request = OffsetCommitRequest {
        group_id: group,
        generation_id_or_member_epoch: OUTSIDE,
        topics: topics.collect(),
        ..OffsetCommitRequest::default()
    };
    let answer = ask_coordinator(cluster, group, OFFSETS_BY_NAME_VERSION_MAX, &request)?;
    for topic in answer.read(OffsetCommitResponse::decode)?.topics {
        for partition in topic.partitions {
            let subject =
                || format!("group {group}, partition {} of topic {}", partition.partition_index, topic.name);
            ClientFailure::check(partition.error_code, subject, None)?;
        }
    }
    Ok(())
}
