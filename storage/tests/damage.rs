//! Damage below the durable end is reported with file and range and never cut away; a torn tail is cut and never
//! reported. The two are never confused.

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use ringlog_core::ids::Offset;
use ringlog_runtime::environment::Environment;
use ringlog_runtime::memory::{MemoryWorld, Options, Random, seeds};
use ringlog_storage::{
    AppendError, AtLeastOne, Durability, LogConfig, ReadError, StoreConfig, StoreFailure, recover,
};
use support::{DATA_DIR, Session, Setup};

const LOG: &str = "/data/topic-0/00000000000000000000.log";
const JOURNAL: &str = "/data/journal/shard-0/00000001.journal";

/// Sizes at which nothing rolls, nothing is checkpointed by itself and nothing leaves the first journal file.
fn roomy() -> Setup {
    let config = StoreConfig {
        journal_first_file_bytes: 1 << 20,
        journal_file_bytes: 1 << 20,
        journal_bytes_max: 4 << 20,
        commit_bytes_max: 64 << 10,
        direct_bytes_min: 32 << 10,
        ..StoreConfig::production()
    };
    Setup { config, log_config: LogConfig::default(), ..Setup::tiny(2, 1) }
}

fn world() -> MemoryWorld {
    MemoryWorld::new(11, Options::quiet())
}

async fn append_some(setup: &Setup, session: &Session, count: usize) {
    for salt in 0..count {
        for partition in 0..setup.partitions {
            assert!(setup.append(session, partition, 2, 300, salt as u64).await);
            setup.wait_until_promised(session, partition).await;
        }
    }
}

fn all_files(world: &MemoryWorld) -> BTreeMap<String, Vec<u8>> {
    let files = world.disk().files();
    files.into_iter().map(|(path, _)| (path.clone(), world.disk().read(&path).unwrap())).collect()
}

fn recover_fails(world: &MemoryWorld, setup: &Setup) -> String {
    let env = setup.environment(world, 0);
    let result = world.run_until(async { recover(&env, Path::new(DATA_DIR), &setup.config).await });
    match result {
        Err(StoreFailure::Damaged(damage)) => damage.to_string(),
        other => panic!("expected damage, found {other:?}"),
    }
}

#[test]
fn a_damaged_commit_with_a_later_one_behind_it_is_refused_and_nothing_is_changed() {
    let (world, setup) = (world(), roomy());
    world.run_until(async {
        let session = setup.open(&world).await;
        append_some(&setup, &session, 6).await;
    });
    world.crash();
    world.disk().corrupt(JOURNAL, 3 * 4096 + 200, 1);
    let before = all_files(&world);
    let message = recover_fails(&world, &setup);
    assert!(message.contains("00000001.journal is damaged at bytes"), "{message}");
    assert!(message.contains("commit 4 does not follow commit 3"), "{message}");
    assert_eq!(all_files(&world), before);
}

#[test]
fn a_torn_last_commit_is_a_tail_and_not_damage() {
    let (world, setup) = (world(), roomy());
    world.run_until(async {
        let session = setup.open(&world).await;
        append_some(&setup, &session, 3).await;
        assert!(setup.append(&session, 0, 1, 100, 9).await);
        assert_eq!(session.logs[&0].durable_end_offset(), Offset(6), "not written yet");
    });
    // As if only a part of the seventh commit had come to the disk, which nobody was told of.
    world.crash();
    world.run_until(async {
        let session = setup.open(&world).await;
        assert_eq!(session.recovered.damaged().count(), 0);
    });
}

#[test]
fn commits_of_an_earlier_start_are_never_replayed() {
    let (world, setup) = (world(), roomy());
    world.run_until(async {
        let session = setup.open(&world).await;
        append_some(&setup, &session, 5).await;
    });
    world.crash();
    let stale = world.disk().read(JOURNAL).unwrap();
    world.run_until(async {
        let session = setup.open(&world).await;
        append_some(&setup, &session, 1).await;
    });
    world.crash();
    // The old commits 3.. still stand behind the new ones, in the same file.
    let now = world.disk().read(JOURNAL).unwrap();
    assert_eq!(stale[3 * 4096..5 * 4096], now[3 * 4096..5 * 4096]);
    assert_ne!(stale[..4096], now[..4096]);
    world.run_until(async { drop(setup.open(&world).await) });
}

/// Appends large batches, which go to the segment directly, and small ones, which note in the journal how far
/// the large ones were durable.
async fn append_directly(setup: &Setup, session: &Session) {
    for salt in 0..3 {
        assert!(setup.append(session, 0, 1, 40_000, salt).await);
        setup.wait_until_promised(session, 0).await;
        assert!(setup.append(session, 0, 1, 100, salt).await);
        setup.wait_until_promised(session, 0).await;
    }
}

#[test]
fn damage_among_acknowledged_batches_refuses_that_log_and_serves_the_others() {
    let (world, setup) = (world(), roomy());
    world.run_until(async {
        let session = setup.open(&world).await;
        append_directly(&setup, &session).await;
        assert!(setup.append(&session, 1, 3, 100, 7).await);
        setup.wait_until_promised(&session, 1).await;
    });
    world.crash();
    // In the second large batch: the journal knows that it was durable.
    world.disk().corrupt(LOG, 60_000, 4);
    // Twice: what a damaged log must reach is not forgotten by recovering.
    for _ in 0..2 {
        let segment = world.disk().read(LOG).unwrap();
        let setup = Setup { partitions: 0, ..setup.clone() };
        world.run_until(async {
            let session = setup.open(&world).await;
            let damaged: Vec<_> =
                session.recovered.damaged().map(|(id, damage)| (id, damage.clone())).collect();
            assert_eq!(damaged.len(), 1);
            assert_eq!((damaged[0].0, damaged[0].1.path.as_path()), (support::id(0), Path::new(LOG)));
            assert_eq!(damaged[0].1.offsets, Some(2..5), "the last small batch was told to nobody's journal");
            let log = setup.create(&session, 0).await;
            assert!(matches!(log.ready().await, Err(AppendError::Damaged(_))));
            assert!(matches!(log.ready_to_read().await, Err(ReadError::Damaged(_))));
            let read = log.plan_read(Offset(0), Offset(1), 100, AtLeastOne::Batch);
            assert!(matches!(read, Err(ReadError::Damaged(_))));
            let other = setup.create(&session, 1).await;
            assert_eq!(other.log_end_offset(), Offset(3));
            assert_eq!(
                support::read_all(&other, 0, 3).await.len(),
                setup.model.borrow()[&1].bytes_from(0).len()
            );
        });
        // Journaled batches behind the hole are brought into the file: they would be lost with the journal.
        let kept = world.disk().read(LOG).unwrap();
        let is_kept = segment.iter().zip(&kept).all(|(before, after)| *before == 0 || before == after);
        assert!(kept.len() >= segment.len() && is_kept, "nothing of a damaged log is cut");
        world.crash();
    }
    // And with the byte mended, everything acknowledged is back.
    world.disk().corrupt(LOG, 60_000, 4);
    world.run_until(async { drop(setup.open(&world).await) });
}

#[test]
fn damage_among_batches_that_all_went_to_the_segment_directly_is_no_torn_tail() {
    let (world, setup) = (world(), Setup { partitions: 1, ..roomy() });
    world.run_until(async {
        let session = setup.open(&world).await;
        for salt in 0..3 {
            assert!(setup.append(&session, 0, 1, 40_000, salt).await);
            setup.wait_until_promised(&session, 0).await;
        }
        // No commit of others comes: the journal notes by itself how far the log is durable.
        session.env.sleep_until(session.env.now() + std::time::Duration::from_millis(100)).await;
    });
    world.crash();
    world.disk().corrupt(LOG, 60_000, 4);
    let setup = Setup { partitions: 0, ..setup };
    world.run_until(async {
        let session = setup.open(&world).await;
        let damaged: Vec<_> = session.recovered.damaged().map(|(id, damage)| (id, damage.clone())).collect();
        assert_eq!(damaged.len(), 1, "what was acknowledged is refused, not cut");
        assert_eq!((damaged[0].0, damaged[0].1.offsets.clone()), (support::id(0), Some(1..3)));
    });
}

#[test]
fn a_segment_shorter_than_its_checkpoint_claims_is_damage() {
    let (world, setup) = (world(), roomy());
    world.run_until(async {
        let session = setup.open(&world).await;
        append_some(&setup, &session, 4).await;
        session.stores[0].close().await.unwrap();
    });
    world.crash();
    world.disk().truncate(LOG, 1000);
    let setup = Setup { partitions: 0, ..setup };
    world.run_until(async {
        let session = setup.open(&world).await;
        let (_, damage) = session.recovered.damaged().next().expect("it is missed");
        assert_eq!((damage.path.as_path(), damage.bytes.start), (Path::new(LOG), 1000));
    });
}

#[test]
fn a_sealed_segment_that_is_gone_or_has_another_length_is_damage() {
    for tampering in ["remove", "cut"] {
        let (world, setup) = (world(), Setup { partitions: 1, ..roomy() });
        world.run_until(async {
            let session = setup.open(&world).await;
            for _ in 0..3 {
                append_some(&setup, &session, 2).await;
                session.logs[&0].roll();
            }
            session.stores[0].close().await.unwrap();
        });
        let middle = "/data/topic-0/00000000000000000004.log";
        let env = setup.environment(&world, 0);
        world.run_until(async {
            match tampering {
                "remove" => env.remove_file(Path::new(middle)).await.unwrap(),
                _ => world.disk().truncate(middle, 100),
            }
        });
        world.kill();
        let setup = Setup { partitions: 0, ..setup };
        world.run_until(async {
            let session = setup.open(&world).await;
            assert_eq!(session.recovered.damaged().count(), 1, "{tampering}");
        });
    }
}

#[test]
fn a_directory_that_is_gone_is_damage_and_a_deleted_log_is_not() {
    let (world, setup) = (world(), roomy());
    world.run_until(async {
        let session = setup.open(&world).await;
        append_some(&setup, &session, 2).await;
        session.stores[0].close().await.unwrap();
    });
    world.kill();
    world.run_until(async {
        let session = setup.open(&world).await;
        session.stores[0].delete_log(&session.logs[&1]).await.unwrap();
        assert!(matches!(session.logs[&1].ready().await, Err(AppendError::Closed)));
    });
    world.crash();
    let env = setup.environment(&world, 0);
    world.run_until(async {
        for file in env.list_directory(Path::new("/data/topic-0")).await.unwrap() {
            env.remove_file(&Path::new("/data/topic-0").join(file.name)).await.unwrap();
        }
        env.remove_directory(Path::new("/data/topic-0")).await.unwrap();
        env.sync_directory(Path::new("/data")).await.unwrap();
    });
    world.kill();
    let setup = Setup { partitions: 0, ..setup };
    for _ in 0..2 {
        world.run_until(async {
            let session = setup.open(&world).await;
            let damaged: Vec<_> = session.recovered.damaged().map(|(id, _)| id).collect();
            assert_eq!(damaged, [support::id(0)], "partition 1 was deleted, partition 0 is missed");
        });
        world.crash();
    }
}

#[test]
fn one_damaged_checkpoint_is_bridged_by_the_other() {
    for (number, victim) in (0..2).flat_map(|number| [(number, "shard-0"), (number, "recovered")]) {
        let (world, setup) = (world(), roomy());
        world.run_until(async {
            let session = setup.open(&world).await;
            for _ in 0..3 {
                append_some(&setup, &session, 3).await;
                session.stores[0].checkpoint().await.unwrap();
            }
            append_some(&setup, &session, 1).await;
        });
        world.crash();
        world.disk().corrupt(format!("/data/checkpoint/{victim}-{number}.checkpoint"), 50, 1);
        world.run_until(async { drop(setup.open(&world).await) });
    }
}

#[test]
fn two_damaged_checkpoints_and_orphaned_journals_are_refused() {
    let (world, setup) = (world(), roomy());
    world.run_until(async {
        let session = setup.open(&world).await;
        append_some(&setup, &session, 2).await;
    });
    world.crash();
    for number in 0..2 {
        world.disk().corrupt(format!("/data/checkpoint/shard-0-{number}.checkpoint"), 50, 1);
    }
    assert!(recover_fails(&world, &setup).contains("shard-0"));
    let env = setup.environment(&world, 0);
    world.run_until(async {
        for name in ["shard-0-0", "shard-0-1", "recovered-0", "recovered-1"] {
            let path = format!("/data/checkpoint/{name}.checkpoint");
            env.remove_file(Path::new(&path)).await.unwrap();
        }
    });
    assert!(recover_fails(&world, &setup).contains("all checkpoints are gone"));
}

#[test]
fn a_flipped_bit_in_a_cold_segment_is_reported_with_its_range_and_never_served() {
    let (world, setup) = (world(), Setup { partitions: 1, ..roomy() });
    world.run_until(async {
        let session = setup.open(&world).await;
        append_some(&setup, &session, 30).await;
        session.stores[0].close().await.unwrap();
    });
    world.kill();
    let batch_bytes = setup.model.borrow()[&0].batches[0].bytes.len() as u64;
    let whole = world.disk().read(LOG).unwrap();
    let mut random = Random::from_seed(3);
    for _ in 0..60 {
        let position = random.below(whole.len() as u64);
        let mask = 1 << random.below(8);
        world.disk().corrupt(LOG, position, mask);
        world.run_until(async {
            let session = Setup { partitions: 0, ..setup.clone() }.open(&world).await;
            let log = setup.create(&session, 0).await;
            for batch in 0..30i64 {
                let plan =
                    log.plan_read(Offset(batch * 2), Offset(batch * 2 + 2), 100, AtLeastOne::Batch).unwrap();
                match plan.execute().await {
                    Ok(read) => {
                        let bytes: Vec<u8> = read.slices.iter().flat_map(|slice| slice.to_vec()).collect();
                        let start = (batch as u64 * batch_bytes) as usize;
                        let expected = &whole[start..start + batch_bytes as usize];
                        assert!(bytes == expected, "byte {position}: batch {batch}");
                    }
                    Err(ReadError::Damaged(damage)) => {
                        assert_eq!(damage.path, Path::new(LOG));
                        assert!(
                            damage.bytes.contains(&position) || damage.bytes.start < position,
                            "{damage}"
                        );
                        let (block, end) = (position / 4096, (batch as u64 + 1) * batch_bytes);
                        let is_in_block = end > block * 4096 && end - batch_bytes < (block + 1) * 4096;
                        // A header that lies about its length leads nowhere: what follows is out of reach up to the next entry
                        // of the index, and here there is none.
                        let is_out_of_reach = (8..12).contains(&(position % batch_bytes))
                            && batch as u64 > position / batch_bytes;
                        assert!(
                            is_in_block || is_out_of_reach,
                            "byte {position}: batch {batch} lies elsewhere: {damage}"
                        );
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        });
        world.kill();
        world.disk().corrupt(LOG, position, mask);
    }
}

#[test]
fn a_relaxed_log_keeps_a_prefix_and_says_at_once_what_it_has() {
    for seed in seeds(40) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let mut setup = Setup::tiny(1, 1);
        setup.log_config.durability = Durability::Relaxed;
        let mut random = Random::from_seed(seed);
        world.run_until(async {
            let session = setup.open(&world).await;
            for salt in 0..random.between(1..=40) {
                assert!(setup.append(&session, 0, 1, 200, salt).await);
                let log = &session.logs[&0];
                assert_eq!(log.durable_end_offset(), log.log_end_offset());
            }
            session
                .env
                .sleep_until(session.env.now() + std::time::Duration::from_millis(random.below(40)))
                .await;
        });
        world.crash();
        // Relaxed means that what was told may be lost; what is left is a prefix, as `open` checks.
        setup.model.borrow_mut().get_mut(&0).unwrap().promised = 0;
        world.run_until(async { drop(setup.open(&world).await) });
    }
}

#[test]
fn a_log_that_becomes_durable_promises_nothing_before_its_relaxed_past_is_stable() {
    for seed in seeds(40) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup::tiny(1, 1);
        let relaxed = LogConfig { durability: Durability::Relaxed, ..setup.log_config.clone() };
        world.run_until(async {
            let session = setup.open(&world).await;
            session.logs[&0].set_config(relaxed);
            for salt in 0..5 {
                assert!(setup.append(&session, 0, 1, 200, salt).await);
            }
            session.logs[&0].set_config(setup.log_config.clone());
            assert!(setup.append(&session, 0, 1, 200, 9).await);
            setup.wait_until_promised(&session, 0).await;
            assert_eq!(session.logs[&0].stable_end_offset(), Offset(6));
        });
        world.crash();
        world.run_until(async { drop(setup.open(&world).await) });
    }
}
