//! Starts that meet more than a crash: damaged copies of checkpoints, a second crash at every change recovery
//! makes, a disk that refuses while recovery works, batches that leave offsets out.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringlog_core::ids::{Offset, TopicId, TopicPartition};
use ringlog_runtime::environment::{Environment, File, OpenMode, TaskClass, WriteSync};
use ringlog_runtime::memory::{DiskOperation, MemoryWorld, Options, Random, seeds};
use ringlog_storage::format::checkpoint::CheckpointBody;
use ringlog_storage::format::index::{OffsetEntry, index_bytes};
use ringlog_storage::{LogIdentity, Standing, StoreFailure, recover, recover_claimed, settle_unclaimed};
use support::{DATA_DIR, Setup};

/// Works until a crash at a random change of the disk.
fn work_and_crash(world: &MemoryWorld, setup: &Setup, random: &mut Random) {
    world.set_crash_after(random.between(30..=260));
    let _ = world.run_until_or_crash(async {
        let session = setup.open(world).await;
        setup.work(&session, random, 90).await;
    });
    world.crash();
}

/// Checkpoint files of the latest start of which the other copy is there and whole.
fn doubled_checkpoints(world: &MemoryWorld) -> Vec<String> {
    let mut of_owner: BTreeMap<(String, u64), Vec<String>> = BTreeMap::new();
    for (path, _) in world.disk().files() {
        let Some(stem) = path.strip_suffix(".checkpoint") else { continue };
        let owner = stem.rsplit_once('-').expect("named for a copy").0.to_owned();
        // One that an earlier round damaged is no copy; the crash came before recovery replaced it.
        let Ok(body) = CheckpointBody::parse(&world.disk().read(&path).unwrap()) else { continue };
        of_owner.entry((owner, body.start)).or_default().push(path);
    }
    let latest = of_owner.keys().map(|(_, start)| *start).max();
    let counts =
        of_owner.into_iter().filter(|((_, start), paths)| Some(*start) == latest && paths.len() == 2);
    counts.flat_map(|(_, paths)| paths).collect()
}

#[test]
fn either_copy_of_a_checkpoint_is_enough_after_a_crash_at_any_moment() {
    let (seeds, mut damaged) = (seeds(150), 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup::tiny(3, 1 + (seed % 2) as u16);
        let mut random = Random::from_seed(seed);
        for _ in 0..5 {
            work_and_crash(&world, &setup, &mut random);
            let candidates = doubled_checkpoints(&world);
            if !candidates.is_empty() {
                let victim = &candidates[random.index(candidates.len())];
                world.disk().corrupt(victim, random.between(0..=60), 1 << random.below(8));
                damaged += 1;
            }
        }
        world.run_until(async { drop(setup.open(&world).await) });
    }
    assert!(count < 150 || damaged > 2 * count, "{damaged} checkpoints were damaged in {count} seeds");
}

#[test]
fn a_second_crash_at_every_change_that_recovery_makes_loses_nothing() {
    for seed in 0..10 {
        let run = |crash_at: Option<u64>| {
            let world = MemoryWorld::new(seed, Options::quiet());
            let setup = Setup { leaves_gaps: seed % 2 == 1, ..Setup::tiny(2, 1) };
            let mut random = Random::from_seed(seed);
            work_and_crash(&world, &setup, &mut random);
            work_and_crash(&world, &setup, &mut random);
            let before = world.disk().mutations();
            if let Some(crash_at) = crash_at {
                world.set_crash_after(crash_at);
            }
            let env = setup.environment(&world, 0);
            let _ = world
                .run_until_or_crash(async { drop(recover(&env, Path::new(DATA_DIR), &setup.config).await) });
            let mutations = world.disk().mutations() - before;
            world.crash();
            world.run_until(async { drop(setup.open(&world).await) });
            mutations
        };
        for crash_at in 1..=run(None) {
            run(Some(crash_at));
        }
    }
}

#[test]
fn a_recovery_that_the_disk_refused_is_taken_up_by_the_next_start() {
    let operations = [
        DiskOperation::Open,
        DiskOperation::Read,
        DiskOperation::Write,
        DiskOperation::Sync,
        DiskOperation::Truncate,
        DiskOperation::Rename,
        DiskOperation::SyncDirectory,
    ];
    let (seeds, mut refused) = (seeds(210), 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup { leaves_gaps: true, ..Setup::tiny(2, 1) };
        let mut random = Random::from_seed(seed);
        work_and_crash(&world, &setup, &mut random);
        let operation = operations[seed as usize % operations.len()];
        world.disk().fail(operation, random.between(1..=6));
        let env = setup.environment(&world, 0);
        let outcome = world.run_until(async { recover(&env, Path::new(DATA_DIR), &setup.config).await });
        match outcome {
            // It had less to do, and the failure waits for somebody else.
            Ok(_) => continue,
            Err(failure) => assert!(matches!(failure, StoreFailure::Disk(_)), "seed {seed}: {failure}"),
        }
        refused += 1;
        if seed % 2 == 0 {
            world.crash()
        } else {
            world.kill()
        }
        world.run_until(async { drop(setup.open(&world).await) });
    }
    assert!(count < 210 || refused > count / 3, "{refused} of {count} recoveries were refused");
}

#[test]
fn recovery_on_a_full_disk_fails_or_succeeds_and_loses_nothing() {
    for seed in seeds(60) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup::tiny(2, 1);
        let mut random = Random::from_seed(seed);
        work_and_crash(&world, &setup, &mut random);
        let used: u64 = world.disk().files().iter().map(|(_, length)| length).sum();
        world.disk().set_bytes_max(used + random.below(12_000));
        let env = setup.environment(&world, 0);
        let _ = world.run_until(async { recover(&env, Path::new(DATA_DIR), &setup.config).await });
        world.crash();
        world.disk().set_bytes_max(1 << 30);
        world.run_until(async { drop(setup.open(&world).await) });
    }
}

#[test]
fn batches_that_leave_offsets_out_survive_crashes_like_any_other() {
    for seed in seeds(150) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup { leaves_gaps: true, ..Setup::tiny(2, 1) };
        let mut random = Random::from_seed(seed);
        for _ in 0..5 {
            work_and_crash(&world, &setup, &mut random);
        }
        world.run_until(async { drop(setup.open(&world).await) });
    }
}

#[test]
fn nothing_of_our_own_is_ever_moved_aside() {
    for crash_at in 1..=80 {
        let world = MemoryWorld::new(crash_at, Options::quiet());
        let setup = Setup::tiny(2, 1);
        world.set_crash_after(crash_at);
        let _ = world.run_until_or_crash(async { drop(setup.open(&world).await) });
        world.crash();
        world.run_until(async { drop(setup.open(&world).await) });
        let strays: Vec<_> =
            world.disk().files().into_iter().filter(|(path, _)| path.contains("-stray")).collect();
        assert!(strays.is_empty(), "after a crash at change {crash_at}: {strays:?}");
    }
}

#[test]
fn a_log_is_made_anew_while_the_one_of_its_name_is_deleted() {
    for seed in 0..30 {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup::tiny(1, 1);
        world.run_until(async {
            let session = setup.open(&world).await;
            let successor = TopicPartition { topic: TopicId::from_random(8, 9), ..support::id(0) };
            let identity = LogIdentity { topic: "topic".into(), id: successor };
            let (deleted, made) = futures_util::future::join(
                session.stores[0].delete_log(&session.logs[&0]),
                session.stores[0].create_log(identity, setup.log_config.clone()),
            )
            .await;
            deleted.expect("deleted");
            made.expect("made");
        });
        world.crash();
        let strays = world.disk().files().into_iter().filter(|(path, _)| path.contains("-stray")).count();
        assert_eq!(strays, 0, "seed {seed}");
        let setup = Setup { partitions: 0, ..setup };
        world.run_until(async {
            let session = setup.open(&world).await;
            let topics: Vec<_> = session.recovered.partitions().map(|id| id.topic).collect();
            assert_eq!(topics, [TopicId::from_random(8, 9)], "seed {seed}");
        });
    }
}

#[test]
fn two_tasks_that_make_one_log_get_the_same_one() {
    for seed in 0..30 {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup::tiny(0, 1);
        world.run_until(async {
            let session = setup.open(&world).await;
            let make = || {
                let identity = LogIdentity { topic: "topic".into(), id: support::id(0) };
                session.stores[0].create_log(identity, setup.log_config.clone())
            };
            let (first, second) = futures_util::future::join(make(), make()).await;
            let (first, second) = (first.expect("made"), second.expect("made"));
            first.ready().await.unwrap();
            let bytes = support::batch(0, 2, 100, 1);
            let batch = ringlog_core::record_batch::validate_stored(&bytes).unwrap().keep_offsets();
            first.append(&batch).unwrap();
            assert_eq!(second.log_end_offset(), Offset(2), "seed {seed}");
        });
    }
}

#[test]
fn a_log_that_is_rolled_while_its_store_closes_closes_well() {
    for delay in 0..100 {
        let world = MemoryWorld::new(delay, Options::quiet());
        let setup = Setup::tiny(2, 1);
        world.run_until(async {
            let session = setup.open(&world).await;
            assert!(setup.append(&session, 0, 3, 700, delay).await);
            assert!(setup.append(&session, 1, 3, 700, delay).await);
            let (store, env, log) =
                (session.stores[0].clone(), session.env.clone(), session.logs[&0].clone());
            session.env.spawn(TaskClass::Admin, async move {
                env.sleep_until(env.now() + std::time::Duration::from_micros(20 * delay)).await;
                log.roll();
            });
            store.close().await.unwrap();
        });
        world.kill();
        world.run_until(async {
            let session = setup.open(&world).await;
            assert!(session.recovered.is_clean(), "rolled after {delay}");
        });
    }
}

#[test]
fn a_log_whose_file_was_restored_is_served_again() {
    let world = MemoryWorld::new(3, Options::quiet());
    let setup = Setup { partitions: 1, ..Setup::tiny(1, 1) };
    let (path, position) = ("/data/topic-0/00000000000000000000.log", 4_096);
    world.run_until(async {
        let session = setup.open(&world).await;
        for salt in 0..3 {
            assert!(setup.append(&session, 0, 1, 5_000, salt).await);
            setup.wait_until_promised(&session, 0).await;
        }
        // A small one, whose commit notes how far the large ones were durable.
        assert!(setup.append(&session, 0, 1, 10, 9).await);
        setup.wait_until_promised(&session, 0).await;
    });
    world.crash();
    world.disk().corrupt(path, position, 1);
    let closed = Setup { partitions: 0, ..setup.clone() };
    world.run_until(async {
        let session = closed.open(&world).await;
        assert_eq!(session.recovered.damaged().count(), 1);
        session.stores[0].close().await.unwrap();
    });
    world.kill();
    // The same bit again: the bytes are what they were.
    world.disk().corrupt(path, position, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        assert_eq!(session.recovered.damaged().count(), 0);
    });
}

#[test]
fn batches_written_directly_ask_for_a_checkpoint_so_that_a_start_has_little_to_scan() {
    const BATCH_BYTES: u64 = 5 << 10;
    let world = MemoryWorld::new(1, Options::quiet());
    let mut setup = Setup::tiny(1, 1);
    setup.config.checkpoint_interval = Duration::from_secs(3600);
    setup.log_config.segment_bytes = 64 << 20;
    assert!(BATCH_BYTES > setup.config.direct_bytes_min as u64, "past the journal");
    let count = 8 * setup.config.checkpoint_bytes / BATCH_BYTES;
    world.run_until(async {
        let session = setup.open(&world).await;
        for salt in 0..count {
            assert!(setup.append(&session, 0, 1, BATCH_BYTES as usize, salt).await);
            setup.wait_until_promised(&session, 0).await;
        }
    });
    world.crash();
    world.run_until(async {
        let session = setup.open(&world).await;
        let scanned: u64 = session.recovered.repairs().map(|repair| repair.batches_scanned).sum();
        // What comes while a checkpoint is written counts for the next.
        let most = 2 * setup.config.checkpoint_bytes / BATCH_BYTES;
        assert!(scanned > 0 && scanned <= most, "{scanned} of {count} batches were scanned");
    });
}

/// The topic that has the name `topic` once another one of that name is gone.
fn successor() -> TopicPartition {
    TopicPartition { topic: TopicId::from_random(8, 9), ..support::id(0) }
}

/// Files of the directory that has a log's name, by path.
fn files_of_topic_0(world: &MemoryWorld) -> BTreeMap<String, Vec<u8>> {
    let files = world.disk().files().into_iter().filter(|(path, _)| path.starts_with("/data/topic-0/"));
    files.map(|(path, _)| (path.clone(), world.disk().read(&path).expect("listed"))).collect()
}

/// A log that a checkpoint knows and nobody opened, moved aside because another topic of its name has records.
fn world_with_a_successor(setup: &Setup) -> MemoryWorld {
    let world = MemoryWorld::new(5, Options::quiet());
    world.run_until(async {
        let session = setup.open(&world).await;
        assert!(setup.append(&session, 0, 3, 100, 1).await);
        setup.wait_until_promised(&session, 0).await;
    });
    world.crash();
    let nothing = Setup { partitions: 0, ..setup.clone() };
    world.run_until(async {
        let session = nothing.open(&world).await;
        let identity = LogIdentity { topic: "topic".into(), id: successor() };
        let log = session.stores[0].create_log(identity, setup.log_config.clone()).await.expect("made");
        log.ready().await.expect("room");
        let bytes = support::batch(0, 2, 100, 7);
        let batch = ringlog_core::record_batch::validate_stored(&bytes).expect("whole").keep_offsets();
        log.append(&batch).expect("taken");
        session.stores[0].close().await.expect("closed");
    });
    world.kill();
    assert!(world.disk().files().iter().any(|(path, _)| path.contains("-stray/")), "as it was before");
    world
}

#[test]
fn the_directory_of_a_name_stays_where_another_topic_has_the_name_by_now() {
    for standing in [Standing::Unknown, Standing::Deleted] {
        let setup = Setup::tiny(1, 1);
        let world = world_with_a_successor(&setup);
        let before = files_of_topic_0(&world);
        for start in 0..2 {
            let env = setup.environment(&world, 0);
            world.run_until(async {
                let recovered = recover(&env, Path::new(DATA_DIR), &setup.config).await.expect("recovers");
                let mut recovered = Arc::new(recovered);
                let has_former = recovered.partitions().any(|id| id == support::id(0));
                assert_eq!(has_former, start == 0, "{standing:?}, start {start}: it is forgotten");
                let standing = |id| if id == successor() { Standing::Claimed } else { standing };
                let settled = settle_unclaimed(&env, Path::new(DATA_DIR), &mut recovered, standing).await;
                let settled = settled.expect("settled");
                assert_eq!((settled.removed.len(), settled.aside.len()), (0, 0), "{settled:?}");
                assert_eq!(recovered.partitions().collect::<Vec<_>>(), [successor()]);
            });
            world.kill();
            assert_eq!(files_of_topic_0(&world), before, "{standing:?}");
        }
    }
}

#[test]
fn a_log_that_cannot_be_moved_aside_is_known_until_it_is() {
    let world = MemoryWorld::new(5, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        assert!(setup.append(&session, 0, 3, 100, 1).await);
        session.stores[0].close().await.expect("closed");
    });
    world.kill();
    let env = setup.environment(&world, 0);
    world.run_until(async {
        let data_dir = Path::new(DATA_DIR);
        let mut recovered = Arc::new(recover(&env, data_dir, &setup.config).await.expect("recovers"));
        world.disk().fail(DiskOperation::Rename, 1);
        let settle = settle_unclaimed(&env, data_dir, &mut recovered, |_| Standing::Deleted);
        settle.await.expect_err("the disk refuses");
        assert_eq!(recovered.partitions().collect::<Vec<_>>(), [support::id(0)]);
        let settle = settle_unclaimed(&env, data_dir, &mut recovered, |_| Standing::Deleted);
        assert_eq!(settle.await.expect("settled").removed, [data_dir.join("topic-0")]);
        assert_eq!(recovered.partitions().count(), 0);
    });
    assert_eq!(files_of_topic_0(&world).len(), 0);
}

/// A directory `topic-0` that this broker did not write, with these files beside what says whose it is.
fn world_with_a_strange_log(files: &[(&str, Vec<u8>)]) -> MemoryWorld {
    let world = MemoryWorld::new(5, Options::quiet());
    let setup = Setup::tiny(0, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        session.stores[0].close().await.expect("closed");
    });
    world.kill();
    let metadata = format!("version: 0\ntopic_id: {}\n", successor().topic).into_bytes();
    world.run_until(async {
        let env = setup.environment(&world, 0);
        env.create_directory(Path::new("/data/topic-0")).await.expect("made");
        for (name, bytes) in files.iter().chain([&("partition.metadata", metadata)]) {
            let path = format!("/data/topic-0/{name}");
            let file = env.open(Path::new(&path), OpenMode::BufferedWrite).await.expect("made");
            let mut buffer = env.arena().allocate(bytes.len()).expect("memory");
            buffer.extend_from_slice(bytes);
            file.write_at(0, vec![buffer.freeze()], WriteSync::Later).await.expect("written");
        }
    });
    world.kill();
    world
}

const FIRST_SEGMENT: &str = "00000000000000000000.log";

/// Batches of two records at these offsets.
fn batches(offsets: &[i64]) -> Vec<u8> {
    offsets.iter().flat_map(|offset| support::batch(*offset, 2, 100, 1)).collect()
}

/// Offsets are left out in it, as compaction leaves them out.
fn world_with_a_compacted_log() -> MemoryWorld {
    world_with_a_strange_log(&[
        (FIRST_SEGMENT, batches(&[0, 10])),
        ("00000000000000000020.log", batches(&[20, 22])),
    ])
}

#[test]
fn a_log_that_no_topic_has_and_no_checkpoint_knows_is_moved_aside_as_it_is() {
    let (world, setup) = (world_with_a_compacted_log(), Setup::tiny(0, 1));
    let before: Vec<Vec<u8>> = files_of_topic_0(&world).into_values().collect();
    world.run_until(async {
        let (env, data_dir) = (setup.environment(&world, 0), Path::new(DATA_DIR));
        let recovered = recover_claimed(&env, data_dir, &setup.config, |_| false).await.expect("recovers");
        assert_eq!(recovered.partitions().count(), 0);
        let mut recovered = Arc::new(recovered);
        let settle = settle_unclaimed(&env, data_dir, &mut recovered, |_| Standing::Unknown);
        assert_eq!(settle.await.expect("settled").aside.len(), 1);
    });
    let files = world.disk().files().into_iter().filter(|(path, _)| path.contains("-stray/"));
    let kept: Vec<Vec<u8>> = files.map(|(path, _)| world.disk().read(&path).expect("listed")).collect();
    assert_eq!(kept, before);
}

#[test]
fn a_log_that_no_checkpoint_knows_and_that_goes_on_behind_a_gap_is_refused_and_not_cut() {
    refuses_and_cuts_nothing(&world_with_a_compacted_log());
    refuses_and_cuts_nothing(&world_with_a_strange_log(&[(FIRST_SEGMENT, batches(&[0, 10]))]));
}

#[test]
fn a_log_that_no_checkpoint_knows_and_that_goes_on_behind_damage_is_refused_and_not_cut() {
    let mut damaged = batches(&[0, 2, 4, 6]);
    damaged[before_gap() as usize + 70] ^= 1;
    let third = OffsetEntry { last_offset: Offset(5), position: 2 * before_gap() as u32 };
    let index = index_bytes(Offset(0), &[third]);
    let files = [(FIRST_SEGMENT, damaged.clone()), ("00000000000000000000.index", index)];
    refuses_and_cuts_nothing(&world_with_a_strange_log(&files));
    // What the disk cannot read may lead there.
    let world = world_with_a_strange_log(&files);
    world.disk().set_unreadable("/data/topic-0/00000000000000000000.index", 0);
    refuses_and_cuts_nothing(&world);
    let files = [(FIRST_SEGMENT, damaged), ("00000000000000000008.log", batches(&[8]))];
    refuses_and_cuts_nothing(&world_with_a_strange_log(&files));
}

#[track_caller]
fn refuses_and_cuts_nothing(world: &MemoryWorld) {
    let (before, setup) = (files_of_topic_0(world), Setup::tiny(0, 1));
    for start in 0..3 {
        world.run_until(async {
            let env = setup.environment(world, 0);
            let recovered = recover(&env, Path::new(DATA_DIR), &setup.config).await.expect("recovers");
            let damaged: Vec<_> = recovered.damaged().collect();
            let (id, damage) = damaged[0];
            assert_eq!((id, damage.bytes.start), (successor(), before_gap()), "start {start}: {damage}");
        });
        world.kill();
        assert_eq!(files_of_topic_0(world), before, "start {start}");
    }
}

/// Where the batch stands behind the offsets that are left out, or the one that is damaged.
fn before_gap() -> u64 {
    support::batch(0, 2, 100, 1).len() as u64
}

#[test]
fn what_a_journal_has_of_a_log_without_a_topic_is_in_its_files_when_it_is_moved_aside() {
    let world = MemoryWorld::new(5, Options::quiet());
    let setup = Setup::tiny(1, 1);
    world.run_until(async {
        let session = setup.open(&world).await;
        assert!(setup.append(&session, 0, 3, 100, 1).await);
        setup.wait_until_promised(&session, 0).await;
    });
    world.kill();
    world.run_until(async {
        let env = setup.environment(&world, 0);
        let recovered = recover_claimed(&env, Path::new(DATA_DIR), &setup.config, |_| false).await;
        let recovered = recovered.expect("recovers");
        assert_eq!(recovered.repairs().map(|repair| repair.batches_replayed).sum::<u64>(), 1);
    });
    let written = support::batch(0, 3, 100, 1);
    assert_eq!(files_of_topic_0(&world)["/data/topic-0/00000000000000000000.log"], written);
}

#[test]
fn what_an_attempt_to_make_a_log_left_is_removed_by_the_next_start() {
    let (world, setup) = (MemoryWorld::new(5, Options::quiet()), Setup::tiny(0, 1));
    world.run_until(async {
        let (env, data_dir) = (setup.environment(&world, 0), Path::new(DATA_DIR));
        recover(&env, data_dir, &setup.config).await.expect("recovers");
        for name in ["topic-0/partition.metadata.tmp", "topic-1/partition.metadata.tmp", "topic-1/kept"] {
            let path = data_dir.join(name);
            env.create_directory(path.parent().expect("a directory")).await.expect("made");
            env.open(&path, OpenMode::BufferedWrite).await.expect("made");
        }
        recover(&env, data_dir, &setup.config).await.expect("recovers");
    });
    let left: Vec<String> = world.disk().files().into_iter().map(|(path, _)| path).collect();
    let left: Vec<&String> = left.iter().filter(|path| path.contains("/topic-")).collect();
    assert_eq!(
        left,
        ["/data/topic-1/kept", "/data/topic-1/partition.metadata.tmp"],
        "of which nobody knows more"
    );
}
