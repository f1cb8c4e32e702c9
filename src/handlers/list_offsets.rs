//! ListOffsets: the ends of logs, and offsets by time.

use std::collections::BTreeSet;
use std::rc::Rc;

use ringlog_core::ids::{LeaderEpoch, PartitionIndex, ShardIndex, TopicPartition};
use ringlog_core::metadata::MetadataImage;
use ringlog_core::refusal::{Refusal, error_code_at, error_code_for};
use ringlog_core::time::Timestamp;
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use ringlog_net::protocol::{ApiKey, DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::message::{Answer, Call, FindOffset, OffsetAndTime, OffsetTarget};
use crate::broker::shard::Shard;
use crate::handlers::{Request, push_to_owner};

/// Special timestamps, each with the first version that knows it.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const MAX_TIMESTAMP_VERSION_MIN: i16 = 7;
const EARLIEST_LOCAL: i64 = -4;
const EARLIEST_LOCAL_VERSION_MIN: i16 = 8;
const LATEST_TIERED: i64 = -5;
const LATEST_TIERED_VERSION_MIN: i16 = 9;
const EARLIEST_PENDING_UPLOAD: i64 = -6;
const EARLIEST_PENDING_UPLOAD_VERSION_MIN: i16 = 11;

type Found = Result<Option<OffsetAndTime>, Refusal>;

/// Answers one ListOffsets request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = ListOffsetsRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let (mut found, by_owner) = split(&shard, &request, &asked);
    let calls: Vec<_> =
        by_owner.into_iter().map(|(owner, finds)| shard.call(owner, Call::FindOffsets(finds))).collect();
    for call in calls {
        let Answer::Offsets(offsets) = call.await else { unreachable!("a look-up is answered with offsets") };
        for offset in offsets {
            found[offset.index] = Some(offset.result);
        }
    }
    let mut found = found.into_iter().map(|found| found.expect("each look-up was refused or answered"));
    let topics = asked
        .topics
        .iter()
        .map(|topic| ListOffsetsTopicResponse {
            name: topic.name,
            partitions: topic
                .partitions
                .iter()
                .map(|partition| {
                    let found = found.next().expect("one look-up per partition asked for");
                    partition_response(&request, partition.partition_index, found)
                })
                .collect(),
        })
        .collect();
    let response = ListOffsetsResponse { topics, ..ListOffsetsResponse::default() };
    Ok(request.respond(&shard, &response).await)
}

type ByOwner = Vec<(ShardIndex, Vec<FindOffset>)>;

fn split<E: Environment>(
    shard: &Shard<E>,
    request: &Request,
    asked: &ListOffsetsRequest<'_>,
) -> (Vec<Option<Found>>, ByOwner) {
    let image = shard.image();
    let twice = asked_twice(asked);
    let (mut found, mut by_owner) = (Vec::new(), Vec::new());
    for topic in &asked.topics {
        for partition in &topic.partitions {
            let index = found.len();
            let duplicate = twice.contains(&(topic.name, partition.partition_index));
            match place(&image, request, topic.name, partition, index, duplicate) {
                Ok(find) => {
                    found.push(None);
                    push_to_owner(&mut by_owner, shard.owner_of(&find.partition), find);
                }
                Err(refusal) => found.push(Some(Err(refusal))),
            }
        }
    }
    (found, by_owner)
}

fn asked_twice<'a>(asked: &ListOffsetsRequest<'a>) -> BTreeSet<(&'a str, i32)> {
    let mut seen = BTreeSet::new();
    let all = asked
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name, partition.partition_index)));
    all.filter(|partition| !seen.insert(*partition)).collect()
}

fn place(
    image: &MetadataImage,
    request: &Request,
    topic_name: &str,
    asked: &ListOffsetsPartition,
    index: usize,
    duplicate: bool,
) -> Result<FindOffset, Refusal> {
    if duplicate {
        return Err(Refusal::invalid_request("a partition was asked for twice"));
    }
    let topic = image.topic(topic_name).ok_or(Refusal::UnknownTopicOrPartition)?;
    let partition_index = PartitionIndex(asked.partition_index);
    topic.partition(partition_index).ok_or(Refusal::UnknownTopicOrPartition)?;
    Ok(FindOffset {
        index,
        partition: TopicPartition { topic: topic.id, partition: partition_index },
        current_leader_epoch: LeaderEpoch(asked.current_leader_epoch),
        target: target(asked.timestamp, request.version)?,
    })
}

fn target(timestamp: i64, version: i16) -> Result<OffsetTarget, Refusal> {
    let since = |version_min: i16, target| match version >= version_min {
        true => Ok(target),
        false => Err(Refusal::UnsupportedVersion {
            reason: format!("timestamp {timestamp} needs version {version_min}").into(),
        }),
    };
    match timestamp {
        LATEST => Ok(OffsetTarget::Latest),
        EARLIEST => Ok(OffsetTarget::Earliest),
        MAX_TIMESTAMP => since(MAX_TIMESTAMP_VERSION_MIN, OffsetTarget::MaxTimestamp),
        EARLIEST_LOCAL => since(EARLIEST_LOCAL_VERSION_MIN, OffsetTarget::Earliest),
        LATEST_TIERED => since(LATEST_TIERED_VERSION_MIN, OffsetTarget::Tiered),
        EARLIEST_PENDING_UPLOAD => since(EARLIEST_PENDING_UPLOAD_VERSION_MIN, OffsetTarget::Tiered),
        0.. => Ok(OffsetTarget::At(Timestamp(timestamp))),
        _ => Err(Refusal::UnsupportedVersion { reason: format!("no timestamp {timestamp} is known").into() }),
    }
}

fn partition_response(request: &Request, partition_index: i32, found: Found) -> ListOffsetsPartitionResponse {
    match found {
        Ok(Some(place)) => ListOffsetsPartitionResponse {
            partition_index,
            error_code: 0,
            offset: place.offset.0,
            timestamp: place.timestamp.0,
            leader_epoch: place.leader_epoch.0,
        },
        Ok(None) => ListOffsetsPartitionResponse {
            partition_index,
            error_code: 0,
            offset: -1,
            timestamp: -1,
            leader_epoch: -1,
        },
        Err(refusal) => ListOffsetsPartitionResponse {
            partition_index,
            error_code: error_code_at(error_code_for(&refusal), ApiKey::ListOffsets as i16, request.version)
                .number(),
            offset: -1,
            timestamp: -1,
            leader_epoch: -1,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l1_a_special_timestamp_newer_than_the_version_is_unsupported() {
        assert_eq!(target(MAX_TIMESTAMP, 7), Ok(OffsetTarget::MaxTimestamp));
        assert!(matches!(target(MAX_TIMESTAMP, 6), Err(Refusal::UnsupportedVersion { .. })));
        assert!(matches!(target(-6, 10), Err(Refusal::UnsupportedVersion { .. })));
        assert_eq!(target(-6, 11), Ok(OffsetTarget::Tiered));
        assert!(matches!(target(-7, 11), Err(Refusal::UnsupportedVersion { .. })));
        assert_eq!(target(5, 1), Ok(OffsetTarget::At(Timestamp(5))));
    }
}
