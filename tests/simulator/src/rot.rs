//! A medium that ages: blocks of segments that were stable long ago are not what was written any more.
//!
//! ```text
//!   checkpoints ──► segments that no start looks into again ──► one of their blocks: a bit flips, a half or all of it is zeros,
//!   or the block of another place ──► which offsets lie in it goes into the history, before anybody meets it
//! ```
//!
//! Always true: what is damaged was sealed and stable before the last checkpoint but one, so no start may repair it, and
//! none may take it for the torn end of a log; a segment is damaged once.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use ringlog_core::ids::{Offset, PartitionIndex};
use ringlog_core::record_batch::{BatchHeader, HEADER_BYTES};
use ringlog_runtime::memory::{DiskView, Random};
use ringlog_storage::format::checkpoint::{CheckpointBody, PartitionRecord};
use ringlog_storage::format::checksums::{ChecksumFile, ChecksumHeader};
use ringlog_storage::format::index::{IndexEntry, OffsetEntry};
use ringlog_storage::format::names::{
    SegmentFile, checkpoint_directory, parse_partition_directory, parse_segment_name, segment_path,
};

use crate::workload::Workload;

const BLOCK: usize = 4096;
/// The first bytes of a batch, which its own checksum does not cover.
const UNCOVERED_BYTES: u64 = 17;

/// How the broker says that it found damage by itself, and that somebody asked for what is damaged.
const SCRUBBED: &str = "scrubbing found damaged records";
const ASKED_FOR: &str = "damaged records were asked for and not served";

/// How it says that the disk could not read.
const UNREADABLE: &str = "Input/output error";

/// Whether a report says that the disk could not read.
pub fn is_unreadable(report: &str) -> bool {
    report.contains(SCRUBBED) && report.contains(UNREADABLE)
}

/// A damaged block.
#[derive(Clone, Debug)]
pub struct RottenBlock {
    /// Of which partition.
    pub partition: i32,
    /// In which file.
    pub path: PathBuf,
    /// Where in it.
    pub bytes: Range<u64>,
    /// The offsets of the batches in it: they must be refused.
    pub offsets: Range<i64>,
    /// What may be refused with them, up to here: who lost the length of a batch goes on where the index knows of one.
    pub refused_to: i64,
    /// The size of all these batches.
    pub refused_bytes: u64,
    /// Whether the program was started anew since, so that nothing of it is in memory.
    pub is_on_disk_alone: bool,
}

impl RottenBlock {
    /// Whether a record may be refused because of it.
    pub fn may_be_refused(&self, partition: i32, offset: i64) -> bool {
        self.partition == partition && (self.offsets.start..self.refused_to).contains(&offset)
    }

    /// Whether the scrubber's report says just this of it.
    pub fn is_told_by(&self, report: &str) -> bool {
        let (path, bytes, offsets) = (self.path.display(), &self.bytes, &self.offsets);
        let place = format!("{path} is damaged at bytes {}..{}", bytes.start, bytes.end);
        let mut texts =
            (offsets.end..=self.refused_to).map(|end| format!("{place} (offsets {}..{end})", offsets.start));
        report.contains(SCRUBBED) && texts.any(|text| report.contains(&text))
    }

    /// Whether the scrubber says this of it and could not read which offsets it has.
    pub fn is_half_told_by(&self, report: &str) -> bool {
        let (path, bytes) = (self.path.display(), &self.bytes);
        report.contains(SCRUBBED)
            && report.contains(&format!("{path} is damaged at bytes {}..{}: ", bytes.start, bytes.end))
    }

    /// Whether a report says that records were refused because of it.
    pub fn is_met_by(&self, report: &str) -> bool {
        report.contains(ASKED_FOR) && report.contains(&format!("{} is damaged", self.path.display()))
    }
}

/// What ages the medium of a run.
#[derive(Clone)]
pub struct Rot {
    workload: Workload,
    random: Rc<RefCell<Random>>,
    is_over: Rc<Cell<bool>>,
}

/// A batch in a segment file.
struct Placed {
    position: u64,
    header: BatchHeader,
}

impl Placed {
    fn end(&self) -> u64 {
        self.position + self.header.size_bytes() as u64
    }
}

impl Rot {
    /// Of the disks that hold a workload's topic.
    pub fn new(workload: &Workload, random: Random) -> Rot {
        Rot { workload: workload.clone(), random: Rc::new(RefCell::new(random)), is_over: Rc::default() }
    }

    /// Damages up to so many blocks, now and then, while clients are busy.
    pub async fn spread(self, times: u64, pause_us_max: u64) {
        for _ in 0..times {
            let pause = self.random.borrow_mut().between(1..=pause_us_max);
            self.workload.world.sleep(Duration::from_micros(pause)).await;
            if !self.is_over.get() {
                self.damage_one();
            }
        }
    }

    /// Damages a last block.
    pub fn end(&self) {
        self.is_over.set(true);
        self.damage_one();
    }

    /// Damages a block, if there is one that may be.
    fn damage_one(&self) {
        let mut random = self.random.borrow_mut();
        let disk = self.workload.world.disk();
        let segments = self.stable_segments(&disk);
        if segments.is_empty() {
            return;
        }
        let (partition, path, base_offset) = &segments[random.index(segments.len())];
        if let Some(rotten) = damage(&disk, *partition, path, *base_offset, &mut random) {
            tracing::info!(?rotten, "a block rots");
            self.workload.history.borrow_mut().rotted(rotten);
        }
    }

    /// Segments of the topic that were sealed at the last checkpoint but one, and are sound.
    fn stable_segments(&self, disk: &DiskView<'_>) -> Vec<(i32, PathBuf, Offset)> {
        let files: Vec<PathBuf> = disk.files().into_iter().map(|(path, _)| path.into()).collect();
        let mut segments = Vec::new();
        for path in &files {
            let name = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
            let (Some(file), Some(directory)) = (name(path), path.parent()) else { continue };
            let (Some((base_offset, SegmentFile::Log)), Some(of)) =
                (parse_segment_name(&file), name(directory))
            else {
                continue;
            };
            let Some((topic, partition)) = parse_partition_directory(&of) else { continue };
            let data_dir = directory.parent().expect("a partition lies in a data directory");
            let is_sealed = topic == self.workload.topic.name
                && sealed_below(disk, &files, data_dir, topic, partition)
                    .is_some_and(|active| base_offset < active);
            if is_sealed && !self.workload.history.borrow().rotten().iter().any(|known| known.path == *path) {
                segments.push((partition.0, path.clone(), base_offset));
            }
        }
        segments
    }
}

/// Which segment of a partition was the active one at the last checkpoint but one.
fn sealed_below(
    disk: &DiskView<'_>,
    files: &[PathBuf],
    data_dir: &Path,
    topic: &str,
    partition: PartitionIndex,
) -> Option<Offset> {
    let directory = checkpoint_directory(data_dir);
    let checkpoints = files.iter().filter(|path| path.parent() == Some(directory.as_path()));
    let mut known: Vec<(u64, u64, i64)> = Vec::new();
    for body in checkpoints.filter_map(|path| CheckpointBody::parse(&disk.read(path)?).ok()) {
        let is_of = |record: &&PartitionRecord| record.topic == topic && record.partition == partition.0;
        let record = body.partitions.iter().find(is_of);
        known.extend(record.map(|record| (body.start, body.number, record.segment_base_offset)));
    }
    known.sort_unstable();
    known.dedup_by_key(|(start, number, _)| (*start, *number));
    known.iter().rev().nth(1).map(|(_, _, active)| Offset(*active))
}

/// Damages a block of a segment; `None` if its files are not what they are in most lives.
fn damage(
    disk: &DiskView<'_>,
    partition: i32,
    path: &Path,
    base_offset: Offset,
    random: &mut Random,
) -> Option<RottenBlock> {
    let segment = disk.read(path)?;
    let directory = path.parent()?;
    let checksums = disk.read(segment_path(directory, base_offset, SegmentFile::Checksums))?;
    let owner = ChecksumHeader::parse(&checksums).ok()?.partition;
    let sealed = ChecksumFile::parse(&checksums, owner, base_offset).ok()?.header.sealed?;
    let segment = segment.get(..sealed.segment_bytes as usize)?;
    let batches = batches_of(segment)?;
    let spots = spots(segment, &batches, random);
    let block = spots.first()?.0 / BLOCK as u64 * BLOCK as u64;
    for (position, mask) in &spots {
        disk.corrupt(path, *position, *mask);
    }
    let bytes = block..(block + BLOCK as u64).min(segment.len() as u64);
    let hit: Vec<&Placed> =
        batches.iter().filter(|batch| batch.position < bytes.end && batch.end() > bytes.start).collect();
    let (first, last) = (hit.first()?, hit.last()?);
    let offsets = first.header.base_offset().0..last.header.next_offset().0;
    let is_header = |at: u64| {
        hit.iter().any(|batch| (batch.position..batch.position + HEADER_BYTES as u64).contains(&at))
    };
    let resumed = if spots.iter().any(|(at, _)| is_header(*at)) {
        let index =
            disk.read(segment_path(directory, base_offset, SegmentFile::OffsetIndex)).unwrap_or_default();
        let known: Vec<u64> = index
            .chunks_exact(OffsetEntry::BYTES)
            .map(|entry| u64::from(OffsetEntry::read(base_offset, entry).position))
            .collect();
        batches.iter().find(|batch| batch.position >= bytes.end && known.contains(&batch.position))
    } else {
        batches.iter().find(|batch| batch.position >= bytes.end)
    };
    let end = batches.last()?;
    let refused_to = resumed.map_or(end.header.next_offset(), |batch| batch.header.base_offset()).0;
    let refused_end = resumed.map_or(end.end(), |batch| batch.position);
    let refused_bytes = refused_end - first.position;
    let path = path.to_owned();
    Some(RottenBlock { partition, path, bytes, offsets, refused_to, refused_bytes, is_on_disk_alone: false })
}

/// All batches of a whole segment.
fn batches_of(segment: &[u8]) -> Option<Vec<Placed>> {
    let mut batches = Vec::new();
    let mut position = 0;
    while position < segment.len() {
        let header = BatchHeader::parse(&segment[position..]).ok()?;
        position += header.size_bytes();
        batches.push(Placed { position: (position - header.size_bytes()) as u64, header });
    }
    Some(batches)
}

/// Which bytes of one block change, and how.
fn spots(segment: &[u8], batches: &[Placed], random: &mut Random) -> Vec<(u64, u8)> {
    let anywhere = random.below(segment.len().max(1) as u64);
    let block = anywhere as usize / BLOCK * BLOCK;
    let end = segment.len().min(block + BLOCK);
    let replacement: Vec<u8> = match random.below(6) {
        0 | 1 => return vec![(anywhere, 1 << random.below(8))],
        // Where a batch says what its own checksum does not cover.
        2 if !batches.is_empty() => {
            let batch = &batches[random.index(batches.len())];
            return vec![(batch.position + random.below(UNCOVERED_BYTES), 1 << random.below(8))];
        }
        // A write that was lost, half of one, or the block of another place.
        3 => [&segment[block..block + (end - block) / 2], &vec![0; (end - block).div_ceil(2)][..]].concat(),
        4 => segment[block.saturating_sub(BLOCK)..][..end - block].to_vec(),
        _ => vec![0; end - block],
    };
    let changed = (block as u64..).zip(segment[block..end].iter().zip(replacement));
    changed.map(|(position, (old, new))| (position, old ^ new)).filter(|(_, mask)| *mask != 0).collect()
}
