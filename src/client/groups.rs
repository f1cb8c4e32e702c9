//! Which groups there are, and what they are doing.

use std::collections::BTreeMap;

use ringlog_core::error_code::ErrorCode;
use ringlog_net::protocol::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use ringlog_net::protocol::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroupMember,
};
use ringlog_net::protocol::list_groups::{ListGroupsRequest, ListGroupsResponse};
use ringlog_net::protocol::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic, OffsetDeleteResponse,
};
use ringlog_net::protocol::{DecodeError, Decoder};

use crate::client::cluster::{Cluster, MissingTopics, Target};
use crate::client::coordinator::ask_coordinator;
use crate::client::failure::ClientFailure;
use crate::client::offsets::PartitionName;

/// A group as its coordinator lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedGroup {
    /// Its name.
    pub group: String,
    /// `Stable`, `Empty` and so on; empty from brokers that do not tell.
    pub state: String,
    /// `classic`, `consumer` and so on; empty from brokers that do not tell.
    pub kind: String,
    /// What its members speak among themselves: `consumer` for consumers.
    pub protocol_type: String,
}

/// A group as its coordinator describes it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DescribedGroup {
    /// `Stable`, `Empty` and so on; `Dead` if there is none of this name.
    pub state: String,
    /// How partitions are dealt out.
    pub assignor: String,
    /// Who takes part.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupMember {
    /// Its id.
    pub member_id: String,
    /// Its name across restarts, if it has one.
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it is.
    pub host: String,
    /// What was assigned to it; empty if it is no consumer, or if nothing was.
    pub partitions: Vec<PartitionName>,
}

/// Asks every broker for the groups it coordinates.
///
/// # Errors
/// [`ClientFailure`].
pub fn list_groups(cluster: &mut Cluster) -> Result<Vec<ListedGroup>, ClientFailure> {
    let brokers = cluster.metadata(Some(&[]), MissingTopics::Leave)?.brokers;
    let mut groups = Vec::new();
    for id in brokers.keys() {
        let answer = cluster.ask(Target::Broker(*id), &ListGroupsRequest::default())?;
        let response = answer.read(ListGroupsResponse::decode)?;
        ClientFailure::check(response.error_code, || format!("broker {id}"), None)?;
        groups.extend(response.groups.iter().map(|group| ListedGroup {
            group: group.group_id.to_owned(),
            state: group.group_state.to_owned(),
            kind: group.group_type.to_owned(),
            protocol_type: group.protocol_type.to_owned(),
        }));
    }
    groups.sort_by(|one, other| one.group.cmp(&other.group));
    Ok(groups)
}

/// Asks a group's coordinator about it. A name without a group is one in state `Dead`.
///
/// # Errors
/// [`ClientFailure`].
pub fn describe_group(cluster: &mut Cluster, group: &str) -> Result<DescribedGroup, ClientFailure> {
    let request = DescribeGroupsRequest { groups: vec![group], ..DescribeGroupsRequest::default() };
    let answer = ask_coordinator(cluster, group, i16::MAX, &request)?;
    let response = answer.read(DescribeGroupsResponse::decode)?;
    let Some(described) = response.groups.first() else { return Ok(DescribedGroup::default()) };
    if described.error_code == ErrorCode::GroupIdNotFound.number() {
        return Ok(DescribedGroup { state: "Dead".to_owned(), ..DescribedGroup::default() });
    }
    ClientFailure::check(described.error_code, || format!("group {group}"), described.error_message)?;
    Ok(DescribedGroup {
        state: described.group_state.to_owned(),
        assignor: described.protocol_data.to_owned(),
        members: described.members.iter().map(GroupMember::of_response).collect(),
    })
}

impl GroupMember {
    fn of_response(member: &DescribedGroupMember<'_>) -> GroupMember {
        GroupMember {
            member_id: member.member_id.to_owned(),
            instance_id: member.group_instance_id.map(str::to_owned),
            client_id: member.client_id.to_owned(),
            host: member.client_host.to_owned(),
            partitions: assigned_partitions(member.member_assignment).unwrap_or_default(),
        }
    }
}

/// Reads what consumers' leaders deal out: a version, then topics with their partitions, in the old encoding.
fn assigned_partitions(bytes: &[u8]) -> Result<Vec<PartitionName>, DecodeError> {
    const TOPIC_BYTES_MIN: usize = 6;
    const PARTITION_BYTES: usize = 4;
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut decoder = Decoder::new(bytes);
    let _version: [u8; 2] = decoder.take_array()?;
    let topic_count = count(&mut decoder)?;
    // Says no where the bytes cannot hold as many: nothing is reserved for a count alone.
    decoder.list::<()>(topic_count, TOPIC_BYTES_MIN)?;
    let mut partitions = Vec::new();
    for _ in 0..topic_count {
        let length = usize::from(u16::from_be_bytes(decoder.take_array()?));
        let topic = decoder.text(length)?;
        let partition_count = count(&mut decoder)?;
        decoder.list::<()>(partition_count, PARTITION_BYTES)?;
        for _ in 0..partition_count {
            let partition = i32::from_be_bytes(decoder.take_array()?);
            partitions.push(PartitionName { topic: topic.to_owned(), partition });
        }
    }
    partitions.sort();
    Ok(partitions)
}

/// A count; a negative one stands for none.
fn count(decoder: &mut Decoder<'_>) -> Result<usize, DecodeError> {
    Ok(usize::try_from(i32::from_be_bytes(decoder.take_array()?)).unwrap_or_default())
}

/// Deletes a group that has no members, with its offsets.
///
/// # Errors
/// [`ClientFailure`].
pub fn delete_group(cluster: &mut Cluster, group: &str) -> Result<(), ClientFailure> {
    let answer =
        ask_coordinator(cluster, group, i16::MAX, &DeleteGroupsRequest { groups_names: vec![group] })?;
    for result in answer.read(DeleteGroupsResponse::decode)?.results {
        ClientFailure::check(result.error_code, || format!("group {group}"), None)?;
    }
    Ok(())
}

/// Deletes offsets of a group, for topics that it is not subscribed to.
///
/// # Errors
/// [`ClientFailure`].
pub fn delete_offsets(
    cluster: &mut Cluster,
    group: &str,
    partitions: &[PartitionName],
) -> Result<(), ClientFailure> {
    let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
    for name in partitions {
        let partition = OffsetDeleteRequestPartition { partition_index: name.partition };
        topics.entry(&name.topic).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(name, partitions)| OffsetDeleteRequestTopic { name, partitions });
    let request = OffsetDeleteRequest { group_id: group, topics: topics.collect() };
    let answer = ask_coordinator(cluster, group, i16::MAX, &request)?;
    let response = answer.read(OffsetDeleteResponse::decode)?;
    ClientFailure::check(response.error_code, || format!("group {group}"), None)?;
    for topic in response.topics {
        for partition in topic.partitions {
            let subject =
                || format!("group {group}, partition {} of topic {}", partition.partition_index, topic.name);
            ClientFailure::check(partition.error_code, subject, None)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_as_consumers_write_it() {
        let bytes = b"\x00\x01\x00\x00\x00\x01\x00\x02ab\x00\x00\x00\x02\x00\x00\x00\x07\x00\x00\x00\x03\xff\xff\xff\xff";
        let partition = |partition| PartitionName { topic: "ab".to_owned(), partition };
        assert_eq!(assigned_partitions(bytes), Ok(vec![partition(3), partition(7)]));
        assert_eq!(assigned_partitions(b""), Ok(vec![]));
    }

    #[test]
    fn an_assignment_that_announces_too_much_reserves_nothing() {
        for bytes in
            [&b"\x00\x00\x7f\xff\xff\xff"[..], b"\x00\x00\x00\x00\x00\x01\x00\x01a\x7f\xff\xff\xff", b"\x00"]
        {
            assert!(assigned_partitions(bytes).is_err(), "{bytes:?}");
        }
    }
}
