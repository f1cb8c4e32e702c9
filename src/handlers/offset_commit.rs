//! OffsetCommit: store how far a group has read. The reply leaves when it is on disk.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::group::message::{self, Commit, CommitOffset, GroupGeneration};
use ringlog_core::ids::{LeaderEpoch, Offset, PartitionIndex};
use ringlog_core::metadata::{MetadataImage, TopicImage};
use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::{Request, topic_id};

/// The first version that names topics by id (KIP-848).
const TOPIC_ID_VERSION_MIN: i16 = 10;

/// The first version that says that there is no such group (KIP-848).
const NOT_FOUND_VERSION_MIN: i16 = 9;

/// Answers one OffsetCommit request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = OffsetCommitRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let image = shard.image();
    let mut refusals = Vec::new();
    let mut offsets = Vec::new();
    for topic in &asked.topics {
        let known = known_topic(&image, topic, request.version);
        for partition in &topic.partitions {
            let index = PartitionIndex(partition.partition_index);
            match known.clone().and_then(|topic| with_partition(topic, index)) {
                Ok(topic) => {
                    refusals.push(None);
                    offsets.push(CommitOffset {
                        topic: topic.name.clone(),
                        topic_id: topic.id,
                        partition: index,
                        offset: Offset(partition.committed_offset),
                        leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
                        metadata: partition.committed_metadata.unwrap_or_default().into(),
                    });
                }
                Err(refusal) => refusals.push(Some(refusal)),
            }
        }
    }
    let commit = Commit {
        group: asked.group_id.into(),
        member: asked.member_id.into(),
        instance: asked.group_instance_id.map(Into::into),
        generation: GroupGeneration(asked.generation_id_or_member_epoch),
        retention: u64::try_from(asked.retention_time_ms).ok().map(Duration::from_millis),
        offsets,
    };
    let answer = shard.ask_coordinator(asked.group_id, message::Request::Commit(commit)).await;
    let message::Answer::Commit(results) = answer else { unreachable!("a commit is answered as one") };
    let mut results = results.into_iter();
    let mut errors = refusals.into_iter().map(|refusal| match refusal {
        Some(refusal) => error_code_for(&refusal),
        None => results
            .next()
            .expect("one result per offset to commit")
            .map_or_else(|refusal| told_code(&refusal, request.version), |()| ErrorCode::None),
    });
    let topics = asked.topics.iter().map(|topic| OffsetCommitResponseTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: errors.next().expect("one error per partition asked for").number(),
            })
            .collect(),
    });
    let response = OffsetCommitResponse { topics: topics.collect(), ..OffsetCommitResponse::default() };
    Ok(request.respond(&shard, &response).await)
}

/// Older members of a group that is gone are told that their generation is.
fn told_code(refusal: &Refusal, version: i16) -> ErrorCode {
    match refusal {
        Refusal::GroupIdNotFound if version < NOT_FOUND_VERSION_MIN => ErrorCode::IllegalGeneration,
        refusal => error_code_for(refusal),
    }
}

fn known_topic<'a>(
    image: &'a MetadataImage,
    asked: &OffsetCommitRequestTopic<'_>,
    version: i16,
) -> Result<&'a TopicImage, Refusal> {
    let (topic, otherwise) = if version >= TOPIC_ID_VERSION_MIN {
        (image.topic_by_id(topic_id(asked.topic_id)), Refusal::UnknownTopicId)
    } else {
        (image.topic(asked.name), Refusal::UnknownTopicOrPartition)
    };
    topic.map(Arc::as_ref).ok_or(otherwise)
}

fn with_partition(topic: &TopicImage, index: PartitionIndex) -> Result<&TopicImage, Refusal> {
    topic.partition(index).map(|_| topic).ok_or(Refusal::UnknownTopicOrPartition)
}
