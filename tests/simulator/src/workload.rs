//! What all clients of a run share: where the broker is, how the topic is called, what they did, when they end.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog_net::protocol::create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse};
use ringlog_runtime::memory::{Random, WorldHandle};

use crate::client::Client;
use crate::history::{FetcherNumber, History, ProducerNumber};

/// The topic everybody uses.
pub const TOPIC: &str = "simulated";

/// How long a client waits before it tries again.
pub const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What the broker answers when all is well.
pub const NO_ERROR: i16 = 0;
const TOPIC_ALREADY_EXISTS: i16 = 36;

/// Shared by all clients of a run.
#[derive(Clone)]
pub struct Workload {
    /// The world they live in.
    pub world: WorldHandle,
    /// Where the broker listens.
    pub address: SocketAddr,
    /// How many partitions the topic has.
    pub partitions: i32,
    /// Versions this run's clients speak.
    pub versions: Versions,
    /// What happened.
    pub history: Rc<RefCell<History>>,
    /// Set when fetchers shall stop.
    pub is_over: Rc<Cell<bool>>,
    /// Producers that still have something to do.
    pub producers_busy: Rc<Cell<usize>>,
    next_producer: Rc<Cell<usize>>,
    next_fetcher: Rc<Cell<usize>>,
}

/// Request versions, from those that name topics by name.
#[derive(Clone, Copy, Debug)]
pub struct Versions {
    /// Of Produce.
    pub produce: i16,
    /// Of Fetch.
    pub fetch: i16,
    /// Of InitProducerId.
    pub init_producer_id: i16,
    /// Of CreateTopics.
    pub create_topics: i16,
    /// Of ListOffsets.
    pub list_offsets: i16,
}

impl Versions {
    /// Old, new and in between, by the seed.
    pub fn choose(random: &mut Random) -> Versions {
        let mut between = |first, last| random.between(first..=last) as i16;
        Versions {
            produce: between(3, 12),
            fetch: between(4, 12),
            init_producer_id: between(0, 5),
            create_topics: between(4, 7),
            list_offsets: between(1, 8),
        }
    }
}

impl Workload {
    /// A workload of nobody yet.
    pub fn new(world: WorldHandle, address: SocketAddr, partitions: i32, versions: Versions) -> Workload {
        Workload {
            world,
            address,
            partitions,
            versions,
            history: Rc::default(),
            is_over: Rc::default(),
            producers_busy: Rc::default(),
            next_producer: Rc::default(),
            next_fetcher: Rc::default(),
        }
    }

    /// A number for a new producer.
    pub fn new_producer(&self) -> ProducerNumber {
        self.producers_busy.set(self.producers_busy.get() + 1);
        ProducerNumber(self.next_producer.replace(self.next_producer.get() + 1))
    }

    /// A number for a new fetcher.
    pub fn new_fetcher(&self) -> FetcherNumber {
        FetcherNumber(self.next_fetcher.replace(self.next_fetcher.get() + 1))
    }

    /// Creates the topic, however often that takes.
    pub async fn create_topic(&self) {
        while !self.try_create_topic().await {
            self.world.sleep(RETRY_AFTER).await;
        }
    }

    async fn try_create_topic(&self) -> bool {
        let version = self.versions.create_topics;
        let topic = CreatableTopic {
            name: TOPIC,
            num_partitions: self.partitions,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let Ok(answer) = Client::connect(&self.world, self.address).call(&request, version).await else {
            return false;
        };
        let response = answer.read(CreateTopicsResponse::decode);
        matches!(response.topics[0].error_code, NO_ERROR | TOPIC_ALREADY_EXISTS)
    }
}
