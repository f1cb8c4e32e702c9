//! Whether blocks of a segment file are those that were written: compared with their checksums before anything in them is
//! looked at.
//!
//! ```text
//!   block of ... an open segment, written lately ──► checksum in memory
//!                an open segment, or a sealed one ──► page of its checksum file, kept
//!                the end of what may be read      ──► as the read was planned
//!   a file disagrees ──► is it whole itself? ──► yes: the block is damaged    no: told, and asked no more
//! ```
//!
//! Always true: without a checksum to compare with a block passes; the checksum of its batches is verified all the same.

use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;

use ringlog_core::ids::Offset;
use ringlog_runtime::environment::{Environment, OpenMode};

use crate::disk::{BLOCK, block_floor, read_bytes};
use crate::failure::ReadError;
use crate::format::checksums::{
    CHECKSUM_BYTES, ChecksumFile, SegmentSeed, checksum_count, checksum_position, digest_append, digest_of,
    parse_checksums,
};
use crate::format::names::{SegmentFile, segment_path};
use crate::log::PartitionLog;
use crate::log::read::{FileExtent, LastBlock};
use crate::store::checksum_pages::PAGE_CHECKSUMS;
use crate::store::read_ahead::Place;

/// Where the checksums of a segment are.
enum Known {
    /// There are none.
    Nowhere,
    /// The first so many in the file, these behind them in memory.
    Open { written: u64, pending: Vec<u32> },
    /// In the file.
    Sealed,
}

/// What memory says of a block.
enum InMemory {
    /// Its checksum, if it has one.
    Known(Option<u32>),
    /// The file may know.
    Unknown,
}

impl Known {
    fn in_memory(&self, block: u64) -> InMemory {
        match self {
            Known::Nowhere => InMemory::Known(None),
            Known::Open { written, pending } if block >= *written => {
                InMemory::Known(pending.get((block - written) as usize).copied())
            }
            Known::Open { .. } | Known::Sealed => InMemory::Unknown,
        }
    }
}

/// Whose word it is that a block is damaged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Judge {
    Memory,
    File,
}

impl<E: Environment> PartitionLog<E> {
    /// The first damaged blocks among bytes that were read from `start` on, a block's boundary.
    pub(super) async fn first_damaged(
        &self,
        extent: &FileExtent,
        start: u64,
        bytes: &[u8],
    ) -> Result<Option<Range<u64>>, ReadError> {
        let place = Place { partition: self.log.identity.id, segment: extent.segment };
        let end = extent.limit.min(start + bytes.len() as u64);
        let known = self.known_checksums(extent.segment, start / BLOCK..end.div_ceil(BLOCK));
        let mut trusts_file = !self.store.checksums.is_distrusted(place);
        loop {
            let compared = self
                .compare(extent, start, &bytes[..(end.max(start) - start) as usize], &known, trusts_file)
                .await?;
            match compared {
                // Once more by what is in memory alone, which nothing can have damaged.
                Some((_, Judge::File)) if !self.vouches(place, &known).await? => trusts_file = false,
                compared => return Ok(compared.map(|(damaged, _)| damaged)),
            }
        }
    }

    /// The first blocks that are not what a checksum says, and whether the file had a say in it.
    async fn compare(
        &self,
        extent: &FileExtent,
        start: u64,
        bytes: &[u8],
        known: &Known,
        trusts_file: bool,
    ) -> Result<Option<(Range<u64>, Judge)>, ReadError> {
        let place = Place { partition: self.log.identity.id, segment: extent.segment };
        let seed = SegmentSeed::new(place.partition, extent.segment);
        let mut damaged: Option<(Range<u64>, Judge)> = None;
        for (index, found) in bytes.chunks(BLOCK as usize).enumerate() {
            let position = start + index as u64 * BLOCK;
            let block_end = (position + BLOCK).min(extent.limit);
            let is_whole = block_end == position + BLOCK;
            let (expected, judge) = match extent.last_block {
                LastBlock::Unknown if !is_whole => (None, Judge::Memory),
                LastBlock::Is(checksum) if !is_whole => (Some(checksum), Judge::Memory),
                _ => match known.in_memory(position / BLOCK) {
                    InMemory::Known(checksum) => (checksum, Judge::Memory),
                    InMemory::Unknown if !trusts_file => (None, Judge::File),
                    InMemory::Unknown => (self.in_file(place, position / BLOCK, known).await?, Judge::File),
                },
            };
            let is_right = expected.is_none_or(|checksum| checksum == seed.checksum_of(position, found));
            match &mut damaged {
                Some((range, by)) if !is_right => (range.end, *by) = (block_end, (*by).max(judge)),
                Some(_) => break,
                None if !is_right => damaged = Some((position..block_end, judge)),
                None => {}
            }
        }
        Ok(damaged)
    }

    fn known_checksums(&self, segment: Offset, blocks: Range<u64>) -> Known {
        let state = self.log.state.borrow();
        let Some(open) = state.open_segment(segment) else {
            return Known::Sealed;
        };
        let Some(checksums) = &open.growing.checksums else { return Known::Nowhere };
        let written = u64::from(checksums.written);
        let count = blocks.end.saturating_sub(written) as usize;
        let pending = checksums.pending[..count.min(checksums.pending.len())].to_vec();
        Known::Open { written, pending }
    }

    /// The checksum of a block that is in the file; `None` if it is not.
    async fn in_file(&self, place: Place, block: u64, known: &Known) -> Result<Option<u32>, ReadError> {
        let (page, index) = (block / PAGE_CHECKSUMS, (block % PAGE_CHECKSUMS) as usize);
        if let Some(checksums) = self.store.checksums.get(place, page, index + 1) {
            return Ok(checksums.get(index).copied());
        }
        let first = page * PAGE_CHECKSUMS;
        let written = match known {
            Known::Open { written, .. } => Some(*written),
            Known::Sealed | Known::Nowhere => self.sealed_count(place.segment),
        };
        // Behind those that are known to be in the file stands nothing, or what a crash left.
        let left = written.map_or(PAGE_CHECKSUMS, |written| written.saturating_sub(first));
        let count = PAGE_CHECKSUMS.min(left) as usize;
        let Some(bytes) =
            self.checksum_bytes(place, checksum_position(first), count * CHECKSUM_BYTES).await?
        else {
            // A segment of an earlier build, or of Kafka, never had one.
            if place.segment < self.log.state.borrow().checksums_from {
                self.store.checksums.distrust(place);
            } else {
                self.distrust(place, "it is gone");
            }
            return Ok(None);
        };
        let checksums = Rc::new(parse_checksums(&bytes));
        if let Some(written) = written.filter(|_| checksums.len() < count) {
            let reason = format!("it ends after {} checksums of {written}", first + checksums.len() as u64);
            self.distrust(place, &reason);
            return Ok(None);
        }
        self.store.checksums.put(place, page, checksums.clone());
        Ok(checksums.get(index).copied())
    }

    /// How many checksums the file of a sealed segment has; `None` if the segment left the log.
    fn sealed_count(&self, segment: Offset) -> Option<u64> {
        let state = self.log.state.borrow();
        state.has_segment(segment).then(|| checksum_count(state.segment_of(segment).0.size_bytes))
    }

    /// Bytes of a checksum file; `None` if there is no such file, or the disk cannot read it.
    async fn checksum_bytes(
        &self,
        place: Place,
        position: u64,
        count: usize,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let (env, path) = (&self.store.env, self.checksum_path(place.segment));
        let file = match self.store.files.open(env, &path, OpenMode::BufferedRead).await {
            Err(failure) if failure.is_not_found() => return Ok(None),
            file => file?,
        };
        match read_bytes(env, &file, position, count).await {
            Err(failure) if failure.is_unreadable() => {
                self.distrust(place, "it cannot be read");
                Ok(None)
            }
            read => Ok(Some(read?)),
        }
    }

    /// Whether a checksum file is whole, so that a mismatch is the block's fault.
    async fn vouches(&self, place: Place, known: &Known) -> Result<bool, ReadError> {
        let Some(segment) = self.segments().into_iter().find(|summary| summary.base_offset == place.segment)
        else {
            return Ok(true);
        };
        let count = checksum_count(segment.size_bytes);
        let bytes =
            self.checksum_bytes(place, 0, checksum_position(count) as usize + 1).await?.unwrap_or_default();
        let parse = match known {
            Known::Open { .. } => ChecksumFile::parse_open,
            Known::Sealed | Known::Nowhere => ChecksumFile::parse,
        };
        let reason = match (parse(&bytes, place.partition, place.segment), known) {
            (Ok(file), Known::Open { written, .. }) if (file.checksums.len() as u64) < *written => {
                Some(format!("it has {} checksums of {written}", file.checksums.len()))
            }
            (Ok(file), Known::Open { written, .. }) => {
                self.differs(place, &file.checksums[..*written as usize])
            }
            (Ok(file), _) if file.header.sealed.is_none() => Some("it was never finished".to_owned()),
            (Ok(_), _) => None,
            (Err(reason), _) => Some(reason),
        };
        if let Some(reason) = &reason {
            self.distrust(place, reason);
        }
        Ok(reason.is_none())
    }

    /// What is wrong with the checksums that an open segment's file begins with, if it is still open.
    fn differs(&self, place: Place, in_file: &[u32]) -> Option<String> {
        let state = self.log.state.borrow();
        let checksums = state.open_segment(place.segment)?.growing.checksums.as_ref()?;
        if checksums.written as usize != in_file.len() {
            // More were written meanwhile: the next read that finds a mismatch looks again.
            return None;
        }
        let computed = checksums
            .pending
            .iter()
            .fold(digest_of(in_file), |digest, checksum| digest_append(digest, *checksum));
        (computed != checksums.digest).then(|| "its checksums are not those that were written".to_owned())
    }

    fn distrust(&self, place: Place, reason: &str) {
        if self.store.checksums.distrust(place) {
            let (topic, partition) = (&self.log.identity.topic, place.partition.partition.0);
            tracing::warn!(%topic, partition, path = %self.checksum_path(place.segment).display(), reason,
                "a segment's checksums cannot be used; only those of its batches protect it");
        }
    }

    fn checksum_path(&self, segment: Offset) -> PathBuf {
        segment_path(&self.log.directory, segment, SegmentFile::Checksums)
    }

    /// Whether the partial block that a log goes on in is what was written.
    pub(super) fn is_open_block_whole(&self, size: u64, prefix: &[u8]) -> bool {
        let state = self.log.state.borrow();
        let active = state.active();
        let Some(checksums) = active.growing.checksums.as_ref().filter(|_| active.size() == size) else {
            return true;
        };
        checksums.seed().checksum_of(block_floor(size), prefix) == checksums.open
    }
}
