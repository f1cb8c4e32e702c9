//! Kafka's compression codecs: which there are.

use std::fmt;

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
}

impl fmt::Display for Codec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
