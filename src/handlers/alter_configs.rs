//! AlterConfigs: what is given becomes the whole configuration of a topic or broker. Clients of today use
//! [`incremental_alter_configs`](super::incremental_alter_configs) instead.

use std::rc::Rc;

use ringlog_core::config::ConfigChange;
use ringlog_core::error_code::ErrorCode;
use ringlog_core::metadata::{AlterConfigs, Command, CommandReply, ConfigResource};
use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::message::{Answer, Call};
use crate::broker::shard::{FIRST_SHARD, Shard};
use crate::handlers::Request;

/// Kafka's `ConfigResource.Type`.
pub const TOPIC: i8 = 2;
/// As [`TOPIC`].
pub const BROKER: i8 = 4;

/// Answers one AlterConfigs request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = AlterConfigsRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let alters = asked.resources.iter().map(|resource| wanted(&shard, resource)).collect();
    let told = alter(&shard, alters, asked.validate_only).await;
    let responses = asked.resources.iter().zip(&told);
    let responses = responses
        .map(|(resource, told)| AlterConfigsResourceResponse {
            error_code: told.error.number(),
            error_message: told.message.as_deref(),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
        })
        .collect();
    let response = AlterConfigsResponse { responses, ..AlterConfigsResponse::default() };
    Ok(request.respond(&shard, &response).await)
}

fn wanted<E: Environment>(
    shard: &Shard<E>,
    resource: &AlterConfigsResource<'_>,
) -> Result<AlterConfigs, Refusal> {
    let given = resource.configs.iter();
    let given = given.map(|config| (config.name.to_owned(), config.value.map(str::to_owned)));
    let change = ConfigChange::Replace(given.collect());
    Ok(AlterConfigs { resource: named(shard, resource.resource_type, resource.resource_name)?, change })
}

/// What came of one resource.
pub struct Told {
    /// The code.
    pub error: ErrorCode,
    /// The reason, where there is one.
    pub message: Option<String>,
}

/// Whose configuration a request means.
///
/// # Errors
/// Another broker's, or that of something that has none here.
pub fn named<E: Environment>(
    shard: &Shard<E>,
    resource_type: i8,
    resource_name: &str,
) -> Result<ConfigResource, Refusal> {
    let node_id = shard.config.node_id;
    match resource_type {
        TOPIC => Ok(ConfigResource::Topic(resource_name.to_owned())),
        BROKER if resource_name.is_empty() => Ok(ConfigResource::Broker(None)),
        BROKER if resource_name.parse() == Ok(node_id.0) => Ok(ConfigResource::Broker(Some(node_id))),
        BROKER => Err(Refusal::InvalidRequest {
            reason: format!("broker {node_id} was asked to change broker '{}'", shown(resource_name)).into(),
        }),
        other => Err(Refusal::InvalidRequest {
            reason: format!("nothing of resource type {other} can be configured").into(),
        }),
    }
}

/// Has the controller change configurations; what came of each resource, in order. The answer comes when every
/// shard acts by them.
pub async fn alter<E: Environment>(
    shard: &Rc<Shard<E>>,
    asked: Vec<Result<AlterConfigs, Refusal>>,
    validate_only: bool,
) -> Vec<Told> {
    let resources: Vec<AlterConfigs> = asked.iter().flatten().cloned().collect();
    let count = resources.len();
    let command = Command::AlterConfigs { resources, validate_only };
    let Answer::Commanded(reply) = shard.call(FIRST_SHARD, Call::Command(command)).await else {
        unreachable!("a command is answered as one")
    };
    let results = match reply {
        CommandReply::ConfigsAltered(results) => results,
        CommandReply::Refused(refusal) => vec![Err(refusal); count],
        _ => unreachable!("configurations are altered or refused"),
    };
    let mut results = results.into_iter();
    asked
        .into_iter()
        .map(|asked| asked.and_then(|_| results.next().expect("a result for each resource")))
        .map(Told::of)
        .collect()
}

impl Told {
    fn of(result: Result<(), Refusal>) -> Told {
        match result {
            Ok(()) => Told { error: ErrorCode::None, message: None },
            Err(refusal) => Told { error: error_code_for(&refusal), message: Some(refusal.to_string()) },
        }
    }
}

/// A name from a client, short enough for a message.
fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}
