//! InitProducerId: an identity for an idempotent producer (KIP-98).

use std::rc::Rc;

use ringlog_core::ids::{ProducerEpoch, ProducerId};
use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::Request;

/// Answers one InitProducerId request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = InitProducerIdRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let identity = match asked.transactional_id {
        None => next_identity(&shard, &asked).await,
        Some("") => Err(Refusal::invalid_request("a transactional id is not empty")),
        Some(_) => Err(Refusal::TransactionsUnavailable),
    };
    let response = match identity {
        Ok((producer_id, producer_epoch)) => InitProducerIdResponse {
            producer_id: producer_id.0,
            producer_epoch: producer_epoch.0,
            ..InitProducerIdResponse::default()
        },
        Err(refusal) => InitProducerIdResponse {
            error_code: error_code_for(&refusal).number(),
            producer_id: ProducerId::NONE.0,
            producer_epoch: ProducerEpoch::NONE.0,
            ..InitProducerIdResponse::default()
        },
    };
    Ok(request.respond(&shard, &response).await)
}

/// A producer without a transactional id always gets a fresh id: nothing ties it to an earlier one.
async fn next_identity<E: Environment>(
    shard: &Rc<Shard<E>>,
    asked: &InitProducerIdRequest<'_>,
) -> Result<(ProducerId, ProducerEpoch), Refusal> {
    let has_id = asked.producer_id != ProducerId::NONE.0;
    let has_epoch = asked.producer_epoch != ProducerEpoch::NONE.0;
    if has_id != has_epoch {
        return Err(Refusal::invalid_request("producer id and epoch are given both or not at all"));
    }
    Ok((shard.allocate_producer_id().await?, ProducerEpoch(0)))
}
