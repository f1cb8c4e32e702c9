//! A batch as it lies in somebody's bytes: cut out, not yet believed.
//!
//! ```text
//!   bytes:  | header | records | header | records | ...
//!           '---- RawBatch ----'----- rest --------
//! ```
//!
//! Always true: `bytes` are exactly as many as the header announces. Nothing is said about their checksum.

use std::borrow::Cow;

use super::fault::BatchFault;
use super::header::{BatchHeader, HEADER_BYTES};
use super::records::Records;
use crate::compression::{Codec, DecompressionBudget, decompress};

/// One batch cut out of a row of batches.
#[derive(Clone, Copy, Debug)]
pub struct RawBatch<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> RawBatch<'a> {
    /// Cuts the first batch off `bytes` and returns it with what follows.
    pub fn split_first(bytes: &'a [u8]) -> Result<(RawBatch<'a>, &'a [u8]), BatchFault> {
        let (batch, rest) = RawBatch::split_first_shape(bytes)?;
        batch.header.check_offsets()?;
        Ok((batch, rest))
    }

    /// As [`RawBatch::split_first`], without looking at offsets and count: they may be what is damaged, and the
    /// checksum tells.
    pub(super) fn split_first_shape(bytes: &'a [u8]) -> Result<(RawBatch<'a>, &'a [u8]), BatchFault> {
        let header = BatchHeader::parse_shape(bytes)?;
        let needed_bytes = header.size_bytes();
        let (batch, rest) = bytes
            .split_at_checked(needed_bytes)
            .ok_or(BatchFault::Truncated { needed_bytes, found_bytes: bytes.len() })?;
        Ok((RawBatch { header, bytes: batch }, rest))
    }

    /// The header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the header: the records, compressed or not.
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// The records, opened within `budget` where they are compressed.
    pub fn records(&self, budget: &mut DecompressionBudget) -> Result<Records<'a>, BatchFault> {
        let attributes = self.header.attributes();
        let bytes = match attributes.compression() {
            Some(Codec::None) => Cow::Borrowed(self.body()),
            // A batch that compaction emptied has no stream either.
            Some(_) if self.header.record_count() == 0 => Cow::Borrowed(&[][..]),
            Some(codec) => Cow::Owned(decompress(codec, self.body(), budget)?),
            None => return Err(BatchFault::UnknownCompression { id: attributes.compression_id() }),
        };
        Ok(Records::new(bytes, self.header.record_count()))
    }

    /// Reads every byte the checksum covers and compares.
    pub fn verify_checksum(&self) -> Result<(), BatchFault> {
        let (stored, computed) = (self.header.crc(), self.header.computed_crc(self.body()));
        if stored != computed {
            return Err(BatchFault::Checksum { stored, computed });
        }
        Ok(())
    }
}
