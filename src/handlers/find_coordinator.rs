//! FindCoordinator: which broker coordinates a group. Creates the topic that holds groups when it is first needed.
//!
//! ```text
//!   group id ──hash──► partition of __consumer_offsets ──leader──► broker, its address on this listener
//! ```

use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::metadata::topic_name::CONSUMER_OFFSETS_TOPIC;
use ringlog_core::metadata::{BrokerImage, MetadataImage};
use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::directories::{Offline, Outage};
use crate::broker::groups::asking::partition_holding;
use crate::broker::shard::Shard;
use crate::handlers::Request;

/// The first version that asks for several keys at once (KIP-699).
const BATCH_VERSION_MIN: i16 = 4;

/// What can be coordinated, as `key_type` numbers it.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

/// Answers one FindCoordinator request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = FindCoordinatorRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let is_batch = request.version >= BATCH_VERSION_MIN;
    let keys = if is_batch { &asked.coordinator_keys[..] } else { std::slice::from_ref(&asked.key) };
    if asked.key_type == GROUP && !keys.is_empty() {
        shard.ensure_internal_topic(CONSUMER_OFFSETS_TOPIC).await;
    }
    let (image, outage) = (shard.image(), shard.outage());
    let found: Vec<_> = keys.iter().map(|key| find(&image, outage.as_ref(), asked.key_type, key)).collect();
    let texts: Vec<_> = found.iter().map(|found| found.as_ref().err().map(Refusal::to_string)).collect();
    let listener_name = &shard.config.listeners[request.listener].name;
    let told = keys.iter().zip(&found).zip(&texts);
    let coordinators = told.map(|((key, found), text)| told_of(key, found, text.as_deref(), listener_name));
    let response = if is_batch {
        FindCoordinatorResponse { coordinators: coordinators.collect(), ..FindCoordinatorResponse::default() }
    } else {
        let coordinator = coordinators.into_iter().next_back().expect("one key was asked for");
        FindCoordinatorResponse {
            error_code: coordinator.error_code,
            error_message: coordinator.error_message,
            node_id: coordinator.node_id,
            host: coordinator.host,
            port: coordinator.port,
            ..FindCoordinatorResponse::default()
        }
    };
    Ok(request.respond(&shard, &response).await)
}

fn find<'i>(
    image: &'i MetadataImage,
    outage: Option<&Outage>,
    key_type: i8,
    key: &str,
) -> Result<&'i BrokerImage, Refusal> {
    match key_type {
        GROUP => {}
        TRANSACTION => return Err(Refusal::TransactionsUnavailable),
        SHARE => return Err(Refusal::invalid_request("share groups are not served")),
        _ => return Err(Refusal::invalid_request("an unknown kind of coordinator")),
    }
    let holding = partition_holding(image, key).ok_or(Refusal::CoordinatorNotAvailable)?;
    if outage.and_then(|outage| outage.of(&holding)) == Some(Offline::Leaderless) {
        return Err(Refusal::CoordinatorNotAvailable);
    }
    let topic = image.topic_by_id(holding.topic);
    let partition = topic.and_then(|topic| topic.partition(holding.partition));
    let leader = partition.and_then(|partition| partition.leader);
    leader
        .and_then(|leader| image.broker(leader))
        .map(|broker| &**broker)
        .ok_or(Refusal::CoordinatorNotAvailable)
}

fn told_of<'a>(
    key: &'a str,
    found: &Result<&'a BrokerImage, Refusal>,
    text: Option<&'a str>,
    listener_name: &str,
) -> Coordinator<'a> {
    let nobody = |error: ErrorCode| Coordinator {
        key,
        node_id: -1,
        host: "",
        port: -1,
        error_code: error.number(),
        error_message: text,
    };
    let broker = match found {
        Ok(broker) => broker,
        Err(refusal) => return nobody(error_code_for(refusal)),
    };
    match broker.listeners.iter().find(|listener| listener.name == listener_name) {
        Some(listener) => Coordinator {
            key,
            node_id: broker.id.0,
            host: &listener.host,
            port: i32::from(listener.port),
            error_code: ErrorCode::None.number(),
            // Kafka says "NONE" in the single form and nothing here; nobody reads it.
            error_message: None,
        },
        None => nobody(ErrorCode::CoordinatorNotAvailable),
    }
}
