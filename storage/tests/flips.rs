//! Every byte of every file of a data directory, flipped; blocks zeroed, swapped, stale; files cut: each is noticed by a start, by
//! a read or by `verify`, or changes nothing of what is served. Nothing wrong is ever served, and nothing panics.
//!
//! The test takes one byte of so many; `RINGLOG_FLIP_STRIDE=1` takes them all, and
//! `RINGLOG_FLIP_STRIDE=4` with `RINGLOG_FLIP_FIRST` 0 to 3 in four parts.

mod support;

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;

use ringlog_core::ids::{BrokerId, Offset, TopicId};
use ringlog_core::metadata::MetadataRecord;
use ringlog_runtime::environment::{Environment, File, OpenMode, WriteSync};
use ringlog_runtime::memory::{MemoryWorld, Options};
use ringlog_storage::format::checkpoint::CheckpointBody;
use ringlog_storage::format::checksums::checksum_position;
use ringlog_storage::format::commit::CommitHeader;
use ringlog_storage::format::index::{IndexEntry, OffsetEntry, TimeEntry};
use ringlog_storage::format::names::{SegmentFile, parse_partition_directory, parse_segment_name};
use ringlog_storage::metadata_log::MetadataLog;
use ringlog_storage::metadata_log::meta_properties::MetaProperties;
use ringlog_storage::{AtLeastOne, LogIdentity, LogStore, ReadError, StoreFailure, recover};
use support::in_map::{Content, findings};
use support::{DATA_DIR, Env, ModelBatch, Setup, id};

const BLOCK: usize = 4096;
const PARTITIONS: i32 = 2;

/// A data directory, and what must be served from it.
struct Image {
    setup: Setup,
    files: Content,
    batches: BTreeMap<i32, Vec<ModelBatch>>,
    /// Where the newest commit lies that a start replays: damaged, it cannot be told from a torn one.
    newest_commit: Option<Place>,
    /// Commits that a start replays, without what pads them.
    live_commits: Vec<Place>,
    /// What the newest checkpoint says that segments hold for certain.
    known: CheckpointBody,
}

/// Bytes of a file.
type Place = (String, std::ops::Range<usize>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Verdict {
    AtStart,
    AtRead,
    ByVerify,
    /// Nobody noticed, and everything is served as it was written.
    Harmless,
    /// Nobody noticed, and the end of a log is missing.
    Lost,
}

fn properties() -> MetaProperties {
    let directory_id = TopicId::from_random(1, 2);
    MetaProperties { cluster_id: "SjXV-bZyTPmGSIoCqEWJ9w".to_owned(), node_id: BrokerId(1), directory_id }
}

fn named() -> MetadataRecord {
    MetadataRecord::ClusterNamed { cluster_id: properties().cluster_id }
}

impl Image {
    /// A directory as a stop in order leaves it, or the loss of power.
    fn make(is_clean: bool) -> Image {
        let world = MemoryWorld::new(7, Options::quiet());
        let mut setup = Setup::tiny(PARTITIONS, 1);
        setup.log_config.segment_bytes = 10 << 10;
        setup.config.reserve_bytes = 4 << 10;
        setup.config.journal_file_bytes = 16 << 10;
        setup.config.journal_bytes_max = 64 << 10;
        setup.config.checkpoint_interval = std::time::Duration::from_secs(3_600);
        let env = setup.environment(&world, 0);
        world.run_until(async {
            let session = setup.open(&world).await;
            properties().write(&env, Path::new(DATA_DIR)).await.expect("written");
            let (mut log, _) = MetadataLog::open(&env, Path::new(DATA_DIR)).await.expect("opens");
            log.append(&[named()]).await.expect("written");
            for salt in 0..16 {
                // One of them takes the direct path.
                let value_bytes = if salt == 9 { 5_000 } else { 700 };
                assert!(setup.append(&session, 0, 1, value_bytes, salt).await);
                setup.wait_until_promised(&session, 0).await;
            }
            // A whole block and a part of one in a segment that is open.
            for salt in 0..6 {
                assert!(setup.append(&session, 1, 1, 700, salt).await);
                setup.wait_until_promised(&session, 1).await;
            }
            session.stores[0].checkpoint().await.expect("written");
            for salt in 0..5 {
                for partition in 0..PARTITIONS {
                    assert!(setup.append(&session, partition, 2, 300, salt).await);
                    setup.wait_until_promised(&session, partition).await;
                }
            }
            if is_clean {
                session.stores[0].close().await.expect("closes");
            }
        });
        world.crash();
        let files: Content = world
            .disk()
            .files()
            .into_iter()
            .map(|(path, _)| (path.clone(), world.disk().read(&path).expect("listed")))
            .collect();
        let batches =
            setup.model.borrow().iter().map(|(partition, log)| (*partition, log.batches.clone())).collect();
        let known = newest_checkpoint(&files);
        let commits = if is_clean { Vec::new() } else { live_commits(&files, &known) };
        let newest = commits.iter().max_by_key(|(header, _, _)| header.sequence());
        let newest_commit =
            newest.map(|(header, path, start)| (path.clone(), *start..start + header.padded_length()));
        let live_commits =
            commits.iter().map(|(header, path, start)| (path.clone(), *start..start + header.length()));
        let live_commits = live_commits.collect();
        assert!(is_clean || newest_commit.is_some(), "there is something to replay");
        Image { setup, files, batches, newest_commit, live_commits, known }
    }

    /// Whether a byte of a segment's files lies above what the newest checkpoint says is stable: there it is replayed
    /// from the journal, or written over. Of a checksum file that is everything behind the numbers of whole blocks, and
    /// nothing of its header; of an index everything behind the entries that count; of a sealed segment nothing.
    fn is_above_checkpoint(&self, path: &str, position: usize) -> bool {
        let mut names = path.rsplit('/');
        let (base, file) = names.next().and_then(parse_segment_name).expect("a segment's");
        let (_, partition) = names.next().and_then(parse_partition_directory).expect("in a partition's");
        let of = self.known.partitions.iter().find(|record| record.partition == partition.0).expect("known");
        let stable_bytes = match file {
            SegmentFile::Log => of.position,
            SegmentFile::OffsetIndex => u64::from(of.offset_index_count) * OffsetEntry::BYTES as u64,
            SegmentFile::TimeIndex => u64::from(of.time_index_count) * TimeEntry::BYTES as u64,
            SegmentFile::Checksums => checksum_position(u64::from(of.checksums_written())),
        };
        match base.0.cmp(&of.segment_base_offset) {
            Ordering::Less => false,
            Ordering::Equal => position as u64 >= stable_bytes,
            Ordering::Greater => true,
        }
    }

    /// What becomes of the directory with these files.
    fn judge(&self, files: &Content) -> Verdict {
        let found = verified(files);
        match self.started(files) {
            Verdict::Harmless | Verdict::Lost if found > 0 => Verdict::ByVerify,
            verdict => verdict,
        }
    }

    fn started(&self, files: &Content) -> Verdict {
        let world = MemoryWorld::new(1, Options::quiet());
        let env = self.setup.environment(&world, 0);
        world.run_until(async {
            put(&env, files).await;
            match self.serve(&env).await {
                Ok(verdict) => verdict,
                Err(_) => Verdict::AtStart,
            }
        })
    }

    async fn serve(&self, env: &Env) -> Result<Verdict, StoreFailure> {
        let data_dir = Path::new(DATA_DIR);
        let refused = |reason: String| {
            StoreFailure::Damaged(ringlog_storage::Damage {
                path: data_dir.to_owned(),
                bytes: 0..0,
                offsets: None,
                reason,
            })
        };
        let about =
            MetaProperties::read(env, data_dir).await.map_err(|failure| refused(failure.to_string()))?;
        let about = about.expect("it is there");
        let expected = properties();
        if (about.node_id, &about.cluster_id) != (expected.node_id, &expected.cluster_id) {
            return Err(refused(
                "a broker compares them with its configuration and the metadata log".to_owned(),
            ));
        }
        let (_, records) =
            MetadataLog::open(env, data_dir).await.map_err(|failure| refused(failure.to_string()))?;
        let recovered = std::sync::Arc::new(recover(env, data_dir, &self.setup.config).await?);
        let store =
            LogStore::open(env.clone(), data_dir, self.setup.config.clone(), recovered.clone()).await?;
        let mut verdict = if records == [named()] { Verdict::Harmless } else { Verdict::Lost };
        if recovered.damaged().count() + recovered.lost_checksums().count() > 0 {
            verdict = Verdict::AtStart;
        }
        for (partition, batches) in &self.batches {
            let identity = LogIdentity { topic: "topic".into(), id: id(*partition) };
            let log = store.create_log(identity, self.setup.log_config.clone()).await?;
            if log.damage().is_some() {
                continue;
            }
            for batch in batches {
                let (from, end) = (Offset(batch.base), Offset(batch.next));
                let plan = match log.plan_read(from, end, 1, AtLeastOne::Batch) {
                    Err(ReadError::OffsetOutOfRange { .. }) => {
                        verdict = if verdict == Verdict::Harmless { Verdict::Lost } else { verdict };
                        continue;
                    }
                    plan => plan.expect("the log is served"),
                };
                match plan.execute().await {
                    Ok(read) if read.bytes == 0 => {
                        assert!(log.log_end_offset() <= from, "partition {partition}: nothing at {from}");
                        verdict = if verdict == Verdict::Harmless { Verdict::Lost } else { verdict };
                    }
                    Ok(read) => {
                        let bytes: Vec<u8> = read.slices.iter().flat_map(|slice| slice.to_vec()).collect();
                        assert!(bytes == batch.bytes, "partition {partition}: other bytes at {from}");
                    }
                    Err(ReadError::Damaged(_)) => {
                        verdict = if verdict == Verdict::AtStart { verdict } else { Verdict::AtRead };
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        }
        Ok(verdict)
    }
}

fn newest_checkpoint(files: &Content) -> CheckpointBody {
    let checkpoints = files.iter().filter(|(path, _)| path.contains("/shard-0-"));
    let bodies = checkpoints.filter_map(|(_, bytes)| CheckpointBody::parse(bytes).ok());
    bodies.max_by_key(|body| body.number).expect("there are two")
}

/// The commits above a checkpoint, with file and place.
fn live_commits(files: &Content, known: &CheckpointBody) -> Vec<(CommitHeader, String, usize)> {
    let mut commits = Vec::new();
    for (path, bytes) in files.iter().filter(|(path, _)| path.ends_with(".journal")) {
        for position in (0..bytes.len()).step_by(BLOCK) {
            let header = CommitHeader::peek(&bytes[position..], 0, known.generation);
            commits.extend(
                header
                    .filter(|header| header.sequence() > known.sequence)
                    .map(|header| (header, path.clone(), position)),
            );
        }
    }
    commits
}

async fn put(env: &Env, files: &Content) {
    for directory in ["", "/journal", "/journal/shard-0", "/checkpoint", "/topic-0", "/topic-1"] {
        env.create_directory(Path::new(&format!("{DATA_DIR}{directory}"))).await.expect("made");
    }
    for (path, bytes) in files {
        let file = env.open(Path::new(path), OpenMode::BufferedWrite).await.expect("made");
        file.allocate(bytes.len() as u64).await.expect("room");
        for (index, piece) in
            bytes.chunks(16 << 10).enumerate().filter(|(_, piece)| piece.iter().any(|byte| *byte != 0))
        {
            let mut buffer = env.arena().allocate(piece.len()).expect("memory");
            buffer.extend_from_slice(piece);
            let position = (index * (16 << 10)) as u64;
            file.write_at(position, vec![buffer.freeze()], WriteSync::Later).await.expect("written");
        }
    }
}

/// How much `verify` finds beyond what it says of an image that is whole.
fn verified(files: &Content) -> usize {
    findings(files).len()
}

/// What kind of file a path names.
fn kind(path: &str) -> &str {
    let name = path.rsplit('/').next().expect("a name");
    match name.rsplit_once('.') {
        Some(("", name)) => name,
        Some((_, "properties" | "metadata")) | None => name,
        Some(("metadata", "log")) => "metadata.log",
        Some((_, extension)) => extension,
    }
}

/// Where a change may go unnoticed, and why that is no harm.
fn may_be_harmless(image: &Image, path: &str, position: usize) -> bool {
    match kind(path) {
        // Room for frames to come.
        "metadata.log" => image.files[path][position..].iter().all(|byte| *byte == 0),
        // Room, and nothing more.
        "reserve" => true,
        // Commits that checkpoints cover, padding, and zeros; after a stop in order all of it. No byte of a commit
        // that a start replays.
        "journal" => !image.live_commits.iter().any(|(of, place)| of == path && place.contains(&position)),
        // The id of the directory is compared with nothing yet.
        "meta.properties" => {
            let text = String::from_utf8_lossy(&image.files[path]).into_owned();
            let start = text.find("directory.id=").expect("it names one");
            (start + 13..start + 13 + 22).contains(&position)
        }
        "log" | "index" | "timeindex" | "checksums" => {
            image.newest_commit.is_some() && image.is_above_checkpoint(path, position)
        }
        // For Kafka's tools, every byte of it: epochs are taken from checkpoint and batches, and a start after the
        // loss of power writes it anew.
        "leader-epoch-checkpoint" => image.newest_commit.is_some(),
        _ => false,
    }
}

/// Says what was tried if it ends in a panic.
struct ToldWhenPanicking(String);

impl Drop for ToldWhenPanicking {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("while trying {}", self.0);
        }
    }
}

/// Tries a change; the verdict is counted.
fn try_change(
    image: &Image,
    counts: &RefCell<BTreeMap<(String, Verdict), usize>>,
    name: &str,
    path: &str,
    position: usize,
    files: &Content,
) {
    let _told = ToldWhenPanicking(format!("{name} of {path} at {position}"));
    let verdict = image.judge(files);
    let words = format!("{name} of {path} at {position}: {verdict:?}");
    match verdict {
        Verdict::Lost => {
            let (of, place) = image.newest_commit.as_ref().unwrap_or_else(|| panic!("{words}"));
            assert!(path == of && place.contains(&position), "{words}");
        }
        // Entries that an index lost cost time, and room that a file lost costs nothing.
        Verdict::Harmless if files[path].len() < image.files[path].len() => {
            let must_be_missed = match kind(path) {
                "log" => image.newest_commit.is_none() || !image.is_above_checkpoint(path, files[path].len()),
                "checkpoint" => image.newest_commit.is_none(),
                "journal" => {
                    image.live_commits.iter().any(|(of, place)| of == path && place.end > files[path].len())
                }
                _ => false,
            };
            assert!(!must_be_missed, "{words}");
        }
        Verdict::Harmless => assert!(may_be_harmless(image, path, position), "{words}"),
        Verdict::AtStart | Verdict::AtRead | Verdict::ByVerify => {}
    }
    *counts.borrow_mut().entry((kind(path).to_owned(), verdict)).or_default() += 1;
}

#[test]
fn no_flipped_byte_is_served_or_goes_unnoticed() {
    let number =
        |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (stride, first): (usize, usize) =
        (number("RINGLOG_FLIP_STRIDE", 599), number("RINGLOG_FLIP_FIRST", 0));
    for is_clean in [true, false] {
        let image = Image::make(is_clean);
        assert_eq!(verified(&image.files), 0, "whole");
        assert_eq!(image.started(&image.files), Verdict::Harmless, "whole");
        let counts = RefCell::default();
        let mut next = first;
        for (path, bytes) in &image.files {
            let mut files = image.files.clone();
            while next < bytes.len() {
                let mask = 1 << (next % 8);
                files.get_mut(path).expect("there")[next] ^= mask;
                try_change(&image, &counts, "a flip", path, next, &files);
                files.get_mut(path).expect("there")[next] ^= mask;
                next += stride;
            }
            next -= bytes.len();
        }
        println!("clean stop: {is_clean}, every {stride}th byte: {:#?}", counts.borrow());
    }
}

#[test]
fn no_zeroed_swapped_stale_or_cut_block_is_served_or_goes_unnoticed() {
    for is_clean in [true, false] {
        let image = Image::make(is_clean);
        let counts = RefCell::default();
        let of_segments =
            image.files.iter().filter(|(path, _)| kind(path) == "log" && path.contains("topic"));
        for (path, bytes) in of_segments.clone() {
            for start in (0..bytes.len()).step_by(BLOCK) {
                let end = bytes.len().min(start + BLOCK);
                let other = of_segments.clone().find(|(other, bytes)| *other != path && bytes.len() >= BLOCK);
                let foreign = other.map_or(vec![9; BLOCK], |(_, bytes)| bytes[..BLOCK].to_vec());
                let before = bytes[start.saturating_sub(BLOCK)..].iter().copied().take(end - start).collect();
                let torn =
                    [&bytes[start..start + (end - start) / 2], &vec![0; end - start - (end - start) / 2][..]]
                        .concat();
                let changes: [(&str, Vec<u8>); 4] = [
                    ("a lost write", vec![0; end - start]),
                    ("the block before", before),
                    ("a block of another file", foreign[..end - start].to_vec()),
                    ("a torn block", torn),
                ];
                for (name, block) in changes {
                    let mut files = image.files.clone();
                    let target = &mut files.get_mut(path).expect("there")[start..end];
                    if *target != block[..] {
                        let first = target.iter().zip(&block).position(|(was, is)| was != is).expect("one");
                        target.copy_from_slice(&block);
                        try_change(&image, &counts, name, path, start + first, &files);
                    }
                }
            }
        }
        for (path, bytes) in
            image.files.iter().filter(|(path, bytes)| kind(path) != "reserve" && bytes.len() > 1)
        {
            for length in [0, bytes.len() / 2, bytes.len() - 1] {
                let mut files = image.files.clone();
                files.get_mut(path).expect("there").truncate(length);
                // A cut journal ends before its newest commit, or does not.
                let position = image
                    .newest_commit
                    .as_ref()
                    .filter(|(of, _)| of == path)
                    .map_or(length, |(_, place)| place.start);
                try_change(&image, &counts, "a cut", path, position, &files);
            }
        }
        println!("clean stop: {is_clean}: {:#?}", counts.borrow());
    }
}
