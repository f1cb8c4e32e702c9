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
            KraftRecord::EligibleCleared { topic } => {
                let cleared = self.topics.values_mut().filter(|one| topic.is_empty() || one.name == *topic);
                let mut cleared = cleared.peekable();
                if cleared.peek().is_none() && !topic.is_empty() {
                    let reason = format!("a record is about topic {topic}, which is not there");
                    return Err(KraftFault::OutOfPlace { reason });
                }
                cleared.flat_map(|one| one.partitions.values_mut()).for_each(|one| one.eligible.clear());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_eligible_any_more_in_a_topic_or_in_all_once_that_is_cleared() {
        let eligible_after = |cleared: &[u8]| {
            let mut image = KraftImage::default();
            for (name, id) in [("clicks", TopicId([1; 16])), ("orders", TopicId([2; 16]))] {
                image.apply(&KraftRecord::Topic { name: name.to_owned(), id }).unwrap();
                for index in 0..2 {
                    let state = PartitionState { eligible: vec![1], ..PartitionState::default() };
                    image.apply(&KraftRecord::Partition { topic: id, index, state }).unwrap();
                }
            }
            let name_length = u8::try_from(cleared.len()).unwrap() + 1;
            let frame = [&[1, 28, 0, name_length][..], cleared, &[0]].concat();
            image.apply(&KraftRecord::parse(&frame).unwrap()).unwrap();
            let partitions = image.topics.values().flat_map(|topic| topic.partitions.values());
            partitions.map(|partition| partition.eligible.len()).collect::<Vec<_>>()
        };
        assert_eq!(eligible_after(b"orders"), [1, 1, 0, 0]);
        assert_eq!(eligible_after(b""), [0; 4]);
        let topic = "gone".to_owned();
        KraftImage::default().apply(&KraftRecord::EligibleCleared { topic }).unwrap_err();
        KraftImage::default().apply(&KraftRecord::EligibleCleared { topic: String::new() }).unwrap();
    }
}
