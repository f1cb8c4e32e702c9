//! What is to be taken over, before anything is written: topics, their partitions and where these lie.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ringlog_core::ids::{Offset, PartitionIndex, TopicId, TopicPartition};
use ringlog_core::kraft::record::{Beside, resource_types};
use ringlog_core::kraft::{KraftPartition, KraftTopic};
use ringlog_core::metadata::topic_name::{self, CONSUMER_OFFSETS_TOPIC};
use ringlog_storage::format::names::{SegmentFile, parse_segment_name, partition_metadata};
use ringlog_storage::format::partition_metadata as metadata_text;
use ringlog_storage::log::LogIdentity;

use crate::commands::failure::CommandFailure;
use crate::commands::import::source::{KafkaDirectory, Source, refused, unreadable};

/// All of it.
pub(super) struct Plan {
    pub topics: Vec<PlannedTopic>,
    /// Things that are left behind, or not as they should be.
    pub notices: Vec<(String, String)>,
}

/// A topic.
pub(super) struct PlannedTopic {
    pub name: String,
    pub id: TopicId,
    pub partitions: Vec<PlannedPartition>,
}

/// A partition, with what Kafka's text files say of it.
pub(super) struct PlannedPartition {
    pub identity: LogIdentity,
    /// `None` for one that Kafka had not made a directory for.
    pub directory: Option<PathBuf>,
    pub log_start_offset: Offset,
    /// Nothing below may be torn.
    pub durable_end_offset: Offset,
    /// Everything below was synced, so it must be there; after an orderly stop that is all of it.
    pub recovery_point: Offset,
    /// Whether records between its segments may have been compacted away.
    pub is_compacted: bool,
    /// Its segments by name, with their lengths; none that lies below the log's start.
    pub segments: BTreeMap<Offset, u64>,
}

impl PlannedPartition {
    /// One without records.
    fn empty(identity: LogIdentity) -> PlannedPartition {
        PlannedPartition {
            identity,
            directory: None,
            log_start_offset: Offset::ZERO,
            durable_end_offset: Offset::ZERO,
            recovery_point: Offset::ZERO,
            is_compacted: false,
            segments: BTreeMap::new(),
        }
    }

    pub fn bytes(&self) -> u64 {
        self.segments.values().sum()
    }

    /// What must be copied even where segments get a second name.
    pub fn last_segment_bytes(&self) -> u64 {
        self.segments.last_key_value().map_or(0, |(_, length)| *length)
    }
}

impl PlannedTopic {
    pub fn bytes(&self) -> u64 {
        self.partitions.iter().map(PlannedPartition::bytes).sum()
    }
}

impl Plan {
    /// Plans for the topics whose names match one of the patterns, or for all.
    pub fn new(source: &Source, patterns: &[String]) -> Result<Plan, CommandFailure> {
        let mut plan = Plan { topics: Vec::new(), notices: Vec::new() };
        let mut names: Vec<(&str, TopicId)> =
            source.image.topics.iter().map(|(id, topic)| (&*topic.name, *id)).collect();
        names.sort_unstable();
        let mut placed = Vec::new();
        for (name, id) in names {
            let topic = &source.image.topics[&id];
            // Where groups have read to is what a move is for.
            let is_wanted = name == CONSUMER_OFFSETS_TOPIC
                || patterns.is_empty()
                || patterns.iter().any(|pattern| matches(pattern, name));
            if topic_name::is_internal(name) && name != CONSUMER_OFFSETS_TOPIC {
                plan.note(name, "left behind: this broker has no use for it");
            } else if is_wanted {
                refuse_tiered(source, name)?;
                let is_chosen = !patterns.is_empty();
                let partitions = topic.partitions.iter().map(|(index, partition)| {
                    plan_partition(source, id, topic, *index, partition, is_chosen, &mut plan.notices)
                });
                let partitions = partitions.collect::<Result<Vec<_>, _>>()?;
                placed.extend(partitions.iter().filter_map(|partition| partition.directory.clone()));
                plan.topics.push(PlannedTopic { name: name.to_owned(), id, partitions });
                continue;
            }
            let of_topic = source.directories.iter().flat_map(|directory| &directory.partitions);
            placed.extend(of_topic.filter(|((of, _), _)| of == name).map(|(_, path)| path.clone()));
        }
        if let Some(pattern) = patterns.iter().find(|pattern| !plan.has_match(pattern)) {
            return Err(CommandFailure::Usage(format!("--topics {pattern} matches no topic")));
        }
        for path in source.directories.iter().flat_map(|directory| directory.partitions.values()) {
            if !placed.contains(path) {
                plan.note(&path.display().to_string(), "passed over: it belongs to no topic of the cluster");
            }
        }
        plan.note_beside(source);
        Ok(plan)
    }

    pub fn bytes(&self) -> u64 {
        self.topics.iter().map(PlannedTopic::bytes).sum()
    }

    pub fn partitions(&self) -> impl Iterator<Item = &PlannedPartition> {
        self.topics.iter().flat_map(|topic| &topic.partitions)
    }

    fn has_match(&self, pattern: &str) -> bool {
        self.topics.iter().any(|topic| matches(pattern, &topic.name))
    }

    fn note(&mut self, about: &str, words: &str) {
        self.notices.push((about.to_owned(), words.to_owned()));
    }

    /// What a cluster has besides topics, and has no place here.
    fn note_beside(&mut self, source: &Source) {
        for (path, words) in &source.notices {
            self.note(&path.display().to_string(), words);
        }
        for (kind, known) in &source.image.beside {
            let name = match kind {
                Beside::Acl => "ACLs",
                Beside::ScramCredential => "SCRAM credentials",
                Beside::Quota => "client quotas",
                Beside::DelegationToken => "delegation tokens",
            };
            if !known.is_empty() {
                let words = format!("{} of them are left behind: they are not supported", known.len());
                self.note(name, &words);
            }
        }
        for ((kind, resource), configs) in &source.image.configs {
            let is_ours = *kind == resource_types::TOPIC
                || (*kind == resource_types::BROKER
                    && (resource.is_empty() || *resource == source.node_id.to_string()));
            if !is_ours {
                let keys = configs.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                let name = match kind {
                    4 => format!("broker {resource}"),
                    16 => format!("client metrics {resource}"),
                    32 => format!("group {resource}"),
                    other => format!("resource {resource} of kind {other}"),
                };
                self.note(&name, &format!("its configuration is left behind: {keys}"));
            }
        }
    }
}

/// The older records of a topic with tiered storage lie elsewhere (KIP-405).
fn refuse_tiered(source: &Source, topic: &str) -> Result<(), CommandFailure> {
    let configs = source.image.configs_of(resource_types::TOPIC, topic);
    if configs.get("remote.storage.enable").is_none_or(|value| value != "true") {
        return Ok(());
    }
    Err(refused(format!(
        "topic {topic} has records in tiered storage, which stay there: choose other topics with --topics, or disable \
         remote.storage.enable for it first"
    )))
}

/// Whether a name is what a pattern says: `*` stands for any number of symbols.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, rest)) => name.strip_prefix(before).is_some_and(|left| {
            let starts = left.char_indices().map(|(at, _)| at).chain([left.len()]);
            starts.into_iter().any(|at| matches(rest, &left[at..]))
        }),
    }
}

fn plan_partition(
    source: &Source,
    id: TopicId,
    topic: &KraftTopic,
    index: i32,
    partition: &KraftPartition,
    is_chosen: bool,
    notices: &mut Vec<(String, String)>,
) -> Result<PlannedPartition, CommandFailure> {
    let shown = format!("{}-{index}", topic.name);
    let node = source.node_id;
    let identity = LogIdentity {
        topic: topic.name.as_str().into(),
        id: TopicPartition { topic: id, partition: PartitionIndex(index) },
    };
    let is_here = partition.replicas.contains(&node);
    // It comes along with whatever is chosen, so no choice would leave it out.
    if !is_here && is_chosen && topic.name == CONSUMER_OFFSETS_TOPIC {
        let words = format!(
            "it lies on the nodes {:?}, and not on node {node}: the offsets of the groups in it are left behind",
            partition.replicas
        );
        notices.push((shown, words));
        return Ok(PlannedPartition::empty(identity));
    }
    if !is_here {
        return Err(refused(format!(
            "partition {shown} lies on the nodes {:?}, and not on node {node}: choose other topics with --topics, or give \
             this node a replica first",
            partition.replicas
        )));
    }
    let has_all = partition.in_sync.contains(&node) || partition.eligible.contains(&node);
    if partition.replicas.len() > 1 && !has_all {
        return Err(refused(format!(
            "node {node} is not in sync for partition {shown}, so acknowledged records may be missing: let it catch up, or \
             take another node's directory"
        )));
    }
    let key = (topic.name.clone(), index);
    let holding = source
        .directories
        .iter()
        .filter(|directory| directory.partitions.get(&key).is_some_and(|path| topic_of(path) == Some(id)));
    let holding: Vec<&KafkaDirectory> = holding.collect();
    let directory = match holding[..] {
        [one] => one,
        [] => {
            expect_empty(source, partition, &shown)?;
            expect_nothing_lost(source, &key, &shown)?;
            notices.push((shown, "Kafka had not made its directory yet: it is taken over empty".to_owned()));
            return Ok(PlannedPartition::empty(identity));
        }
        [one, other, ..] => {
            let (one, other) = (one.path.display(), other.path.display());
            return Err(refused(format!("partition {shown} lies in {one} and in {other}")));
        }
    };
    let path = directory.partitions[&key].clone();
    let segments = segments(&path)?;
    let first = segments.keys().next().copied().unwrap_or_default();
    let log_start_offset = first.max(Offset(directory.log_starts.get(&key).copied().unwrap_or(0)));
    let recovery_point = directory.recovery_point(&key);
    let durable_end_offset = if directory.is_clean { Offset(i64::MAX) } else { recovery_point };
    let policy = source.image.configs_of(resource_types::TOPIC, &topic.name).remove("cleanup.policy");
    let ends = segments.keys().skip(1).copied().chain([Offset(i64::MAX)]);
    let wanted = segments.iter().zip(ends).filter(|(_, end)| *end > log_start_offset);
    let segments = wanted.map(|((base_offset, length), _)| (*base_offset, *length)).collect();
    Ok(PlannedPartition {
        identity,
        directory: Some(path),
        log_start_offset,
        durable_end_offset,
        recovery_point,
        is_compacted: policy.is_some_and(|policy| policy.contains("compact")),
        segments,
    })
}

/// A partition without a directory may only be one that Kafka had no time to make: not one that lies elsewhere.
fn expect_empty(source: &Source, partition: &KraftPartition, shown: &str) -> Result<(), CommandFailure> {
    let place = partition.replicas.iter().position(|replica| *replica == source.node_id);
    let place = place.and_then(|at| partition.directories.get(at));
    let is_given = |id: &TopicId| source.directories.iter().any(|directory| directory.id == Some(*id));
    match place {
        Some(id) if *id == TopicId::ZERO || is_given(id) => Ok(()),
        Some(id) => Err(refused(format!(
            "partition {shown} lies in the log directory with directory.id={id}: name that one with --from as well"
        ))),
        None => Err(refused(format!(
            "partition {shown} is in none of the directories: name all of log.dirs with --from"
        ))),
    }
}

/// The topic that a partition's directory says it belongs to; `None` if that cannot be read.
fn topic_of(directory: &Path) -> Option<TopicId> {
    metadata_text::parse(&fs::read(partition_metadata(directory)).ok()?)
}

/// A partition that no directory says it holds may not be one that Kafka had written to: Kafka gives up a partition's directory
/// and what it noted of it together, and writes no batch before the directory says whose it is.
fn expect_nothing_lost(source: &Source, key: &(String, i32), shown: &str) -> Result<(), CommandFailure> {
    for directory in &source.directories {
        let synced = directory.recovery_point(key);
        match directory.partitions.get(key) {
            None if synced > Offset::ZERO => {
                return Err(refused(format!(
                    "partition {shown} has no directory in {}, where Kafka had synced it up to offset {synced}: restore it \
                     from a copy or a replica",
                    directory.path.display()
                )));
            }
            Some(path) if topic_of(path).is_none() => {
                if synced > Offset::ZERO || segments(path)?.values().any(|length| *length > 0) {
                    return Err(refused(format!(
                        "{} is missing, or damaged, so nothing tells which topic of that name the records of {shown} belong \
                         to: restore it from a copy",
                        partition_metadata(path).display()
                    )));
                }
            }
            None | Some(_) => {}
        }
    }
    Ok(())
}

fn segments(directory: &Path) -> Result<BTreeMap<Offset, u64>, CommandFailure> {
    let mut segments = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(unreadable(directory))? {
        let entry = entry.map_err(unreadable(directory))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".log.swap") {
            return Err(refused(format!(
                "{} is half of a compaction: start Kafka once more, and stop it in order",
                entry.path().display()
            )));
        }
        if let Some((base_offset, SegmentFile::Log)) = parse_segment_name(&name) {
            let length = entry.metadata().map_err(unreadable(directory))?.len();
            segments.insert(base_offset, length);
        }
    }
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_number_of_symbols() {
        for (pattern, name) in [("*", ""), ("*", "orders"), ("or*", "orders"), ("*d*s", "orders"), ("a", "a")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("or", "orders"), ("*x", "orders"), ("o*o", "o")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
