//! What the client's door of the log accepts and refuses: the rules P7 to P17, one test or more each.

use ringlog_core::compression::{Codec, CompressionFault, DecompressionBudget, DecompressionLimits};
use ringlog_core::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, SequenceNumber};
use ringlog_core::record_batch::{
    BatchBuilder, BatchFault, BatchHeader, BatchRules, BatchValidator, Counted, FaultKind, HEADER_BYTES,
    RawBatch, RecordFault, RecordShape, TargetCompression, TimestampType, ValidationDepth, validate,
    validate_stored,
};
use ringlog_core::time::Timestamp;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const HOUR_MS: i64 = 3_600_000;

fn judged_by(rules: &BatchRules, bytes: &[u8]) -> Result<Vec<u8>, BatchFault> {
    validate(bytes, rules, NOW).map(|batch| batch.assign(Offset(1000), LeaderEpoch(7)).to_bytes())
}

fn judged(bytes: &[u8]) -> Result<Vec<u8>, BatchFault> {
    judged_by(&BatchRules::default(), bytes)
}

fn refused(bytes: &[u8], why: &str) -> BatchFault {
    judged(bytes).expect_err(why)
}

fn three_records() -> BatchBuilder {
    BatchBuilder::new()
        .record_with(NOW, Some(b"apple"), Some(b"red"), &[])
        .record_with(Timestamp(NOW.0 + 5), None, Some(b"no key"), &[(b"trace", Some(b"1")), (b"trace", None)])
        .record_with(Timestamp(NOW.0 - 5), Some(b"pear"), None, &[])
}

/// Overwrites part of a batch and makes its checksum right again.
fn patched(bytes: &[u8], position: usize, patch: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[position..position + patch.len()].copy_from_slice(patch);
    let crc = ringlog_core::checksum::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// An uncompressed or compressed batch around these record bytes, header fields as for `count` records.
fn around(codec: Codec, records: &[u8], count: i32) -> Vec<u8> {
    let body = ringlog_core::compression::compress(codec, codec.default_level(), records);
    let mut bytes = BatchBuilder::new().record_with(NOW, None, None, &[]).build();
    bytes.truncate(HEADER_BYTES);
    bytes.extend_from_slice(&body);
    let length = i32::try_from(bytes.len() - 12).expect("small");
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[21..23].copy_from_slice(&i16::from(codec.id()).to_be_bytes());
    bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    patched(&bytes, 57, &count.to_be_bytes())
}

/// A record with these deltas (each below 64), a one-byte key, no value, no headers.
fn tiny_record(timestamp_delta: u8, offset_delta: u8) -> [u8; 8] {
    [14, 0, timestamp_delta << 1, offset_delta << 1, 2, b'k', 1, 0]
}

type PlainRecord = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

fn records_of(bytes: &[u8]) -> Vec<PlainRecord> {
    let (batch, _) = RawBatch::split_first(bytes).expect("a batch");
    let base = batch.header().base_timestamp().0;
    let records = batch.records(&mut DecompressionBudget::default()).expect("records");
    records
        .iter()
        .zip(0..)
        .map(|(record, index)| {
            let record = record.expect("a record");
            assert_eq!(record.offset_delta, index, "offset deltas count up");
            let headers =
                record.headers.iter().map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec)));
            let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
            (base + record.timestamp_delta, key, value, headers.collect())
        })
        .collect()
}

#[test]
fn a_plain_batch_is_accepted_and_the_clients_bytes_are_neither_copied_nor_changed() {
    let bytes = three_records().build();
    let batch = validate(&bytes, &BatchRules::default(), NOW).expect("a plain batch");
    assert!(!batch.was_rebuilt());
    let assigned = batch.assign(Offset(1000), LeaderEpoch(7));
    assert_eq!(assigned.header().base_offset(), Offset(1000));
    assert_eq!(assigned.header().last_offset(), Offset(1002));
    assert_eq!(assigned.header().next_offset(), Offset(1003));
    assert_eq!(assigned.body().as_ptr(), bytes[HEADER_BYTES..].as_ptr(), "the body is the client's own");
    let stored = assigned.to_bytes();
    assert_eq!(records_of(&stored), records_of(&bytes));
    assert_eq!(stored[21..], bytes[21..], "nothing under the checksum changed");
    validate_stored(&stored).expect("what is stored passes the second door");
}

#[test]
fn batches_of_every_codec_pass_through_untouched() {
    for codec in Codec::ALL {
        let bytes = three_records().compressed(codec).build();
        let batch = validate(&bytes, &BatchRules::default(), NOW).expect("a good batch");
        assert!(!batch.was_rebuilt(), "{codec}");
        assert_eq!(batch.body(), &bytes[HEADER_BYTES..], "{codec}");
        assert_eq!(records_of(&bytes), records_of(&three_records().build()), "{codec}");
    }
}

// P7
#[test]
fn a_partition_without_a_batch_is_refused() {
    assert_eq!(refused(&[], "nothing"), BatchFault::NoBatch);
    let bytes = three_records().build();
    for end in 0..bytes.len() {
        let fault = refused(&bytes[..end], "a piece of a batch");
        assert_eq!((fault.kind(), fault), (FaultKind::InvalidRecord, BatchFault::NoBatch), "{end} bytes");
    }
}

// P7
#[test]
fn two_batches_for_one_partition_are_refused() {
    let one = three_records().build();
    let fault = refused(&[&one[..], &one].concat(), "two batches");
    assert_eq!((fault.kind(), fault), (FaultKind::InvalidRecord, BatchFault::MoreThanOneBatch));
}

// P7: as Kafka does, which trims what is no whole batch
#[test]
fn a_trailing_piece_that_is_no_batch_is_dropped() {
    let one = three_records().build();
    for end in [1, 11, 40, one.len() - 1] {
        let stored = judged(&[&one[..], &one[..end]].concat()).expect("one batch and a piece");
        assert_eq!(stored.len(), one.len());
    }
}

// P7
#[test]
fn old_message_formats_are_invalid_and_unknown_ones_corrupt() {
    let bytes = three_records().build();
    for (magic, kind) in [
        (0u8, FaultKind::InvalidRecord),
        (1, FaultKind::InvalidRecord),
        (3, FaultKind::Corrupt),
        (0xff, FaultKind::Corrupt),
    ] {
        assert_eq!(refused(&patched(&bytes, 16, &[magic]), "another format").kind(), kind, "magic {magic}");
    }
}

#[test]
fn a_length_too_small_for_a_header_is_corrupt() {
    let bytes = three_records().build();
    for length in [i32::MIN, -1, 0, 13, 48] {
        let fault = refused(&patched(&bytes, 8, &length.to_be_bytes()), "a short length");
        assert_eq!((fault.kind(), fault), (FaultKind::Corrupt, BatchFault::Length { batch_length: length }));
    }
}

// P8
#[test]
fn a_client_batch_that_does_not_begin_at_offset_zero_is_refused() {
    for base_offset in [1, -1, i64::MAX] {
        let fault = refused(&three_records().at(Offset(base_offset)).build(), "an offset of its own");
        assert_eq!((fault.kind(), fault), (FaultKind::InvalidRecord, BatchFault::BaseOffset { base_offset }));
    }
}

// P8
#[test]
fn a_record_count_that_does_not_match_the_offsets_is_refused() {
    let bytes = three_records().build();
    for (position, value) in [(57, 2), (57, 4), (57, 0), (57, -1), (57, i32::MAX), (23, 1), (23, 3), (23, -1)]
    {
        let fault = refused(&patched(&bytes, position, &i32::to_be_bytes(value)), "a wrong count");
        assert!(matches!(fault, BatchFault::OffsetRange { .. }), "{value} at {position}: {fault}");
        assert_eq!(fault.kind(), FaultKind::InvalidRecord);
    }
    let fault = refused(&BatchBuilder::new().build(), "no records at all");
    assert!(matches!(fault, BatchFault::OffsetRange { record_count: 0, .. }), "{fault}");
}

// P8
#[test]
fn uncompressed_offset_deltas_out_of_sequence_are_refused_record_by_record() {
    let records = [tiny_record(0, 0), tiny_record(0, 2), tiny_record(0, 2), tiny_record(0, 9)].concat();
    let fault = refused(&around(Codec::None, &records, 4), "wrong deltas");
    assert_eq!(fault.kind(), FaultKind::InvalidRecord);
    let named: Vec<_> = fault.record_errors().iter().map(|error| (error.index, error.reason)).collect();
    assert_eq!(
        named,
        [(1, RecordFault::OffsetDelta { found: 2 }), (3, RecordFault::OffsetDelta { found: 9 })]
    );
}

// P8
#[test]
fn a_compressed_batch_with_offset_deltas_out_of_sequence_is_rebuilt() {
    let records = [tiny_record(0, 5), tiny_record(9, 5), tiny_record(3, 0)].concat();
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bytes = around(codec, &records, 3);
        let batch = validate(&bytes, &BatchRules::default(), NOW).expect("an old client's batch");
        assert!(batch.was_rebuilt());
        let stored = batch.assign(Offset(0), LeaderEpoch(0)).to_bytes();
        let header = *validate_stored(&stored).expect("a whole batch").header();
        assert_eq!(header.attributes().compression(), Some(codec));
        assert_eq!(header.max_timestamp(), Timestamp(NOW.0 + 9));
        let timestamps: Vec<_> = records_of(&stored).iter().map(|record| record.0).collect();
        assert_eq!(timestamps, [NOW.0, NOW.0 + 9, NOW.0 + 3], "in the order they were in");
    }
}

// P9
#[test]
fn a_client_batch_with_a_control_bit_is_refused() {
    let fault = refused(&three_records().control().build(), "a control batch");
    assert_eq!((fault.kind(), fault), (FaultKind::InvalidRecord, BatchFault::ControlBatch));
}

// P9
#[test]
fn a_producer_id_without_a_sequence_number_is_refused() {
    let with = |id, sequence| {
        three_records().producer(ProducerId(id), ProducerEpoch(0), SequenceNumber(sequence)).build()
    };
    for sequence in [-1, i32::MIN] {
        let fault = refused(&with(5, sequence), "no sequence");
        let expected = BatchFault::Sequence { base_sequence: sequence };
        assert_eq!((fault.kind(), fault), (FaultKind::InvalidRecord, expected));
    }
    judged(&with(5, 0)).expect("an idempotent batch");
    judged(&with(-1, -1)).expect("a batch without a producer id");
}

// P10
#[test]
fn a_batch_with_any_byte_changed_under_its_checksum_is_corrupt() {
    let good = three_records().build();
    for position in 17..good.len() {
        for change in [0x01, 0x80] {
            let mut bytes = good.clone();
            bytes[position] ^= change;
            let fault = refused(&bytes, "a damaged batch");
            assert_eq!(fault.kind(), FaultKind::Corrupt, "byte {position}: {fault}");
        }
    }
}

// P11
#[test]
fn a_batch_larger_than_the_topic_allows_is_refused() {
    let bytes = three_records().build();
    let allowing = |max_message_bytes| BatchRules { max_message_bytes, ..BatchRules::default() };
    judged_by(&allowing(bytes.len()), &bytes).expect("just fits");
    let fault = judged_by(&allowing(bytes.len() - 1), &bytes).expect_err("one byte too many");
    assert_eq!(fault.kind(), FaultKind::MessageTooLarge);
}

// P11
#[test]
fn the_size_is_measured_as_compressed_and_again_after_recompressing() {
    let value = vec![b'x'; 100_000];
    let bytes = BatchBuilder::new().compressed(Codec::Zstd).record(None, &value[..]).build();
    let mut rules = BatchRules { max_message_bytes: 10_000, ..BatchRules::default() };
    judged_by(&rules, &bytes).expect("small while it is compressed");
    rules.compression = TargetCompression::Fixed { codec: Codec::None, level: 0 };
    let fault = judged_by(&rules, &bytes).expect_err("large when it is not");
    assert!(matches!(fault, BatchFault::TooLarge { size_bytes: 100_000.., .. }), "{fault}");
}

// P11
#[test]
fn a_batch_larger_than_a_segment_is_refused_with_its_own_error() {
    let bytes = three_records().build();
    let rules = BatchRules { segment_bytes: bytes.len() - 1, ..BatchRules::default() };
    assert_eq!(judged_by(&rules, &bytes).expect_err("no segment").kind(), FaultKind::RecordListTooLarge);
}

// P11
#[test]
fn the_second_door_does_not_measure_sizes() {
    let value = vec![b'x'; 5 * 1024 * 1024];
    let bytes = BatchBuilder::new().at(Offset(77)).record(None, &value[..]).build();
    validate_stored(&bytes).expect("a follower takes what its leader took");
}

// P12
#[test]
fn zstd_from_a_request_that_may_not_use_it_is_refused() {
    let rules = BatchRules { zstd_allowed: false, ..BatchRules::default() };
    let fault = judged_by(&rules, &three_records().compressed(Codec::Zstd).build()).expect_err("zstd");
    assert_eq!((fault.kind(), fault), (FaultKind::UnsupportedCompression, BatchFault::ZstdNotAllowed));
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4] {
        judged_by(&rules, &three_records().compressed(codec).build()).expect("an older codec");
    }
}

#[test]
fn a_codec_that_does_not_exist_is_refused() {
    let bytes = three_records().build();
    for id in 5..8u8 {
        let fault = refused(&patched(&bytes, 22, &[id]), "an unknown codec");
        assert_eq!(
            (fault.kind(), fault),
            (FaultKind::UnsupportedCompression, BatchFault::UnknownCompression { id })
        );
    }
}

// P13
#[test]
fn records_without_keys_are_refused_by_a_compacted_topic_one_by_one() {
    for depth in [ValidationDepth::Records, ValidationDepth::Header] {
        for codec in Codec::ALL {
            let rules = BatchRules { compacted: true, depth, ..BatchRules::default() };
            let fault =
                judged_by(&rules, &three_records().compressed(codec).build()).expect_err("a keyless record");
            assert_eq!(fault.kind(), FaultKind::InvalidRecord);
            let named: Vec<_> =
                fault.record_errors().iter().map(|error| (error.index, error.reason)).collect();
            assert_eq!(named, [(1, RecordFault::KeyMissing)]);
            assert!(fault.record_errors()[0].message().contains("needs a key"));
            let keyed = BatchBuilder::new().compressed(codec).record(&b""[..], None).record(&b"k"[..], None);
            judged_by(&rules, &keyed.build()).expect("an empty key is a key");
        }
    }
}

#[test]
fn a_refusal_lists_a_bounded_number_of_records_and_counts_the_rest() {
    let bytes = (0..1000).fold(BatchBuilder::new(), |builder, _| builder.record(None, &b"v"[..])).build();
    let rules = BatchRules { compacted: true, ..BatchRules::default() };
    let Err(BatchFault::Records(errors)) = judged_by(&rules, &bytes) else { panic!("keyless records") };
    assert_eq!((errors.count(), errors.listed().len()), (1000, 128));
}

fn at(timestamps: &[i64]) -> BatchBuilder {
    timestamps.iter().fold(BatchBuilder::new(), |builder, &timestamp| {
        builder.record_with(Timestamp(timestamp), Some(b"k"), Some(b"v"), &[])
    })
}

// P14
#[test]
fn a_record_too_far_in_the_future_refuses_its_batch_and_is_named() {
    for codec in Codec::ALL {
        let edge = at(&[NOW.0, NOW.0 + HOUR_MS, -1]).compressed(codec).build();
        judged(&edge).expect("an hour ahead is allowed, and no timestamp at all is exempt");
        let beyond = at(&[NOW.0, NOW.0 + HOUR_MS + 1, NOW.0, i64::MAX]).compressed(codec).build();
        let fault = refused(&beyond, "the future");
        assert_eq!(fault.kind(), FaultKind::InvalidTimestamp);
        assert_eq!(fault.record_errors().iter().map(|error| error.index).collect::<Vec<_>>(), [1, 3]);
    }
}

// P14
#[test]
fn a_record_too_old_refuses_its_batch_where_the_topic_says_so() {
    let rules = BatchRules { timestamp_before_max_ms: 1000, ..BatchRules::default() };
    judged_by(&rules, &at(&[NOW.0 - 1000, -1]).build()).expect("just young enough");
    let fault = judged_by(&rules, &at(&[NOW.0 - 1001]).build()).expect_err("too old");
    assert_eq!(fault.kind(), FaultKind::InvalidTimestamp);
    judged(&at(&[0, -5, i64::MIN + 1]).build()).expect("by default nothing is too old");
}

// P14
#[test]
fn one_wrong_timestamp_among_other_faults_decides_the_answer() {
    let rules = BatchRules { compacted: true, ..BatchRules::default() };
    let bytes = BatchBuilder::new().record(None, &b"v"[..]).record_with(
        Timestamp(NOW.0 + 2 * HOUR_MS),
        Some(b"k"),
        None,
        &[],
    );
    let fault = judged_by(&rules, &bytes.build()).expect_err("two faults");
    assert_eq!((fault.kind(), fault.record_errors().len()), (FaultKind::InvalidTimestamp, 2));
}

// P15
#[test]
fn a_producer_that_stamps_with_log_append_time_is_refused() {
    for timestamp_type in [TimestampType::CreateTime, TimestampType::LogAppendTime] {
        for depth in [ValidationDepth::Records, ValidationDepth::Header] {
            let rules = BatchRules { timestamp_type, depth, ..BatchRules::default() };
            let fault =
                judged_by(&rules, &at(&[NOW.0]).log_append_time(NOW).build()).expect_err("not its clock");
            assert_eq!(fault.kind(), FaultKind::InvalidTimestamp);
            assert_eq!(fault.record_errors()[0].reason, RecordFault::TimestampType);
        }
    }
}

// P15
#[test]
fn a_topic_with_log_append_time_stamps_the_batch_and_leaves_the_records_alone() {
    for codec in Codec::ALL {
        for depth in [ValidationDepth::Records, ValidationDepth::Header] {
            let rules =
                BatchRules { timestamp_type: TimestampType::LogAppendTime, depth, ..BatchRules::default() };
            let bytes = at(&[NOW.0 - 5, NOW.0 + 10 * HOUR_MS]).compressed(codec).build();
            let batch = validate(&bytes, &rules, NOW).expect("the producer's clock does not matter");
            assert_eq!(batch.log_append_time(), Some(NOW));
            assert_eq!(batch.body(), &bytes[HEADER_BYTES..]);
            let stored = batch.assign(Offset(0), LeaderEpoch(0)).to_bytes();
            let stored = validate_stored(&stored).expect("the checksum was recomputed");
            assert_eq!(stored.header().max_timestamp(), NOW);
            assert_eq!(stored.header().base_timestamp(), Timestamp(NOW.0 - 5));
            assert_eq!(stored.header().attributes().timestamp_type(), TimestampType::LogAppendTime);
        }
    }
}

// P16
#[test]
fn a_wrong_max_timestamp_is_corrected_and_the_checksum_with_it() {
    for codec in Codec::ALL {
        for wrong in [0, NOW.0 + 4, i64::MAX, -1] {
            let good = three_records().compressed(codec).build();
            let stored = judged(&patched(&good, 35, &wrong.to_be_bytes())).expect("it is corrected");
            let stored = validate_stored(&stored).expect("the checksum is right");
            assert_eq!(stored.header().max_timestamp(), Timestamp(NOW.0 + 5));
            assert_eq!(stored.body(), &good[HEADER_BYTES..]);
        }
    }
}

// P16
#[test]
fn a_right_max_timestamp_leaves_the_checksum_as_it_was() {
    let bytes = three_records().build();
    let stored = judged(&bytes).expect("a good batch");
    assert_eq!(stored[17..], bytes[17..]);
}

// P17
#[test]
fn the_leader_stamps_its_epoch_outside_the_checksum() {
    let bytes = three_records().leader_epoch(LeaderEpoch(3)).build();
    let stored = judged(&bytes).expect("whatever the client wrote there");
    assert_eq!(BatchHeader::parse(&stored).expect("a header").leader_epoch(), LeaderEpoch(7));
    assert_eq!(stored[17..], bytes[17..]);
}

#[test]
fn a_topic_with_its_own_compression_recompresses_what_others_compressed() {
    for source in Codec::ALL {
        for codec in Codec::ALL {
            let compression = TargetCompression::Fixed { codec, level: codec.default_level() };
            for timestamp_type in [TimestampType::CreateTime, TimestampType::LogAppendTime] {
                let rules = BatchRules { compression, timestamp_type, ..BatchRules::default() };
                let builder = three_records().transactional().compressed(source);
                let bytes = builder.producer(ProducerId(9), ProducerEpoch(2), SequenceNumber(40)).build();
                let batch = validate(&bytes, &rules, NOW).expect("a good batch");
                assert_eq!(batch.was_rebuilt(), source != codec, "{source} to {codec}");
                let stored = batch.assign(Offset(5), LeaderEpoch(1)).to_bytes();
                let header = *validate_stored(&stored).expect("a whole batch").header();
                assert_eq!(header.attributes().compression(), Some(codec));
                assert_eq!(header.attributes().timestamp_type(), timestamp_type);
                assert!(header.attributes().is_transactional());
                assert_eq!(
                    (header.producer_id(), header.producer_epoch()),
                    (ProducerId(9), ProducerEpoch(2))
                );
                assert_eq!(header.last_sequence(), SequenceNumber(42));
                assert_eq!(records_of(&stored), records_of(&bytes));
            }
        }
    }
}

#[test]
fn a_header_only_look_finds_timestamps_and_leaves_the_records_unopened() {
    let rules = BatchRules { depth: ValidationDepth::Header, ..BatchRules::default() };
    let garbage = around(Codec::Zstd, &[], 4);
    judged_by(&rules, &garbage).expect("nobody looked");
    judged(&garbage).expect_err("somebody looked");
    let future = at(&[NOW.0, NOW.0 + 2 * HOUR_MS]).compressed(Codec::Gzip).build();
    assert_eq!(judged_by(&rules, &future).expect_err("the future").kind(), FaultKind::InvalidTimestamp);
    let damaged = patched(&garbage, 17, &[0, 0, 0, 0]);
    let mut damaged = damaged;
    damaged[17] ^= 1;
    assert_eq!(judged_by(&rules, &damaged).expect_err("damage").kind(), FaultKind::Corrupt);
}

#[test]
fn records_that_cannot_be_read_are_invalid() {
    let good = tiny_record(0, 0);
    let shape = |records: &[u8], count| match refused(&around(Codec::None, records, count), "bad records") {
        BatchFault::Record { index, shape } => Ok((index, shape)),
        other => Err(other),
    };
    assert_eq!(shape(&[&good[..], &good[..5]].concat(), 2), Ok((1, RecordShape::EndsEarly)));
    assert_eq!(shape(&good, 2), Ok((1, RecordShape::EndsEarly)));
    assert_eq!(shape(&[&good[..], &[1]].concat(), 1), Err(BatchFault::BytesAfterRecords { bytes: 1 }));
    assert_eq!(shape(&[16, 0, 0, 0, 2, b'k', 1, 0, 0], 1), Ok((0, RecordShape::LengthMismatch)));
    assert_eq!(shape(&[1, 0, 0, 0, 2, b'k', 1, 0], 1), Ok((0, RecordShape::LengthMismatch)));
    assert_eq!(shape(&[14, 0, 0, 0, 2, b'k', 1, 2], 1), Ok((0, RecordShape::HeaderCount)));
    assert_eq!(shape(&[14, 0, 0, 0, 2, b'k', 1, 1], 1), Ok((0, RecordShape::HeaderCount)));
    assert_eq!(shape(&[18, 0, 0, 0, 2, b'k', 1, 2, 1, 1], 1), Ok((0, RecordShape::HeaderWithoutKey)));
    assert_eq!(shape(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], 1), Ok((0, RecordShape::NumberTooLong)));
}

#[test]
fn a_bomb_in_a_batch_is_too_large_and_leaves_nothing_behind() {
    let zeros = vec![0u8; 4 * 1024 * 1024];
    let mut validator = BatchValidator::new();
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let bomb = BatchBuilder::new().compressed(codec).record(None, &zeros[..]).build();
        let fault = validator.validate(&bomb, &BatchRules::default(), NOW).expect_err("a bomb");
        assert!(matches!(fault, BatchFault::Compression(CompressionFault::OutputTooLarge { .. })), "{fault}");
        assert_eq!(fault.kind(), FaultKind::MessageTooLarge, "so that a producer splits its batch");
        let after = three_records().compressed(codec).build();
        validator.validate(&after, &BatchRules::default(), NOW).expect("the next batch is judged as ever");
    }
}

#[test]
fn damaged_compression_under_a_right_checksum_is_an_invalid_record() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let good = three_records().compressed(codec).build();
        let fault = refused(&patched(&good, HEADER_BYTES, b"\x00\xff\x00\xff\x00\xff\x00\xff"), "no stream");
        assert_eq!(fault.kind(), FaultKind::InvalidRecord, "{codec}: {fault}");
    }
}

#[test]
fn records_and_headers_are_counted_against_their_bounds() {
    let decompression =
        DecompressionLimits { record_count_max: 2, header_count_max: 1, ..DecompressionLimits::PRODUCTION };
    let rules = BatchRules { decompression, ..BatchRules::default() };
    let too_many = |bytes: &[u8]| match judged_by(&rules, bytes) {
        Err(BatchFault::TooMany { what, .. }) => Some(what),
        _ => None,
    };
    assert_eq!(too_many(&three_records().build()), Some(Counted::Records));
    let headers = |count| {
        let headers = vec![(&b"h"[..], None); count];
        BatchBuilder::new().record_with(NOW, None, None, &headers).build()
    };
    assert_eq!(too_many(&headers(2)), Some(Counted::Headers));
    assert_eq!(too_many(&headers(1)), None);
}

#[test]
fn the_second_door_takes_what_compaction_leaves() {
    let holes = BatchBuilder::new().at(Offset(90)).record(&b"k"[..], None).gap(8).record(&b"l"[..], None);
    let bytes = holes.build();
    let stored = validate_stored(&bytes).expect("a batch with holes");
    assert_eq!(stored.header().last_offset(), Offset(99));
    assert_eq!(stored.keep_offsets().header().base_offset(), Offset(90));
    let emptied = patched(&bytes[..HEADER_BYTES], 8, &49i32.to_be_bytes());
    let emptied = patched(&emptied, 57, &0i32.to_be_bytes());
    validate_stored(&emptied).expect("an emptied batch that keeps its producer's state");
    let (raw, _) = RawBatch::split_first(&emptied).expect("a batch");
    assert_eq!(raw.records(&mut DecompressionBudget::default()).expect("none").iter().count(), 0);
}

#[test]
fn the_second_door_refuses_damage_and_impossible_offsets() {
    let bytes = three_records().at(Offset(i64::MAX - 5)).build();
    validate_stored(&bytes).expect("the last offsets there are");
    for base_offset in [i64::MAX, i64::MAX - 2, -1] {
        let fault = validate_stored(&patched(&bytes, 0, &base_offset.to_be_bytes())).map(|_| ());
        assert!(matches!(fault, Err(BatchFault::OffsetRange { .. })), "{base_offset}");
    }
    let more_records_than_offsets = patched(&bytes, 57, &4i32.to_be_bytes());
    validate_stored(&more_records_than_offsets).expect_err("four records at three offsets");
    let mut damaged = bytes.clone();
    damaged[30] ^= 1;
    assert_eq!(validate_stored(&damaged).expect_err("damage").kind(), FaultKind::Corrupt);
    validate_stored(&[&bytes[..], &bytes].concat()).expect_err("one batch at a time");
}

#[test]
fn batches_in_a_row_are_cut_apart() {
    let first = three_records().build();
    let second = BatchBuilder::new().at(Offset(3)).record(None, &b"x"[..]).build();
    let row = [first.clone(), second.clone()].concat();
    let (batch, rest) = RawBatch::split_first(&row).expect("the first");
    assert_eq!((batch.bytes(), rest), (&first[..], &second[..]));
    let (batch, rest) = RawBatch::split_first(rest).expect("the second");
    assert_eq!((batch.bytes(), rest.len()), (&second[..], 0));
    let fault = RawBatch::split_first(&row[..first.len() - 1]).map(|_| ()).expect_err("a torn batch");
    assert_eq!(fault, BatchFault::Truncated { needed_bytes: first.len(), found_bytes: first.len() - 1 });
}
