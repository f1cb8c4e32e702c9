//! `ringlog topic alter`: more partitions. What else a topic is configured with, `ringlog config` changes.

use std::io::{self, Write};

use clap::Args;
use ringlog_net::protocol::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
};
use serde::Serialize;

use crate::client::ClientFailure;
use crate::client::cluster::Cluster;
use crate::commands::arguments::TopicArgument;
use crate::commands::failure::CommandFailure;
use crate::commands::output::{Format, Report, show};

/// Which topic, and what it gets.
#[derive(Args, Debug)]
pub struct AlterArguments {
    /// Its name.
    #[command(flatten)]
    pub topic: TopicArgument,
    /// How many partitions it shall have: more than now. Records with keys go elsewhere from then on.
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: i32,
    /// Ask whether it could be done, and do not do it.
    #[arg(long, alias = "validate-only")]
    pub dry_run: bool,
}

#[derive(Serialize)]
struct Altered {
    topic: String,
    partitions: i32,
    dry_run: bool,
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure`].
pub fn run(
    arguments: &AlterArguments,
    cluster: &mut Cluster,
    format: Format,
    sink: &mut dyn Write,
) -> Result<(), CommandFailure> {
    let (topic, partitions, dry_run) = (arguments.topic.name(), arguments.partitions, arguments.dry_run);
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic { name: topic, count: partitions, assignments: None }],
        timeout_ms: cluster.timeout_ms(),
        validate_only: dry_run,
    };
    let answer = cluster.ask_controller(&request)?;
    let response = answer.read(CreatePartitionsResponse::decode)?;
    let result = response.results.first().cloned().unwrap_or_default();
    ClientFailure::check(result.error_code, || format!("topic {topic}"), result.error_message)?;
    show(&Altered { topic: topic.to_owned(), partitions, dry_run }, format, sink)
}

impl Report for Altered {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        let Altered { topic, partitions, dry_run } = self;
        let could = if *dry_run { "could have" } else { "has" };
        writeln!(sink, "topic {topic} {could} {partitions} partitions")
    }
}
