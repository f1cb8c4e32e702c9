//! Mistakes that others made once, planted below the store: each is found. `docs/simulator.md` has the table.

mod support;

use std::path::Path;

use ringlog_runtime::memory::{MemoryWorld, Options, PerMillion, Random};
use ringlog_storage::{StoreFailure, recover};
use support::planted::Bug;
use support::{DATA_DIR, Setup};

/// How many seeds look for a mistake.
const SEEDS: u64 = 150;

/// A few lives of a store, each of which ends with the power; the disk may fail as well.
fn lives(seed: u64, options: Options, bug: Bug) {
    let world = MemoryWorld::new(seed, options);
    let setup = Setup {
        bug,
        deletes_records: seed.is_multiple_of(2),
        retires: seed.is_multiple_of(3),
        ..Setup::tiny(3, 1)
    };
    let mut random = Random::from_seed(seed);
    for _ in 0..4 {
        world.set_crash_after(random.between(40..=200));
        // A start that the failing disk refuses is no sign of a mistake.
        let _ = world.run_until_or_crash(setup.try_run(&world, &mut random, 60));
        world.crash();
    }
    world.set_faults(Options::quiet().faults);
    world.run_until(async { drop(setup.open(&world).await) });
}

/// Whether some seed shows a mistake.
fn is_found(bug: Bug, options: &Options) -> bool {
    (0..SEEDS).any(|seed| std::panic::catch_unwind(|| lives(seed, options.clone(), bug)).is_err())
}

fn failing() -> Options {
    let mut options = Options::quiet();
    options.faults.write_error = PerMillion(4_000);
    options.faults.sync_error = PerMillion(20_000);
    options
}

#[test]
fn a_sound_store_passes_the_same_search() {
    assert!(!is_found(Bug::None, &Options::quiet()));
    assert!(!is_found(Bug::None, &failing()));
}

#[test]
fn a_file_that_is_renamed_before_it_is_flushed_is_found() {
    assert!(is_found(Bug::RenameWithoutSync, &Options::quiet()));
}

#[test]
fn an_acknowledgement_before_the_last_piece_is_found() {
    assert!(is_found(Bug::ForgetLastBlock, &Options::quiet()));
}

#[test]
fn an_acknowledgement_of_a_failed_write_is_found() {
    assert!(is_found(Bug::BelieveFailedWrites, &failing()));
}

#[test]
fn a_failed_sync_that_is_tried_again_is_found() {
    assert!(is_found(Bug::RetryFailedSyncs, &failing()));
}

#[test]
fn a_buffer_that_is_recycled_in_flight_is_found() {
    assert!(is_found(Bug::RecycleBuffers, &Options::quiet()));
}

#[test]
fn producers_that_a_checkpoint_lost_are_found() {
    assert!(is_found(Bug::ForgetProducers, &Options::quiet()));
}

#[test]
fn a_window_of_one_batch_for_retries_is_found() {
    assert!(is_found(Bug::RememberOneBatch, &Options::quiet()));
}

#[test]
fn epochs_that_a_checkpoint_lost_are_found() {
    assert!(is_found(Bug::ForgetEpochs, &Options::quiet()));
}

#[test]
fn a_recovery_point_that_is_ahead_of_the_segments_is_found() {
    assert!(is_found(Bug::AdvanceCheckpoint, &Options::quiet()));
}

/// Works, loses power, and finds both copies of every checkpoint damaged.
fn lose_checkpoints(seed: u64, bug: Bug) -> (MemoryWorld, Setup) {
    let world = MemoryWorld::new(seed, Options::quiet());
    let setup = Setup { bug, ..Setup::tiny(2, 1) };
    let mut random = Random::from_seed(seed);
    world.run_until(async {
        let session = setup.open(&world).await;
        setup.work(&session, &mut random, 60).await;
        setup.wait_until_all_promised(&session).await;
    });
    world.crash();
    for (path, _) in world.disk().files().iter().filter(|(path, _)| path.ends_with(".checkpoint")) {
        world.disk().corrupt(path, 40, 1);
    }
    (world, setup)
}

#[test]
fn a_start_that_takes_damaged_checkpoints_for_none_is_found() {
    let is_found = (0..20).any(|seed| {
        let (world, setup) = lose_checkpoints(seed, Bug::BeginAnew);
        let opened = || world.run_until(async { drop(setup.open(&world).await) });
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(opened)).is_err()
    });
    assert!(is_found);
    let (world, setup) = lose_checkpoints(1, Bug::None);
    let env = setup.environment(&world, 0);
    let recovered = world.run_until(recover(&env, Path::new(DATA_DIR), &setup.config));
    assert!(matches!(recovered, Err(StoreFailure::Damaged(_))), "a sound store says so and changes nothing");
}
