//! What clients did and saw, in the order it happened: the evidence the checker judges.
//!
//! ```text
//!   producer ── sent(batch) ──► acknowledged(batch, offset) | refused(batch) | nothing: outcome unknown
//!   fetcher  ── read(fetcher, partition, offset, value)
//!   admin    ── topic_news(created | deleted | seen | missed)
//!   the end  ── final log of each partition, read once everything is healed or before its topic is deleted
//! ```
//!
//! Always true: every value is sent once by one producer to one partition, so a value names its record.

use std::collections::BTreeMap;

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

/// Everything that happened.
#[derive(Clone, Default, Debug)]
pub struct History {
    batches: Vec<SentBatch>,
    reads: Vec<Read>,
    topic_news: Vec<TopicNews>,
    reports_of_damage: Vec<String>,
    final_logs: BTreeMap<PartitionNumber, Vec<(i64, Vec<u8>)>>,
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
    }

    /// A fetcher sees a record.
    pub fn read(&mut self, fetcher: FetcherNumber, partition: PartitionNumber, offset: i64, value: &[u8]) {
        self.reads.push(Read { fetcher, partition, offset, value: value.to_vec() });
    }

    /// The client of the fleeting topic learns about it.
    pub fn topic_news(&mut self, news: TopicNews) {
        self.topic_news.push(news);
    }

    /// The broker, healed or for the last time before it deletes the topic, shows a record of a partition's whole log, in the order it returned them.
    pub fn final_record(&mut self, partition: PartitionNumber, offset: i64, value: &[u8]) {
        self.final_logs.entry(partition).or_default().push((offset, value.to_vec()));
    }

    /// The broker reported damage to its operator.
    pub fn damage_reported(&mut self, report: String) {
        self.reports_of_damage.push(report);
    }

    /// Every report of damage.
    pub fn reports_of_damage(&self) -> &[String] {
        &self.reports_of_damage
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
