//! Heartbeat: a member of a group lives, and learns whether it is to join again.

use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::group::message::{self, GroupGeneration, Heartbeat};
use ringlog_core::refusal::error_code_for;
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::Request;

/// Answers one Heartbeat request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = HeartbeatRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let heartbeat = Heartbeat {
        group: asked.group_id.into(),
        member: asked.member_id.into(),
        instance: asked.group_instance_id.map(Into::into),
        generation: GroupGeneration(asked.generation_id),
    };
    let answer = shard.ask_coordinator(asked.group_id, message::Request::Heartbeat(heartbeat)).await;
    let message::Answer::Heartbeat(answer) = answer else { unreachable!("a heartbeat is answered as one") };
    let error = answer.map_or_else(|refusal| error_code_for(&refusal), |()| ErrorCode::None);
    let response = HeartbeatResponse { error_code: error.number(), ..HeartbeatResponse::default() };
    Ok(request.respond(&shard, &response).await)
}
