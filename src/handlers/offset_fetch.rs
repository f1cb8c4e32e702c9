//! OffsetFetch: how far groups have read.

use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::group::message::{self, FetchOffsets, FetchedOffset};
use ringlog_core::ids::{PartitionIndex, TopicName};
use ringlog_core::metadata::MetadataImage;
use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use ringlog_net::protocol::{DecodeError, Decoder, Uuid};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::{Request, topic_id, uuid};

/// The first version that asks for several groups (KIP-709).
const GROUPS_VERSION_MIN: i16 = 8;

/// The first version that can say that the whole group failed.
const GROUP_ERROR_VERSION_MIN: i16 = 2;

/// The first version that names topics by id (KIP-848).
const TOPIC_ID_VERSION_MIN: i16 = 10;

/// The offsets of one group as they are told: whole topics, in the order asked.
struct Told {
    error: ErrorCode,
    topics: Vec<ToldTopic>,
}

impl Told {
    fn count(&self) -> usize {
        self.topics.iter().map(|topic| topic.partitions.len()).sum()
    }
}

struct ToldTopic {
    name: TopicName,
    id: Uuid,
    partitions: Vec<ToldPartition>,
}

struct ToldPartition {
    index: i32,
    result: Result<FetchedOffset, ErrorCode>,
}

/// Answers one OffsetFetch request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = OffsetFetchRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let groups = groups_asked(&request, &asked);
    let mut told = Vec::with_capacity(groups.len());
    let mut room = shard.limits.request.offsets_told_max;
    for group in &groups {
        let one = tell(&shard, &request, group, asked.require_stable, room).await;
        room = room.saturating_sub(1 + one.count());
        told.push(one);
    }
    let response = if request.version >= GROUPS_VERSION_MIN {
        let groups = groups.iter().zip(&told).map(|(group, told)| group_response(group.group_id, told));
        OffsetFetchResponse { groups: groups.collect(), ..OffsetFetchResponse::default() }
    } else {
        single_response(&request, &told[0])
    };
    Ok(request.respond(&shard, &response).await)
}

/// The older form asks for one group.
fn groups_asked<'a>(request: &Request, asked: &OffsetFetchRequest<'a>) -> Vec<OffsetFetchRequestGroup<'a>> {
    if request.version >= GROUPS_VERSION_MIN {
        return asked.groups.clone();
    }
    let topics = asked.topics.as_ref().map(|topics| {
        topics
            .iter()
            .map(|topic| OffsetFetchRequestTopics {
                name: topic.name,
                topic_id: Uuid::ZERO,
                partition_indexes: topic.partition_indexes.clone(),
            })
            .collect()
    });
    vec![OffsetFetchRequestGroup { group_id: asked.group_id, member_id: None, member_epoch: -1, topics }]
}

async fn tell<E: Environment>(
    shard: &Rc<Shard<E>>,
    request: &Request,
    group: &OffsetFetchRequestGroup<'_>,
    require_stable: bool,
    room: usize,
) -> Told {
    let image = shard.image();
    let by_id = request.version >= TOPIC_ID_VERSION_MIN;
    let asked: Option<Vec<AskedTopic>> = group
        .topics
        .as_ref()
        .map(|topics| topics.iter().map(|topic| asked_topic(&image, topic, by_id)).collect());
    let asked_count: usize = asked.iter().flatten().map(|topic| topic.partitions.len()).sum();
    if asked_count >= room {
        let most = shard.limits.request.offsets_told_max;
        let reason = format!("one request is told of {most} groups and offsets");
        return refused(request, asked, &Refusal::LimitReached { reason });
    }
    let known = asked.iter().flatten().filter(|topic| topic.is_known);
    let partitions = known
        .flat_map(|topic| topic.partitions.iter().map(|index| (topic.name.clone(), PartitionIndex(*index))));
    let fetch = FetchOffsets {
        group: group.group_id.into(),
        partitions: asked.is_some().then(|| partitions.collect()),
        count_max: room - 1,
        require_stable,
    };
    let answer = shard.ask_coordinator(group.group_id, message::Request::FetchOffsets(fetch)).await;
    let message::Answer::FetchOffsets(answer) = answer else {
        unreachable!("a fetch of offsets is answered as one")
    };
    match (answer, asked) {
        (Ok(offsets), Some(asked)) => Told { error: ErrorCode::None, topics: told_as_asked(asked, offsets) },
        (Ok(offsets), None) => Told { error: ErrorCode::None, topics: told_all(&image, offsets, by_id) },
        (Err(refusal), asked) => refused(request, asked, &refusal),
    }
}

/// A topic asked for, by whichever means.
struct AskedTopic {
    name: TopicName,
    id: Uuid,
    /// An id that no topic has. A name is always known: it may have been deleted since.
    is_known: bool,
    partitions: Vec<i32>,
}

fn asked_topic(image: &MetadataImage, topic: &OffsetFetchRequestTopics<'_>, by_id: bool) -> AskedTopic {
    let known = by_id.then(|| image.topic_by_id(topic_id(topic.topic_id)));
    let (name, is_known) = match known {
        Some(Some(known)) => (known.name.clone(), true),
        Some(None) => ("".into(), false),
        None => (topic.name.into(), true),
    };
    AskedTopic { name, id: topic.topic_id, is_known, partitions: topic.partition_indexes.clone() }
}

fn told_as_asked(asked: Vec<AskedTopic>, offsets: Vec<FetchedOffset>) -> Vec<ToldTopic> {
    let mut offsets = offsets.into_iter();
    let told = asked.into_iter().map(|topic| {
        let AskedTopic { name, id, is_known, partitions } = topic;
        let told = partitions.into_iter().map(|index| {
            let result = match is_known {
                true => Ok(offsets.next().expect("one offset per partition asked for")),
                false => Err(ErrorCode::UnknownTopicId),
            };
            ToldPartition { index, result }
        });
        ToldTopic { name, id, partitions: told.collect() }
    });
    told.collect()
}

/// Everything there is; by id, only what still has one.
fn told_all(image: &MetadataImage, offsets: Vec<FetchedOffset>, by_id: bool) -> Vec<ToldTopic> {
    let mut topics: Vec<ToldTopic> = Vec::new();
    for offset in offsets {
        let id = image.topic(&offset.topic).map(|topic| uuid(topic.id));
        if by_id && id.is_none() {
            continue;
        }
        let partition = ToldPartition { index: offset.partition.0, result: Ok(offset.clone()) };
        match topics.last_mut() {
            Some(last) if last.name == offset.topic => last.partitions.push(partition),
            _ => topics.push(ToldTopic {
                name: offset.topic,
                id: id.unwrap_or(Uuid::ZERO),
                partitions: vec![partition],
            }),
        }
    }
    topics
}

/// Version 1 says it with each partition, newer ones once.
fn refused(request: &Request, asked: Option<Vec<AskedTopic>>, refusal: &Refusal) -> Told {
    let error = error_code_for(refusal);
    if request.version >= GROUP_ERROR_VERSION_MIN {
        return Told { error, topics: Vec::new() };
    }
    let topics = asked.into_iter().flatten().map(|topic| ToldTopic {
        name: topic.name,
        id: topic.id,
        partitions: topic
            .partitions
            .into_iter()
            .map(|index| ToldPartition { index, result: Err(error) })
            .collect(),
    });
    Told { error, topics: topics.collect() }
}

fn group_response<'a>(group_id: &'a str, told: &'a Told) -> OffsetFetchResponseGroup<'a> {
    let topics = told.topics.iter().map(|topic| OffsetFetchResponseTopics {
        name: &topic.name,
        topic_id: topic.id,
        partitions: topic.partitions.iter().map(partition_of_group).collect(),
    });
    OffsetFetchResponseGroup { group_id, topics: topics.collect(), error_code: told.error.number() }
}

fn single_response<'a>(request: &Request, told: &'a Told) -> OffsetFetchResponse<'a> {
    let topics = told.topics.iter().map(|topic| OffsetFetchResponseTopic {
        name: &topic.name,
        partitions: topic.partitions.iter().map(partition).collect(),
    });
    OffsetFetchResponse {
        topics: topics.collect(),
        error_code: if request.version >= GROUP_ERROR_VERSION_MIN { told.error.number() } else { 0 },
        ..OffsetFetchResponse::default()
    }
}

/// What is told where nothing is stored, or nothing may be told (O4).
const NO_OFFSET: (i64, i32, &str) = (-1, -1, "");

fn parts(told: &ToldPartition) -> ((i64, i32, &str), ErrorCode) {
    match &told.result {
        Ok(FetchedOffset { stored: Some(stored), .. }) => {
            ((stored.offset.0, stored.leader_epoch.0, &*stored.metadata), ErrorCode::None)
        }
        Ok(_) => (NO_OFFSET, ErrorCode::None),
        Err(error) => (NO_OFFSET, *error),
    }
}

fn partition(told: &ToldPartition) -> OffsetFetchResponsePartition<'_> {
    let ((committed_offset, committed_leader_epoch, metadata), error) = parts(told);
    OffsetFetchResponsePartition {
        partition_index: told.index,
        committed_offset,
        committed_leader_epoch,
        metadata: Some(metadata),
        error_code: error.number(),
    }
}

fn partition_of_group(told: &ToldPartition) -> OffsetFetchResponsePartitions<'_> {
    let ((committed_offset, committed_leader_epoch, metadata), error) = parts(told);
    OffsetFetchResponsePartitions {
        partition_index: told.index,
        committed_offset,
        committed_leader_epoch,
        metadata: Some(metadata),
        error_code: error.number(),
    }
}
