//! The record batch code against batches of every codec that Kafka's own classes write.

mod golden_data;

use golden_data::{GoldenBatch, GoldenRecord, batches};
use ringlog_core::compression::{DecompressionBudget, DecompressionLimits};
use ringlog_core::record_batch::{RawBatch, TimestampType, validate_stored};

/// The records as we read them.
fn records(golden: &GoldenBatch) -> Vec<GoldenRecord> {
    let (batch, rest) = RawBatch::split_first(&golden.bytes).unwrap();
    assert!(rest.is_empty(), "{}", golden.name);
    batch.verify_checksum().unwrap();
    let header = batch.header();
    let appended = header.attributes().timestamp_type() == TimestampType::LogAppendTime;
    let mut budget = DecompressionBudget::new(DecompressionLimits::default());
    let records = batch.records(&mut budget).unwrap();
    let read = records.iter().map(|record| {
        let record = record.unwrap();
        let created = header.base_timestamp().0 + record.timestamp_delta;
        GoldenRecord {
            offset: header.base_offset().0 + i64::from(record.offset_delta),
            timestamp: if appended { header.max_timestamp().0 } else { created },
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.iter().map(|h| (h.key.to_vec(), h.value.map(<[u8]>::to_vec))).collect(),
        }
    });
    read.collect()
}

#[test]
fn every_batch_kafka_writes_holds_for_us_the_records_it_holds_for_kafka() {
    let batches = batches();
    assert_eq!(batches.len(), 32);
    for golden in &batches {
        assert_eq!(records(golden), golden.records, "{}", golden.name);
    }
}

#[test]
fn every_batch_kafka_writes_may_be_stored_with_the_offsets_it_has() {
    for golden in batches() {
        let batch = validate_stored(&golden.bytes).unwrap_or_else(|fault| panic!("{}: {fault}", golden.name));
        assert_eq!(batch.keep_offsets().to_bytes(), golden.bytes, "{}", golden.name);
    }
}

#[test]
fn no_bit_of_a_batch_that_its_checksum_covers_can_change_unnoticed() {
    for golden in batches().iter().filter(|golden| golden.bytes.len() < 1000) {
        for position in 21..golden.bytes.len() {
            for bit in 0..8 {
                let mut changed = golden.bytes.clone();
                changed[position] ^= 1 << bit;
                assert!(validate_stored(&changed).is_err(), "{} byte {position} bit {bit}", golden.name);
            }
        }
    }
}
