//! What all clients of a run share: where the broker is, how the topic is called, what they did, when they end.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog_net::protocol::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use ringlog_runtime::memory::{Random, WorldHandle};

use crate::client::Client;
use crate::history::{FetcherNumber, History, PartitionNumber, ProducerNumber, TopicNews};

/// The topic everybody uses.
const TOPIC: &str = "simulated";

/// How long a request whose answer did not come may still be worked on: longer than any stall and slow disk.
pub const UNCLEAR_FOR: Duration = Duration::from_secs(10);

/// How long a client waits before it tries again.
pub const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What the broker answers when all is well.
pub const NO_ERROR: i16 = 0;
/// ... and when not.
pub const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
/// The same.
pub const OFFSET_OUT_OF_RANGE: i16 = 1;
/// The same.
pub const CORRUPT_MESSAGE: i16 = 2;
/// The same.
pub const TOPIC_ALREADY_EXISTS: i16 = 36;

/// Shared by all clients of a run.
#[derive(Clone)]
pub struct Workload {
    /// The world they live in.
    pub world: WorldHandle,
    /// Where the broker listens.
    pub address: SocketAddr,
    /// The topic they use.
    pub topic: Topic,
    /// Versions this run's clients speak.
    pub versions: Versions,
    /// What happened.
    pub history: Rc<RefCell<History>>,
    /// How many bytes of each partition of the topic are kept; `None` for all.
    pub retention_bytes: Option<u64>,
    /// Whether clients delete records of the topic.
    pub is_shortened: bool,
    /// Partitions a produce request has batches for, at most.
    pub batches_per_request_max: u64,
    final_ends: Rc<RefCell<Option<Vec<i64>>>>,
    reading: Rc<Cell<usize>>,
    busy: Rc<Cell<usize>>,
    next_producer: Rc<Cell<usize>>,
    next_fetcher: Rc<Cell<usize>>,
}

/// A topic, or one life of it.
#[derive(Clone, Copy, Debug)]
pub struct Topic {
    /// What it is called.
    pub name: &'static str,
    /// How many partitions it has.
    pub partitions: i32,
    /// What its first partition is called in the history; the others follow.
    pub first_number: PartitionNumber,
}

/// Request versions, from those that name topics by name.
#[derive(Clone, Copy, Debug)]
pub struct Versions {
    /// Of Produce.
    pub produce: i16,
    /// Of Fetch.
    pub fetch: i16,
    /// Of Fetch, from those that know sessions.
    pub session_fetch: i16,
    /// Of InitProducerId.
    pub init_producer_id: i16,
    /// Of CreateTopics.
    pub create_topics: i16,
    /// Of ListOffsets.
    pub list_offsets: i16,
    /// Of DeleteTopics.
    pub delete_topics: i16,
    /// Of DeleteRecords.
    pub delete_records: i16,
    /// Of IncrementalAlterConfigs.
    pub alter_configs: i16,
    /// Of DescribeConfigs.
    pub describe_configs: i16,
    /// Of Metadata, from those that can be asked not to make a topic.
    pub metadata: i16,
}

impl Versions {
    /// Old, new and in between, by the seed.
    pub fn choose(random: &mut Random) -> Versions {
        let mut between = |first, last| random.between(first..=last) as i16;
        Versions {
            produce: between(3, 12),
            fetch: between(4, 12),
            session_fetch: between(7, 12),
            init_producer_id: between(0, 5),
            create_topics: between(4, 7),
            list_offsets: between(1, 8),
            delete_topics: between(1, 6),
            metadata: between(4, 13),
            delete_records: between(0, 2),
            alter_configs: between(0, 1),
            describe_configs: between(1, 4),
        }
    }
}

impl Workload {
    /// A workload of nobody yet.
    pub fn new(world: WorldHandle, address: SocketAddr, partitions: i32, versions: Versions) -> Workload {
        Workload {
            world,
            address,
            topic: Topic { name: TOPIC, partitions, first_number: 0 },
            versions,
            history: Rc::default(),
            retention_bytes: None,
            is_shortened: false,
            batches_per_request_max: 1,
            final_ends: Rc::default(),
            reading: Rc::default(),
            busy: Rc::default(),
            next_producer: Rc::default(),
            next_fetcher: Rc::default(),
        }
    }

    /// The same clients' work with another topic, of which everything is kept.
    pub fn of_topic(&self, topic: Topic) -> Workload {
        Workload { topic, retention_bytes: None, is_shortened: false, ..self.clone() }
    }

    /// Whether a partition of the topic need not begin at zero.
    pub fn may_begin_later(&self) -> bool {
        self.retention_bytes.is_some() || self.is_shortened
    }

    /// What a partition of the topic is called in the history.
    pub fn number_of(&self, partition: i32) -> PartitionNumber {
        self.topic.first_number + partition
    }

    /// Somebody has something to do: the run goes on.
    pub fn begin(&self) {
        self.busy.set(self.busy.get() + 1);
    }

    /// Somebody is done.
    pub fn end(&self) {
        self.busy.set(self.busy.get() - 1);
    }

    /// Notes what became known of the fleeting topic.
    pub fn note(&self, news: TopicNews) {
        self.history.borrow_mut().topic_news(news);
    }

    /// A number for a new producer.
    pub fn new_producer(&self) -> ProducerNumber {
        ProducerNumber(self.next_producer.replace(self.next_producer.get() + 1))
    }

    /// A number for a new fetcher, which reads until [`Workload::is_read`].
    pub fn new_fetcher(&self) -> FetcherNumber {
        self.reading.set(self.reading.get() + 1);
        FetcherNumber(self.next_fetcher.replace(self.next_fetcher.get() + 1))
    }

    /// Whether nobody has anything to do any more.
    pub fn is_done(&self) -> bool {
        self.busy.get() == 0
    }

    /// Nothing more will be written: fetchers shall come to the ends that the history knows.
    pub fn note_ends(&self) {
        let history = self.history.borrow();
        let end_of = |partition| history.final_end(self.number_of(partition));
        *self.final_ends.borrow_mut() = Some((0..self.topic.partitions).map(end_of).collect());
    }

    /// Whether a fetcher that has come so far has seen all there will ever be of a partition.
    pub fn is_read(&self, partition: i32, next_offset: i64) -> bool {
        self.final_ends.borrow().as_ref().is_some_and(|ends| next_offset >= ends[partition as usize])
    }

    /// A fetcher has seen everything.
    pub fn end_reading(&self) {
        self.reading.set(self.reading.get() - 1);
    }

    /// Whether every fetcher has seen everything.
    pub fn is_all_read(&self) -> bool {
        self.reading.get() == 0
    }

    /// Creates the topic, however often that takes.
    pub async fn create_topic(&self) {
        while !matches!(self.try_create_topic().await, Ok(NO_ERROR | TOPIC_ALREADY_EXISTS)) {
            self.world.sleep(RETRY_AFTER).await;
        }
    }

    /// Asks once for the topic; returns the error code that comes back.
    pub async fn try_create_topic(&self) -> io::Result<i16> {
        let version = self.versions.create_topics;
        let retention_bytes = self.retention_bytes.map_or("-1".to_owned(), |bytes| bytes.to_string());
        let topic = CreatableTopic {
            name: self.topic.name,
            num_partitions: self.topic.partitions,
            replication_factor: 1,
            configs: vec![
                // Records have no time of their own, and clocks jump.
                CreatableTopicConfig { name: "retention.ms", value: Some("-1") },
                CreatableTopicConfig { name: "retention.bytes", value: Some(&retention_bytes) },
            ],
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let answer = Client::connect(&self.world, self.address).call(&request, version).await?;
        Ok(answer.read(CreateTopicsResponse::decode).topics[0].error_code)
    }
}
