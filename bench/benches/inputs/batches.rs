//! Batches as producers send them.

use ringlog_core::compression::Codec;
use ringlog_core::ids::{ProducerEpoch, ProducerId, SequenceNumber};
use ringlog_core::record_batch::BatchBuilder;
use ringlog_core::time::Timestamp;

/// When they are sent and arrive.
pub const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// Records of text that compresses as text does.
pub fn batch(codec: Codec, record_count: usize, record_bytes: usize) -> Vec<u8> {
    let mut number = 1u64;
    let mut text = String::new();
    while text.len() < record_count * record_bytes {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("package-{} depends on lib{}\n", number >> 50, number >> 57));
    }
    let builder =
        BatchBuilder::new().compressed(codec).producer(ProducerId(1), ProducerEpoch(0), SequenceNumber(0));
    text.as_bytes()
        .chunks_exact(record_bytes)
        .take(record_count)
        .fold(builder, |builder, value| builder.record_with(NOW, Some(&value[..8]), Some(value), &[]))
        .build()
}
