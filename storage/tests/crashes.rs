//! What was promised survives: crashes at random and at every single change of the disk, in every outcome the
//! seeds can make.

mod support;

use ringlog_runtime::memory::{MemoryWorld, Options, Random, seeds};
use support::Setup;
use support::planted::Bug;

#[test]
fn what_is_appended_reads_back_before_and_after_a_clean_close() {
    for seed in seeds(20) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup { deletes_records: seed % 2 == 0, retires: seed % 3 == 0, ..Setup::tiny(3, 2) };
        let mut random = Random::from_seed(seed);
        for _ in 0..3 {
            world.run_until(async {
                let session = setup.open(&world).await;
                setup.work(&session, &mut random, 60).await;
                for store in &session.stores {
                    store.close().await.unwrap();
                }
            });
            world.kill();
        }
        world.run_until(async {
            let session = setup.open(&world).await;
            assert!(session.recovered.is_clean(), "seed {seed}");
            assert_eq!(
                session.recovered.repairs().count(),
                0,
                "seed {seed}: nothing to repair after a clean close"
            );
        });
    }
}

#[test]
fn promised_batches_survive_crashes_at_random_moments() {
    for seed in seeds(150) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let mut setup = Setup { deletes_records: seed % 2 == 0, retires: seed % 3 == 0, ..Setup::tiny(3, 1) };
        let mut random = Random::from_seed(seed);
        for round in 0..6 {
            setup.shard_count = 1 + (random.below(3) as u16);
            world.set_crash_after(random.between(1..=120));
            let _ = world.run_until_or_crash(async {
                let session = setup.open(&world).await;
                setup.work(&session, &mut random, 60).await;
            });
            if round % 2 == 0 { world.crash() } else { world.kill() }
        }
        world.run_until(async { drop(setup.open(&world).await) });
    }
}

#[test]
fn a_small_workload_survives_a_crash_at_every_change_of_the_disk() {
    let run = |seed: u64, crash_at: Option<u64>| -> u64 {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup::tiny(2, 1);
        let mut random = Random::from_seed(7);
        if let Some(crash_at) = crash_at {
            world.set_crash_after(crash_at);
        }
        let _ = world.run_until_or_crash(async {
            let session = setup.open(&world).await;
            setup.work(&session, &mut random, 25).await;
            setup.wait_until_all_promised(&session).await;
            session.stores[0].checkpoint().await.unwrap();
            setup.work(&session, &mut random, 10).await;
        });
        let mutations = world.disk().mutations();
        world.crash();
        // Recovering, losing power again within it, and recovering again comes to the same.
        world.set_crash_after(1 + seed % 12);
        let _ = world.run_until_or_crash(async { drop(setup.open(&world).await) });
        world.crash();
        world.run_until(async { drop(setup.open(&world).await) });
        mutations
    };
    let mutations = run(1, None);
    assert!(mutations > 60, "the workload changes the disk {mutations} times");
    for crash_at in 1..=mutations {
        for seed in 0..6 {
            run(seed, Some(crash_at));
        }
    }
}

/// Whether some seed of the random crashes shows that a mistake was planted.
fn is_found(bug: Bug) -> bool {
    (0..150).any(|seed| {
        let outcome = std::panic::catch_unwind(|| {
            let world = MemoryWorld::new(seed, Options::quiet());
            let setup = Setup { bug, ..Setup::tiny(3, 1) };
            let mut random = Random::from_seed(seed);
            for _ in 0..4 {
                world.set_crash_after(random.between(20..=160));
                let _ = world.run_until_or_crash(async {
                    let session = setup.open(&world).await;
                    setup.work(&session, &mut random, 60).await;
                });
                world.crash();
            }
        });
        outcome.is_err()
    })
}

#[test]
fn a_store_that_promises_before_the_write_is_stable_is_found() {
    assert!(is_found(Bug::AcknowledgeBeforeSync));
}

#[test]
fn a_store_that_forgets_to_sync_files_is_found() {
    assert!(is_found(Bug::ForgetFileSync));
}

#[test]
fn a_store_that_forgets_to_sync_directories_is_found() {
    assert!(is_found(Bug::ForgetDirectorySync));
}

#[test]
fn a_store_whose_journal_lives_cannot_be_told_apart_is_found() {
    assert!(is_found(Bug::RepeatRandom));
}

#[test]
fn a_sound_store_passes_the_same_search() {
    assert!(!is_found(Bug::None));
}
