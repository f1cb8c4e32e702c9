//! Which checkpoints count: those of the latest start, the newest readable one of each shard.
//!
//! ```text
//!   recovered-0, recovered-1   start 7            base of every log
//!   shard-0-0  start 7 number 12   shard-0-1  start 7 number 13   ──► 13, for the logs of shard 0
//!   shard-1-0  start 6 number 40   ──► void: start 7 recovered past it
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use ringlog_core::ids::{PartitionIndex, TopicId, TopicPartition};
use ringlog_runtime::environment::{DiskFailure, Environment};

use crate::disk::{read_file, remove_file_if_present, replace_file};
use crate::failure::{Damage, StoreFailure};
use crate::format::checkpoint::{BYTES_MAX, CheckpointBody, PartitionRecord};
use crate::format::names::{CheckpointOwner, checkpoint_directory, journal_root, parse_checkpoint_name};

/// How often a copy is read before it counts as damaged.
const READ_TRIES: usize = 3;

/// The checkpoints of the latest start.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    /// That start; zero if the directory is new.
    pub start: u64,
    pub shard_count: u16,
    recovered: Vec<PartitionRecord>,
    /// The newest checkpoint of each shard that opened its store.
    pub shards: BTreeMap<u16, CheckpointBody>,
    newest: BTreeMap<TopicPartition, PartitionRecord>,
}

impl Lives {
    /// The newest record of a log.
    pub fn record(&self, id: TopicPartition) -> Option<&PartitionRecord> {
        self.newest.get(&id)
    }

    /// The newest record of every log.
    pub fn records(&self) -> impl Iterator<Item = &PartitionRecord> {
        self.newest.values()
    }

    /// Whether the shard that owned this log closed it, or never opened its store.
    pub fn is_closed(&self, id: TopicPartition) -> bool {
        if self.shard_count == 0 {
            return false;
        }
        self.shards.get(&id.owner(self.shard_count).0).is_none_or(|shard| shard.is_clean)
    }

    /// Whether every shard closed.
    pub fn is_clean(&self) -> bool {
        self.start > 0 && self.shards.values().all(|shard| shard.is_clean)
    }
}

/// Reads all checkpoints and chooses.
pub(super) async fn read<E: Environment>(env: &E, data_dir: &Path) -> Result<Lives, StoreFailure> {
    let directory = checkpoint_directory(data_dir);
    let mut found: Vec<(CheckpointOwner, CheckpointBody)> = Vec::new();
    let mut damaged: BTreeMap<CheckpointOwner, Damage> = BTreeMap::new();
    let mut whole: Vec<(CheckpointOwner, u64, Vec<u8>)> = Vec::new();
    for entry in env.list_directory(&directory).await? {
        let Some(owner) = parse_checkpoint_name(&entry.name) else { continue };
        let path = directory.join(&entry.name);
        let (bytes, parsed) = match read_patiently(env, &path).await {
            Err(failure) if failure.is_unreadable() => (Vec::new(), Err(failure.to_string())),
            read => {
                let bytes = read?.unwrap_or_default();
                let parsed = CheckpointBody::parse(&bytes);
                (bytes, parsed)
            }
        };
        match parsed {
            Ok(body) => {
                whole.push((owner, body.start, bytes));
                found.push((owner, body));
            }
            Err(reason) => {
                let damage = Damage { path, bytes: 0..bytes.len() as u64, offsets: None, reason };
                tracing::warn!(%damage, "one of two copies of a checkpoint is damaged");
                damaged.insert(owner, damage);
            }
        }
    }
    let bridged = damaged.clone();
    let lives = choose(found, damaged)?;
    for (owner, damage) in bridged {
        let twin = whole.iter().find(|(of, start, _)| *of == owner && *start == lives.start);
        let (_, _, bytes) = twin.expect("a damaged copy is bridged by the other of the same start");
        // Healed before anything else is changed: once recovery has written its own, an earlier start's damaged
        // copy without its twin could not be told from one that counts. A crash here: the copy is damaged still.
        replace_file(env, &damage.path, bytes).await?;
    }
    Ok(lives)
}

/// A file's content, asked for again where the disk cannot read it: a sector that is lost is refused each time.
async fn read_patiently<E: Environment>(env: &E, path: &Path) -> Result<Option<Vec<u8>>, DiskFailure> {
    for _ in 1..READ_TRIES {
        match read_file(env, path, BYTES_MAX).await {
            Err(failure) if failure.is_unreadable() => {}
            read => return read,
        }
    }
    read_file(env, path, BYTES_MAX).await
}

/// Chooses among those that could be read; `damaged` are those that could not.
pub(crate) fn choose(
    found: Vec<(CheckpointOwner, CheckpointBody)>,
    mut damaged: BTreeMap<CheckpointOwner, Damage>,
) -> Result<Lives, StoreFailure> {
    let start = found.iter().map(|(_, body)| body.start).max().unwrap_or(0);
    let mut lives = Lives { start, ..Lives::default() };
    let mut has_base = start == 0;
    for (owner, body) in found.into_iter().filter(|(_, body)| body.start == start) {
        // Either copy is enough to start from: the journal is kept for the older of the two.
        damaged.remove(&owner);
        lives.shard_count = body.shard_count;
        match owner {
            CheckpointOwner::Recovery => {
                has_base = true;
                lives.recovered = body.partitions;
            }
            CheckpointOwner::Shard(shard) => {
                let is_newer = lives.shards.get(&shard).is_none_or(|other| other.number < body.number);
                if is_newer {
                    lives.shards.insert(shard, body);
                }
            }
        }
    }
    if let Some(damage) = damaged.into_values().next() {
        return Err(damage.into());
    }
    if !has_base {
        let reason = format!("the checkpoints of start {start} have no base: recovered-*.checkpoint is gone");
        return Err(Damage { path: "checkpoint".into(), bytes: 0..0, offsets: None, reason }.into());
    }
    let base = lives.recovered.drain(..);
    let of_shards = lives.shards.values_mut().flat_map(|body| std::mem::take(&mut body.partitions));
    lives.newest = base.chain(of_shards).map(|record| (record.partition(), record)).collect();
    for (topic, partition) in lives.shards.values().flat_map(|body| &body.deleted) {
        let (topic, partition) = (TopicId(*topic), PartitionIndex(*partition));
        lives.newest.remove(&TopicPartition { topic, partition });
    }
    Ok(lives)
}

/// Removes what an earlier number of shards left.
pub(super) async fn remove_obsolete<E: Environment>(
    env: &E,
    data_dir: &Path,
    shard_count: u16,
) -> Result<(), DiskFailure> {
    let directory = checkpoint_directory(data_dir);
    for entry in env.list_directory(&directory).await? {
        match parse_checkpoint_name(&entry.name) {
            Some(CheckpointOwner::Shard(_)) => {
                remove_file_if_present(env, &directory.join(&entry.name)).await?
            }
            None if entry.name.ends_with(".tmp") => {
                remove_file_if_present(env, &directory.join(&entry.name)).await?;
            }
            _ => {}
        }
    }
    env.sync_directory(&directory).await?;
    let root = journal_root(data_dir);
    for entry in env.list_directory(&root).await? {
        let shard = entry.name.strip_prefix("shard-").and_then(|shard| shard.parse::<u16>().ok());
        if shard.is_some_and(|shard| shard >= shard_count) {
            crate::store::directories::remove_directory(env, &root.join(&entry.name)).await?;
        }
    }
    env.sync_directory(&root).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(start: u64, number: u64, end_offset: i64) -> CheckpointBody {
        let record = PartitionRecord { end_offset, ..PartitionRecord::default() };
        CheckpointBody {
            start,
            number,
            shard_count: 2,
            partitions: vec![record],
            ..CheckpointBody::default()
        }
    }

    fn damage() -> Damage {
        Damage { path: "x".into(), bytes: 0..1, offsets: None, reason: "torn".to_owned() }
    }

    const SHARD: CheckpointOwner = CheckpointOwner::Shard(1);

    #[test]
    fn the_newest_checkpoint_of_the_latest_start_counts() {
        let found = vec![
            (CheckpointOwner::Recovery, body(7, 0, 10)),
            (SHARD, body(7, 5, 30)),
            (SHARD, body(7, 4, 20)),
            (CheckpointOwner::Shard(0), body(6, 90, 99)),
        ];
        let lives = choose(found, BTreeMap::new()).unwrap();
        assert_eq!((lives.start, lives.shards.len()), (7, 1));
        assert_eq!(lives.records().next().unwrap().end_offset, 30);
    }

    #[test]
    fn one_damaged_copy_is_bridged_and_two_are_reported() {
        let base = (CheckpointOwner::Recovery, body(7, 0, 10));
        let found = vec![base.clone(), (SHARD, body(7, 4, 20))];
        let lives = choose(found, BTreeMap::from([(SHARD, damage())])).unwrap();
        assert_eq!(lives.shards[&1].number, 4);
        let result = choose(vec![base], BTreeMap::from([(SHARD, damage())]));
        assert!(matches!(result, Err(StoreFailure::Damaged(_))));
        let obsolete = vec![(CheckpointOwner::Recovery, body(7, 0, 10)), (SHARD, body(6, 4, 20))];
        let result = choose(obsolete, BTreeMap::from([(SHARD, damage())]));
        assert!(matches!(result, Err(StoreFailure::Damaged(_))), "the other copy is of an earlier start");
    }

    #[test]
    fn an_empty_directory_is_a_first_start() {
        let lives = choose(vec![], BTreeMap::new()).unwrap();
        assert_eq!((lives.start, lives.is_clean()), (0, false));
    }
}
