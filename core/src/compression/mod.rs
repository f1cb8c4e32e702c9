//! Compression of record batches: Kafka's four codecs, both directions, bounded on the way out.
//!
//! ```text
//!   compressed bytes --Decompressor--> records     at most max(1 MiB, 100 x input) and 64 MiB a batch,
//!                                                  a 128 MiB window, whatever the input announces
//!   records --compress--> bytes                    what Java clients read: xerial snappy, independent LZ4 blocks
//! ```
//!
//! Reading order: this file says which codecs there are; [`decompress`] bounds and opens; [`lz4_frame`] and
//! [`snappy`] are the two formats no library reads the way Kafka's clients write them; [`compress`] closes.
//!
//! Always true: memory follows the output actually produced, never a size that the input claims.

pub mod compress;
pub mod decompress;
mod lz4_frame;
mod snappy;

use std::fmt;
use std::ops::RangeInclusive;

pub use compress::compress;
pub use decompress::{CompressionFault, DecompressionBudget, DecompressionLimits, Decompressor, decompress};

/// How the records of a batch are compressed: the low three bits of its attributes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// gzip, possibly of several members.
    Gzip,
    /// snappy: a xerial stream or one raw block.
    Snappy,
    /// An LZ4 frame of independent blocks.
    Lz4,
    /// Zstandard (KIP-110).
    Zstd,
}

impl Codec {
    /// Every codec, in the order of their ids.
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The codec of an id from a batch's attributes; `None` for the ids nobody has assigned.
    pub fn from_id(id: u8) -> Option<Codec> {
        Codec::ALL.get(usize::from(id)).copied()
    }

    /// What a batch's attributes say.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// What `compression.type` says.
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }

    /// The level used where nobody chose one (KIP-390).
    pub fn default_level(self) -> i32 {
        match self {
            Codec::None | Codec::Snappy => 0,
            Codec::Gzip => 6,
            Codec::Lz4 => 9,
            Codec::Zstd => 3,
        }
    }

    /// The levels Kafka's configuration takes (KIP-390). Snappy has none; our LZ4 has one, whichever is named.
    pub fn levels(self) -> RangeInclusive<i32> {
        match self {
            Codec::None | Codec::Snappy => 0..=0,
            Codec::Gzip => 1..=9,
            Codec::Lz4 => 1..=17,
            Codec::Zstd => -131_072..=22,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
