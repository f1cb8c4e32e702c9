//! AlterPartitionReassignments: a partition may be asked to stay where it is, and nothing else (KIP-455).

use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::metadata::MetadataImage;
use ringlog_core::metadata::placement::{judge_reassignment, partition_named};
use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopic, ReassignableTopicResponse,
};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::Request;

/// A partition's index, and why it cannot be as asked.
type Judged = (i32, Option<(ErrorCode, String)>);

/// Answers one AlterPartitionReassignments request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked =
        AlterPartitionReassignmentsRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let image = shard.image();
    let judged: Vec<Vec<Judged>> = asked.topics.iter().map(|topic| judge(&image, topic)).collect();
    let responses = asked.topics.iter().zip(&judged);
    let response = AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: asked.allow_replication_factor_change,
        responses: responses.map(|(topic, judged)| topic_response(topic, judged)).collect(),
        ..AlterPartitionReassignmentsResponse::default()
    };
    Ok(request.respond(&shard, &response).await)
}

fn judge(image: &MetadataImage, topic: &ReassignableTopic<'_>) -> Vec<Judged> {
    let judge = |asked: &ReassignablePartition| -> Result<(), Refusal> {
        let (_, partition) = partition_named(image, topic.name, asked.partition_index)?;
        judge_reassignment(image, partition, asked.replicas.as_deref())
    };
    let told = |refusal: Refusal| (error_code_for(&refusal), refusal.to_string());
    topic.partitions.iter().map(|asked| (asked.partition_index, judge(asked).err().map(told))).collect()
}

fn topic_response<'r>(topic: &ReassignableTopic<'r>, judged: &'r [Judged]) -> ReassignableTopicResponse<'r> {
    let partitions = judged.iter().map(|(partition_index, refused)| ReassignablePartitionResponse {
        partition_index: *partition_index,
        error_code: refused.as_ref().map_or(ErrorCode::None, |(code, _)| *code).number(),
        error_message: refused.as_ref().map(|(_, message)| message.as_str()),
    });
    ReassignableTopicResponse { name: topic.name, partitions: partitions.collect() }
}
