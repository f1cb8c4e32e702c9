//! Every file byte by byte. Pure: bytes in, values out, and back; `docs/on-disk-format.md` says the same in words.
//!
//! - [`names`]: what files and directories are called
//! - [`commit`]: one write of the journal
//! - [`checkpoint`]: what a shard's segments hold for certain
//! - [`checksums`]: a checksum for every block of a segment
//! - [`index`]: Kafka's offset and time index
//! - [`partition_metadata`]: whose directory it is

pub mod checkpoint;
pub mod checksums;
pub mod commit;
mod earlier_checkpoint;
pub mod index;
pub mod names;
pub mod partition_metadata;
