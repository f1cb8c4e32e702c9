//! A failed write or sync fences the store: nothing is acknowledged after it, nothing is tried again, reading goes
//! on, and what had been acknowledged survives.

mod support;

use ringlog_core::ids::Offset;
use ringlog_runtime::environment::Environment;
use ringlog_runtime::memory::{DiskOperation, MemoryWorld, Options, PerMillion, Random, seeds};
use ringlog_storage::{AppendError, StoreFailure};
use support::{Life, Setup};

#[test]
fn after_a_failed_write_or_sync_nothing_is_promised_and_what_was_survives() {
    let operations =
        [DiskOperation::Write, DiskOperation::Sync, DiskOperation::Allocate, DiskOperation::SyncDirectory];
    let mut fenced = 0;
    for seed in seeds(120) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup::tiny(2, 1);
        let mut random = Random::from_seed(seed);
        let operation = operations[random.index(operations.len())];
        world.run_until(async {
            let session = setup.open(&world).await;
            setup.work(&session, &mut random, 10).await;
            world.disk().fail(operation, random.between(1..=6));
            setup.work(&session, &mut random, 60).await;
            let store = &session.stores[0];
            let Some(failure) = store.failure() else { return };
            fenced += 1;
            // What was under way when it failed comes to its end.
            session.env.sleep_until(session.env.now() + std::time::Duration::from_secs(1)).await;
            let promised = setup.model.borrow()[&0].promised;
            let before = world.disk().mutations();
            assert!(matches!(session.logs[&0].ready().await, Err(AppendError::Failed(_))));
            assert!(store.next_durable().await.is_empty(), "whoever waits is told to look at the failure");
            assert!(matches!(store.checkpoint().await, Err(StoreFailure::Fenced(_))));
            assert!(matches!(store.close().await, Err(StoreFailure::Fenced(_))));
            session.env.sleep_until(session.env.now() + std::time::Duration::from_secs(60)).await;
            assert_eq!(
                world.disk().mutations(),
                before,
                "seed {seed}: nothing is tried again after {failure}"
            );
            assert_eq!(setup.model.borrow()[&0].promised, promised);
            // What is in memory or in files can still be read.
            let end = session.logs[&0].log_end_offset().0;
            assert_eq!(
                support::read_all(&session.logs[&0], 0, end).await,
                setup.model.borrow()[&0].bytes_from(0)
            );
        });
        world.crash();
        world.run_until(async { drop(setup.open(&world).await) });
    }
    assert!(fenced > 60, "{fenced} of 120 seeds reached the failure");
}

#[test]
fn what_a_failed_sync_left_readable_is_stable_before_a_start_counts_on_it() {
    let mut scanned = 0;
    for seed in seeds(120) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup::tiny(2, 1);
        let mut random = Random::from_seed(seed);
        world.run_until(async {
            let session = setup.open(&world).await;
            world.disk().fail(DiskOperation::Sync, random.between(1..=6));
            setup.work(&session, &mut random, 60).await;
        });
        // Killed, with the power on: what the failed sync gave up is still there to be read.
        world.kill();
        world.run_until(async {
            let session = setup.open(&world).await;
            scanned += session.recovered.repairs().map(|repair| repair.batches_scanned).sum::<u64>();
        });
        world.crash();
        world.run_until(async { drop(setup.open(&world).await) });
    }
    assert!(scanned > 100, "{scanned} batches were found in files");
}

/// A directory that was just made is readable before it is stable: its name, and that of the file which says whose it is.
/// A start that finds it must not count on them before they are, or the next loss of power takes away a log whose batches
/// were acknowledged from the journal. It takes two lives that end in the middle, one that makes the directory and one that
/// finds it.
#[test]
fn a_log_whose_making_was_cut_short_is_stable_before_a_start_counts_on_it() {
    for (first, second) in (1..=24).flat_map(|first| (1..=8).map(move |second| (first, second))) {
        for seed in seeds(4) {
            let world = MemoryWorld::new(seed, Options::quiet());
            let setup = Setup::tiny(1, 1);
            for failing in [first, second] {
                world.disk().fail(DiskOperation::SyncDirectory, failing);
                world.run_until(setup.try_run(&world, &mut Random::from_seed(seed), 0));
                // With the power on: everything made so far is there to be found.
                world.kill();
                world.disk().forget_ordered_failures();
            }
            world.run_until(async {
                let session = setup.open(&world).await;
                assert!(setup.append(&session, 0, 3, 100, seed).await);
                setup.wait_until_all_promised(&session).await;
            });
            world.crash();
            world.run_until(async { drop(setup.open(&world).await) });
        }
    }
}

#[test]
fn promises_survive_a_disk_that_fails_at_random_and_then_loses_power() {
    for seed in seeds(120) {
        let mut options = Options::quiet();
        options.faults.write_error = PerMillion(8_000);
        options.faults.sync_error = PerMillion(8_000);
        let world = MemoryWorld::new(seed, options);
        let setup = Setup::tiny(2, 1);
        let mut random = Random::from_seed(seed);
        for _ in 0..4 {
            // Recovery itself may meet the failing disk: then that start fails, and the next one tries again.
            let env = setup.environment(&world, 0);
            let opened = world.run_until(async {
                let data_dir = std::path::Path::new(support::DATA_DIR);
                ringlog_storage::recover(&env, data_dir, &setup.config).await.is_ok()
            });
            world.crash();
            if opened {
                world.run_until(setup.try_run(&world, &mut random, 40));
                world.crash();
            }
        }
    }
}

#[test]
fn a_disk_that_became_read_only_is_read_on() {
    let world = MemoryWorld::new(5, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        for salt in 0..10 {
            assert!(setup.append(&session, 0, 1, 500, salt).await);
        }
        setup.wait_until_promised(&session, 0).await;
        world.disk().set_read_only(true);
        assert!(setup.append(&session, 0, 1, 500, 77).await);
        setup.wait_until_promised(&session, 0).await;
        assert!(session.stores[0].failure().is_some());
        assert_eq!(session.logs[&0].stable_end_offset(), Offset(10));
        assert_eq!(
            support::read_all(&session.logs[&0], 0, 10).await.len(),
            setup.model.borrow()[&0].batches[..10].iter().map(|batch| batch.bytes.len()).sum::<usize>()
        );
    });
}

/// Every kind of operation there is.
const OPERATIONS: [DiskOperation; 11] = [
    DiskOperation::Open,
    DiskOperation::Read,
    DiskOperation::Write,
    DiskOperation::Sync,
    DiskOperation::Allocate,
    DiskOperation::Truncate,
    DiskOperation::CreateDirectory,
    DiskOperation::ListDirectory,
    DiskOperation::Rename,
    DiskOperation::Remove,
    DiskOperation::SyncDirectory,
];

/// From an empty directory to a stop in order, with everything a log can be told to do; the `nth` operation of its
/// kind fails. False once there are fewer.
fn lives_through_failure(operation: DiskOperation, nth: u64, outcomes: &mut Outcomes) -> bool {
    let world = MemoryWorld::new(17, Options::quiet());
    let setup = Setup { reads_may_fail: true, deletes_records: true, retires: true, ..Setup::tiny(2, 1) };
    let mut random = Random::from_seed(29);
    // The life before leaves something to recover.
    world.run_until(setup.try_run(&world, &mut random, 25));
    world.crash();
    world.disk().fail(operation, nth);
    let ran = world.run_until(setup.try_life(&world, &mut random, 40));
    let is_over = world.disk().has_ordered_failure();
    match &ran {
        Life::NotStarted => outcomes.not_started += 1,
        Life::Fenced => outcomes.fenced += 1,
        Life::Closed => outcomes.closed += 1,
    }
    // Whatever failed, and whether the power went then or the process alone, what was promised is there.
    if nth.is_multiple_of(2) {
        world.crash();
    } else {
        world.kill();
    }
    world.disk().forget_ordered_failures();
    world.run_until(async { drop(setup.open(&world).await) });
    !is_over
}

#[derive(Default, Debug)]
struct Outcomes {
    not_started: u64,
    fenced: u64,
    closed: u64,
}

#[test]
fn every_single_operation_may_fail_and_nothing_promised_is_lost() {
    for operation in OPERATIONS {
        let mut outcomes = Outcomes::default();
        let mut nth = 1;
        while lives_through_failure(operation, nth, &mut outcomes) {
            nth += 1;
        }
        assert!(outcomes.closed > 0, "{operation:?}: the life without a failure ends in order");
        let mutates = !matches!(
            operation,
            DiskOperation::Read | DiskOperation::Open | DiskOperation::ListDirectory | DiskOperation::Remove
        );
        // A start that meets the failure is refused; a store that meets it is fenced. Reading and removing harm nobody.
        let met = outcomes.not_started + outcomes.fenced;
        assert!(nth > 1 && (!mutates || met >= nth / 2), "{operation:?}: {outcomes:?} of {nth}");
    }
}
