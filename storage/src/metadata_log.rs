//! The metadata log: the controller's records, one frame per record set, durable before anyone acts by them.
//!
//! ```text
//!   DIR/metadata.log   [frame: records 0..3][end][frame: record 3][end]...
//!
//!   frame  0 magic u32 "RLMD" | 4 body bytes u32 | 8 first record's index u64 | 16 epoch u32
//!         20 record count u32 | 24 checksum of the frame before u32 | 28 checksum u32 | 32 body: rkyv Vec<MetadataRecord>
//!   end    a frame without records, written after the sync of the frame before it
//! ```
//!
//! Numbers are little-endian. The checksum (CRC-32C) covers bytes 0 to 28 and the body; each frame names the
//! checksum of the one before, so a frame of another log or another place never fits.
//!
//! Always true: an append returns after the records *and* the end frame behind them are synced. So an invalid frame
//! with nothing valid behind it is a write that never returned, and is dropped; an invalid frame with a valid
//! one behind it is damage to what was acted by, and is reported, never dropped. What a start reads is acted by
//! as well, so opening syncs it and puts the end frame there that a crash may have kept away. After a failed
//! write the log takes no more: what the disk holds is unknown. The file is allocated ahead, and zeros stand behind the
//! last frame: so a full disk is met before anything of a frame is written, and the log is as before.

pub mod known_directories;
pub mod meta_properties;

use std::fmt;
use std::path::{Path, PathBuf};

use ringlog_core::checksum::{crc32c, crc32c_append};
use ringlog_core::limits::Limits;
use ringlog_core::metadata::MetadataRecord;
use ringlog_runtime::buffer::BufMut;
use ringlog_runtime::environment::{DiskFailure, Environment, File, OpenMode, WriteSync};

const MAGIC: [u8; 4] = *b"RLMD";
const HEADER_BYTES: usize = 32;
const CHECKSUM_POSITION: usize = 28;
/// What the file is called.
pub const FILE_NAME: &str = "metadata.log";

/// The file grows by multiples of this.
const ALLOCATE_BYTES: u64 = 64 * 1024;

/// Most bytes of one record set: far above any request's worth of topics.
pub const FRAME_BODY_BYTES_MAX: usize = Limits::production().storage.metadata_frame_bytes_max;

/// How much is read at once when the log is opened.
const READ_BYTES: usize = 256 * 1024;

/// Why the metadata log cannot be read or written.
#[derive(Debug)]
pub enum MetadataLogFailure {
    /// A file operation failed.
    Disk(DiskFailure),
    /// The disk is full. Nothing was written.
    NoRoom(DiskFailure),
    /// Records that were acted by are damaged.
    Corruption {
        /// The file.
        path: PathBuf,
        /// Where the damaged frame begins.
        position: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// More records than a frame takes.
    TooLarge {
        /// How many bytes they take.
        body_bytes: usize,
    },
    /// An earlier write failed; what the disk holds is unknown until the broker starts anew.
    Fenced,
    /// No memory for a frame.
    Memory,
}

impl fmt::Display for MetadataLogFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MetadataLogFailure::Disk(failure) | MetadataLogFailure::NoRoom(failure) => failure.fmt(formatter),
            MetadataLogFailure::Corruption { path, position, reason } => write!(
                formatter,
                "the metadata log {} is damaged at byte {position}: {reason}; restore the file from a backup",
                path.display()
            ),
            MetadataLogFailure::TooLarge { body_bytes } => write!(
                formatter,
                "{body_bytes} bytes of metadata at once, where {FRAME_BODY_BYTES_MAX} are allowed: ask for less at a time"
            ),
            MetadataLogFailure::Fenced => {
                formatter.write_str("an earlier write of the metadata log failed: restart the broker")
            }
            MetadataLogFailure::Memory => formatter.write_str("no I/O memory for the metadata log"),
        }
    }
}

impl std::error::Error for MetadataLogFailure {}

/// The open log. One per broker, on the first shard.
pub struct MetadataLog<E: Environment> {
    env: E,
    file: E::File,
    end: End,
    epoch: u32,
    fenced: bool,
    /// The file's length.
    allocated: u64,
}

/// Where the next frame goes and what it continues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct End {
    position: u64,
    next_index: u64,
    checksum: u32,
    /// Whether nothing is before it, or an end frame.
    is_sealed: bool,
    /// Where the frame before it begins.
    last_position: u64,
}

impl End {
    const START: End = End { position: 0, next_index: 0, checksum: 0, is_sealed: true, last_position: 0 };

    fn after(self, body_bytes: usize, record_count: u32, checksum: u32) -> End {
        End {
            position: self.position + (HEADER_BYTES + body_bytes) as u64,
            next_index: self.next_index + u64::from(record_count),
            checksum,
            is_sealed: record_count == 0,
            last_position: self.position,
        }
    }
}

impl<E: Environment> MetadataLog<E> {
    /// Opens the log in a data directory, creating it if absent, and reads all its records.
    ///
    /// # Errors
    /// [`MetadataLogFailure::Corruption`] if records that were acted by cannot be read any more.
    pub async fn open(
        env: &E,
        data_dir: &Path,
    ) -> Result<(MetadataLog<E>, Vec<MetadataRecord>), MetadataLogFailure> {
        let path = data_dir.join(FILE_NAME);
        let file = env.open(&path, OpenMode::BufferedWrite).await.map_err(MetadataLogFailure::Disk)?;
        env.sync_directory(data_dir).await.map_err(MetadataLogFailure::Disk)?;
        let bytes = read_all(env, &file).await?;
        let (records, end) = read_frames(&bytes, &path)?;
        let position = usize::try_from(end.position).expect("the log is in memory");
        let is_allocated = bytes[position..].iter().all(|byte| *byte == 0);
        if !is_allocated {
            file.truncate(end.position).await.map_err(MetadataLogFailure::Disk)?;
        }
        let allocated = if is_allocated { bytes.len() as u64 } else { end.position };
        file.sync().await.map_err(MetadataLogFailure::Disk)?;
        let mut log = MetadataLog { env: env.clone(), file, end, epoch: 0, fenced: false, allocated };
        log.write_last_frame_again(&bytes).await?;
        if !end.is_sealed {
            log.allocate_for(HEADER_BYTES).await?;
            log.write_frame(&[], 0).await?;
        }
        Ok((log, records))
    }

    /// Adds records that become true together; they are durable when this returns.
    ///
    /// # Errors
    /// After [`MetadataLogFailure::Disk`] whether they will be there after a restart is unknown, and the log
    /// takes no more. After [`MetadataLogFailure::NoRoom`] it is as before.
    pub async fn append(&mut self, records: &[MetadataRecord]) -> Result<(), MetadataLogFailure> {
        if self.fenced {
            return Err(MetadataLogFailure::Fenced);
        }
        if records.is_empty() {
            return Ok(());
        }
        let body = encode(records);
        if body.len() > FRAME_BODY_BYTES_MAX {
            return Err(MetadataLogFailure::TooLarge { body_bytes: body.len() });
        }
        self.allocate_for(2 * HEADER_BYTES + body.len()).await?;
        self.write_frame(&body, records.len()).await?;
        // The records are on the disk and a start would act by them: nothing may go on as if they were not.
        self.write_frame(&[], 0).await.inspect_err(|_| self.fenced = true)
    }

    /// Makes the file long enough for so many bytes more.
    async fn allocate_for(&mut self, bytes: usize) -> Result<(), MetadataLogFailure> {
        let end = self.end.position + bytes as u64;
        if end <= self.allocated {
            return Ok(());
        }
        let length = end.next_multiple_of(ALLOCATE_BYTES);
        match self.file.allocate(length).await {
            Ok(()) => self.allocated = length,
            Err(failure) if failure.is_out_of_space() => return Err(MetadataLogFailure::NoRoom(failure)),
            Err(failure) => return Err(MetadataLogFailure::Disk(failure)),
        }
        Ok(())
    }

    /// Makes the last frame stable. All before it are, or it would not have been written; itself a process may
    /// have left behind that was killed before it was stable, or whose write failed: then it may be readable and
    /// clean in memory only, and a sync would succeed without writing it.
    async fn write_last_frame_again(&mut self, bytes: &[u8]) -> Result<(), MetadataLogFailure> {
        let place = |position| usize::try_from(position).expect("the log is in memory");
        let frame = &bytes[place(self.end.last_position)..place(self.end.position)];
        if frame.is_empty() {
            return Ok(());
        }
        let mut copy = self.env.arena().allocate(frame.len()).map_err(|_| MetadataLogFailure::Memory)?;
        copy.extend_from_slice(frame);
        let again =
            self.file.write_at(self.end.last_position, vec![copy.freeze()], WriteSync::BeforeCompletion);
        again.await.map_err(MetadataLogFailure::Disk)
    }

    async fn write_frame(&mut self, body: &[u8], record_count: usize) -> Result<(), MetadataLogFailure> {
        let header = frame_header(self.end, self.epoch, body, record_count);
        let mut frame: BufMut =
            self.env.arena().allocate(HEADER_BYTES + body.len()).map_err(|_| MetadataLogFailure::Memory)?;
        frame.extend_from_slice(&header);
        frame.extend_from_slice(body);
        // Set before the write: if this future is dropped on the way, the outcome is unknown too.
        self.fenced = true;
        self.file
            .write_at(self.end.position, vec![frame.freeze()], WriteSync::BeforeCompletion)
            .await
            .map_err(MetadataLogFailure::Disk)?;
        self.fenced = false;
        let checksum = checksum_of(&header);
        let record_count = u32::try_from(record_count).expect("the header holds it");
        self.end = self.end.after(body.len(), record_count, checksum);
        Ok(())
    }
}

/// A metadata log that begins with these sets of records, as the file holds it.
///
/// # Errors
/// [`MetadataLogFailure::TooLarge`] for a set that no frame takes.
pub fn initial_bytes(sets: &[Vec<MetadataRecord>]) -> Result<Vec<u8>, MetadataLogFailure> {
    let (mut bytes, mut end) = (Vec::new(), End::START);
    for records in sets.iter().filter(|records| !records.is_empty()) {
        let body = encode(records);
        if body.len() > FRAME_BODY_BYTES_MAX {
            return Err(MetadataLogFailure::TooLarge { body_bytes: body.len() });
        }
        for (body, count) in [(&body[..], records.len()), (&[], 0)] {
            let header = frame_header(end, 0, body, count);
            bytes.extend_from_slice(&header);
            bytes.extend_from_slice(body);
            end = end.after(body.len(), count as u32, checksum_of(&header));
        }
    }
    Ok(bytes)
}

fn checksum_of(header: &[u8; HEADER_BYTES]) -> u32 {
    u32::from_le_bytes(header[CHECKSUM_POSITION..].try_into().expect("four bytes"))
}

async fn read_all<E: Environment>(env: &E, file: &E::File) -> Result<Vec<u8>, MetadataLogFailure> {
    let mut bytes = Vec::new();
    loop {
        let buffer = env.arena().allocate(READ_BYTES).map_err(|_| MetadataLogFailure::Memory)?;
        let read = file.read_at(bytes.len() as u64, buffer).await.map_err(MetadataLogFailure::Disk)?;
        if read.is_empty() {
            return Ok(bytes);
        }
        bytes.extend_from_slice(read.as_slice());
    }
}

fn encode(records: &[MetadataRecord]) -> Vec<u8> {
    let records = records.to_vec();
    rkyv::to_bytes::<rkyv::rancor::Error>(&records).expect("plain records can be written to memory").to_vec()
}

fn frame_header(end: End, epoch: u32, body: &[u8], record_count: usize) -> [u8; HEADER_BYTES] {
    let body_bytes = u32::try_from(body.len()).expect("a body is bounded");
    let record_count = u32::try_from(record_count).expect("records are fewer than their bytes");
    let mut header = [0; HEADER_BYTES];
    header[0..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&body_bytes.to_le_bytes());
    header[8..16].copy_from_slice(&end.next_index.to_le_bytes());
    header[16..20].copy_from_slice(&epoch.to_le_bytes());
    header[20..24].copy_from_slice(&record_count.to_le_bytes());
    header[24..28].copy_from_slice(&end.checksum.to_le_bytes());
    let checksum = crc32c_append(crc32c(&header[..CHECKSUM_POSITION]), body);
    header[CHECKSUM_POSITION..].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// A frame whose checksum holds.
struct Frame<'a> {
    first_index: u64,
    record_count: u32,
    previous_checksum: u32,
    checksum: u32,
    body: &'a [u8],
}

impl<'a> Frame<'a> {
    fn at_start(bytes: &'a [u8]) -> Result<Frame<'a>, String> {
        let number = |position: usize| {
            u32::from_le_bytes(bytes[position..position + 4].try_into().expect("four bytes of the header"))
        };
        if bytes.len() < HEADER_BYTES {
            return Err(format!("{} bytes are no frame", bytes.len()));
        }
        if bytes[..4] != MAGIC {
            return Err("the frame's magic is missing".to_owned());
        }
        let body_bytes = number(4) as usize;
        if body_bytes > FRAME_BODY_BYTES_MAX || bytes.len() - HEADER_BYTES < body_bytes {
            return Err(format!("a body of {body_bytes} bytes does not fit"));
        }
        let body = &bytes[HEADER_BYTES..HEADER_BYTES + body_bytes];
        let checksum = crc32c_append(crc32c(&bytes[..CHECKSUM_POSITION]), body);
        if checksum != number(CHECKSUM_POSITION) {
            return Err("the checksum does not match".to_owned());
        }
        let first_index = u64::from_le_bytes(bytes[8..16].try_into().expect("eight bytes of the header"));
        Ok(Frame { first_index, record_count: number(20), previous_checksum: number(24), checksum, body })
    }

    fn continues(&self, end: &End) -> Result<(), String> {
        if self.first_index != end.next_index || self.previous_checksum != end.checksum {
            return Err(format!(
                "it holds record {}, where record {} is next",
                self.first_index, end.next_index
            ));
        }
        Ok(())
    }

    fn records(&self) -> Result<Vec<MetadataRecord>, String> {
        if self.record_count == 0 {
            return Ok(Vec::new());
        }
        let mut aligned = rkyv::util::AlignedVec::<16>::with_capacity(self.body.len());
        aligned.extend_from_slice(self.body);
        let records = rkyv::from_bytes::<Vec<MetadataRecord>, rkyv::rancor::Error>(&aligned)
            .map_err(|error| format!("its records cannot be read: {error}"))?;
        match records.len() == self.record_count as usize {
            true => Ok(records),
            false => Err(format!("it holds {} records of {}", records.len(), self.record_count)),
        }
    }
}

/// All records up to the last whole frame, and where that ends.
fn read_frames(bytes: &[u8], path: &Path) -> Result<(Vec<MetadataRecord>, End), MetadataLogFailure> {
    let mut records = Vec::new();
    let mut end = End::START;
    loop {
        let position = usize::try_from(end.position).expect("the log is in memory");
        let rest = &bytes[position..];
        if rest.is_empty() {
            return Ok((records, end));
        }
        let corruption = |reason: String| MetadataLogFailure::Corruption {
            path: path.to_owned(),
            position: end.position,
            reason,
        };
        match Frame::at_start(rest) {
            Ok(frame) => {
                frame.continues(&end).map_err(corruption)?;
                records.extend(frame.records().map_err(corruption)?);
                end = end.after(frame.body.len(), frame.record_count, frame.checksum);
            }
            Err(reason) if a_frame_follows(rest) => return Err(corruption(reason)),
            // A write that never returned: nobody acted by it.
            Err(_) => return Ok((records, end)),
        }
    }
}

/// A whole frame of a metadata log, for tools that show one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadFrame {
    /// Where it begins in the file.
    pub position: u64,
    /// The index of its first record; for an end frame, of the next record.
    pub first_index: u64,
    /// Its records; none in an end frame.
    pub records: Vec<MetadataRecord>,
}

/// Bytes of a metadata log that are no whole frame, or not the one that should stand there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FrameFault {
    /// Where the frame begins.
    pub position: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// The frames of a metadata log's bytes; ends with the first that cannot be read, or before the zeros behind the last.
pub fn each_frame(bytes: &[u8]) -> impl Iterator<Item = Result<ReadFrame, FrameFault>> {
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let mut end = Some(End::START);
    std::iter::from_fn(move || {
        let here = end.take()?;
        let position = usize::try_from(here.position).ok().filter(|position| *position < written)?;
        let rest = bytes.get(position..)?;
        let read = Frame::at_start(rest).and_then(|frame| {
            frame.continues(&here)?;
            let records = frame.records()?;
            end = Some(here.after(frame.body.len(), frame.record_count, frame.checksum));
            Ok(ReadFrame { position: here.position, first_index: frame.first_index, records })
        });
        Some(read.map_err(|reason| FrameFault { position: here.position, reason }))
    })
}

/// Whether a whole frame begins anywhere behind the damaged one.
pub(crate) fn a_frame_follows(damaged: &[u8]) -> bool {
    (1..damaged.len()).any(|position| Frame::at_start(&damaged[position..]).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_runtime::memory::{DiskOperation, MemoryWorld, Options};

    #[test]
    fn frames_are_shown_until_the_first_that_cannot_be_read() {
        let mut bytes = log_of(&[&[named(1), named(2)], &[named(3)]]);
        let frames: Vec<ReadFrame> = each_frame(&bytes).map(Result::unwrap).collect();
        let shown: Vec<(u64, usize)> =
            frames.iter().map(|frame| (frame.first_index, frame.records.len())).collect();
        assert_eq!(shown, [(0, 2), (2, 0), (2, 1), (3, 0)]);
        let damaged_at = frames[2].position;
        bytes[damaged_at as usize + HEADER_BYTES] ^= 1;
        let shown: Vec<_> = each_frame(&bytes).collect();
        assert_eq!(shown.len(), 3);
        assert_eq!(shown[2].as_ref().unwrap_err().position, damaged_at);
    }

    fn named(number: u64) -> MetadataRecord {
        MetadataRecord::ClusterNamed { cluster_id: format!("cluster-{number}") }
    }

    fn log_of(sets: &[&[MetadataRecord]]) -> Vec<u8> {
        initial_bytes(&sets.iter().map(|set| set.to_vec()).collect::<Vec<_>>()).unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<MetadataRecord>, MetadataLogFailure> {
        read_frames(bytes, Path::new("metadata.log")).map(|(records, _)| records)
    }

    #[test]
    fn records_come_back_in_the_order_they_were_appended() {
        let bytes = log_of(&[&[named(0), named(1)], &[named(2)]]);
        assert_eq!(read(&bytes).unwrap(), [named(0), named(1), named(2)]);
        assert_eq!(read(&[]).unwrap(), []);
    }

    #[test]
    fn every_truncation_keeps_a_prefix_of_whole_record_sets() {
        let bytes = log_of(&[&[named(0)], &[named(1), named(2)]]);
        for length in 0..bytes.len() {
            let records = read(&bytes[..length]).unwrap();
            assert!(matches!(records.len(), 0 | 1 | 3), "{} records of {length} bytes", records.len());
        }
    }

    #[test]
    fn every_flipped_byte_below_the_last_end_frame_is_reported() {
        let bytes = log_of(&[&[named(0)], &[named(1), named(2)]]);
        for position in 0..bytes.len() - HEADER_BYTES {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x10;
            let result = read(&damaged);
            assert!(
                matches!(result, Err(MetadataLogFailure::Corruption { .. })),
                "byte {position}: {result:?}"
            );
        }
    }

    #[test]
    fn a_frame_of_another_place_does_not_fit() {
        let other = log_of(&[&[named(7)], &[named(8)]]);
        let mut bytes = log_of(&[&[named(0)]]);
        let second_set = log_of(&[&[named(7)]]).len();
        bytes.extend_from_slice(&other[second_set..]);
        assert!(matches!(read(&bytes), Err(MetadataLogFailure::Corruption { .. })));
    }

    #[test]
    fn what_was_appended_survives_a_crash_at_every_disk_operation() {
        for crash_after in 1..40 {
            for seed in 0..20 {
                survives(seed, crash_after);
            }
        }
    }

    fn survives(seed: u64, crash_after: u64) {
        let dir = Path::new("/data");
        let world = MemoryWorld::new(seed, Options::default());
        let appended = std::rc::Rc::new(std::cell::Cell::new(0));
        let env = world.environment(0, 1);
        world.set_crash_after(crash_after);
        let progress = appended.clone();
        let ran = world.run_until_or_crash(async move {
            env.create_directory(dir).await.unwrap();
            env.sync_directory(Path::new("/")).await.unwrap();
            let (mut log, records) = MetadataLog::open(&env, dir).await.unwrap();
            assert_eq!(records, []);
            for number in 0..5 {
                log.append(&[named(number)]).await.unwrap();
                progress.set(number + 1);
            }
        });
        if ran.is_ok() {
            world.set_crash_after(1 << 40);
            world.crash();
        }
        let env = world.environment(0, 1);
        let records = world.run_until(async move {
            env.create_directory(dir).await.unwrap();
            MetadataLog::open(&env, dir).await.unwrap().1
        });
        let count = records.len() as u64;
        assert!(count >= appended.get(), "{count} of {} records (seed {seed})", appended.get());
        assert_eq!(records, (0..count).map(named).collect::<Vec<_>>());
    }

    fn open_in(world: &MemoryWorld) -> Result<Vec<MetadataRecord>, MetadataLogFailure> {
        let env = world.environment(0, 1);
        world.run_until(async move { Ok(MetadataLog::open(&env, Path::new("/data")).await?.1) })
    }

    /// A file that holds these bytes, none of them synced.
    fn leave_unsynced(world: &MemoryWorld, bytes: Vec<u8>) {
        let env = world.environment(0, 1);
        world.run_until(async move {
            let dir = Path::new("/data");
            env.create_directory(dir).await.unwrap();
            env.sync_directory(Path::new("/")).await.unwrap();
            let file = env.open(&dir.join(FILE_NAME), OpenMode::BufferedWrite).await.unwrap();
            let mut buffer = env.arena().allocate(bytes.len()).unwrap();
            buffer.extend_from_slice(&bytes);
            file.write_at(0, vec![buffer.freeze()], WriteSync::Later).await.unwrap();
        });
    }

    #[test]
    fn what_a_start_has_read_survives_a_loss_of_power_right_after() {
        for seed in 0..50 {
            let world = MemoryWorld::new(seed, Options::quiet());
            leave_unsynced(&world, log_of(&[&[named(0)], &[named(1)]]));
            assert_eq!(open_in(&world).unwrap(), [named(0), named(1)]);
            world.crash();
            assert_eq!(open_in(&world).unwrap(), [named(0), named(1)], "seed {seed}");
        }
    }

    #[test]
    fn records_that_a_failed_sync_left_readable_are_stable_before_they_are_acted_by() {
        let mut bytes = log_of(&[&[named(0)]]);
        // Killed before the end frame: the records are all that may not be stable.
        bytes.truncate(bytes.len() - HEADER_BYTES);
        for seed in 0..20 {
            let world = MemoryWorld::new(seed, Options::quiet());
            leave_unsynced(&world, bytes.clone());
            world.disk().fail(DiskOperation::Sync, 1);
            assert!(matches!(open_in(&world), Err(MetadataLogFailure::Disk(_))));
            world.kill();
            assert_eq!(open_in(&world).unwrap(), [named(0)], "readable with the power on");
            world.crash();
            assert_eq!(open_in(&world).unwrap(), [named(0)], "seed {seed}");
        }
    }

    #[test]
    fn damage_to_the_last_records_a_start_has_read_is_reported_by_the_next() {
        let world = MemoryWorld::new(1, Options::quiet());
        // Given a crash between the records and their end frame.
        let mut bytes = log_of(&[&[named(0)]]);
        bytes.truncate(bytes.len() - HEADER_BYTES);
        let length = bytes.len();
        leave_unsynced(&world, bytes);
        assert_eq!(open_in(&world).unwrap(), [named(0)]);
        let env = world.environment(0, 1);
        world.run_until(async move {
            let file = env.open(&Path::new("/data").join(FILE_NAME), OpenMode::BufferedWrite).await.unwrap();
            let mut wrong = env.arena().allocate(1).unwrap();
            wrong.extend_from_slice(&[0xee]);
            file.write_at(length as u64 - 1, vec![wrong.freeze()], WriteSync::BeforeCompletion)
                .await
                .unwrap();
        });
        assert!(matches!(open_in(&world), Err(MetadataLogFailure::Corruption { position: 0, .. })));
    }

    #[test]
    fn appending_nothing_writes_nothing() {
        let world = MemoryWorld::new(1, Options::quiet());
        let env = world.environment(0, 1);
        let length = world.run_until(async move {
            let dir = Path::new("/data");
            env.create_directory(dir).await.unwrap();
            let (mut log, _) = MetadataLog::open(&env, dir).await.unwrap();
            log.append(&[]).await.unwrap();
            env.open(&dir.join(FILE_NAME), OpenMode::BufferedRead).await.unwrap().length().await.unwrap()
        });
        assert_eq!(length, 0);
    }
}
