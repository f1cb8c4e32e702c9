//! DescribeConfigs: every key of a topic or of this broker, with where its value comes from (KIP-226).

use std::rc::Rc;

use ringlog_core::config::ConfigRow;
use ringlog_core::config::describe::{broker_rows, default_broker_rows, topic_rows};
use ringlog_core::error_code::ErrorCode;
use ringlog_core::metadata::topic_name;
use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::shard::Shard;
use crate::handlers::Request;
use crate::handlers::alter_configs::{BROKER, TOPIC};

/// What a resource, a row and a synonym take in memory besides their texts, in both forms.
const RESOURCE_BYTES: usize = 128;
const ROW_BYTES: usize = 256;
const SYNONYM_BYTES: usize = 96;

/// Answers one DescribeConfigs request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = DescribeConfigsRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let mut room = Room { left_bytes: shard.limits.request.configs_told_bytes_max };
    let described: Vec<Described> = asked
        .resources
        .iter()
        .map(|resource| match room.is_full() {
            true => Described::refused(&full()),
            false => room.admit(describe(&shard, resource)),
        })
        .collect();
    let results = asked
        .resources
        .iter()
        .zip(&described)
        .map(|(resource, described)| DescribeConfigsResult {
            error_code: described.error.number(),
            error_message: described.message.as_deref(),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            configs: described.rows.iter().map(|row| row_response(row, &asked)).collect(),
        })
        .collect();
    let response = DescribeConfigsResponse { results, ..DescribeConfigsResponse::default() };
    Ok(request.respond(&shard, &response).await)
}

struct Described {
    error: ErrorCode,
    message: Option<String>,
    rows: Vec<ConfigRow>,
}

impl Described {
    fn refused(refusal: &Refusal) -> Described {
        Described { error: error_code_for(refusal), message: Some(refusal.to_string()), rows: Vec::new() }
    }

    /// What it takes in memory, roughly, with what is made of it for the answer.
    fn bytes(&self) -> usize {
        let synonyms = |row: &ConfigRow| -> usize {
            row.synonyms.iter().map(|synonym| SYNONYM_BYTES + text_bytes(synonym.value.as_ref())).sum()
        };
        let rows = self.rows.iter().map(|row| ROW_BYTES + text_bytes(row.value.as_ref()) + synonyms(row));
        RESOURCE_BYTES + text_bytes(self.message.as_ref()) + rows.sum::<usize>()
    }
}

fn text_bytes(text: Option<&String>) -> usize {
    text.map_or(0, String::len)
}

/// What is left for an answer. After the first resource that has no room in it none is looked at: they may be many.
struct Room {
    left_bytes: usize,
}

impl Room {
    fn is_full(&self) -> bool {
        self.left_bytes == 0
    }

    fn admit(&mut self, described: Described) -> Described {
        match self.left_bytes.checked_sub(described.bytes()) {
            Some(left_bytes) => {
                self.left_bytes = left_bytes;
                described
            }
            None => {
                self.left_bytes = 0;
                Described::refused(&full())
            }
        }
    }
}

fn full() -> Refusal {
    Refusal::LimitReached {
        reason: "one request is not told of so many configurations: ask for fewer".to_owned(),
    }
}

fn describe<E: Environment>(shard: &Shard<E>, resource: &DescribeConfigsResource<'_>) -> Described {
    match rows(shard, resource) {
        Ok(mut rows) => {
            // Null keys ask for all; an empty list does too, as old clients send it.
            if let Some(keys) = resource.configuration_keys.as_ref().filter(|keys| !keys.is_empty()) {
                rows.retain(|row| keys.contains(&row.name));
            }
            Described { error: ErrorCode::None, message: None, rows }
        }
        Err(refusal) => Described::refused(&refusal),
    }
}

fn rows<E: Environment>(
    shard: &Shard<E>,
    resource: &DescribeConfigsResource<'_>,
) -> Result<Vec<ConfigRow>, Refusal> {
    let name = resource.resource_name;
    match resource.resource_type {
        TOPIC => {
            topic_name::check(name).map_err(|reason| Refusal::InvalidTopicName { reason })?;
            let image = shard.image();
            let topic = image.topic(name).ok_or(Refusal::UnknownTopicOrPartition)?;
            Ok(topic_rows(&shard.current_config(), &topic.configs))
        }
        BROKER if name.is_empty() => Ok(default_broker_rows(&shard.current_config())),
        BROKER if name.parse() == Ok(shard.config.node_id.0) => Ok(broker_rows(&shard.current_config())),
        BROKER => Err(Refusal::InvalidRequest {
            reason: format!("broker {} was asked about broker '{name}'", shard.config.node_id).into(),
        }),
        other => Err(Refusal::InvalidRequest {
            reason: format!("no configuration of resource type {other}").into(),
        }),
    }
}

fn row_response<'r>(
    row: &'r ConfigRow,
    asked: &DescribeConfigsRequest<'_>,
) -> DescribeConfigsResourceResult<'r> {
    let synonyms = row.synonyms.iter().filter(|_| asked.include_synonyms);
    DescribeConfigsResourceResult {
        name: row.name,
        value: row.value.as_deref(),
        read_only: row.read_only,
        config_source: row.source.number(),
        is_sensitive: row.sensitive,
        synonyms: synonyms
            .map(|synonym| DescribeConfigsSynonym {
                name: synonym.name,
                value: synonym.value.as_deref(),
                source: synonym.source.number(),
            })
            .collect(),
        config_type: row.kind.number(),
        documentation: asked.include_documentation.then_some(row.documentation),
    }
}
