//! CreateTopics: the controller decides; the reply leaves when the topics are there on every shard.

use std::rc::Rc;

use ringlog_core::config::describe::topic_rows;
use ringlog_core::config::{BrokerConfig, ConfigRow};
use ringlog_core::error_code::ErrorCode;
use ringlog_core::metadata::{Command, CommandReply, CreateTopic, CreatedTopic};
use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::message::{Answer, Call};
use crate::broker::shard::{FIRST_SHARD, Shard};
use crate::handlers::{Request, uuid};

/// Answers one CreateTopics request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = CreateTopicsRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let command = Command::CreateTopics {
        topics: asked.topics.iter().map(wanted).collect(),
        validate_only: asked.validate_only,
    };
    let Answer::Commanded(reply) = shard.call(FIRST_SHARD, Call::Command(command)).await else {
        unreachable!("a command is answered as one")
    };
    let results = match reply {
        CommandReply::TopicsCreated(results) => results,
        CommandReply::Refused(refusal) => {
            asked.topics.iter().map(|topic| (topic.name.to_owned(), Err(refusal.clone()))).collect()
        }
        _ => unreachable!("topics are created or refused"),
    };
    let config = shard.current_config();
    let told: Vec<Told> = results.into_iter().map(|(name, result)| Told::of(&config, name, result)).collect();
    let topics = told.iter().map(Told::response).collect();
    let response = CreateTopicsResponse { topics, ..CreateTopicsResponse::default() };
    Ok(request.respond(&shard, &response).await)
}

fn wanted(topic: &CreatableTopic<'_>) -> CreateTopic {
    CreateTopic {
        name: topic.name.to_owned(),
        partition_count: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic
            .assignments
            .iter()
            .map(|assignment| (assignment.partition_index, assignment.broker_ids.clone()))
            .collect(),
        configs: topic
            .configs
            .iter()
            .map(|config| (config.name.to_owned(), config.value.map(str::to_owned)))
            .collect(),
    }
}

/// A result with everything its response borrows.
struct Told {
    name: String,
    result: Result<CreatedTopic, Refusal>,
    message: Option<String>,
    rows: Vec<ConfigRow>,
}

impl Told {
    fn of(config: &BrokerConfig, name: String, result: Result<CreatedTopic, Refusal>) -> Told {
        let message = result.as_ref().err().map(Refusal::to_string);
        let rows =
            result.as_ref().map_or_else(|_| Vec::new(), |created| topic_rows(config, &created.configs));
        Told { name, result, message, rows }
    }

    fn response(&self) -> CreatableTopicResult<'_> {
        match &self.result {
            Ok(created) => CreatableTopicResult {
                name: &self.name,
                topic_id: uuid(created.id),
                error_code: ErrorCode::None.number(),
                error_message: None,
                num_partitions: i32::try_from(created.partition_count).expect("partitions are bounded"),
                replication_factor: i16::try_from(created.replication_factor).expect("brokers are bounded"),
                configs: Some(self.rows.iter().map(config_response).collect()),
                ..CreatableTopicResult::default()
            },
            Err(refusal) => CreatableTopicResult {
                name: &self.name,
                error_code: error_code_for(refusal).number(),
                error_message: self.message.as_deref(),
                ..CreatableTopicResult::default()
            },
        }
    }
}

fn config_response(row: &ConfigRow) -> CreatableTopicConfigs<'_> {
    CreatableTopicConfigs {
        name: row.name,
        value: row.value.as_deref(),
        read_only: row.read_only,
        config_source: row.source.number(),
        is_sensitive: row.sensitive,
    }
}
