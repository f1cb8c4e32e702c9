//! DescribeCluster: the brokers and who controls them (KIP-700).

use std::rc::Rc;

use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::{AUTHORIZED_OPERATIONS_NOT_ASKED, Request, operations};

/// Endpoint types of KIP-919.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// Answers one DescribeCluster request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = DescribeClusterRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let refusal = match asked.endpoint_type {
        BROKERS => None,
        CONTROLLERS => Some(Refusal::MismatchedEndpointType),
        _ => Some(Refusal::UnsupportedEndpointType),
    };
    if let Some(refusal) = refusal {
        let message = refusal.to_string();
        let response = DescribeClusterResponse {
            error_code: error_code_for(&refusal).number(),
            error_message: Some(&message),
            endpoint_type: BROKERS,
            ..DescribeClusterResponse::default()
        };
        return Ok(request.respond(&shard, &response).await);
    }
    let image = shard.image();
    let listener_name = &shard.config.listeners[request.listener].name;
    let brokers = image.brokers().filter_map(|broker| {
        let listener = broker.listeners.iter().find(|listener| listener.name == *listener_name)?;
        Some(DescribeClusterBroker {
            broker_id: broker.id.0,
            host: &listener.host,
            port: i32::from(listener.port),
            rack: broker.rack.as_deref(),
            is_fenced: false,
        })
    });
    let response = DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: image.cluster_id(),
        controller_id: shard.config.node_id.0,
        brokers: brokers.collect(),
        cluster_authorized_operations: match asked.include_cluster_authorized_operations {
            true => operations::CLUSTER,
            false => AUTHORIZED_OPERATIONS_NOT_ASKED,
        },
        ..DescribeClusterResponse::default()
    };
    Ok(request.respond(&shard, &response).await)
}
