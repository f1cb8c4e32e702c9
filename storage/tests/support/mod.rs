//! A store in a memory world beside a model of it: a row of batches per partition, and how far each was
//! promised.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use ringlog_core::ids::{
    LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, SequenceNumber, TopicId, TopicPartition,
};
use ringlog_core::leader_epochs::LeaderEpochs;
use ringlog_core::producer_state::{ProducerState, ProducerStates};
use ringlog_core::record_batch::{BatchBuilder, BatchHeader, RawBatch, validate_stored};
use ringlog_core::time::Timestamp;
use ringlog_runtime::environment::{Environment, TaskClass};
use ringlog_runtime::memory::{MemoryWorld, Random};
use ringlog_storage::{
    AtLeastOne, LogConfig, LogIdentity, LogStore, PartitionLog, ReadError, Recovered, Retention,
    SegmentSummary, StoreConfig, recover,
};

pub mod in_map;
pub mod planted;
pub mod told;

use planted::{Bug, Planted};

/// The environment of all tests: the memory environment, with a mistake planted where a test asks for one.
pub type Env = Planted;

pub const DATA_DIR: &str = "/data";

/// One batch of the model.
#[derive(Clone, Debug)]
pub struct ModelBatch {
    pub base: i64,
    pub next: i64,
    pub bytes: Vec<u8>,
}

/// One log as it should be.
#[derive(Clone, Default, Debug)]
pub struct ModelLog {
    pub batches: Vec<ModelBatch>,
    pub promised: i64,
    /// Where the log begins at least: what was told to be deleted.
    pub start: i64,
    /// Where it begins at most: what was asked to be deleted.
    pub start_max: i64,
    /// Which topic of its name it belongs to: how many were deleted before.
    pub generation: u64,
    /// Those of which the deletion was granted.
    pub deleted: Vec<TopicId>,
}

impl ModelLog {
    pub fn end(&self) -> i64 {
        self.batches.last().map_or(0, |batch| batch.next)
    }

    /// The bytes of the batches from the one that holds `from` on.
    pub fn bytes_from(&self, from: i64) -> Vec<u8> {
        self.batches.iter().filter(|batch| batch.next > from).flat_map(|batch| batch.bytes.clone()).collect()
    }
}

/// A segment as the model's batches say it is.
#[derive(Debug)]
struct ModelSegment {
    end: i64,
    bytes: u64,
    youngest: i64,
}

pub type Model = Rc<RefCell<BTreeMap<i32, ModelLog>>>;

/// The process under test while it runs.
pub struct Session {
    pub env: Env,
    pub stores: Vec<LogStore<Env>>,
    pub logs: BTreeMap<i32, PartitionLog<Env>>,
    pub recovered: Arc<Recovered>,
}

/// What stays the same from start to start.
#[derive(Clone)]
pub struct Setup {
    pub partitions: i32,
    pub shard_count: u16,
    pub config: StoreConfig,
    pub log_config: LogConfig,
    pub model: Model,
    pub bug: Bug,
    /// Whether some batches leave offsets out.
    pub leaves_gaps: bool,
    /// Whether records are deleted from the front.
    pub deletes_records: bool,
    /// Whether old segments are given up.
    pub retires: bool,
    /// Whether a read may find that the disk refuses.
    pub reads_may_fail: bool,
}

/// How a life of the process under test ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// The disk refused its start.
    NotStarted,
    /// The disk failed it.
    Fenced,
    /// In order.
    Closed,
}

impl Setup {
    pub fn tiny(partitions: i32, shard_count: u16) -> Setup {
        let log_config = LogConfig {
            segment_bytes: 20 << 10,
            index_interval_bytes: 512,
            file_delete_delay: std::time::Duration::ZERO,
            ..LogConfig::default()
        };
        Setup {
            partitions,
            shard_count,
            config: StoreConfig::tiny(),
            log_config,
            model: Model::default(),
            bug: Bug::None,
            leaves_gaps: false,
            deletes_records: false,
            retires: false,
            reads_may_fail: false,
        }
    }

    /// One shard's environment.
    pub fn environment(&self, world: &MemoryWorld, shard: u16) -> Env {
        Planted::new(world.environment(shard, self.shard_count), self.bug)
    }

    /// Recovers and opens; compares every log with the model, and lets the model forget what was promised to
    /// nobody and is gone.
    pub fn open(&self, world: &MemoryWorld) -> impl Future<Output = Session> + use<> {
        let envs: Vec<_> = (0..self.shard_count).map(|shard| self.environment(world, shard)).collect();
        let (setup, seed) = (self.clone(), world.seed());
        async move {
            let data_dir = Path::new(DATA_DIR);
            let recovered = recover(&envs[0], data_dir, &setup.config).await;
            let recovered = Arc::new(recovered.unwrap_or_else(|failure| panic!("seed {seed}: {failure}")));
            let mut session = Session {
                env: envs[0].clone(),
                stores: vec![],
                logs: BTreeMap::new(),
                recovered: recovered.clone(),
            };
            for env in &envs {
                let store =
                    LogStore::open(env.clone(), data_dir, setup.config.clone(), recovered.clone()).await;
                let store = store.expect("opens");
                env.spawn(TaskClass::Network, follow(store.clone(), setup.model.clone()));
                session.stores.push(store);
            }
            for partition in 0..setup.partitions {
                setup.expect_deleted(seed, partition, &recovered);
                let log = setup.create(&session, partition).await;
                setup.compare(seed, partition, &log).await;
                session.logs.insert(partition, log);
            }
            session
        }
    }

    /// Whose log it is now: another topic's of the same name after each deletion.
    pub fn id(&self, partition: i32) -> TopicPartition {
        let generation = self.model.borrow().get(&partition).map_or(0, |log| log.generation);
        TopicPartition { topic: topic(generation), ..id(partition) }
    }

    /// The store that has a partition's log.
    fn store_of<'s>(&self, session: &'s Session, partition: i32) -> &'s LogStore<Env> {
        &session.stores[self.id(partition).owner(self.shard_count).0 as usize]
    }

    /// Opens one log.
    pub async fn create(&self, session: &Session, partition: i32) -> PartitionLog<Env> {
        let store = self.store_of(session, partition);
        let identity = LogIdentity { topic: "topic".into(), id: self.id(partition) };
        store.create_log(identity, self.log_config.clone()).await.expect("opens")
    }

    /// Deletes a log, and makes it anew for another topic of the same name.
    pub async fn make_anew(&self, session: &mut Session, partition: i32) {
        let (store, former) = (self.store_of(session, partition).clone(), self.id(partition));
        {
            let mut model = self.model.borrow_mut();
            let log = model.entry(partition).or_default();
            // From here on nobody asks for the old one, whether or not it is gone.
            let (generation, deleted) = (log.generation + 1, std::mem::take(&mut log.deleted));
            *log = ModelLog { generation, deleted, ..ModelLog::default() };
        }
        store.delete_log(&session.logs[&partition]).await.expect("deleted");
        self.model.borrow_mut().get_mut(&partition).expect("just there").deleted.push(former.topic);
        let log = self.create(session, partition).await;
        assert_eq!(log.log_end_offset(), Offset(0), "a log made anew is empty");
        session.logs.insert(partition, log);
    }

    /// No log comes back whose deletion was granted.
    fn expect_deleted(&self, seed: u64, partition: i32, recovered: &Recovered) {
        let model = self.model.borrow();
        for topic in model.get(&partition).map_or(&[][..], |log| &log.deleted) {
            let id = TopicPartition { topic: *topic, ..id(partition) };
            assert!(recovered.partitions().all(|found| found != id), "seed {seed}: {id:?} came back");
        }
    }

    async fn compare(&self, seed: u64, partition: i32, log: &PartitionLog<Env>) {
        let (start, end) = (log.log_start_offset().0, log.log_end_offset().0);
        let expected = {
            let mut model = self.model.borrow_mut();
            let model = model.entry(partition).or_default();
            assert!(
                end >= model.promised,
                "seed {seed}: partition {partition} ends at {end}, promised were {}",
                model.promised
            );
            model.batches.retain(|batch| batch.base < end);
            assert_eq!(
                model.end(),
                end,
                "seed {seed}: partition {partition} ends within no batch of the model"
            );
            model.promised = end;
            assert!(
                (model.start..=model.start_max).contains(&start),
                "seed {seed}: partition {partition} begins at {start}, not in {}..={}",
                model.start,
                model.start_max
            );
            (model.start, model.start_max) = (start, start);
            model.bytes_from(start)
        };
        assert_eq!(log.durable_end_offset().0, end);
        let found = read_all_of(log, start, end, usize::from(self.reads_may_fail)).await;
        assert!(found == expected, "seed {seed}: partition {partition} has other bytes than were appended");
        self.compare_folds(seed, partition, log);
    }

    /// What a log knows of producers and epochs is what its batches say, whatever a start had to piece together.
    fn compare_folds(&self, seed: u64, partition: i32, log: &PartitionLog<Env>) {
        let mut producers = ProducerStates::new(self.config.producers_max);
        let mut epochs = LeaderEpochs::new();
        for batch in &self.model.borrow()[&partition].batches {
            let header = BatchHeader::parse(&batch.bytes).expect("a batch of the model");
            producers.record(&header, header.max_timestamp());
            epochs.assign(header.leader_epoch(), header.base_offset());
            let start = log.log_start_offset();
            if header.next_offset() > start {
                let found = log.epoch_at(header.base_offset().max(start));
                assert_eq!(
                    found,
                    header.leader_epoch(),
                    "seed {seed}: partition {partition} at {}",
                    batch.base
                );
            }
        }
        epochs.truncate_from_start(log.log_start_offset());
        let plain = |producers: &ProducerStates| -> Vec<_> {
            let known = |(id, state): (ProducerId, &ProducerState)| {
                (id, state.epoch(), state.batches().to_vec(), state.open_transaction())
            };
            producers.iter().map(known).collect()
        };
        let found = log.with_producers(|producers| plain(producers));
        assert_eq!(found, plain(&producers), "seed {seed}: producers of partition {partition}");
        for entry in epochs.entries() {
            let (of_log, of_batches) =
                (log.epoch_end_offset(entry.epoch), epochs.end_offset_for(entry.epoch, log.log_end_offset()));
            assert_eq!(of_log, of_batches, "seed {seed}: epoch {} of partition {partition}", entry.epoch);
        }
    }
}

async fn follow(store: LogStore<Env>, model: Model) {
    loop {
        let advances = store.next_durable().await;
        if store.failure().is_some() {
            return;
        }
        for advance in advances {
            let mut model = model.borrow_mut();
            // Tests with batches of their own compare for themselves.
            let Some(log) = model.get_mut(&advance.partition.partition.0) else { continue };
            if advance.partition.topic != topic(log.generation) {
                continue;
            }
            assert!(advance.durable_end_offset.0 <= log.end(), "promised more than was appended");
            assert!(advance.durable_end_offset.0 >= log.promised, "promises grow");
            log.promised = advance.durable_end_offset.0;
        }
    }
}

pub fn id(partition: i32) -> TopicPartition {
    TopicPartition { topic: topic(0), partition: PartitionIndex(partition) }
}

/// The id of the topic after so many deletions.
fn topic(generation: u64) -> TopicId {
    TopicId::from_random(5, 6 + generation)
}

/// A batch whose content only this base offset and salt have.
pub fn batch(base: i64, records: i64, value_bytes: usize, salt: u64) -> Vec<u8> {
    let mut builder = BatchBuilder::new()
        .at(Offset(base))
        .leader_epoch(LeaderEpoch((base / 40) as i32))
        .producer(ProducerId(salt as i64 % 3), ProducerEpoch(0), SequenceNumber((base % 1_000_000) as i32));
    for record in 0..records {
        let mut value = vec![(base + record) as u8; value_bytes];
        value.extend_from_slice(&salt.to_be_bytes());
        builder = builder.record_with(
            Timestamp(1_000 + base + record),
            Some(&base.to_be_bytes()),
            Some(&value),
            &[],
        );
    }
    builder.build()
}

impl Setup {
    /// Appends a batch to log and model.
    pub async fn append(
        &self,
        session: &Session,
        partition: i32,
        records: i64,
        value_bytes: usize,
        salt: u64,
    ) -> bool {
        self.append_after_gap(session, partition, 0, records, value_bytes, salt).await
    }

    /// Appends a batch to log and model that leaves out so many offsets, as a compacted log of a leader does.
    pub async fn append_after_gap(
        &self,
        session: &Session,
        partition: i32,
        gap: i64,
        records: i64,
        value_bytes: usize,
        salt: u64,
    ) -> bool {
        let log = &session.logs[&partition];
        if log.ready().await.is_err() {
            return false;
        }
        let base = log.log_end_offset().0 + gap;
        let bytes = batch(base, records, value_bytes, salt);
        let assigned = validate_stored(&bytes).expect("a good batch").keep_offsets();
        // The model knows first: an acknowledgement may come at any time after.
        let model_batch = ModelBatch { base, next: base + records, bytes: bytes.clone() };
        self.model.borrow_mut().entry(partition).or_default().batches.push(model_batch);
        if let Err(error) = log.append_given(&assigned) {
            self.model.borrow_mut().get_mut(&partition).expect("just there").batches.pop();
            assert!(matches!(error, ringlog_storage::AppendError::NoRoom), "{error}");
            return false;
        }
        true
    }

    /// Opens and works as long as the disk lets it: any failure to open ends the attempt.
    pub async fn try_run(&self, world: &MemoryWorld, random: &mut Random, steps: usize) {
        self.try_open_and_work(world, random, steps).await;
    }

    /// As [`Setup::try_run`], to the end in order.
    pub async fn try_life(&self, world: &MemoryWorld, random: &mut Random, steps: usize) -> Life {
        let Some(session) = self.try_open_and_work(world, random, steps).await else {
            return Life::NotStarted;
        };
        let store = &session.stores[0];
        match store.close().await {
            Ok(()) => Life::Closed,
            Err(_) => {
                let promised = self.model.borrow().values().map(|log| log.promised).sum::<i64>();
                for partition in 0..self.partitions {
                    assert!(
                        !self.append(&session, partition, 1, 10, 1).await,
                        "a fenced store takes nothing"
                    );
                }
                session.env.sleep_until(session.env.now() + std::time::Duration::from_secs(30)).await;
                let promised_later = self.model.borrow().values().map(|log| log.promised).sum::<i64>();
                assert_eq!(promised, promised_later, "and promises nothing");
                Life::Fenced
            }
        }
    }

    async fn try_open_and_work(
        &self,
        world: &MemoryWorld,
        random: &mut Random,
        steps: usize,
    ) -> Option<Session> {
        let env = self.environment(world, 0);
        let data_dir = Path::new(DATA_DIR);
        let recovered = recover(&env, data_dir, &self.config).await.ok()?;
        let recovered = Arc::new(recovered);
        assert_eq!(recovered.damaged().count(), 0, "seed {}: a failing disk is not damage", world.seed());
        let opened = LogStore::open(env.clone(), data_dir, self.config.clone(), recovered.clone()).await;
        let store = opened.ok()?;
        env.spawn(TaskClass::Network, follow(store.clone(), self.model.clone()));
        let mut session = Session { env, stores: vec![store.clone()], logs: BTreeMap::new(), recovered };
        for partition in 0..self.partitions {
            let identity = LogIdentity { topic: "topic".into(), id: id(partition) };
            let log = store.create_log(identity, self.log_config.clone()).await.ok()?;
            self.compare(world.seed(), partition, &log).await;
            session.logs.insert(partition, log);
        }
        self.work(&session, random, steps).await;
        Some(session)
    }

    /// A few steps chosen by `random`.
    pub async fn work(&self, session: &Session, random: &mut Random, steps: usize) {
        for step in 0..steps {
            let partition = random.below(self.partitions as u64) as i32;
            let log = &session.logs[&partition];
            match random.below(20) {
                0 => log.roll(),
                1 => drop(session.stores[random.index(session.stores.len())].checkpoint().await),
                2..=4 => self.read_somewhere(log, partition, random).await,
                5 => self.wait_until_promised(session, partition).await,
                9 if self.retires => self.retire_somewhere(session, partition, random).await,
                8 if self.deletes_records => self.delete_somewhere(session, partition, random).await,
                7 if self.leaves_gaps => {
                    let (gap, value_bytes) =
                        (random.between(1..=9) as i64, random.between(0..=6_000) as usize);
                    self.append_after_gap(session, partition, gap, 1, value_bytes, step as u64).await;
                }
                6 => {
                    let value_bytes = random.between(6_000..=14_000) as usize;
                    self.append(session, partition, 1, value_bytes, step as u64).await;
                }
                _ => {
                    let (records, value_bytes) =
                        (random.between(1..=4) as i64, random.between(0..=900) as usize);
                    self.append(session, partition, records, value_bytes, step as u64).await;
                }
            }
        }
    }

    pub async fn wait_until_promised(&self, session: &Session, partition: i32) {
        let log = &session.logs[&partition];
        let store = self.store_of(session, partition);
        let end = log.log_end_offset();
        while log.durable_end_offset() < end && store.failure().is_none() {
            session.env.sleep_until(session.env.now() + std::time::Duration::from_micros(200)).await;
        }
    }

    pub async fn wait_until_all_promised(&self, session: &Session) {
        for partition in 0..self.partitions {
            self.wait_until_promised(session, partition).await;
        }
    }

    /// Deletes below some offset that was promised; mostly there is a segment or two below it.
    async fn delete_somewhere(&self, session: &Session, partition: i32, random: &mut Random) {
        let log = &session.logs[&partition];
        let (start, end) = (log.log_start_offset().0, log.durable_end_offset().0);
        self.delete_to(session, partition, start + random.below((end - start) as u64 + 1) as i64).await;
    }

    /// Deletes below an offset that was promised.
    pub async fn delete_to(&self, session: &Session, partition: i32, to: i64) {
        let (log, start) = (&session.logs[&partition], session.logs[&partition].log_start_offset().0);
        let end = log.durable_end_offset().0;
        {
            let mut model = self.model.borrow_mut();
            let model = model.entry(partition).or_default();
            model.start_max = model.start_max.max(to);
        }
        if log.advance_log_start(Offset(to)).await.is_ok() {
            assert_eq!(log.log_start_offset(), Offset(to.max(start)), "nobody else deletes");
            self.model.borrow_mut().get_mut(&partition).expect("just there").start = to;
            if to > 0 {
                let below = log.plan_read(Offset(to - 1), Offset(end), 1, AtLeastOne::Batch);
                assert!(matches!(below, Err(ReadError::OffsetOutOfRange { .. })), "deleted is not read");
            }
        }
    }

    /// Gives up segments by some limit, and compares with what the limits say of the model.
    pub async fn retire_somewhere(&self, session: &Session, partition: i32, random: &mut Random) {
        let log = &session.logs[&partition];
        if self.leaves_gaps {
            // Within left-out offsets the log only estimates what lies above the high watermark.
            self.wait_until_promised(session, partition).await;
        }
        let high_watermark = log.durable_end_offset();
        let before = self.segments_of_model(log, partition);
        let now = session.env.wall_clock();
        let total: u64 = before.iter().map(|segment| segment.bytes).sum();
        let youngest_to_go = before.get(random.index(before.len() + 1)).map_or(0, |segment| segment.youngest);
        let retention = match random.below(3) {
            0 => Retention { bytes_max: Some(random.below(total + 2)), age_ms_max: None },
            1 => Retention { bytes_max: None, age_ms_max: Some(now.0 - youngest_to_go - 1) },
            _ => Retention {
                bytes_max: Some(random.below(total + 2)),
                age_ms_max: Some(now.0 - youngest_to_go - 1),
            },
        };
        let may_go = |segment: &&ModelSegment| segment.end <= high_watermark.0 && segment.bytes > 0;
        // What is not promised may be lost: it does not count as kept. The log's own figure must be exact.
        let uncommitted: u64 = self.model.borrow().get(&partition).map_or(0, |log| {
            let above = log.batches.iter().filter(|batch| batch.base >= high_watermark.0);
            above.map(|batch| batch.bytes.len() as u64).sum()
        });
        let (mut left, mut start) = (total - uncommitted, log.log_start_offset().0);
        let mut going = before.iter().take_while(may_go).peekable();
        while let Some(segment) = going.next_if(|segment| {
            let stays = left.checked_sub(segment.bytes);
            retention.bytes_max.is_some_and(|bytes_max| stays.is_some_and(|stays| stays >= bytes_max))
        }) {
            (left, start) = (left - segment.bytes, start.max(segment.end));
        }
        let is_old = |segment: &ModelSegment| {
            retention.age_ms_max.is_some_and(|age_max| now.0 - segment.youngest > age_max)
        };
        while let Some(segment) = going.next_if(|segment| is_old(segment)) {
            start = start.max(segment.end);
        }
        {
            let mut model = self.model.borrow_mut();
            let model = model.entry(partition).or_default();
            model.start_max = model.start_max.max(start);
        }
        if log.retire_segments(&retention, high_watermark).await.is_ok() {
            assert_eq!(log.log_start_offset().0, start, "{retention:?} of {before:?} up to {high_watermark}");
            self.model.borrow_mut().get_mut(&partition).expect("just there").start = start;
        }
    }

    /// The segments of a log that are not passed, with what the model says of their records.
    fn segments_of_model(&self, log: &PartitionLog<Env>, partition: i32) -> Vec<ModelSegment> {
        let segments = log.segments();
        let ends =
            segments.iter().skip(1).map(|segment| segment.base_offset.0).chain([log.log_end_offset().0]);
        let model = self.model.borrow();
        let batches = model.get(&partition).map_or(&[][..], |log| &log.batches);
        let of_model = |(segment, end): (&SegmentSummary, i64)| {
            let within = batches.iter().filter(|batch| (segment.base_offset.0..end).contains(&batch.base));
            let bytes = within.clone().map(|batch| batch.bytes.len() as u64).sum();
            assert_eq!(bytes, segment.size_bytes, "the size of segment {}", segment.base_offset);
            let youngest = within.map(|batch| 1_000 + batch.next - 1).max().unwrap_or_default();
            ModelSegment { end, bytes, youngest }
        };
        let all: Vec<_> = segments.iter().zip(ends).map(of_model).collect();
        let passed = all.iter().rev().skip(1).rev().filter(|segment| segment.end <= log.log_start_offset().0);
        let passed = passed.count();
        all.into_iter().skip(passed).collect()
    }

    async fn read_somewhere(&self, log: &PartitionLog<Env>, partition: i32, random: &mut Random) {
        let (start, end) = (log.log_start_offset().0, log.log_end_offset().0);
        let from = start + random.below((end - start) as u64 + 1) as i64;
        self.read_at(log, partition, from, random.between(1..=30_000) as usize).await;
    }

    /// Reads once, and compares with the model.
    pub async fn read_at(&self, log: &PartitionLog<Env>, partition: i32, from: i64, bytes_max: usize) {
        let end = log.log_end_offset().0;
        let read = log.plan_read(Offset(from), Offset(end), bytes_max, AtLeastOne::Batch).expect("in range");
        let read = match read.execute().await {
            Ok(read) => read,
            Err(ReadError::Disk(_)) if self.reads_may_fail => return,
            Err(error) => panic!("partition {partition} from {from}: {error}"),
        };
        let bytes: Vec<u8> = read.slices.iter().flat_map(|slice| slice.to_vec()).collect();
        assert_eq!(bytes.len(), read.bytes);
        let expected = self.model.borrow()[&partition].bytes_from(from);
        assert!(from == end || !bytes.is_empty(), "partition {partition} has something at {from}");
        assert!(
            expected.starts_with(&bytes),
            "partition {partition} from {from} of {end}: found {:?}, expected {:?}",
            offsets(&bytes),
            offsets(&expected)
        );
        if let Some((_, last)) = offsets(&bytes).last() {
            assert_eq!(read.end_offset.0, *last, "where the records read end");
        }
        let first_bytes = self.model.borrow()[&partition]
            .batches
            .iter()
            .find(|batch| batch.next > from)
            .map_or(0, |batch| batch.bytes.len());
        assert!(
            bytes.len() <= bytes_max.max(first_bytes),
            "partition {partition}: {} of {bytes_max}",
            bytes.len()
        );
    }
}

/// The first and the next offset of every batch.
fn offsets(mut bytes: &[u8]) -> Vec<(i64, i64)> {
    let mut found = Vec::new();
    while let Ok((batch, rest)) = RawBatch::split_first(bytes) {
        found.push((batch.header().base_offset().0, batch.header().next_offset().0));
        bytes = rest;
    }
    found
}

/// Every batch of a log from `from` on.
pub async fn read_all(log: &PartitionLog<Env>, from: i64, end: i64) -> Vec<u8> {
    read_all_of(log, from, end, 0).await
}

/// As [`read_all`], asking again where the disk refuses so many reads.
async fn read_all_of(log: &PartitionLog<Env>, from: i64, end: i64, mut refusals_max: usize) -> Vec<u8> {
    let (mut from, mut bytes) = (from, Vec::new());
    while from < end {
        let plan = log.plan_read(Offset(from), Offset(end), 16 << 10, AtLeastOne::Batch).expect("in range");
        let read = match plan.execute().await {
            Ok(read) => read,
            Err(ReadError::Disk(_)) if refusals_max > 0 => {
                refusals_max -= 1;
                continue;
            }
            Err(error) => panic!("from {from}: {error}"),
        };
        let piece: Vec<u8> = read.slices.iter().flat_map(|slice| slice.to_vec()).collect();
        assert!(!piece.is_empty(), "nothing at {from} of {end}");
        let mut rest = piece.as_slice();
        while !rest.is_empty() {
            let (batch, after) = RawBatch::split_first(rest).expect("whole batches");
            batch.verify_checksum().expect("verified bytes");
            assert!(batch.header().next_offset().0 > from, "offsets grow");
            from = batch.header().next_offset().0;
            rest = after;
        }
        bytes.extend(piece);
    }
    bytes
}
