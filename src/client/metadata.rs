//! What a cluster says of itself: brokers, topics, who leads what.

use std::collections::BTreeMap;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::ids::TopicId;
use ringlog_net::protocol::metadata::{MetadataResponse, MetadataResponsePartition, MetadataResponseTopic};

use crate::client::address::Address;
use crate::client::failure::ClientFailure;

/// A cluster as one of its brokers sees it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClusterMetadata {
    /// The cluster's id, from brokers that tell it.
    pub cluster_id: Option<String>,
    /// Who takes administrative requests, if anybody.
    pub controller_id: Option<i32>,
    /// The brokers, by id.
    pub brokers: BTreeMap<i32, BrokerMetadata>,
    /// The topics asked for, by name; those that do not exist with their error.
    pub topics: Vec<TopicMetadata>,
}

/// A broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerMetadata {
    /// Where it is reached.
    pub address: Address,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

/// A topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicMetadata {
    /// Its name.
    pub name: String,
    /// Its id, from brokers that give ids.
    pub id: Option<TopicId>,
    /// Whether it is the brokers' own.
    pub is_internal: bool,
    /// Kafka's number of what is wrong with it; 0 if nothing is.
    pub error_code: i16,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionMetadata>,
}

/// A partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionMetadata {
    /// Its number.
    pub index: i32,
    /// Who leads it, if anybody does.
    pub leader: Option<i32>,
    /// The leader's term; -1 from brokers that do not tell.
    pub leader_epoch: i32,
    /// Who holds it.
    pub replicas: Vec<i32>,
    /// Who holds all of it.
    pub in_sync_replicas: Vec<i32>,
    /// Who should hold it and is away.
    pub offline_replicas: Vec<i32>,
}

impl ClusterMetadata {
    pub(super) fn of_response(response: &MetadataResponse<'_>) -> ClusterMetadata {
        let brokers = response.brokers.iter().map(|broker| {
            let port = u16::try_from(broker.port).unwrap_or_default();
            let address = Address { host: broker.host.to_owned(), port };
            (broker.node_id, BrokerMetadata { address, rack: broker.rack.map(str::to_owned) })
        });
        let mut topics: Vec<TopicMetadata> = response.topics.iter().map(TopicMetadata::of_response).collect();
        topics.sort_by(|one, other| one.name.cmp(&other.name));
        ClusterMetadata {
            cluster_id: response.cluster_id.map(str::to_owned),
            controller_id: (response.controller_id >= 0).then_some(response.controller_id),
            brokers: brokers.collect(),
            topics,
        }
    }

    /// The one topic that was asked for.
    ///
    /// # Errors
    /// [`ClientFailure::Refused`] if it does not exist or cannot be told about.
    pub fn topic(&self, name: &str) -> Result<&TopicMetadata, ClientFailure> {
        let topic = self.topics.iter().find(|topic| topic.name == name);
        let unknown = ErrorCode::UnknownTopicOrPartition.number();
        let code = topic.map_or(unknown, |topic| topic.error_code);
        ClientFailure::check(code, || format!("topic {name}"), None)?;
        Ok(topic.expect("a topic that is not there was refused"))
    }
}

impl TopicMetadata {
    fn of_response(topic: &MetadataResponseTopic<'_>) -> TopicMetadata {
        let mut partitions: Vec<PartitionMetadata> =
            topic.partitions.iter().map(PartitionMetadata::of_response).collect();
        partitions.sort_by_key(|partition| partition.index);
        let id = TopicId(topic.topic_id.0);
        TopicMetadata {
            name: topic.name.unwrap_or_default().to_owned(),
            id: (id != TopicId::ZERO).then_some(id),
            is_internal: topic.is_internal,
            error_code: topic.error_code,
            partitions,
        }
    }

    /// A partition that must exist.
    ///
    /// # Errors
    /// [`ClientFailure::Refused`] if the topic has fewer partitions.
    pub fn partition(&self, index: i32) -> Result<&PartitionMetadata, ClientFailure> {
        let found = self.partitions.iter().find(|partition| partition.index == index);
        found.ok_or_else(|| {
            let count = self.partitions.len();
            ClientFailure::Refused {
                subject: format!("partition {index} of topic {}", self.name),
                code: ErrorCode::UnknownTopicOrPartition.number(),
                words: Some(format!("the topic has {count} partitions, the first is 0")),
            }
        })
    }

    /// Replicas of each partition, taken from the first.
    pub fn replication_factor(&self) -> usize {
        self.partitions.first().map_or(0, |partition| partition.replicas.len())
    }
}

impl PartitionMetadata {
    fn of_response(partition: &MetadataResponsePartition) -> PartitionMetadata {
        PartitionMetadata {
            index: partition.partition_index,
            leader: (partition.leader_id >= 0).then_some(partition.leader_id),
            leader_epoch: partition.leader_epoch,
            replicas: partition.replica_nodes.clone(),
            in_sync_replicas: partition.isr_nodes.clone(),
            offline_replicas: partition.offline_replicas.clone(),
        }
    }
}
