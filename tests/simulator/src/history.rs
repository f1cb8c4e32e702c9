//! What clients did and saw, in the order it happened: the evidence the checker judges.
//!
//! ```text
//!   producer ── sent(batch) ──► acknowledged(batch, offset) | refused(batch) | nothing: outcome unknown
//!   fetcher  ── read(fetcher, partition, offset, value) | log_start_seen(fetcher, partition, offset)
//!   anybody  ── starts, configs, groups: see [`crate::log_starts`], [`crate::config_history`], [`crate::group_history`]
//!   admin    ── topic_news(created | deleted | seen | missed)
//!   the medium ── rotted(block) ──► refused(partition, offset) | reported, and the rest as ever
//!   the end  ── final log of each partition, read once everything is healed or before its topic is deleted
//! ```
//!
//! Always true: every value is sent once by one producer to one partition, so a value names its record.

use std::collections::BTreeMap;

use crate::config_history::ConfigHistory;
use crate::group_history::GroupHistory;
use crate::log_starts::LogStarts;
use crate::rot::RottenBlock;

/// A partition of a topic of the workload. Each life of a topic that is deleted and made again has its own.
pub type PartitionNumber = i32;

/// Names a batch within a history.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BatchNumber(pub usize);

/// Names a producer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ProducerNumber(pub usize);

/// Names a fetcher: one uninterrupted reading of a partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FetcherNumber(pub usize);

/// Names a connection of a producer: they are numbered in the order it made them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct ConnectionNumber(pub usize);

/// How a producer sends, and so what it may expect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// Retries until acknowledged, with sequence numbers: exactly once and in the order sent.
    Idempotent,
    /// Sends once, with acknowledgement: at most once, and in the order sent on one connection.
    Plain,
    /// Sends once and asks for no answer: as plain, and nobody knows.
    Unanswered,
}

/// What the producer was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Nothing, or something that leaves open whether the batch was appended.
    Unknown,
    /// The batch is in the log from this offset on.
    Acknowledged(i64),
    /// The batch was not and will never be appended.
    Refused,
}

/// A batch as it was sent.
#[derive(Clone, Debug)]
pub struct SentBatch {
    /// Who sent it.
    pub producer: ProducerNumber,
    /// What that producer may expect.
    pub promise: Promise,
    /// The connection on which it was first sent.
    pub connection: ConnectionNumber,
    /// Where to.
    pub partition: PartitionNumber,
    /// The values of its records.
    pub values: Vec<Vec<u8>>,
    /// What came back.
    pub answer: Answer,
}

/// One record seen by a fetcher.
#[derive(Clone, Debug)]
pub struct Read {
    /// Who saw it.
    pub fetcher: FetcherNumber,
    /// Where.
    pub partition: PartitionNumber,
    /// At which offset.
    pub offset: i64,
    /// What.
    pub value: Vec<u8>,
}

/// A fetcher that was told where a log begins.
#[derive(Clone, Copy, Debug)]
pub struct LogStartSeen {
    /// Who was told.
    pub fetcher: FetcherNumber,
    /// Of which partition.
    pub partition: PartitionNumber,
    /// Where it begins.
    pub offset: i64,
    /// How many records all fetchers had read before, if the fetcher goes on from there.
    pub reads_before: Option<usize>,
}

/// What a client learned about the topic that only it makes and deletes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TopicNews {
    /// Its wish to make it was granted.
    Created,
    /// Its wish to delete it was granted.
    Deleted,
    /// The broker says that it is there.
    Seen,
    /// The broker says that it is not there.
    Missed,
}

/// When damage was reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reported {
    /// While disks may fail to read.
    AmongFaults,
    /// Once all is healed.
    AtLast,
}

/// Everything that happened.
#[derive(Clone, Default, Debug)]
pub struct History {
    /// Where logs begin.
    pub starts: LogStarts,
    /// How the broker and its topics are configured.
    pub configs: ConfigHistory,
    /// What groups were given, and how far they have read.
    pub groups: GroupHistory,
    batches: Vec<SentBatch>,
    reads: Vec<Read>,
    log_starts: Vec<LogStartSeen>,
    topic_news: Vec<TopicNews>,
    reports_of_damage: Vec<(Reported, String)>,
    rotten: Vec<RottenBlock>,
    unfound: Vec<RottenBlock>,
    refused_sound: Vec<(PartitionNumber, i64)>,
    left_on_disk: Vec<String>,
    final_logs: BTreeMap<PartitionNumber, Vec<(i64, Vec<u8>)>>,
    final_starts: BTreeMap<PartitionNumber, FinalStart>,
    acknowledged_ends: BTreeMap<PartitionNumber, i64>,
    ends_below: Vec<EndBelow>,
}

/// A client that was told of an end of a log below what had been acknowledged before it asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndBelow {
    /// Of which log.
    pub partition: PartitionNumber,
    /// Behind the last record acknowledged.
    pub acknowledged: i64,
    /// What it was told.
    pub told: i64,
}

/// Where a log begins at the end, if that may have moved.
#[derive(Clone, Copy, Debug)]
pub struct FinalStart {
    /// The first offset.
    pub offset: i64,
    /// The bytes of the batches from there on.
    pub bytes: u64,
    /// The bytes that retention must leave, where there is retention.
    pub kept_bytes_min: Option<u64>,
}

impl History {
    /// A producer hands a batch to the network for the first time.
    pub fn sent(
        &mut self,
        producer: ProducerNumber,
        promise: Promise,
        connection: ConnectionNumber,
        partition: PartitionNumber,
        values: Vec<Vec<u8>>,
    ) -> BatchNumber {
        let answer = Answer::Unknown;
        self.batches.push(SentBatch { producer, promise, connection, partition, values, answer });
        BatchNumber(self.batches.len() - 1)
    }

    /// A producer learns what became of its batch.
    ///
    /// # Panics
    /// If it had been told something else before: the workload stops asking once it knows.
    pub fn answered(&mut self, batch: BatchNumber, answer: Answer) {
        let known = &mut self.batches[batch.0].answer;
        assert_eq!(*known, Answer::Unknown, "{batch:?} is answered again, with {answer:?}");
        *known = answer;
        if let Answer::Acknowledged(base_offset) = answer {
            let batch = &self.batches[batch.0];
            let end = self.acknowledged_ends.entry(batch.partition).or_default();
            *end = (*end).max(base_offset + batch.values.len() as i64);
        }
    }

    /// Where a log ends at least.
    pub fn acknowledged_end(&self, partition: PartitionNumber) -> i64 {
        self.acknowledged_ends.get(&partition).copied().unwrap_or_default()
    }

    /// A client that asked when so much was acknowledged is told where what it may read ends.
    pub fn end_told(&mut self, partition: PartitionNumber, acknowledged: i64, told: i64) {
        if told < acknowledged {
            self.ends_below.push(EndBelow { partition, acknowledged, told });
        }
    }

    /// Ends of logs below what was acknowledged.
    pub fn ends_below(&self) -> &[EndBelow] {
        &self.ends_below
    }

    /// A fetcher sees a record.
    pub fn read(&mut self, fetcher: FetcherNumber, partition: PartitionNumber, offset: i64, value: &[u8]) {
        self.reads.push(Read { fetcher, partition, offset, value: value.to_vec() });
    }

    /// A fetcher learns that its next offset is gone and that the log begins here.
    pub fn log_start_seen(&mut self, fetcher: FetcherNumber, partition: PartitionNumber, offset: i64) {
        let reads_before = Some(self.reads.len());
        self.log_starts.push(LogStartSeen { fetcher, partition, offset, reads_before });
    }

    /// A fetcher that looks learns where the log begins.
    pub fn log_start_looked_at(&mut self, fetcher: FetcherNumber, partition: PartitionNumber, offset: i64) {
        self.log_starts.push(LogStartSeen { fetcher, partition, offset, reads_before: None });
    }

    /// The client of the fleeting topic learns about it.
    pub fn topic_news(&mut self, news: TopicNews) {
        self.topic_news.push(news);
    }

    /// The broker, healed or for the last time before it deletes the topic, shows a record of a partition's whole log, in the order it returned them.
    pub fn final_record(&mut self, partition: PartitionNumber, offset: i64, value: &[u8]) {
        self.final_logs.entry(partition).or_default().push((offset, value.to_vec()));
    }

    /// Reading of a partition's whole log begins, or begins again, at this offset.
    pub fn final_reading_begins(
        &mut self,
        partition: PartitionNumber,
        offset: i64,
        kept_bytes_min: Option<u64>,
    ) {
        self.final_logs.remove(&partition);
        self.final_starts.insert(partition, FinalStart { offset, bytes: 0, kept_bytes_min });
    }

    /// So many more bytes of batches were read of it.
    pub fn final_bytes(&mut self, partition: PartitionNumber, bytes: usize) {
        if let Some(start) = self.final_starts.get_mut(&partition) {
            start.bytes += bytes as u64;
        }
    }

    /// The broker reported damage to its operator.
    pub fn damage_reported(&mut self, when: Reported, report: String) {
        self.reports_of_damage.push((when, report));
    }

    /// Every report of damage.
    pub fn reports_of_damage(&self) -> &[(Reported, String)] {
        &self.reports_of_damage
    }

    /// A block of the medium is not what was written any more.
    pub fn rotted(&mut self, block: RottenBlock) {
        self.rotten.push(block);
    }

    /// Damaged blocks.
    pub fn rotten(&self) -> &[RottenBlock] {
        &self.rotten
    }

    /// The program is started for the last time: what rotted until now it has to read from the disk.
    pub fn last_start(&mut self) {
        self.rotten.iter_mut().for_each(|block| block.is_on_disk_alone = true);
    }

    /// A damaged block that is still there was not found in time.
    pub fn damage_not_found(&mut self, block: RottenBlock) {
        self.unfound.push(block);
    }

    /// Those that were not.
    pub fn unfound(&self) -> &[RottenBlock] {
        &self.unfound
    }

    /// Records were refused as damaged. Where to go on behind them, if they are.
    pub fn refused(&mut self, partition: PartitionNumber, offset: i64) -> Option<i64> {
        let block = self.rotten.iter().find(|block| block.may_be_refused(partition, offset));
        let Some(block) = block else {
            self.refused_sound.push((partition, offset));
            return None;
        };
        let next = if offset < block.offsets.end { block.offsets.end } else { block.refused_to };
        self.final_bytes(partition, block.refused_bytes as usize);
        Some(next)
    }

    /// Records that were refused as damaged and are not.
    pub fn refused_sound(&self) -> &[(PartitionNumber, i64)] {
        &self.refused_sound
    }

    /// A file of a topic that is deleted is there at the end.
    pub fn left_on_disk(&mut self, path: String) {
        self.left_on_disk.push(path);
    }

    /// Files of deleted topics.
    pub fn files_left(&self) -> &[String] {
        &self.left_on_disk
    }

    /// Whether all of these records may be refused.
    pub fn may_be_refused(&self, partition: PartitionNumber, mut offsets: std::ops::Range<i64>) -> bool {
        offsets.all(|offset| self.rotten.iter().any(|block| block.may_be_refused(partition, offset)))
    }

    /// All batches, in the order they were first sent.
    pub fn batches(&self) -> &[SentBatch] {
        &self.batches
    }

    /// All there was to learn about the fleeting topic, in order.
    pub fn news(&self) -> &[TopicNews] {
        &self.topic_news
    }

    /// How often a topic was deleted.
    pub fn topics_deleted(&self) -> usize {
        self.topic_news.iter().filter(|news| **news == TopicNews::Deleted).count()
    }

    /// All reads, in the order they happened.
    pub fn reads(&self) -> &[Read] {
        &self.reads
    }

    /// A partition's whole log at the end.
    pub fn final_log(&self, partition: PartitionNumber) -> &[(i64, Vec<u8>)] {
        self.final_logs.get(&partition).map_or(&[], Vec::as_slice)
    }

    /// Where its whole log begins at the end; `None` where nothing may have gone.
    pub fn final_start(&self, partition: PartitionNumber) -> Option<FinalStart> {
        self.final_starts.get(&partition).copied()
    }

    /// Where its whole log ends.
    pub fn final_end(&self, partition: PartitionNumber) -> i64 {
        let start = self.final_start(partition).map_or(0, |start| start.offset);
        self.final_log(partition).last().map_or(start, |last| last.0 + 1)
    }

    /// Records that are deleted.
    pub fn retired_records(&self) -> usize {
        self.final_starts.values().map(|start| start.offset as usize).sum()
    }

    /// All that fetchers learned of logs that begin later, in order.
    pub fn log_starts(&self) -> &[LogStartSeen] {
        &self.log_starts
    }

    /// Every partition that something was sent to or found in.
    pub fn partitions(&self) -> Vec<PartitionNumber> {
        let sent = self.batches.iter().map(|batch| batch.partition);
        let mut partitions: Vec<_> = sent.chain(self.final_logs.keys().copied()).collect();
        partitions.sort_unstable();
        partitions.dedup();
        partitions
    }

    /// Records acknowledged.
    pub fn acknowledged_records(&self) -> usize {
        let is_acknowledged = |batch: &&SentBatch| matches!(batch.answer, Answer::Acknowledged(_));
        self.batches.iter().filter(is_acknowledged).map(|batch| batch.values.len()).sum()
    }
}
