//! Bytes nobody made with care: whatever arrives, the batch code answers, and what it accepts stays acceptable.

use proptest::prelude::*;
use ringlog_core::compression::{Codec, DecompressionBudget, DecompressionLimits};
use ringlog_core::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, SequenceNumber};
use ringlog_core::record_batch::{
    BatchBuilder, BatchHeader, BatchRules, BatchValidator, HEADER_BYTES, RawBatch, TargetCompression,
    TimestampType, ValidationDepth, validate_stored,
};
use ringlog_core::time::Timestamp;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

type Field = Option<Vec<u8>>;
type Headers = Vec<(Vec<u8>, Field)>;
type PlainRecord = (i64, Field, Field, Headers);

fn field() -> impl Strategy<Value = Field> {
    prop::option::weighted(0.8, prop::collection::vec(any::<u8>(), 0..100))
}

fn record() -> impl Strategy<Value = PlainRecord> {
    let timestamp =
        prop_oneof![Just(-1i64), NOW.0 - 1000..NOW.0 + 1000, any::<i32>().prop_map(i64::from), any::<i64>()];
    let headers = prop::collection::vec((prop::collection::vec(any::<u8>(), 0..9), field()), 0..4);
    (timestamp, field(), field(), headers)
}

fn codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(&Codec::ALL[..])
}

fn rules() -> impl Strategy<Value = BatchRules> {
    let target = prop_oneof![
        3 => Just(TargetCompression::Producer),
        1 => codec().prop_map(|codec| TargetCompression::Fixed { codec, level: codec.default_level() }),
    ];
    (target, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(compression, compacted, log_append_time, header_only, any_time)| BatchRules {
            compression,
            compacted,
            timestamp_type: if log_append_time {
                TimestampType::LogAppendTime
            } else {
                TimestampType::CreateTime
            },
            depth: if header_only { ValidationDepth::Header } else { ValidationDepth::Records },
            timestamp_after_max_ms: if any_time { i64::MAX } else { 3_600_000 },
            decompression: DecompressionLimits {
                output_bytes_max: 1024 * 1024,
                ..DecompressionLimits::PRODUCTION
            },
            ..BatchRules::default()
        },
    )
}

fn built(records: &[PlainRecord], codec: Codec) -> BatchBuilder {
    records.iter().fold(BatchBuilder::new().compressed(codec), |builder, (timestamp, key, value, headers)| {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (&name[..], value.as_deref())).collect();
        builder.record_with(Timestamp(*timestamp), key.as_deref(), value.as_deref(), &headers)
    })
}

fn read_back(bytes: &[u8]) -> Vec<PlainRecord> {
    let (batch, _) = RawBatch::split_first(bytes).expect("a batch");
    let base = batch.header().base_timestamp().0;
    let records = batch.records(&mut DecompressionBudget::default()).expect("records that open");
    records
        .iter()
        .map(|record| {
            let record = record.expect("a record");
            let headers =
                record.headers.iter().map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec)));
            let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
            (base.wrapping_add(record.timestamp_delta), key, value, headers.collect())
        })
        .collect()
}

fn with_right_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() >= 21 {
        let crc = ringlog_core::checksum::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

/// Everything that reads batches, on bytes nobody vouches for. What the client's door lets in must pass the
/// second door and read to its end.
fn exercise(bytes: &[u8], rules: &BatchRules) {
    let _ = BatchHeader::parse(bytes);
    let _ = validate_stored(bytes);
    let mut budget = DecompressionBudget::new(rules.decompression);
    if let Ok((batch, _)) = RawBatch::split_first(bytes)
        && let Ok(records) = batch.records(&mut budget)
    {
        let mut read = 0;
        for record in records.iter().map_while(Result::ok) {
            assert_eq!(record.headers.iter().count(), record.headers.len());
            read += 1;
        }
        assert!(read <= batch.header().record_count());
    }
    if let Ok(batch) = BatchValidator::new().validate(bytes, rules, NOW) {
        assert!(batch.size_bytes() <= rules.max_message_bytes);
        let was_looked_into =
            rules.depth == ValidationDepth::Records || rules.compacted || batch.was_rebuilt();
        let stored = batch.assign(Offset(42), LeaderEpoch(1)).to_bytes();
        let header = *validate_stored(&stored).expect("what is stored passes the second door").header();
        assert_eq!(header.next_offset().0, 42 + i64::from(header.record_count()));
        if was_looked_into {
            let newest = read_back(&stored).iter().map(|record| record.0).max().map(|newest| newest.max(-1));
            if rules.timestamp_type == TimestampType::CreateTime {
                assert_eq!(newest, Some(header.max_timestamp().0));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_built_reads_back(records in prop::collection::vec(record(), 0..20), codec in codec()) {
        let bytes = built(&records, codec).at(Offset(7)).build();
        validate_stored(&bytes).expect("a built batch");
        prop_assert_eq!(read_back(&bytes), records);
    }

    #[test]
    fn what_the_clients_door_lets_in_is_what_came(
        records in prop::collection::vec(record(), 1..20), codec in codec(), rules in rules(),
    ) {
        let bytes = built(&records, codec).producer(ProducerId(3), ProducerEpoch(1), SequenceNumber(9)).build();
        exercise(&bytes, &rules);
        if let Ok(batch) = BatchValidator::new().validate(&bytes, &rules, NOW) {
            let stored = batch.assign(Offset(0), LeaderEpoch(0)).to_bytes();
            prop_assert_eq!(read_back(&stored), records);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), rules in rules()) {
        exercise(&bytes, &rules);
    }

    #[test]
    fn random_bytes_behind_a_plausible_header_never_panic(
        body in prop::collection::vec(any::<u8>(), 0..200), count in 1i32..9, codec_id in 0u8..8, rules in rules(),
    ) {
        let mut bytes = BatchBuilder::new().record(None, None).build();
        bytes.truncate(HEADER_BYTES);
        bytes.extend_from_slice(&body);
        bytes[8..12].copy_from_slice(&((HEADER_BYTES - 12 + body.len()) as i32).to_be_bytes());
        bytes[22] = codec_id;
        bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        exercise(&with_right_checksum(bytes), &rules);
    }

    #[test]
    fn damaged_batches_with_a_right_checksum_never_panic(
        records in prop::collection::vec(record(), 1..8), codec in codec(), rules in rules(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = built(&records, codec).build();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        exercise(&bytes, &rules);
        exercise(&with_right_checksum(bytes), &rules);
    }

    #[test]
    fn uncompressed_and_compressed_batches_get_the_same_answer(
        records in prop::collection::vec(record(), 1..12), codec in codec(), rules in rules(),
    ) {
        let rules = BatchRules { depth: ValidationDepth::Records, compression: TargetCompression::Producer, ..rules };
        let mut validator = BatchValidator::new();
        let mut answer = |codec| {
            validator.validate(&built(&records, codec).build(), &rules, NOW).map(|batch| batch.header().max_timestamp())
        };
        prop_assert_eq!(answer(codec), answer(Codec::None));
    }
}
