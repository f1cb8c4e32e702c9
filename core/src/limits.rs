//! Every bound of the broker, in one place, with the arithmetic behind it.
//!
//! ```text
//!   network            memory of a shard                disk             state
//!   frames, counts ──► arena ─ tail cache, journal ──► journal files ──► topics, producers, sessions
//!   connections        queues, mesh                     segments
//! ```
//!
//! Always true: whatever grows by what comes from outside has a bound here, and the bounds fit each other
//! ([`Limits::check`], evaluated at compile time for both sets). [`Limits::tiny`] makes rolls, evictions and
//! back-pressure happen in every simulated run.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// All bounds. One value per broker, copied to every shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Frames, connections and what a connection may hold.
    pub network: NetworkLimits,
    /// What one request may expand to.
    pub request: RequestLimits,
    /// Memory of one shard.
    pub memory: MemoryLimits,
    /// Journal and other files of one shard.
    pub storage: StorageLimits,
    /// What the broker remembers on behalf of clients.
    pub state: StateLimits,
}

/// Bounds on connections and the bytes they carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetworkLimits {
    /// A frame before authentication: ApiVersions and SASL need less. Kafka allows 512 KiB.
    pub frame_before_auth_bytes_max: usize,
    /// A frame after authentication: `socket.request.max.bytes`, 100 MiB in Kafka. The buffer grows with what
    /// was received, never by what the header announces.
    pub frame_bytes_max: usize,
    /// The first piece of a receive buffer; from there it doubles while bytes keep coming.
    pub receive_chunk_bytes: usize,
    /// Connections of the whole broker.
    pub connections_max: usize,
    /// Connections from one IP address.
    pub connections_per_ip_max: usize,
    /// Connections kept free for administration and other brokers: 5 % of all.
    pub connections_reserved: usize,
    /// Connections accepted per second and listener.
    pub connections_per_second_max: usize,
    /// Connections that have not authenticated yet (where a listener asks for it).
    pub connections_before_auth_max: usize,
    /// Of these, from one IP address.
    pub connections_before_auth_per_ip_max: usize,
    /// From accepting to the first byte.
    pub first_byte_within: Duration,
    /// From accepting to being authenticated.
    pub auth_within: Duration,
    /// Without a request: `connections.max.idle.ms`.
    pub idle_max: Duration,
    /// Once a frame has begun, it must progress by this many bytes a second: a slow sender cannot hold memory
    /// for long.
    pub receive_bytes_per_second_min: usize,
    /// Requests of one connection being worked on. Produce is pipelined; librdkafka and Java send up to 5 per
    /// connection, franz-go more.
    pub inflight_requests_max: usize,
    /// Bytes of frames of one connection being worked on; one frame is always allowed.
    pub inflight_bytes_max: usize,
    /// Bytes of finished responses waiting for a slow reader, without fetched records, which are sent by
    /// reference to the cache.
    pub output_queue_bytes_max: usize,
    /// A connection that takes none of its responses for this long is closed.
    pub slow_reader_stall_max: Duration,
}

/// Bounds on what a frame may expand to when decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestLimits {
    /// Memory of decoded structures per byte of frame: an array element takes at least one byte on the wire
    /// and no decoded element is meant to take more than eight times its wire size.
    pub decoded_bytes_per_frame_byte: usize,
    /// ... and never more than this, whatever the frame.
    pub decoded_bytes_max: usize,
    /// Elements (topics, partitions, keys) in one request.
    pub elements_max: usize,
    /// Tagged fields of one structure.
    pub tagged_fields_max: usize,
    /// Bytes one decompressed batch may take while it is validated.
    pub decompressed_bytes_max: usize,
    /// ... and its size relative to the compressed one, above a floor of `decompressed_floor_bytes`.
    pub decompressed_ratio_max: usize,
    /// What every compressed batch may expand to, however small it is.
    pub decompressed_floor_bytes: usize,
    /// The largest window of a zstd frame.
    pub zstd_window_bytes_max: usize,
    /// Headers of one record.
    pub record_headers_max: usize,
    /// Records listed one by one in a refusal of a batch; the others are counted.
    pub record_errors_max: usize,
    /// A fetch response: `fetch.max.bytes`, 55 MiB in Kafka.
    pub fetch_bytes_max: usize,
    /// The longest a fetch may wait for data.
    pub fetch_wait_max: Duration,
}

/// Bounds on one shard's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryLimits {
    /// All I/O memory of a shard.
    pub arena_bytes_max: usize,
    /// Of it, what was just appended and is kept for tailing readers.
    pub tail_cache_bytes_max: usize,
    /// The first chunk of a partition's tail: a broker with 100,000 quiet partitions must stay small.
    pub tail_chunk_bytes_min: usize,
    /// The chunks of a busy partition's tail.
    pub tail_chunk_bytes_max: usize,
    /// Bytes that pipelined requests of all connections may hold; beyond it sockets are not read.
    pub request_bytes_max: usize,
    /// Messages in the queue from one shard to another.
    pub mesh_capacity: usize,
    /// Fetches waiting for data on a shard.
    pub waiting_fetches_max: usize,
    /// Produce requests waiting for their commit on a shard.
    pub pending_acks_max: usize,
}

impl MemoryLimits {
    /// The same shares of another amount of I/O memory: half for the tail cache, a quarter for requests.
    pub const fn of_arena(self, arena_bytes_max: usize) -> MemoryLimits {
        MemoryLimits {
            arena_bytes_max,
            tail_cache_bytes_max: arena_bytes_max / 2,
            request_bytes_max: arena_bytes_max / 4,
            ..self
        }
    }
}

/// Bounds on one shard's files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StorageLimits {
    /// One journal file, written full of zeros once.
    pub journal_file_bytes: usize,
    /// Journal files of a shard: with all of them full of what no checkpoint covers, producers wait. Start
    /// after a crash reads at most `journal_file_bytes * journal_file_count`.
    pub journal_file_count: usize,
    /// One commit to the journal.
    pub journal_commit_bytes_max: usize,
    /// Segment files a shard keeps open.
    pub open_segments_max: usize,
    /// Bytes read ahead of a cold reader.
    pub read_ahead_bytes: usize,
    /// The largest metadata record set in one frame of the metadata log.
    pub metadata_frame_bytes_max: usize,
}

/// Bounds on what the broker remembers for clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StateLimits {
    /// `max.incremental.fetch.session.cache.slots` of the whole broker.
    pub fetch_session_slots: usize,
    /// Partitions of one fetch session.
    pub fetch_session_partitions_max: usize,
    /// Partitions of all fetch sessions together, about 100 bytes each.
    pub fetch_session_partitions_total_max: usize,
    /// A session used within this time is evicted only by a larger or privileged one.
    pub fetch_session_eviction_after: Duration,
    /// Idempotent producers remembered per partition; each takes about 200 bytes.
    pub producers_per_partition_max: usize,
    /// Topics of the cluster.
    pub topics_max: usize,
    /// Partitions of one topic.
    pub partitions_per_topic_max: usize,
    /// Partitions of the cluster.
    pub partitions_max: usize,
    /// Partitions one CreateTopics request may create.
    pub partitions_per_request_max: usize,
    /// Configuration overrides of one topic.
    pub configs_per_topic_max: usize,
    /// Bytes of one configuration value.
    pub config_value_bytes_max: usize,
}

impl Limits {
    /// The bounds of a real broker.
    pub const fn production() -> Limits {
        Limits {
            network: NetworkLimits {
                frame_before_auth_bytes_max: 16 * KIB,
                frame_bytes_max: 100 * MIB,
                receive_chunk_bytes: 16 * KIB,
                connections_max: 20_000,
                connections_per_ip_max: 1_000,
                connections_reserved: 1_000,
                connections_per_second_max: 500,
                connections_before_auth_max: 1_024,
                connections_before_auth_per_ip_max: 64,
                first_byte_within: Duration::from_secs(5),
                auth_within: Duration::from_secs(10),
                idle_max: Duration::from_secs(600),
                receive_bytes_per_second_min: KIB,
                inflight_requests_max: 64,
                inflight_bytes_max: 16 * MIB,
                output_queue_bytes_max: MIB,
                slow_reader_stall_max: Duration::from_secs(30),
            },
            request: RequestLimits {
                decoded_bytes_per_frame_byte: 8,
                decoded_bytes_max: 64 * MIB,
                elements_max: 1_000_000,
                tagged_fields_max: 64,
                decompressed_bytes_max: 64 * MIB,
                decompressed_ratio_max: 100,
                decompressed_floor_bytes: MIB,
                zstd_window_bytes_max: 8 * MIB,
                record_headers_max: 10_000,
                record_errors_max: 128,
                fetch_bytes_max: 55 * MIB,
                fetch_wait_max: Duration::from_secs(300),
            },
            memory: MemoryLimits {
                arena_bytes_max: 1024 * MIB,
                tail_cache_bytes_max: 512 * MIB,
                tail_chunk_bytes_min: 16 * KIB,
                tail_chunk_bytes_max: MIB,
                request_bytes_max: 256 * MIB,
                mesh_capacity: 1_024,
                waiting_fetches_max: 20_000,
                pending_acks_max: 65_536,
            },
            storage: StorageLimits {
                journal_file_bytes: 64 * MIB,
                journal_file_count: 4,
                journal_commit_bytes_max: 8 * MIB,
                open_segments_max: 4_096,
                read_ahead_bytes: MIB,
                metadata_frame_bytes_max: 16 * MIB,
            },
            state: StateLimits {
                fetch_session_slots: 1_000,
                fetch_session_partitions_max: 100_000,
                fetch_session_partitions_total_max: 1_000_000,
                fetch_session_eviction_after: Duration::from_secs(120),
                producers_per_partition_max: 10_000,
                topics_max: 100_000,
                partitions_per_topic_max: 10_000,
                partitions_max: 200_000,
                partitions_per_request_max: 20_000,
                configs_per_topic_max: 64,
                config_value_bytes_max: 32 * KIB,
            },
        }
    }

    /// Bounds so small that a short test meets all of them.
    pub const fn tiny() -> Limits {
        let production = Limits::production();
        Limits {
            network: NetworkLimits {
                frame_before_auth_bytes_max: KIB,
                frame_bytes_max: 64 * KIB,
                receive_chunk_bytes: 256,
                connections_max: 64,
                connections_per_ip_max: 48,
                connections_reserved: 3,
                connections_per_second_max: 1_000,
                connections_before_auth_max: 8,
                connections_before_auth_per_ip_max: 4,
                inflight_requests_max: 4,
                inflight_bytes_max: 64 * KIB,
                output_queue_bytes_max: 64 * KIB,
                ..production.network
            },
            request: RequestLimits {
                decoded_bytes_max: 512 * KIB,
                elements_max: 1_000,
                decompressed_bytes_max: 256 * KIB,
                decompressed_floor_bytes: 16 * KIB,
                record_errors_max: 4,
                fetch_bytes_max: 64 * KIB,
                ..production.request
            },
            memory: MemoryLimits {
                arena_bytes_max: 8 * MIB,
                tail_cache_bytes_max: 256 * KIB,
                tail_chunk_bytes_min: 4 * KIB,
                tail_chunk_bytes_max: 16 * KIB,
                request_bytes_max: MIB,
                mesh_capacity: 2,
                waiting_fetches_max: 16,
                pending_acks_max: 16,
            },
            storage: StorageLimits {
                journal_file_bytes: 256 * KIB,
                journal_file_count: 2,
                journal_commit_bytes_max: 128 * KIB,
                open_segments_max: 4,
                read_ahead_bytes: 16 * KIB,
                metadata_frame_bytes_max: 256 * KIB,
            },
            state: StateLimits {
                fetch_session_slots: 3,
                fetch_session_partitions_max: 64,
                fetch_session_partitions_total_max: 128,
                fetch_session_eviction_after: Duration::from_secs(120),
                producers_per_partition_max: 4,
                topics_max: 32,
                partitions_per_topic_max: 16,
                partitions_max: 128,
                partitions_per_request_max: 64,
                configs_per_topic_max: 8,
                config_value_bytes_max: KIB,
            },
        }
    }

    /// Whether the bounds fit each other; for a set changed by configuration.
    ///
    /// # Errors
    /// Names the two bounds that contradict each other.
    pub const fn check(&self) -> Result<(), &'static str> {
        let Limits { network, request, memory, storage, state } = self;
        if network.frame_before_auth_bytes_max > network.frame_bytes_max {
            return Err("a frame before authentication may be larger than one after it");
        }
        if network.connections_per_ip_max > network.connections_max
            || network.connections_reserved >= network.connections_max
        {
            return Err("the connections of one address, or those reserved, are more than all connections");
        }
        if request.decompressed_floor_bytes > request.decompressed_bytes_max {
            return Err("the floor of decompressed bytes is above their bound");
        }
        if memory.tail_cache_bytes_max + memory.request_bytes_max + storage.journal_commit_bytes_max * 2
            > memory.arena_bytes_max
        {
            return Err("tail cache, requests and two journal commits do not fit in the arena");
        }
        if network.frame_bytes_max > memory.request_bytes_max {
            return Err("one frame takes more than all requests of a shard may");
        }
        if memory.tail_chunk_bytes_min > memory.tail_chunk_bytes_max
            || memory.tail_chunk_bytes_max > memory.tail_cache_bytes_max
            || memory.tail_chunk_bytes_min % 4096 != 0
        {
            return Err("chunks of the tail cache must grow from whole pages and fit in the cache");
        }
        if memory.mesh_capacity == 0 || network.inflight_requests_max == 0 {
            return Err("a queue without room");
        }
        if storage.journal_file_count < 2 || storage.journal_file_bytes % 4096 != 0 {
            return Err("the journal needs two files of whole pages, to write one while the other is freed");
        }
        if storage.journal_commit_bytes_max * 2 > storage.journal_file_bytes {
            return Err("a journal file must hold at least two commits of the largest size");
        }
        if state.partitions_per_topic_max > state.partitions_max
            || state.partitions_per_request_max > state.partitions_max
        {
            return Err("one topic or request may have more partitions than the cluster");
        }
        if state.fetch_session_partitions_max > state.fetch_session_partitions_total_max {
            return Err("one fetch session may have more partitions than all of them");
        }
        if state.fetch_session_partitions_max > request.elements_max {
            return Err("a fetch session may have more partitions than a request can name");
        }
        Ok(())
    }
}

const _: () = assert!(Limits::production().check().is_ok());
const _: () = assert!(Limits::tiny().check().is_ok());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_contradict_each_other_are_named() {
        let mut limits = Limits::tiny();
        limits.memory.tail_cache_bytes_max = limits.memory.arena_bytes_max;
        assert_eq!(
            limits.check(),
            Err("tail cache, requests and two journal commits do not fit in the arena")
        );
        let mut limits = Limits::production();
        limits.storage.journal_file_count = 1;
        assert!(limits.check().unwrap_err().contains("two files"));
        let mut limits = Limits::production();
        limits.state.partitions_per_topic_max = limits.state.partitions_max + 1;
        assert!(limits.check().unwrap_err().contains("partitions"));
    }

    #[test]
    fn the_numbers_clients_depend_on_are_kafkas() {
        let limits = Limits::production();
        assert_eq!(limits.network.frame_bytes_max, 104_857_600);
        assert_eq!(limits.request.fetch_bytes_max, 57_671_680);
        assert_eq!(limits.state.fetch_session_slots, 1_000);
        assert_eq!(limits.state.fetch_session_eviction_after.as_millis(), 120_000);
        assert_eq!(limits.network.idle_max.as_millis(), 600_000);
    }
}
