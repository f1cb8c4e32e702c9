//! Records deleted from the front of a log stay deleted, and the files below it go.

mod support;

use std::path::Path;

use ringlog_core::ids::Offset;
use ringlog_runtime::environment::{Environment, File, OpenMode, WriteSync};
use ringlog_runtime::memory::{MemoryWorld, Options, Random};
use ringlog_storage::{AppendError, AtLeastOne, Durability, LogConfig, ReadError, recover};
use support::{DATA_DIR, Env, Session, Setup};

/// The base offsets of the segment files in the directory of partition 0.
async fn segment_files(env: &Env) -> Vec<i64> {
    let directory = Path::new(DATA_DIR).join("topic-0");
    let entries = env.list_directory(&directory).await.expect("a directory");
    let logs = entries.iter().filter_map(|entry| entry.name.strip_suffix(".log"));
    let mut found: Vec<i64> = logs.map(|name| name.parse().expect("a number")).collect();
    found.sort_unstable();
    found
}

/// Appends so many batches of ten records, with a segment each.
async fn append_segments(setup: &Setup, session: &Session, count: usize) {
    for salt in 0..count {
        assert!(setup.append(session, 0, 10, 50, salt as u64).await);
        session.logs[&0].roll();
    }
    setup.wait_until_promised(session, 0).await;
}

async fn delete_below(setup: &Setup, session: &Session, offset: i64) {
    setup.model.borrow_mut().get_mut(&0).expect("a log").start_max = offset;
    session.logs[&0].advance_log_start(Offset(offset)).await.expect("deleted");
    setup.model.borrow_mut().get_mut(&0).expect("a log").start = offset;
}

async fn until_files_are(session: &Session, expected: &[i64]) {
    for _ in 0..100_000 {
        if segment_files(&session.env).await == expected {
            return;
        }
        session.env.sleep_until(session.env.now() + std::time::Duration::from_micros(100)).await;
    }
    assert_eq!(segment_files(&session.env).await, expected);
}

#[test]
fn files_of_passed_segments_are_removed_and_those_with_a_record_left_stay() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        append_segments(&setup, &session, 4).await;
        assert!(setup.append(&session, 0, 1, 10, 9).await);
        setup.wait_until_promised(&session, 0).await;
        delete_below(&setup, &session, 25).await;
        until_files_are(&session, &[20, 30, 40]).await;
        let log = &session.logs[&0];
        assert_eq!(
            log.segments().iter().map(|segment| segment.base_offset.0).collect::<Vec<_>>(),
            [20, 30, 40]
        );
        let read = log.plan_read(Offset(25), Offset(41), 1, AtLeastOne::Batch).expect("there");
        let read = read.execute().await.expect("readable");
        assert_eq!(read.end_offset, Offset(30), "the whole batch that holds the offset");
        assert!(matches!(
            log.plan_read(Offset(24), Offset(41), 1, AtLeastOne::Batch),
            Err(ReadError::OffsetOutOfRange { asked: Offset(24), log_start_offset: Offset(25), .. })
        ));
    });
    world.crash();
    world.run_until(async {
        let session = setup.open(&world).await;
        assert_eq!(session.logs[&0].log_start_offset(), Offset(25));
        assert_eq!(segment_files(&session.env).await, [20, 30, 40]);
    });
}

#[test]
fn a_start_removes_what_a_crash_left_below_the_log_start() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        append_segments(&setup, &session, 4).await;
        session.stores[0].checkpoint().await.expect("written");
        delete_below(&setup, &session, 40).await;
    });
    world.crash();
    world.run_until(async {
        let session = setup.open(&world).await;
        assert_eq!(session.logs[&0].log_start_offset(), Offset(40));
        assert_eq!(session.recovered.damaged().count(), 0);
        assert_eq!(segment_files(&session.env).await, [40]);
    });
}

#[test]
fn a_log_deleted_to_its_end_goes_on_from_there() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        assert!(setup.append(&session, 0, 10, 50, 1).await);
        setup.wait_until_promised(&session, 0).await;
        delete_below(&setup, &session, 10).await;
        // The segment is active still; it goes once another one is.
        session.logs[&0].roll();
        until_files_are(&session, &[]).await;
        assert!(setup.append(&session, 0, 1, 50, 2).await);
        setup.wait_until_promised(&session, 0).await;
        session.stores[0].close().await.expect("closed");
    });
    world.kill();
    world.run_until(async {
        let session = setup.open(&world).await;
        assert!(session.recovered.is_clean());
        let log = &session.logs[&0];
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(10), Offset(11)));
        assert_eq!(segment_files(&session.env).await, [10]);
    });
}

#[test]
fn the_start_of_a_log_never_goes_back() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        append_segments(&setup, &session, 2).await;
        delete_below(&setup, &session, 15).await;
        session.logs[&0].advance_log_start(Offset(3)).await.expect("nothing to do");
        assert_eq!(session.logs[&0].log_start_offset(), Offset(15));
    });
}

#[test]
fn a_relaxed_log_that_lost_its_deleted_end_begins_where_it_ends() {
    let world = MemoryWorld::new(1, Options::quiet());
    let log_config = LogConfig { durability: Durability::Relaxed, ..LogConfig::default() };
    let setup = Setup { log_config, ..Setup::tiny(1, 1) };
    world.run_until(async {
        let session = setup.open(&world).await;
        assert!(setup.append(&session, 0, 10, 500, 1).await, "so much goes to its file, later");
        delete_below(&setup, &session, 10).await;
    });
    world.crash();
    // The model forgets nothing that was promised: another one.
    let setup = Setup { model: support::Model::default(), ..setup };
    world.run_until(async {
        let session = setup.open(&world).await;
        let log = &session.logs[&0];
        assert_eq!(log.log_start_offset(), log.log_end_offset());
    });
}

#[test]
fn a_deleted_log_and_a_failed_disk_take_no_new_start() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        append_segments(&setup, &session, 2).await;
        session.stores[0].delete_log(&session.logs[&0]).await.expect("deleted");
        let refused = session.logs[&0].advance_log_start(Offset(5)).await;
        assert!(matches!(refused, Err(AppendError::Closed)), "{refused:?}");
    });
}

#[test]
fn deletions_survive_a_crash_at_every_change_of_the_disk() {
    let run = |seed: u64, crash_at: Option<u64>| -> u64 {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup { deletes_records: true, ..Setup::tiny(1, 1) };
        let mut random = Random::from_seed(11);
        if let Some(crash_at) = crash_at {
            world.set_crash_after(crash_at);
        }
        let _ = world.run_until_or_crash(async {
            let session = setup.open(&world).await;
            for round in 0..3 {
                append_segments(&setup, &session, 2).await;
                delete_below(&setup, &session, round * 20 + 13).await;
                setup.work(&session, &mut random, 4).await;
                setup.wait_until_all_promised(&session).await;
                session.stores[0].checkpoint().await.expect("written");
            }
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
        for seed in 0..4 {
            run(seed, Some(crash_at));
        }
    }
}

#[test]
fn either_checkpoint_is_enough_once_files_are_removed() {
    for damaged in 0..2 {
        let world = MemoryWorld::new(1, Options::quiet());
        let setup = Setup::tiny(1, 1);
        world.run_until(async {
            let session = setup.open(&world).await;
            append_segments(&setup, &session, 4).await;
            session.stores[0].checkpoint().await.expect("written");
            delete_below(&setup, &session, 25).await;
            until_files_are(&session, &[20, 30]).await;
        });
        world.crash();
        world.disk().corrupt(format!("/data/checkpoint/shard-0-{damaged}.checkpoint"), 50, 1);
        world.run_until(async {
            let session = setup.open(&world).await;
            assert_eq!(session.recovered.damaged().count(), 0, "without checkpoint {damaged}");
            assert_eq!(session.logs[&0].log_start_offset(), Offset(25));
        });
    }
}

#[test]
fn a_damaged_log_keeps_its_start_for_the_time_it_is_restored() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        append_segments(&setup, &session, 3).await;
        assert!(setup.append(&session, 0, 10, 50, 9).await);
        setup.wait_until_promised(&session, 0).await;
        session.stores[0].checkpoint().await.expect("written");
        delete_below(&setup, &session, 15).await;
    });
    world.crash();
    let path = "/data/topic-0/00000000000000000030.log";
    let whole = world.disk().read(path).expect("a segment");
    world.disk().truncate(path, 10);
    for _ in 0..2 {
        let env = setup.environment(&world, 0);
        let recovered = world.run_until(async { recover(&env, Path::new(DATA_DIR), &setup.config).await });
        assert_eq!(recovered.expect("recovers").damaged().count(), 1);
        world.kill();
    }
    let env = setup.environment(&world, 0);
    world.run_until(async {
        put_back(&env, path, &whole).await;
        let session = setup.open(&world).await;
        assert_eq!(session.recovered.damaged().count(), 0);
        assert_eq!(session.logs[&0].log_start_offset(), Offset(15));
        assert_eq!(segment_files(&session.env).await, [10, 20, 30]);
    });
}

/// Restores a file that was cut.
async fn put_back(env: &Env, path: &str, whole: &[u8]) {
    let mut content = env.arena().allocate(whole.len()).expect("memory");
    content.extend_from_slice(whole);
    let file = env.open(Path::new(path), OpenMode::BufferedWrite).await.expect("opens");
    file.write_at(0, vec![content.freeze()], WriteSync::BeforeCompletion).await.expect("written");
}

/// The end of a log is cut off while the broker runs, and met only when the next batch is to be appended. By then records were
/// deleted, and their files are gone.
#[test]
fn a_log_found_damaged_while_it_runs_keeps_its_start_for_the_time_it_is_restored() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        append_segments(&setup, &session, 3).await;
        assert!(setup.append(&session, 0, 10, 50, 9).await);
        session.stores[0].close().await.expect("closed");
    });
    world.kill();
    let path = "/data/topic-0/00000000000000000030.log";
    let whole = world.disk().read(path).expect("a segment");
    world.run_until(async {
        let session = setup.open(&world).await;
        delete_below(&setup, &session, 15).await;
        until_files_are(&session, &[10, 20, 30]).await;
        world.disk().truncate(path, 10);
        assert!(matches!(session.logs[&0].ready().await, Err(AppendError::Damaged(_))));
        assert!(
            !setup.append(&session, 0, 1, 10, 10).await,
            "it takes nothing that the journal would have alone"
        );
        // What both kept checkpoints were written without would be forgotten.
        for _ in 0..3 {
            session.stores[0].checkpoint().await.expect("written");
        }
    });
    world.kill();
    let setup_without = Setup { partitions: 0, ..setup.clone() };
    for _ in 0..2 {
        world.run_until(async {
            let session = setup_without.open(&world).await;
            let damaged: Vec<_> =
                session.recovered.damaged().map(|(_, damage)| damage.path.clone()).collect();
            assert_eq!(damaged, [Path::new(path)], "of all it has the cut segment alone");
            let log = setup.create(&session, 0).await;
            assert!(matches!(log.ready().await, Err(AppendError::Damaged(_))));
            for _ in 0..3 {
                session.stores[0].checkpoint().await.expect("written");
            }
        });
        world.kill();
    }
    let env = setup.environment(&world, 0);
    world.run_until(async {
        put_back(&env, path, &whole).await;
        let session = setup.open(&world).await;
        assert_eq!(session.recovered.damaged().count(), 0);
        assert_eq!(session.logs[&0].log_start_offset(), Offset(15));
        assert!(setup.append(&session, 0, 1, 10, 10).await);
    });
}

#[test]
fn a_clean_close_behind_a_roll_leaves_nothing_to_repair() {
    let world = MemoryWorld::new(1, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        append_segments(&setup, &session, 2).await;
        session.stores[0].checkpoint().await.expect("written");
        delete_below(&setup, &session, 20).await;
        session.stores[0].close().await.expect("closed");
    });
    world.kill();
    world.run_until(async {
        let session = setup.open(&world).await;
        assert!(session.recovered.is_clean());
        assert_eq!(session.recovered.repairs().count(), 0);
        assert_eq!(session.logs[&0].log_start_offset(), Offset(20));
    });
}
