//! All logs on their way, and those that are passed over.
//!
//! ```text
//!   a checkpoint knows it, or a topic has it ──► brought forward
//!   neither, and a journal names it          ──► brought forward from there on: nobody else has what the journal has
//!   neither, and no journal names it         ──► passed over: this broker did not write it, or has nothing to add
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ringlog_core::ids::TopicPartition;
use ringlog_runtime::environment::{DiskFailure, Environment};

use super::RecoveredPartition;
use super::checkpoints::Lives;
use super::directories::PartitionDirectory;
use super::replay::Replay;
use crate::config::StoreConfig;
use crate::format::checkpoint::PartitionRecord;

/// Those that are brought forward, and those that nobody has asked for.
pub(super) struct Replays<'a, E: Environment> {
    env: &'a E,
    data_dir: &'a Path,
    config: &'a StoreConfig,
    begun: BTreeMap<TopicPartition, Replay<'a, E>>,
    passed_over: BTreeMap<TopicPartition, PartitionDirectory>,
}

/// Where all logs end.
pub(super) struct Finished {
    pub partitions: BTreeMap<TopicPartition, RecoveredPartition>,
    /// The directories of those that were passed over.
    pub passed_over: BTreeMap<TopicPartition, PathBuf>,
}

impl<'a, E: Environment> Replays<'a, E> {
    pub fn begin(
        env: &'a E,
        data_dir: &'a Path,
        config: &'a StoreConfig,
        lives: &Lives,
        directories: Vec<PartitionDirectory>,
        is_claimed: impl Fn(TopicPartition) -> bool,
    ) -> Replays<'a, E> {
        let (begun, passed_over) = (BTreeMap::new(), BTreeMap::new());
        let mut replays = Replays { env, data_dir, config, begun, passed_over };
        for directory in directories {
            let record = lives.record(directory.id).cloned();
            if record.is_none() && !is_claimed(directory.id) {
                replays.passed_over.insert(directory.id, directory);
                continue;
            }
            // A log that was refused may have been restored since, whatever its shard did.
            let was_refused = |record: &PartitionRecord| record.end_offset < record.durable_end_offset;
            let must_scan = record.as_ref().is_none_or(was_refused) || !lives.is_closed(directory.id);
            replays.begin_one(directory, record, must_scan);
        }
        replays
    }

    fn begin_one(&mut self, directory: PartitionDirectory, record: Option<PartitionRecord>, must_scan: bool) {
        let (id, path) = (directory.id, self.data_dir.join(&directory.name));
        self.begun.insert(id, Replay::new(self.env, self.config, path, directory, record, must_scan));
    }

    /// The log that an entry of a journal names; none if it was deleted after that.
    pub fn named(&mut self, id: TopicPartition) -> Option<&mut Replay<'a, E>> {
        if let Some(directory) = self.passed_over.remove(&id) {
            self.begin_one(directory, None, true);
        }
        self.begun.get_mut(&id)
    }

    /// Settles where each log ends.
    pub async fn finish(self) -> Result<Finished, DiskFailure> {
        let mut partitions = BTreeMap::new();
        for (id, replay) in self.begun {
            partitions.insert(id, replay.finish().await?);
        }
        let path = |directory: PartitionDirectory| self.data_dir.join(directory.name);
        let passed_over = self.passed_over.into_iter().map(|(id, directory)| (id, path(directory)));
        Ok(Finished { partitions, passed_over: passed_over.collect() })
    }
}
