//! The LZ4 frames Kafka's clients exchange: one frame of independent blocks.
//!
//! ```text
//!   04 22 4d 18 | flags | block size | content size? | checksum of these | length | block | checksum? | ...
//!               | 0 0 0 0 (end) | content checksum?
//! ```
//!
//! Java's reader takes no linked blocks, so neither do we: a batch that is stored must be readable by every
//! consumer. As Java does, whatever follows the end mark is passed over.
//!
//! Always true: a block is given no more room than LZ4 can fill from its bytes.

use lz4_flex::block::{DecompressError, decompress_into};
use twox_hash::XxHash32;

use super::decompress::{CompressionFault, Output};

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const VERSION_MASK: u8 = 0b1100_0000;
const VERSION: u8 = 0b0100_0000;
const INDEPENDENT_BLOCKS: u8 = 0b0010_0000;
const BLOCK_CHECKSUMS: u8 = 0b0001_0000;
const CONTENT_SIZE: u8 = 0b0000_1000;
const CONTENT_CHECKSUM: u8 = 0b0000_0100;
/// One bit that is reserved and one for dictionaries, which Kafka does not have.
const NOT_TAKEN: u8 = 0b0000_0011;
/// In a block's length: the block is stored as it is.
const STORED: u32 = 0x8000_0000;
/// The densest LZ4: a byte of a match's length stands for 255 bytes.
const RATIO_MAX: usize = 255;

pub(super) fn decompress(bytes: &[u8], output: &mut Output<'_>) -> Result<(), CompressionFault> {
    let mut rest = bytes;
    let frame = Frame::read(&mut rest, output)?;
    let start = output.bytes.len();
    while let Some((length, is_stored)) = frame.block(&mut rest, output)? {
        let block = take(&mut rest, length, output)?;
        if frame.block_checksums {
            let checksum = u32::from_le_bytes(take_array(&mut rest, output)?);
            if checksum != XxHash32::oneshot(0, block) {
                return Err(output.unreadable("a block's checksum is wrong"));
            }
        }
        if is_stored {
            output.extend(block)?;
        } else {
            decompress_block(block, frame.block_bytes_max, output)?;
        }
    }
    if frame.content_checksum {
        let checksum = u32::from_le_bytes(take_array(&mut rest, output)?);
        if checksum != XxHash32::oneshot(0, &output.bytes[start..]) {
            return Err(output.unreadable("the content's checksum is wrong"));
        }
    }
    Ok(())
}

struct Frame {
    block_bytes_max: usize,
    block_checksums: bool,
    content_checksum: bool,
}

impl Frame {
    fn read(rest: &mut &[u8], output: &Output<'_>) -> Result<Frame, CompressionFault> {
        if take_array(rest, output)? != MAGIC {
            return Err(output.unreadable("it is not an LZ4 frame"));
        }
        let descriptor = *rest;
        let [flags, block_size] = take_array(rest, output)?;
        if flags & VERSION_MASK != VERSION || flags & NOT_TAKEN != 0 {
            return Err(output.unreadable("its flags are not those of a Kafka client"));
        }
        if flags & INDEPENDENT_BLOCKS == 0 {
            return Err(output.unreadable("its blocks are linked, which Java clients cannot read"));
        }
        let block_bytes_max = match block_size {
            0x40 => 64 * 1024,
            0x50 => 256 * 1024,
            0x60 => 1024 * 1024,
            0x70 => 4 * 1024 * 1024,
            _ => return Err(output.unreadable("its block size is unknown")),
        };
        if flags & CONTENT_SIZE != 0 {
            take(rest, 8, output)?;
        }
        let descriptor = &descriptor[..descriptor.len() - rest.len()];
        let [checksum] = take_array(rest, output)?;
        if checksum != (XxHash32::oneshot(0, descriptor) >> 8) as u8 {
            return Err(output.unreadable("the checksum of its descriptor is wrong"));
        }
        Ok(Frame {
            block_bytes_max,
            block_checksums: flags & BLOCK_CHECKSUMS != 0,
            content_checksum: flags & CONTENT_CHECKSUM != 0,
        })
    }

    /// The next block's length and whether it is stored as it is; `None` at the end mark.
    fn block(
        &self,
        rest: &mut &[u8],
        output: &Output<'_>,
    ) -> Result<Option<(usize, bool)>, CompressionFault> {
        let word = u32::from_le_bytes(take_array(rest, output)?);
        let length = (word & !STORED) as usize;
        if length > self.block_bytes_max {
            return Err(output.unreadable("a block is larger than the frame allows"));
        }
        Ok(if length == 0 { None } else { Some((length, word & STORED != 0)) })
    }
}

fn decompress_block(
    block: &[u8],
    block_bytes_max: usize,
    output: &mut Output<'_>,
) -> Result<(), CompressionFault> {
    let needed_max = block_bytes_max.min(block.len().saturating_mul(RATIO_MAX));
    let room = needed_max.min(output.room());
    let start = output.bytes.len();
    output.bytes.resize(start + room, 0);
    let written = match decompress_into(block, &mut output.bytes[start..]) {
        Ok(written) => written,
        Err(DecompressError::OutputTooSmall { .. }) if room < needed_max => return Err(output.too_large()),
        Err(_) => return Err(output.unreadable("it is damaged")),
    };
    output.bytes.truncate(start + written);
    Ok(())
}

fn take<'a>(rest: &mut &'a [u8], count: usize, output: &Output<'_>) -> Result<&'a [u8], CompressionFault> {
    let (taken, after) = rest.split_at_checked(count).ok_or_else(|| output.unreadable("it ends early"))?;
    *rest = after;
    Ok(taken)
}

fn take_array<const COUNT: usize>(
    rest: &mut &[u8],
    output: &Output<'_>,
) -> Result<[u8; COUNT], CompressionFault> {
    let (taken, after) = rest.split_first_chunk().ok_or_else(|| output.unreadable("it ends early"))?;
    *rest = after;
    Ok(*taken)
}
