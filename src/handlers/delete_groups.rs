//! DeleteGroups: groups without members, and all that they committed (KIP-229).

use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::group::message;
use ringlog_core::refusal::error_code_for;
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::Request;

/// Answers one DeleteGroups request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = DeleteGroupsRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let mut results = Vec::with_capacity(asked.groups_names.len());
    for group_id in &asked.groups_names {
        let answer = shard.ask_coordinator(group_id, message::Request::DeleteGroup((*group_id).into())).await;
        let message::Answer::DeleteGroup(result) = answer else {
            unreachable!("a deletion is answered as one")
        };
        let error = result.map_or_else(|refusal| error_code_for(&refusal), |()| ErrorCode::None);
        results.push(DeletableGroupResult { group_id, error_code: error.number() });
    }
    let response = DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() };
    Ok(request.respond(&shard, &response).await)
}
