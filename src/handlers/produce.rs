//! Produce: batches in, offsets out, once they are as safe as was asked for.
//!
//! ```text
//!   arrival:      decode ──► resolve topics ──► split by owner ──► calls leave         (pipelined)
//!   turn to reply:  gather answers, or time out ──► response; acks=0: silence, or close on an error
//! ```

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use ringlog_core::ids::{PartitionIndex, ShardIndex, TopicName, TopicPartition};
use ringlog_core::metadata::{MetadataImage, TopicImage};
use ringlog_core::record_batch::BatchHeader;
use ringlog_core::refusal::{Refusal, error_code_at, error_code_for};
use ringlog_core::time::{Instant, Timestamp};
use ringlog_net::connection::{Outcome, Reply};
use ringlog_net::protocol::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use ringlog_net::protocol::{ApiKey, Decoder, Uuid};
use ringlog_replication::leader::Acks;
use ringlog_runtime::environment::Environment;

use crate::broker::calls::PendingCall;
use crate::broker::message::{
    Answer, Appended, Call, PartitionProduce, ProduceCall, ProducePrivileges, Produced,
};
use crate::broker::shard::Shard;
use crate::handlers::{Request, push_to_owner, topic_id};

/// The first version that may carry Zstandard (KIP-110).
const ZSTD_VERSION_MIN: i16 = 7;

/// The first version that names topics by id (KIP-516).
const TOPIC_ID_VERSION_MIN: i16 = 13;

/// The tool that may write to internal topics (P19).
const ADMIN_CLIENT_ID: &str = "__admin_client";

/// A request under way: where its answers go in the response.
struct ProduceUnderWay {
    acks: Option<Acks>,
    topics: Vec<TopicUnderWay>,
    results: Vec<Option<Result<Appended, Refusal>>>,
}

struct TopicUnderWay {
    name: TopicName,
    id: Uuid,
    partitions: Vec<PartitionIndex>,
}

/// Sends each batch to the shard that owns its partition; what is awaited later is the answers.
pub fn start<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Option<Reply> {
    let decoded = ProduceRequest::decode(&mut Decoder::new(&request.body), request.version);
    let produce = match decoded {
        Ok(produce) => produce,
        Err(error) => {
            tracing::info!(peer = %request.peer, %error, "connection closed: a Produce request cannot be decoded");
            return None;
        }
    };
    let timeout = Duration::from_millis(u64::try_from(produce.timeout_ms).unwrap_or(0));
    let (mut under_way, by_owner) = split(&shard, &request, &produce);
    let mut calls = Vec::new();
    if let Some(acks) = under_way.acks {
        let privileges = ProducePrivileges { zstd: request.version >= ZSTD_VERSION_MIN };
        for (owner, partitions) in by_owner {
            let call = Call::Produce(ProduceCall { acks, privileges, partitions });
            calls.push(shard.call(owner, call));
        }
    }
    drop(produce);
    let now = shard.env.now();
    request.progress.handed_over(now);
    let deadline = now + timeout;
    Some(Box::pin(async move {
        gather(&shard, &mut under_way, calls, deadline).await;
        answer(&shard, &request, under_way).await
    }))
}

/// Finds each batch's owner; a batch that has none is refused here.
fn split<E: Environment>(
    shard: &Shard<E>,
    request: &Request,
    produce: &ProduceRequest<'_>,
) -> (ProduceUnderWay, Vec<(ShardIndex, Vec<PartitionProduce>)>) {
    let image = shard.image();
    let acks = Acks::from_wire(produce.acks);
    let mut under_way = ProduceUnderWay { acks, topics: Vec::new(), results: Vec::new() };
    let mut by_owner: Vec<(ShardIndex, Vec<PartitionProduce>)> = Vec::new();
    for topic_data in &produce.topic_data {
        let topic = resolve(&image, request, produce, topic_data);
        under_way.topics.push(TopicUnderWay {
            name: topic.as_ref().map_or_else(|_| Arc::from(topic_data.name), |topic| topic.name.clone()),
            id: topic_data.topic_id,
            partitions: topic_data.partition_data.iter().map(|data| PartitionIndex(data.index)).collect(),
        });
        for data in &topic_data.partition_data {
            let index = under_way.results.len();
            let placed = topic.clone().and_then(|topic| place(request, topic, data, index));
            match placed {
                Ok(batch) => {
                    under_way.results.push(None);
                    push_to_owner(&mut by_owner, shard.owner_of(&batch.partition), batch);
                }
                Err(refusal) => under_way.results.push(Some(Err(refusal))),
            }
        }
    }
    (under_way, by_owner)
}

fn resolve<'i>(
    image: &'i MetadataImage,
    request: &Request,
    produce: &ProduceRequest<'_>,
    data: &TopicProduceData<'_>,
) -> Result<&'i TopicImage, Refusal> {
    if Acks::from_wire(produce.acks).is_none() {
        return Err(Refusal::InvalidRequiredAcks { acks: produce.acks });
    }
    if produce.transactional_id.is_some() {
        return Err(Refusal::TransactionsUnavailable);
    }
    let topic = if request.version >= TOPIC_ID_VERSION_MIN {
        image.topic_by_id(topic_id(data.topic_id)).ok_or(Refusal::UnknownTopicId)?
    } else {
        image.topic(data.name).ok_or(Refusal::UnknownTopicOrPartition)?
    };
    if topic.is_internal() && request.client_id.as_deref() != Some(ADMIN_CLIENT_ID) {
        return Err(Refusal::InternalTopic);
    }
    Ok(topic)
}

fn place(
    request: &Request,
    topic: &TopicImage,
    data: &PartitionProduceData<'_>,
    index: usize,
) -> Result<PartitionProduce, Refusal> {
    let partition_index = PartitionIndex(data.index);
    topic.partition(partition_index).ok_or(Refusal::UnknownTopicOrPartition)?;
    let records = data.records.unwrap_or(&[]);
    if BatchHeader::parse(records).is_ok_and(|header| header.attributes().is_transactional()) {
        // Nobody could end its transaction: read-committed readers of its files would wait for ever.
        return Err(Refusal::TransactionsUnavailable);
    }
    Ok(PartitionProduce {
        index,
        partition: TopicPartition { topic: topic.id, partition: partition_index },
        records: request.body.slice_of(records),
    })
}

/// Collects the owners' answers until the client's timeout; a batch undecided by then may still be committed.
async fn gather<E: Environment>(
    shard: &Shard<E>,
    under_way: &mut ProduceUnderWay,
    calls: Vec<PendingCall<Answer>>,
    deadline: Instant,
) {
    let mut too_late = shard.deadlines.at(deadline);
    for call in calls {
        match select(call, &mut too_late).await {
            Either::Left((answer, _)) => note(under_way, answer),
            // The others may be there already.
            Either::Right(((), call)) => {
                if let Some(answer) = futures_util::FutureExt::now_or_never(call) {
                    note(under_way, answer);
                }
            }
        }
    }
}

fn note(under_way: &mut ProduceUnderWay, answer: Answer) {
    let Answer::Produced(produced) = answer else {
        unreachable!("a produce call is answered with its batches")
    };
    for Produced { index, result } in produced {
        under_way.results[index] = Some(result);
    }
}

async fn answer<E: Environment>(shard: &Shard<E>, request: &Request, under_way: ProduceUnderWay) -> Outcome {
    let failed = under_way.results.iter().any(|result| !matches!(result, Some(Ok(_))));
    if under_way.acks == Some(Acks::None) {
        // A client that wants no answer learns of a failure by the closed connection (P1).
        return if failed { Outcome::Close } else { Outcome::Silence };
    }
    let results: Vec<_> =
        under_way.results.into_iter().map(|result| result.unwrap_or(Err(Refusal::RequestTimedOut))).collect();
    let texts: Vec<_> = results.iter().map(RefusalText::of).collect();
    let mut decided = results.iter().zip(&texts);
    let responses = under_way
        .topics
        .iter()
        .map(|topic| TopicProduceResponse {
            name: &topic.name,
            topic_id: topic.id,
            partition_responses: topic
                .partitions
                .iter()
                .map(|index| {
                    let (result, text) = decided.next().expect("one result per partition asked for");
                    partition_response(*index, result, text, request.version)
                })
                .collect(),
        })
        .collect();
    request.respond(shard, &ProduceResponse { responses, ..ProduceResponse::default() }).await
}

/// One partition's part of the response; `text` holds the messages it borrows.
fn partition_response<'t>(
    index: PartitionIndex,
    result: &Result<Appended, Refusal>,
    text: &'t RefusalText,
    version: i16,
) -> PartitionProduceResponse<'t> {
    match result {
        Ok(appended) => PartitionProduceResponse {
            index: index.0,
            base_offset: appended.base_offset.0,
            log_append_time_ms: appended.log_append_time.0,
            log_start_offset: appended.log_start_offset.0,
            ..PartitionProduceResponse::default()
        },
        Err(refusal) => PartitionProduceResponse {
            index: index.0,
            error_code: error_code_at(error_code_for(refusal), ApiKey::Produce as i16, version).number(),
            base_offset: -1,
            log_append_time_ms: Timestamp::NONE.0,
            log_start_offset: -1,
            record_errors: text.record_errors(),
            error_message: text.message(),
            ..PartitionProduceResponse::default()
        },
    }
}

/// The words of a refusal, kept while the response borrows them.
struct RefusalText {
    message: Option<String>,
    records: Vec<(i32, String)>,
}

impl RefusalText {
    fn of(result: &Result<Appended, Refusal>) -> RefusalText {
        match result {
            Ok(_) => RefusalText { message: None, records: Vec::new() },
            Err(refusal) => RefusalText {
                message: Some(refusal.to_string()),
                records: refusal.record_errors().iter().map(|error| (error.index, error.message())).collect(),
            },
        }
    }

    fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    fn record_errors(&self) -> Vec<BatchIndexAndErrorMessage<'_>> {
        self.records
            .iter()
            .map(|(index, message)| BatchIndexAndErrorMessage {
                batch_index: *index,
                batch_index_error_message: Some(message),
            })
            .collect()
    }
}
