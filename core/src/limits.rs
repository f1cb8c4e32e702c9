//! Every bound of the broker as a whole, in one place, with the arithmetic behind it.
//!
//! ```text
//!   network              memory of a shard      disk                state
//!   frames, connections  arena ─ tail cache     open files, frames  topics, partitions, producers, sessions
//! ```
//!
//! Always true: a number here is one that some code enforces; the numbers fit each other ([`Limits::check`],
//! evaluated at compile time for both sets). [`Limits::tiny`] makes evictions and back-pressure happen in every
//! simulated run.
//!
//! Bounds of one algorithm stand beside it: how far a frame may expand when decoded (`wire::decoder`), how far a
//! batch when decompressed ([`compression`](crate::compression)), how many faulty records a refusal lists
//! ([`record_batch`](crate::record_batch)), the sizes of a shard's journal and of its writes (`StoreConfig`).

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// All bounds. One value per broker, copied to every shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Frames, connections and what a connection may hold.
    pub network: NetworkLimits,
    /// What one request may ask for.
    pub request: RequestLimits,
    /// Memory of one shard.
    pub memory: MemoryLimits,
    /// Files of one shard.
    pub storage: StorageLimits,
    /// What the broker remembers on behalf of clients.
    pub state: StateLimits,
    /// Groups of consumers.
    pub groups: GroupLimits,
}

/// Bounds on connections and the bytes they carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetworkLimits {
    /// A frame after authentication: `socket.request.max.bytes`, 100 MiB in Kafka. The buffer grows with what
    /// was received, never by what the header announces.
    pub frame_bytes_max: usize,
    /// Connections of the whole broker.
    pub connections_max: usize,
    /// Connections from one IP address.
    pub connections_per_ip_max: usize,
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
    /// A connection that takes none of its responses for this long is closed.
    pub slow_reader_stall_max: Duration,
    /// A connection is closed if there is no memory for its response for this long.
    pub reply_memory_wait_max: Duration,
}

/// Bounds on what one request may ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestLimits {
    /// A fetch response: `fetch.max.bytes`, 55 MiB in Kafka.
    pub fetch_bytes_max: usize,
    /// The longest a fetch may wait for data.
    pub fetch_wait_max: Duration,
    /// Groups and offsets that one OffsetFetch is told of, about 150 bytes each until the answer is sent: a request of a few
    /// bytes may name a group again and again, with all its offsets each time.
    pub offsets_told_max: usize,
    /// Groups and members that one DescribeGroups is told of, about 300 bytes each until the answer is sent: a group may be
    /// named again and again.
    pub members_told_max: usize,
    /// Bytes of the configurations that one DescribeConfigs is told of, as they take them in memory until the answer is sent:
    /// a resource may be named again and again. All keys of a topic take about 20 KiB.
    pub configs_told_bytes_max: usize,
}

/// Bounds on one shard's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryLimits {
    /// All I/O memory of a shard.
    pub arena_bytes_max: usize,
    /// Of it, what was just appended and is kept for tailing readers.
    pub tail_cache_bytes_max: usize,
    /// Messages in the queue from one shard to another.
    pub mesh_capacity: usize,
}

impl MemoryLimits {
    /// The same share for the tail cache, half, of another amount of I/O memory.
    pub const fn of_arena(self, arena_bytes_max: usize) -> MemoryLimits {
        MemoryLimits { arena_bytes_max, tail_cache_bytes_max: arena_bytes_max / 2, ..self }
    }
}

/// Bounds on one shard's files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StorageLimits {
    /// Segment files a shard keeps open.
    pub open_segments_max: usize,
    /// Data directories. Each has a journal for every shard, and a commit of each may be under way: a mebibyte of I/O memory.
    pub directories_max: usize,
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

/// Bounds on groups. Those over all groups are the broker's; a group's name says which shard it belongs to, so each shard takes
/// an equal part of them ([`GroupLimits::of_one_shard`]), whichever partitions of `__consumer_offsets` it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupLimits {
    /// Groups of the broker, about 500 bytes each besides what they hold.
    pub groups_max: usize,
    /// Members of one group, whatever `group.max.size` says.
    pub members_per_group_max: usize,
    /// Bytes a member may leave with its group for all its assignors together, and be assigned.
    pub member_bytes_max: usize,
    /// Assignors a member may name.
    pub protocols_per_member_max: usize,
    /// Bytes of a group's, member's or instance's name.
    pub name_bytes_max: usize,
    /// Bytes of the name of a group's kind: clients say `consumer` or `connect`.
    pub protocol_type_bytes_max: usize,
    /// Bytes of one group's members together: what a record of its generation may have.
    pub group_bytes_max: usize,
    /// Offsets of all groups of the broker, about 150 bytes each.
    pub offsets_max: usize,
    /// Bytes of all groups of the broker together: names, subscriptions, assignments, texts with offsets.
    pub bytes_max: usize,
    /// Requests of members of all groups of the broker that wait for others.
    pub waiting_max: usize,
}

impl GroupLimits {
    /// The bounds of a real broker.
    pub const PRODUCTION: GroupLimits = GroupLimits {
        groups_max: 200_000,
        members_per_group_max: 10_000,
        member_bytes_max: MIB,
        protocols_per_member_max: 64,
        name_bytes_max: 32_767,
        protocol_type_bytes_max: 255,
        group_bytes_max: 16 * MIB,
        offsets_max: 4_000_000,
        bytes_max: 512 * MIB,
        waiting_max: 40_000,
    };

    /// Bounds so small that a short test meets all of them.
    pub const TINY: GroupLimits = GroupLimits {
        groups_max: 8,
        members_per_group_max: 8,
        member_bytes_max: 4 * KIB,
        protocols_per_member_max: 4,
        name_bytes_max: 255,
        protocol_type_bytes_max: 255,
        group_bytes_max: 16 * KIB,
        offsets_max: 64,
        bytes_max: 32 * KIB,
        waiting_max: 32,
    };

    /// One shard's part. It has room for the largest group, however many shards there are.
    pub fn of_one_shard(self, shard_count: u16) -> GroupLimits {
        let share = |total: usize| total.div_ceil(usize::from(shard_count));
        GroupLimits {
            groups_max: share(self.groups_max),
            offsets_max: share(self.offsets_max),
            bytes_max: share(self.bytes_max).max(self.group_bytes_max),
            waiting_max: share(self.waiting_max).max(self.members_per_group_max),
            ..self
        }
    }
}

impl Limits {
    /// The bounds of a real broker.
    pub const fn production() -> Limits {
        Limits {
            network: NetworkLimits {
                frame_bytes_max: 100 * MIB,
                connections_max: 20_000,
                connections_per_ip_max: 1_000,
                idle_max: Duration::from_secs(600),
                receive_bytes_per_second_min: KIB,
                inflight_requests_max: 64,
                inflight_bytes_max: 16 * MIB,
                slow_reader_stall_max: Duration::from_secs(30),
                reply_memory_wait_max: Duration::from_secs(60),
            },
            request: RequestLimits {
                fetch_bytes_max: 55 * MIB,
                fetch_wait_max: Duration::from_secs(300),
                offsets_told_max: 1_000_000,
                members_told_max: 500_000,
                configs_told_bytes_max: 128 * MIB,
            },
            memory: MemoryLimits {
                arena_bytes_max: 1024 * MIB,
                tail_cache_bytes_max: 512 * MIB,
                mesh_capacity: 1_024,
            },
            storage: StorageLimits {
                open_segments_max: 4_096,
                directories_max: 64,
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
            groups: GroupLimits::PRODUCTION,
        }
    }

    /// Bounds so small that a short test meets all of them.
    pub const fn tiny() -> Limits {
        let production = Limits::production();
        Limits {
            network: NetworkLimits {
                frame_bytes_max: 64 * KIB,
                connections_max: 64,
                connections_per_ip_max: 48,
                inflight_requests_max: 4,
                inflight_bytes_max: 64 * KIB,
                ..production.network
            },
            request: RequestLimits {
                fetch_bytes_max: 64 * KIB,
                offsets_told_max: 128,
                members_told_max: 32,
                configs_told_bytes_max: MIB,
                ..production.request
            },
            memory: MemoryLimits {
                arena_bytes_max: 8 * MIB,
                tail_cache_bytes_max: 256 * KIB,
                mesh_capacity: 2,
            },
            storage: StorageLimits {
                open_segments_max: 4,
                directories_max: 64,
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
            groups: GroupLimits::TINY,
        }
    }

    /// Whether the bounds fit each other; for a set changed by configuration.
    ///
    /// # Errors
    /// Names the two bounds that contradict each other.
    pub const fn check(&self) -> Result<(), &'static str> {
        let Limits { network, request, memory, storage: _, state, groups } = self;
        if network.connections_per_ip_max > network.connections_max {
            return Err("the connections of one address are more than all connections");
        }
        if network.frame_bytes_max + memory.tail_cache_bytes_max > memory.arena_bytes_max {
            return Err("one request and the tail cache do not fit in the I/O memory");
        }
        if request.fetch_bytes_max > memory.arena_bytes_max - memory.tail_cache_bytes_max {
            return Err("one fetch response does not fit in the I/O memory besides the tail cache");
        }
        if request.offsets_told_max < state.partitions_per_topic_max {
            return Err("a group cannot be told its offsets of one topic");
        }
        if request.members_told_max <= groups.members_per_group_max {
            return Err("a group and its members cannot be described");
        }
        if memory.mesh_capacity == 0 || network.inflight_requests_max == 0 {
            return Err("a queue without room");
        }
        if state.partitions_per_topic_max > state.partitions_max
            || state.partitions_per_request_max > state.partitions_max
        {
            return Err("one topic or request may have more partitions than the cluster");
        }
        if state.fetch_session_partitions_max > state.fetch_session_partitions_total_max {
            return Err("one fetch session may have more partitions than all of them");
        }
        if groups.members_per_group_max > groups.waiting_max {
            return Err("the members of one group cannot all wait for its next generation");
        }
        if groups.member_bytes_max > groups.group_bytes_max || groups.group_bytes_max > groups.bytes_max {
            return Err("a member's bytes do not fit in its group's, or a group's in those of all");
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
        assert_eq!(limits.check(), Err("one request and the tail cache do not fit in the I/O memory"));
        let mut limits = Limits::production();
        limits.network.connections_per_ip_max = limits.network.connections_max + 1;
        assert_eq!(limits.check(), Err("the connections of one address are more than all connections"));
        let mut limits = Limits::production();
        limits.state.partitions_per_topic_max = limits.state.partitions_max + 1;
        assert_eq!(limits.check(), Err("one topic or request may have more partitions than the cluster"));
    }

    #[test]
    fn shards_share_the_bounds_of_groups_and_each_has_room_for_the_largest_group() {
        let all = GroupLimits::PRODUCTION;
        assert_eq!(all.of_one_shard(1), all);
        let half = all.of_one_shard(2);
        assert_eq!((half.groups_max, half.offsets_max, half.bytes_max), (100_000, 2_000_000, 256 * MIB));
        let few = all.of_one_shard(128);
        assert_eq!((few.bytes_max, few.waiting_max), (all.group_bytes_max, all.members_per_group_max));
        assert_eq!(few.members_per_group_max, all.members_per_group_max);
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
