//! Every metric: what it is called, what kind it is, its labels, what it means.
//!
//! Always true: counters end in `_total`, sizes in `_bytes`, times in `_seconds`; a name's meaning does not change.
//! `docs/metrics.md` is written from this table.

/// How a metric behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows while the process runs.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

impl Kind {
    /// As the text format calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A metric: its samples differ by their labels.
#[derive(PartialEq, Eq, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What tells its samples apart.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

/// Metrics about one thing.
pub struct Group {
    /// What they are about.
    pub title: &'static str,
    /// Them.
    pub families: &'static [&'static Family],
}

macro_rules! families {
    ($($title:literal { $($constant:ident = $name:literal, $kind:ident, [$($label:literal),*], $help:literal;)* })*) => {
        $($(
            #[doc = $help]
            pub static $constant: Family =
                Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )*)*

        /// Every metric the broker exports, by what it is about.
        pub static GROUPS: &[Group] = &[
            $(Group { title: $title, families: &[$(&$constant),*] },)*
        ];
    };
}

families! {
    "Broker" {
        BUILD_INFO = "ringlog_build_info", Gauge, ["version"], "Always 1; the label says which build this is.";
        READY = "ringlog_ready", Gauge, [], "1 if clients are served: the data directories are recovered, and the one that holds the metadata log has not failed.";
        SHARDS = "ringlog_shards", Gauge, [], "Shards of this broker, one per core.";
        SHARDS_SILENT = "ringlog_shards_silent", Gauge, [], "Shards that did not answer within two seconds and are missing in this answer.";
        TOPICS = "ringlog_topics", Gauge, [], "Topics of the cluster.";
        DISK_FREE_BYTES = "ringlog_disk_free_bytes", Gauge, ["directory"], "Bytes free on the file system of a data directory.";
        DISK_FREE_BYTES_MIN = "ringlog_disk_free_min_bytes", Gauge, ["directory"], "With less free, records are refused (ringlog.disk.free.min.bytes, at most a tenth of the file system).";
        DISK_FULL = "ringlog_disk_full", Gauge, ["shard", "directory"], "1 while the shard refuses records for a data directory because too little is free; it takes them again by itself.";
        DISK_RESERVE_BYTES = "ringlog_disk_reserve_bytes", Gauge, ["shard", "directory"], "Room the shard holds back for what must be written on a full disk.";
        DISK_FULL_REFUSED = "ringlog_disk_full_refused_batches_total", Counter, ["shard"], "Batches refused because the disk was full.";
        DISK_FAILED = "ringlog_disk_failed", Gauge, ["shard", "directory"], "1 if a data directory failed, or was not there when the broker started: nothing is written there until a restart, what can be read is.";
    }
    "Recovery at start" {
        RECOVERY_SECONDS = "ringlog_recovery_duration_seconds", Gauge, [], "How long this start took to bring the data directories into order.";
        RECOVERY_CLEAN = "ringlog_recovery_clean", Gauge, [], "1 if the last stop was clean, so nothing had to be replayed.";
        RECOVERY_REPLAYED = "ringlog_recovery_replayed_batches", Gauge, [], "Batches this start wrote again from journals.";
        RECOVERY_SCANNED = "ringlog_recovery_scanned_batches", Gauge, [], "Batches this start found in segments above the last checkpoint.";
        RECOVERY_CUT_BYTES = "ringlog_recovery_cut_bytes", Gauge, [], "Bytes behind the last whole batch that this start cut off.";
        RECOVERY_DAMAGED = "ringlog_recovery_damaged_logs", Gauge, [], "Logs damaged below their durable end, which are refused.";
    }
    "Requests" {
        REQUESTS = "ringlog_requests_total", Counter, ["api"], "Requests answered.";
        REQUEST_BYTES = "ringlog_request_bytes_total", Counter, ["api"], "Bytes of the frames of these requests.";
        RESPONSE_BYTES = "ringlog_response_bytes_total", Counter, ["api"], "Bytes of their responses.";
        REQUEST_SECONDS = "ringlog_request_duration_seconds", Histogram, ["api"], "From the whole frame to the reply handed to the socket; a fetch's wait for data is part of it.";
        REQUEST_ERRORS = "ringlog_request_errors_total", Counter, ["api", "error"], "Error codes in responses, one for each partition, topic or whole response that has one.";
        SLOW_REQUESTS = "ringlog_slow_requests_total", Counter, ["api"], "Requests that took longer than ringlog.slow.request.ms without their wait for data.";
        FETCH_WAIT_SECONDS = "ringlog_fetch_wait_seconds_total", Counter, [], "Time that fetches waited for data to arrive (long polls).";
        REQUESTS_IN_FLIGHT = "ringlog_requests_in_flight", Gauge, ["shard"], "Requests taken and not yet answered.";
        REQUEST_BYTES_IN_FLIGHT = "ringlog_request_in_flight_bytes", Gauge, ["shard"], "Bytes of their frames.";
    }
    "Connections" {
        CONNECTIONS = "ringlog_connections", Gauge, ["shard"], "Open connections of clients.";
        CONNECTIONS_OPENED = "ringlog_connections_opened_total", Counter, ["shard"], "Connections taken.";
        CONNECTIONS_REFUSED = "ringlog_connections_refused_total", Counter, ["shard"], "Connections turned away because a bound was reached.";
        CONNECTIONS_CUT = "ringlog_connections_cut_total", Counter, ["shard", "reason"], "Connections the broker closed: idle, slow to send a frame, not reading replies, or sending what is no frame.";
    }
    "Records" {
        PRODUCED_BATCHES = "ringlog_produced_batches_total", Counter, ["shard"], "Batches appended.";
        PRODUCED_RECORDS = "ringlog_produced_records_total", Counter, ["shard"], "Records appended.";
        PRODUCED_BYTES = "ringlog_produced_bytes_total", Counter, ["shard"], "Bytes of batches appended, as the clients sent them.";
        DUPLICATE_BATCHES = "ringlog_produced_duplicate_batches_total", Counter, ["shard"], "Batches of idempotent producers that were there already.";
        REFUSED_BATCHES = "ringlog_produced_refused_batches_total", Counter, ["shard"], "Batches refused by the shard that owns their partition.";
        FETCHED_RECORDS = "ringlog_fetched_records_total", Counter, ["shard"], "Records sent to consumers, counted by the offsets they advance.";
        FETCHED_BYTES = "ringlog_fetched_bytes_total", Counter, ["shard"], "Bytes of batches sent to consumers.";
        PRODUCES_WAITING = "ringlog_produces_waiting", Gauge, ["shard"], "Produce calls whose batches are not yet as safe as was asked for.";
        FETCHES_WAITING = "ringlog_fetches_waiting", Gauge, ["shard"], "Fetches that wait for data.";
        FETCH_SESSIONS = "ringlog_fetch_sessions", Gauge, ["shard"], "Incremental fetch sessions remembered.";
    }
    "Partitions" {
        PARTITIONS = "ringlog_partitions", Gauge, ["shard"], "Partitions led.";
        PARTITIONS_LEFT_OUT = "ringlog_partitions_left_out", Gauge, ["shard"], "Partitions without the metrics below, by ringlog.metrics.partitions.max.";
        LOG_START_OFFSET = "ringlog_partition_log_start_offset", Gauge, ["topic", "partition"], "The first offset in the log.";
        HIGH_WATERMARK = "ringlog_partition_high_watermark", Gauge, ["topic", "partition"], "The first offset consumers may not read yet.";
        LOG_END_OFFSET = "ringlog_partition_log_end_offset", Gauge, ["topic", "partition"], "The offset the next record gets.";
        LOG_BYTES = "ringlog_partition_log_bytes", Gauge, ["topic", "partition"], "Bytes of all segments.";
        LOG_SEGMENTS = "ringlog_partition_log_segments", Gauge, ["topic", "partition"], "Segments of the log.";
    }
    "Retention" {
        RETIRED_SEGMENTS = "ringlog_retention_segments_total", Counter, ["shard", "reason"], "Segments given up because they were too old (age) or their log too large (size).";
        RETIRED_BYTES = "ringlog_retention_segment_bytes_total", Counter, ["shard", "reason"], "Bytes of these segments; their files go file.delete.delay.ms later.";
    }
    "Journal and checkpoints" {
        JOURNAL_COMMITS = "ringlog_journal_commits_total", Counter, ["shard", "directory"], "Commits: stable writes, each with all batches that waited.";
        JOURNAL_BYTES = "ringlog_journal_written_bytes_total", Counter, ["shard", "directory"], "Bytes of these commits, headers and padding included.";
        JOURNAL_ENTRIES = "ringlog_journal_entries_total", Counter, ["shard", "directory"], "Batches and notes in these commits; divided by commits: how well commits are shared.";
        JOURNAL_SECONDS = "ringlog_journal_commit_duration_seconds", Histogram, ["shard", "directory"], "From packing a commit to its being stable.";
        JOURNAL_FREE_BYTES = "ringlog_journal_free_bytes", Gauge, ["shard", "directory"], "Journal that can be written without a checkpoint.";
        JOURNAL_FILE_BYTES = "ringlog_journal_file_bytes", Gauge, ["shard", "directory"], "All journal files.";
        JOURNAL_STARVING = "ringlog_journal_starving", Gauge, ["shard", "directory"], "1 while a commit waits for a checkpoint to free journal space.";
        JOURNAL_STARVED = "ringlog_journal_starved_total", Counter, ["shard", "directory"], "Commits that had to wait so.";
        CHECKPOINT_SECONDS = "ringlog_checkpoint_duration_seconds", Histogram, ["shard", "directory"], "How long checkpoints took.";
        UNDURABLE_BYTES = "ringlog_undurable_bytes", Gauge, ["shard"], "Appended bytes that are not on stable storage yet.";
    }
    "Memory and files" {
        ARENA_USED_BYTES = "ringlog_arena_used_bytes", Gauge, ["shard"], "I/O memory in use: receive buffers, replies, the tail cache, commits being written.";
        ARENA_MAPPED_BYTES = "ringlog_arena_mapped_bytes", Gauge, ["shard"], "I/O memory taken from the system.";
        ARENA_MAX_BYTES = "ringlog_arena_max_bytes", Gauge, ["shard"], "The most I/O memory the shard may use.";
        TAIL_CACHE_BYTES = "ringlog_tail_cache_bytes", Gauge, ["shard"], "Of the arena: what was appended last, kept for readers.";
        SCRUBBED_BYTES = "ringlog_scrubbed_bytes_total", Counter, ["shard"], "Bytes of segments read again to find damage (ringlog.scrub.period.ms).";
        SCRUB_ROUNDS = "ringlog_scrub_rounds_total", Counter, ["shard"], "How often everything was.";
        CHECKSUM_FILES_MADE = "ringlog_checksum_files_made_total", Counter, ["shard"], "Checksum files made of segments that had none.";
        DAMAGED_PLACES = "ringlog_damaged_places", Gauge, ["shard"], "Damaged places that scrubbing found in segments that are there, at most 1024 for each data directory; their records are not served.";
        CHECKSUM_CACHE_BYTES = "ringlog_checksum_cache_bytes", Gauge, ["shard"], "Loaded checksums of blocks.";
        INDEX_CACHE_BYTES = "ringlog_index_cache_bytes", Gauge, ["shard"], "Loaded indexes of old segments.";
        OPEN_FILES = "ringlog_open_segment_files", Gauge, ["shard"], "Segment files held open.";
    }
    "Consumer groups" {
        GROUPS_KEPT = "ringlog_groups", Gauge, ["shard"], "Groups this shard coordinates.";
        GROUP_OFFSETS_LEFT_OUT = "ringlog_group_offsets_left_out", Gauge, ["shard"], "Committed offsets without the metrics below, by ringlog.metrics.partitions.max.";
        GROUP_COMMITTED_OFFSET = "ringlog_group_committed_offset", Gauge, ["group", "topic", "partition"], "The offset the group will read next.";
        GROUP_LAG = "ringlog_group_lag", Gauge, ["group", "topic", "partition"], "Offsets between what the group committed and the high watermark.";
    }
    "Back-pressure" {
        BATCHES_HELD = "ringlog_batches_held_total", Counter, ["shard"], "Batches that waited before they were appended, because the disk or memory was behind.";
        REPLY_MEMORY_WAITS = "ringlog_reply_memory_waits_total", Counter, ["shard"], "Times a reply waited for I/O memory.";
        MESH_FULL = "ringlog_mesh_full_total", Counter, ["shard"], "Messages that found the queue to another shard full and waited.";
    }
    "Shards and rings" {
        MESH_SENT = "ringlog_mesh_sent_total", Counter, ["shard"], "Messages sent to other shards.";
        MESH_RECEIVED = "ringlog_mesh_received_total", Counter, ["shard"], "Messages received from other shards.";
        MESH_WAITING = "ringlog_mesh_waiting_messages", Gauge, ["shard"], "Messages that wait for room in the queue to another shard.";
        CALLS_UNDER_WAY = "ringlog_calls_under_way", Gauge, ["shard"], "Questions to shards, the own one included, that are not answered yet.";
        RING_TURNS = "ringlog_ring_turns_total", Counter, ["shard"], "Looks at the ring.";
        RING_ENTERS = "ringlog_ring_enters_total", Counter, ["shard"], "System calls for the ring.";
        RING_SUBMITTED = "ringlog_ring_submitted_total", Counter, ["shard"], "Operations given to the kernel.";
        RING_COMPLETED = "ringlog_ring_completed_total", Counter, ["shard"], "Completions taken from the kernel.";
        RING_SLEEPS = "ringlog_ring_sleeps_total", Counter, ["shard"], "Times the shard went to sleep for want of work.";
        RING_WAKES_SENT = "ringlog_ring_wakes_sent_total", Counter, ["shard"], "Times the shard woke another.";
    }
    "Process" {
        PROCESS_CPU_SECONDS = "process_cpu_seconds_total", Counter, [], "User and system time of the process.";
        PROCESS_RESIDENT_BYTES = "process_resident_memory_bytes", Gauge, [], "Memory of the process in RAM.";
        PROCESS_VIRTUAL_BYTES = "process_virtual_memory_bytes", Gauge, [], "Address space of the process.";
        PROCESS_THREADS = "process_threads", Gauge, [], "Threads of the process.";
        PROCESS_OPEN_FDS = "process_open_fds", Gauge, [], "File descriptors open.";
        PROCESS_START_SECONDS = "process_start_time_seconds", Gauge, [], "When the broker started, in seconds since 1970.";
    }
}

/// Every metric.
pub fn all() -> impl Iterator<Item = &'static Family> {
    GROUPS.iter().flat_map(|group| group.families.iter().copied())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write;
    use std::path::PathBuf;

    use super::*;

    const REGENERATE: &str = "RINGLOG_WRITE_DOCS=1 cargo test -p ringlog --lib metrics_page";
    const BEGIN: &str = "<!-- from here on: written from src/broker/metrics/families.rs -->";

    #[test]
    fn names_say_kind_and_unit() {
        for family in all() {
            let name = family.name;
            assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
            assert_eq!(
                name.ends_with("_seconds"),
                name.contains("_duration_") || name.contains("_time_"),
                "{name}"
            );
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert!(name.starts_with("ringlog_") || name.starts_with("process_"), "{name}");
            assert!(family.help.ends_with('.'), "{name}: help is a sentence");
        }
        let names: BTreeSet<_> = all().map(|family| family.name).collect();
        assert_eq!(names.len(), all().count(), "each name once");
    }

    /// The part of `docs/metrics.md` above the marker is written by people, the part below by this test.
    #[test]
    fn the_metrics_page_is_what_the_table_of_families_says() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
        let found = std::fs::read_to_string(&path).unwrap();
        let (words, _) = found.split_once(BEGIN).expect("the page has its marker");
        let page = format!("{words}{BEGIN}\n{}", tables());
        if std::env::var_os("RINGLOG_WRITE_DOCS").is_some() {
            std::fs::write(&path, &page).unwrap();
        } else {
            assert!(found == page, "docs/metrics.md is stale; write it anew with\n\n    {REGENERATE}\n");
        }
    }

    fn tables() -> String {
        let mut text = String::new();
        for Group { title, families } in GROUPS {
            writeln!(text, "\n## {title}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|")
                .unwrap();
            for Family { name, kind, labels, help } in *families {
                let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
                writeln!(text, "| `{name}` | {} | {} | {help} |", kind.name(), labels.join(", ")).unwrap();
            }
        }
        text
    }
}
