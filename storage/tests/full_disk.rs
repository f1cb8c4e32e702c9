//! A full disk is no failure: what was promised stays, what was taken goes on, and when there is room again so does the
//! rest, without a start.

mod support;

use std::path::Path;
use std::time::Duration;

use futures_util::future::join;
use ringlog_core::ids::Offset;
use ringlog_runtime::environment::Environment;
use ringlog_runtime::memory::{MemoryWorld, Options, Random, seeds};
use ringlog_storage::{Durability, LogStore, Retention, StoreFailure};
use support::{DATA_DIR, Env, Session, Setup};

const ROOMY: u64 = 1 << 30;

fn used_bytes(world: &MemoryWorld) -> u64 {
    world.disk().files().iter().map(|(_, length)| length).sum()
}

async fn sleep(session: &Session, duration: Duration) {
    session.env.sleep_until(session.env.now() + duration).await;
}

/// Waits as long as the broker may take to notice.
async fn until_noticed(session: &Session, is_short: bool) {
    let deadline = session.env.now() + Duration::from_secs(5);
    while session.stores[0].is_short_of_space() != is_short {
        assert!(session.env.now() < deadline, "it is noticed within five seconds: short is {is_short}");
        sleep(session, Duration::from_millis(10)).await;
    }
}

#[test]
fn a_disk_that_fills_again_and_again_loses_nothing_and_needs_no_start() {
    let mut filled = 0;
    for seed in seeds(60) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let mut setup = Setup { deletes_records: true, retires: true, ..Setup::tiny(2, 1) };
        if seed % 3 == 0 {
            setup.log_config.durability = Durability::Relaxed;
        }
        let mut random = Random::from_seed(seed);
        let mut fills = Random::from_seed(seed).fork(1);
        world.run_until(async {
            let session = setup.open(&world).await;
            let filling = async {
                for _ in 0..12 {
                    sleep(&session, Duration::from_micros(fills.between(100..=60_000))).await;
                    // Somebody else takes it all, or nearly.
                    world.disk().set_bytes_max(used_bytes(&world) + fills.below(30_000));
                    sleep(&session, Duration::from_micros(fills.between(1_000..=400_000))).await;
                    filled += u64::from(session.stores[0].is_short_of_space());
                    world.disk().set_bytes_max(ROOMY);
                }
            };
            join(setup.work(&session, &mut random, 300), filling).await;
            assert!(session.stores[0].failure().is_none(), "seed {seed}: a full disk is no failure");
            setup.wait_until_all_promised(&session).await;
            until_noticed(&session, false).await;
            session.stores[0].checkpoint().await.expect("it goes on");
        });
        world.crash();
        world.run_until(async { drop(setup.open(&world).await) });
    }
    assert!(filled > 100, "the disk was full {filled} times");
}

#[test]
fn a_power_loss_while_the_disk_is_full_loses_nothing() {
    for seed in seeds(60) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup::tiny(2, 1);
        let mut random = Random::from_seed(seed);
        world.run_until(setup.try_run(&world, &mut random, 20));
        world.kill();
        world.disk().set_bytes_max(used_bytes(&world) + random.below(20_000));
        world.set_crash_after(random.between(1..=200));
        let life = async {
            let session = setup.open(&world).await;
            join(setup.work(&session, &mut random, 100), sleep(&session, Duration::from_secs(2))).await
        };
        if world.run_until_or_crash(join(life, async {})).is_ok() {
            world.crash();
        }
        world.disk().set_bytes_max(ROOMY);
        world.run_until(async { drop(setup.open(&world).await) });
    }
}

#[test]
fn too_little_room_is_noticed_before_there_is_none_and_enough_is_more_than_that() {
    let world = MemoryWorld::new(3, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        let store = &session.stores[0];
        let free_bytes_min = store.statistics().free_bytes_min;
        assert_eq!(free_bytes_min, setup.config.free_bytes_min);
        assert_eq!(store.statistics().reserve_bytes, setup.config.reserve_bytes);
        // Given a little more than the minimum, there is enough.
        world.disk().set_bytes_max(used_bytes(&world) + free_bytes_min + 8_192);
        assert!(setup.append(&session, 0, 1, 100, 1).await);
        sleep(&session, Duration::from_secs(1)).await;
        assert!(!store.is_short_of_space());
        // Less: too little, and nothing of the reserve is touched.
        world.disk().set_bytes_max(used_bytes(&world) + free_bytes_min - 1);
        assert!(setup.append(&session, 0, 1, 100, 2).await);
        until_noticed(&session, true).await;
        assert_eq!(store.statistics().reserve_bytes, setup.config.reserve_bytes);
        // A little more again is not enough.
        world.disk().set_bytes_max(used_bytes(&world) + free_bytes_min + 8_192);
        sleep(&session, Duration::from_secs(5)).await;
        assert!(store.is_short_of_space());
        world.disk().set_bytes_max(used_bytes(&world) + free_bytes_min * 5 / 4);
        until_noticed(&session, false).await;
    });
}

#[test]
fn an_idle_store_does_not_look_at_the_disk() {
    let world = MemoryWorld::new(4, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        sleep(&session, Duration::from_secs(1)).await;
        world.disk().set_bytes_max(used_bytes(&world));
        sleep(&session, Duration::from_secs(3_600)).await;
        assert!(!session.stores[0].is_short_of_space(), "nobody looked");
        assert!(setup.append(&session, 0, 1, 100, 1).await);
        until_noticed(&session, true).await;
    });
}

/// Sixty batches over both logs, all of them promised.
async fn write_some(setup: &Setup, session: &Session) {
    for salt in 0..60 {
        assert!(setup.append(session, (salt % 2) as i32, 1, 900, salt).await);
    }
    setup.wait_until_all_promised(session).await;
}

/// With nothing free outside the reserve.
fn with_nothing_free(seed: u64, test: impl AsyncFnOnce(&MemoryWorld, &Setup, &Session)) {
    let world = MemoryWorld::new(seed, Options::quiet());
    let setup = Setup::tiny(2, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        write_some(&setup, &session).await;
        world.disk().set_bytes_max(used_bytes(&world));
        test(&world, &setup, &session).await;
    });
    world.crash();
    world.disk().set_bytes_max(ROOMY);
}

#[test]
fn checkpoints_and_small_appends_have_room_in_the_reserve() {
    with_nothing_free(5, async |world, setup, session| {
        let store = &session.stores[0];
        for salt in 0..100 {
            assert!(setup.append(session, (salt % 2) as i32, 1, 200, salt).await, "an offset is committed");
            setup.wait_until_all_promised(session).await;
            if salt % 20 == 0 {
                store.checkpoint().await.expect("there is room for it");
            }
        }
        assert!(store.is_short_of_space());
        assert!(store.statistics().reserve_bytes < setup.config.reserve_bytes, "the reserve was used");
        world.disk().set_bytes_max(ROOMY);
        until_noticed(session, false).await;
        assert_eq!(store.statistics().reserve_bytes, setup.config.reserve_bytes, "and made whole again");
    });
}

#[test]
fn what_is_deleted_on_a_full_disk_makes_room() {
    with_nothing_free(6, async |world, setup, session| {
        let store = &session.stores[0];
        let before = used_bytes(world);
        let (high_watermark, all) =
            (session.logs[&0].durable_end_offset(), Retention { bytes_max: Some(0), age_ms_max: None });
        setup.model.borrow_mut().get_mut(&0).expect("it has batches").start_max = high_watermark.0;
        let retired =
            session.logs[&0].retire_segments(&all, high_watermark).await.expect("it can be given up");
        assert!(!retired.is_empty());
        store.delete_log(&session.logs[&1]).await.expect("it can be deleted");
        setup.model.borrow_mut().remove(&1);
        sleep(session, Duration::from_secs(5)).await;
        let left = world.disk().files().into_iter().filter(|(path, _)| path.contains("topic-1")).count();
        assert_eq!(left, 0, "the files of the deleted log are gone");
        assert!(used_bytes(world) < before, "there is room");
    });
}

#[test]
fn a_log_can_be_deleted_where_not_even_the_reserve_is_left() {
    let world = MemoryWorld::new(10, Options::quiet());
    let setup = Setup::tiny(2, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        write_some(&setup, &session).await;
        // Given that somebody else takes what the reserve gives back.
        world.disk().set_bytes_max(used_bytes(&world) - setup.config.reserve_bytes);
        session.stores[0].delete_log(&session.logs[&1]).await.expect("it can be deleted");
        setup.model.borrow_mut().remove(&1);
        sleep(&session, Duration::from_secs(5)).await;
        let left = world.disk().files().into_iter().filter(|(path, _)| path.contains("topic-1")).count();
        assert_eq!(left, 0, "its files made room for the checkpoint that lets its directory go");
        assert!(session.stores[0].failure().is_none());
    });
}

#[test]
fn a_start_on_a_full_disk_has_room_in_the_reserve() {
    let mut short = 0;
    for seed in seeds(20) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup::tiny(2, 1);
        let mut random = Random::from_seed(seed);
        world.run_until(async {
            let session = setup.open(&world).await;
            setup.work(&session, &mut random, 60).await;
        });
        world.kill();
        // Given a disk so full that even without the reserve little is free.
        world.disk().set_bytes_max(used_bytes(&world) - setup.config.reserve_bytes * 3 / 4);
        world.run_until(async {
            let session = setup.open(&world).await;
            // Tails that the start cut off may be room enough.
            short += u32::from(session.stores[0].is_short_of_space());
            assert!(setup.append(&session, 0, 1, 100, 1).await);
            setup.wait_until_promised(&session, 0).await;
        });
    }
    assert!(short > 5, "{short} starts of 20 were short of room");
}

#[test]
fn a_store_that_cannot_close_for_want_of_room_ends_all_the_same() {
    let world = MemoryWorld::new(8, Options::quiet());
    let setup = Setup::tiny(2, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        let store: &LogStore<Env> = &session.stores[0];
        for salt in 0..20 {
            assert!(setup.append(&session, 0, 1, 900, salt).await);
        }
        setup.wait_until_promised(&session, 0).await;
        // Given not even what the reserve gives back.
        world.disk().set_bytes_max(used_bytes(&world) - setup.config.reserve_bytes);
        assert!(setup.append(&session, 1, 1, 900, 1).await);
        setup.wait_until_promised(&session, 1).await;
        let began = session.env.now();
        assert!(matches!(store.close().await, Err(StoreFailure::Fenced(_))));
        assert!(session.env.now().since(began) < Duration::from_secs(10));
    });
    world.crash();
    world.disk().set_bytes_max(ROOMY);
    world.run_until(async {
        let session = setup.open(&world).await;
        assert_eq!(session.logs[&1].log_end_offset(), Offset(1), "it was promised by the journal");
    });
}

#[test]
fn a_log_that_finds_no_room_is_not_made_and_nobody_waits_for_it() {
    let world = MemoryWorld::new(9, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        world.disk().set_bytes_max(used_bytes(&world) - setup.config.reserve_bytes);
        let identity = ringlog_storage::LogIdentity { topic: "topic".into(), id: support::id(7) };
        let made = session.stores[0].create_log(identity.clone(), setup.log_config.clone()).await;
        assert!(matches!(made.map(|_| ()), Err(StoreFailure::Disk(failure)) if failure.is_out_of_space()));
        assert!(session.stores[0].failure().is_none());
        world.disk().set_bytes_max(ROOMY);
        let made = session.stores[0].create_log(identity, setup.log_config.clone()).await;
        assert!(made.is_ok(), "the next attempt goes on from what the first left");
        let metadata = world.disk().read(Path::new(DATA_DIR).join("topic-7/partition.metadata"));
        assert!(metadata.is_some_and(|bytes| !bytes.is_empty()));
    });
}
