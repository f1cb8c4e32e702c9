//! DeleteTopics: the reply leaves when no shard serves the topics any more.

use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::metadata::{Command, CommandReply, DeletedTopic, TopicSelector};
use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::delete_topics::{DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse};
use ringlog_net::protocol::{DecodeError, Decoder, Uuid};
use ringlog_runtime::environment::Environment;

use crate::broker::message::{Answer, Call};
use crate::broker::shard::{FIRST_SHARD, Shard};
use crate::handlers::{Request, topic_id, uuid};

/// Answers one DeleteTopics request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = DeleteTopicsRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let selectors = selectors(&asked);
    let command = Command::DeleteTopics(selectors.clone());
    let Answer::Commanded(reply) = shard.call(FIRST_SHARD, Call::Command(command)).await else {
        unreachable!("a command is answered as one")
    };
    let results = match reply {
        CommandReply::TopicsDeleted(results) => results,
        CommandReply::Refused(refusal) => {
            selectors.into_iter().map(|selector| (selector, Err(refusal.clone()))).collect()
        }
        _ => unreachable!("topics are deleted or refused"),
    };
    let messages: Vec<Option<String>> =
        results.iter().map(|(_, result)| result.as_ref().err().map(Refusal::to_string)).collect();
    let responses = results
        .iter()
        .zip(&messages)
        .map(|((selector, result), message)| response(selector, result, message.as_deref()))
        .collect();
    let response = DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() };
    Ok(request.respond(&shard, &response).await)
}

/// Older versions name topics, newer ones name them or give their ids.
fn selectors(asked: &DeleteTopicsRequest<'_>) -> Vec<TopicSelector> {
    let by_name = asked.topic_names.iter().map(|name| TopicSelector::Name((*name).to_owned()));
    let by_either = asked.topics.iter().map(|topic| match topic.name {
        Some(name) => TopicSelector::Name(name.to_owned()),
        None => TopicSelector::Id(topic_id(topic.topic_id)),
    });
    by_name.chain(by_either).collect()
}

fn response<'r>(
    selector: &'r TopicSelector,
    result: &'r Result<DeletedTopic, Refusal>,
    message: Option<&'r str>,
) -> DeletableTopicResult<'r> {
    match result {
        Ok(topic) => DeletableTopicResult {
            name: Some(&topic.name),
            topic_id: uuid(topic.id),
            error_code: ErrorCode::None.number(),
            error_message: None,
        },
        Err(refusal) => DeletableTopicResult {
            name: match selector {
                TopicSelector::Name(name) => Some(name),
                TopicSelector::Id(_) => None,
            },
            topic_id: match selector {
                TopicSelector::Name(_) => Uuid::ZERO,
                TopicSelector::Id(id) => uuid(*id),
            },
            error_code: error_code_for(refusal).number(),
            error_message: message,
        },
    }
}
