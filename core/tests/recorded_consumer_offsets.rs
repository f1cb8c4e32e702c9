//! A segment of `__consumer_offsets` that Kafka's own broker wrote while clients of every kind of group worked with it
//! (`tests/golden/record_consumer_offsets.py`): all of it is read, and what is ours is written back the same.

mod golden_data;

use std::collections::BTreeSet;

use golden_data::file;
use ringlog_core::compression::{DecompressionBudget, DecompressionLimits};
use ringlog_core::group::record::GroupRecord;
use ringlog_core::record_batch::RawBatch;

type Recorded = (Vec<u8>, Option<Vec<u8>>);

/// Keys and values of the segment, in order.
fn recorded() -> Vec<Recorded> {
    let segment = file("consumer_offsets.log");
    let mut records = Vec::new();
    let mut rest = &segment[..];
    while !rest.is_empty() {
        let (batch, behind) = RawBatch::split_first(rest).unwrap();
        batch.verify_checksum().unwrap();
        let mut budget = DecompressionBudget::new(DecompressionLimits::default());
        for record in batch.records(&mut budget).unwrap().iter() {
            let record = record.unwrap();
            let key = record.key.expect("a compacted topic has keys");
            records.push((key.to_vec(), record.value.map(<[u8]>::to_vec)));
        }
        rest = behind;
    }
    records
}

fn first_number(bytes: &[u8]) -> i16 {
    i16::from_be_bytes([bytes[0], bytes[1]])
}

#[test]
fn every_record_is_read_and_those_of_classic_groups_come_back_byte_for_byte() {
    for (key, value) in recorded() {
        let record = GroupRecord::parse(&key, value.as_deref()).unwrap_or_else(|fault| {
            panic!("{fault}: {key:02x?} {value:02x?}");
        });
        let expected = match first_number(&key) {
            1 | 2 => Some((key, value)),
            _ => None,
        };
        assert_eq!(record.map(|record| (record.key_bytes(), record.value_bytes())), expected);
    }
}

#[test]
fn the_recording_has_every_version_that_kafka_writes_tombstones_and_records_of_other_groups() {
    let versions: BTreeSet<(i16, Option<i16>)> = recorded()
        .iter()
        .map(|(key, value)| (first_number(key), value.as_deref().map(first_number)))
        .collect();
    let ours: Vec<_> = versions.iter().filter(|(key_type, _)| *key_type <= 2).copied().collect();
    assert_eq!(ours, [(1, None), (1, Some(1)), (1, Some(4)), (2, None), (2, Some(3))]);
    assert!(versions.contains(&(3, Some(0))), "a group of the newer protocol: {versions:?}");
}
