//! A broker in memory and a client that speaks bytes.

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringlog::broker::message::Message as ShardMessage;
use ringlog::broker::{BrokerStart, run_first_shard, run_other_shard};
use ringlog_core::config::BrokerConfig;
use ringlog_core::ids::{ProducerEpoch, ProducerId, SequenceNumber};
use ringlog_core::record_batch::BatchBuilder;
use ringlog_core::time::Timestamp;
use ringlog_net::protocol::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ringlog_net::protocol::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use ringlog_net::protocol::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use ringlog_net::protocol::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use ringlog_net::protocol::{
    ApiKey, DecodeError, Decoder, Message, Uuid, decode_response, encode_request_frame,
};
use ringlog_runtime::buffer::{Arena, BufMut};
use ringlog_runtime::environment::{Connection, Environment, TaskClass};
use ringlog_runtime::memory::{MemoryAccepted, MemoryConnection, MemoryWorld, Options, WorldHandle};
use ringlog_storage::StoreConfig;

const ADDRESS: &str = "127.0.0.1:9092";
const METRICS_ADDRESS: &str = "127.0.0.1:9644";
const SHARD_COUNT: u16 = 2;

/// A day in 2026, where the world's wall clock need not be.
pub const TOPIC: &str = "topic";

/// Starts a broker with these extra properties and runs a test against it.
pub fn with_broker<F: Future<Output = ()>>(properties: &str, test: impl FnOnce(Broker) -> F) {
    with_broker_in(&MemoryWorld::new(7, Options::quiet()), properties, test);
}

/// As [`with_broker`], in a world of the test's own.
pub fn with_broker_in<F: Future<Output = ()>>(
    world: &MemoryWorld,
    properties: &str,
    test: impl FnOnce(Broker) -> F,
) {
    with_starting_broker(world, properties, async |broker| {
        broker.until_it_listens().await;
        test(broker).await;
    });
}

/// As [`with_broker_in`], without waiting until the broker listens.
pub fn with_starting_broker<F: Future<Output = ()>>(
    world: &MemoryWorld,
    properties: &str,
    test: impl FnOnce(Broker) -> F,
) {
    let arenas = start(world, &Arc::new(broker_start(properties)));
    world.run_until(test(Broker { handle: world.handle(), arenas }));
}

/// As [`with_broker_in`], with sizes of the storage that are not tiny.
pub fn with_broker_storing<F: Future<Output = ()>>(
    world: &MemoryWorld,
    properties: &str,
    store: StoreConfig,
    test: impl FnOnce(Broker) -> F,
) {
    let start_with = BrokerStart { store, ..broker_start(properties) };
    let broker = Broker { handle: world.handle(), arenas: start(world, &Arc::new(start_with)) };
    world.run_until(async {
        broker.until_it_listens().await;
        test(broker).await;
    });
}

/// Why a broker does not start with these properties.
pub fn refusal(world: &MemoryWorld, properties: &str) -> String {
    let mailbox = world.mesh::<ShardMessage<MemoryAccepted>>(1).pop().expect("one shard");
    let (env, start) = (world.environment(0, 1), Arc::new(broker_start(properties)));
    let ended = world.run_until(run_first_shard(env, mailbox, start, std::future::ready(()), |_| {}));
    world.kill();
    ended.expect_err("the broker does not start").to_string()
}

fn broker_start(properties: &str) -> BrokerStart {
    let text = format!("node.id=1\nlog.dirs=/data\nlisteners=PLAINTEXT://{ADDRESS}\n{properties}\n");
    let (config, _) = BrokerConfig::from_properties(&text).expect("the configuration is right");
    BrokerStart {
        config,
        bind_addresses: vec![address()],
        default_host: "127.0.0.1".to_owned(),
        metrics_address: Some(METRICS_ADDRESS.parse().expect("an address")),
        store: StoreConfig::tiny(),
        unusable: std::collections::BTreeMap::new(),
    }
}

/// Starts the shards; their I/O memory.
fn start(world: &MemoryWorld, start: &Arc<BrokerStart>) -> Rc<[Arena]> {
    let mailboxes = world.mesh::<ShardMessage<MemoryAccepted>>(SHARD_COUNT);
    let mut arenas = Vec::new();
    for (shard, mailbox) in (0..SHARD_COUNT).zip(mailboxes) {
        let (env, start) = (world.environment(shard, SHARD_COUNT), start.clone());
        arenas.push(env.arena().clone());
        let shard_env = env.clone();
        env.spawn(TaskClass::Network, async move {
            let ended = match shard {
                0 => run_first_shard(shard_env, mailbox, start, std::future::pending(), |_| {}).await,
                _ => run_other_shard(shard_env, mailbox, start).await,
            };
            ended.expect("the broker starts");
        });
    }
    arenas.into()
}

fn address() -> SocketAddr {
    ADDRESS.parse().expect("an address")
}

/// The broker under test.
#[derive(Clone)]
pub struct Broker {
    handle: WorldHandle,
    arenas: Rc<[Arena]>,
}

impl Broker {
    /// A new connection.
    pub fn connect(&self) -> Client {
        Client {
            handle: self.handle.clone(),
            connection: self.handle.connect(address()),
            received: Vec::new(),
            next_correlation_id: 1,
        }
    }

    /// A connection to the metrics listener.
    pub fn connect_to_metrics(&self) -> MemoryConnection {
        self.handle.connect(METRICS_ADDRESS.parse().expect("an address"))
    }

    /// Sends bytes to the metrics listener; everything it says until it ends the connection.
    pub async fn ask_metrics(&self, bytes: &[u8]) -> String {
        let connection = self.connect_to_metrics();
        let mut buffer = self.handle.arena().allocate(bytes.len()).expect("memory");
        buffer.extend_from_slice(bytes);
        // A broker that closed the connection is noticed by what it says.
        let _ = connection.send(vec![buffer.freeze()]).await;
        let mut said = Vec::new();
        while let Ok(received) = connection.receive().await
            && !received.is_empty()
        {
            said.extend_from_slice(received.as_slice());
        }
        String::from_utf8(said).expect("text")
    }

    /// The status and the body of a page.
    pub async fn page(&self, path: &str) -> (u16, String) {
        let said = self.ask_metrics(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).await;
        let Some((head, body)) = said.split_once("\r\n\r\n") else { return (0, said) };
        let length = format!("Content-Length: {}", body.len());
        assert!(head.contains(&length), "{length} is not what the head says: {head}");
        (head[9..12].parse().expect("a status"), body.to_owned())
    }

    /// The value of a sample, or the sum of all that begin so.
    pub async fn metric(&self, sample: &str) -> Option<f64> {
        let (status, text) = self.page("/metrics").await;
        assert_eq!(status, 200);
        let values = text
            .lines()
            .filter(|line| line.strip_prefix(sample).is_some_and(|rest| rest.starts_with(['{', ' ', ','])));
        let numbers: Vec<f64> =
            values.map(|line| line.rsplit(' ').next().expect("a value").parse().expect("a number")).collect();
        (!numbers.is_empty()).then(|| numbers.iter().sum())
    }

    /// Takes all I/O memory of every shard but so many bytes, for as long as the buffers are kept.
    pub fn take_memory_but(&self, bytes: usize) -> Vec<BufMut> {
        let take = |arena: &Arena| {
            let free = arena.bytes_max() - arena.used_bytes();
            // Buffers are of whole pages.
            arena.allocate((free - bytes) / 4_096 * 4_096).expect("that much is free")
        };
        self.arenas.iter().map(take).collect()
    }

    /// I/O memory in use, of each shard.
    pub fn used_memory(&self) -> Vec<usize> {
        self.arenas.iter().map(Arena::used_bytes).collect()
    }

    /// The world the broker lives in.
    pub fn world(&self) -> &WorldHandle {
        &self.handle
    }

    /// A connection and one topic with so many partitions and these configs.
    pub async fn with_topic(&self, partition_count: i32, configs: &[(&str, &str)]) -> Client {
        let mut client = self.connect();
        client.create_topic(TOPIC, partition_count, configs).await;
        client
    }

    async fn until_it_listens(&self) {
        loop {
            let mut client = self.connect();
            let request = MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
            if client.try_call(&request, 9).await.is_some() {
                return;
            }
            self.handle.sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A connection that sends frames and takes them apart.
pub struct Client {
    handle: WorldHandle,
    connection: MemoryConnection,
    received: Vec<u8>,
    next_correlation_id: i32,
}

/// A response: its correlation id and the bytes behind the length.
pub struct Response {
    /// The whole frame without its length.
    pub frame: Vec<u8>,
    api_key: ApiKey,
    version: i16,
}

impl Response {
    /// The body, decoded.
    pub fn read<'a, T>(&'a self, decode: impl FnOnce(&mut Decoder<'a>, i16) -> Result<T, DecodeError>) -> T {
        let (_, mut body) =
            decode_response(&self.frame, self.api_key, self.version).expect("a response header");
        decode(&mut body, self.version).expect("a response body")
    }

    /// The request it answers.
    pub fn correlation_id(&self) -> i32 {
        i32::from_be_bytes(self.frame[..4].try_into().expect("a correlation id"))
    }
}

impl Client {
    /// Sends a request and waits for the response.
    pub async fn call<M: Message>(&mut self, request: &M, version: i16) -> Response {
        self.try_call(request, version).await.expect("the broker answers")
    }

    /// As [`Client::call`]; `None` if the broker closes the connection instead.
    pub async fn try_call<M: Message>(&mut self, request: &M, version: i16) -> Option<Response> {
        self.send(request, version).await;
        self.receive(M::API_KEY, version).await
    }

    /// Sends a request and does not wait.
    pub async fn send<M: Message>(&mut self, request: &M, version: i16) {
        let id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let slices =
            encode_request_frame(self.handle.arena(), version, id, Some("test"), request).expect("memory");
        // A broker that closed the connection is noticed when its answer is missing.
        let _ = self.connection.send(slices).await;
    }

    /// Sends bytes as they are.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let mut buffer = self.handle.arena().allocate(bytes.len()).expect("memory");
        buffer.extend_from_slice(bytes);
        let _ = self.connection.send(vec![buffer.freeze()]).await;
    }

    /// The next response; `None` if the broker closes the connection.
    pub async fn receive(&mut self, api_key: ApiKey, version: i16) -> Option<Response> {
        loop {
            if let Some(frame) = self.take_frame() {
                return Some(Response { frame, api_key, version });
            }
            match self.connection.receive().await {
                Ok(bytes) if !bytes.is_empty() => self.received.extend_from_slice(bytes.as_slice()),
                _ => return None,
            }
        }
    }

    fn take_frame(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(i32::from_be_bytes(*self.received.first_chunk()?)).expect("a length");
        (self.received.len() >= 4 + length).then(|| self.received.drain(..4 + length).skip(4).collect())
    }

    /// Creates a topic.
    pub async fn create_topic(&mut self, name: &str, partition_count: i32, configs: &[(&str, &str)]) {
        let configs = configs.iter().map(|(name, value)| CreatableTopicConfig { name, value: Some(value) });
        let topic = CreatableTopic {
            name,
            num_partitions: partition_count,
            replication_factor: 1,
            configs: configs.collect(),
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
        let response = self.call(&request, 7).await;
        let created = response.read(ringlog_net::protocol::create_topics::CreateTopicsResponse::decode);
        assert_eq!(created.topics[0].error_code, 0, "{:?}", created.topics[0].error_message);
    }

    /// The topic's id.
    pub async fn topic_id(&mut self, name: &str) -> Uuid {
        let topics = Some(vec![MetadataRequestTopic { name: Some(name), ..MetadataRequestTopic::default() }]);
        let response = self.call(&MetadataRequest { topics, ..MetadataRequest::default() }, 12).await;
        response.read(MetadataResponse::decode).topics[0].topic_id
    }

    /// Produces one batch; error code and base offset.
    pub async fn produce(&mut self, partition: i32, batch: &[u8]) -> (i16, i64) {
        self.produce_with(partition, batch, -1, 9).await
    }

    /// Produces one batch with these acks in this version.
    pub async fn produce_with(
        &mut self,
        partition: i32,
        batch: &[u8],
        acks: i16,
        version: i16,
    ) -> (i16, i64) {
        let response = self.call(&produce_request(&[(partition, batch)], acks), version).await;
        let produced = response.read(ProduceResponse::decode);
        let partition = &produced.responses[0].partition_responses[0];
        (partition.error_code, partition.base_offset)
    }

    /// Fetches one partition: error code, high watermark and record bytes.
    pub async fn fetch(&mut self, partition: i32, offset: i64) -> (i16, i64, Vec<u8>) {
        let response = self.call(&fetch_request(&[(partition, offset)]), 12).await;
        let fetched = response.read(FetchResponse::decode);
        let data = &fetched.responses[0].partitions[0];
        (data.error_code, data.high_watermark, records_of(data))
    }
}

/// The record bytes of one partition's part of a response.
pub fn records_of(data: &ringlog_net::protocol::fetch::PartitionData<'_>) -> Vec<u8> {
    data.records.as_ref().map_or_else(Vec::new, |records| records.parts().flatten().copied().collect())
}

/// A Produce request for some partitions of [`TOPIC`].
pub fn produce_request<'a>(batches: &[(i32, &'a [u8])], acks: i16) -> ProduceRequest<'a> {
    let partition_data = batches
        .iter()
        .map(|(index, records)| PartitionProduceData { index: *index, records: Some(records) })
        .collect();
    ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData { name: TOPIC, partition_data, ..TopicProduceData::default() }],
    }
}

/// A Fetch request without a session for some partitions of [`TOPIC`], that waits for nothing.
pub fn fetch_request(partitions: &[(i32, i64)]) -> FetchRequest<'static> {
    let partitions = partitions
        .iter()
        .map(|(partition, fetch_offset)| FetchPartition {
            partition: *partition,
            fetch_offset: *fetch_offset,
            partition_max_bytes: 1 << 20,
            ..FetchPartition::default()
        })
        .collect();
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic { topic: TOPIC, partitions, ..FetchTopic::default() }],
        ..FetchRequest::default()
    }
}

/// A batch of records with these values, stamped with the time given.
pub fn batch_at(timestamp: i64, values: &[&str]) -> Vec<u8> {
    let start = BatchBuilder::new();
    let add = |builder: BatchBuilder, value: &&str| {
        builder.record_with(Timestamp(timestamp), None, Some(value.as_bytes()), &[])
    };
    values.iter().fold(start, add).build()
}

/// A batch of records with these values.
pub fn batch(values: &[&str]) -> Vec<u8> {
    batch_at(1_000, values)
}

/// A batch of an idempotent producer.
pub fn sequenced(producer_id: i64, epoch: i16, base_sequence: i32, values: &[&str]) -> Vec<u8> {
    let start = BatchBuilder::new().producer(
        ProducerId(producer_id),
        ProducerEpoch(epoch),
        SequenceNumber(base_sequence),
    );
    let add = |builder: BatchBuilder, value: &&str| {
        builder.record_with(Timestamp(1_000), None, Some(value.as_bytes()), &[])
    };
    values.iter().fold(start, add).build()
}

/// Runs a task beside the test.
pub fn beside(broker: &Broker, task: impl Future<Output = ()> + 'static) -> Rc<std::cell::Cell<bool>> {
    let done = Rc::new(std::cell::Cell::new(false));
    let flag = done.clone();
    broker.world().spawn(async move {
        task.await;
        flag.set(true);
    });
    done
}
