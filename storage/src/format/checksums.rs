//! A checksum for every block of a segment, in a file beside it: what Kafka's own checksums leave uncovered.
//!
//! ```text
//!   .checksums   header, 64 bytes | checksum of block 0 (4) | of block 1 (4) | ... | of the last, partial one (sealed)
//!   checksum     CRC-32C over: topic id (16) | partition (4) | base offset (8) | position of the block (8) | its bytes
//! ```
//!
//! A batch's checksum covers neither its first 17 bytes nor its place. These cover both: a flipped header byte, a write
//! that was lost, a block that came to the wrong place and a block of another file give another number.
//!
//! Always true: the numbers are computed from the bytes in memory as they were accepted, block by block as they come,
//! never from what a disk says of them. Those of whole blocks are only added, never changed, so that an open segment's
//! file is one more index: the checkpoint says how many of them count, and what the partial block behind them gives.

use ringlog_core::checksum::{crc32c, crc32c_append};
use ringlog_core::ids::{Offset, TopicPartition};

use crate::disk::{BLOCK, block_floor};

const MAGIC: [u8; 8] = *b"RLCHKSUM";
const VERSION: u16 = 1;
/// The file's header.
pub const HEADER_BYTES: usize = 64;
/// One checksum.
pub const CHECKSUM_BYTES: usize = 4;
/// What one of them covers at most.
pub const BLOCK_BYTES: u64 = BLOCK;

/// What all checksums of a segment begin with: they hold nowhere else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentSeed(u32);

impl SegmentSeed {
    /// Of a segment.
    pub fn new(partition: TopicPartition, base_offset: Offset) -> SegmentSeed {
        let seed = crc32c_append(crc32c(&partition.topic.0), &partition.partition.0.to_le_bytes());
        SegmentSeed(crc32c_append(seed, &base_offset.0.to_le_bytes()))
    }

    /// The checksum of the block at `position`, as far as its bytes go.
    pub fn checksum_of(self, position: u64, bytes: &[u8]) -> u32 {
        crc32c_append(self.of_block(position), bytes)
    }

    fn of_block(self, position: u64) -> u32 {
        crc32c_append(self.0, &position.to_le_bytes())
    }

    /// Goes on from `position`, where the checksum of the open block is `open`, over bytes that follow. Hands out those
    /// of blocks that are whole then, and returns that of the block left open; it means nothing at a block's boundary.
    pub fn extend(self, position: u64, open: u32, bytes: &[u8], mut whole: impl FnMut(u32)) -> u32 {
        let (mut position, mut open, mut rest) = (position, open, bytes);
        while !rest.is_empty() {
            if position.is_multiple_of(BLOCK) {
                open = self.of_block(position);
            }
            let left = block_floor(position) + BLOCK - position;
            let (now, later) = rest.split_at(rest.len().min(left as usize));
            open = crc32c_append(open, now);
            position += now.len() as u64;
            if position.is_multiple_of(BLOCK) {
                whole(open);
            }
            rest = later;
        }
        open
    }
}

/// The one number that vouches for a row of checksums, continued over one more.
pub fn digest_append(digest: u32, checksum: u32) -> u32 {
    crc32c_append(digest, &checksum.to_le_bytes())
}

/// The bytes of checksums.
pub fn checksum_bytes(checksums: &[u32]) -> Vec<u8> {
    checksums.iter().flat_map(|checksum| checksum.to_le_bytes()).collect()
}

/// The checksums in bytes; a cut one at the end is left out.
pub fn parse_checksums(bytes: &[u8]) -> Vec<u32> {
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    bytes.chunks_exact(CHECKSUM_BYTES).map(number).collect()
}

/// Where the checksum of a block stands in the file.
pub fn checksum_position(block: u64) -> u64 {
    HEADER_BYTES as u64 + block * CHECKSUM_BYTES as u64
}

/// How many checksums a sealed segment of so many bytes has.
pub fn checksum_count(segment_bytes: u64) -> u64 {
    segment_bytes.div_ceil(BLOCK)
}

/// What a sealed segment's file says of the whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// How long the segment is.
    pub segment_bytes: u64,
    /// Vouches for all checksums in the file.
    pub digest: u32,
}

/// The header of a checksum file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChecksumHeader {
    /// Whose segment.
    pub partition: TopicPartition,
    /// Which one.
    pub base_offset: Offset,
    /// `None` while the segment grows: the checkpoint says how far.
    pub sealed: Option<Sealed>,
}

impl ChecksumHeader {
    /// Its bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let sealed = self.sealed.unwrap_or(Sealed { segment_bytes: 0, digest: 0 });
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&u16::from(self.sealed.is_some()).to_le_bytes());
        bytes[12..16].copy_from_slice(&(BLOCK as u32).to_le_bytes());
        bytes[16..32].copy_from_slice(&self.partition.topic.0);
        bytes[32..36].copy_from_slice(&self.partition.partition.0.to_le_bytes());
        bytes[36..40].copy_from_slice(&sealed.digest.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.base_offset.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&sealed.segment_bytes.to_le_bytes());
        let checksum = crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads it; the reason if it cannot be believed.
    pub fn parse(bytes: &[u8]) -> Result<ChecksumHeader, String> {
        use ringlog_core::ids::{PartitionIndex, TopicId};
        let header: &[u8; HEADER_BYTES] =
            bytes.first_chunk().ok_or_else(|| format!("it has only {} bytes", bytes.len()))?;
        let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let long = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
        let (stored, computed) = (number(60), crc32c(&header[..60]));
        if header[..8] != MAGIC {
            return Err("it does not begin like a checksum file".to_owned());
        }
        if stored != computed {
            return Err(format!(
                "its header's checksum says {stored:#010x}, the bytes give {computed:#010x}"
            ));
        }
        let (version_and_state, block_bytes) = (number(8), number(12));
        let is_sealed = match version_and_state {
            0x0000_0001 => false,
            0x0001_0001 => true,
            other => {
                return Err(format!("version and state are {other:#010x}, which this build does not know"));
            }
        };
        if u64::from(block_bytes) != BLOCK {
            return Err(format!("it is for blocks of {block_bytes} bytes"));
        }
        let topic = TopicId(header[16..32].try_into().expect("sixteen bytes"));
        Ok(ChecksumHeader {
            partition: TopicPartition { topic, partition: PartitionIndex(number(32) as i32) },
            base_offset: Offset(long(40) as i64),
            sealed: is_sealed.then(|| Sealed { segment_bytes: long(48), digest: number(36) }),
        })
    }
}

/// A checksum file, read and believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChecksumFile {
    /// Its header.
    pub header: ChecksumHeader,
    /// Every checksum in it.
    pub checksums: Vec<u32>,
}

impl ChecksumFile {
    /// Reads a whole file of the segment it stands beside; the reason if it cannot be believed.
    pub fn parse(
        bytes: &[u8],
        partition: TopicPartition,
        base_offset: Offset,
    ) -> Result<ChecksumFile, String> {
        let file = ChecksumFile::parse_open(bytes, partition, base_offset)?;
        if let Some(sealed) = file.header.sealed {
            let expected = checksum_position(checksum_count(sealed.segment_bytes));
            if bytes.len() as u64 != expected {
                return Err(format!("it has {} bytes where {expected} belong", bytes.len()));
            }
            let computed = digest_of(&file.checksums);
            if computed != sealed.digest {
                let stored = sealed.digest;
                return Err(format!("its digest says {stored:#010x}, its checksums give {computed:#010x}"));
            }
        }
        Ok(file)
    }

    /// As [`ChecksumFile::parse`], of a segment that grows: others vouch for its checksums. Its header may say that the segment
    /// was sealed, where a crash took the seal back.
    pub fn parse_open(
        bytes: &[u8],
        partition: TopicPartition,
        base_offset: Offset,
    ) -> Result<ChecksumFile, String> {
        let header = ChecksumHeader::parse(bytes)?;
        if (header.partition, header.base_offset) != (partition, base_offset) {
            let (other, offset) = (header.partition, header.base_offset);
            return Err(format!(
                "it belongs to the segment at offset {offset} of partition {} of topic {}",
                other.partition, other.topic
            ));
        }
        Ok(ChecksumFile { header, checksums: parse_checksums(&bytes[HEADER_BYTES..]) })
    }
}

/// The number that vouches for a whole row.
pub fn digest_of(checksums: &[u32]) -> u32 {
    checksums.iter().fold(0, |digest, checksum| digest_append(digest, *checksum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_core::ids::{PartitionIndex, TopicId};

    fn partition(number: i32) -> TopicPartition {
        TopicPartition { topic: TopicId::from_random(1, 2), partition: PartitionIndex(number) }
    }

    #[test]
    fn bytes_give_the_same_checksums_however_they_come() {
        let seed = SegmentSeed::new(partition(3), Offset(40));
        let bytes: Vec<u8> = (0..13_000u32).map(|number| (number * 31 % 251) as u8).collect();
        let at_once: Vec<u32> = bytes
            .chunks(4096)
            .enumerate()
            .map(|(block, part)| seed.checksum_of(block as u64 * 4096, part))
            .collect();
        for piece_bytes in [1, 61, 4095, 4096, 4097, 13_000] {
            let (mut found, mut open, mut position) = (Vec::new(), 0, 0);
            for piece in bytes.chunks(piece_bytes) {
                open = seed.extend(position, open, piece, |checksum| found.push(checksum));
                position += piece.len() as u64;
            }
            found.push(open);
            assert_eq!(found, at_once, "in pieces of {piece_bytes}");
        }
    }

    #[test]
    fn the_same_bytes_elsewhere_give_another_number() {
        let block = [7; 4096];
        let at = |partition, base, position| {
            SegmentSeed::new(partition, Offset(base)).checksum_of(position, &block)
        };
        let here = at(partition(3), 40, 4096);
        assert_ne!(here, at(partition(4), 40, 4096));
        assert_ne!(here, at(partition(3), 41, 4096));
        assert_ne!(here, at(partition(3), 40, 8192));
        let other = TopicPartition { topic: TopicId::from_random(1, 3), ..partition(3) };
        assert_ne!(here, at(other, 40, 4096));
    }

    #[test]
    fn a_file_reads_back_and_every_flipped_bit_is_noticed() {
        let checksums = vec![1, 2, u32::MAX];
        let sealed = Some(Sealed { segment_bytes: 2 * 4096 + 5, digest: digest_of(&checksums) });
        let header = ChecksumHeader { partition: partition(3), base_offset: Offset(40), sealed };
        let bytes = [header.to_bytes().as_slice(), &checksum_bytes(&checksums)].concat();
        let parse = |bytes: &[u8]| ChecksumFile::parse(bytes, partition(3), Offset(40));
        assert_eq!(parse(&bytes), Ok(ChecksumFile { header, checksums }));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&flipped).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length]).is_err(), "cut to {length}");
        }
        assert!(ChecksumFile::parse(&bytes, partition(4), Offset(40)).is_err());
        assert!(ChecksumFile::parse(&bytes, partition(3), Offset(41)).is_err());
    }
}
