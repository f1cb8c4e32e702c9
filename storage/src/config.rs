//! How large things are in a store, and how one log of it behaves.

use std::time::Duration;

use ringlog_runtime::buffer::DIRECT_ALIGNMENT;

/// What an acknowledgement means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// The record is on stable storage.
    #[default]
    Durable,
    /// The record is in memory and will be on stable storage soon.
    Relaxed,
}

/// How one partition's log behaves. Follows the topic's configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// A segment grows to at most this many bytes (`segment.bytes`).
    pub segment_bytes: u64,
    /// A segment holds records of at most this span of time (`segment.ms`).
    pub segment_ms: i64,
    /// Each segment's share of this is taken off that span (`segment.jitter.ms`).
    pub segment_jitter_ms: i64,
    /// One index entry for so many bytes (`index.interval.bytes`).
    pub index_interval_bytes: u64,
    /// An index grows to at most this many bytes (`segment.index.bytes`).
    pub index_bytes_max: u64,
    /// Files of segments below the log's start are kept for so long (`file.delete.delay.ms`).
    pub file_delete_delay: Duration,
    /// What an acknowledgement means.
    pub durability: Durability,
}

impl Default for LogConfig {
    /// Kafka's defaults.
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600 * 1_000,
            segment_jitter_ms: 0,
            index_interval_bytes: 4096,
            index_bytes_max: 10 << 20,
            file_delete_delay: Duration::from_secs(60),
            durability: Durability::Durable,
        }
    }
}

/// Sizes of a shard's store. All of them bounds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreConfig {
    /// The first journal file: small, because the first start writes it whole before it serves.
    pub journal_first_file_bytes: u64,
    /// Every further journal file.
    pub journal_file_bytes: u64,
    /// All journal files of a shard together.
    pub journal_bytes_max: u64,
    /// One commit, header and padding included.
    pub commit_bytes_max: usize,
    /// When a partition has this many bytes to make durable, they skip the journal and are written to the
    /// segment with a stable write of their own. The figure is measured: `bench/benches/storage.rs`, `path`.
    pub direct_bytes_min: usize,
    /// Appended bytes of a shard that are not durable yet: beyond it `ready` waits.
    pub undurable_bytes_max: usize,
    /// Appended bytes kept in memory for readers, per shard.
    pub tail_cache_bytes_max: usize,
    /// The largest piece of memory that appended bytes are kept in.
    pub chunk_bytes_max: usize,
    /// Whole blocks are written behind the journal when a log has this many bytes of them.
    pub write_behind_bytes: u64,
    /// A segment file grows by at most so much at a time.
    pub allocate_step_bytes_max: u64,
    /// Dirty segments are synced and the journal freed at least this often.
    pub checkpoint_interval: Duration,
    /// And when so many bytes were written to the segments of a shard: a start after a crash reads and writes again
    /// what stands behind the last checkpoint.
    pub checkpoint_bytes: u64,
    /// Index entries and checksums of active segments that checkpoints hold instead of their files, per shard: each
    /// checkpoint writes them again, and spares the syncs of three files a log.
    pub unwritten_bytes_max: usize,
    /// And of one log.
    pub unwritten_bytes_of_log_max: usize,
    /// What a relaxed log was given is in the journal, and so on stable storage, after this; and so is how far logs are
    /// durable by writes of their own, if no other commit said so.
    pub relaxed_commit_interval: Duration,
    /// Unless it was given much: that goes to its file only, which is synced at least this often.
    pub relaxed_flush_interval: Duration,
    /// Segment files held open by a shard.
    pub open_files_max: usize,
    /// One cold read.
    pub read_bytes_max: usize,
    /// How far a reader that goes on where it stopped is read ahead.
    pub read_ahead_bytes: usize,
    /// Windows read ahead that are kept, per shard.
    pub read_ahead_windows_max: usize,
    /// Loaded index files, in bytes, per shard.
    pub index_cache_bytes_max: usize,
    /// Loaded checksums of blocks, per shard: 4 bytes for 4 KiB.
    pub checksum_cache_bytes_max: usize,
    /// Everything is read again within so long, to find damage; zero for never.
    pub scrub_period: Duration,
    /// And no faster than this, per shard.
    pub scrub_bytes_per_second_max: u64,
    /// Idempotent producers remembered per partition.
    pub producers_max: usize,
    /// With less free on the file system, batches of clients are to be refused. At most a tenth of it counts.
    pub free_bytes_min: u64,
    /// Room kept for what must be written then, per shard. At most a twentieth of the file system for all of them.
    pub reserve_bytes: u64,
    /// How often to look how much is free, while something is written or there is too little.
    pub space_look_interval: Duration,
}

impl StoreConfig {
    /// For serving.
    pub fn production() -> StoreConfig {
        StoreConfig {
            journal_first_file_bytes: 1 << 20,
            journal_file_bytes: 16 << 20,
            journal_bytes_max: 256 << 20,
            commit_bytes_max: 1 << 20,
            direct_bytes_min: 128 << 10,
            undurable_bytes_max: 32 << 20,
            tail_cache_bytes_max: 64 << 20,
            chunk_bytes_max: 256 << 10,
            write_behind_bytes: 256 << 10,
            allocate_step_bytes_max: 8 << 20,
            checkpoint_interval: Duration::from_secs(10),
            checkpoint_bytes: 128 << 20,
            unwritten_bytes_max: 1 << 20,
            unwritten_bytes_of_log_max: 16 << 10,
            relaxed_commit_interval: Duration::from_millis(50),
            relaxed_flush_interval: Duration::from_millis(500),
            open_files_max: 256,
            read_bytes_max: 1 << 20,
            read_ahead_bytes: 256 << 10,
            read_ahead_windows_max: 32,
            index_cache_bytes_max: 16 << 20,
            checksum_cache_bytes_max: 2 << 20,
            scrub_period: Duration::from_secs(7 * 24 * 3_600),
            scrub_bytes_per_second_max: 8 << 20,
            producers_max: 4096,
            free_bytes_min: 512 << 20,
            reserve_bytes: 64 << 20,
            space_look_interval: Duration::from_secs(1),
        }
    }

    /// With another bound for all journal files of a shard together.
    ///
    /// # Panics
    /// If it is below 5 MiB.
    pub fn with_journal_bytes_max(self, journal_bytes_max: u64) -> StoreConfig {
        let commit = self.commit_bytes_max as u64;
        let further = journal_bytes_max - self.journal_first_file_bytes;
        // At least four files besides the first, each of whole commits.
        let journal_file_bytes = self.journal_file_bytes.min(further / 4 / commit * commit);
        let config = StoreConfig { journal_bytes_max, journal_file_bytes, ..self };
        config.expect_consistent();
        config
    }

    /// So small that rolls, evictions, full journals and back-pressure happen within a few batches.
    pub fn tiny() -> StoreConfig {
        StoreConfig {
            journal_first_file_bytes: 16 << 10,
            journal_file_bytes: 32 << 10,
            journal_bytes_max: 112 << 10,
            commit_bytes_max: 16 << 10,
            direct_bytes_min: 4 << 10,
            undurable_bytes_max: 24 << 10,
            tail_cache_bytes_max: 48 << 10,
            chunk_bytes_max: 8 << 10,
            write_behind_bytes: 8 << 10,
            allocate_step_bytes_max: 16 << 10,
            checkpoint_interval: Duration::from_millis(50),
            checkpoint_bytes: 256 << 10,
            unwritten_bytes_max: 192,
            unwritten_bytes_of_log_max: 64,
            relaxed_commit_interval: Duration::from_millis(5),
            relaxed_flush_interval: Duration::from_millis(20),
            open_files_max: 2,
            read_bytes_max: 16 << 10,
            read_ahead_bytes: 8 << 10,
            read_ahead_windows_max: 2,
            index_cache_bytes_max: 1 << 10,
            checksum_cache_bytes_max: 64,
            scrub_period: Duration::ZERO,
            scrub_bytes_per_second_max: 16 << 20,
            producers_max: 8,
            free_bytes_min: 64 << 10,
            reserve_bytes: 64 << 10,
            space_look_interval: Duration::from_millis(50),
        }
    }

    /// The store of one of a shard's data directories: what stands in memory for all of them is shared out.
    pub fn of_one_directory(&self, directory_count: usize) -> StoreConfig {
        let part = |whole: usize| (whole / directory_count).max(1);
        StoreConfig {
            undurable_bytes_max: part(self.undurable_bytes_max),
            unwritten_bytes_max: part(self.unwritten_bytes_max),
            tail_cache_bytes_max: part(self.tail_cache_bytes_max),
            open_files_max: part(self.open_files_max),
            read_ahead_windows_max: part(self.read_ahead_windows_max),
            index_cache_bytes_max: part(self.index_cache_bytes_max),
            ..self.clone()
        }
    }

    /// Stops a start with sizes that cannot work together.
    ///
    /// # Panics
    /// If they contradict each other: they are ours, not the user's.
    pub fn expect_consistent(&self) {
        let block = DIRECT_ALIGNMENT as u64;
        let commit_bytes = self.commit_bytes_max as u64;
        for bytes in [self.journal_first_file_bytes, self.journal_file_bytes, commit_bytes] {
            assert!(bytes.is_multiple_of(block) && bytes > 0, "{bytes} bytes are not whole blocks");
        }
        assert!(self.chunk_bytes_max.is_multiple_of(DIRECT_ALIGNMENT), "chunks mirror blocks of the file");
        assert!(commit_bytes <= self.journal_first_file_bytes, "a commit lies within one journal file");
        assert!(commit_bytes <= self.journal_file_bytes, "a commit lies within one journal file");
        assert!(
            self.journal_bytes_max >= self.journal_first_file_bytes + 3 * self.journal_file_bytes,
            "two checkpoints' worth of journal, the file being written and one ahead"
        );
        let largest_journaled = self.direct_bytes_min + 3 * DIRECT_ALIGNMENT;
        assert!(largest_journaled <= self.commit_bytes_max, "what is not written directly fits a commit");
        assert!(self.open_files_max > 0 && self.producers_max > 0, "bounds of zero stop everything");
        assert!(self.read_bytes_max >= 2 * DIRECT_ALIGNMENT, "a read spans blocks");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_share_the_memory_of_a_shard_and_one_has_all_of_it() {
        let whole = StoreConfig::production();
        assert_eq!(whole.of_one_directory(1), whole);
        let part = StoreConfig::tiny().of_one_directory(3);
        part.expect_consistent();
        assert_eq!((part.tail_cache_bytes_max, part.open_files_max), (16 << 10, 1));
        assert_eq!(
            part.journal_bytes_max,
            StoreConfig::tiny().journal_bytes_max,
            "each has a journal of its own"
        );
    }

    #[test]
    fn a_journal_has_files_that_fit_its_bound() {
        let sizes = |bytes_max: u64| {
            let config = StoreConfig::production().with_journal_bytes_max(bytes_max);
            (config.journal_bytes_max, config.journal_file_bytes)
        };
        assert_eq!(sizes(16 << 20), (16 << 20, 3 << 20), "the least that may be configured");
        assert_eq!(sizes(60 << 20), (60 << 20, 14 << 20));
        assert_eq!(sizes((100 << 20) + 5), ((100 << 20) + 5, 16 << 20));
        assert_eq!(StoreConfig::production().with_journal_bytes_max(256 << 20), StoreConfig::production());
    }

    #[test]
    fn both_sets_of_sizes_fit_together() {
        for config in [StoreConfig::production(), StoreConfig::tiny()] {
            config.expect_consistent();
            // What was taken when the disk became full has room in the reserve, unless an operator wants less of it.
            assert!(config.reserve_bytes >= config.undurable_bytes_max as u64);
        }
    }
}
