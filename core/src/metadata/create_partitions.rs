//! The controller's decision about more partitions for topics there are. Partitions are added, never taken away.

use std::collections::BTreeSet;
use std::ops::Range;

use super::controller::{
    CommandReply, CreationRules, Decision, check_partition_room, check_replicas, laid_out, refused, repeated,
};
use super::image::{MetadataImage, TopicImage};
use super::record::MetadataRecord;
use crate::limits::StateLimits;
use crate::refusal::Refusal;

/// How many partitions a topic shall have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CreatePartitions {
    /// The topic's name.
    pub name: String,
    /// How many, with those there are.
    pub count: i32,
    /// The replicas of each new partition, where the client places them itself.
    pub assignments: Option<Vec<Vec<i32>>>,
}

pub(super) fn create_partitions(
    image: &MetadataImage,
    rules: &CreationRules<'_>,
    topics: Vec<CreatePartitions>,
    validate_only: bool,
) -> Decision {
    let partitions_asked: usize = topics.iter().map(|topic| partitions_wanted(image, topic)).sum();
    if partitions_asked > rules.limits.partitions_per_request_max {
        let most = rules.limits.partitions_per_request_max;
        let reason = format!("{partitions_asked} partitions in one request, where {most} are allowed");
        return refused(Refusal::LimitReached { reason });
    }
    let twice = repeated(topics.iter().map(|topic| topic.name.clone()));
    let mut next = image.clone();
    let mut records = Vec::new();
    let mut results = Vec::with_capacity(topics.len());
    let mut answered = BTreeSet::new();
    for topic in topics {
        if twice.contains(&topic.name) {
            if answered.insert(topic.name.clone()) {
                results.push((topic.name, Err(Refusal::invalid_request("the topic is named twice"))));
            }
            continue;
        }
        let result = add(&next, rules.limits, &topic).map(|record| {
            next = next.replay(&record);
            records.push(record);
        });
        results.push((topic.name, result));
    }
    if validate_only {
        records.clear();
    }
    Decision { records, reply: CommandReply::PartitionsCreated(results) }
}

fn partitions_wanted(image: &MetadataImage, asked: &CreatePartitions) -> usize {
    let present = image.topic(&asked.name).map_or(0, |topic| topic.partitions.len());
    usize::try_from(asked.count).unwrap_or(0).saturating_sub(present)
}

fn add(
    image: &MetadataImage,
    limits: &StateLimits,
    asked: &CreatePartitions,
) -> Result<MetadataRecord, Refusal> {
    let topic = image.topic(&asked.name).ok_or(Refusal::UnknownTopicOrPartition)?;
    if topic.is_internal() {
        // Groups find their partition by its number of partitions: their offsets would be out of sight.
        return Err(Refusal::InternalTopic);
    }
    let added = added(topic, asked.count)?;
    check_partition_room(image, limits, added.len(), added.end)?;
    let partitions = match &asked.assignments {
        Some(assignments) => check_assignments(image, topic, &added, assignments)?,
        None => {
            let brokers: Vec<i32> = image.brokers().map(|broker| broker.id.0).collect();
            let replica_count = topic.replication_factor();
            if replica_count > brokers.len() {
                let reason = format!("{replica_count} replicas on {} broker(s)", brokers.len());
                return Err(Refusal::InvalidReplicationFactor { reason });
            }
            laid_out(&brokers, added, replica_count)
        }
    };
    Ok(MetadataRecord::PartitionsAdded { id: topic.id.0, partitions })
}

/// The indexes of the new partitions.
fn added(topic: &TopicImage, count: i32) -> Result<Range<usize>, Refusal> {
    let present = topic.partitions.len();
    match usize::try_from(count) {
        Ok(count) if count > present => Ok(present..count),
        _ => {
            let name = &topic.name;
            let reason = format!("topic {name} has {present} partition(s); {count} would not be more");
            Err(Refusal::InvalidPartitions { reason })
        }
    }
}

fn check_assignments(
    image: &MetadataImage,
    topic: &TopicImage,
    added: &Range<usize>,
    assignments: &[Vec<i32>],
) -> Result<Vec<Vec<i32>>, Refusal> {
    let invalid = |reason: String| Refusal::InvalidReplicaAssignment { reason };
    if assignments.len() != added.len() {
        let (wanted, given) = (added.len(), assignments.len());
        return Err(invalid(format!("{wanted} partition(s) would be added, replicas of {given} are given")));
    }
    for (index, replicas) in added.clone().zip(assignments) {
        check_replicas(image, i32::try_from(index).expect("partitions are bounded"), replicas)
            .map_err(invalid)?;
        let (found, expected) = (replicas.len(), topic.replication_factor());
        if found != expected {
            return Err(invalid(format!(
                "partition {index} gets {found} replicas, the others have {expected}"
            )));
        }
    }
    Ok(assignments.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TopicId;
    use crate::limits::Limits;

    const LIMITS: StateLimits = Limits::tiny().state;

    /// Topics of one partition with two replicas, on so many brokers.
    fn image(broker_count: i32) -> MetadataImage {
        let broker = |id: i32| MetadataRecord::BrokerRegistered {
            broker_id: id,
            broker_epoch: i64::from(id),
            incarnation_id: [0; 16],
            listeners: Vec::new(),
            rack: None,
        };
        let topic = |name: &str, seed| MetadataRecord::TopicCreated {
            name: name.to_owned(),
            id: TopicId::from_random(seed, seed).0,
            partitions: vec![vec![1, 2]],
            configs: Vec::new(),
        };
        let records = (1..=broker_count).map(broker).chain([topic("a", 1), topic("b", 2)]);
        let records: Vec<_> = records.chain([topic("__consumer_offsets", 3)]).collect();
        MetadataImage::from_records(&records).unwrap()
    }

    fn asked(count: i32) -> CreatePartitions {
        CreatePartitions { name: "a".to_owned(), count, assignments: None }
    }

    #[test]
    fn leaders_go_on_around_the_brokers_where_the_last_partition_left_off() {
        let record = add(&image(3), &LIMITS, &asked(4)).unwrap();
        let MetadataRecord::PartitionsAdded { partitions, .. } = record else { panic!("{record:?}") };
        assert_eq!(partitions, [vec![2, 3], vec![3, 1], vec![1, 2]]);
    }

    #[test]
    fn a_topic_with_more_replicas_than_brokers_gets_no_partitions() {
        assert!(matches!(add(&image(1), &LIMITS, &asked(2)), Err(Refusal::InvalidReplicationFactor { .. })));
    }

    #[test]
    fn the_topic_that_groups_are_found_in_keeps_its_number_of_partitions() {
        let asked = CreatePartitions { name: "__consumer_offsets".to_owned(), ..asked(2) };
        assert_eq!(add(&image(2), &LIMITS, &asked), Err(Refusal::InternalTopic));
    }

    #[test]
    fn topic_and_cluster_have_bounds() {
        let most = i32::try_from(LIMITS.partitions_per_topic_max).unwrap();
        assert!(add(&image(2), &LIMITS, &asked(most)).is_ok());
        assert!(matches!(add(&image(2), &LIMITS, &asked(most + 1)), Err(Refusal::InvalidPartitions { .. })));
        let few = StateLimits { partitions_max: 4, ..LIMITS };
        assert!(add(&image(2), &few, &asked(2)).is_ok());
        assert!(matches!(add(&image(2), &few, &asked(3)), Err(Refusal::LimitReached { .. })));
    }
}
