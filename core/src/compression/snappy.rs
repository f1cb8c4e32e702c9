//! Snappy as Kafka's clients write it: Java a xerial stream, librdkafka and some others one raw block.
//!
//! ```text
//!   xerial:   82 'S' 'N' 'A' 'P' 'P' 'Y' 00 | version 1 | compatible with 1 | length | block | length | block ...
//!   raw:      block
//! ```
//!
//! Always true: a block is given no more room than snappy can fill from its bytes, whatever it announces.

use super::decompress::{CompressionFault, Output};

const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Magic, version, oldest compatible version.
const XERIAL_HEADER_BYTES: usize = 16;
/// How much goes into one block when writing: what Java writes.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
/// The densest snappy: a copy of 64 bytes takes three.
const RATIO_MAX: usize = 22;

pub(super) fn decompress(bytes: &[u8], output: &mut Output<'_>) -> Result<(), CompressionFault> {
    if !bytes.starts_with(&XERIAL_MAGIC) {
        return decompress_block(bytes, output);
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        // Streams that were written one after the other each have their header.
        if rest.starts_with(&XERIAL_MAGIC) {
            rest =
                rest.get(XERIAL_HEADER_BYTES..).ok_or_else(|| output.unreadable("its header ends early"))?;
            continue;
        }
        let (length, blocks) =
            rest.split_first_chunk().ok_or_else(|| output.unreadable("a block length ends early"))?;
        let (block, after) = usize::try_from(i32::from_be_bytes(*length))
            .ok()
            .and_then(|length| blocks.split_at_checked(length))
            .ok_or_else(|| output.unreadable("a block ends early"))?;
        decompress_block(block, output)?;
        rest = after;
    }
    Ok(())
}

fn decompress_block(block: &[u8], output: &mut Output<'_>) -> Result<(), CompressionFault> {
    let announced =
        snap::raw::decompress_len(block).map_err(|_| output.unreadable("a block does not say its size"))?;
    if announced > block.len().saturating_mul(RATIO_MAX) {
        return Err(output.unreadable("a block announces more than it can hold"));
    }
    if announced > output.room() {
        return Err(output.too_large());
    }
    let start = output.bytes.len();
    output.bytes.resize(start + announced, 0);
    snap::raw::Decoder::new()
        .decompress(block, &mut output.bytes[start..])
        .map_err(|_| output.unreadable("it is damaged"))?;
    Ok(())
}

/// A xerial stream.
pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(XERIAL_HEADER_BYTES + bytes.len() / 2);
    stream.extend_from_slice(&XERIAL_MAGIC);
    stream.extend_from_slice(&1i32.to_be_bytes());
    stream.extend_from_slice(&1i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in bytes.chunks(XERIAL_BLOCK_BYTES) {
        let compressed = encoder.compress_vec(block).expect("32 KiB are within snappy's 4 GiB");
        let length = i32::try_from(compressed.len()).expect("a compressed block is below 64 KiB");
        stream.extend_from_slice(&length.to_be_bytes());
        stream.extend_from_slice(&compressed);
    }
    stream
}
