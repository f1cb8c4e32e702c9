//! CRC-32C at the sizes batches have: the library behind `core::checksum` and the other candidate, side by side.
//!
//! `cargo bench -p ringlog-bench --bench checksum -- --warm-up-time 0.5 --measurement-time 1`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringlog_core::checksum;

fn checksums(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checksum");
    for kibibytes in [1usize, 4, 16, 64] {
        let bytes: Vec<u8> = (0..kibibytes * 1024).map(|index| (index * 31 % 251) as u8).collect();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(BenchmarkId::new("crc32c", kibibytes), &bytes, |bencher, bytes| {
            bencher.iter(|| crc32c::crc32c(black_box(bytes)));
        });
        group.bench_with_input(BenchmarkId::new("crc-fast", kibibytes), &bytes, |bencher, bytes| {
            bencher.iter(|| crc_fast::crc32_iscsi(black_box(bytes)));
        });
        group.bench_with_input(BenchmarkId::new("core::checksum", kibibytes), &bytes, |bencher, bytes| {
            bencher.iter(|| checksum::crc32c(black_box(bytes)));
        });
        group.bench_with_input(
            BenchmarkId::new("a batch's two parts", kibibytes),
            &bytes,
            |bencher, bytes| {
                let (header, body) = bytes.split_at(40);
                bencher
                    .iter(|| checksum::crc32c_append(checksum::crc32c(black_box(header)), black_box(body)));
            },
        );
    }
    let (old, new) = ([1u8; 40], [2u8; 40]);
    group.throughput(Throughput::Elements(1));
    group.bench_function("a changed header, 64 KiB behind it", |bencher| {
        bencher.iter(|| checksum::crc32c_replace_prefix(black_box(7), &old, &new, black_box(64 * 1024)));
    });
    group.finish();
}

criterion_group!(benches, checksums);
criterion_main!(benches);
