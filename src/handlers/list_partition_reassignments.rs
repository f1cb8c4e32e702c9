//! ListPartitionReassignments: with one broker nothing ever moves.

use std::rc::Rc;

use ringlog_net::connection::Outcome;
use ringlog_net::protocol::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::Request;

/// Answers one ListPartitionReassignments request. Partitions that do not exist are not moving either.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    ListPartitionReassignmentsRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    Ok(request.respond(&shard, &ListPartitionReassignmentsResponse::default()).await)
}
