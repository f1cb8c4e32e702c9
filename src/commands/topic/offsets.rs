//! `ringlog topic offsets`: where partitions begin and end, or which offset a time stands for.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::client::cluster::{Cluster, MissingTopics};
use crate::client::offsets::{OffsetSpec, PartitionName, find_offsets};
use crate::commands::arguments::TopicArgument;
use crate::commands::failure::CommandFailure;
use crate::commands::output::{Format, Report, show};
use crate::commands::table::{Align, Table, or_dash};
use crate::commands::time::Moment;

/// Which topic and which offsets.
#[derive(Args, Debug)]
pub struct OffsetsArguments {
    /// Its name.
    #[command(flatten)]
    pub topic: TopicArgument,
    /// Also the first offset at this time or later: 2026-11-27T08:00:00Z, or milliseconds since 1970.
    #[arg(long, value_name = "TIME")]
    pub time: Option<Moment>,
    /// Also the offset of the record with the largest timestamp.
    #[arg(long)]
    pub max_timestamp: bool,
}

#[derive(Serialize)]
struct TopicOffsets {
    topic: String,
    partitions: Vec<PartitionOffsets>,
    #[serde(skip)]
    columns: Vec<&'static str>,
}

#[derive(Serialize)]
struct PartitionOffsets {
    partition: i32,
    start_offset: Option<i64>,
    end_offset: Option<i64>,
    /// Null if it was not asked for, or if no record is as young.
    offset_at_time: Option<i64>,
    offset_of_max_timestamp: Option<i64>,
    max_timestamp: Option<i64>,
}

const AT_TIME: &str = "AT TIME";
const MAX_TIMESTAMP: &str = "MAX TIMESTAMP";

/// Runs it.
///
/// # Errors
/// [`CommandFailure`].
pub fn run(
    arguments: &OffsetsArguments,
    cluster: &mut Cluster,
    format: Format,
    sink: &mut dyn Write,
) -> Result<(), CommandFailure> {
    let topic = arguments.topic.name();
    let metadata = cluster.metadata(Some(&[topic]), MissingTopics::Leave)?;
    let named = |index| PartitionName { topic: topic.to_owned(), partition: index };
    let names: Vec<PartitionName> =
        metadata.topic(topic)?.partitions.iter().map(|partition| named(partition.index)).collect();
    let starts = find_offsets(cluster, &names, OffsetSpec::Earliest)?;
    let ends = find_offsets(cluster, &names, OffsetSpec::Latest)?;
    let time = arguments.time.map(|moment| OffsetSpec::AtTime(moment.timestamp_ms()));
    let at_time = time.map(|spec| find_offsets(cluster, &names, spec)).transpose()?.unwrap_or_default();
    let youngest = arguments.max_timestamp.then(|| find_offsets(cluster, &names, OffsetSpec::MaxTimestamp));
    let youngest = youngest.transpose()?.unwrap_or_default();
    let partitions = names.iter().map(|name| PartitionOffsets {
        partition: name.partition,
        start_offset: starts.get(name).and_then(|found| found.offset),
        end_offset: ends.get(name).and_then(|found| found.offset),
        offset_at_time: at_time.get(name).and_then(|found| found.offset),
        offset_of_max_timestamp: youngest.get(name).and_then(|found| found.offset),
        max_timestamp: youngest.get(name).and_then(|found| found.timestamp),
    });
    let asked = [(arguments.time.is_some(), AT_TIME), (arguments.max_timestamp, MAX_TIMESTAMP)];
    let columns = asked.iter().filter(|(asked, _)| *asked).map(|(_, column)| *column);
    let report = TopicOffsets {
        topic: topic.to_owned(),
        partitions: partitions.collect(),
        columns: columns.collect(),
    };
    show(&report, format, sink)
}

impl Report for TopicOffsets {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        let mut columns = vec![
            ("PARTITION", Align::Right),
            ("START", Align::Right),
            ("END", Align::Right),
            ("SPAN", Align::Right),
        ];
        columns.extend(self.columns.iter().map(|column| (*column, Align::Right)));
        let mut table = Table::new(&columns);
        for partition in &self.partitions {
            let span = partition.end_offset.zip(partition.start_offset).map(|(end, start)| end - start);
            let mut cells = vec![
                partition.partition.to_string(),
                or_dash(partition.start_offset),
                or_dash(partition.end_offset),
                or_dash(span),
            ];
            if self.columns.contains(&AT_TIME) {
                cells.push(or_dash(partition.offset_at_time));
            }
            if self.columns.contains(&MAX_TIMESTAMP) {
                cells.push(or_dash(partition.offset_of_max_timestamp));
            }
            table.row(cells);
        }
        table.write(sink)
    }
}
