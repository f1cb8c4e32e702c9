//! OffsetForLeaderEpoch: where a leader epoch ends, so that a consumer finds out that its log was cut (KIP-320).

use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::ids::{LeaderEpoch, Offset, PartitionIndex, TopicPartition};
use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::message::{Answer, Call, FindEpochEnd};
use crate::broker::shard::Shard;
use crate::handlers::{Request, push_to_owner};

type Found = Result<Option<(LeaderEpoch, Offset)>, Refusal>;

/// Answers one OffsetForLeaderEpoch request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = OffsetForLeaderEpochRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let image = shard.image();
    let mut found: Vec<Option<Found>> = Vec::new();
    let mut by_owner = Vec::new();
    for topic in &asked.topics {
        for partition in &topic.partitions {
            let index = found.len();
            let known = image
                .topic(topic.topic)
                .filter(|known| known.partition(PartitionIndex(partition.partition)).is_some());
            let Some(known) = known else {
                found.push(Some(Err(Refusal::UnknownTopicOrPartition)));
                continue;
            };
            found.push(None);
            let find = FindEpochEnd {
                index,
                partition: TopicPartition { topic: known.id, partition: PartitionIndex(partition.partition) },
                current_leader_epoch: LeaderEpoch(partition.current_leader_epoch),
                leader_epoch: LeaderEpoch(partition.leader_epoch),
            };
            push_to_owner(&mut by_owner, shard.owner_of(&find.partition), find);
        }
    }
    let calls: Vec<_> =
        by_owner.into_iter().map(|(owner, finds)| shard.call(owner, Call::FindEpochEnds(finds))).collect();
    for call in calls {
        let Answer::EpochEnds(ends) = call.await else {
            unreachable!("a look-up is answered with epoch ends")
        };
        for end in ends {
            found[end.index] = Some(end.result);
        }
    }
    let mut found = found.into_iter().map(|found| found.expect("each look-up was refused or answered"));
    let topics = asked
        .topics
        .iter()
        .map(|topic| OffsetForLeaderTopicResult {
            topic: topic.topic,
            partitions: topic
                .partitions
                .iter()
                .map(|partition| {
                    epoch_end(partition.partition, found.next().expect("one look-up per partition asked for"))
                })
                .collect(),
        })
        .collect();
    let response = OffsetForLeaderEpochResponse { topics, ..OffsetForLeaderEpochResponse::default() };
    Ok(request.respond(&shard, &response).await)
}

fn epoch_end(partition: i32, found: Found) -> EpochEndOffset {
    let (error, leader_epoch, end_offset) = match found {
        Ok(Some((epoch, end))) => (ErrorCode::None, epoch.0, end.0),
        Ok(None) => (ErrorCode::None, -1, -1),
        Err(refusal) => (error_code_for(&refusal), -1, -1),
    };
    EpochEndOffset { error_code: error.number(), partition, leader_epoch, end_offset }
}
