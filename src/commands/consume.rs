//! `ringlog consume`: records of a topic on standard output, partition by partition, without joining a group.
//!
//! ```text
//!   where to begin ──► positions ──► fetch from each leader ──► lines ──► flushed ──► committed, with --group
//! ```
//!
//! Always true: offsets are committed only for records that were written out; memory holds one answer and one open batch.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::time::Duration;

use clap::Args;
use ringlog_core::record_batch::BatchFault;
use ringlog_runtime::uring::now;

use crate::client::ClientFailure;
use crate::client::cluster::{Cluster, MissingTopics, pause};
use crate::client::coordinator::{commit_offsets, committed_offsets};
use crate::client::fetch::fetch;
use crate::client::limits::ATTEMPTS_MAX;
use crate::client::offsets::{OffsetSpec, PartitionName, find_offsets, leaders_of};
use crate::client::records::each_record;
use crate::commands::arguments::{BrokerArguments, KeyValue, TopicArgument, unescaped};
use crate::commands::failure::CommandFailure;
use crate::commands::output::Format;
use crate::commands::record_format::{JsonRecord, RecordFormat};
use crate::commands::time::Moment;

/// How long a leader may wait for the first record, if it is the only one asked.
const WAIT_MS: i32 = 500;
/// The same, if others have to be asked as well.
const WAIT_IN_TURN_MS: i32 = 50;
/// What passes by itself, passes within seconds.
const LEADER_PAUSE: Duration = Duration::from_millis(250);

/// What to read, where to begin and end, and how to print it.
#[derive(Args, Debug)]
pub struct ConsumeArguments {
    /// The topic.
    #[command(flatten)]
    pub topic: TopicArgument,
    /// Only these partitions.
    #[arg(short, long, value_name = "NUMBER,...", value_delimiter = ',')]
    pub partition: Vec<i32>,
    /// Begin with the first record there is.
    #[arg(long, conflicts_with_all = ["offset", "from_time"])]
    pub from_beginning: bool,
    /// Begin here: earliest, latest, an offset, or so many before the end (-10) [default: latest].
    #[arg(short, long, value_name = "OFFSET", allow_hyphen_values = true, conflicts_with = "from_time")]
    pub offset: Option<StartOffset>,
    /// Begin with the first record of this time: 2026-11-27T08:00:00Z, or milliseconds since 1970.
    #[arg(long, value_name = "TIME")]
    pub from_time: Option<Moment>,
    /// Begin where this group has read to, and commit what was printed. The group must have no other members.
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
    /// End after so many records.
    #[arg(short = 'n', long, alias = "max-count", value_name = "COUNT")]
    pub max_messages: Option<u64>,
    /// End where the partitions ended when this began.
    #[arg(short = 'e', long, alias = "exit-at-end")]
    pub exit: bool,
    /// End when no record has come for so long.
    #[arg(long, value_name = "MILLISECONDS")]
    pub timeout_ms: Option<u64>,
    /// Print keys.
    #[arg(short = 'k', long)]
    pub print_key: bool,
    /// Print headers.
    #[arg(long)]
    pub print_headers: bool,
    /// Print timestamps.
    #[arg(long)]
    pub print_timestamp: bool,
    /// Print partitions.
    #[arg(long)]
    pub print_partition: bool,
    /// Print offsets.
    #[arg(long)]
    pub print_offset: bool,
    /// What stands between what is printed of a record; \t is a tab.
    #[arg(short = 'K', long, value_name = "TEXT", default_value = "\\t")]
    pub key_separator: String,
    /// A property of Kafka's formatter, for example print.key=true.
    #[arg(long, alias = "formatter-property", value_name = "KEY=VALUE", hide = true)]
    pub property: Vec<KeyValue>,
    /// Where. With --json each record is an object on a line of its own.
    #[command(flatten)]
    pub broker: BrokerArguments,
}

/// Where to begin in a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartOffset {
    /// With the first record there is.
    Earliest,
    /// Behind the last.
    Latest,
    /// With this one.
    At(i64),
    /// So many before the end.
    BeforeEnd(i64),
}

impl std::str::FromStr for StartOffset {
    type Err = String;

    fn from_str(text: &str) -> Result<StartOffset, String> {
        let wrong = || {
            format!(
                "{text:?} is no offset: write earliest, latest, a number, or -NUMBER for so many before the end"
            )
        };
        match text {
            "earliest" | "beginning" => Ok(StartOffset::Earliest),
            "latest" | "end" => Ok(StartOffset::Latest),
            number => match number.parse::<i64>().map_err(|_| wrong())? {
                i64::MIN => Err(wrong()),
                before @ ..0 => Ok(StartOffset::BeforeEnd(-before)),
                offset => Ok(StartOffset::At(offset)),
            },
        }
    }
}

/// Why records could not be read.
enum ReadFailure {
    Batch(BatchFault),
    Command(CommandFailure),
}

impl From<BatchFault> for ReadFailure {
    fn from(fault: BatchFault) -> ReadFailure {
        ReadFailure::Batch(fault)
    }
}

impl From<std::io::Error> for ReadFailure {
    fn from(error: std::io::Error) -> ReadFailure {
        ReadFailure::Command(error.into())
    }
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure`]; what was printed before it stays printed.
pub fn run(arguments: ConsumeArguments, sink: &mut dyn Write) -> Result<(), CommandFailure> {
    let record_format = record_format(&arguments)?;
    let mut cluster = arguments.broker.connect()?;
    let names = partitions(&arguments, &mut cluster)?;
    let positions = starts(&arguments, &mut cluster, &names)?;
    let ends = match arguments.exit {
        true => find_offsets(&mut cluster, &names, OffsetSpec::Latest)?
            .into_iter()
            .map(|(name, found)| (name, found.offset.unwrap_or_default()))
            .collect(),
        false => BTreeMap::new(),
    };
    let mut consumer = Consumer {
        left: arguments.max_messages.unwrap_or(u64::MAX),
        ends: arguments.exit.then_some(ends),
        uncommitted: BTreeMap::new(),
        arguments: &arguments,
        record_format,
        positions,
        sink,
    };
    consumer.consume(&mut cluster)
}

fn record_format(arguments: &ConsumeArguments) -> Result<RecordFormat, CommandFailure> {
    let mut format = RecordFormat {
        timestamp: arguments.print_timestamp,
        partition: arguments.print_partition,
        offset: arguments.print_offset,
        headers: arguments.print_headers,
        key: arguments.print_key,
        separator: unescaped(&arguments.key_separator),
        ..RecordFormat::default()
    };
    for property in &arguments.property {
        format.set_property(&property.key, &property.value).map_err(CommandFailure::Usage)?;
    }
    Ok(format)
}

fn partitions(
    arguments: &ConsumeArguments,
    cluster: &mut Cluster,
) -> Result<Vec<PartitionName>, CommandFailure> {
    let topic = arguments.topic.name();
    let metadata = cluster.metadata(Some(&[topic]), MissingTopics::Leave)?;
    let known = metadata.topic(topic)?;
    let wanted: Vec<i32> = match arguments.partition.is_empty() {
        true => known.partitions.iter().map(|partition| partition.index).collect(),
        false => arguments.partition.clone(),
    };
    for partition in &wanted {
        known.partition(*partition)?;
    }
    Ok(wanted.into_iter().map(|partition| PartitionName { topic: topic.to_owned(), partition }).collect())
}

/// Where each partition begins: a group's own offsets win over the default, and lose against what was asked for.
fn starts(
    arguments: &ConsumeArguments,
    cluster: &mut Cluster,
    names: &[PartitionName],
) -> Result<BTreeMap<PartitionName, i64>, CommandFailure> {
    let asked = match (arguments.from_beginning, arguments.offset) {
        (true, _) => Some(StartOffset::Earliest),
        (false, offset) => offset,
    };
    let mut positions = match (asked, arguments.from_time) {
        (_, Some(moment)) => at_time(cluster, names, moment)?,
        (Some(start), None) => from_offset(cluster, names, start)?,
        (None, None) => from_offset(cluster, names, StartOffset::Latest)?,
    };
    if let Some(group) = &arguments.group {
        let committed = committed_offsets(cluster, group)?;
        // Kafka's consumers, too, begin elsewhere only where the group has no offset yet.
        for (name, position) in &mut positions {
            *position = committed.get(name).map_or(*position, |committed| committed.offset);
        }
    }
    Ok(positions)
}

fn from_offset(
    cluster: &mut Cluster,
    names: &[PartitionName],
    start: StartOffset,
) -> Result<BTreeMap<PartitionName, i64>, ClientFailure> {
    let spec = match start {
        StartOffset::At(offset) => return Ok(names.iter().map(|name| (name.clone(), offset)).collect()),
        StartOffset::Earliest => OffsetSpec::Earliest,
        StartOffset::Latest | StartOffset::BeforeEnd(_) => OffsetSpec::Latest,
    };
    let mut positions = offsets_of(cluster, names, spec)?;
    if let StartOffset::BeforeEnd(count) = start {
        let first = offsets_of(cluster, names, OffsetSpec::Earliest)?;
        for (name, position) in &mut positions {
            *position = (*position - count).max(first.get(name).copied().unwrap_or_default());
        }
    }
    Ok(positions)
}

/// A partition without a record of that time or later is read from its end.
fn at_time(
    cluster: &mut Cluster,
    names: &[PartitionName],
    moment: Moment,
) -> Result<BTreeMap<PartitionName, i64>, ClientFailure> {
    let mut positions = offsets_of(cluster, names, OffsetSpec::Latest)?;
    let found = find_offsets(cluster, names, OffsetSpec::AtTime(moment.timestamp_ms()))?;
    for (name, found) in found {
        if let Some(offset) = found.offset {
            positions.insert(name, offset);
        }
    }
    Ok(positions)
}

fn offsets_of(
    cluster: &mut Cluster,
    names: &[PartitionName],
    spec: OffsetSpec,
) -> Result<BTreeMap<PartitionName, i64>, ClientFailure> {
    let found = find_offsets(cluster, names, spec)?;
    Ok(found.into_iter().map(|(name, found)| (name, found.offset.unwrap_or_default())).collect())
}

struct Consumer<'c> {
    arguments: &'c ConsumeArguments,
    record_format: RecordFormat,
    positions: BTreeMap<PartitionName, i64>,
    /// Where to end each partition, if it is to end there.
    ends: Option<BTreeMap<PartitionName, i64>>,
    uncommitted: BTreeMap<PartitionName, i64>,
    left: u64,
    sink: &'c mut dyn Write,
}

impl Consumer<'_> {
    fn consume(&mut self, cluster: &mut Cluster) -> Result<(), CommandFailure> {
        let mut passing = 0;
        let mut last_record = now();
        while self.left > 0 && self.is_short_of_its_end() {
            let before = self.left;
            match self.fetch_from_all(cluster) {
                Err(CommandFailure::Client(failure)) if failure.is_passing() && passing < ATTEMPTS_MAX => {
                    passing += 1;
                    pause(LEADER_PAUSE);
                }
                fetched => {
                    fetched?;
                    passing = 0;
                }
            }
            self.sink.flush()?;
            self.commit(cluster)?;
            if self.left < before {
                last_record = now();
            }
            let silent_max = self.arguments.timeout_ms.map(Duration::from_millis);
            if silent_max.is_some_and(|silent_max| now().since(last_record) >= silent_max) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn is_short_of_its_end(&self) -> bool {
        let Some(ends) = &self.ends else { return true };
        self.positions.iter().any(|(name, position)| ends.get(name).is_some_and(|end| position < end))
    }

    fn fetch_from_all(&mut self, cluster: &mut Cluster) -> Result<(), CommandFailure> {
        let names: Vec<PartitionName> = self.positions.keys().cloned().collect();
        let leaders = leaders_of(cluster, &names)?;
        let wait_ms = if leaders.len() == 1 { WAIT_MS } else { WAIT_IN_TURN_MS };
        for (leader, led) in leaders {
            let positions = led.iter().map(|name| (name.clone(), self.positions[name])).collect();
            let fetched = fetch(cluster, leader, &positions, wait_ms)?;
            for partition in fetched.partitions()? {
                self.check(&partition.name, partition.error_code)?;
                self.print(partition.name, partition.batches)?;
            }
        }
        Ok(())
    }

    fn check(&self, name: &PartitionName, error_code: i16) -> Result<(), ClientFailure> {
        let position = self.positions.get(name).copied().unwrap_or_default();
        let subject = || format!("partition {} of topic {} at offset {position}", name.partition, name.topic);
        ClientFailure::check(error_code, subject, None)
    }

    fn print(&mut self, name: PartitionName, batches: &[u8]) -> Result<(), CommandFailure> {
        let Some(from) = self.positions.get(&name).copied() else { return Ok(()) };
        let end = self.ends.as_ref().and_then(|ends| ends.get(&name)).copied().unwrap_or(i64::MAX);
        let next = each_record(batches, from, |record| -> Result<ControlFlow<()>, ReadFailure> {
            if self.left == 0 || record.offset >= end {
                return Ok(ControlFlow::Break(()));
            }
            match self.arguments.broker.format() {
                Format::Text => self.record_format.write_line(&name, &record, self.sink)?,
                Format::Json => {
                    serde_json::to_writer(&mut *self.sink, &JsonRecord::new(&name, &record))
                        .map_err(|error| ReadFailure::Command(error.into()))?;
                    self.sink.write_all(b"\n")?;
                }
            }
            self.left -= 1;
            Ok(ControlFlow::Continue(()))
        });
        let next = next.map_err(|failure| match failure {
            ReadFailure::Command(failure) => failure,
            ReadFailure::Batch(fault) => CommandFailure::Input(format!(
                "partition {} of topic {}: the batch at offset {from} or behind it cannot be read: {fault}\n\
                 Go on behind it with --offset, or look at its segment with `ringlog dump-log`.",
                name.partition, name.topic
            )),
        })?;
        if next > from {
            self.uncommitted.insert(name.clone(), next);
            self.positions.insert(name, next);
        }
        Ok(())
    }

    fn commit(&mut self, cluster: &mut Cluster) -> Result<(), CommandFailure> {
        if let (Some(group), false) = (&self.arguments.group, self.uncommitted.is_empty()) {
            commit_offsets(cluster, group, &self.uncommitted)?;
            self.uncommitted.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_word_an_offset_or_a_distance_from_the_end() {
        for (text, start) in [
            ("earliest", StartOffset::Earliest),
            ("end", StartOffset::Latest),
            ("17", StartOffset::At(17)),
            ("-10", StartOffset::BeforeEnd(10)),
        ] {
            assert_eq!(text.parse(), Ok(start));
        }
        for text in ["", "first", "1.5", "-9223372036854775808"] {
            assert!(text.parse::<StartOffset>().unwrap_err().contains("write earliest, latest"), "{text}");
        }
    }
}
