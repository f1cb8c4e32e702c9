//! ElectLeaders: says why nobody else can lead (KIP-460).

use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::metadata::MetadataImage;
use ringlog_core::metadata::placement::{ElectionKind, judge_election, partition_named};
use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult, TopicPartitions,
};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::Request;

/// A partition's index, and why it keeps its leader.
type Judged = (i32, ErrorCode, String);

/// Answers one ElectLeaders request. Asked about all partitions, Kafka tells only of those that need a leader: none.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = ElectLeadersRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let image = shard.image();
    let kind = ElectionKind::from_number(asked.election_type);
    let topics = asked.topic_partitions.as_deref().unwrap_or_default();
    let judged: Vec<Vec<Judged>> = topics.iter().map(|topic| judge(&image, topic, &kind)).collect();
    let results = topics.iter().zip(&judged);
    let response = ElectLeadersResponse {
        error_code: kind.as_ref().map_or_else(error_code_for, |_| ErrorCode::None).number(),
        replica_election_results: results.map(|(topic, judged)| topic_response(topic, judged)).collect(),
        ..ElectLeadersResponse::default()
    };
    Ok(request.respond(&shard, &response).await)
}

fn judge(
    image: &MetadataImage,
    topic: &TopicPartitions<'_>,
    kind: &Result<ElectionKind, Refusal>,
) -> Vec<Judged> {
    let judge = |index: i32| -> Refusal {
        match (kind, partition_named(image, topic.topic, index)) {
            (Err(refusal), _) => refusal.clone(),
            (Ok(_), Err(refusal)) => refusal,
            (Ok(kind), Ok((_, partition))) => judge_election(partition, *kind),
        }
    };
    let told = |index: i32| {
        let refusal = judge(index);
        (index, error_code_for(&refusal), refusal.to_string())
    };
    topic.partitions.iter().map(|index| told(*index)).collect()
}

fn topic_response<'r>(topic: &TopicPartitions<'r>, judged: &'r [Judged]) -> ReplicaElectionResult<'r> {
    let partitions = judged.iter().map(|(partition_id, code, message)| PartitionResult {
        partition_id: *partition_id,
        error_code: code.number(),
        error_message: Some(message),
    });
    ReplicaElectionResult { topic: topic.topic, partition_result: partitions.collect() }
}
