//! LeaveGroup: members leave, or are removed by an administrator.

use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::group::message::{self, Leave, LeavingMember, LeftMember};
use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::Request;

/// The first version with several members, each with an error of its own (KIP-345).
const MEMBERS_VERSION_MIN: i16 = 3;

/// Answers one LeaveGroup request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = LeaveGroupRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let leave = Leave { group: asked.group_id.into(), members: members(&request, &asked) };
    let answer = shard.ask_coordinator(asked.group_id, message::Request::Leave(leave)).await;
    let message::Answer::Leave(answer) = answer else { unreachable!("leaving is answered as such") };
    let response = match &answer {
        Ok(left) if request.version >= MEMBERS_VERSION_MIN => {
            LeaveGroupResponse { members: left.iter().map(member).collect(), ..LeaveGroupResponse::default() }
        }
        Ok(left) => of_error(left.first().map_or(ErrorCode::None, |left| error_of(&left.result))),
        Err(refusal) => of_error(error_code_for(refusal)),
    };
    Ok(request.respond(&shard, &response).await)
}

fn members(request: &Request, asked: &LeaveGroupRequest<'_>) -> Vec<LeavingMember> {
    if request.version < MEMBERS_VERSION_MIN {
        return vec![LeavingMember { member: asked.member_id.into(), instance: None, reason: None }];
    }
    let members = asked.members.iter().map(|member| LeavingMember {
        member: member.member_id.into(),
        instance: member.group_instance_id.map(Into::into),
        reason: member.reason.map(Into::into),
    });
    members.collect()
}

fn of_error(error: ErrorCode) -> LeaveGroupResponse<'static> {
    LeaveGroupResponse { error_code: error.number(), ..LeaveGroupResponse::default() }
}

fn member(left: &LeftMember) -> MemberResponse<'_> {
    MemberResponse {
        member_id: &left.member,
        group_instance_id: left.instance.as_deref(),
        error_code: error_of(&left.result).number(),
    }
}

fn error_of(result: &Result<(), Refusal>) -> ErrorCode {
    result.as_ref().map_or_else(error_code_for, |()| ErrorCode::None)
}
