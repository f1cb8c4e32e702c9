//! DescribeGroups: the state and members of groups, for people.

use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::group::message::{self, GroupDescription, GroupState, MemberDescription};
use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::{AUTHORIZED_OPERATIONS_NOT_ASKED, Request, operations};

/// The first version that says that there is no such group (KIP-1043); before, it was called dead.
const NOT_FOUND_VERSION_MIN: i16 = 6;

/// Answers one DescribeGroups request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = DescribeGroupsRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let mut descriptions = Vec::with_capacity(asked.groups.len());
    let mut room = shard.limits.request.members_told_max;
    for group in &asked.groups {
        let description = describe(&shard, group, room).await;
        let taken = description.as_ref().map_or(1, |description| 1 + description.members.len());
        // After the first that has no room none is looked at: they may be many.
        room = if is_full(&description) { 0 } else { room.saturating_sub(taken) };
        let text = description.as_ref().err().map(|refusal| told_why(group, refusal));
        descriptions.push((description, text));
    }
    let authorized_operations = match asked.include_authorized_operations {
        true => operations::GROUP,
        false => AUTHORIZED_OPERATIONS_NOT_ASKED,
    };
    let groups = asked.groups.iter().zip(&descriptions).map(|(group_id, (description, text))| {
        let described = match description {
            Ok(description) => described(description),
            Err(Refusal::GroupIdNotFound) if request.version < NOT_FOUND_VERSION_MIN => dead(ErrorCode::None),
            Err(refusal) => dead(error_code_for(refusal)),
        };
        DescribedGroup { group_id, error_message: text.as_deref(), authorized_operations, ..described }
    });
    let response = DescribeGroupsResponse { groups: groups.collect(), ..DescribeGroupsResponse::default() };
    Ok(request.respond(&shard, &response).await)
}

/// A group, if it and its members have room in the answer.
async fn describe<E: Environment>(
    shard: &Rc<Shard<E>>,
    group: &str,
    room: usize,
) -> Result<GroupDescription, Refusal> {
    let full = || {
        let most = shard.limits.request.members_told_max;
        Refusal::LimitReached { reason: format!("one request is told of {most} groups and members") }
    };
    if room == 0 {
        return Err(full());
    }
    let answer = shard.ask_coordinator(group, message::Request::Describe(group.into())).await;
    let message::Answer::Describe(description) = answer else {
        unreachable!("a description is answered as one")
    };
    match description {
        Ok(description) if description.members.len() >= room => Err(full()),
        told => told,
    }
}

fn is_full(description: &Result<GroupDescription, Refusal>) -> bool {
    matches!(description, Err(Refusal::LimitReached { .. }))
}

fn told_why(group: &str, refusal: &Refusal) -> String {
    match refusal {
        Refusal::GroupIdNotFound => format!("there is no group '{group}'"),
        other => other.to_string(),
    }
}

fn dead(error: ErrorCode) -> DescribedGroup<'static> {
    let group_state = match error {
        ErrorCode::None | ErrorCode::GroupIdNotFound => GroupState::Dead.name(),
        _ => "",
    };
    DescribedGroup { error_code: error.number(), group_state, ..DescribedGroup::default() }
}

fn described(description: &GroupDescription) -> DescribedGroup<'_> {
    DescribedGroup {
        error_code: ErrorCode::None.number(),
        group_state: description.state.name(),
        protocol_type: &description.protocol_type,
        protocol_data: &description.protocol,
        members: description.members.iter().map(member).collect(),
        ..DescribedGroup::default()
    }
}

fn member(member: &MemberDescription) -> DescribedGroupMember<'_> {
    DescribedGroupMember {
        member_id: &member.member,
        group_instance_id: member.instance.as_deref(),
        client_id: &member.client_id,
        client_host: &member.client_host,
        member_metadata: &member.metadata,
        member_assignment: &member.assignment,
    }
}
