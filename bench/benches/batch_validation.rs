//! The client's door: one batch judged and given its place, per codec, depth and size.
//!
//! `cargo bench -p ringlog-bench --bench batch_validation -- --warm-up-time 0.5 --measurement-time 1`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringlog_core::compression::Codec;
use ringlog_core::ids::{LeaderEpoch, Offset};
use ringlog_core::record_batch::{BatchRules, BatchValidator, TimestampType, ValidationDepth};

#[path = "inputs/batches.rs"]
mod batches;
use batches::{NOW, batch};

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
