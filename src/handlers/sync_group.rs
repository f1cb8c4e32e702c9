//! SyncGroup: a member's assignment. The reply leaves when the group's leader has brought everyone's.

use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::group::message::{self, GroupGeneration, Sync};
use ringlog_core::refusal::error_code_for;
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::sync_group::{SyncGroupRequest, SyncGroupResponse};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::Request;

/// The first version whose clients must say what they believe the group agreed on (KIP-559), before anything else is looked at.
const NAMED_VERSION_MIN: i16 = 5;

/// Answers one SyncGroup request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = SyncGroupRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let is_named = asked.protocol_type.is_some() && asked.protocol_name.is_some();
    if request.version >= NAMED_VERSION_MIN && !is_named {
        let error_code = ErrorCode::InconsistentGroupProtocol.number();
        let response = SyncGroupResponse { error_code, ..SyncGroupResponse::default() };
        return Ok(request.respond(&shard, &response).await);
    }
    let assignments = asked.assignments.iter();
    let sync = Sync {
        group: asked.group_id.into(),
        member: asked.member_id.into(),
        instance: asked.group_instance_id.map(Into::into),
        generation: GroupGeneration(asked.generation_id),
        protocol_type: asked.protocol_type.map(Into::into),
        protocol: asked.protocol_name.map(Into::into),
        assignments: assignments.map(|one| (one.member_id.into(), one.assignment.into())).collect(),
    };
    let began = shard.env.now();
    let answer = shard.ask_coordinator(asked.group_id, message::Request::Sync(sync)).await;
    request.progress.waited_for_data(shard.env.now().since(began));
    let message::Answer::Sync(answer) = answer else { unreachable!("a sync is answered as one") };
    let response = match &answer {
        Ok(synced) => SyncGroupResponse {
            protocol_type: Some(&synced.protocol_type),
            protocol_name: Some(&synced.protocol),
            assignment: &synced.assignment,
            ..SyncGroupResponse::default()
        },
        Err(refusal) => {
            SyncGroupResponse { error_code: error_code_for(refusal).number(), ..SyncGroupResponse::default() }
        }
    };
    Ok(request.respond(&shard, &response).await)
}
