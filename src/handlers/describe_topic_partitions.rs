//! DescribeTopicPartitions: topics page by page (KIP-966).
//!
//! ```text
//!   names, sorted: a (2 partitions)  b (5)  c (1)      limit 4
//!   first page:    a-0 a-1 b-0 b-1                     next cursor: b, 2
//!   second page:                   b-2 b-3 b-4 c-0     no cursor: the end
//! ```

use std::collections::BTreeSet;
use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::ids::{PartitionIndex, TopicPartition};
use ringlog_core::metadata::{MetadataImage, PartitionImage, TopicImage, topic_name};
use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::directories::{Outage, ToldPartition};
use crate::broker::shard::Shard;
use crate::handlers::{AUTHORIZED_OPERATIONS_NOT_ASKED, Request, operations, topic_id, uuid};

/// Answers one DescribeTopicPartitions request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = DescribeTopicPartitionsRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let image = shard.image();
    let most = i32::try_from(shard.config.described_partitions_max).unwrap_or(i32::MAX);
    let limit = asked.response_partition_limit.clamp(1, most) as usize;
    let mut response = match check_cursor(&asked) {
        Ok(()) => page(&image, &asked, limit),
        Err(refusal) => refuse(&asked, &refusal),
    };
    if let Some(outage) = shard.outage() {
        mark_offline(&mut response.topics, &outage);
    }
    Ok(request.respond(&shard, &response).await)
}

/// A page begins at a partition of a topic asked for.
fn check_cursor(asked: &DescribeTopicPartitionsRequest<'_>) -> Result<(), Refusal> {
    let Some(cursor) = &asked.cursor else { return Ok(()) };
    let is_asked =
        asked.topics.is_empty() || asked.topics.iter().any(|topic| topic.name == cursor.topic_name);
    match is_asked && cursor.partition_index >= 0 {
        true => Ok(()),
        false => Err(Refusal::invalid_request("the cursor is at no partition of a topic asked for")),
    }
}

fn refuse<'a>(
    asked: &DescribeTopicPartitionsRequest<'a>,
    refusal: &Refusal,
) -> DescribeTopicPartitionsResponse<'a> {
    let topics = asked.topics.iter().map(|topic| DescribeTopicPartitionsResponseTopic {
        topic_authorized_operations: AUTHORIZED_OPERATIONS_NOT_ASKED,
        ..refused_topic(topic.name, refusal)
    });
    DescribeTopicPartitionsResponse { topics: topics.collect(), ..DescribeTopicPartitionsResponse::default() }
}

fn mark_offline(topics: &mut [DescribeTopicPartitionsResponseTopic<'_>], outage: &Outage) {
    for topic in topics {
        let id = topic_id(topic.topic_id);
        for partition in &mut topic.partitions {
            let id = TopicPartition { topic: id, partition: PartitionIndex(partition.partition_index) };
            let told = ToldPartition {
                replica_nodes: &partition.replica_nodes,
                offline_replicas: &mut partition.offline_replicas,
                leader_id: &mut partition.leader_id,
                error_code: &mut partition.error_code,
            };
            outage.mark(&id, told);
        }
    }
}

fn page<'a>(
    image: &'a MetadataImage,
    asked: &DescribeTopicPartitionsRequest<'a>,
    limit: usize,
) -> DescribeTopicPartitionsResponse<'a> {
    let (mut topics, mut remaining) = (Vec::new(), limit);
    let at = |topic_name, partition| Cursor { topic_name, partition_index: index_of(partition) };
    let mut next_cursor = None;
    for name in names(image, asked) {
        if remaining == 0 {
            next_cursor = Some(at(name, 0));
            break;
        }
        let Some(topic) = image.topic(name) else {
            topics.push(refused_topic(name, &why_unknown(name)));
            continue;
        };
        let start = match &asked.cursor {
            Some(cursor) if cursor.topic_name == name => usize::try_from(cursor.partition_index).unwrap_or(0),
            _ => 0,
        };
        let partitions: Vec<_> = topic.partitions.iter().skip(start).take(remaining).map(partition).collect();
        remaining -= partitions.len();
        let end = start + partitions.len();
        topics.push(known_topic(topic, partitions));
        if end < topic.partitions.len() {
            next_cursor = Some(at(&topic.name, end));
            break;
        }
    }
    DescribeTopicPartitionsResponse { topics, next_cursor, ..DescribeTopicPartitionsResponse::default() }
}

/// The names to go through, sorted, from the cursor on. No names ask for all topics.
fn names<'a>(
    image: &'a MetadataImage,
    asked: &DescribeTopicPartitionsRequest<'a>,
) -> Box<dyn Iterator<Item = &'a str> + 'a> {
    let first = asked.cursor.as_ref().map_or("", |cursor| cursor.topic_name);
    if asked.topics.is_empty() {
        return Box::new(image.topics_from(first).map(|topic| &*topic.name));
    }
    let named: BTreeSet<&str> = asked.topics.iter().map(|topic| topic.name).collect();
    Box::new(named.into_iter().filter(move |name| *name >= first))
}

fn why_unknown(name: &str) -> Refusal {
    match topic_name::check(name) {
        Ok(()) => Refusal::UnknownTopicOrPartition,
        Err(reason) => Refusal::InvalidTopicName { reason },
    }
}

fn refused_topic<'a>(name: &'a str, refusal: &Refusal) -> DescribeTopicPartitionsResponseTopic<'a> {
    DescribeTopicPartitionsResponseTopic {
        error_code: error_code_for(refusal).number(),
        name: Some(name),
        topic_authorized_operations: operations::TOPIC,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn known_topic(
    topic: &TopicImage,
    partitions: Vec<DescribeTopicPartitionsResponsePartition>,
) -> DescribeTopicPartitionsResponseTopic<'_> {
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::None.number(),
        name: Some(&topic.name),
        topic_id: uuid(topic.id),
        is_internal: topic.is_internal(),
        partitions,
        topic_authorized_operations: operations::TOPIC,
    }
}

fn partition(partition: &PartitionImage) -> DescribeTopicPartitionsResponsePartition {
    let error = match partition.leader {
        Some(_) => ErrorCode::None,
        None => ErrorCode::LeaderNotAvailable,
    };
    DescribeTopicPartitionsResponsePartition {
        error_code: error.number(),
        partition_index: partition.index.0,
        leader_id: partition.leader.map_or(-1, |leader| leader.0),
        leader_epoch: partition.leader_epoch.0,
        replica_nodes: partition.replicas.iter().map(|broker| broker.0).collect(),
        isr_nodes: partition.in_sync_replicas.iter().map(|broker| broker.0).collect(),
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        offline_replicas: Vec::new(),
    }
}

fn index_of(partition: usize) -> i32 {
    i32::try_from(partition).expect("partitions are bounded")
}
