//! Fetch: records out, whole batches, untouched; waits for the bytes a client wants to see at least.
//!
//! ```text
//!   session (KIP-227) ──► partitions wanted ──► split by owner ──► each owner reads, or waits for bytes
//!                                                                       │ the first that has enough
//!   response: small headers + untouched slices ◄── in request order ◄───┘ hurries the others
//! ```
//!
//! Always true: partitions use up the response's bytes in the order of the request or session; the first one with
//! records may exceed every bound by one batch (F1), no other does.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{FutureExt, select_all};
use ringlog_core::error_code::ErrorCode;
use ringlog_core::fetch_session::{
    NO_SESSION, PartitionKey, PartitionState, SessionRequest, TopicKey, Wanted,
};
use ringlog_core::ids::{LeaderEpoch, Offset, PartitionIndex, ShardIndex, TopicPartition};
use ringlog_core::metadata::MetadataImage;
use ringlog_core::refusal::{Refusal, error_code_at, error_code_for};
use ringlog_core::time::Instant;
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::fetch::{
    EpochEndOffset, FetchPartition, FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use ringlog_net::protocol::{ApiKey, DecodeError, Decoder, Records, Uuid};
use ringlog_runtime::environment::Environment;

use crate::broker::message::{
    Answer, Call, FetchCall, FetchRefused, Fetched, PartitionFetch, PartitionRecords,
};
use crate::broker::shard::Shard;
use crate::handlers::{Request, push_to_owner, topic_id, uuid};

/// The first version that names topics by id (KIP-516).
const TOPIC_ID_VERSION_MIN: i16 = 13;

/// The first version that may be answered with Zstandard (KIP-110).
const ZSTD_VERSION_MIN: i16 = 10;

const COMPRESSION_TYPE: &str = "compression.type";
const ZSTD: &str = "zstd";

/// What was read from one wanted partition.
type PartitionResult = Result<PartitionRecords, FetchRefused>;

/// How much to read, and how long to wait for it.
#[derive(Clone, Copy)]
struct Appetite {
    bytes_max: usize,
    bytes_min: usize,
    deadline: Instant,
}

/// Answers one Fetch request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let fetch = FetchRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let opened = shard.sessions.borrow_mut().open(session_request(&request, &fetch), shard.env.now());
    let context = match opened {
        Ok(context) => context,
        Err(refusal) => return Ok(refuse(&shard, &request, &refusal).await),
    };
    let image = shard.image();
    let wanted: Vec<_> = context
        .wanted()
        .iter()
        .enumerate()
        .map(|(index, wanted)| resolve(&image, &request, wanted, index))
        .collect();
    let began = shard.env.now();
    let (results, waited) = read_enough(&shard, &wanted, appetite(&shard, &fetch, began)).await;
    let keys: Vec<_> = context.wanted().iter().map(|wanted| wanted.partition.clone()).collect();
    let states: Vec<_> = results.iter().map(state_told).collect();
    let env = shard.env.clone();
    let now = env.now();
    request.progress.waited_for_data(waited);
    request.progress.waited_for_storage(now.since(began).saturating_sub(waited));
    let answered = shard.sessions.borrow_mut().answer(context, &states, now, || env.random());
    let answer = match answered {
        Ok(answer) => answer,
        Err(refusal) => return Ok(refuse(&shard, &request, &refusal).await),
    };
    let told = keys.iter().zip(&results).zip(answer.included).filter(|(_, included)| *included);
    for records in results.iter().flatten().filter(|records| records.record_bytes > 0) {
        shard.counts.fetched(records.record_count, records.record_bytes);
    }
    let response = FetchResponse {
        session_id: answer.session_id,
        responses: by_topic(told.map(|(told, _)| told), request.version),
        ..FetchResponse::default()
    };
    Ok(request.respond(&shard, &response).await)
}

async fn refuse<E: Environment>(shard: &Shard<E>, request: &Request, refusal: &Refusal) -> Outcome {
    let response = FetchResponse {
        error_code: error_code_for(refusal).number(),
        session_id: NO_SESSION,
        ..FetchResponse::default()
    };
    request.respond(shard, &response).await
}

fn session_request(request: &Request, fetch: &FetchRequest<'_>) -> SessionRequest {
    let by_topic_id = request.version >= TOPIC_ID_VERSION_MIN;
    let key = |name: &str, id: Uuid| match by_topic_id {
        true => TopicKey::Id(topic_id(id)),
        false => TopicKey::Name(Arc::from(name)),
    };
    let mut wanted = Vec::new();
    for topic in &fetch.topics {
        let topic_key = key(topic.topic, topic.topic_id);
        wanted.extend(topic.partitions.iter().map(|partition| wanted_partition(&topic_key, partition)));
    }
    let mut forgotten = Vec::new();
    for topic in &fetch.forgotten_topics_data {
        let topic_key = key(topic.topic, topic.topic_id);
        forgotten.extend(topic.partitions.iter().map(|index| (topic_key.clone(), PartitionIndex(*index))));
    }
    SessionRequest {
        session_id: fetch.session_id,
        session_epoch: fetch.session_epoch,
        by_topic_id,
        privileged: false,
        wanted,
        forgotten,
    }
}

fn wanted_partition(topic: &TopicKey, partition: &FetchPartition) -> Wanted {
    Wanted {
        partition: (topic.clone(), PartitionIndex(partition.partition)),
        fetch_offset: Offset(partition.fetch_offset),
        bytes_max: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
        current_leader_epoch: LeaderEpoch(partition.current_leader_epoch),
        last_fetched_epoch: LeaderEpoch(partition.last_fetched_epoch),
    }
}

fn appetite<E: Environment>(shard: &Shard<E>, fetch: &FetchRequest<'_>, now: Instant) -> Appetite {
    let bytes_max = usize::try_from(fetch.max_bytes).unwrap_or(0).min(shard.limits.request.fetch_bytes_max);
    let bytes_min = usize::try_from(fetch.min_bytes).unwrap_or(0).min(bytes_max);
    let wait = Duration::from_millis(u64::try_from(fetch.max_wait_ms).unwrap_or(0));
    let deadline = now + wait.min(shard.limits.request.fetch_wait_max);
    Appetite { bytes_max, bytes_min, deadline }
}

fn resolve(
    image: &MetadataImage,
    request: &Request,
    wanted: &Wanted,
    index: usize,
) -> Result<PartitionFetch, Refusal> {
    let (topic_key, partition_index) = &wanted.partition;
    let topic = match topic_key {
        TopicKey::Id(id) => image.topic_by_id(*id).ok_or(Refusal::UnknownTopicId)?,
        TopicKey::Name(name) => image.topic(name).ok_or(Refusal::UnknownTopicOrPartition)?,
    };
    topic.partition(*partition_index).ok_or(Refusal::UnknownTopicOrPartition)?;
    let is_zstd = topic.configs.get(COMPRESSION_TYPE).is_some_and(|codec| codec == ZSTD);
    if is_zstd && request.version < ZSTD_VERSION_MIN {
        // The client could not read what it would get (F23).
        return Err(Refusal::UnsupportedCompression { reason: "zstd needs Fetch version 10".into() });
    }
    Ok(PartitionFetch {
        index,
        partition: TopicPartition { topic: topic.id, partition: *partition_index },
        fetch_offset: wanted.fetch_offset,
        bytes_max: wanted.bytes_max,
        current_leader_epoch: wanted.current_leader_epoch,
        last_fetched_epoch: wanted.last_fetched_epoch,
    })
}

fn state_told(result: &PartitionResult) -> PartitionState {
    match result {
        Ok(records) => PartitionState {
            high_watermark: records.high_watermark,
            log_start_offset: records.log_start_offset,
            has_records: records.record_bytes > 0,
            has_news: records.diverging.is_some(),
            is_error: false,
        },
        Err(refused) => PartitionState {
            high_watermark: refused.high_watermark,
            log_start_offset: refused.log_start_offset,
            has_records: false,
            has_news: true,
            is_error: true,
        },
    }
}

/// Groups neighbours of one topic, keeping the order in which partitions were read.
fn by_topic<'r>(
    told: impl Iterator<Item = (&'r PartitionKey, &'r PartitionResult)>,
    version: i16,
) -> Vec<FetchableTopicResponse<'r>> {
    let mut topics: Vec<(&TopicKey, FetchableTopicResponse<'_>)> = Vec::new();
    for ((topic_key, partition_index), result) in told {
        if topics.last().is_none_or(|(last, _)| *last != topic_key) {
            let (topic, topic_id) = match topic_key {
                TopicKey::Id(id) => ("", uuid(*id)),
                TopicKey::Name(name) => (&**name, Uuid::ZERO),
            };
            topics.push((topic_key, FetchableTopicResponse { topic, topic_id, partitions: Vec::new() }));
        }
        let (_, topic) = topics.last_mut().expect("one was pushed if there was none");
        topic.partitions.push(partition_data(*partition_index, result, version));
    }
    topics.into_iter().map(|(_, topic)| topic).collect()
}

fn partition_data<'r>(index: PartitionIndex, result: &'r PartitionResult, version: i16) -> PartitionData<'r> {
    match result {
        Ok(records) => PartitionData {
            partition_index: index.0,
            error_code: ErrorCode::None.number(),
            high_watermark: records.high_watermark.0,
            last_stable_offset: records.high_watermark.0,
            log_start_offset: records.log_start_offset.0,
            aborted_transactions: None,
            records: Some(Records::Slices(records.records.clone())),
            diverging_epoch: records.diverging.map_or_else(EpochEndOffset::default, |(epoch, end_offset)| {
                EpochEndOffset { epoch: epoch.0, end_offset: end_offset.0 }
            }),
            ..PartitionData::default()
        },
        Err(refused) => PartitionData {
            partition_index: index.0,
            error_code: error_code_at(error_code_for(&refused.refusal), ApiKey::Fetch as i16, version)
                .number(),
            high_watermark: refused.high_watermark.0,
            last_stable_offset: refused.high_watermark.0,
            log_start_offset: refused.log_start_offset.0,
            aborted_transactions: None,
            records: Some(Records::Slices(Vec::new())),
            ..PartitionData::default()
        },
    }
}

/// Reads wanted partitions until there is enough, something else is to be told, or it is too late (F4); and how
/// long it waited for data.
async fn read_enough<E: Environment>(
    shard: &Rc<Shard<E>>,
    wanted: &[Result<PartitionFetch, Refusal>],
    appetite: Appetite,
) -> (Vec<PartitionResult>, Duration) {
    let mut waited = Duration::ZERO;
    let mut owners = by_owner(shard, wanted);
    loop {
        let (results, waited_now) = read_once(shard, wanted, &mut owners, appetite).await;
        waited += waited_now;
        // As in Kafka what counts is what could be read, not what was: a read ends with a whole batch, and with its segment.
        let bytes: usize = owners.iter().map(|owner| owner.readable_bytes).sum();
        let telling =
            results.iter().any(|result| !matches!(result, Ok(records) if records.diverging.is_none()));
        if bytes >= appetite.bytes_min
            || wanted.is_empty()
            || telling
            || shard.env.now() >= appetite.deadline
            || shard.is_stopping()
        {
            return (results, waited);
        }
    }
}

/// A shard that owns wanted partitions.
struct Owner {
    shard: ShardIndex,
    partitions: Vec<PartitionFetch>,
    /// What it could have read when it was asked last.
    readable_bytes: usize,
}

fn by_owner<E: Environment>(shard: &Shard<E>, wanted: &[Result<PartitionFetch, Refusal>]) -> Vec<Owner> {
    let mut by_owner: Vec<(ShardIndex, Vec<PartitionFetch>)> = Vec::new();
    for fetch in wanted.iter().flatten() {
        push_to_owner(&mut by_owner, shard.owner_of(&fetch.partition), *fetch);
    }
    let owner = |(shard, partitions)| Owner { shard, partitions, readable_bytes: 0 };
    by_owner.into_iter().map(owner).collect()
}

/// Asks each owner once; the first with its share of the bytes makes the others answer at once. What an owner was seen to
/// have counts as had: it is asked for that and its share of what is missing, so that no round is answered as the last one.
async fn read_once<E: Environment>(
    shard: &Rc<Shard<E>>,
    wanted: &[Result<PartitionFetch, Refusal>],
    owners: &mut [Owner],
    appetite: Appetite,
) -> (Vec<PartitionResult>, Duration) {
    let at_once = wanted.iter().any(Result::is_err);
    let had: usize = owners.iter().map(|owner| owner.readable_bytes).sum();
    let share = appetite.bytes_min.saturating_sub(had).div_ceil(owners.len().max(1));
    let mut tickets = Vec::with_capacity(owners.len());
    let mut calls = Vec::with_capacity(owners.len());
    for (index, owner) in owners.iter().enumerate() {
        let Appetite { bytes_max, deadline, .. } = appetite;
        let bytes_needed = if at_once { 0 } else { owner.readable_bytes + share };
        let partitions = owner.partitions.clone();
        let call =
            shard.call(owner.shard, Call::Fetch(FetchCall { partitions, bytes_max, bytes_needed, deadline }));
        tickets.push(call.ticket());
        calls.push(call.map(move |answer| (index, answer)));
    }
    let mut results: Vec<Option<PartitionResult>> = wanted
        .iter()
        .map(|fetch| fetch.as_ref().err().map(|refusal| Err(FetchRefused::new(refusal.clone()))))
        .collect();
    let (mut hurried, mut waited) = (false, Duration::ZERO);
    while !calls.is_empty() {
        let ((index, answer), _, rest) = select_all(calls).await;
        calls = rest;
        waited = waited.max(note(&mut results, &mut owners[index], answer));
        if !hurried && !calls.is_empty() {
            hurried = true;
            for (owner, ticket) in owners.iter().zip(&tickets) {
                shard.call(owner.shard, Call::HurryFetch(*ticket)).now_or_never();
            }
        }
    }
    let results = results.into_iter().map(|result| result.expect("each owner answers for its partitions"));
    (within_bytes(results, appetite), waited)
}

/// Puts what one owner read in its place; how long that owner waited for data.
fn note(results: &mut [Option<PartitionResult>], owner: &mut Owner, answer: Answer) -> Duration {
    let Answer::Fetched { fetched, readable_bytes, waited } = answer else {
        unreachable!("a fetch is answered with what was fetched")
    };
    owner.readable_bytes = readable_bytes;
    for Fetched { index, result } in fetched {
        results[index] = Some(result);
    }
    waited
}

/// Owners read side by side, each within the whole bound; here the bound is shared out in request order (F1).
fn within_bytes(results: impl Iterator<Item = PartitionResult>, appetite: Appetite) -> Vec<PartitionResult> {
    let mut bytes_left = appetite.bytes_max;
    let mut nothing_yet = true;
    results
        .map(|result| {
            result.map(|mut records| {
                if records.record_bytes > bytes_left && !nothing_yet {
                    records.records.clear();
                    (records.record_bytes, records.record_count) = (0, 0);
                }
                nothing_yet &= records.record_bytes == 0;
                bytes_left = bytes_left.saturating_sub(records.record_bytes);
                records
            })
        })
        .collect()
}
