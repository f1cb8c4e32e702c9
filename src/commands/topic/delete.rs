//! `ringlog topic delete`.

use std::io::{self, Write};

use clap::Args;
use ringlog_core::error_code::ErrorCode;
use ringlog_net::protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse};
use serde::Serialize;

use crate::client::ClientFailure;
use crate::client::cluster::Cluster;
use crate::commands::arguments::TopicArgument;
use crate::commands::failure::CommandFailure;
use crate::commands::output::{Format, Report, show};

/// Which topic to delete.
#[derive(Args, Debug)]
pub struct DeleteArguments {
    /// Its name.
    #[command(flatten)]
    pub topic: TopicArgument,
    /// Be content if there is no such topic.
    #[arg(long)]
    pub if_exists: bool,
}

#[derive(Serialize)]
struct Deleted {
    topic: String,
    /// False if it was not there.
    deleted: bool,
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure`].
pub fn run(
    arguments: &DeleteArguments,
    cluster: &mut Cluster,
    format: Format,
    sink: &mut dyn Write,
) -> Result<(), CommandFailure> {
    let topic = arguments.topic.name();
    let deleted = match delete(topic, cluster) {
        Err(failure) if arguments.if_exists && failure.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
            false
        }
        deleted => deleted.map(|()| true)?,
    };
    show(&Deleted { topic: topic.to_owned(), deleted }, format, sink)
}

fn delete(topic: &str, cluster: &mut Cluster) -> Result<(), ClientFailure> {
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name: Some(topic), ..DeleteTopicState::default() }],
        topic_names: vec![topic],
        timeout_ms: cluster.timeout_ms(),
    };
    let answer = cluster.ask_controller(&request)?;
    let response = answer.read(DeleteTopicsResponse::decode)?;
    let result = response.responses.first().cloned().unwrap_or_default();
    ClientFailure::check(result.error_code, || format!("topic {topic}"), result.error_message)
}

impl Report for Deleted {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        match self.deleted {
            true => writeln!(sink, "deleted topic {}", self.topic),
            false => writeln!(sink, "there is no topic {}", self.topic),
        }
    }
}
