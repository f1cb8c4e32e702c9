//! JoinGroup: become a member of a group. The reply leaves when the group's next generation begins.

use std::rc::Rc;
use std::time::Duration;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::group::message::{self, Join, JoinAnswer, Joined, Protocol};
use ringlog_core::refusal::error_code_for;
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::Request;

/// The first version whose members may be told to join again with an id (KIP-394).
const KNOWN_MEMBER_VERSION_MIN: i16 = 4;

/// The first version in which a failed join names no protocol at all, rather than an empty one.
const NULL_PROTOCOL_VERSION_MIN: i16 = 7;

/// The first version whose leader may be told not to assign (KIP-814).
const SKIP_ASSIGNMENT_VERSION_MIN: i16 = 9;

/// Answers one JoinGroup request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = JoinGroupRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let join = join(&request, &asked);
    let began = shard.env.now();
    let answer = shard.ask_coordinator(asked.group_id, message::Request::Join(join)).await;
    request.progress.waited_for_data(shard.env.now().since(began));
    let message::Answer::Join(answer) = answer else { unreachable!("a join is answered as one") };
    let response = match &answer.outcome {
        Ok(joined) => told(&answer, joined),
        Err(refusal) => JoinGroupResponse {
            error_code: error_code_for(refusal).number(),
            protocol_name: (request.version < NULL_PROTOCOL_VERSION_MIN).then_some(""),
            member_id: &answer.member,
            ..JoinGroupResponse::default()
        },
    };
    Ok(request.respond(&shard, &response).await)
}

fn join(request: &Request, asked: &JoinGroupRequest<'_>) -> Join {
    let session_timeout = milliseconds(asked.session_timeout_ms);
    let protocol = |protocol: &ringlog_net::protocol::join_group::JoinGroupRequestProtocol<'_>| Protocol {
        name: protocol.name.into(),
        metadata: protocol.metadata.into(),
    };
    Join {
        group: asked.group_id.into(),
        member: asked.member_id.into(),
        instance: asked.group_instance_id.map(Into::into),
        client_id: request.client_id.as_deref().unwrap_or_default().into(),
        client_host: request.client_host(),
        session_timeout,
        rebalance_timeout: match asked.rebalance_timeout_ms {
            // Version 0 has none.
            -1 => session_timeout,
            timeout => milliseconds(timeout),
        },
        protocol_type: asked.protocol_type.into(),
        protocols: asked.protocols.iter().map(protocol).collect(),
        requires_known_member: request.version >= KNOWN_MEMBER_VERSION_MIN,
        supports_skipping_assignment: request.version >= SKIP_ASSIGNMENT_VERSION_MIN,
        reason: asked.reason.map(Into::into),
    }
}

/// A negative time is as short as can be: the coordinator refuses it.
fn milliseconds(count: i32) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or(0))
}

fn told<'a>(answer: &'a JoinAnswer, joined: &'a Joined) -> JoinGroupResponse<'a> {
    let members = joined.members.iter().map(|member| JoinGroupResponseMember {
        member_id: &member.member,
        group_instance_id: member.instance.as_deref(),
        metadata: &member.metadata,
    });
    JoinGroupResponse {
        error_code: ErrorCode::None.number(),
        generation_id: joined.generation.0,
        protocol_type: Some(&joined.protocol_type),
        protocol_name: Some(&joined.protocol),
        leader: &joined.leader,
        skip_assignment: joined.skip_assignment,
        member_id: &answer.member,
        members: members.collect(),
        ..JoinGroupResponse::default()
    }
}
