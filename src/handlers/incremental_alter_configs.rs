//! IncrementalAlterConfigs: single values of a topic or broker are set, deleted, appended to or subtracted from
//! (KIP-339).

use std::rc::Rc;

use ringlog_core::config::{ConfigChange, ConfigOperation};
use ringlog_core::metadata::AlterConfigs;
use ringlog_core::refusal::Refusal;
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::Request;
use crate::handlers::alter_configs::{alter, named};

/// Answers one IncrementalAlterConfigs request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = IncrementalAlterConfigsRequest::decode(&mut Decoder::new(&request.body), request.version)?;
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
    let response =
        IncrementalAlterConfigsResponse { responses, ..IncrementalAlterConfigsResponse::default() };
    Ok(request.respond(&shard, &response).await)
}

fn wanted<E: Environment>(
    shard: &Shard<E>,
    resource: &AlterConfigsResource<'_>,
) -> Result<AlterConfigs, Refusal> {
    let operations = resource.configs.iter().map(|config| {
        let value = config.value.map(str::to_owned);
        (config.name.to_owned(), ConfigOperation::from_number(config.config_operation, value))
    });
    let change = ConfigChange::Update(operations.collect());
    Ok(AlterConfigs { resource: named(shard, resource.resource_type, resource.resource_name)?, change })
}
