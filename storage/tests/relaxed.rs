//! Relaxed logs: acknowledged from memory, and on stable storage soon, at the cost of one write for all of them.

mod support;

use std::time::Duration;

use ringlog_core::ids::Offset;
use ringlog_runtime::environment::Environment;
use ringlog_runtime::memory::{MemoryWorld, Options, Random, seeds};
use ringlog_storage::{Durability, LogConfig, StoreConfig};
use support::{Session, Setup};

/// What the disk of these tests takes at most, and more.
const SLACK: Duration = Duration::from_millis(20);

fn setup(partitions: i32) -> Setup {
    let log_config = LogConfig { durability: Durability::Relaxed, ..LogConfig::default() };
    Setup { config: StoreConfig::production(), log_config, ..Setup::tiny(partitions, 1) }
}

async fn sleep(session: &Session, duration: Duration) {
    session.env.sleep_until(session.env.now() + duration).await;
}

fn commits(session: &Session) -> (u64, u64) {
    let statistics = session.stores[0].statistics();
    (statistics.journal_commit_count, statistics.journal_commit_bytes)
}

fn ends(session: &Session, partition: i32) -> (Offset, Offset) {
    let log = &session.logs[&partition];
    assert_eq!(log.durable_end_offset(), log.log_end_offset(), "a relaxed log promises what it has");
    (log.stable_end_offset(), log.log_end_offset())
}

#[test]
fn many_relaxed_logs_become_stable_by_one_commit() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = setup(64);
    world.run_until(async {
        let session = setup.open(&world).await;
        let (before, _) = commits(&session);
        for partition in 0..64 {
            assert!(setup.append(&session, partition, 1, 1_000, 1).await);
            assert_eq!(ends(&session, partition), (Offset(0), Offset(1)), "nobody waits");
        }
        sleep(&session, setup.config.relaxed_commit_interval + SLACK).await;
        for partition in 0..64 {
            assert_eq!(ends(&session, partition), (Offset(1), Offset(1)));
        }
        assert_eq!(commits(&session).0, before + 1);
    });
    world.crash();
    // The model remembers that all of it was promised.
    world.run_until(async { drop(setup.open(&world).await) });
}

#[test]
fn a_relaxed_log_given_much_is_written_to_its_file_alone() {
    let world = MemoryWorld::new(2, Options::quiet());
    let setup = setup(1);
    world.run_until(async {
        let session = setup.open(&world).await;
        for salt in 0..3 {
            assert!(setup.append(&session, 0, 100, 1_000, salt).await);
        }
        assert!(setup.append(&session, 0, 1, 10, 9).await);
        sleep(&session, setup.config.relaxed_commit_interval + SLACK).await;
        assert_eq!(ends(&session, 0).0, Offset(0), "the small batch waits for the large ones before it");
        sleep(&session, setup.config.relaxed_flush_interval).await;
        assert_eq!(ends(&session, 0), (Offset(301), Offset(301)));
        let (_, bytes) = commits(&session);
        assert!(bytes < 50_000, "{bytes} bytes of it are in the journal");
        // What comes now waits for no file any more.
        assert!(setup.append(&session, 0, 1, 10, 10).await);
        sleep(&session, setup.config.relaxed_commit_interval + SLACK).await;
        assert_eq!(ends(&session, 0), (Offset(302), Offset(302)));
    });
    world.crash();
    world.run_until(async { drop(setup.open(&world).await) });
}

#[test]
fn a_relaxed_log_that_becomes_durable_or_closes_is_stable_at_once() {
    let world = MemoryWorld::new(3, Options::quiet());
    let setup = setup(2);
    world.run_until(async {
        let session = setup.open(&world).await;
        for partition in 0..2 {
            assert!(setup.append(&session, partition, 1, 1_000, 1).await);
        }
        session.logs[&0]
            .set_config(LogConfig { durability: Durability::Durable, ..setup.log_config.clone() });
        assert!(setup.append(&session, 0, 1, 1_000, 2).await);
        sleep(&session, setup.config.relaxed_commit_interval / 2).await;
        assert_eq!(session.logs[&0].stable_end_offset(), Offset(2));
        assert!(setup.append(&session, 1, 1, 1_000, 3).await);
        session.stores[0].close().await.expect("closes");
    });
    world.crash();
    world.run_until(async {
        let session = setup.open(&world).await;
        assert_eq!(session.logs[&1].log_end_offset(), Offset(2));
    });
}

#[test]
fn what_a_relaxed_log_calls_stable_outlives_a_crash_at_any_moment() {
    let mut kept = 0;
    for seed in seeds(200) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let mut setup = Setup::tiny(2, 1);
        setup.log_config.durability = Durability::Relaxed;
        let mut random = Random::from_seed(seed);
        let stable = world.run_until(async {
            let session = setup.open(&world).await;
            for salt in 0..random.between(1..=60) {
                let partition = random.below(2) as i32;
                // Some alone are enough to be written to their file, some leave offsets out before them.
                let value_bytes = if random.below(4) == 0 { 5_000 } else { 200 };
                let gap = if random.below(5) == 0 { 3 } else { 0 };
                assert!(setup.append_after_gap(&session, partition, gap, 1, value_bytes, salt).await);
                sleep(&session, Duration::from_micros(random.below(4_000))).await;
            }
            [0, 1].map(|partition| session.logs[&partition].stable_end_offset())
        });
        world.crash();
        for (partition, stable) in stable.into_iter().enumerate() {
            setup.model.borrow_mut().entry(partition as i32).or_default().promised = stable.0;
            kept += stable.0;
        }
        // What is left is a prefix, and no shorter than was promised: `open` compares.
        world.run_until(async { drop(setup.open(&world).await) });
    }
    assert!(kept > 1_000, "{kept} offsets were stable");
}

#[test]
fn a_relaxed_log_goes_by_the_journal_again_after_a_burst_though_batches_keep_coming() {
    for seed in seeds(2) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = setup(1);
        world.run_until(async {
            let session = setup.open(&world).await;
            assert!(setup.append(&session, 0, 300, 1_000, 0).await);
            // A batch every tenth of a millisecond: while the burst is made stable, some come.
            for salt in 0..8_000 {
                assert!(setup.append(&session, 0, 1, 100, salt).await);
                sleep(&session, Duration::from_micros(100)).await;
            }
            let (stable, end) = ends(&session, 0);
            let behind = end.0 - stable.0;
            assert!(behind < 1_000, "seed {seed}: {behind} batches, {} ms, are not stable", behind / 10);
        });
    }
}

#[test]
fn a_relaxed_log_that_is_deleted_while_it_is_made_stable_stops_nothing() {
    for seed in seeds(200) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let mut setup = Setup::tiny(2, 1);
        setup.log_config.durability = Durability::Relaxed;
        let mut random = Random::from_seed(seed);
        world.run_until(async {
            let session = setup.open(&world).await;
            for salt in 0..3 {
                assert!(setup.append(&session, 0, 1, 5_000, salt).await);
            }
            let wait = setup.config.relaxed_flush_interval + Duration::from_micros(random.below(2_000));
            sleep(&session, wait).await;
            session.stores[0].delete_log(&session.logs[&0]).await.expect("deleted");
            assert!(setup.append(&session, 1, 1, 5_000, 4).await);
            session.stores[0].checkpoint().await.expect("checkpoints go on");
            assert_eq!(ends(&session, 1), (Offset(1), Offset(1)));
        });
    }
}

#[test]
fn a_checkpoint_ends_while_a_log_is_given_more_than_its_disk_takes() {
    let world = MemoryWorld::new(5, Options::quiet());
    let mut setup = setup(1);
    setup.log_config.durability = Durability::Durable;
    world.run_until(async {
        let session = setup.open(&world).await;
        let is_over = std::cell::Cell::new(false);
        let filling = async {
            for salt in 0..100_000 {
                assert!(setup.append(&session, 0, 64, 1_000, salt).await);
                assert!(salt < 20_000, "a checkpoint ends before this");
                if is_over.get() {
                    return;
                }
                sleep(&session, Duration::from_micros(10)).await;
            }
        };
        let checkpointing = async {
            sleep(&session, Duration::from_millis(5)).await;
            session.stores[0].checkpoint().await.expect("it ends");
            is_over.set(true);
        };
        futures_util::future::join(filling, checkpointing).await;
    });
}
