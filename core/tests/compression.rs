//! The codecs: what goes in comes out, what others write is read, and a bomb costs its bound and no more.

use std::io::Write;

use proptest::prelude::*;
use ringlog_core::compression::{
    Codec, CompressionFault, DecompressionBudget, DecompressionLimits, Decompressor, compress, decompress,
};

/// Text that compresses as records do.
fn lines(bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes + 64);
    let mut number = 1u64;
    while text.len() < bytes {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        writeln!(text, "package-{} depends on lib{}", number >> 50, number >> 57).expect("memory");
    }
    text.truncate(bytes);
    text
}

fn opened(codec: Codec, bytes: &[u8]) -> Result<Vec<u8>, CompressionFault> {
    decompress(codec, bytes, &mut DecompressionBudget::default())
}

#[test]
fn every_codec_opens_what_it_closed_at_every_size_and_level() {
    for codec in Codec::ALL {
        for size in [0, 1, 7, 1000, 65_536, 65_537, 300_000] {
            for level in
                [*codec.levels().start().max(&-5), codec.default_level(), *codec.levels().end().min(&12)]
            {
                let text = lines(size);
                let closed = compress(codec, level, &text);
                assert_eq!(opened(codec, &closed).as_ref(), Ok(&text), "{codec} level {level}, {size} bytes");
            }
        }
    }
}

#[test]
fn one_decompressor_serves_all_codecs_in_turn_and_forgets_damage() {
    let mut decompressor = Decompressor::new();
    let limits = DecompressionLimits::PRODUCTION;
    for size in [10, 100_000, 1000] {
        for codec in Codec::ALL {
            let closed = compress(codec, codec.default_level(), &lines(size));
            let short = &closed[..closed.len() - 1];
            if codec != Codec::None {
                decompressor.decompress(codec, short, &limits).expect_err("a stream without its last byte");
            }
            assert_eq!(decompressor.decompress(codec, &closed, &limits), Ok(&lines(size)[..]), "{codec}");
            decompressor.trim();
        }
    }
}

#[test]
fn a_bomb_stops_at_the_bound_for_its_size() {
    let zeros = vec![0u8; 8 * 1024 * 1024];
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let bomb = compress(codec, codec.default_level(), &zeros);
        assert!(bomb.len() < zeros.len() / 100, "{codec} makes {} bytes of it", bomb.len());
        let output_bytes_max = (bomb.len() * 100).max(1024 * 1024);
        assert_eq!(opened(codec, &bomb), Err(CompressionFault::OutputTooLarge { codec, output_bytes_max }));
    }
}

#[test]
fn a_budget_is_spent_over_several_batches() {
    let limits = DecompressionLimits { output_bytes_max: 250_000, ..DecompressionLimits::PRODUCTION };
    for codec in Codec::ALL {
        let closed = compress(codec, codec.default_level(), &lines(100_000));
        let mut budget = DecompressionBudget::new(limits);
        decompress(codec, &closed, &mut budget).expect("the first");
        decompress(codec, &closed, &mut budget).expect("the second");
        assert_eq!(budget.output_bytes_left(), 50_000);
        decompress(codec, &closed, &mut budget).expect_err("the third is one too many");
        assert_eq!(budget.output_bytes_left(), 50_000, "a refused batch costs nothing");
    }
}

#[test]
fn a_small_batch_may_become_a_mebibyte_however_dense() {
    let zeros = vec![0u8; 1024 * 1024];
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let closed = compress(codec, codec.default_level(), &zeros);
        assert_eq!(opened(codec, &closed).map(|output| output.len()), Ok(zeros.len()), "{codec}");
    }
}

#[test]
fn a_gzip_stream_of_several_members_is_read_to_its_end() {
    let both = [compress(Codec::Gzip, 6, b"one "), compress(Codec::Gzip, 1, b"two")].concat();
    assert_eq!(opened(Codec::Gzip, &both), Ok(b"one two".to_vec()));
    let with_a_tail = [&both[..], b"tail"].concat();
    assert_eq!(opened(Codec::Gzip, &with_a_tail), Ok(b"one two".to_vec()), "as Java does");
}

#[test]
fn a_gzip_stream_of_countless_members_is_refused() {
    let member = compress(Codec::Gzip, 6, b"x");
    assert_eq!(opened(Codec::Gzip, &member.repeat(256)).map(|output| output.len()), Ok(256));
    opened(Codec::Gzip, &member.repeat(257)).expect_err("one member too many");
}

#[test]
fn a_gzip_stream_with_a_wrong_checksum_is_refused() {
    let mut stream = compress(Codec::Gzip, 6, b"some text");
    let checksum = stream.len() - 8;
    stream[checksum] ^= 1;
    opened(Codec::Gzip, &stream).expect_err("a wrong checksum");
}

#[test]
fn snappy_is_read_raw_and_as_a_xerial_stream_and_written_as_one() {
    let text = lines(100_000);
    let raw = snap::raw::Encoder::new().compress_vec(&text).expect("snappy");
    assert_eq!(opened(Codec::Snappy, &raw).as_ref(), Ok(&text));
    let xerial = compress(Codec::Snappy, 0, &text);
    assert_eq!(xerial[..16], *b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01");
    let first_block = i32::from_be_bytes(xerial[16..20].try_into().expect("four bytes")) as usize;
    let block = snap::raw::Decoder::new().decompress_vec(&xerial[20..20 + first_block]).expect("a raw block");
    assert_eq!(block, text[..32 * 1024], "blocks hold 32 KiB, as Java writes them");
    let twice = [&xerial[..], &xerial].concat();
    assert_eq!(opened(Codec::Snappy, &twice), Ok([&text[..], &text].concat()), "two streams in a row");
}

#[test]
fn a_snappy_block_that_announces_more_than_it_can_hold_gets_no_memory() {
    // Given five bytes that announce 4 GiB - 1.
    let fault = opened(Codec::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f]).expect_err("a lie");
    assert!(matches!(fault, CompressionFault::Unreadable { .. }), "{fault}");
}

mod lz4_frames {
    use super::*;
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

    fn frame(info: FrameInfo, text: &[u8]) -> Vec<u8> {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn frames_of_every_block_size_with_and_without_checksums_are_read() {
        let text = lines(5_000_000);
        for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
            for checksums in [false, true] {
                let info = FrameInfo::new()
                    .block_mode(BlockMode::Independent)
                    .block_size(size)
                    .block_checksums(checksums)
                    .content_checksum(checksums)
                    .content_size(checksums.then_some(text.len() as u64));
                assert_eq!(
                    opened(Codec::Lz4, &frame(info, &text)).as_ref(),
                    Ok(&text),
                    "{size:?} {checksums}"
                );
            }
        }
    }

    #[test]
    fn bytes_that_do_not_compress_are_stored_and_read_back() {
        let mut number = 1u64;
        let mut noise = Vec::new();
        while noise.len() < 200_000 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            noise.extend_from_slice(&number.to_le_bytes()[3..]);
        }
        let closed = compress(Codec::Lz4, 9, &noise);
        assert_eq!(opened(Codec::Lz4, &closed).as_ref(), Ok(&noise));
    }

    #[test]
    fn frames_that_java_clients_cannot_read_are_refused() {
        let text = lines(200_000);
        let linked =
            frame(FrameInfo::new().block_mode(BlockMode::Linked).block_size(BlockSize::Max64KB), &text);
        opened(Codec::Lz4, &linked).expect_err("linked blocks");
        let good = compress(Codec::Lz4, 9, &text);
        assert_eq!(good[4], 0b0110_0000, "version 1, independent blocks, no checksums, no content size");
        assert_eq!(good[5], 0x40, "64 KiB blocks");
        for (position, what) in [(0, "magic"), (4, "flags"), (5, "block size"), (6, "descriptor checksum")] {
            let mut bad = good.clone();
            bad[position] ^= 0x80;
            opened(Codec::Lz4, &bad).expect_err(what);
        }
    }

    #[test]
    fn a_damaged_block_is_noticed_where_it_has_a_checksum() {
        let info = FrameInfo::new().block_mode(BlockMode::Independent).content_checksum(true);
        let good = frame(info, &lines(1000));
        let mut bad = good.clone();
        let last = bad.len() - 1;
        bad[last] ^= 1;
        opened(Codec::Lz4, &bad).expect_err("a wrong content checksum");
        for end in 0..good.len() {
            opened(Codec::Lz4, &good[..end]).expect_err("a frame that ends early");
        }
    }
}

mod zstd_frames {
    use super::*;
    use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

    /// As Java writes: streaming, so that the frame does not say how large it becomes.
    fn streamed(text: &[u8], window_log: u32) -> Vec<u8> {
        let mut context = CCtx::create();
        context.set_parameter(CParameter::WindowLog(window_log)).expect("a window");
        streamed_by(context, text)
    }

    fn streamed_by(mut context: CCtx<'_>, text: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(zstd_safe::compress_bound(text.len()) + 1024);
        let mut input = InBuffer::around(text);
        while input.pos() < text.len() {
            let mut output = OutBuffer::around_pos(&mut frame, 0);
            let done = output.pos();
            assert_eq!(done, 0);
            context.compress_stream(&mut output, &mut input).expect("compressing");
            if input.pos() == text.len() {
                assert_eq!(context.end_stream(&mut output).expect("ending"), 0);
            }
        }
        frame
    }

    #[test]
    fn a_frame_without_a_content_size_is_read() {
        let text = lines(400_000);
        let frame = streamed(&text, 17);
        assert_eq!(zstd_safe::get_frame_content_size(&frame).ok().flatten(), None, "no size announced");
        assert_eq!(opened(Codec::Zstd, &frame).as_ref(), Ok(&text));
    }

    #[test]
    fn frames_in_a_row_are_read_to_the_end() {
        let both = [compress(Codec::Zstd, 3, b"one "), streamed(b"two", 10)].concat();
        assert_eq!(opened(Codec::Zstd, &both), Ok(b"one two".to_vec()));
    }

    #[test]
    fn a_window_above_the_limit_is_refused_before_it_is_allocated() {
        let text = lines(400_000);
        assert_eq!(opened(Codec::Zstd, &streamed(&text, 27)).as_ref(), Ok(&text), "128 MiB is allowed");
        let fault = opened(Codec::Zstd, &streamed(&text, 28)).expect_err("256 MiB is not");
        assert!(matches!(fault, CompressionFault::Unreadable { .. }), "{fault}");
    }

    #[test]
    fn what_the_highest_levels_write_is_read() {
        let text = lines(40_000);
        for level in [19, 20, 21, 22] {
            let mut context = CCtx::create();
            context.set_parameter(CParameter::CompressionLevel(level)).expect("a level");
            assert_eq!(
                opened(Codec::Zstd, &streamed_by(context, &text)).as_ref(),
                Ok(&text),
                "level {level}"
            );
        }
    }

    #[test]
    fn a_frame_in_one_segment_larger_than_the_window_limit_is_read() {
        // Given a batch of 9 MiB, as librdkafka may compress one: its frame's window is its content.
        let text = lines(9 * 1024 * 1024);
        let frame = compress(Codec::Zstd, 1, &text);
        assert_eq!(zstd_safe::get_frame_content_size(&frame).ok().flatten(), Some(text.len() as u64));
        assert!(opened(Codec::Zstd, &frame).as_ref() == Ok(&text));
    }

    #[test]
    fn a_truncated_frame_is_refused_at_every_length() {
        let frame = streamed(&lines(3000), 12);
        for end in 0..frame.len() {
            opened(Codec::Zstd, &frame[..end]).expect_err("a frame that ends early");
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_closed_opens_to_the_same(bytes in prop::collection::vec(any::<u8>(), 0..5000), id in 0u8..5) {
        let codec = Codec::from_id(id).expect("five codecs");
        let closed = compress(codec, codec.default_level(), &bytes);
        prop_assert_eq!(opened(codec, &closed), Ok(bytes));
    }

    #[test]
    fn random_bytes_open_within_the_bound_or_not_at_all(
        bytes in prop::collection::vec(any::<u8>(), 0..400), id in 0u8..5,
    ) {
        let codec = Codec::from_id(id).expect("five codecs");
        if let Ok(output) = opened(codec, &bytes) {
            prop_assert!(output.len() <= 1024 * 1024);
        }
    }

    #[test]
    fn damaged_streams_open_within_the_bound_or_not_at_all(
        size in 1usize..3000, id in 1u8..5,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let codec = Codec::from_id(id).expect("five codecs");
        let mut closed = compress(codec, codec.default_level(), &lines(size));
        for (place, byte) in damage {
            let place = place.index(closed.len());
            closed[place] = byte;
        }
        closed.truncate(closed.len() - cut.index(closed.len()) / 4);
        if let Ok(output) = opened(codec, &closed) {
            prop_assert!(output.len() <= 1024 * 1024);
        }
    }
}
