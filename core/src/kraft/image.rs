//! What the records of a metadata log add up to.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{Beside, KraftFault, KraftRecord, PartitionState};
use crate::ids::TopicId;

/// A cluster after some number of records.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct KraftImage {
    /// By id.
    pub topics: BTreeMap<TopicId, KraftTopic>,
    /// Configurations by kind and name of what they belong to.
    pub configs: BTreeMap<(i8, String), BTreeMap<String, String>>,
    /// The first producer id that was not given away.
    pub next_producer_id: i64,
    /// What has no place here.
    pub beside: BTreeMap<Beside, BTreeSet<Vec<u8>>>,
}

/// A topic.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KraftTopic {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: BTreeMap<i32, KraftPartition>,
}

/// A partition.
pub type KraftPartition = PartitionState;

impl KraftImage {
    /// Takes over what a record says. Transactions are for whoever reads the log.
    ///
    /// # Errors
    /// [`KraftFault::OutOfPlace`] for a record that does not fit.
    pub fn apply(&mut self, record: &KraftRecord) -> Result<(), KraftFault> {
        match record {
            KraftRecord::Topic { name, id } => {
                let topic = KraftTopic { name: name.clone(), partitions: BTreeMap::new() };
                self.topics.insert(*id, topic);
            }
            KraftRecord::Partition { topic, index, state } => {
                self.topic(*topic)?.partitions.insert(*index, state.clone());
            }
            KraftRecord::PartitionChange { topic, index, change } => {
                let partitions = &mut self.topic(*topic)?.partitions;
                let partition = partitions.get_mut(index).ok_or_else(|| KraftFault::OutOfPlace {
                    reason: format!("partition {index} of topic {topic} changes before it is there"),
                })?;
                partition.apply(change);
            }
            KraftRecord::Config { resource_type, resource, key, value } => {
                self.configure(*resource_type, resource, key, value.as_deref());
            }
            KraftRecord::RemoveTopic { id } => {
                let name = self.topic(*id)?.name.clone();
                self.topics.remove(id);
                self.configs.remove(&(super::record::resource_types::TOPIC, name));
            }
            KraftRecord::ProducerIds { next } => self.next_producer_id = *next,
            KraftRecord::Beside { kind, identity, is_there } => {
                let known = self.beside.entry(*kind).or_default();
                match is_there {
                    true => known.insert(identity.clone()),
                    false => known.remove(identity),
                };
            }
            KraftRecord::BeginTransaction
            | KraftRecord::EndTransaction
            | KraftRecord::AbortTransaction
            | KraftRecord::Passed { .. } => {}
        }
        Ok(())
    }

    /// The configuration of a resource.
    pub fn configs_of(&self, resource_type: i8, resource: &str) -> BTreeMap<String, String> {
        self.configs.get(&(resource_type, resource.to_owned())).cloned().unwrap_or_default()
    }

    fn topic(&mut self, id: TopicId) -> Result<&mut KraftTopic, KraftFault> {
        self.topics.get_mut(&id).ok_or_else(|| KraftFault::OutOfPlace {
            reason: format!("a record is about topic {id}, which is not there"),
        })
    }

    fn configure(&mut self, resource_type: i8, resource: &str, key: &str, value: Option<&str>) {
        let name = (resource_type, resource.to_owned());
        let configs = self.configs.entry(name.clone()).or_default();
        match value {
            Some(value) => configs.insert(key.to_owned(), value.to_owned()),
            None => configs.remove(key),
        };
        if configs.is_empty() {
            self.configs.remove(&name);
        }
    }
}
