//! Compressing records: for topics whose `compression.type` is not the producer's, and for our own batches.
//!
//! Always true: what comes out is what Java clients write themselves - a gzip member, a xerial stream, an LZ4
//! frame of independent 64 KiB blocks, a zstd frame - so that every client reads it.

use std::io::Write;

use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::{Codec, snappy};

/// Compresses `bytes`. A level outside the codec's range means the nearest one inside.
pub fn compress(codec: Codec, level: i32, bytes: &[u8]) -> Vec<u8> {
    let level = level.clamp(*codec.levels().start(), *codec.levels().end());
    match codec {
        Codec::None => bytes.to_vec(),
        Codec::Gzip => gzip(level.unsigned_abs(), bytes),
        Codec::Snappy => snappy::compress(bytes),
        Codec::Lz4 => lz4(bytes),
        Codec::Zstd => zstd(level, bytes),
    }
}

fn gzip(level: u32, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), flate2::Compression::new(level));
    encoder.write_all(bytes).expect(MEMORY);
    encoder.finish().expect(MEMORY)
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let frame = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(frame, Vec::with_capacity(bytes.len() / 2));
    encoder.write_all(bytes).expect(MEMORY);
    encoder.finish().expect(MEMORY)
}

fn zstd(level: i32, bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
    zstd_safe::compress(&mut frame, bytes, level).expect("the frame has room for the worst case");
    frame
}

const MEMORY: &str = "writing to memory does not fail";
