//! DeleteRecords: records below given offsets are gone when the answer comes (KIP-107).

use std::rc::Rc;

use ringlog_core::ids::{Offset, PartitionIndex, TopicPartition};
use ringlog_core::metadata::MetadataImage;
use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::message::{Answer, Call, DeleteRecords};
use crate::broker::shard::Shard;
use crate::handlers::{Request, push_to_owner};

/// Where nothing is known of the log.
const NO_LOW_WATERMARK: i64 = -1;

/// Answers one DeleteRecords request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = DeleteRecordsRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let mut results = delete(&shard, &asked).await.into_iter();
    let topics = asked
        .topics
        .iter()
        .map(|topic| DeleteRecordsTopicResult {
            name: topic.name,
            partitions: topic
                .partitions
                .iter()
                .map(|partition| {
                    let result = results.next().expect("one result per partition asked for");
                    partition_response(partition.partition_index, &result)
                })
                .collect(),
        })
        .collect();
    let response = DeleteRecordsResponse { topics, ..DeleteRecordsResponse::default() };
    Ok(request.respond(&shard, &response).await)
}

/// What became of each partition, in the order asked for.
async fn delete<E: Environment>(
    shard: &Rc<Shard<E>>,
    asked: &DeleteRecordsRequest<'_>,
) -> Vec<Result<Offset, Refusal>> {
    let image = shard.image();
    let (mut results, mut by_owner) = (Vec::new(), Vec::new());
    let partitions = asked
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name, partition)));
    for (topic_name, partition) in partitions {
        match place(&image, topic_name, partition, results.len()) {
            Ok(deletion) => {
                results.push(None);
                push_to_owner(&mut by_owner, shard.owner_of(&deletion.partition), deletion);
            }
            Err(refusal) => results.push(Some(Err(refusal))),
        }
    }
    let calls: Vec<_> = by_owner
        .into_iter()
        .map(|(owner, deletions)| shard.call(owner, Call::DeleteRecords(deletions)))
        .collect();
    for call in calls {
        let Answer::RecordsDeleted(deleted) = call.await else {
            unreachable!("deletions are answered as such")
        };
        for deleted in deleted {
            results[deleted.index] = Some(deleted.result);
        }
    }
    results.into_iter().map(|result| result.expect("each deletion was refused or answered")).collect()
}

fn place(
    image: &MetadataImage,
    topic_name: &str,
    asked: &DeleteRecordsPartition,
    index: usize,
) -> Result<DeleteRecords, Refusal> {
    let topic = image.topic(topic_name).ok_or(Refusal::UnknownTopicOrPartition)?;
    let partition = PartitionIndex(asked.partition_index);
    topic.partition(partition).ok_or(Refusal::UnknownTopicOrPartition)?;
    let partition = TopicPartition { topic: topic.id, partition };
    Ok(DeleteRecords { index, partition, before_offset: Offset(asked.offset) })
}

fn partition_response(
    partition_index: i32,
    result: &Result<Offset, Refusal>,
) -> DeleteRecordsPartitionResult {
    match result {
        Ok(low_watermark) => {
            DeleteRecordsPartitionResult { partition_index, low_watermark: low_watermark.0, error_code: 0 }
        }
        Err(refusal) => DeleteRecordsPartitionResult {
            partition_index,
            low_watermark: NO_LOW_WATERMARK,
            error_code: error_code_for(refusal).number(),
        },
    }
}
