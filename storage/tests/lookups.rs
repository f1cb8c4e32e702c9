//! Reading by offset and by time, given offsets with gaps, indexes kept and lost, directories made and deleted.

mod support;

use std::path::Path;

use proptest::prelude::*;
use ringlog_core::ids::{LeaderEpoch, Offset, TopicId, TopicPartition};
use ringlog_core::record_batch::{BatchBuilder, validate_stored};
use ringlog_core::time::Timestamp;
use ringlog_runtime::environment::{Environment, File, OpenMode, TaskClass, WriteSync};
use ringlog_runtime::memory::{MemoryWorld, Options, Random, seeds};
use ringlog_storage::format::index::{OffsetEntry, TimeEntry, parse_index};
use ringlog_storage::{AppendError, AtLeastOne, LogIdentity, PartitionLog, ReadError};
use support::{Env, Session, Setup};

/// Appends a batch whose records have these timestamps.
async fn append_timed(log: &PartitionLog<Env>, base: i64, timestamps: &[i64]) {
    log.ready().await.unwrap();
    let mut builder = BatchBuilder::new().at(Offset(base)).leader_epoch(LeaderEpoch(3));
    for timestamp in timestamps {
        builder = builder.record_with(Timestamp(*timestamp), None, Some(&[7; 120]), &[]);
    }
    let bytes = builder.build();
    log.append_given(&validate_stored(&bytes).unwrap().keep_offsets()).unwrap();
}

fn model_search(records: &[(i64, i64)], timestamp: i64, end: i64) -> Option<(i64, i64)> {
    records.iter().copied().find(|(offset, own)| *own >= timestamp && *offset < end)
}

fn model_max(records: &[(i64, i64)], end: i64) -> Option<(i64, i64)> {
    let max = records.iter().filter(|(offset, _)| *offset < end).map(|(_, own)| *own).max()?;
    records.iter().copied().find(|(_, own)| *own == max)
}

async fn check_times(log: &PartitionLog<Env>, records: &[(i64, i64)], end: i64) {
    for timestamp in [0, 1, 37, 250, 333, 499, 500, 1000] {
        let found = log.offset_for_timestamp(Timestamp(timestamp), Offset(end)).await.unwrap();
        let found = found.map(|found| (found.offset.0, found.timestamp.0));
        assert_eq!(
            found,
            model_search(records, timestamp, end),
            "first at or after {timestamp}, below {end}"
        );
    }
    let found = log.offset_of_max_timestamp(Offset(end)).await.unwrap();
    assert_eq!(
        found.map(|found| (found.offset.0, found.timestamp.0)),
        model_max(records, end),
        "max below {end}"
    );
}

// L2, L3, L8, L1
#[test]
fn records_are_found_by_time_in_offset_order_whatever_the_order_of_their_timestamps() {
    for seed in seeds(40) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup::tiny(1, 1);
        let mut random = Random::from_seed(seed);
        let mut records: Vec<(i64, i64)> = Vec::new();
        world.run_until(async {
            let session = Setup { partitions: 0, ..setup.clone() }.open(&world).await;
            let log = &setup.create(&session, 0).await;
            for _ in 0..60 {
                let timestamps: Vec<i64> =
                    (0..random.between(1..=4)).map(|_| random.below(500) as i64).collect();
                let base = records.len() as i64;
                append_timed(log, base, &timestamps).await;
                records.extend(timestamps.iter().enumerate().map(|(at, own)| (base + at as i64, *own)));
                if random.below(12) == 0 {
                    log.roll();
                }
            }
            let end = records.len() as i64;
            check_times(log, &records, end).await;
            check_times(log, &records, end / 2).await;
            session.stores[0].close().await.unwrap();
        });
        world.kill();
        // And again from the files alone, with indexes as a start finds them and with all of them lost.
        for lost in [false, true] {
            let env = setup.environment(&world, 0);
            world.run_until(async {
                for (path, _) in world.disk().files() {
                    if lost && path.ends_with("index") {
                        env.remove_file(Path::new(&path)).await.unwrap();
                    }
                }
            });
            world.run_until(async {
                let session = Setup { partitions: 0, ..setup.clone() }.open(&world).await;
                let log = setup.create(&session, 0).await;
                check_times(&log, &records, records.len() as i64).await;
                for from in 0..records.len() as i64 {
                    let plan =
                        log.plan_read(Offset(from), log.log_end_offset(), 1, AtLeastOne::Batch).unwrap();
                    assert!(plan.execute().await.unwrap().bytes > 0, "offset {from}");
                }
                session.stores[0].close().await.unwrap();
            });
            world.kill();
        }
    }
}

#[test]
fn indexes_hold_what_kafka_would_have_written() {
    let world = MemoryWorld::new(1, Options::quiet());
    let mut setup = Setup::tiny(1, 1);
    (setup.log_config.segment_bytes, setup.log_config.index_interval_bytes) = (1 << 20, 1000);
    world.run_until(async {
        let session = setup.open(&world).await;
        for salt in 0..40 {
            assert!(setup.append(&session, 0, 2, 300, salt).await);
        }
        session.stores[0].close().await.unwrap();
    });
    let (mut offsets, mut times, mut position, mut since) = (vec![], vec![], 0u32, 0);
    let model = setup.model.borrow();
    for batch in &model[&0].batches {
        let size = batch.bytes.len() as u32;
        if since > 1000 {
            offsets.push(OffsetEntry { last_offset: Offset(batch.next - 1), position });
            times.push(TimeEntry {
                timestamp: Timestamp(1000 + batch.next - 1),
                last_offset: Offset(batch.next - 1),
            });
            since = 0;
        }
        (position, since) = (position + size, since + size);
    }
    let end = model[&0].end();
    if times.last().unwrap().last_offset.0 != end - 1 {
        times.push(TimeEntry { timestamp: Timestamp(1000 + end - 1), last_offset: Offset(end - 1) });
    }
    let read = |name: &str| world.disk().read(format!("/data/topic-0/00000000000000000000.{name}")).unwrap();
    assert_eq!(read("log"), model[&0].bytes_from(0), "a closed segment is its batches and nothing else");
    assert_eq!(read("index").len(), offsets.len() * 8);
    assert_eq!(parse_index::<OffsetEntry>(Offset(0), &read("index")), Some(offsets));
    assert_eq!(parse_index::<TimeEntry>(Offset(0), &read("timeindex")), Some(times));
    assert_eq!(world.disk().read("/data/topic-0/leader-epoch-checkpoint").unwrap(), b"0\n2\n0 0\n1 40\n");
    let metadata = format!("version: 0\ntopic_id: {}\n", support::id(0).topic);
    assert_eq!(world.disk().read("/data/topic-0/partition.metadata").unwrap(), metadata.as_bytes());
}

/// Appends batches with gaps between them; the model's offsets say where.
async fn append_with_gaps(session: &Session, random: &mut Random, count: usize) -> Vec<(i64, i64)> {
    let log = &session.logs[&0];
    let mut batches = Vec::new();
    for salt in 0..count {
        log.ready().await.unwrap();
        let gap = if random.coin() { random.below(50) as i64 } else { 0 };
        let base = log.log_end_offset().0 + gap;
        let value_bytes = if random.below(6) == 0 { 9_000 } else { random.below(400) as usize };
        let bytes = support::batch(base, 2, value_bytes, salt as u64);
        log.append_given(&validate_stored(&bytes).unwrap().keep_offsets()).unwrap();
        batches.push((base, base + 2));
        if random.below(10) == 0 {
            log.roll();
        }
    }
    batches
}

async fn check_gaps(log: &PartitionLog<Env>, batches: &[(i64, i64)]) {
    let end = log.log_end_offset();
    for from in 0..end.0 {
        let plan = log.plan_read(Offset(from), end, 1, AtLeastOne::Batch).unwrap();
        let read = plan.execute().await.unwrap_or_else(|error| panic!("from {from}: {error}"));
        let header: Vec<u8> = read.slices[0].to_vec();
        let base = i64::from_be_bytes(header[..8].try_into().unwrap());
        let expected = batches.iter().find(|(_, next)| *next > from).unwrap();
        assert_eq!(base, expected.0, "from {from}");
    }
}

#[test]
fn offsets_left_out_stay_left_out_across_memory_files_and_crashes() {
    for seed in seeds(60) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup::tiny(1, 1);
        let mut random = Random::from_seed(seed);
        let (batches, promised) = world.run_until(async {
            let session = Setup { partitions: 0, ..setup.clone() }.open(&world).await;
            let mut session = session;
            session.logs.insert(0, setup.create(&session, 0).await);
            setup.model.borrow_mut().entry(0).or_default().batches.push(support::ModelBatch {
                base: 0,
                next: i64::MAX,
                bytes: vec![],
            });
            let batches = append_with_gaps(&session, &mut random, 30).await;
            check_gaps(&session.logs[&0], &batches).await;
            if random.coin() {
                setup.wait_until_promised(&session, 0).await;
            }
            (batches, setup.model.borrow()[&0].promised)
        });
        world.crash();
        world.run_until(async {
            let session = Setup { partitions: 0, ..setup.clone() }.open(&world).await;
            assert_eq!(session.recovered.damaged().count(), 0, "seed {seed}");
            let log = setup.create(&session, 0).await;
            let end = log.log_end_offset().0;
            assert!(end >= promised, "seed {seed}: {end} of {promised}");
            let kept: Vec<_> = batches.iter().copied().filter(|(_, next)| *next <= end).collect();
            assert_eq!(kept.last().map_or(0, |(_, next)| *next), end, "seed {seed}");
            check_gaps(&log, &kept).await;
        });
    }
}

#[test]
fn offsets_and_epochs_that_go_back_are_refused() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = Setup { partitions: 0, ..setup.clone() }.open(&world).await;
        let log = &setup.create(&session, 0).await;
        append_timed(log, 10, &[1, 2]).await;
        let old = BatchBuilder::new().at(Offset(11)).leader_epoch(LeaderEpoch(3)).record(None, None).build();
        let result = log.append_given(&validate_stored(&old).unwrap().keep_offsets());
        assert!(matches!(
            result,
            Err(AppendError::OffsetWentBack { log_end_offset: Offset(12), found: Offset(11) })
        ));
        let old = BatchBuilder::new().at(Offset(12)).leader_epoch(LeaderEpoch(2)).record(None, None).build();
        let result = log.append_given(&validate_stored(&old).unwrap().keep_offsets());
        assert!(matches!(result, Err(AppendError::EpochWentBack { .. })));
        assert_eq!(log.log_end_offset(), Offset(12));
        for (from, fits) in [(-1, false), (0, true), (12, true), (13, false)] {
            let plan = log.plan_read(Offset(from), Offset(12), 10, AtLeastOne::Nothing);
            assert_eq!(plan.is_ok(), fits, "offset {from}");
            assert!(fits || matches!(plan, Err(ReadError::OffsetOutOfRange { .. })));
        }
    });
}

#[test]
fn a_deleted_log_is_gone_and_its_name_is_free() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = Setup::tiny(2, 1);
    let successor = TopicPartition { topic: TopicId::from_random(8, 8), ..support::id(0) };
    let identity = LogIdentity { topic: "topic".into(), id: successor };
    world.run_until(async {
        let session = setup.open(&world).await;
        for partition in [0, 1] {
            assert!(setup.append(&session, partition, 2, 5_000, 1).await);
        }
        session.stores[0].delete_log(&session.logs[&0]).await.unwrap();
        setup.model.borrow_mut().remove(&0);
        let read = session.logs[&0].plan_read(Offset(0), Offset(1), 10, AtLeastOne::Batch);
        assert!(matches!(read, Err(ReadError::Closed)));
        let log = session.stores[0].create_log(identity.clone(), setup.log_config.clone()).await.unwrap();
        assert_eq!(log.log_end_offset(), Offset(0));
        session.env.sleep_until(session.env.now() + std::time::Duration::from_secs(5)).await;
        let left: Vec<String> = world.disk().files().into_iter().map(|(path, _)| path).collect();
        assert!(!left.iter().any(|path| path.contains("-delete")), "{left:?}");
        setup.wait_until_promised(&session, 1).await;
    });
    world.crash();
    let others = Setup { partitions: 0, ..setup.clone() };
    world.run_until(async {
        let session = others.open(&world).await;
        let ids: Vec<_> = session.recovered.partitions().collect();
        assert_eq!((ids.len(), session.recovered.damaged().count()), (2, 0), "{ids:?}");
        // A topic of that name again, whose predecessor nobody deleted: it is moved aside, with its records.
        let third = LogIdentity { id: support::id(0), ..identity };
        let log = session.stores[0].create_log(third, setup.log_config.clone()).await.unwrap();
        assert_eq!(log.log_end_offset(), Offset(0));
        assert!(
            world
                .disk()
                .files()
                .iter()
                .any(|(path, _)| path.contains("topic-0.") && path.contains("-stray/"))
        );
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    // The model is a vector of batches; `work` compares every read with it.
    #[test]
    fn a_log_reads_like_a_vector(seed in any::<u64>(), segment_kib in 9u64..64, interval in 0u64..4000) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let mut setup = Setup::tiny(2, 1);
        (setup.log_config.segment_bytes, setup.log_config.index_interval_bytes) = (segment_kib << 10, interval);
        let mut random = Random::from_seed(seed);
        for _ in 0..2 {
            world.run_until(async {
                let session = setup.open(&world).await;
                setup.work(&session, &mut random, 120).await;
                for (partition, log) in &session.logs {
                    let end = log.log_end_offset().0;
                    let bytes = support::read_all(log, 0, end).await;
                    assert!(bytes == setup.model.borrow()[partition].bytes_from(0));
                    let readable = log.readable_bytes(Offset(0), Offset(end));
                    assert_eq!(readable > 0, end > 0);
                }
            });
            world.crash();
        }
    }
}

#[test]
fn a_log_made_anew_is_read_from_its_own_files_whoever_still_reads_the_former_one() {
    for seed in seeds(20) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let mut setup = Setup::tiny(1, 1);
        (setup.config.open_files_max, setup.log_config.segment_bytes) = (16, 1 << 20);
        world.run_until(async {
            let mut session = setup.open(&world).await;
            for generation in 0..8 {
                // More than stays in memory.
                for salt in 0..16 {
                    assert!(setup.append(&session, 0, 1, 5_000, 16 * generation + salt).await);
                    setup.wait_until_promised(&session, 0).await;
                }
                let log = session.logs[&0].clone();
                setup.read_at(&log, 0, 0, 8 << 10).await;
                for _ in 0..4 {
                    session
                        .env
                        .spawn(TaskClass::Network, read_until_closed(session.env.clone(), log.clone()));
                }
                session.env.sleep_until(session.env.now() + std::time::Duration::from_millis(1)).await;
                setup.make_anew(&mut session, 0).await;
            }
        });
    }
}

#[test]
fn an_index_that_is_built_anew_never_comes_to_the_log_that_has_the_name_next() {
    let (mut kept, mut dropped) = (0, 0);
    for seed in seeds(80) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup::tiny(1, 1);
        world.run_until(async {
            let session = setup.open(&world).await;
            for salt in 0..8 {
                assert!(setup.append(&session, 0, 1, 2_000, salt).await);
            }
            setup.wait_until_promised(&session, 0).await;
            session.logs[&0].roll();
            assert!(setup.append(&session, 0, 1, 10, 9).await);
            session.stores[0].close().await.unwrap();
        });
        world.kill();
        let index = Path::new("/data/topic-0/00000000000000000000.index");
        let is_there = || world.disk().read(index).is_some();
        world.run_until(async {
            let mut session = Setup { partitions: 0, ..setup.clone() }.open(&world).await;
            session.logs.insert(0, setup.create(&session, 0).await);
            session.env.remove_file(index).await.unwrap();
            // It is missed here, and written while the log is deleted and another gets its name.
            setup.read_at(&session.logs[&0].clone(), 0, 5, 2_500).await;
            let wait = std::time::Duration::from_micros(seed * 10);
            session.env.sleep_until(session.env.now() + wait).await;
            let was_there = is_there();
            (kept, dropped) = (kept + usize::from(was_there), dropped + usize::from(!was_there));
            setup.make_anew(&mut session, 0).await;
            session.env.sleep_until(session.env.now() + std::time::Duration::from_secs(1)).await;
        });
        let files = world.disk().files();
        let of_former = files.iter().map(|(path, _)| path).filter(|path| path.contains("index"));
        assert_eq!(of_former.collect::<Vec<_>>(), Vec::<&String>::new(), "seed {seed}");
    }
    assert!(kept > 0 && dropped > 0, "{kept} written before, {dropped} not");
}

/// Of a sealed segment and of the active one: every entry cut off, and a bit of every byte flipped.
#[test]
fn a_time_index_that_lies_passes_over_no_record() {
    let (world, mut setup) = (MemoryWorld::new(3, Options::quiet()), Setup::tiny(1, 1));
    setup.log_config.index_interval_bytes = 300;
    world.run_until(async {
        let session = Setup { partitions: 0, ..setup.clone() }.open(&world).await;
        let log = &setup.create(&session, 0).await;
        for base in 0..40 {
            // Now and then a little older than the one before.
            append_timed(log, base, &[1_000 + 10 * base - 25 * i64::from(base % 8 == 3)]).await;
            if base == 19 {
                log.roll();
            }
        }
        session.stores[0].close().await.unwrap();
    });
    world.kill();
    let records: Vec<(i64, i64)> =
        (0..40).map(|base| (base, 1_000 + 10 * base - 25 * i64::from(base % 8 == 3))).collect();
    for base in [0, 20] {
        let index = format!("/data/topic-0/{base:020}.timeindex");
        let whole = world.disk().read(&index).unwrap();
        assert!(whole.len() >= 5 * 12, "{} bytes are no test", whole.len());
        let cuts = (0..whole.len()).step_by(12).map(|length| whole[..length].to_vec());
        let flips = (0..whole.len()).map(|byte| {
            let mut flipped = whole.clone();
            flipped[byte] ^= 1 << (byte % 8);
            flipped
        });
        for (change, bytes) in cuts.chain(flips).enumerate() {
            world.run_until(async {
                let env = setup.environment(&world, 0);
                write_whole(&env, Path::new(&index), &bytes).await;
                let session = Setup { partitions: 0, ..setup.clone() }.open(&world).await;
                let log = setup.create(&session, 0).await;
                for timestamp in (990..1_400).step_by(5) {
                    let found = log.offset_for_timestamp(Timestamp(timestamp), Offset(40)).await.unwrap();
                    let found = found.map(|found| (found.offset.0, found.timestamp.0));
                    let expected = model_search(&records, timestamp, 40);
                    assert_eq!(found, expected, "change {change} of {index}: first at or after {timestamp}");
                }
                let youngest = log.offset_of_max_timestamp(Offset(40)).await.unwrap();
                assert_eq!(youngest.map(|found| found.offset.0), Some(39), "change {change} of {index}");
            });
            world.kill();
        }
        world
            .run_until(async { write_whole(&setup.environment(&world, 0), Path::new(&index), &whole).await });
        world.kill();
    }
}

async fn write_whole(env: &Env, path: &Path, bytes: &[u8]) {
    let file = env.open(path, OpenMode::BufferedWrite).await.unwrap();
    file.truncate(bytes.len() as u64).await.unwrap();
    if !bytes.is_empty() {
        let mut buffer = env.arena().allocate(bytes.len()).unwrap();
        buffer.extend_from_slice(bytes);
        file.write_at(0, vec![buffer.freeze()], WriteSync::BeforeCompletion).await.unwrap();
    }
}

#[test]
fn a_look_up_by_time_finds_its_record_though_the_logs_start_moves_meanwhile() {
    let (mut before, mut after) = (0, 0);
    for moment in 0..60 {
        let world = MemoryWorld::new(moment, Options::quiet());
        let setup = Setup::tiny(1, 1);
        world.run_until(async {
            let session = setup.open(&world).await;
            for salt in 0..6 {
                assert!(setup.append(&session, 0, 10, 300, salt).await);
                session.logs[&0].roll();
            }
            session.stores[0].close().await.unwrap();
        });
        world.kill();
        world.run_until(async {
            let session = Setup { partitions: 0, ..setup.clone() }.open(&world).await;
            let (env, log) = (&session.env, &setup.create(&session, 0).await);
            let end = log.log_end_offset();
            let move_start = async {
                // Step by step, and with every step files go.
                for start in [15, 25, 33] {
                    env.sleep_until(env.now() + std::time::Duration::from_micros(100 * moment)).await;
                    log.advance_log_start(Offset(start)).await.unwrap();
                }
            };
            let look = async {
                for _ in 0..4 {
                    let youngest =
                        log.offset_of_max_timestamp(end).await.unwrap_or_else(|error| panic!("{error}"));
                    assert_eq!(youngest.map(|found| found.offset), Some(Offset(59)), "moment {moment}");
                    let least = log.log_start_offset();
                    let found = log.offset_for_timestamp(Timestamp(1_005), end).await;
                    let found = found
                        .unwrap_or_else(|error| panic!("{error}"))
                        .expect("there are younger ones")
                        .offset;
                    let most = log.log_start_offset().max(Offset(5));
                    assert!((least.max(Offset(5))..=most).contains(&found), "moment {moment}: {found}");
                    let is_moved = found > Offset(5);
                    (before, after) = (before + usize::from(!is_moved), after + usize::from(is_moved));
                }
            };
            futures_util::future::join(move_start, look).await;
        });
    }
    assert!(before > 10 && after > 100, "{before} before the start moved, {after} behind");
}

/// Reads again and again what is in files, until the log is deleted.
async fn read_until_closed(env: Env, log: PartitionLog<Env>) {
    let mut from = Offset(0);
    while let Ok(plan) = log.plan_read(from, Offset(6), 12 << 10, AtLeastOne::Batch)
        && let Ok(read) = plan.execute().await
    {
        from = if read.end_offset < Offset(6) { read.end_offset } else { Offset(0) };
        env.sleep_until(env.now() + std::time::Duration::from_micros(5)).await;
    }
}
