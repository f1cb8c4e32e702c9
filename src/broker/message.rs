//! What shards say to each other. A message carries everything its receiver needs.

use std::sync::Arc;
use std::time::Duration;

use ringlog_core::group;
use ringlog_core::ids::{LeaderEpoch, Offset, TopicPartition};
use ringlog_core::metadata::{Command, CommandReply};
use ringlog_core::refusal::Refusal;
use ringlog_core::time::{Instant, Timestamp};
use ringlog_replication::leader::Acks;
use ringlog_runtime::buffer::Slice;
use ringlog_runtime::environment::DiskFailure;

use crate::broker::calls::CallTicket;
use crate::broker::controller::Change;
use crate::broker::metrics::samples::Samples;
use crate::broker::opening::Opening;
use crate::broker::places::DirectoryIndex;

/// A message between shards; `A` is a connection that was just accepted.
pub enum Message<A> {
    /// Shard 0 has recovered the data directories: open your logs.
    Begin(Arc<Opening>),
    /// A question, to be answered exactly once.
    Call {
        /// Names the call at the asking shard.
        ticket: CallTicket,
        /// What is asked.
        call: Call,
    },
    /// The answer to a question.
    Answer {
        /// As in the question.
        ticket: CallTicket,
        /// What came of it.
        answer: Answer,
    },
    /// A connection for this shard to serve.
    Connection {
        /// The connection.
        accepted: A,
        /// By which of the broker's listeners it came.
        listener: usize,
    },
}

/// What one shard asks another.
pub enum Call {
    /// Append batches to partitions the receiver owns.
    Produce(ProduceCall),
    /// Read from partitions the receiver owns.
    Fetch(FetchCall),
    /// Answer that fetch of mine with what is there now.
    HurryFetch(CallTicket),
    /// Look offsets up.
    FindOffsets(Vec<FindOffset>),
    /// Where leader epochs end.
    FindEpochEnds(Vec<FindEpochEnd>),
    /// Delete records from the front of logs.
    DeleteRecords(Vec<DeleteRecords>),
    /// How large logs are.
    MeasureLogs(Vec<TopicPartition>),
    /// Something about groups.
    Group {
        /// A partition of `__consumer_offsets` that the receiver owns.
        partition: TopicPartition,
        /// What is asked of its coordinator.
        request: group::message::Request,
    },
    /// Change the cluster's metadata: for the controller's shard.
    Command(Command),
    /// Take over a new image: create and delete logs, lead and stop leading.
    ApplyImage(Change),
    /// A data directory's disk is full, another shard found: look for yourself.
    LookAtDisk(DirectoryIndex),
    /// A data directory failed on another shard: write nothing there any more.
    FenceDisk {
        /// Which.
        directory: DirectoryIndex,
        /// How.
        failure: DiskFailure,
    },
    /// Say that you turn.
    Pulse,
    /// Say what you measure, with at most so many partitions one by one.
    Tell {
        /// Partitions.
        partitions_max: usize,
    },
    /// Take no more requests, send the replies owed, close the connections.
    Drain,
    /// Checkpoint and close the logs; the shard ends.
    Close,
}

/// What comes back.
pub enum Answer {
    /// To [`Call::Produce`].
    Produced(Vec<Produced>),
    /// To [`Call::Fetch`].
    Fetched {
        /// What was read.
        fetched: Vec<Fetched>,
        /// What could be read before: at a segment's end more than was read (F4).
        readable_bytes: usize,
        /// How long it waited for data.
        waited: Duration,
    },
    /// To [`Call::FindOffsets`].
    Offsets(Vec<FoundOffset>),
    /// To [`Call::FindEpochEnds`].
    EpochEnds(Vec<FoundEpochEnd>),
    /// To [`Call::DeleteRecords`].
    RecordsDeleted(Vec<RecordsDeleted>),
    /// To [`Call::MeasureLogs`].
    LogsMeasured {
        /// Bytes of each log that is open, in no order.
        sizes: Vec<LogSize>,
        /// Which data directories are offline for the shard, as they are configured.
        offline: Vec<bool>,
    },
    /// To [`Call::Group`].
    Group(group::message::Answer),
    /// To [`Call::Command`].
    Commanded(CommandReply),
    /// To [`Call::Pulse`].
    Pulse {
        /// Whether the data directory failed, of several the one that holds the metadata log.
        disk_failed: bool,
    },
    /// To [`Call::Tell`].
    Told(Box<Samples>),
    /// To everything else: it is done.
    Done,
}

/// How large a log is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogSize {
    /// Whose.
    pub id: TopicPartition,
    /// Where it lies.
    pub directory: DirectoryIndex,
    /// Bytes of its segments.
    pub bytes: u64,
}

/// Batches for some partitions of one owner.
pub struct ProduceCall {
    /// How safe before the answer.
    pub acks: Acks,
    /// What this client may send.
    pub privileges: ProducePrivileges,
    /// One batch per partition.
    pub partitions: Vec<PartitionProduce>,
}

/// What a produce request may do, from its version and client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducePrivileges {
    /// Zstandard needs Produce 7 (KIP-110).
    pub zstd: bool,
}

/// One partition's batch.
pub struct PartitionProduce {
    /// Its place in the client's request.
    pub index: usize,
    /// Where it belongs.
    pub partition: TopicPartition,
    /// The client's bytes, not yet looked at.
    pub records: Slice,
}

/// What became of one batch.
pub struct Produced {
    /// Its place in the client's request.
    pub index: usize,
    /// Where it is now, or why not.
    pub result: Result<Appended, Refusal>,
}

/// A batch in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// The first record's offset.
    pub base_offset: Offset,
    /// The broker's time if the topic stamps records with it, else none.
    pub log_append_time: Timestamp,
    /// The log's first offset.
    pub log_start_offset: Offset,
}

/// A read of some partitions of one owner.
pub struct FetchCall {
    /// In the order they may use up `bytes_max`.
    pub partitions: Vec<PartitionFetch>,
    /// Most record bytes in the answer, the first batch excepted.
    pub bytes_max: usize,
    /// Wait until this many bytes are readable.
    pub bytes_needed: usize,
    /// Answer by then with what is there.
    pub deadline: Instant,
}

/// A read of one partition.
#[derive(Clone, Copy, Debug)]
pub struct PartitionFetch {
    /// Its place in the client's effective list.
    pub index: usize,
    /// Which partition.
    pub partition: TopicPartition,
    /// From where.
    pub fetch_offset: Offset,
    /// Most bytes of this partition.
    pub bytes_max: usize,
    /// The epoch the client believes current, or unknown (KIP-320).
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the last record the client has, or unknown (KIP-595).
    pub last_fetched_epoch: LeaderEpoch,
}

/// What was read from one partition.
pub struct Fetched {
    /// Its place in the client's effective list.
    pub index: usize,
    /// The state of the log and its records, or why not.
    pub result: Result<PartitionRecords, FetchRefused>,
}

/// A refused read. Kafka fills the watermarks even so where it knows them (F10).
pub struct FetchRefused {
    /// Why.
    pub refusal: Refusal,
    /// The first uncommitted offset, -1 where it means nothing.
    pub high_watermark: Offset,
    /// The log's first offset, -1 where it means nothing.
    pub log_start_offset: Offset,
}

impl FetchRefused {
    /// Where the watermarks mean nothing.
    pub fn new(refusal: Refusal) -> FetchRefused {
        FetchRefused { refusal, high_watermark: Offset(-1), log_start_offset: Offset(-1) }
    }
}

/// Records of one partition, in whole batches.
pub struct PartitionRecords {
    /// The first uncommitted offset.
    pub high_watermark: Offset,
    /// The log's first offset.
    pub log_start_offset: Offset,
    /// Where the client's log parted from this one, if it did: largest common epoch and its end.
    pub diverging: Option<(LeaderEpoch, Offset)>,
    /// Batches, untouched.
    pub records: Vec<Slice>,
    /// Their size.
    pub record_bytes: usize,
    /// By how many offsets they bring the reader on.
    pub record_count: u64,
}

/// A look-up in one partition.
#[derive(Clone, Copy, Debug)]
pub struct FindOffset {
    /// Its place in the client's request.
    pub index: usize,
    /// Which partition.
    pub partition: TopicPartition,
    /// The epoch the client believes current, or unknown.
    pub current_leader_epoch: LeaderEpoch,
    /// What is looked for.
    pub target: OffsetTarget,
}

/// What ListOffsets can ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OffsetTarget {
    /// -1: the high watermark.
    Latest,
    /// -2 and, without tiered storage, -4: the log's first offset.
    Earliest,
    /// -3: the first record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// -5 and -6, what is tiered and what is to be (KIP-1005, KIP-1023): without tiered storage, nothing.
    Tiered,
    /// The first record at or after a time.
    At(Timestamp),
}

/// What was found in one partition.
pub struct FoundOffset {
    /// Its place in the client's request.
    pub index: usize,
    /// `None`: no such record.
    pub result: Result<Option<OffsetAndTime>, Refusal>,
}

/// A place in a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OffsetAndTime {
    /// The offset.
    pub offset: Offset,
    /// The record's timestamp, none for the log's ends.
    pub timestamp: Timestamp,
    /// The epoch at that offset, or unknown.
    pub leader_epoch: LeaderEpoch,
}

/// Where does this epoch end in your log?
#[derive(Clone, Copy, Debug)]
pub struct FindEpochEnd {
    /// Its place in the client's request.
    pub index: usize,
    /// Which partition.
    pub partition: TopicPartition,
    /// The epoch the client believes current, or unknown.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch asked for.
    pub leader_epoch: LeaderEpoch,
}

/// The largest epoch not above the one asked for, and its end; `None` where there is none.
pub struct FoundEpochEnd {
    /// Its place in the client's request.
    pub index: usize,
    /// The answer.
    pub result: Result<Option<(LeaderEpoch, Offset)>, Refusal>,
}

/// Delete what lies below an offset.
#[derive(Clone, Copy, Debug)]
pub struct DeleteRecords {
    /// Its place in the client's request.
    pub index: usize,
    /// Which partition.
    pub partition: TopicPartition,
    /// The first offset to stay; -1 for the high watermark.
    pub before_offset: Offset,
}

/// What became of one deletion.
pub struct RecordsDeleted {
    /// Its place in the client's request.
    pub index: usize,
    /// Where the log begins now.
    pub result: Result<Offset, Refusal>,
}
