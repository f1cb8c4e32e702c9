//! Old segments are given up as a whole, an idle log becomes empty, and what is not known is looked at, no more.

mod support;

use std::path::Path;
use std::time::Duration;

use ringlog_core::ids::{LeaderEpoch, Offset};
use ringlog_core::record_batch::{BatchBuilder, validate_stored};
use ringlog_core::time::Timestamp;
use ringlog_runtime::environment::Environment;
use ringlog_runtime::memory::{MemoryWorld, Options};
use ringlog_storage::{LogConfig, PartitionLog, ReadError, Retention, RetireError, RetirementReason};
use support::{DATA_DIR, Env, Session, Setup};

const NOTHING_OLDER: Retention = Retention { age_ms_max: Some(1_000), bytes_max: None };

async fn segment_files(env: &Env) -> Vec<i64> {
    let entries = env.list_directory(&Path::new(DATA_DIR).join("topic-0")).await.expect("a directory");
    let logs = entries.iter().filter_map(|entry| entry.name.strip_suffix(".log"));
    let mut found: Vec<i64> = logs.map(|name| name.parse().expect("a number")).collect();
    found.sort_unstable();
    found
}

async fn sleep(session: &Session, duration: Duration) {
    session.env.sleep_until(session.env.now() + duration).await;
}

/// Appends one record and makes it stable.
async fn append_at(session: &Session, timestamp: Timestamp) {
    append_in(session, timestamp, LeaderEpoch::UNKNOWN).await;
}

async fn append_in(session: &Session, timestamp: Timestamp, epoch: LeaderEpoch) {
    let log = &session.logs[&0];
    log.ready().await.expect("open");
    let bytes = BatchBuilder::new()
        .leader_epoch(epoch)
        .at(log.log_end_offset())
        .record_with(timestamp, None, Some(b"x"), &[])
        .build();
    log.append(&validate_stored(&bytes).expect("a batch").keep_offsets()).expect("there is room");
    while log.durable_end_offset() < log.log_end_offset() {
        sleep(session, Duration::from_micros(100)).await;
    }
}

/// Gives up what is older than a second; how many segments went.
async fn retire(log: &PartitionLog<Env>) -> usize {
    let retired =
        log.retire_segments(&NOTHING_OLDER, log.durable_end_offset()).await.expect("nothing is broken");
    assert!(retired.iter().all(|retired| retired.reason == RetirementReason::Age));
    retired.len()
}

/// A session whose log the model does not watch.
async fn open(setup: &Setup, world: &MemoryWorld) -> Session {
    let mut session = Setup { partitions: 0, ..setup.clone() }.open(world).await;
    let log = setup.create(&session, 0).await;
    session.logs.insert(0, log);
    session
}

fn bases(log: &PartitionLog<Env>) -> Vec<i64> {
    log.segments().iter().map(|segment| segment.base_offset.0).collect()
}

#[test]
fn an_idle_log_becomes_empty_and_goes_on_where_it_was() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = open(&setup, &world).await;
        let log = &session.logs[&0];
        append_at(&session, session.env.wall_clock()).await;
        assert_eq!(retire(log).await, 0);
        sleep(&session, Duration::from_secs(2)).await;
        assert_eq!(retire(log).await, 1, "the active segment too");
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(1), Offset(1)));
        sleep(&session, Duration::from_secs(2)).await;
        assert_eq!(retire(log).await, 0, "an empty segment stays");
        assert_eq!(bases(log), [1]);
        append_at(&session, session.env.wall_clock()).await;
        assert_eq!(
            segment_files(&session.env).await.first(),
            None,
            "the old file went, the new one is to come"
        );
    });
    world.crash();
    world.run_until(async {
        let session = open(&setup, &world).await;
        let log = &session.logs[&0];
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(1), Offset(2)));
        assert_eq!(segment_files(&session.env).await, [1]);
    });
}

#[test]
fn records_above_the_high_watermark_stay() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = open(&setup, &world).await;
        let log = &session.logs[&0];
        for _ in 0..3 {
            append_at(&session, Timestamp(5)).await;
            log.roll();
        }
        let everything = Retention { bytes_max: Some(0), ..NOTHING_OLDER };
        let retired = log.retire_segments(&everything, Offset(2)).await.expect("retired");
        assert_eq!(retired.len(), 2);
        assert!(retired.iter().all(|retired| retired.reason == RetirementReason::Size));
        assert_eq!(log.log_start_offset(), Offset(2));
    });
}

#[test]
fn files_stay_for_the_delay_and_a_start_does_not_wait_for_it() {
    let world = MemoryWorld::new(1, Options::quiet());
    let mut setup = Setup::tiny(1, 1);
    setup.log_config = LogConfig { file_delete_delay: Duration::from_secs(60), ..setup.log_config };
    world.run_until(async {
        let session = open(&setup, &world).await;
        let log = &session.logs[&0];
        for _ in 0..2 {
            append_at(&session, Timestamp(5)).await;
            assert_eq!(retire(log).await, 1);
        }
        append_at(&session, session.env.wall_clock()).await;
        session.stores[0].checkpoint().await.expect("written");
        sleep(&session, Duration::from_secs(58)).await;
        assert_eq!(segment_files(&session.env).await, [0, 1, 2]);
        sleep(&session, Duration::from_secs(4)).await;
        assert_eq!(segment_files(&session.env).await, [2]);
        log.roll();
        append_at(&session, session.env.wall_clock()).await;
        let one = Retention { age_ms_max: None, bytes_max: Some(1) };
        assert_eq!(log.retire_segments(&one, log.log_end_offset()).await.expect("retired").len(), 1);
        sleep(&session, Duration::from_secs(30)).await;
        assert_eq!(segment_files(&session.env).await, [2, 3]);
    });
    world.crash();
    world.run_until(async {
        let session = open(&setup, &world).await;
        assert_eq!(segment_files(&session.env).await, [3], "it knows them by the log's start");
        assert_eq!(session.logs[&0].log_start_offset(), Offset(3));
    });
}

#[test]
fn a_start_looks_at_the_oldest_segment_only_and_at_no_file_of_a_log_without_sealed_ones() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = open(&setup, &world).await;
        for _ in 0..5 {
            append_at(&session, session.env.wall_clock()).await;
            append_at(&session, Timestamp(session.env.wall_clock().0 + 1)).await;
            session.logs[&0].roll();
        }
        append_at(&session, session.env.wall_clock()).await;
        session.stores[0].close().await.expect("closed");
    });
    world.kill();
    world.run_until(async {
        let session = open(&setup, &world).await;
        let log = &session.logs[&0];
        let known =
            || log.segments().iter().map(|segment| segment.max_timestamp.is_some()).collect::<Vec<_>>();
        assert_eq!(known(), [false, false, false, false, false, true]);
        let forever = Retention { age_ms_max: Some(3_600_000), bytes_max: None };
        let retired = log.retire_segments(&forever, log.log_end_offset()).await.expect("looked");
        assert_eq!(retired.len(), 0);
        assert_eq!(known(), [true, false, false, false, false, true]);
        let small = Retention { age_ms_max: None, bytes_max: Some(0) };
        assert_eq!(log.retire_segments(&small, Offset(8)).await.expect("no need to look").len(), 4);
    });
}

const TIME_INDEX: &str = "/data/topic-0/00000000000000000000.timeindex";

/// A sealed segment of records with these timestamps and one of now among them, each with an entry in both indexes, and another behind it.
fn with_a_young_record(world: &MemoryWorld, setup: &Setup, before: &[i64], behind: &[i64]) {
    world.run_until(async {
        let session = open(setup, world).await;
        for timestamp in before {
            append_at(&session, Timestamp(*timestamp)).await;
        }
        append_at(&session, session.env.wall_clock()).await;
        for timestamp in behind {
            append_at(&session, Timestamp(*timestamp)).await;
        }
        session.logs[&0].roll();
        append_at(&session, session.env.wall_clock()).await;
        session.stores[0].close().await.expect("closed");
    });
    world.kill();
}

fn indexed_setup() -> Setup {
    let setup = Setup::tiny(1, 1);
    let log_config = LogConfig { index_interval_bytes: 0, segment_ms: i64::MAX, ..setup.log_config.clone() };
    Setup { log_config, ..setup }
}

/// What is given up of a log whose records of an hour are to be kept.
fn retired_of_an_hour(world: &MemoryWorld, setup: &Setup) -> usize {
    world.run_until(async {
        let session = open(setup, world).await;
        let log = &session.logs[&0];
        let young = Retention { age_ms_max: Some(3_600_000), bytes_max: None };
        log.retire_segments(&young, log.log_end_offset()).await.expect("looked").len()
    })
}

#[test]
fn a_lost_or_cut_time_index_is_made_again_from_the_records() {
    for behind in [&[][..], &[5, 5, 5]] {
        for cut_to in [None, Some(0), Some(5), Some(12), Some(13), Some(24)] {
            let (world, setup) = (MemoryWorld::new(1, Options::quiet()), indexed_setup());
            with_a_young_record(&world, &setup, &[5, 6, 7], behind);
            assert_eq!(world.disk().read(TIME_INDEX).expect("there").len(), 36);
            match cut_to {
                Some(length) => world.disk().truncate(TIME_INDEX, length),
                None => world.run_until(async {
                    setup.environment(&world, 0).remove_file(Path::new(TIME_INDEX)).await.expect("there");
                }),
            }
            let retired = retired_of_an_hour(&world, &setup);
            assert_eq!(retired, 0, "cut to {cut_to:?}: its youngest record is young");
        }
    }
}

#[test]
fn no_flipped_bit_of_a_time_index_makes_a_young_segment_old() {
    for behind in [&[][..], &[5, 5, 5]] {
        for bit in 0..36 * 8 {
            let (world, setup) = (MemoryWorld::new(1, Options::quiet()), indexed_setup());
            with_a_young_record(&world, &setup, &[5, 6, 7], behind);
            world.disk().corrupt(TIME_INDEX, bit / 8, 1 << (bit % 8));
            assert_eq!(retired_of_an_hour(&world, &setup), 0, "bit {bit}: its youngest record is young");
        }
    }
}

#[test]
fn a_segment_whose_age_cannot_be_proven_ages_from_its_last_write() {
    let (world, setup) = (MemoryWorld::new(1, Options::quiet()), indexed_setup());
    world.run_until(async {
        let session = open(&setup, &world).await;
        for timestamp in [5, 6, 7] {
            append_at(&session, Timestamp(timestamp)).await;
        }
        session.logs[&0].roll();
        append_at(&session, session.env.wall_clock()).await;
        session.stores[0].close().await.expect("closed");
    });
    world.kill();
    // In the last record; its index says that it is old.
    let log = "/data/topic-0/00000000000000000000.log";
    let length = world.disk().read(log).expect("there").len() as u64;
    world.disk().corrupt(log, length - 2, 1);
    world.run_until(async {
        let session = open(&setup, &world).await;
        assert_eq!(retire(&session.logs[&0]).await, 0);
        sleep(&session, Duration::from_secs(2)).await;
        assert_eq!(retire(&session.logs[&0]).await, 2);
    });
}

#[test]
fn records_without_timestamps_age_from_the_last_write_to_their_segment_over_a_restart() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = open(&setup, &world).await;
        append_at(&session, Timestamp::NONE).await;
        session.logs[&0].roll();
        append_at(&session, Timestamp::NONE).await;
        assert_eq!(retire(&session.logs[&0]).await, 0);
        session.stores[0].close().await.expect("closed");
    });
    world.kill();
    world.run_until(async {
        let session = open(&setup, &world).await;
        let log = &session.logs[&0];
        assert_eq!(retire(log).await, 0);
        sleep(&session, Duration::from_secs(2)).await;
        assert_eq!(retire(log).await, 2);
        append_at(&session, Timestamp::NONE).await;
        assert_eq!(retire(log).await, 0);
        sleep(&session, Duration::from_secs(2)).await;
        assert_eq!(retire(log).await, 1);
    });
}

#[test]
fn l7_leader_epochs_below_the_start_are_cut_from_the_checkpoint_file_too() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = Setup::tiny(1, 1);
    let epochs = || {
        let file = world.disk().read("/data/topic-0/leader-epoch-checkpoint");
        String::from_utf8(file.expect("a checkpoint wrote it")).expect("text")
    };
    world.run_until(async {
        let session = open(&setup, &world).await;
        let log = &session.logs[&0];
        for epoch in [3, 5, 5, 8] {
            append_in(&session, Timestamp(5), LeaderEpoch(epoch)).await;
            log.roll();
        }
        session.stores[0].checkpoint().await.expect("written");
        assert_eq!(epochs(), "0\n3\n3 0\n5 1\n8 3\n");
        let first_two = log.retire_segments(&NOTHING_OLDER, Offset(2)).await.expect("retired");
        assert_eq!(first_two.len(), 2);
        session.stores[0].checkpoint().await.expect("written");
        assert_eq!(epochs(), "0\n2\n5 2\n8 3\n");
        assert_eq!(log.epoch_end_offset(LeaderEpoch(5)), Some((LeaderEpoch(5), Offset(3))));
    });
}

#[test]
fn a_sealed_segment_has_both_indexes_however_small_it_is() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = open(&setup, &world).await;
        append_at(&session, Timestamp::NONE).await;
        session.logs[&0].roll();
        append_at(&session, Timestamp(7)).await;
        session.stores[0].checkpoint().await.expect("written");
        let length = |kind: &str| {
            let path = format!("/data/topic-0/00000000000000000000.{kind}");
            world.disk().read(path).map(|bytes| bytes.len())
        };
        assert_eq!((length("index"), length("timeindex")), (Some(0), Some(0)));
    });
}

#[test]
fn a_closed_log_gives_up_nothing() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = open(&setup, &world).await;
        append_at(&session, Timestamp(5)).await;
        let log = &session.logs[&0];
        session.stores[0].delete_log(log).await.expect("deleted");
        let refused = log.retire_segments(&NOTHING_OLDER, Offset(1)).await;
        assert!(matches!(refused, Err(RetireError::Advance(_))), "{refused:?}");
    });
}

/// Three segments of thirty batches each, the second with a damaged batch and without its time index.
fn with_a_damaged_segment(world: &MemoryWorld, setup: &Setup) {
    world.run_until(async {
        let session = setup.open(world).await;
        for _ in 0..3 {
            for salt in 0..30 {
                assert!(setup.append(&session, 0, 1, 300, salt).await);
            }
            setup.wait_until_promised(&session, 0).await;
            session.logs[&0].roll();
        }
        session.stores[0].close().await.expect("closes");
        let path = Path::new(DATA_DIR).join("topic-0/00000000000000000030");
        session.env.remove_file(&path.with_extension("timeindex")).await.expect("there");
        world.disk().corrupt(path.with_extension("log"), 5_000, 1);
    });
    world.kill();
}

#[test]
fn a_damaged_segment_without_a_time_index_hinders_neither_retention_nor_look_ups_elsewhere() {
    for retention in [NOTHING_OLDER, Retention { bytes_max: Some(15_000), ..NOTHING_OLDER }] {
        let world = MemoryWorld::new(1, Options::quiet());
        let setup = Setup { log_config: LogConfig::default(), ..Setup::tiny(1, 1) };
        with_a_damaged_segment(&world, &setup);
        world.run_until(async {
            let session = open(&setup, &world).await;
            let log = &session.logs[&0];
            assert_eq!(bases(log)[..3], [0, 30, 60]);
            let found =
                log.offset_for_timestamp(Timestamp(1_010), Offset(90)).await.expect("before the damage");
            assert_eq!(found.expect("there").offset, Offset(10));
            let reached = log.offset_for_timestamp(Timestamp(1_080), Offset(90)).await;
            assert!(matches!(reached, Err(ReadError::Damaged(_))), "it may hold it: {reached:?}");
            // By its records' timestamps it is very old; by its last write not yet.
            let young = log.retire_segments(&retention, Offset(90)).await.expect("nothing is in the way");
            assert_eq!(young.len(), 1);
            sleep(&session, Duration::from_secs(10)).await;
            let old = log.retire_segments(&retention, Offset(90)).await.expect("nothing is in the way");
            assert_eq!(old.len(), 2);
            assert_eq!(log.log_start_offset(), Offset(90));
        });
    }
}
