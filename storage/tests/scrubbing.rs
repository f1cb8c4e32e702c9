//! What nobody reads is read again: damage is found within the period, told once, and nothing else is refused for it.

mod support;

use std::path::Path;
use std::time::Duration;

use ringlog_core::ids::Offset;
use ringlog_runtime::environment::Environment;
use ringlog_runtime::memory::{DiskOperation, MemoryWorld, Options};
use ringlog_storage::format::checksums::{ChecksumFile, SegmentSeed};
use ringlog_storage::{AtLeastOne, LogConfig, ReadError, StoreConfig};
use support::told::Told;
use support::{Session, Setup, batch, id};

const LOG: &str = "/data/topic-0/00000000000000000000.log";
const CHECKSUMS: &str = "/data/topic-0/00000000000000000000.checksums";
const PERIOD: Duration = Duration::from_secs(3_600);

fn scrubbed_setup() -> Setup {
    let config = StoreConfig { scrub_period: PERIOD, ..StoreConfig::production() };
    Setup { config, log_config: LogConfig::default(), ..Setup::tiny(1, 1) }
}

fn world() -> MemoryWorld {
    MemoryWorld::new(11, Options::quiet())
}

/// A sealed segment of 60 batches with an active one behind it, closed.
fn closed_log(world: &MemoryWorld, setup: &Setup) {
    world.run_until(async {
        let session = setup.open(world).await;
        for salt in 0..60 {
            assert!(setup.append(&session, 0, 2, 300, salt).await);
        }
        setup.wait_until_promised(&session, 0).await;
        session.logs[&0].roll();
        assert!(setup.append(&session, 0, 1, 10, 9).await);
        session.stores[0].close().await.expect("closes");
    });
    world.kill();
}

async fn reopened(world: &MemoryWorld, setup: &Setup) -> Session {
    let mut session = Setup { partitions: 0, ..setup.clone() }.open(world).await;
    session.logs.insert(0, setup.create(&session, 0).await);
    session
}

async fn wait(session: &Session, how_long: Duration) {
    session.env.sleep_until(session.env.now() + how_long).await;
}

#[test]
fn everything_is_read_within_the_period_and_not_much_before() {
    let (world, setup) = (world(), scrubbed_setup());
    closed_log(&world, &setup);
    world.run_until(async {
        let session = reopened(&world, &setup).await;
        let size: u64 = session.logs[&0].segments()[0].size_bytes;
        wait(&session, PERIOD * 3).await;
        let statistics = session.stores[0].statistics();
        assert!(statistics.scrub_rounds >= 2, "{statistics:?}");
        let rounds = statistics.scrub_rounds;
        assert!(
            (size * rounds..=(size + 4096) * (rounds + 1)).contains(&statistics.scrubbed_bytes),
            "{statistics:?}"
        );
        assert_eq!((statistics.damaged_places, statistics.checksum_files_made), (0, 0));
    });
}

#[test]
fn a_period_of_zero_reads_nothing() {
    let (world, mut setup) = (world(), scrubbed_setup());
    setup.config.scrub_period = Duration::ZERO;
    closed_log(&world, &setup);
    world.run_until(async {
        let session = reopened(&world, &setup).await;
        wait(&session, PERIOD * 3).await;
        let statistics = session.stores[0].statistics();
        assert_eq!((statistics.scrubbed_bytes, statistics.scrub_rounds), (0, 0));
    });
}

#[test]
fn damage_that_nobody_asked_for_is_found_and_counted_once() {
    let (world, setup) = (world(), scrubbed_setup());
    closed_log(&world, &setup);
    // A leader epoch: no checksum of Kafka's covers it.
    let batch_bytes = setup.model.borrow()[&0].batches[0].bytes.len() as u64;
    world.disk().corrupt(LOG, 20 * batch_bytes + 15, 1);
    world.run_until(async {
        let session = reopened(&world, &setup).await;
        wait(&session, PERIOD * 4).await;
        let statistics = session.stores[0].statistics();
        assert!(statistics.scrub_rounds >= 2);
        assert_eq!(statistics.damaged_places, 1, "met in every round, counted once");
        let log = &session.logs[&0];
        let read =
            |offset: i64| log.plan_read(Offset(offset), Offset(120), 1, AtLeastOne::Batch).expect("in range");
        assert!(matches!(read(40).execute().await, Err(ReadError::Damaged(_))));
        assert!(read(0).execute().await.is_ok() && read(118).execute().await.is_ok());
        // What is given up is forgotten.
        log.advance_log_start(Offset(120)).await.expect("taken");
        wait(&session, PERIOD * 3).await;
        assert_eq!(session.stores[0].statistics().damaged_places, 0);
    });
}

#[test]
fn damage_in_a_topic_that_is_deleted_is_forgotten_at_once() {
    let (world, setup) = (world(), scrubbed_setup());
    closed_log(&world, &setup);
    world.disk().corrupt(LOG, 9_000, 1);
    world.run_until(async {
        let session = reopened(&world, &setup).await;
        wait(&session, PERIOD * 2).await;
        assert_eq!(session.stores[0].statistics().damaged_places, 1);
        session.stores[0].delete_log(&session.logs[&0]).await.expect("deleted");
        assert_eq!(session.stores[0].statistics().damaged_places, 0);
        let bytes = session.stores[0].statistics().scrubbed_bytes;
        wait(&session, PERIOD * 3).await;
        let statistics = session.stores[0].statistics();
        assert_eq!((statistics.damaged_places, statistics.scrubbed_bytes), (0, bytes));
    });
}

#[test]
fn a_segment_that_was_given_up_meanwhile_is_no_damage() {
    let (world, setup) = (world(), scrubbed_setup());
    closed_log(&world, &setup);
    world.disk().corrupt(LOG, 9_000, 1);
    world.run_until(async {
        let session = reopened(&world, &setup).await;
        session.logs[&0].advance_log_start(Offset(120)).await.expect("taken");
        wait(&session, PERIOD * 3).await;
        assert_eq!(session.stores[0].statistics().damaged_places, 0);
    });
}

#[test]
fn whatever_a_damaged_length_says_the_scrubber_goes_on() {
    // Its length, its magic byte, how many records it has.
    for byte in [8, 11, 16, 57] {
        let (world, setup) = (world(), scrubbed_setup());
        closed_log(&world, &setup);
        let batch_bytes = setup.model.borrow()[&0].batches[0].bytes.len() as u64;
        for bit in [0, 7] {
            world.disk().corrupt(LOG, 59 * batch_bytes + byte, 1 << bit);
        }
        world.run_until(async {
            let session = reopened(&world, &setup).await;
            wait(&session, PERIOD * 2).await;
            assert_eq!(session.stores[0].statistics().damaged_places, 1, "byte {byte}");
        });
    }
}

#[test]
fn a_header_that_reaches_into_damage_does_not_say_which_offsets_are_damaged() {
    let (world, mut setup) = (world(), scrubbed_setup());
    // The second batch begins ten bytes before a block does, and the index knows where.
    setup.log_config.index_interval_bytes = 1;
    let begins_at = 4096 - 10;
    let value_bytes = (3_000..begins_at).find(|bytes| batch(0, 1, *bytes, 1).len() == begins_at);
    world.run_until(async {
        let session = setup.open(&world).await;
        assert!(setup.append(&session, 0, 1, value_bytes.expect("such a batch"), 1).await);
        assert!(setup.append(&session, 0, 6, 300, 2).await);
        setup.wait_until_promised(&session, 0).await;
        session.logs[&0].roll();
        assert!(setup.append(&session, 0, 1, 10, 9).await);
        session.stores[0].close().await.expect("closes");
    });
    world.kill();
    // Its magic byte.
    world.disk().corrupt(LOG, begins_at as u64 + 16, 0xff);
    let (told, _listening) = Told::listen();
    world.run_until(async {
        let session = reopened(&world, &setup).await;
        wait(&session, PERIOD * 2).await;
    });
    assert_eq!((told.count("damage="), told.count("(offsets 1..7)")), (1, 1));
}

#[test]
fn the_longest_period_and_the_slowest_rate_are_only_slow() {
    let (world, mut setup) = (world(), scrubbed_setup());
    setup.config.scrub_period = Duration::from_millis(i64::MAX as u64);
    setup.config.scrub_bytes_per_second_max = 0;
    closed_log(&world, &setup);
    world.run_until(async {
        let session = reopened(&world, &setup).await;
        wait(&session, PERIOD).await;
        assert_eq!(session.stores[0].statistics().scrub_rounds, 0);
        let before = session.env.now();
        session.stores[0].close().await.expect("closes");
        assert!(session.env.now() < before + Duration::from_secs(1), "closing waits for no piece");
    });
}

#[test]
fn a_segment_without_checksums_gets_them_once_every_batch_was_verified() {
    for is_damaged in [false, true] {
        let (world, setup) = (world(), scrubbed_setup());
        closed_log(&world, &setup);
        let env = setup.environment(&world, 0);
        world.run_until(async { env.remove_file(Path::new(CHECKSUMS)).await.expect("there") });
        if is_damaged {
            // In a record: its batch says so.
            world.disk().corrupt(LOG, 20_000, 1);
        }
        world.kill();
        world.run_until(async {
            let session = reopened(&world, &setup).await;
            assert_eq!(session.recovered.lost_checksums().count(), 1);
            wait(&session, PERIOD * 2).await;
            let made = session.stores[0].statistics().checksum_files_made;
            assert_eq!(made, u64::from(!is_damaged));
            session.stores[0].close().await.expect("closes");
        });
        match world.disk().read(CHECKSUMS) {
            None => assert!(is_damaged),
            Some(bytes) => {
                let file = ChecksumFile::parse(&bytes, id(0), Offset(0)).expect("it verifies");
                let (segment, seed) =
                    (world.disk().read(LOG).expect("there"), SegmentSeed::new(id(0), Offset(0)));
                assert_eq!(file.header.sealed.expect("sealed").segment_bytes, segment.len() as u64);
                for (block, checksum) in file.checksums.iter().enumerate() {
                    let bytes = &segment[block * 4096..segment.len().min((block + 1) * 4096)];
                    assert_eq!(*checksum, seed.checksum_of((block * 4096) as u64, bytes));
                }
            }
        }
    }
}

/// Removes the checksum file of the sealed segment, of which nothing is open.
fn remove_checksums(world: &MemoryWorld, setup: &Setup) {
    let env = setup.environment(world, 0);
    world.run_until(async { env.remove_file(Path::new(CHECKSUMS)).await.expect("there") });
    world.kill();
}

fn expect_whole_checksums(world: &MemoryWorld, when: &str) {
    let bytes = world.disk().read(CHECKSUMS).unwrap_or_else(|| panic!("{when}: there is no file"));
    let file = ChecksumFile::parse(&bytes, id(0), Offset(0));
    let sealed = file.unwrap_or_else(|reason| panic!("{when}: {reason}")).header.sealed;
    assert!(sealed.is_some(), "{when}: it was never finished");
}

#[test]
fn a_crash_while_checksums_are_made_leaves_the_whole_file_or_none() {
    for change in 1.. {
        let (world, setup) = (MemoryWorld::new(change, Options::quiet()), scrubbed_setup());
        closed_log(&world, &setup);
        remove_checksums(&world, &setup);
        let ended = world.run_until_or_crash(async {
            let session = reopened(&world, &setup).await;
            world.set_crash_after(change);
            wait(&session, PERIOD * 2).await;
            assert_eq!(session.stores[0].statistics().checksum_files_made, 1);
        });
        world.crash();
        if world.disk().read(CHECKSUMS).is_some() {
            expect_whole_checksums(&world, &format!("after a crash at change {change}"));
        }
        if ended.is_ok() {
            return;
        }
    }
}

#[test]
fn a_checksum_file_that_was_never_finished_is_made_anew() {
    // Empty, half of the header, and what a build left that wrote the checksums first: no header yet.
    for (length, is_blank) in [(0, false), (30, false), (100, true)] {
        let (world, setup) = (world(), scrubbed_setup());
        closed_log(&world, &setup);
        world.disk().truncate(CHECKSUMS, length);
        for byte in 0..if is_blank { 64 } else { 0 } {
            let mask = world.disk().read(CHECKSUMS).expect("there")[byte as usize];
            world.disk().corrupt(CHECKSUMS, byte, mask);
        }
        world.run_until(async {
            let session = reopened(&world, &setup).await;
            wait(&session, PERIOD * 2).await;
            let statistics = session.stores[0].statistics();
            assert_eq!((statistics.checksum_files_made, statistics.damaged_places), (1, 0));
        });
        expect_whole_checksums(&world, &format!("cut to {length}"));
        // Of a leader epoch, which no checksum of Kafka's covers.
        world.kill();
        world.disk().corrupt(LOG, 15, 1);
        world.run_until(async {
            let session = reopened(&world, &setup).await;
            let read = session.logs[&0].plan_read(Offset(0), Offset(1), 1, AtLeastOne::Batch);
            assert!(matches!(read.expect("in range").execute().await, Err(ReadError::Damaged(_))));
        });
    }
}

#[test]
fn a_checksum_file_that_ends_early_is_told_of_and_not_asked() {
    let (world, setup) = (world(), scrubbed_setup());
    closed_log(&world, &setup);
    world.disk().truncate(CHECKSUMS, 66);
    let (told, _listening) = Told::listen();
    world.run_until(async {
        let session = reopened(&world, &setup).await;
        for offset in [0, 50] {
            let read = session.logs[&0]
                .plan_read(Offset(offset), Offset(120), 1, AtLeastOne::Batch)
                .expect("in range");
            assert!(read.execute().await.is_ok());
        }
    });
    assert_eq!(told.count("it ends after 0 checksums of"), 1);
}

#[test]
fn a_log_that_grows_while_it_is_read_delays_nothing() {
    let (world, mut setup) = (world(), scrubbed_setup());
    setup.config.scrub_period = Duration::from_secs(100);
    world.run_until(async {
        let session = setup.open(&world).await;
        assert!(setup.append(&session, 0, 1, 5_000, 0).await);
        setup.wait_until_promised(&session, 0).await;
        session.stores[0].checkpoint().await.expect("written");
        // The round begins with one block, and meets a hundred times as much before it ends.
        wait(&session, Duration::from_secs(11)).await;
        for salt in 1..100 {
            assert!(setup.append(&session, 0, 1, 5_000, salt).await);
            setup.wait_until_promised(&session, 0).await;
        }
        session.stores[0].checkpoint().await.expect("written");
        wait(&session, Duration::from_secs(400)).await;
        let statistics = session.stores[0].statistics();
        assert!(statistics.scrub_rounds >= 3, "{statistics:?}");
        assert!(statistics.scrubbed_bytes >= 2 * 99 * 5_000, "{statistics:?}");
    });
}

#[test]
fn what_the_disk_cannot_read_is_told_and_forgotten_when_it_can_again() {
    let (world, setup) = (world(), scrubbed_setup());
    closed_log(&world, &setup);
    world.run_until(async {
        let session = reopened(&world, &setup).await;
        // Behind the header of the checksum file.
        world.disk().fail(DiskOperation::Read, 2);
        while world.disk().has_ordered_failure() {
            wait(&session, Duration::from_secs(1)).await;
        }
        wait(&session, Duration::from_secs(1)).await;
        assert_eq!(session.stores[0].statistics().damaged_places, 1);
        assert!(session.stores[0].failure().is_none(), "a read that fails fences nothing");
        assert!(setup.append(&session, 0, 1, 10, 11).await, "nor refuses it the log");
        let read =
            session.logs[&0].plan_read(Offset(0), Offset(120), 1, AtLeastOne::Batch).expect("in range");
        assert!(read.execute().await.is_ok(), "whoever asks has the disk asked again");
        wait(&session, PERIOD * 2).await;
        assert_eq!(session.stores[0].statistics().damaged_places, 0);
    });
}

#[test]
fn what_the_disk_never_reads_is_told_once_and_the_rest_is_looked_at() {
    let (world, setup) = (world(), scrubbed_setup());
    closed_log(&world, &setup);
    world.disk().corrupt(LOG, 30_000, 1);
    world.run_until(async {
        let session = reopened(&world, &setup).await;
        for _ in 0..3 {
            world.disk().fail(DiskOperation::Read, 1);
            wait(&session, PERIOD).await;
        }
        assert!(session.stores[0].statistics().scrub_rounds >= 2);
        assert!((1..=2).contains(&session.stores[0].statistics().damaged_places));
    });
}

#[test]
fn a_file_that_somebody_removed_is_damage_and_one_that_goes_with_its_log_is_none() {
    let (world, setup) = (world(), scrubbed_setup());
    closed_log(&world, &setup);
    world.run_until(async {
        let session = reopened(&world, &setup).await;
        session.env.remove_file(Path::new(LOG)).await.expect("there");
        wait(&session, PERIOD * 2).await;
        assert_eq!(session.stores[0].statistics().damaged_places, 1);
        let log = &session.logs[&0];
        let read = log.plan_read(Offset(119), Offset(121), 1, AtLeastOne::Batch).expect("in range");
        assert!(read.execute().await.is_err(), "of the file that is gone");
        let read = log.plan_read(Offset(120), Offset(121), 1, AtLeastOne::Batch).expect("in range");
        assert!(read.execute().await.is_ok(), "of the one behind it");
        // A segment that is given up, or a log that is deleted, while the scrubber is anywhere in it.
        log.advance_log_start(Offset(120)).await.expect("taken");
        session.stores[0].delete_log(log).await.expect("deleted");
        wait(&session, PERIOD * 2).await;
        assert_eq!(session.stores[0].statistics().damaged_places, 0);
    });
}

/// Whenever a log is deleted or shortened while its segments are read, that is no damage.
#[test]
fn deleting_and_retiring_at_any_moment_of_a_round_is_no_damage() {
    for moment in 0..12 {
        let (world, mut setup) = (world(), scrubbed_setup());
        setup.config.scrub_period = Duration::from_millis(100);
        setup.config.scrub_bytes_per_second_max = u64::MAX;
        setup.config.read_bytes_max = 8 << 10;
        setup.log_config.file_delete_delay = Duration::ZERO;
        closed_log(&world, &setup);
        world.run_until(async {
            let session = reopened(&world, &setup).await;
            let log = &session.logs[&0];
            wait(&session, Duration::from_millis(10) + Duration::from_micros(1_055 * moment)).await;
            match moment % 2 {
                0 => session.stores[0].delete_log(log).await.expect("deleted"),
                _ => log.advance_log_start(Offset(120)).await.expect("taken"),
            }
            wait(&session, Duration::from_secs(1)).await;
            assert_eq!(session.stores[0].statistics().damaged_places, 0, "moment {moment}");
        });
    }
}
