//! `ringlog topic create`.

use std::io::{self, Write};

use clap::Args;
use ringlog_core::error_code::ErrorCode;
use ringlog_core::ids::TopicId;
use ringlog_net::protocol::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use serde::Serialize;

use crate::client::ClientFailure;
use crate::client::cluster::Cluster;
use crate::commands::arguments::{KeyValue, TopicArgument};
use crate::commands::failure::CommandFailure;
use crate::commands::output::{Format, Report, show};

/// "As the broker is configured."
const BROKER_DEFAULT: i32 = -1;

/// Which topic to make, and how.
#[derive(Args, Debug)]
pub struct CreateArguments {
    /// Its name.
    #[command(flatten)]
    pub topic: TopicArgument,
    /// How many partitions [default: the broker's num.partitions].
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
    /// On how many brokers each partition lies [default: the broker's default.replication.factor].
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(i16).range(1..))]
    pub replication_factor: Option<i16>,
    /// A key of the topic's configuration.
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub config: Vec<KeyValue>,
    /// Be content if the topic is there already, however it is.
    #[arg(long)]
    pub if_not_exists: bool,
    /// Ask whether it could be made, and do not make it.
    #[arg(long, alias = "validate-only")]
    pub dry_run: bool,
}

#[derive(Serialize)]
struct Created {
    topic: String,
    id: Option<String>,
    partitions: Option<i32>,
    replication_factor: Option<i16>,
    outcome: Outcome,
}

#[derive(Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Created,
    Existed,
    Possible,
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure`].
pub fn run(
    arguments: &CreateArguments,
    cluster: &mut Cluster,
    format: Format,
    sink: &mut dyn Write,
) -> Result<(), CommandFailure> {
    let created = match create(arguments, cluster) {
        Err(failure) if arguments.if_not_exists && failure.code() == Some(ErrorCode::TopicAlreadyExists) => {
            let topic = arguments.topic.name().to_owned();
            Created { topic, id: None, partitions: None, replication_factor: None, outcome: Outcome::Existed }
        }
        created => created?,
    };
    show(&created, format, sink)
}

fn create(arguments: &CreateArguments, cluster: &mut Cluster) -> Result<Created, ClientFailure> {
    let name = arguments.topic.name();
    let configs = arguments.config.iter();
    let topic = CreatableTopic {
        name,
        num_partitions: arguments.partitions.unwrap_or(BROKER_DEFAULT),
        replication_factor: arguments.replication_factor.unwrap_or(BROKER_DEFAULT as i16),
        configs: configs
            .map(|pair| CreatableTopicConfig { name: &pair.key, value: Some(&pair.value) })
            .collect(),
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: cluster.timeout_ms(),
        validate_only: arguments.dry_run,
    };
    let answer = cluster.ask_controller(&request)?;
    let response = answer.read(CreateTopicsResponse::decode)?;
    let result = response.topics.first().cloned().unwrap_or_default();
    ClientFailure::check(result.error_code, || format!("topic {name}"), result.error_message)?;
    let id = TopicId(result.topic_id.0);
    Ok(Created {
        topic: name.to_owned(),
        id: (id != TopicId::ZERO).then(|| id.to_string()),
        partitions: (result.num_partitions > 0).then_some(result.num_partitions),
        replication_factor: (result.replication_factor > 0).then_some(result.replication_factor),
        outcome: if arguments.dry_run { Outcome::Possible } else { Outcome::Created },
    })
}

impl Report for Created {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        let topic = &self.topic;
        match self.outcome {
            Outcome::Existed => return writeln!(sink, "topic {topic} exists already"),
            Outcome::Created => write!(sink, "created topic {topic}")?,
            Outcome::Possible => write!(sink, "topic {topic} could be created")?,
        }
        if let (Some(partitions), Some(replicas)) = (self.partitions, self.replication_factor) {
            let plural = if partitions == 1 { "" } else { "s" };
            write!(sink, ": {partitions} partition{plural}, replication factor {replicas}")?;
        }
        writeln!(sink)
    }
}
