//! ListGroups: every group of this broker, by state and type.

use std::rc::Rc;

use ringlog_core::group::message::{self, GroupListing, ListFilter};
use ringlog_core::refusal::error_code_for;
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::Request;

/// What kind of group there is (KIP-848).
const CLASSIC: &str = "classic";

/// Answers one ListGroups request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = ListGroupsRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let filter = ListFilter {
        states: asked.states_filter.iter().map(|state| (*state).into()).collect(),
        types: asked.types_filter.iter().map(|kind| (*kind).into()).collect(),
    };
    let mut listings = Vec::new();
    for answer in shard.ask_all_coordinators(&message::Request::List(filter)).await {
        match answer {
            message::Answer::List(Ok(groups)) => listings.extend(groups),
            message::Answer::List(Err(refusal)) => {
                // A part of the list would be taken for the whole.
                let error_code = error_code_for(&refusal).number();
                let response = ListGroupsResponse { error_code, ..ListGroupsResponse::default() };
                return Ok(request.respond(&shard, &response).await);
            }
            _ => unreachable!("a listing is answered as one"),
        }
    }
    let groups = listings.iter().map(listed).collect();
    let response = ListGroupsResponse { groups, ..ListGroupsResponse::default() };
    Ok(request.respond(&shard, &response).await)
}

fn listed(group: &GroupListing) -> ListedGroup<'_> {
    ListedGroup {
        group_id: &group.group,
        protocol_type: &group.protocol_type,
        group_state: group.state.name(),
        group_type: CLASSIC,
    }
}
