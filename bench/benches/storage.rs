//! What durability costs: a shard's real store, real rings, real disk.
//!
//! `cargo bench -p ringlog-bench --bench storage -- <group>`, for one shard that sleeps when it is idle:
//! - `commit`: one batch of 1 KiB for each of so many partitions, until all are durable; beside it the same with
//!   a file for each partition, written and synced one after the other
//! - `path`: one batch of so many bytes for each of so many partitions, until all are durable, all through the
//!   journal and all straight to the segments: where the lines cross is `StoreConfig::direct_bytes_min`
//! - `append`: what one batch costs a relaxed log, writing behind included

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use ringlog_core::ids::{LeaderEpoch, PartitionIndex, TopicId, TopicPartition};
use ringlog_core::record_batch::{BatchBuilder, ValidBatch, validate_stored};
use ringlog_core::time::Timestamp;
use ringlog_runtime::environment::Environment;
use ringlog_runtime::uring::{ShardsConfig, UringEnvironment, run_shards, usable_cores};
use ringlog_storage::{Durability, LogConfig, LogIdentity, LogStore, PartitionLog, StoreConfig, recover};

/// What a shard does in every round.
#[derive(Clone)]
struct Work {
    store: StoreConfig,
    durability: Durability,
    partition_count: i32,
    batch_bytes: usize,
}

/// A shard on a thread of its own that runs rounds when told to.
struct Shard {
    rounds: Option<Sender<u64>>,
    times: Receiver<Duration>,
    thread: Option<JoinHandle<()>>,
    _data_dir: tempfile::TempDir,
}

impl Shard {
    fn start(work: Work) -> Shard {
        let rounds_before =
            ((64 << 20) / (work.batch_bytes as u64 * work.partition_count as u64)).clamp(8, 64);
        let data_dir = tempfile::tempdir().expect("a temporary directory");
        let (rounds, orders) = channel();
        let (answers, times) = channel();
        let path = data_dir.path().to_owned();
        let ends = Arc::new(Mutex::new(Some((orders, answers))));
        let core = *usable_cores().last().expect("this thread runs on a core");
        let config = ShardsConfig { cores: vec![core], idle_spin: Duration::ZERO, ..ShardsConfig::default() };
        let thread = std::thread::spawn(move || {
            let started = run_shards(
                config,
                move |env: UringEnvironment, _mailbox: ringlog_runtime::mesh::MeshMailbox<()>| {
                    let (orders, answers) = ends.lock().expect("one thread").take().expect("one shard");
                    let (path, work) = (path.clone(), work.clone());
                    async move { serve(env, &path, work, orders, answers).await }
                },
            );
            started.expect("this host has io_uring");
        });
        let shard = Shard { rounds: Some(rounds), times, thread: Some(thread), _data_dir: data_dir };
        // Journal files are made ahead, segments allocated, the disk awake.
        shard.time(rounds_before);
        shard
    }

    /// How long so many rounds take.
    fn time(&self, rounds: u64) -> Duration {
        self.rounds.as_ref().expect("not dropped").send(rounds).expect("the shard listens");
        self.times.recv().expect("the shard answers")
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        // The shard ends when nobody can order rounds any more; the data goes with it.
        self.rounds = None;
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))), "the shard ends in order");
    }
}

async fn serve(
    env: UringEnvironment,
    path: &Path,
    work: Work,
    orders: Receiver<u64>,
    answers: Sender<Duration>,
) {
    let recovered = Arc::new(recover(&env, path, &work.store).await.expect("an empty directory"));
    let store = LogStore::open(env.clone(), path, work.store.clone(), recovered).await.expect("it opens");
    let mut logs = Vec::new();
    for partition in 0..work.partition_count {
        let id = TopicPartition { topic: TopicId::from_random(1, 2), partition: PartitionIndex(partition) };
        let identity = LogIdentity { topic: "topic".into(), id };
        let config = LogConfig { durability: work.durability, ..LogConfig::default() };
        logs.push(store.create_log(identity, config).await.expect("room for a log"));
    }
    let bytes = batch(work.batch_bytes);
    let valid = validate_stored(&bytes).expect("a good batch");
    loop {
        match orders.try_recv() {
            Ok(rounds) => {
                let begun = env.now();
                for _ in 0..rounds {
                    round(&store, &logs, &valid).await;
                }
                answers.send(env.now() - begun).expect("somebody measures");
            }
            Err(TryRecvError::Empty) => env.sleep_until(env.now() + Duration::from_micros(200)).await,
            Err(TryRecvError::Disconnected) => return,
        }
    }
}

async fn round(
    store: &LogStore<UringEnvironment>,
    logs: &[PartitionLog<UringEnvironment>],
    batch: &ValidBatch<'_>,
) {
    for log in logs {
        log.ready().await.expect("a sound disk");
        log.append(&batch.clone().assign(log.log_end_offset(), LeaderEpoch(0))).expect("room for a batch");
    }
    for log in logs {
        while log.durable_end_offset() < log.log_end_offset() {
            store.next_durable().await;
        }
    }
}

/// One record in a batch of about so many bytes.
fn batch(batch_bytes: usize) -> Vec<u8> {
    let value = vec![b'x'; batch_bytes - 80];
    BatchBuilder::new().record_with(Timestamp(1), None, Some(&value[..]), &[]).build()
}

/// What a broker without a journal does: each partition's file written, then synced.
struct FilePerPartition {
    files: Vec<File>,
    batch: Vec<u8>,
    _data_dir: tempfile::TempDir,
}

impl FilePerPartition {
    fn new(partition_count: i32, batch_bytes: usize) -> FilePerPartition {
        let data_dir = tempfile::tempdir().expect("a temporary directory");
        let open = |partition| {
            let path = data_dir.path().join(format!("{partition}.log"));
            OpenOptions::new().create(true).append(true).open(path).expect("a new file")
        };
        let files = (0..partition_count).map(open).collect();
        FilePerPartition { files, batch: batch(batch_bytes), _data_dir: data_dir }
    }

    fn round(&mut self) {
        for file in &mut self.files {
            file.write_all(&self.batch).expect("a sound disk");
            file.sync_data().expect("a sound disk");
        }
    }
}

fn commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for partition_count in [1, 64, 512] {
        let work = Work {
            store: StoreConfig::production(),
            durability: Durability::Durable,
            partition_count,
            batch_bytes: 1024,
        };
        // Made when first needed: a filter may leave a benchmark out.
        let mut shard = None;
        group.bench_function(BenchmarkId::new("journal", partition_count), |bencher| {
            let shard = shard.get_or_insert_with(|| Shard::start(work.clone()));
            bencher.iter_custom(|rounds| shard.time(rounds));
        });
        let mut files = None;
        group.bench_function(BenchmarkId::new("write and fdatasync each", partition_count), |bencher| {
            let files = files.get_or_insert_with(|| FilePerPartition::new(partition_count, 1024));
            bencher.iter(|| files.round());
        });
    }
    group.finish();
}

/// Sizes under which every batch of up to half a commit takes the same path.
fn only(path: &str) -> StoreConfig {
    let production = StoreConfig::production();
    let direct_bytes_min = if path == "direct" { 1 } else { production.commit_bytes_max - (16 << 10) };
    StoreConfig { direct_bytes_min, ..production }
}

fn path(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("path");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for partition_count in [1, 8] {
        for kibibytes in [16, 32, 64, 96, 128, 256, 512] {
            let batch_bytes = kibibytes << 10;
            group.throughput(Throughput::Bytes(batch_bytes as u64 * partition_count as u64));
            for path in ["journal", "direct"] {
                let store = only(path);
                let work = Work { store, durability: Durability::Durable, partition_count, batch_bytes };
                let shape = format!("{partition_count} x {kibibytes} KiB");
                let mut shard = None;
                group.bench_function(BenchmarkId::new(path, shape), |bencher| {
                    let shard = shard.get_or_insert_with(|| Shard::start(work.clone()));
                    bencher.iter_custom(|rounds| shard.time(rounds));
                });
            }
        }
    }
    group.finish();
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    for batch_bytes in [256, 1024, 16 << 10] {
        let work = Work {
            store: StoreConfig::production(),
            durability: Durability::Relaxed,
            partition_count: 1,
            batch_bytes,
        };
        let mut shard = None;
        group.throughput(Throughput::Bytes(batch_bytes as u64));
        group.bench_function(BenchmarkId::new("relaxed", batch_bytes), |bencher| {
            let shard = shard.get_or_insert_with(|| Shard::start(work.clone()));
            bencher.iter_custom(|rounds| shard.time(rounds));
        });
    }
    group.finish();
}

criterion_group!(benches, commit, path, append);
criterion_main!(benches);
