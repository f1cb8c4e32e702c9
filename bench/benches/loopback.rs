//! What a request costs end to end: a real broker process, real rings, real disk, one connection over loopback.
//!
//! `cargo bench --bench loopback` measures, each for one request at a time:
//! - metadata of one topic: the floor of any request
//! - produce of one 1 KiB record, acks=all, durable and relaxed: the floor plus a journal commit, and minus it
//! - produce of a 64 KiB batch, durable
//! - fetch of 64 KiB from the tail of the log

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringlog_core::record_batch::BatchBuilder;
use ringlog_core::time::Timestamp;
use ringlog_net::protocol::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ringlog_net::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ringlog_net::protocol::metadata::{MetadataRequest, MetadataRequestTopic};
use ringlog_net::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ringlog_net::protocol::{Message, encode_request_frame};
use ringlog_runtime::buffer::Arena;

const DURABLE: &str = "durable";
const RELAXED: &str = "relaxed";

/// A broker process that ends with the benchmark.
struct Broker {
    process: Child,
    address: String,
    _data_dir: tempfile::TempDir,
}

impl Broker {
    fn start() -> Broker {
        let data_dir = tempfile::tempdir().expect("a temporary directory");
        let mut process = Command::new(env!("CARGO_BIN_EXE_ringlog"))
            .args(["start", "--listen", "127.0.0.1:0", "--cores", "1", "--data-dir"])
            .arg(data_dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the broker starts");
        let stdout = BufReader::new(process.stdout.take().expect("standard output is piped"));
        let line = stdout
            .lines()
            .map(|line| line.expect("the banner is text"))
            .find(|line| line.contains("listens on"))
            .expect("the banner says where the broker listens");
        let address = line.rsplit(' ').next().expect("the address ends the line").to_owned();
        Broker { process, address, _data_dir: data_dir }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // The data goes with it: there is nothing to save.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One connection, one request at a time.
struct Client {
    stream: TcpStream,
    arena: Arena,
    response: Vec<u8>,
}

impl Client {
    fn connect(address: &str) -> Client {
        let stream = TcpStream::connect(address).expect("the broker accepts");
        stream.set_nodelay(true).expect("an option of every socket");
        Client { stream, arena: Arena::unregistered(64 << 20), response: Vec::new() }
    }

    fn request_bytes(&self, request: &impl Message, version: i16) -> Vec<u8> {
        let slices = encode_request_frame(&self.arena, version, 1, Some("bench"), request).expect("memory");
        slices.iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    /// Sends a frame and reads the whole response; its size in bytes.
    fn exchange(&mut self, frame: &[u8]) -> usize {
        self.stream.write_all(frame).expect("the broker reads");
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).expect("the broker answers");
        let length = usize::try_from(i32::from_be_bytes(length)).expect("a length");
        self.response.resize(length, 0);
        self.stream.read_exact(&mut self.response).expect("a whole response");
        length
    }

    fn call(&mut self, request: &impl Message, version: i16) -> usize {
        let frame = self.request_bytes(request, version);
        self.exchange(&frame)
    }
}

fn create_topics(client: &mut Client) {
    let topic = |name| CreatableTopic {
        name,
        num_partitions: 1,
        replication_factor: 1,
        configs: vec![CreatableTopicConfig { name: "ringlog.durability", value: Some(name) }],
        ..CreatableTopic::default()
    };
    let topics = vec![topic(DURABLE), topic(RELAXED)];
    client.call(&CreateTopicsRequest { topics, ..CreateTopicsRequest::default() }, 5);
}

fn batch(record_count: usize, value_bytes: usize) -> Vec<u8> {
    let value = vec![b'x'; value_bytes];
    let mut builder = BatchBuilder::new();
    for _ in 0..record_count {
        builder = builder.record_with(Timestamp(1), None, Some(&value[..]), &[]);
    }
    builder.build()
}

fn produce_frame(client: &Client, topic: &str, batch: &[u8]) -> Vec<u8> {
    let partition_data = vec![PartitionProduceData { index: 0, records: Some(batch) }];
    let topic_data = vec![TopicProduceData { name: topic, partition_data, ..TopicProduceData::default() }];
    let request = ProduceRequest { transactional_id: None, acks: -1, timeout_ms: 30_000, topic_data };
    client.request_bytes(&request, 9)
}

fn fetch_frame(client: &Client, offset: i64, bytes_max: i32) -> Vec<u8> {
    let partition = FetchPartition {
        partition: 0,
        fetch_offset: offset,
        partition_max_bytes: bytes_max,
        ..FetchPartition::default()
    };
    let topic = FetchTopic { topic: DURABLE, partitions: vec![partition], ..FetchTopic::default() };
    let request = FetchRequest {
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: bytes_max,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    client.request_bytes(&request, 12)
}

fn loopback(criterion: &mut Criterion) {
    let broker = Broker::start();
    let mut client = Client::connect(&broker.address);
    create_topics(&mut client);
    let mut group = criterion.benchmark_group("loopback");

    let topics = Some(vec![MetadataRequestTopic { name: Some(DURABLE), ..MetadataRequestTopic::default() }]);
    let metadata = client.request_bytes(&MetadataRequest { topics, ..MetadataRequest::default() }, 9);
    group.bench_function("metadata", |bencher| bencher.iter(|| client.exchange(&metadata)));

    let small = batch(1, 1_024);
    for topic in [RELAXED, DURABLE] {
        let frame = produce_frame(&client, topic, &small);
        group.bench_function(format!("produce 1 KiB {topic}"), |bencher| {
            bencher.iter(|| client.exchange(&frame))
        });
    }

    let large = batch(63, 1_024);
    group.throughput(Throughput::Bytes(large.len() as u64));
    let frame = produce_frame(&client, DURABLE, &large);
    group.bench_function("produce 64 KiB durable", |bencher| bencher.iter(|| client.exchange(&frame)));

    let fetch = fetch_frame(&client, 0, 64 << 10);
    group.bench_function("fetch 64 KiB", |bencher| bencher.iter(|| client.exchange(&fetch)));
    group.finish();
}

criterion_group!(benches, loopback);
criterion_main!(benches);
