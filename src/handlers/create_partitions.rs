//! CreatePartitions: the reply leaves when the new partitions are served.

use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::metadata::{Command, CommandReply, CreatePartitions};
use ringlog_core::refusal::{Refusal, error_code_for};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::Environment;

use crate::broker::message::{Answer, Call};
use crate::broker::shard::{FIRST_SHARD, Shard};
use crate::handlers::Request;

/// Answers one CreatePartitions request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = CreatePartitionsRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let command = Command::CreatePartitions {
        topics: asked.topics.iter().map(wanted).collect(),
        validate_only: asked.validate_only,
    };
    let Answer::Commanded(reply) = shard.call(FIRST_SHARD, Call::Command(command)).await else {
        unreachable!("a command is answered as one")
    };
    let results = match reply {
        CommandReply::PartitionsCreated(results) => results,
        CommandReply::Refused(refusal) => {
            asked.topics.iter().map(|topic| (topic.name.to_owned(), Err(refusal.clone()))).collect()
        }
        _ => unreachable!("partitions are created or refused"),
    };
    let messages: Vec<Option<String>> =
        results.iter().map(|(_, result)| result.as_ref().err().map(Refusal::to_string)).collect();
    let results = results
        .iter()
        .zip(&messages)
        .map(|((name, result), message)| CreatePartitionsTopicResult {
            name,
            error_code: result.as_ref().map_or_else(error_code_for, |()| ErrorCode::None).number(),
            error_message: message.as_deref(),
        })
        .collect();
    let response = CreatePartitionsResponse { results, ..CreatePartitionsResponse::default() };
    Ok(request.respond(&shard, &response).await)
}

fn wanted(topic: &CreatePartitionsTopic<'_>) -> CreatePartitions {
    let assignments = topic.assignments.as_ref();
    CreatePartitions {
        name: topic.name.to_owned(),
        count: topic.count,
        assignments: assignments.map(|all| all.iter().map(|one| one.broker_ids.clone()).collect()),
    }
}
