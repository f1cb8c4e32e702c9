//! Finding the coordinator of a group, and asking it.

use std::rc::Rc;

use ringlog_core::group::message::{Answer, Request};
use ringlog_core::group::partition_of_group;
use ringlog_core::ids::TopicPartition;
use ringlog_core::metadata::topic_name::CONSUMER_OFFSETS_TOPIC;
use ringlog_core::metadata::{MetadataImage, TopicImage};
use ringlog_core::refusal::Refusal;
use ringlog_runtime::environment::Environment;

use crate::broker::message;
use crate::broker::message::Call;
use crate::broker::shard::Shard;

/// Which partition of `__consumer_offsets` holds a group; `None` while there is no such topic.
pub fn partition_holding(image: &MetadataImage, group: &str) -> Option<TopicPartition> {
    let topic = image.topic(CONSUMER_OFFSETS_TOPIC)?;
    let count = i32::try_from(topic.partitions.len()).expect("a topic has far fewer than 2^31 partitions");
    Some(TopicPartition { topic: topic.id, partition: partition_of_group(group, count) })
}

impl<E: Environment> Shard<E> {
    /// Asks the coordinator of a group.
    pub async fn ask_coordinator(self: &Rc<Self>, group: &str, request: Request) -> Answer {
        match partition_holding(&self.image(), group) {
            Some(partition) => self.ask_partition(partition, request).await,
            None => request.refused(&Refusal::CoordinatorNotAvailable),
        }
    }

    /// Asks every coordinator; there is none before the first group.
    pub async fn ask_all_coordinators(self: &Rc<Self>, request: &Request) -> Vec<Answer> {
        let image = self.image();
        let partitions = image.topic(CONSUMER_OFFSETS_TOPIC).map(|topic| ids_of(topic)).unwrap_or_default();
        let calls: Vec<_> = partitions
            .into_iter()
            .map(|partition| {
                let call = Call::Group { partition, request: request.clone() };
                self.call(self.owner_of(&partition), call)
            })
            .collect();
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            answers.push(group_answer(call.await));
        }
        answers
    }

    async fn ask_partition(self: &Rc<Self>, partition: TopicPartition, request: Request) -> Answer {
        group_answer(self.call(self.owner_of(&partition), Call::Group { partition, request }).await)
    }
}

fn ids_of(topic: &TopicImage) -> Vec<TopicPartition> {
    let partitions = topic.partitions.iter();
    partitions.map(|partition| TopicPartition { topic: topic.id, partition: partition.index }).collect()
}

fn group_answer(answer: message::Answer) -> Answer {
    match answer {
        message::Answer::Group(answer) => answer,
        _ => unreachable!("a group's coordinator gives a group's answer"),
    }
}
