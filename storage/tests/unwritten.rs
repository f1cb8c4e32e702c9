//! Index entries and checksums that checkpoints keep until they are worth a write of their own files.

mod support;

use std::path::Path;
use std::time::Duration;

use ringlog_runtime::memory::{MemoryWorld, Options};
use ringlog_storage::format::checkpoint::CheckpointBody;
use ringlog_storage::{LogConfig, StoreConfig};
use support::{DATA_DIR, Setup};

const LOG: &str = "topic-0/00000000000000000000.log";
const FILES: [&str; 3] = [
    "topic-0/00000000000000000000.index",
    "topic-0/00000000000000000000.timeindex",
    "topic-0/00000000000000000000.checksums",
];

/// Nothing rolls, nothing is checkpointed or scrubbed by itself.
fn roomy(unwritten_bytes_max: usize) -> Setup {
    let config =
        StoreConfig { scrub_period: Duration::ZERO, unwritten_bytes_max, ..StoreConfig::production() };
    Setup { config, log_config: LogConfig::default(), ..Setup::tiny(1, 1) }
}

fn read(world: &MemoryWorld, file: &str) -> Option<Vec<u8>> {
    world.disk().read(Path::new(DATA_DIR).join(file))
}

/// Three lives, each with batches and checkpoints, the last of them closed; how each of the first two ends is told.
fn three_lives(world: &MemoryWorld, setup: &Setup, end: impl Fn(&MemoryWorld)) {
    for life in 0..3 {
        world.run_until(async {
            let session = setup.open(world).await;
            for salt in 0..12 {
                assert!(setup.append(&session, 0, 2, 1_000, life * 100 + salt).await);
                if salt % 4 == 3 && life < 2 {
                    session.stores[0].checkpoint().await.unwrap();
                }
            }
            setup.wait_until_promised(&session, 0).await;
            if life == 2 {
                session.stores[0].close().await.expect("closes");
            }
        });
        if life < 2 {
            end(world);
        }
    }
}

fn newest_record(world: &MemoryWorld) -> ringlog_storage::format::checkpoint::PartitionRecord {
    let bodies = (0..2).filter_map(|name| {
        let bytes = read(world, &format!("checkpoint/shard-0-{name}.checkpoint"))?;
        Some(CheckpointBody::parse(&bytes).expect("whole"))
    });
    let newest = bodies.max_by_key(|body| (body.start, body.number)).expect("there is one");
    newest.partitions.into_iter().next().expect("one log")
}

#[test]
fn a_checkpoint_of_a_log_with_few_entries_touches_its_segment_and_nothing_beside_it() {
    let (world, setup) = (MemoryWorld::new(3, Options::quiet()), roomy(1 << 20));
    world.run_until(async {
        let session = setup.open(&world).await;
        for salt in 0..12 {
            assert!(setup.append(&session, 0, 2, 1_000, salt).await);
        }
        session.stores[0].checkpoint().await.unwrap();
    });
    assert!(read(&world, LOG).is_some());
    assert_eq!(FILES.map(|file| read(&world, file)), [None, None, None]);
    let record = newest_record(&world);
    let kept =
        [record.unwritten.offsets.len(), record.unwritten.times.len(), record.unwritten.checksums.len()];
    assert!(kept.iter().all(|count| *count > 2), "{kept:?}");
    assert_eq!((record.offset_index_count, record.time_index_count, record.checksums_written()), (0, 0, 0));
}

#[test]
fn when_there_are_many_the_files_get_them_and_checkpoints_forget_them() {
    let (world, setup) = (MemoryWorld::new(3, Options::quiet()), roomy(64));
    world.run_until(async {
        let session = setup.open(&world).await;
        for salt in 0..12 {
            assert!(setup.append(&session, 0, 2, 1_000, salt).await);
        }
        session.stores[0].checkpoint().await.unwrap();
    });
    let record = newest_record(&world);
    assert_eq!(record.unwritten, Default::default());
    let [offsets, times, checksums] = FILES.map(|file| read(&world, file).expect("written").len());
    assert_eq!(offsets, record.offset_index_count as usize * 8);
    assert_eq!(times, record.time_index_count as usize * 12);
    assert!(checksums > 64 && offsets > 0 && times > 0);
}

#[test]
fn whatever_checkpoints_kept_the_files_end_as_those_that_were_written_at_once() {
    type End = fn(&MemoryWorld);
    let endings = [("kill -9", MemoryWorld::kill as End), ("power loss", MemoryWorld::crash as End)];
    let all = |world: &MemoryWorld| {
        [LOG, FILES[0], FILES[1], FILES[2]].map(|file| read(world, file).expect("there"))
    };
    for (name, end) in endings {
        let ended = [0, 64, 200, 1 << 20].map(|unwritten_bytes_max| {
            let world = MemoryWorld::new(3, Options::quiet());
            three_lives(&world, &roomy(unwritten_bytes_max), end);
            assert_eq!(
                newest_record(&world).unwritten,
                Default::default(),
                "a log that is closed has its files"
            );
            all(&world)
        });
        assert!(ended.iter().all(|files| *files == ended[0]), "{name}: files differ");
    }
}
