//! Metadata: brokers, topics, partitions and their leaders. Creates topics that clients name, where both sides
//! allow it.

use std::collections::BTreeSet;
use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::ids::{PartitionIndex, TopicPartition};
use ringlog_core::metadata::topic_name::CONSUMER_OFFSETS_TOPIC;
use ringlog_core::metadata::{
    Command, CommandReply, CreateTopic, MetadataImage, PartitionImage, TopicImage, topic_name,
};
use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use ringlog_net::protocol::{DecodeError, Decoder, Uuid};
use ringlog_runtime::environment::Environment;

use crate::broker::directories::{Outage, ToldPartition};
use crate::broker::message::{Answer, Call};
use crate::broker::shard::{FIRST_SHARD, Shard};
use crate::handlers::{AUTHORIZED_OPERATIONS_NOT_ASKED, Request, operations, topic_id, uuid};

/// Before this version an empty list of topics means all of them (A1).
const NULL_MEANS_ALL_VERSION_MIN: i16 = 1;

/// The first version that can forbid auto-creation.
const AUTO_CREATION_FLAG_VERSION_MIN: i16 = 4;

/// Answers one Metadata request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let metadata = MetadataRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    if auto_creation_allowed(&shard, &request, &metadata) {
        create_missing(&shard, &metadata).await;
    }
    let image = shard.image();
    let mut topics = topics(&image, &request, &metadata);
    if let Some(outage) = shard.outage() {
        mark_offline(&mut topics, &outage);
    }
    let response = MetadataResponse {
        brokers: brokers(&image, &shard.config.listeners[request.listener].name),
        cluster_id: Some(image.cluster_id()),
        controller_id: shard.config.node_id.0,
        topics,
        cluster_authorized_operations: match metadata.include_cluster_authorized_operations {
            true => operations::CLUSTER,
            false => AUTHORIZED_OPERATIONS_NOT_ASKED,
        },
        ..MetadataResponse::default()
    };
    Ok(request.respond(&shard, &response).await)
}

fn auto_creation_allowed<E: Environment>(
    shard: &Shard<E>,
    request: &Request,
    metadata: &MetadataRequest<'_>,
) -> bool {
    let client_allows =
        request.version < AUTO_CREATION_FLAG_VERSION_MIN || metadata.allow_auto_topic_creation;
    client_allows && shard.config.auto_create_topics
}

/// Asks the controller for the topics named and not there. What it refuses is answered as unknown.
async fn create_missing<E: Environment>(shard: &Rc<Shard<E>>, metadata: &MetadataRequest<'_>) {
    let named: BTreeSet<&str> = metadata
        .topics
        .iter()
        .flatten()
        .filter(|topic| topic.topic_id.is_zero())
        .filter_map(|topic| topic.name)
        .collect();
    if named.contains(CONSUMER_OFFSETS_TOPIC) {
        shard.ensure_internal_topic(CONSUMER_OFFSETS_TOPIC).await;
    }
    let image = shard.image();
    let missing: Vec<CreateTopic> = named
        .into_iter()
        .filter(|name| image.topic(name).is_none() && !topic_name::is_internal(name))
        .map(CreateTopic::with_defaults)
        .collect();
    if missing.is_empty() {
        return;
    }
    let command = Command::CreateTopics { topics: missing, validate_only: false };
    match shard.call(FIRST_SHARD, Call::Command(command)).await {
        // What became of the disk was told when it did.
        Answer::Commanded(CommandReply::Refused(Refusal::DiskFull | Refusal::Storage)) => {}
        Answer::Commanded(CommandReply::Refused(refusal)) => {
            tracing::warn!(%refusal, "topics named by a client cannot be created");
        }
        Answer::Commanded(_) => {}
        _ => unreachable!("a command is answered as one"),
    }
}

fn mark_offline(topics: &mut [MetadataResponseTopic<'_>], outage: &Outage) {
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

fn brokers<'i>(image: &'i MetadataImage, listener_name: &str) -> Vec<MetadataResponseBroker<'i>> {
    image
        .brokers()
        .filter_map(|broker| {
            let listener = broker.listeners.iter().find(|listener| listener.name == listener_name)?;
            Some(MetadataResponseBroker {
                node_id: broker.id.0,
                host: &listener.host,
                port: i32::from(listener.port),
                rack: broker.rack.as_deref(),
            })
        })
        .collect()
}

fn topics<'a>(
    image: &'a MetadataImage,
    request: &Request,
    metadata: &MetadataRequest<'a>,
) -> Vec<MetadataResponseTopic<'a>> {
    let with_operations = metadata.include_topic_authorized_operations;
    match &metadata.topics {
        Some(asked) if !(asked.is_empty() && request.version < NULL_MEANS_ALL_VERSION_MIN) => {
            let mut told = BTreeSet::new();
            let first = asked.iter().filter(|topic| told.insert(identity(topic)));
            first.map(|topic| named_topic(image, topic, with_operations)).collect()
        }
        _ => image.topics().map(|topic| known_topic(topic, with_operations)).collect(),
    }
}

/// What a topic is asked for by: an id wins over a name (W16). Named again, it is told once, as by Kafka; else a
/// small request could ask for a large topic many times.
fn identity<'a>(asked: &MetadataRequestTopic<'a>) -> (Uuid, &'a str) {
    match asked.topic_id.is_zero() {
        true => (Uuid::ZERO, asked.name.unwrap_or_default()),
        false => (asked.topic_id, ""),
    }
}

fn named_topic<'a>(
    image: &'a MetadataImage,
    asked: &MetadataRequestTopic<'a>,
    with_operations: bool,
) -> MetadataResponseTopic<'a> {
    let (id, name) = identity(asked);
    if !id.is_zero() {
        return match image.topic_by_id(topic_id(id)) {
            Some(topic) => known_topic(topic, with_operations),
            None => unknown_topic(None, id, &Refusal::UnknownTopicId),
        };
    }
    match (image.topic(name), topic_name::check(name)) {
        (Some(topic), _) => known_topic(topic, with_operations),
        (None, Ok(())) => unknown_topic(Some(name), Uuid::ZERO, &Refusal::UnknownTopicOrPartition),
        (None, Err(reason)) => unknown_topic(Some(name), Uuid::ZERO, &Refusal::InvalidTopicName { reason }),
    }
}

fn unknown_topic<'a>(name: Option<&'a str>, topic_id: Uuid, refusal: &Refusal) -> MetadataResponseTopic<'a> {
    MetadataResponseTopic {
        error_code: error_code_for(refusal).number(),
        name,
        topic_id,
        topic_authorized_operations: AUTHORIZED_OPERATIONS_NOT_ASKED,
        ..MetadataResponseTopic::default()
    }
}

fn known_topic(topic: &TopicImage, with_operations: bool) -> MetadataResponseTopic<'_> {
    MetadataResponseTopic {
        error_code: ErrorCode::None.number(),
        name: Some(&topic.name),
        topic_id: uuid(topic.id),
        is_internal: topic.is_internal(),
        partitions: topic.partitions.iter().map(partition).collect(),
        topic_authorized_operations: match with_operations {
            true => operations::TOPIC,
            false => AUTHORIZED_OPERATIONS_NOT_ASKED,
        },
    }
}

fn partition(partition: &PartitionImage) -> MetadataResponsePartition {
    let error = match partition.leader {
        Some(_) => ErrorCode::None,
        None => ErrorCode::LeaderNotAvailable,
    };
    MetadataResponsePartition {
        error_code: error.number(),
        partition_index: partition.index.0,
        leader_id: partition.leader.map_or(-1, |leader| leader.0),
        leader_epoch: partition.leader_epoch.0,
        replica_nodes: partition.replicas.iter().map(|broker| broker.0).collect(),
        isr_nodes: partition.in_sync_replicas.iter().map(|broker| broker.0).collect(),
        offline_replicas: Vec::new(),
    }
}
