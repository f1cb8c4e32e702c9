//! A sector that the disk cannot read is damage where it lies: what is in it is refused, and everything else is served.

mod support;

use std::path::Path;
use std::time::Duration;

use ringlog_core::ids::Offset;
use ringlog_core::time::Timestamp;
use ringlog_runtime::memory::{MemoryWorld, Options};
use ringlog_storage::verify::{Finding, Level};
use ringlog_storage::{AtLeastOne, LogConfig, PartitionLog, ReadError, StoreConfig};
use support::in_map::{Content, InMap, WithBadBlock, findings, findings_of};
use support::{Env, Session, Setup, id};

const LOG: &str = "/data/topic-0/00000000000000000000.log";
const ACTIVE: &str = "/data/topic-0/00000000000000000240.log";
const BATCHES: usize = 120;

/// Nothing rolls by itself, and every batch but the first has its entry in the index.
fn roomy() -> Setup {
    let config =
        StoreConfig { scrub_period: Duration::ZERO, direct_bytes_min: 32 << 10, ..StoreConfig::production() };
    let log_config = LogConfig { index_interval_bytes: 512, ..LogConfig::default() };
    Setup { config, log_config, ..Setup::tiny(1, 1) }
}

/// A sealed segment of many batches, and an active one with a small batch, closed.
fn closed_log() -> (MemoryWorld, Setup) {
    let (world, setup) = (MemoryWorld::new(11, Options::quiet()), roomy());
    world.run_until(async {
        let session = setup.open(&world).await;
        for salt in 0..BATCHES {
            assert!(setup.append(&session, 0, 2, 300, salt as u64).await);
        }
        setup.wait_until_promised(&session, 0).await;
        session.logs[&0].roll();
        assert!(setup.append(&session, 0, 1, 10, 9).await);
        session.stores[0].close().await.expect("closes");
    });
    world.kill();
    (world, setup)
}

async fn reopened(world: &MemoryWorld, setup: &Setup) -> (Session, PartitionLog<Env>) {
    let session = Setup { partitions: 0, ..setup.clone() }.open(world).await;
    let log = setup.create(&session, 0).await;
    (session, log)
}

/// Reads from each batch on, as much as a fetch takes; the numbers of the batches that are refused.
async fn refused(setup: &Setup, log: &PartitionLog<Env>) -> Vec<usize> {
    let (batches, end) = (setup.model.borrow()[&0].batches.clone(), log.log_end_offset());
    let mut refused = Vec::new();
    for (number, batch) in batches.iter().enumerate() {
        let read = log.plan_read(Offset(batch.base), end, 1 << 20, AtLeastOne::Batch).expect("in range");
        match read.execute().await {
            Ok(read) => {
                let bytes: Vec<u8> = read.slices.iter().flat_map(|slice| slice.to_vec()).collect();
                assert!(bytes.starts_with(&batch.bytes), "batch {number}");
            }
            Err(ReadError::Damaged(_)) => refused.push(number),
            Err(other) => panic!("batch {number}: {other}"),
        }
    }
    refused
}

#[test]
fn a_fetch_over_an_unreadable_sector_serves_every_batch_that_does_not_lie_in_it() {
    let (world, setup) = closed_log();
    let mut position = 0;
    let mut in_sector = Vec::new();
    for (number, batch) in setup.model.borrow()[&0].batches[..BATCHES].iter().enumerate() {
        let end = position + batch.bytes.len();
        if position < 11 * 4096 && end > 10 * 4096 {
            in_sector.push(number);
        }
        position = end;
    }
    world.disk().set_unreadable(LOG, 10);
    world.run_until(async {
        let (_session, log) = reopened(&world, &setup).await;
        assert_eq!(refused(&setup, &log).await, in_sector);
    });
}

#[test]
fn files_that_only_help_refuse_nothing_when_they_cannot_be_read() {
    for extension in ["index", "timeindex", "checksums"] {
        let (world, setup) = closed_log();
        world.disk().set_unreadable(Path::new(LOG).with_extension(extension), 0);
        world.run_until(async {
            let (_session, log) = reopened(&world, &setup).await;
            assert_eq!(refused(&setup, &log).await, [], "{extension}");
            let found = log.offset_for_timestamp(Timestamp(1_100), Offset(240)).await.expect("looked up");
            assert_eq!(found.expect("there").offset, Offset(100), "{extension}");
        });
    }
}

#[test]
fn a_log_whose_last_block_cannot_be_read_goes_on_in_another_segment() {
    let (world, setup) = closed_log();
    world.disk().set_unreadable(ACTIVE, 0);
    world.run_until(async {
        let (mut session, log) = reopened(&world, &setup).await;
        session.logs.insert(0, log.clone());
        assert!(setup.append(&session, 0, 1, 10, 10).await);
        setup.wait_until_promised(&session, 0).await;
        assert_eq!(log.segments().len(), 3);
        assert_eq!(refused(&setup, &log).await, [BATCHES]);
    });
}

#[test]
fn a_start_refuses_the_log_whose_end_it_cannot_read_and_no_other() {
    let (world, setup) = (MemoryWorld::new(11, Options::quiet()), Setup { partitions: 2, ..roomy() });
    world.run_until(async {
        let session = setup.open(&world).await;
        for salt in 0..3 {
            assert!(setup.append(&session, 0, 1, 40_000, salt).await);
            assert!(setup.append(&session, 1, 1, 100, salt).await);
            setup.wait_until_all_promised(&session).await;
        }
    });
    world.crash();
    world.disk().set_unreadable(LOG, 14);
    world.run_until(async {
        let session = Setup { partitions: 0, ..setup.clone() }.open(&world).await;
        let damaged: Vec<_> = session.recovered.damaged().map(|(id, _)| id).collect();
        assert_eq!(damaged, [id(0)]);
        let other = setup.create(&session, 1).await;
        assert_eq!(other.log_end_offset(), Offset(3));
        assert_eq!(support::read_all(&other, 0, 3).await, setup.model.borrow()[&1].bytes_from(0));
    });
}

#[test]
fn one_checkpoint_that_cannot_be_read_is_bridged_by_the_other() {
    for name in ["shard-0-0", "shard-0-1", "recovered-0", "recovered-1"] {
        let (world, setup) = closed_log();
        let path = format!("/data/checkpoint/{name}.checkpoint");
        world.disk().set_unreadable(&path, 0);
        world.run_until(async { drop(setup.open(&world).await) });
    }
}

/// Whatever file it is in, a block that cannot be read is named, and what is wrong elsewhere is found all the same.
#[test]
fn verify_tells_of_what_cannot_be_read_and_looks_at_the_rest() {
    let (world, _) = closed_log();
    // In the second segment, which is looked at last.
    world.disk().corrupt(ACTIVE, 70, 1);
    let paths = world.disk().files().into_iter().filter(|(_, length)| *length > 0);
    let files: Content =
        paths.map(|(path, _)| (path.clone(), world.disk().read(&path).expect("listed"))).collect();
    let place = |finding: &Finding| (finding.path.clone(), finding.bytes.clone());
    let known: Vec<_> = findings(&files).iter().map(place).collect();
    assert!(known.iter().any(|(path, _)| path == Path::new(ACTIVE)), "{known:?}");
    let mut told = 0;
    for (path, bytes) in &files {
        for block in 0..bytes.len().div_ceil(4096) as u64 {
            let found = findings_of(&WithBadBlock { files: InMap(&files), path, block });
            let of_disk: Vec<_> =
                found.iter().filter(|finding| finding.reason == "the disk cannot read it").collect();
            assert!(of_disk.len() <= 1, "{of_disk:?}");
            if let [finding] = of_disk[..] {
                let expected = block * 4096..((block + 1) * 4096).min(bytes.len() as u64);
                assert_eq!((place(finding), finding.level), ((path.into(), expected), Level::Damage));
                told += 1;
            }
            // What names a partition or a checkpoint's body cannot be gone without consequences for what is looked at.
            let is_log = path.ends_with(".log") && path != ACTIVE;
            let rest = found.iter().map(place).filter(|found| known.contains(found)).count();
            assert!(!is_log || rest == known.len(), "block {block} of {path}: {found:?}");
        }
    }
    assert!(told > 20, "{told} blocks of all files");
}
