//! OffsetDelete: forget how far a group has read of topics that it no longer reads (KIP-496).

use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::group::message::{self, DeleteOffsets};
use ringlog_core::ids::PartitionIndex;
use ringlog_core::refusal::error_code_for;
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::Request;

/// Answers one OffsetDelete request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = OffsetDeleteRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let image = shard.image();
    let is_known = |name: &str, index: i32| {
        image.topic(name).is_some_and(|topic| topic.partition(PartitionIndex(index)).is_some())
    };
    let all = asked
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name, partition.partition_index)));
    let known = all.filter(|(name, index)| is_known(name, *index));
    let partitions = known.map(|(name, index)| (name.into(), PartitionIndex(index))).collect();
    let delete = DeleteOffsets { group: asked.group_id.into(), partitions };
    let answer = shard.ask_coordinator(asked.group_id, message::Request::DeleteOffsets(delete)).await;
    let message::Answer::DeleteOffsets(answer) = answer else {
        unreachable!("a deletion of offsets is answered as one")
    };
    let results = match answer {
        Ok(results) => results,
        Err(refusal) => {
            let error_code = error_code_for(&refusal).number();
            let response = OffsetDeleteResponse { error_code, ..OffsetDeleteResponse::default() };
            return Ok(request.respond(&shard, &response).await);
        }
    };
    let mut results = results.into_iter();
    let mut error = |name: &str, index: i32| match is_known(name, index) {
        true => results
            .next()
            .expect("one result per known partition")
            .map_or_else(|refusal| error_code_for(&refusal), |()| ErrorCode::None),
        false => ErrorCode::UnknownTopicOrPartition,
    };
    let topics = asked.topics.iter().map(|topic| OffsetDeleteResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| OffsetDeleteResponsePartition {
                partition_index: partition.partition_index,
                error_code: error(topic.name, partition.partition_index).number(),
            })
            .collect(),
    });
    let response = OffsetDeleteResponse { topics: topics.collect(), ..OffsetDeleteResponse::default() };
    Ok(request.respond(&shard, &response).await)
}
