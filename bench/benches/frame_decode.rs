//! What a request costs before anything is done about it: header and body decoded from a frame; and what a
//! fetch response costs to encode, whose records stay where they are.
//!
//! `cargo bench -p ringlog-bench --bench frame_decode -- --warm-up-time 0.5 --measurement-time 1`

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringlog_net::protocol::metadata::{MetadataRequest, MetadataRequestTopic};
use ringlog_net::protocol::{ApiKey, Uuid, encode_response_frame};
use ringlog_runtime::buffer::Arena;

#[path = "inputs/frames.rs"]
mod frames;
use frames::{RECORDS_BYTES, decode, fetch_in_session, fetched, frame, log_slice, produce};

fn requests(criterion: &mut Criterion) {
    let arena = Arena::unregistered(64 << 20);
    let records = vec![7; RECORDS_BYTES];
    let topics =
        (0..10).map(|index| MetadataRequestTopic { topic_id: Uuid([index; 16]), name: Some("events") });
    let metadata = MetadataRequest { topics: Some(topics.collect()), ..MetadataRequest::default() };
    let mut group = criterion.benchmark_group("frame_decode");
    for (name, frame) in [
        ("produce, 1 partition of 1 KiB", frame(&arena, 9, &produce(1, &records))),
        ("produce, 64 partitions of 1 KiB", frame(&arena, 9, &produce(64, &records))),
        ("produce, 1 partition, old encoding", frame(&arena, 7, &produce(1, &records))),
        ("fetch, nothing new in the session", frame(&arena, 16, &fetch_in_session())),
        ("metadata, 10 topics", frame(&arena, 12, &metadata)),
    ] {
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(decode(black_box(&frame))));
        });
    }
}

fn responses(criterion: &mut Criterion) {
    let arena = Arena::unregistered(64 << 20);
    let records = log_slice(&arena, 64 << 10);
    let mut group = criterion.benchmark_group("frame_encode");
    for partitions in [1, 64] {
        let response = fetched(partitions, &records);
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
