//! `ringlog import`: the log directories of a stopped Kafka broker become a data directory.
//!
//! ```text
//!   source: whose, not in use, metadata log ──► plan: topics, partitions, room ──► mark the target as unfinished
//!     ──► each partition: batches judged, copied or linked, indexes and checksums made ──► checkpoint, metadata log ──► take the mark away
//! ```
//!
//! Reading order:
//! - [`source`] with [`text_files`]: what Kafka left
//! - [`plan`]: what is to be taken over, and what is left behind
//! - [`partition`]: one partition taken over; [`target`]: the directory that is made
//! - [`report`]: what is told
//!
//! Always true: nothing of Kafka's is changed; what is left behind is told; a directory that is not all there is marked as such.

mod partition;
mod plan;
mod report;
mod source;
mod target;
mod text_files;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use ringlog_core::config::BrokerConfig;
use ringlog_core::ids::{BrokerId, TopicId};
use ringlog_core::kraft::{Successor, Takeover, take_over};
use ringlog_runtime::host;
use ringlog_storage::format::checkpoint::PartitionRecord;

use crate::commands::failure::CommandFailure;
use crate::commands::import::partition::{Ended, Taken, Transfer};
use crate::commands::import::plan::{Plan, PlannedPartition, PlannedTopic};
use crate::commands::import::report::{ShownDamage, ShownNotice, ShownTopic, Summary};
use crate::commands::import::source::{Source, refused, unreadable};
use crate::commands::import::target::Target;
use crate::commands::output::{Format, Report, show_next};
use crate::commands::verify::bar;

/// What indexes, checksums and the blocks of small files take, at most: a part of the segments, and so much for each partition.
const BESIDE_PART: u64 = 128;
const BESIDE_BYTES_PER_PARTITION: u64 = 64 << 10;

/// What to take over, and whereto.
#[derive(Args, Debug)]
pub struct ImportArguments {
    /// A log directory of a stopped Kafka 4 broker; again, or with commas, for each further one [Kafka's log.dirs].
    #[arg(long, value_name = "DIR", required = true, value_delimiter = ',')]
    pub from: Vec<PathBuf>,
    /// Where Kafka's metadata log lies, if in none of them [Kafka's metadata.log.dir].
    #[arg(long, value_name = "DIR")]
    pub metadata_dir: Option<PathBuf>,
    /// The data directory to make: one that is not there, or empty, or left by an import that was cut short.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Only topics with such names, `*` standing for any symbols; again, or with commas, for more.
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub topics: Vec<String>,
    /// Give segments a second name (a hard link) instead of copying them, all but the last of each partition.
    #[arg(long)]
    pub link: bool,
    /// Only tell what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON, an object a line, for programs.
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure::Damaged`] if batches are not what was written; all places were shown then.
pub fn run(arguments: ImportArguments, sink: &mut dyn Write) -> Result<(), CommandFailure> {
    let format = Format::of_flag(arguments.json);
    let source = Source::open(&arguments.from, arguments.metadata_dir.as_deref())?;
    let plan = Plan::new(&source, &arguments.topics)?;
    target::expect_empty(&arguments.data_dir)?;
    let mut import = Import {
        arguments: &arguments,
        source: &source,
        telling: Telling { sink, format, notice_count: 0 },
        totals: Totals::default(),
    };
    import.check_room(&plan)?;
    for (about, words) in &plan.notices {
        import.telling.notice(about, words)?;
    }
    if arguments.dry_run { import.only_tell(&plan) } else { import.carry_out(&plan) }
}

/// Where things are told.
struct Telling<'t> {
    sink: &'t mut dyn Write,
    format: Format,
    notice_count: usize,
}

impl Telling<'_> {
    fn show(&mut self, item: &impl Report) -> Result<(), CommandFailure> {
        show_next(item, self.format, self.sink)
    }

    fn notice(&mut self, about: &str, words: &str) -> Result<(), CommandFailure> {
        self.notice_count += 1;
        self.show(&ShownNotice::new(about, words))
    }
}

/// What was taken over so far.
#[derive(Default)]
struct Totals {
    logs: Vec<PartitionRecord>,
    epochs: BTreeMap<ringlog_core::ids::TopicPartition, i32>,
    next_producer_id: i64,
    segments: u64,
    bytes: u64,
    linked_bytes: u64,
    damage_count: usize,
}

struct Import<'i> {
    arguments: &'i ImportArguments,
    source: &'i Source,
    telling: Telling<'i>,
    totals: Totals,
}

impl Import<'_> {
    /// Looks before anything is written whether it will fit, and whether links are possible.
    fn check_room(&self, plan: &Plan) -> Result<(), CommandFailure> {
        let place = existing(&self.arguments.data_dir);
        let partitions = plan.partitions().count() as u64;
        let copied: u64 = match self.arguments.link {
            true => plan.partitions().map(PlannedPartition::last_segment_bytes).sum(),
            false => plan.bytes(),
        };
        let needed = copied + plan.bytes() / BESIDE_PART + partitions * BESIDE_BYTES_PER_PARTITION;
        let free = host::free_bytes(&place).map_err(unreadable(&place))?;
        if needed > free {
            return Err(refused(format!(
                "{} has {free} bytes free, and up to {needed} are needed{}",
                place.display(),
                if self.arguments.link {
                    ""
                } else {
                    "; on the file system of Kafka's directory --link needs few"
                }
            )));
        }
        let device = |path: &Path| fs::metadata(path).map(|about| about.dev()).map_err(unreadable(path));
        for directory in self.source.directories.iter().filter(|_| self.arguments.link) {
            if device(&directory.path)? != device(&place)? {
                return Err(CommandFailure::Usage(format!(
                    "--link: {} and {} are on different file systems: leave --link out",
                    directory.path.display(),
                    place.display()
                )));
            }
        }
        Ok(())
    }

    fn only_tell(&mut self, plan: &Plan) -> Result<(), CommandFailure> {
        for topic in &plan.topics {
            let segments = topic.partitions.iter().map(|partition| partition.segments.len() as u64).sum();
            self.totals.segments += segments;
            self.totals.bytes += topic.bytes();
            self.show_topic(topic, segments, topic.bytes())?;
        }
        let takeover = self.records(plan)?;
        self.tell_refused(&takeover)?;
        self.summarize(plan, false)
    }

    fn carry_out(&mut self, plan: &Plan) -> Result<(), CommandFailure> {
        // What cannot be taken over is told before hours of copying.
        self.records(plan)?;
        let target = Target::begin(&self.arguments.data_dir)?;
        let progress = bar(plan.bytes());
        for topic in &plan.topics {
            let taken = self.topic(topic, &target, &mut |bytes| progress.inc(bytes));
            if taken.is_err() {
                progress.finish_and_clear();
            }
            taken?;
        }
        progress.finish_and_clear();
        if self.totals.damage_count > 0 {
            return Err(CommandFailure::Damaged { count: self.totals.damage_count });
        }
        let takeover = self.records(plan)?;
        let node_id = BrokerId(self.source.node_id);
        let logs = std::mem::take(&mut self.totals.logs);
        target.finish(logs, &takeover.records, &self.source.cluster_id, node_id)?;
        self.tell_refused(&takeover)?;
        self.summarize(plan, true)
    }

    fn topic(
        &mut self,
        topic: &PlannedTopic,
        target: &Target,
        read: &mut dyn FnMut(u64),
    ) -> Result<(), CommandFailure> {
        let transfer = if self.arguments.link { Transfer::Link } else { Transfer::Copy };
        let (mut segments, mut bytes) = (0, 0);
        for planned in &topic.partitions {
            match partition::take_over(planned, target, transfer, read)? {
                Ended::Taken(taken) => {
                    segments += taken.segment_count;
                    bytes += taken.copied_bytes + taken.linked_bytes;
                    self.count(planned, *taken)?;
                }
                Ended::Damaged(torn) => {
                    self.totals.damage_count += 1;
                    self.telling.show(&ShownDamage::new(&torn))?;
                }
            }
        }
        self.show_topic(topic, segments, bytes)
    }

    fn count(&mut self, planned: &PlannedPartition, taken: Taken) -> Result<(), CommandFailure> {
        let Taken { log, segment_count, linked_bytes, copied_bytes, torn, rolled_back_count, gaps } = taken;
        let totals = &mut self.totals;
        totals.segments += segment_count;
        totals.bytes += copied_bytes + linked_bytes;
        totals.linked_bytes += linked_bytes;
        totals.next_producer_id = totals.next_producer_id.max(log.next_producer_id);
        if let Some(epoch) = log.latest_epoch {
            totals.epochs.insert(planned.identity.id, epoch.0);
        }
        totals.logs.push(log.record);
        let about = format!("{}-{}", planned.identity.topic, planned.identity.id.partition);
        if let Some(torn) = torn {
            let words = format!(
                "it ends at offset {}: what stands behind byte {} of {} was not all written when Kafka was killed ({})",
                torn.offset,
                torn.position,
                torn.file.display(),
                torn.reason
            );
            self.telling.notice(&about, &words)?;
        }
        if let Some(first) = gaps.first() {
            let words = format!(
                "between its segments {} times nothing is, first from offset {} to {}: segments are missing, unless it was \
                 compacted once",
                gaps.len(),
                first.start,
                first.end
            );
            self.telling.notice(&about, &words)?;
        }
        if rolled_back_count > 0 {
            let words = format!(
                "{} batches of {rolled_back_count} transactions that were rolled back are left out",
                log.left_out_count
            );
            self.telling.notice(&about, &words)?;
        }
        Ok(())
    }

    /// The cluster in our own records.
    fn records(&self, plan: &Plan) -> Result<Takeover, CommandFailure> {
        let (broker, _) = BrokerConfig::from_properties("").map_err(|error| refused(error.to_string()))?;
        let topics: Vec<TopicId> = plan.topics.iter().map(|topic| topic.id).collect();
        let successor = Successor {
            cluster_id: &self.source.cluster_id,
            node_id: BrokerId(self.source.node_id),
            broker: &broker,
            epochs: &self.totals.epochs,
            next_producer_id: self.totals.next_producer_id,
        };
        take_over(&self.source.image, &topics, &successor).map_err(refused)
    }

    fn tell_refused(&mut self, takeover: &Takeover) -> Result<(), CommandFailure> {
        for one in &takeover.refused {
            let words = format!("{}={} is left behind: {}", one.key, one.value, one.reason);
            self.telling.notice(&one.resource, &words)?;
        }
        Ok(())
    }

    fn show_topic(&mut self, topic: &PlannedTopic, segments: u64, bytes: u64) -> Result<(), CommandFailure> {
        self.telling.show(&ShownTopic {
            r#type: "topic",
            topic: &topic.name,
            topic_id: topic.id.to_string(),
            partitions: topic.partitions.len(),
            segments,
            bytes,
        })
    }

    fn summarize(&mut self, plan: &Plan, done: bool) -> Result<(), CommandFailure> {
        self.telling.show(&Summary {
            r#type: "summary",
            done,
            data_dir: self.arguments.data_dir.display().to_string(),
            cluster_id: self.source.cluster_id.clone(),
            node_id: self.source.node_id,
            topics: plan.topics.len(),
            partitions: plan.partitions().count(),
            segments: self.totals.segments,
            bytes: self.totals.bytes,
            linked_bytes: self.totals.linked_bytes,
            notices: self.telling.notice_count,
        })
    }
}

/// The nearest directory above that is there.
fn existing(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.ancestors().find(|place| place.is_dir()).unwrap_or(Path::new("/")).to_owned()
}
