//! ListConfigResources: what has a configuration that can be described (KIP-1142).

use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::metadata::MetadataImage;
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::Request;
use crate::handlers::alter_configs::{BROKER, TOPIC};

/// Types that exist, and of which this broker has none: loggers, client metrics, groups.
const WITHOUT_RESOURCES: [i8; 3] = [8, 16, 32];

/// Before this version the request means client metrics alone.
const TYPES_VERSION_MIN: i16 = 1;

/// Answers one ListConfigResources request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = ListConfigResourcesRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let is_known = |kind: &i8| [TOPIC, BROKER].contains(kind) || WITHOUT_RESOURCES.contains(kind);
    if !asked.resource_types.iter().all(is_known) {
        let error_code = ErrorCode::UnsupportedVersion.number();
        let response = ListConfigResourcesResponse { error_code, ..ListConfigResourcesResponse::default() };
        return Ok(request.respond(&shard, &response).await);
    }
    let image = shard.image();
    let brokers: Vec<String> = image.brokers().map(|broker| broker.id.to_string()).collect();
    let config_resources = match request.version < TYPES_VERSION_MIN {
        true => Vec::new(),
        false => resources(&image, &brokers, &asked.resource_types),
    };
    let response = ListConfigResourcesResponse { config_resources, ..ListConfigResourcesResponse::default() };
    Ok(request.respond(&shard, &response).await)
}

/// Brokers, then topics, by name; no types stand for all of them.
fn resources<'r>(image: &'r MetadataImage, brokers: &'r [String], types: &[i8]) -> Vec<ConfigResource<'r>> {
    let is_asked = |kind: i8| types.is_empty() || types.contains(&kind);
    let brokers = brokers.iter().filter(|_| is_asked(BROKER));
    let brokers = brokers.map(|name| ConfigResource { resource_name: name, resource_type: BROKER });
    let topics = image.topics().filter(|_| is_asked(TOPIC));
    let topics = topics.map(|topic| ConfigResource { resource_name: &topic.name, resource_type: TOPIC });
    brokers.chain(topics).collect()
}
