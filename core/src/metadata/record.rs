//! What the controller writes down: one record per fact, in the order the facts became true.
//!
//! Always true: a variant keeps its place and meaning for ever; new ones are added at the end. Records hold
//! plain integers and strings, so that their stored form does not follow the types of the running broker.

#![allow(missing_docs, reason = "rkyv's derived archived forms have fields without documentation")]

use rkyv::{Archive, Deserialize, Serialize};

/// One fact about the cluster.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum MetadataRecord {
    /// The cluster got its id: the first record of every log.
    ClusterNamed {
        /// 22 characters, as Kafka's `cluster.id`.
        cluster_id: String,
    },
    /// A feature is at this level from here on (KIP-584); level 0 removes it.
    FeatureLevel {
        /// `metadata.version` and the like.
        name: String,
        /// The level all brokers use.
        level: i16,
    },
    /// A broker process joined; it replaces an earlier process of the same broker id.
    BrokerRegistered {
        /// `node.id`.
        broker_id: i32,
        /// Grows with each registration of any broker.
        broker_epoch: i64,
        /// Random, one per process.
        incarnation_id: [u8; 16],
        /// Where clients reach it.
        listeners: Vec<ListenerRecord>,
        /// `broker.rack`.
        rack: Option<String>,
    },
    /// Every partition this broker leads enters its next leader epoch: what it had not synced when it last
    /// stopped may be gone, and readers find out by the epoch (KIP-101).
    LeaderEpochsRaised {
        /// The broker.
        leader: i32,
    },
    /// A topic was created.
    TopicCreated {
        /// Its name, used by no other living topic.
        name: String,
        /// Its id, never used before.
        id: [u8; 16],
        /// For each partition from zero its replicas, the first leading.
        partitions: Vec<Vec<i32>>,
        /// Configuration overrides.
        configs: Vec<(String, String)>,
    },
    /// A topic and all its data are gone.
    TopicDeleted {
        /// Its id.
        id: [u8; 16],
    },
    /// A block of producer ids was given to a broker (KIP-730).
    ProducerIdsAllocated {
        /// Who may use the block.
        broker_id: i32,
        /// The registration it was given to.
        broker_epoch: i64,
        /// The first id after the block.
        next_producer_id: i64,
    },
    /// Configuration overrides of a topic changed.
    TopicConfigsChanged {
        /// Its id.
        id: [u8; 16],
        /// New values, none where an override is gone.
        changes: Vec<(String, Option<String>)>,
    },
    /// Configuration of a broker, or of every broker, changed while it ran.
    BrokerConfigsChanged {
        /// Which broker; none for every one.
        broker_id: Option<i32>,
        /// New values, none where a change is undone.
        changes: Vec<(String, Option<String>)>,
    },
    /// A topic got more partitions.
    PartitionsAdded {
        /// Its id.
        id: [u8; 16],
        /// For each new partition, behind those there were, its replicas, the first leading.
        partitions: Vec<Vec<i32>>,
    },
    /// The partitions of a topic that came from another cluster go on in these leader epochs, above all they had there:
    /// clients that know one of those find out that the leader is another.
    LeaderEpochsTakenOver {
        /// The topic's id.
        id: [u8; 16],
        /// For each partition from zero its epoch.
        epochs: Vec<i32>,
    },
}

/// One address a broker is reached at.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct ListenerRecord {
    /// The listener's name, as in `listeners`.
    pub name: String,
    /// The advertised host.
    pub host: String,
    /// The advertised port.
    pub port: u16,
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    pub security_protocol: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_kind_of_record_leaves_the_stored_size_of_all_others_alone() {
        assert_eq!(
            size_of::<ArchivedMetadataRecord>(),
            56,
            "a log written before could not be read any more"
        );
    }
}
