//! The same cluster in our own records, and what of it has no place here.
//!
//! Always true: records are made for all topics asked for or for none; a key of a configuration that is not accepted is left out
//! and told, it never costs the topic.

use std::collections::BTreeMap;

use super::image::{KraftImage, KraftTopic};
use super::record::resource_types;
use crate::config::alter::altered_broker;
use crate::config::topic::check_overrides;
use crate::config::{BrokerConfig, ConfigChange, ConfigOperation};
use crate::ids::{BrokerId, PartitionIndex, TopicId, TopicPartition};
use crate::limits::StateLimits;
use crate::metadata::{MetadataImage, MetadataRecord};

/// What is known besides the records of the cluster.
#[derive(Clone, Debug)]
pub struct Successor<'s> {
    /// The id that clients know the cluster by.
    pub cluster_id: &'s str,
    /// The broker that leads everything from now on.
    pub node_id: BrokerId,
    /// What topics inherit.
    pub broker: &'s BrokerConfig,
    /// The newest leader epoch in each log; none of those that have no batches.
    pub epochs: &'s BTreeMap<TopicPartition, i32>,
    /// The first producer id that no log has.
    pub next_producer_id: i64,
}

/// Records to begin a metadata log with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Takeover {
    /// In groups that each fit into one frame.
    pub records: Vec<Vec<MetadataRecord>>,
    /// Configurations that are not accepted.
    pub refused: Vec<Refused>,
}

/// One key of a configuration that is not accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Whose: `topic orders`, `broker 1`, `every broker`.
    pub resource: String,
    /// The key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Why not.
    pub reason: String,
}

/// Makes the records for some topics of a cluster.
///
/// # Errors
/// A sentence that says which topic cannot be taken over, and why.
pub fn take_over(
    image: &KraftImage,
    topics: &[TopicId],
    successor: &Successor<'_>,
) -> Result<Takeover, String> {
    let limits = successor.broker.limits().state;
    let mut takeover = Takeover::default();
    let cluster_id = successor.cluster_id.to_owned();
    takeover.records.push(vec![MetadataRecord::ClusterNamed { cluster_id }]);
    takeover.brokers(image, successor, &limits);
    for id in topics {
        let topic = image.topics.get(id).ok_or_else(|| format!("there is no topic {id}"))?;
        takeover.topic(image, *id, topic, successor, &limits)?;
    }
    let next_producer_id = image.next_producer_id.max(successor.next_producer_id);
    if next_producer_id > 0 {
        let broker_id = successor.node_id.0;
        let record = MetadataRecord::ProducerIdsAllocated { broker_id, broker_epoch: 0, next_producer_id };
        takeover.records.push(vec![record]);
    }
    let replayed = MetadataImage::from_records(takeover.records.iter().flatten());
    let replayed = replayed.map_err(|fault| fault.reason)?;
    if replayed.topic_count() > limits.topics_max || replayed.partition_count() > limits.partitions_max {
        return Err(format!(
            "{} topics with {} partitions, where {} and {} are allowed: choose some with --topics",
            replayed.topic_count(),
            replayed.partition_count(),
            limits.topics_max,
            limits.partitions_max
        ));
    }
    Ok(takeover)
}

impl Takeover {
    /// What was changed of brokers while they ran.
    fn brokers(&mut self, image: &KraftImage, successor: &Successor<'_>, limits: &StateLimits) {
        let node_id = successor.node_id.0;
        for (name, broker_id) in [(String::new(), None), (node_id.to_string(), Some(node_id))] {
            let resource = broker_id.map_or("every broker".to_owned(), |id| format!("broker {id}"));
            let mut accepted = BTreeMap::new();
            for (key, value) in image.configs_of(resource_types::BROKER, &name) {
                let set = ConfigOperation::Set(Some(value.clone()));
                let change = ConfigChange::Update(vec![(key.clone(), set)]);
                match altered_broker(&accepted, &change, limits) {
                    Ok(next) => accepted = next,
                    Err(refusal) => self.refuse(&resource, key, value, &refusal),
                }
            }
            if !accepted.is_empty() {
                let changes = accepted.into_iter().map(|(key, value)| (key, Some(value))).collect();
                self.records.push(vec![MetadataRecord::BrokerConfigsChanged { broker_id, changes }]);
            }
        }
    }

    fn topic(
        &mut self,
        image: &KraftImage,
        id: TopicId,
        topic: &KraftTopic,
        successor: &Successor<'_>,
        limits: &StateLimits,
    ) -> Result<(), String> {
        let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        if count == 0 || topic.partitions.keys().copied().ne(0..count) {
            return Err(format!("topic {} has no partitions, or one of them is missing", topic.name));
        }
        let epochs = topic.partitions.iter().map(|(index, partition)| {
            let log = TopicPartition { topic: id, partition: PartitionIndex(*index) };
            let of_batches = successor.epochs.get(&log).copied().unwrap_or(-1);
            partition.leader_epoch.max(of_batches).saturating_add(1).max(0)
        });
        let epochs = epochs.collect();
        let configs = self.accepted(image, &topic.name, successor.broker, limits);
        self.records.push(vec![
            MetadataRecord::TopicCreated {
                name: topic.name.clone(),
                id: id.0,
                partitions: vec![vec![successor.node_id.0]; topic.partitions.len()],
                configs,
            },
            MetadataRecord::LeaderEpochsTakenOver { id: id.0, epochs },
        ]);
        Ok(())
    }

    /// The overrides of a topic that are accepted, each judged with those before it.
    fn accepted(
        &mut self,
        image: &KraftImage,
        topic: &str,
        broker: &BrokerConfig,
        limits: &StateLimits,
    ) -> Vec<(String, String)> {
        let mut accepted = BTreeMap::new();
        for (key, value) in image.configs_of(resource_types::TOPIC, topic) {
            let before = accepted.iter().map(|(key, value): (&String, &String)| (key.clone(), value.clone()));
            let given: Vec<_> =
                before.chain([(key.clone(), value.clone())]).map(|(key, value)| (key, Some(value))).collect();
            match check_overrides(broker, &given, limits) {
                Ok(next) => accepted = next,
                Err(refusal) => self.refuse(&format!("topic {topic}"), key, value, &refusal),
            }
        }
        accepted.into_iter().collect()
    }

    fn refuse(&mut self, resource: &str, key: String, value: String, refusal: &crate::refusal::Refusal) {
        let (resource, reason) = (resource.to_owned(), refusal.to_string());
        self.refused.push(Refused { resource, key, value, reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kraft::record::{KraftRecord, PartitionState};

    const ID: TopicId = TopicId([5; 16]);

    fn image(records: &[KraftRecord]) -> KraftImage {
        let mut image = KraftImage::default();
        records.iter().for_each(|record| image.apply(record).unwrap());
        image
    }

    fn topic(name: &str) -> KraftRecord {
        KraftRecord::Topic { name: name.to_owned(), id: ID }
    }

    fn partition(index: i32, leader_epoch: i32) -> KraftRecord {
        let state = PartitionState { replicas: vec![4], leader_epoch, ..PartitionState::default() };
        KraftRecord::Partition { topic: ID, index, state }
    }

    fn config(resource_type: i8, resource: &str, key: &str, value: &str) -> KraftRecord {
        KraftRecord::Config {
            resource_type,
            resource: resource.to_owned(),
            key: key.to_owned(),
            value: Some(value.to_owned()),
        }
    }

    fn taken(image: &KraftImage, epochs: &[(i32, i32)], next_producer_id: i64) -> Result<Takeover, String> {
        let (broker, _) = BrokerConfig::from_properties("").unwrap();
        let log = |index: &i32| TopicPartition { topic: ID, partition: PartitionIndex(*index) };
        let epochs = epochs.iter().map(|(index, epoch)| (log(index), *epoch)).collect();
        let successor = Successor {
            cluster_id: "AAAAAAAAAAAAAAAAAAAAAA",
            node_id: BrokerId(4),
            broker: &broker,
            epochs: &epochs,
            next_producer_id,
        };
        take_over(image, &[ID], &successor)
    }

    #[test]
    fn partitions_go_on_in_an_epoch_above_those_of_the_cluster_and_of_their_batches() {
        let image = image(&[topic("orders"), partition(0, 6), partition(1, 2)]);
        let takeover = taken(&image, &[(1, 9)], 12).unwrap();
        let replayed = MetadataImage::from_records(takeover.records.iter().flatten()).unwrap();
        let orders = replayed.topic("orders").unwrap();
        let epochs: Vec<_> = orders.partitions.iter().map(|partition| partition.leader_epoch.0).collect();
        assert_eq!((epochs, orders.id), (vec![7, 10], ID));
        assert_eq!(orders.partitions[0].leader, Some(BrokerId(4)));
        assert_eq!((&**replayed.cluster_id(), replayed.next_producer_id().0), ("AAAAAAAAAAAAAAAAAAAAAA", 12));
    }

    #[test]
    fn a_config_that_is_not_accepted_is_told_and_the_others_are_taken() {
        let image = image(&[
            topic("orders"),
            partition(0, 0),
            config(2, "orders", "retention.ms", "1000"),
            config(2, "orders", "no.such.key", "1"),
            config(4, "", "log.retention.ms", "5000"),
            config(4, "4", "num.io.threads.of.another.world", "7"),
        ]);
        let takeover = taken(&image, &[], 0).unwrap();
        let replayed = MetadataImage::from_records(takeover.records.iter().flatten()).unwrap();
        let configs = &replayed.topic("orders").unwrap().configs;
        assert_eq!(configs.iter().collect::<Vec<_>>(), [(&"retention.ms".to_owned(), &"1000".to_owned())]);
        assert_eq!(replayed.broker_configs(None).get("log.retention.ms"), Some(&"5000".to_owned()));
        let refused: Vec<_> = takeover.refused.iter().map(|one| (&one.resource[..], &one.key[..])).collect();
        assert_eq!(
            refused,
            [("broker 4", "num.io.threads.of.another.world"), ("topic orders", "no.such.key")]
        );
    }

    #[test]
    fn a_topic_with_a_hole_in_its_partitions_is_refused() {
        let holed = image(&[topic("orders"), partition(0, 0), partition(2, 0)]);
        assert!(taken(&holed, &[], 0).unwrap_err().contains("topic orders"));
        assert!(taken(&image(&[]), &[], 0).unwrap_err().contains("there is no topic"));
    }

    #[test]
    fn the_configuration_of_a_topic_ends_with_it() {
        let again = [
            topic("orders"),
            partition(0, 0),
            config(2, "orders", "retention.ms", "1000"),
            KraftRecord::RemoveTopic { id: ID },
            topic("orders"),
            partition(0, 0),
        ];
        let takeover = taken(&image(&again), &[], 0).unwrap();
        let replayed = MetadataImage::from_records(takeover.records.iter().flatten()).unwrap();
        assert!(replayed.topic("orders").unwrap().configs.is_empty());
    }
}
