//! The checksums of blocks beside each segment: they are those of what was accepted, whatever happened in between, and what
//! no batch checksum sees is found by them.

mod support;

use std::path::Path;
use std::time::Duration;

use ringlog_core::ids::Offset;
use ringlog_runtime::environment::{Environment, File, OpenMode, WriteSync};
use ringlog_runtime::memory::{MemoryWorld, Options, Random, seeds};
use ringlog_storage::format::checksums::{BLOCK_BYTES, ChecksumFile, SegmentSeed};
use ringlog_storage::format::names::{SegmentFile, parse_segment_name, segment_path};
use ringlog_storage::verify::Level;
use ringlog_storage::{AtLeastOne, LogConfig, PartitionLog, ReadError, StoreConfig};
use support::in_map::findings;
use support::{DATA_DIR, Env, Session, Setup, id};

const BLOCK: usize = BLOCK_BYTES as usize;
const LOG: &str = "/data/topic-0/00000000000000000000.log";
const CHECKSUMS: &str = "/data/topic-0/00000000000000000000.checksums";

fn world() -> MemoryWorld {
    MemoryWorld::new(11, Options::quiet())
}

/// Nothing rolls, nothing is checkpointed by itself.
fn roomy() -> Setup {
    // What reads find is looked at here, not what scrubbing does.
    let config = StoreConfig { scrub_period: Duration::ZERO, ..StoreConfig::production() };
    Setup { config, log_config: LogConfig::default(), ..Setup::tiny(1, 1) }
}

/// Compares every checksum file with the segment beside it; how many whole blocks and how many sealed files there were.
fn compare_files(world: &MemoryWorld, partitions: i32) -> (usize, usize) {
    let (mut blocks, mut sealed_files) = (0, 0);
    for partition in 0..partitions {
        let directory = format!("{DATA_DIR}/topic-{partition}");
        let names: Vec<String> = world.disk().files().into_iter().map(|(path, _)| path.to_string()).collect();
        let names = names.iter().filter_map(|path| path.strip_prefix(&format!("{directory}/")));
        for (base_offset, _) in
            names.filter_map(parse_segment_name).filter(|(_, file)| *file == SegmentFile::Checksums)
        {
            let path = |file| segment_path(Path::new(&directory), base_offset, file);
            let file = world.disk().read(path(SegmentFile::Checksums)).expect("listed");
            let segment = world.disk().read(path(SegmentFile::Log)).expect("no checksums without a segment");
            let file = ChecksumFile::parse(&file, id(partition), base_offset).expect("it verifies");
            let seed = SegmentSeed::new(id(partition), base_offset);
            let length = file.header.sealed.map_or(segment.len(), |sealed| sealed.segment_bytes as usize);
            assert!(length <= segment.len());
            for (index, checksum) in file.checksums.iter().enumerate() {
                let bytes = &segment[index * BLOCK..length.min((index + 1) * BLOCK)];
                let computed = seed.checksum_of((index * BLOCK) as u64, bytes);
                assert_eq!(*checksum, computed, "{}, block {index}", path(SegmentFile::Log).display());
            }
            blocks += file.checksums.len();
            sealed_files += usize::from(file.header.sealed.is_some());
        }
    }
    (blocks, sealed_files)
}

/// Of each log all checksum files are finished, but for that of its last segment.
fn expect_finished_files(world: &MemoryWorld, partitions: i32) {
    for partition in 0..partitions {
        let directory = format!("{DATA_DIR}/topic-{partition}/");
        let names: Vec<String> = world.disk().files().into_iter().map(|(path, _)| path.to_string()).collect();
        let names =
            names.iter().filter_map(|path| path.strip_prefix(&directory)).filter_map(parse_segment_name);
        let (mut summed, mut active) = (Vec::new(), Offset(0));
        for (base_offset, file) in names {
            match file {
                SegmentFile::Checksums => summed.push(base_offset),
                SegmentFile::Log => active = active.max(base_offset),
                SegmentFile::OffsetIndex | SegmentFile::TimeIndex => {}
            }
        }
        for base_offset in summed.into_iter().filter(|base_offset| *base_offset < active) {
            let path = segment_path(Path::new(&directory), base_offset, SegmentFile::Checksums);
            let file = world.disk().read(&path).expect("listed");
            let file = ChecksumFile::parse(&file, id(partition), base_offset).expect("it verifies");
            assert!(file.header.sealed.is_some(), "{} was never finished", path.display());
        }
    }
}

#[test]
fn after_a_clean_stop_every_checksum_is_that_of_its_block() {
    let (mut blocks, mut sealed) = (0, 0);
    for seed in seeds(30) {
        let world = MemoryWorld::new(seed, Options::quiet());
        let setup = Setup { deletes_records: seed % 2 == 0, leaves_gaps: seed % 3 == 0, ..Setup::tiny(2, 1) };
        let mut random = Random::from_seed(seed);
        for round in 0..4 {
            world.set_crash_after(if round == 3 { 1 << 40 } else { random.between(20..=200) });
            let ended = world.run_until_or_crash(async {
                let session = setup.open(&world).await;
                assert_eq!(session.recovered.lost_checksums().count(), 0, "seed {seed}");
                setup.work(&session, &mut random, 60).await;
                session.stores[0].close().await.expect("closes");
            });
            if ended.is_ok() {
                let (of_blocks, of_sealed) = compare_files(&world, 2);
                (blocks, sealed) = (blocks + of_blocks, sealed + of_sealed);
                // Among them files whose segment was sealed while a checkpoint wrote them.
                expect_finished_files(&world, 2);
                world.kill();
            } else if round % 2 == 0 {
                world.crash();
            } else {
                world.kill();
            }
        }
    }
    assert!(blocks > 500 && sealed > 100, "{blocks} blocks of {sealed} sealed segments are no test");
}

/// A log of one segment with many batches, closed.
fn closed_log(world: &MemoryWorld, setup: &Setup, batches: usize, value_bytes: usize) {
    world.run_until(async {
        let session = setup.open(world).await;
        for salt in 0..batches {
            assert!(setup.append(&session, 0, 2, value_bytes, salt as u64).await);
            setup.wait_until_promised(&session, 0).await;
        }
        session.logs[&0].roll();
        assert!(setup.append(&session, 0, 1, 10, 9).await);
        session.stores[0].close().await.expect("closes");
    });
    world.kill();
}

async fn reopened(world: &MemoryWorld, setup: &Setup) -> (Session, PartitionLog<Env>) {
    let session = Setup { partitions: 0, ..setup.clone() }.open(world).await;
    let log = setup.create(&session, 0).await;
    (session, log)
}

async fn overwrite(env: &Env, path: &str, position: usize, bytes: &[u8]) {
    let file = env.open(Path::new(path), OpenMode::BufferedWrite).await.expect("opens");
    let mut buffer = env.arena().allocate(bytes.len()).expect("memory");
    buffer.extend_from_slice(bytes);
    file.write_at(position as u64, vec![buffer.freeze()], WriteSync::BeforeCompletion).await.expect("writes");
}

/// Reads each batch alone; the numbers of those that are refused. What is served is what was written.
async fn refused(setup: &Setup, log: &PartitionLog<Env>, batches: usize) -> Vec<usize> {
    let mut refused = Vec::new();
    for batch in 0..batches {
        let expected = setup.model.borrow()[&0].batches[batch].clone();
        let (from, end) = (Offset(expected.base), Offset(expected.next));
        match log.plan_read(from, end, 100, AtLeastOne::Batch).expect("in range").execute().await {
            Ok(read) => {
                let bytes: Vec<u8> = read.slices.iter().flat_map(|slice| slice.to_vec()).collect();
                assert!(bytes == expected.bytes, "batch {batch} is served as it was written");
            }
            Err(ReadError::Damaged(_)) => refused.push(batch),
            Err(other) => panic!("{other}"),
        }
    }
    refused
}

/// The batches that lie in a block.
fn in_block(setup: &Setup, block: usize) -> Vec<usize> {
    let (mut position, mut found) = (0, Vec::new());
    for (index, batch) in setup.model.borrow()[&0].batches.iter().enumerate() {
        if position >= (block + 1) * BLOCK {
            break;
        }
        let end = position + batch.bytes.len();
        if position < (block + 1) * BLOCK && end > block * BLOCK {
            found.push(index);
        }
        position = end;
    }
    found
}

#[test]
fn what_no_batch_checksum_sees_is_refused_and_the_rest_is_served() {
    const BATCHES: usize = 120;
    let (world, setup) = (world(), roomy());
    closed_log(&world, &setup, BATCHES, 300);
    let whole = world.disk().read(LOG).expect("there");
    let block = |index: usize| whole[index * BLOCK..(index + 1) * BLOCK].to_vec();
    // Batches begin at multiples of their size: the header of the eleventh, byte by byte.
    let eleventh =
        setup.model.borrow()[&0].batches[..10].iter().map(|batch| batch.bytes.len()).sum::<usize>();
    let mut cases: Vec<(String, usize, Vec<u8>)> = (0..17)
        .map(|at| (format!("header byte {at}"), eleventh + at, vec![whole[eleventh + at] ^ 1]))
        .collect();
    cases.push(("a lost write".to_owned(), 3 * BLOCK, vec![0; BLOCK]));
    cases.push(("a block of another place".to_owned(), 4 * BLOCK, block(7)));
    cases.push(("a torn block".to_owned(), 5 * BLOCK, [&block(5)[..512], &block(9)[512..]].concat()));
    for (name, position, bytes) in cases {
        world.run_until(async {
            let (session, log) = reopened(&world, &setup).await;
            overwrite(&session.env, LOG, position, &bytes).await;
            let found = refused(&setup, &log, BATCHES).await;
            let in_block = in_block(&setup, position / BLOCK);
            assert!(in_block.iter().all(|batch| found.contains(batch)), "{name}: {found:?} of {in_block:?}");
            // A header that lies about its length, or is gone, leads nowhere: up to the next entry of the index.
            let leads_on =
                (0..17).filter(|at| !(8..12).contains(at)).any(|at| name == format!("header byte {at}"));
            let slack = if leads_on { 0 } else { 9 };
            let last = in_block.last().expect("batches lie in it") + slack;
            assert!(
                found[0] == in_block[0] && found.iter().all(|batch| *batch <= last),
                "{name}: {found:?} of {in_block:?}"
            );
            let original = &whole[position..position + bytes.len()];
            overwrite(&session.env, LOG, position, original).await;
        });
        world.kill();
    }
    world.run_until(async {
        let (_session, log) = reopened(&world, &setup).await;
        assert!(refused(&setup, &log, BATCHES).await.is_empty(), "mended");
    });
}

/// Batches of two records with eight offsets left out before each, in one sealed segment.
fn log_with_gaps(world: &MemoryWorld, setup: &Setup, batches: u64, value_bytes: impl Fn(u64) -> usize) {
    world.run_until(async {
        let session = setup.open(world).await;
        for salt in 0..batches {
            assert!(setup.append_after_gap(&session, 0, 8, 2, value_bytes(salt), salt).await);
            setup.wait_until_promised(&session, 0).await;
        }
        session.logs[&0].roll();
        assert!(setup.append_after_gap(&session, 0, 8, 1, 10, 9).await);
        session.stores[0].close().await.expect("closes");
    });
    world.kill();
}

/// Offsets that are left out behind the damage are known to be left out once a whole batch stands between. Right behind the damage
/// nobody knows: they may be those of the damaged batches.
#[test]
fn offsets_left_out_behind_damage_are_passed_over_and_those_that_may_lie_in_it_are_refused() {
    let small: fn(u64) -> usize = |_| 300;
    // Among these some that no window holds.
    let mixed: fn(u64) -> usize = |salt| if salt % 7 == 3 { 20_000 } else { 150 };
    for value_bytes in [small, mixed] {
        let (world, mut setup) = (world(), roomy());
        // Without an entry every search comes through the damage.
        (setup.log_config.index_interval_bytes, setup.config.read_bytes_max) = (1 << 30, 8 << 10);
        log_with_gaps(&world, &setup, 60, value_bytes);
        let batches = setup.model.borrow()[&0].batches.clone();
        let begins = |at: usize| batches[..at].iter().map(|batch| batch.bytes.len()).sum::<usize>();
        let (mut refused, mut served, mut passed_gaps) = (0, 0, 0);
        for block in (0..begins(60) / BLOCK).step_by(7) {
            let touched = in_block(&setup, block);
            let last_touched = *touched.last().expect("batches lie in it");
            // In the value of a record: every header still says where its batch ends.
            let of_block = block * BLOCK..(block + 1) * BLOCK;
            let values = touched.iter().map(|at| begins(*at) + 70);
            let place = values.into_iter().find(|place| of_block.contains(place));
            let place = place.unwrap_or(of_block.start + 2_000) as u64;
            world.disk().corrupt(LOG, place, 1);
            let is_header_damaged = begins(last_touched) + 61 > of_block.start;
            world.run_until(async {
                let (_session, log) = reopened(&world, &setup).await;
                for from in 0..batches[59].next {
                    let at = batches.iter().position(|batch| batch.next > from).expect("below the end");
                    let is_behind = is_header_damaged && at == last_touched + 1 && from < batches[at].base;
                    let is_refused = touched.contains(&at) || is_behind;
                    let plan = log.plan_read(Offset(from), log.log_end_offset(), 1, AtLeastOne::Batch);
                    match plan.expect("in range").execute().await {
                        Ok(read) => {
                            let bytes: Vec<u8> =
                                read.slices.iter().flat_map(|slice| slice.to_vec()).collect();
                            assert!(!is_refused, "block {block}: {from} may be damaged");
                            assert!(bytes == batches[at].bytes, "block {block}: another batch at {from}");
                            passed_gaps += usize::from(at > last_touched && from < batches[at].base);
                            served += 1;
                        }
                        Err(ReadError::Damaged(damage)) => {
                            assert!(is_refused, "block {block}: {from} lies behind the damage: {damage}");
                            refused += 1;
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
            });
            world.kill();
            world.disk().corrupt(LOG, place, 1);
        }
        assert!(refused > 20 && served > 500 && passed_gaps > 200, "{refused} {served} {passed_gaps}");
    }
}

#[test]
fn a_batch_behind_damage_that_is_not_whole_proves_nothing_of_what_was_left_out() {
    let (world, mut setup) = (world(), roomy());
    setup.log_config.index_interval_bytes = 1 << 30;
    log_with_gaps(&world, &setup, 20, |_| 10_000);
    let batches = setup.model.borrow()[&0].batches.clone();
    let begins = |at: usize| batches[..at].iter().map(|batch| batch.bytes.len() as u64).sum::<u64>();
    let first = (5..10).find(|at| begins(*at) % BLOCK_BYTES < 3_000).expect("such a batch");
    // Of the first the header's block, of the second one that holds no header.
    world.disk().corrupt(LOG, begins(first) + 70, 1);
    world.disk().corrupt(LOG, begins(first + 1) + 5_000, 1);
    world.run_until(async {
        let (_session, log) = reopened(&world, &setup).await;
        for (at, batch) in batches.iter().enumerate().skip(first).take(5) {
            for from in batch.base - 8..batch.next {
                let is_served = at > first + 2 || (at == first + 2 && from >= batch.base);
                let plan = log.plan_read(Offset(from), log.log_end_offset(), 1, AtLeastOne::Batch);
                match plan.expect("in range").execute().await {
                    Ok(read) => {
                        let bytes: Vec<u8> = read.slices.iter().flat_map(|slice| slice.to_vec()).collect();
                        assert!(is_served && bytes == batch.bytes, "{from} may be damaged");
                    }
                    Err(ReadError::Damaged(damage)) => assert!(!is_served, "{from}: {damage}"),
                    Err(other) => panic!("{other}"),
                }
            }
        }
    });
}

#[test]
fn damaged_or_missing_checksums_refuse_nothing() {
    for tampering in ["flip", "cut", "remove", "of another segment"] {
        let (world, setup) = (world(), roomy());
        closed_log(&world, &setup, 40, 300);
        world.run_until(async {
            let (session, log) = reopened(&world, &setup).await;
            match tampering {
                "flip" => world.disk().corrupt(CHECKSUMS, 70, 1),
                "cut" => world.disk().truncate(CHECKSUMS, 66),
                "remove" => session.env.remove_file(Path::new(CHECKSUMS)).await.expect("removed"),
                _ => {
                    let other = "/data/topic-0/00000000000000000080.checksums";
                    let bytes = world.disk().read(other).unwrap_or_else(|| vec![7; 100]);
                    overwrite(&session.env, CHECKSUMS, 0, &bytes).await;
                }
            }
            assert!(refused(&setup, &log, 40).await.is_empty(), "{tampering}");
            session.stores[0].close().await.expect("closes");
        });
        world.kill();
        world.run_until(async {
            let (session, _) = reopened(&world, &setup).await;
            let lost = session.recovered.lost_checksums().count();
            assert_eq!(lost, usize::from(tampering == "remove"), "{tampering}");
            assert_eq!(session.recovered.damaged().count(), 0);
        });
    }
}

#[test]
fn a_log_whose_last_block_is_damaged_goes_on_in_another_segment() {
    let (world, setup) = (world(), roomy());
    world.run_until(async {
        let session = setup.open(&world).await;
        for salt in 0..10 {
            assert!(setup.append(&session, 0, 2, 300, salt).await);
        }
        session.stores[0].close().await.expect("closes");
    });
    world.kill();
    let length = world.disk().read(LOG).expect("there").len();
    assert!(!length.is_multiple_of(BLOCK));
    world.disk().corrupt(LOG, length as u64 - 1, 1);
    for round in 0..2 {
        world.run_until(async {
            let (mut session, log) = reopened(&world, &setup).await;
            session.logs.insert(0, log.clone());
            assert!(setup.append(&session, 0, 1, 100, 77 + round).await);
            setup.wait_until_promised(&session, 0).await;
            assert_eq!(log.segments().len(), 2, "the damaged one and another");
            let in_block: Vec<usize> =
                in_block(&setup, length / BLOCK).into_iter().filter(|batch| *batch < 10).collect();
            assert_eq!(refused(&setup, &log, 11).await, in_block, "round {round}");
            session.stores[0].close().await.expect("closes");
        });
        world.kill();
        compare_files_but(&world, LOG);
    }
}

/// The file beside the damaged segment says so, the others agree with theirs.
fn compare_files_but(world: &MemoryWorld, damaged: &str) {
    let bytes = world.disk().read(CHECKSUMS).expect("there");
    let file = ChecksumFile::parse(&bytes, id(0), Offset(0)).expect("it verifies");
    let segment = world.disk().read(damaged).expect("there");
    let last = file.checksums.len() - 1;
    let computed =
        SegmentSeed::new(id(0), Offset(0)).checksum_of((last * BLOCK) as u64, &segment[last * BLOCK..]);
    assert_ne!(file.checksums[last], computed, "the damage was not blessed");
}

/// A segment is sealed, and the one behind it is still empty when the process dies: the next start goes on in the first.
#[test]
fn a_sealed_segment_that_a_crash_opens_again_goes_on_with_its_checksums() {
    let (world, setup) = (world(), roomy());
    let append_some = async |session: &Session| {
        for salt in 0..40 {
            assert!(setup.append(session, 0, 1, 300, salt).await);
        }
        setup.wait_until_promised(session, 0).await;
    };
    world.run_until(async {
        let session = setup.open(&world).await;
        append_some(&session).await;
        session.stores[0].checkpoint().await.expect("written");
        session.logs[&0].roll();
        session.env.sleep_until(session.env.now() + Duration::from_secs(1)).await;
    });
    world.kill();
    let header = || {
        let file = world.disk().read(CHECKSUMS).expect("there");
        ChecksumFile::parse_open(&file, id(0), Offset(0)).expect("it can be read").header
    };
    assert!(header().sealed.is_some(), "the segment was sealed");
    world.run_until(async {
        let session = setup.open(&world).await;
        assert_eq!(session.logs[&0].segments().len(), 1, "and is the active one again");
        assert_eq!(header().sealed, None);
        append_some(&session).await;
        session.stores[0].close().await.expect("closes");
    });
    world.kill();
    compare_files(&world, 1);
    let files = world.disk().files().into_iter().map(|(path, _)| {
        let bytes = world.disk().read(&path).expect("listed");
        (path, bytes)
    });
    let damage = findings(&files.collect()).into_iter().filter(|finding| finding.level == Level::Damage);
    assert_eq!(damage.collect::<Vec<_>>(), []);
    // A leader epoch in a block that was written after the restart: no checksum of Kafka's covers it.
    let batch_bytes = setup.model.borrow()[&0].batches[0].bytes.len() as u64;
    world.disk().corrupt(LOG, 70 * batch_bytes + 15, 1);
    world.run_until(async {
        let session = Setup { partitions: 0, ..setup.clone() }.open(&world).await;
        let log = setup.create(&session, 0).await;
        let read = log.plan_read(Offset(70), Offset(80), 1, AtLeastOne::Batch).expect("in range");
        assert!(matches!(read.execute().await, Err(ReadError::Damaged(_))));
    });
}
