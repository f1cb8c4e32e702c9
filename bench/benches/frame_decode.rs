//! What a request costs before anything is done about it: header and body decoded from a frame; and what a
//! fetch response costs to encode, whose records stay where they are.
//!
//! `cargo bench -p ringlog-bench --bench frame_decode -- --warm-up-time 0.5 --measurement-time 1`

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringlog_net::protocol::fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData};
use ringlog_net::protocol::metadata::{MetadataRequest, MetadataRequestTopic};
use ringlog_net::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ringlog_net::protocol::{
    AnyRequest, ApiKey, Decoder, Message, Records, Uuid, decode_request_header, encode_request_frame,
    encode_response_frame,
};
use ringlog_runtime::buffer::{Arena, Slice};

const RECORDS_BYTES: usize = 1024;

fn frame(arena: &Arena, version: i16, message: &impl Message) -> Vec<u8> {
    let segments =
        encode_request_frame(arena, version, 1, Some("rdkafka"), message).expect("room for one frame");
    segments.iter().flat_map(|segment| segment.to_vec()).skip(4).collect()
}

fn produce(partitions: i32, records: &[u8]) -> ProduceRequest<'_> {
    let data = (0..partitions).map(|index| PartitionProduceData { index, records: Some(records) });
    let topic =
        TopicProduceData { name: "events", partition_data: data.collect(), ..TopicProduceData::default() };
    ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..ProduceRequest::default() }
}

/// What a shard does with every frame.
fn decode(frame: &[u8]) -> AnyRequest<'_> {
    let (header, body) = decode_request_header(frame).expect("a sound header");
    let api = ApiKey::from_wire(header.api_key).expect("a known API");
    AnyRequest::decode(api, &mut Decoder::at(frame, body), header.api_version).expect("a sound body")
}

fn requests(criterion: &mut Criterion) {
    let arena = Arena::unregistered(64 << 20);
    let records = vec![7; RECORDS_BYTES];
    let topics =
        (0..10).map(|index| MetadataRequestTopic { topic_id: Uuid([index; 16]), name: Some("events") });
    let metadata = MetadataRequest { topics: Some(topics.collect()), ..MetadataRequest::default() };
    let session =
        FetchRequest { session_id: 77, session_epoch: 5, max_wait_ms: 500, ..FetchRequest::default() };
    let mut group = criterion.benchmark_group("frame_decode");
    for (name, frame) in [
        ("produce, 1 partition of 1 KiB", frame(&arena, 9, &produce(1, &records))),
        ("produce, 64 partitions of 1 KiB", frame(&arena, 9, &produce(64, &records))),
        ("produce, 1 partition, old encoding", frame(&arena, 7, &produce(1, &records))),
        ("fetch, nothing new in the session", frame(&arena, 16, &session)),
        ("metadata, 10 topics", frame(&arena, 12, &metadata)),
    ] {
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(decode(black_box(&frame))));
        });
    }
}

fn log_slice(arena: &Arena, bytes: usize) -> Slice {
    let mut buffer = arena.allocate(bytes).expect("room for one slice");
    buffer.set_len(bytes);
    buffer.freeze()
}

fn responses(criterion: &mut Criterion) {
    let arena = Arena::unregistered(64 << 20);
    let records = log_slice(&arena, 64 << 10);
    let mut group = criterion.benchmark_group("frame_encode");
    for partitions in [1, 64] {
        let data = (0..partitions).map(|partition_index| PartitionData {
            partition_index,
            records: Some(Records::Slices(vec![records.clone()])),
            ..PartitionData::default()
        });
        let topic =
            FetchableTopicResponse { partitions: data.collect(), ..FetchableTopicResponse::default() };
        let response = FetchResponse { responses: vec![topic], ..FetchResponse::default() };
        group.bench_function(format!("fetch response, {partitions} partitions of 64 KiB"), |bencher| {
            bencher.iter(|| {
                black_box(encode_response_frame(&arena, ApiKey::Fetch, 16, 1, black_box(&response)))
                    .expect("room")
            });
        });
    }
}

criterion_group!(benches, requests, responses);
criterion_main!(benches);
