//! What a topic allows in a batch from a client.

use super::header::TimestampType;
use crate::compression::{Codec, DecompressionLimits};

/// How deep a batch is looked into before it is appended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ValidationDepth {
    /// Every record, decompressed where it must be: Kafka's answer for every batch.
    #[default]
    Records,
    /// Checksum and header only; a compacted topic is looked into all the same, because keys are in records.
    Header,
}

/// How a topic wants its batches compressed: `compression.type`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum TargetCompression {
    /// As the producer compressed them: they pass through untouched.
    #[default]
    Producer,
    /// All alike: a batch of another codec is recompressed (KIP-390).
    Fixed {
        /// The codec; `None` stores everything uncompressed.
        codec: Codec,
        /// The codec's level.
        level: i32,
    },
}

impl TargetCompression {
    /// The codec to store, given the one that came.
    pub(super) fn codec_for(self, source: Codec) -> Codec {
        match self {
            TargetCompression::Producer => source,
            TargetCompression::Fixed { codec, .. } => codec,
        }
    }

    /// The level to compress with.
    pub(super) fn level_for(self, codec: Codec) -> i32 {
        match self {
            TargetCompression::Producer => codec.default_level(),
            TargetCompression::Fixed { level, .. } => level,
        }
    }
}

/// What a topic, and the version of the request, allow in a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchRules {
    /// `max.message.bytes`: the largest batch, as it arrives and as it is stored.
    pub max_message_bytes: usize,
    /// `segment.bytes`: a batch must fit in one segment.
    pub segment_bytes: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how old a record may be.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far in the future a record may be.
    pub timestamp_after_max_ms: i64,
    /// Whether `cleanup.policy` contains `compact`: every record needs a key.
    pub compacted: bool,
    /// How deep to look.
    pub depth: ValidationDepth,
    /// Whether the request's version knows zstd (Produce 7 and later, KIP-110).
    pub zstd_allowed: bool,
    /// `compression.type`.
    pub compression: TargetCompression,
    /// How much looking into a compressed batch may cost.
    pub decompression: DecompressionLimits,
}

impl Default for BatchRules {
    /// Kafka's defaults for a topic nobody configured.
    fn default() -> BatchRules {
        BatchRules {
            max_message_bytes: 1024 * 1024 + 12,
            segment_bytes: 1024 * 1024 * 1024,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            compacted: false,
            depth: ValidationDepth::Records,
            zstd_allowed: true,
            compression: TargetCompression::Producer,
            decompression: DecompressionLimits::PRODUCTION,
        }
    }
}
