//! `ringlog topic list`.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::client::cluster::{Cluster, MissingTopics};
use crate::commands::failure::CommandFailure;
use crate::commands::output::{Format, Report, show};
use crate::commands::table::{Align, Table, or_dash, printable};

/// Which topics to list.
#[derive(Args, Debug)]
pub struct ListArguments {
    /// Leave out the brokers' own topics.
    #[arg(long)]
    pub exclude_internal: bool,
    /// Print names alone, one a line.
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Serialize)]
struct TopicList {
    topics: Vec<ListedTopic>,
    #[serde(skip)]
    names_alone: bool,
}

#[derive(Serialize)]
struct ListedTopic {
    name: String,
    id: Option<String>,
    partitions: usize,
    replication_factor: usize,
    is_internal: bool,
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure`].
pub fn run(
    arguments: &ListArguments,
    cluster: &mut Cluster,
    format: Format,
    sink: &mut dyn Write,
) -> Result<(), CommandFailure> {
    let metadata = cluster.metadata(None, MissingTopics::Leave)?;
    let wanted = metadata.topics.iter().filter(|topic| !(arguments.exclude_internal && topic.is_internal));
    let topics = wanted.map(|topic| ListedTopic {
        name: topic.name.clone(),
        id: topic.id.map(|id| id.to_string()),
        partitions: topic.partitions.len(),
        replication_factor: topic.replication_factor(),
        is_internal: topic.is_internal,
    });
    show(&TopicList { topics: topics.collect(), names_alone: arguments.quiet }, format, sink)
}

impl Report for TopicList {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        if self.names_alone {
            return self.topics.iter().try_for_each(|topic| writeln!(sink, "{}", printable(&topic.name)));
        }
        let columns = [
            ("TOPIC", Align::Left),
            ("PARTITIONS", Align::Right),
            ("REPLICAS", Align::Right),
            ("ID", Align::Left),
        ];
        let mut table = Table::new(&columns);
        for topic in &self.topics {
            let (partitions, replicas) = (topic.partitions.to_string(), topic.replication_factor.to_string());
            table.row([topic.name.clone(), partitions, replicas, or_dash(topic.id.as_deref())]);
        }
        table.write(sink)
    }
}
