//! The client's door: one batch judged and given its place, per codec, depth and size.
//!
//! `cargo bench -p ringlog-bench --bench batch_validation -- --warm-up-time 0.5 --measurement-time 1`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringlog_core::compression::Codec;
use ringlog_core::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, SequenceNumber};
use ringlog_core::record_batch::{BatchBuilder, BatchRules, BatchValidator, TimestampType, ValidationDepth};
use ringlog_core::time::Timestamp;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// Records of text that compresses as text does.
fn batch(codec: Codec, record_count: usize, record_bytes: usize) -> Vec<u8> {
    let mut number = 1u64;
    let mut text = String::new();
    while text.len() < record_count * record_bytes {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("package-{} depends on lib{}\n", number >> 50, number >> 57));
    }
    let builder =
        BatchBuilder::new().compressed(codec).producer(ProducerId(1), ProducerEpoch(0), SequenceNumber(0));
    text.as_bytes()
        .chunks_exact(record_bytes)
        .take(record_count)
        .fold(builder, |builder, value| builder.record_with(NOW, Some(&value[..8]), Some(value), &[]))
        .build()
}

fn validation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch_validation");
    let mut validator = BatchValidator::new();
    let mut judge = |bytes: &[u8], rules: &BatchRules| {
        let valid = validator.validate(black_box(bytes), rules, NOW).expect("a good batch");
        black_box(valid.assign(Offset(1_000_000), LeaderEpoch(3)).header().crc())
    };
    let records = BatchRules::default();
    let header = BatchRules { depth: ValidationDepth::Header, ..records };
    let append_time = BatchRules { timestamp_type: TimestampType::LogAppendTime, ..records };
    for (record_count, record_bytes) in [(1, 1024), (64, 1024), (640, 100)] {
        for codec in Codec::ALL {
            let bytes = batch(codec, record_count, record_bytes);
            let shape = format!("{record_count} x {record_bytes} B, {codec}");
            group.throughput(Throughput::Bytes((record_count * record_bytes) as u64));
            group.bench_with_input(BenchmarkId::new("records", &shape), &bytes, |bencher, bytes| {
                bencher.iter(|| judge(bytes, &records));
            });
        }
        let bytes = batch(Codec::None, record_count, record_bytes);
        let shape = format!("{record_count} x {record_bytes} B, none");
        group.bench_with_input(BenchmarkId::new("header", &shape), &bytes, |bencher, bytes| {
            bencher.iter(|| judge(bytes, &header));
        });
        group.bench_with_input(BenchmarkId::new("log-append time", &shape), &bytes, |bencher, bytes| {
            bencher.iter(|| judge(bytes, &append_time));
        });
    }
    group.finish();
}

criterion_group!(benches, validation);
criterion_main!(benches);
