//! `ringlog group reset-offsets`: where a group shall go on.
//!
//! ```text
//!   partitions ──► what is asked for ──► kept between start and end ──► shown ──► committed, with --execute
//! ```
//!
//! Always true: nothing is committed without `--execute`, nor for a group that has members.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use ringlog_runtime::uring::wall_clock;
use serde::Serialize;

use crate::client::ClientFailure;
use crate::client::cluster::Cluster;
use crate::client::coordinator::{commit_offsets, committed_offsets};
use crate::client::groups::describe_group;
use crate::client::offsets::{OffsetSpec, PartitionName, find_offsets};
use crate::commands::failure::CommandFailure;
use crate::commands::group::GroupArgument;
use crate::commands::group::selection::{TopicSelection, offsets_in, selected};
use crate::commands::output::{Format, Report, show};
use crate::commands::table::{Align, Table, or_dash};
use crate::commands::time::{Moment, Span};

/// Which group, which partitions, and where to.
#[derive(Args, Debug)]
pub struct ResetArguments {
    /// The group.
    #[command(flatten)]
    pub group: GroupArgument,
    /// Of which topic, and perhaps of which of its partitions.
    #[arg(short, long, value_name = "TOPIC[:PARTITION,...]", required_unless_present_any = ["all_topics", "from_file"])]
    pub topic: Vec<TopicSelection>,
    /// Everything the group has committed.
    #[arg(long, conflicts_with = "topic")]
    pub all_topics: bool,
    /// Where to.
    #[command(flatten)]
    pub destination: DestinationArguments,
    /// Do it.
    #[arg(long, conflicts_with_all = ["dry_run", "export"])]
    pub execute: bool,
    /// Show what would be done, which is what is done anyway.
    #[arg(long)]
    pub dry_run: bool,
    /// Print what would be done as TOPIC,PARTITION,OFFSET, for --from-file.
    #[arg(long)]
    pub export: bool,
}

/// Where to.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct DestinationArguments {
    /// The first record there is.
    #[arg(long)]
    pub to_earliest: bool,
    /// Behind the last record.
    #[arg(long)]
    pub to_latest: bool,
    /// Where the group is already: a way to write it down with --export.
    #[arg(long)]
    pub to_current: bool,
    /// This offset.
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    pub to_offset: Option<i64>,
    /// The first record of this time: 2026-11-27T08:00:00Z, or milliseconds since 1970.
    #[arg(long, value_name = "TIME")]
    pub to_datetime: Option<Moment>,
    /// The first record that is not older than so long: 90s, 15m, 2h, 1d, or PT1H30M.
    #[arg(long, value_name = "DURATION")]
    pub by_duration: Option<Span>,
    /// So many records further, or back.
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub shift_by: Option<i64>,
    /// What an export wrote: TOPIC,PARTITION,OFFSET a line.
    #[arg(long, value_name = "FILE")]
    pub from_file: Option<PathBuf>,
}

/// What is asked for, for each partition.
enum Destination {
    Of(OffsetSpec),
    At(BTreeMap<PartitionName, i64>),
    Offset(i64),
    Shifted(i64),
}

#[derive(Serialize)]
struct Reset {
    group: String,
    executed: bool,
    partitions: Vec<ResetPartition>,
    #[serde(skip)]
    exports: bool,
}

#[derive(Serialize)]
struct ResetPartition {
    topic: String,
    partition: i32,
    /// Null if none was committed.
    from: Option<i64>,
    to: i64,
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure`].
pub fn run(
    arguments: &ResetArguments,
    cluster: &mut Cluster,
    format: Format,
    sink: &mut dyn Write,
) -> Result<(), CommandFailure> {
    let group = arguments.group.name();
    let destination = destination(&arguments.destination, group)?;
    let committed: BTreeMap<PartitionName, i64> = committed_offsets(cluster, group)?
        .into_iter()
        .map(|(name, committed)| (name, committed.offset))
        .collect();
    let names = names(arguments, cluster, &destination, &committed)?;
    let offsets = destined(cluster, &destination, &names, &committed)?;
    if arguments.execute {
        refuse_members(cluster, group)?;
        commit_offsets(cluster, group, &offsets)?;
    }
    let partitions = offsets.into_iter().map(|(name, to)| ResetPartition {
        from: committed.get(&name).copied(),
        to,
        topic: name.topic,
        partition: name.partition,
    });
    let report = Reset {
        group: group.to_owned(),
        executed: arguments.execute,
        partitions: partitions.collect(),
        exports: arguments.export,
    };
    show(&report, format, sink)
}

fn destination(asked: &DestinationArguments, group: &str) -> Result<Destination, CommandFailure> {
    if let Some(path) = &asked.from_file {
        let unusable = |words: String| CommandFailure::Input(format!("{}: {words}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
        return Ok(Destination::At(offsets_in(&text, group).map_err(unusable)?));
    }
    let before = |span: Span| (wall_clock().0 - span.milliseconds()).max(0);
    Ok(match asked {
        DestinationArguments { to_earliest: true, .. } => Destination::Of(OffsetSpec::Earliest),
        DestinationArguments { to_latest: true, .. } => Destination::Of(OffsetSpec::Latest),
        DestinationArguments { to_offset: Some(offset), .. } => Destination::Offset(*offset),
        DestinationArguments { to_datetime: Some(moment), .. } => {
            Destination::Of(OffsetSpec::AtTime(moment.timestamp_ms()))
        }
        DestinationArguments { by_duration: Some(span), .. } => {
            Destination::Of(OffsetSpec::AtTime(before(*span)))
        }
        other => Destination::Shifted(other.shift_by.unwrap_or(0)),
    })
}

fn names(
    arguments: &ResetArguments,
    cluster: &mut Cluster,
    destination: &Destination,
    committed: &BTreeMap<PartitionName, i64>,
) -> Result<Vec<PartitionName>, CommandFailure> {
    let of_file = match destination {
        Destination::At(offsets) => Some(offsets),
        _ => None,
    };
    let names: Vec<PartitionName> = match (of_file, arguments.all_topics) {
        (Some(offsets), _) if arguments.topic.is_empty() => offsets.keys().cloned().collect(),
        (_, true) => committed.keys().cloned().collect(),
        (Some(offsets), false) => {
            let wanted: BTreeSet<PartitionName> = selected(cluster, &arguments.topic)?.into_iter().collect();
            offsets.keys().filter(|name| wanted.contains(name)).cloned().collect()
        }
        (None, false) => selected(cluster, &arguments.topic)?,
    };
    match names.is_empty() {
        true => Err(CommandFailure::Usage(format!(
            "group {} has no offsets there: name topics with --topic TOPIC",
            arguments.group.name()
        ))),
        false => Ok(names),
    }
}

/// Where each partition goes, never before its start or behind its end.
fn destined(
    cluster: &mut Cluster,
    destination: &Destination,
    names: &[PartitionName],
    committed: &BTreeMap<PartitionName, i64>,
) -> Result<BTreeMap<PartitionName, i64>, ClientFailure> {
    let starts = find_offsets(cluster, names, OffsetSpec::Earliest)?;
    let ends = find_offsets(cluster, names, OffsetSpec::Latest)?;
    let found = match destination {
        Destination::Of(spec) => find_offsets(cluster, names, *spec)?,
        _ => BTreeMap::new(),
    };
    let mut offsets = BTreeMap::new();
    for name in names {
        let bound = |bounds: &BTreeMap<PartitionName, _>| -> i64 {
            bounds
                .get(name)
                .and_then(|found: &crate::client::offsets::FoundOffset| found.offset)
                .unwrap_or_default()
        };
        let (start, end) = (bound(&starts), bound(&ends));
        let wanted = match destination {
            // No record is as young: go on with the next one.
            Destination::Of(_) => found.get(name).and_then(|found| found.offset).unwrap_or(end),
            Destination::At(offsets) => offsets[name],
            Destination::Offset(offset) => *offset,
            Destination::Shifted(count) => committed.get(name).copied().unwrap_or(end).saturating_add(*count),
        };
        offsets.insert(name.clone(), wanted.max(start).min(end.max(start)));
    }
    Ok(offsets)
}

/// Consumers that run would commit over it. A broker refuses as well; this says why.
fn refuse_members(cluster: &mut Cluster, group: &str) -> Result<(), CommandFailure> {
    let described = describe_group(cluster, group)?;
    match described.members.len() {
        0 => Ok(()),
        count => Err(CommandFailure::Input(format!(
            "group {group} is {} with {count} members\nStop its consumers first; `ringlog group describe {group} \
             --members` lists them.",
            described.state
        ))),
    }
}

impl Report for Reset {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        if self.exports {
            return self
                .partitions
                .iter()
                .try_for_each(|reset| writeln!(sink, "{},{},{}", reset.topic, reset.partition, reset.to));
        }
        let columns = [
            ("TOPIC", Align::Left),
            ("PARTITION", Align::Right),
            ("FROM", Align::Right),
            ("TO", Align::Right),
        ];
        let mut table = Table::new(&columns);
        for reset in &self.partitions {
            let (from, to) = (or_dash(reset.from), reset.to.to_string());
            table.row([reset.topic.clone(), reset.partition.to_string(), from, to]);
        }
        table.write(sink)?;
        match self.executed {
            true => writeln!(sink, "committed for group {}", self.group),
            false => writeln!(sink, "nothing was changed: --execute does it"),
        }
    }
}
