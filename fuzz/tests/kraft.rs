//! Fuzz target for the metadata log of a Kafka whose directory is taken over: single records, and logs as a whole.
//!
//! Promises checked for every input: no panic; memory in proportion to the bytes. Logs get right checksums, so that the code behind
//! them is reached.

use std::path::PathBuf;

use ringlog_core::checksum::crc32c;
use ringlog_core::compression::DecompressionBudget;
use ringlog_core::ids::Offset;
use ringlog_core::kraft::{KraftRecord, KraftReplay};
use ringlog_core::record_batch::{HEADER_BYTES, RawBatch};
use ringlog_fuzz::allocation::{CountingAllocator, allocated_bytes};
use ringlog_fuzz::campaign::{Campaign, Outcome};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const ITERATIONS: usize = 30_000;

fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden_data").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The batches of a golden file.
fn batches(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut batches) = (bytes, Vec::new());
    while !rest.is_empty() {
        let (batch, behind) = RawBatch::split_first(rest).expect("Kafka wrote it");
        batches.push(batch.bytes());
        rest = behind;
    }
    batches
}

fn records() -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for name in ["metadata.checkpoint", "metadata.log"] {
        let bytes = golden(name);
        for batch in batches(&bytes) {
            let (batch, _) = RawBatch::split_first(batch).expect("it was cut out");
            if batch.header().attributes().is_control() {
                continue;
            }
            let mut budget = DecompressionBudget::default();
            for record in &batch.records(&mut budget).expect("Kafka wrote it") {
                let record = record.expect("Kafka wrote it");
                records.push(record.value.expect("a record of metadata has a value").to_vec());
            }
        }
    }
    records
}

#[test]
fn changed_records_are_read_or_refused() {
    let seeds = records().into_iter().map(|record| ((), record)).collect();
    let tally = Campaign::from_environment(ITERATIONS).run(seeds, |(), input| {
        let before = allocated_bytes();
        let parsed = KraftRecord::parse(input);
        let allocated = allocated_bytes() - before;
        assert!(allocated <= 20 * input.len() + 4096, "{allocated} bytes for {}", input.len());
        parsed.map_or(Outcome::Refused, |_| Outcome::Accepted)
    });
    assert!(tally.accepted > 0 && tally.refused > 0, "{tally:?}");
}

/// Gives every batch the checksum that its bytes should have.
fn repair(bytes: &mut [u8]) {
    let mut start = 0;
    while let Some(batch) = bytes.get_mut(start..).filter(|rest| rest.len() >= HEADER_BYTES) {
        let length = 12 + u32::from_be_bytes(batch[8..12].try_into().expect("four bytes")) as usize;
        if length < HEADER_BYTES || length > batch.len() {
            return;
        }
        let checksum = crc32c(&batch[21..length]);
        batch[17..21].copy_from_slice(&checksum.to_be_bytes());
        start += length;
    }
}

#[test]
fn changed_logs_are_replayed_or_refused() {
    let seeds = ["metadata.checkpoint", "metadata.log"].map(|name| ((), golden(name))).to_vec();
    let tally = Campaign::from_environment(ITERATIONS / 10).run(seeds, |(), input| {
        let mut bytes = input.to_vec();
        repair(&mut bytes);
        let snapshot = KraftReplay::snapshot(&bytes, Offset(40));
        let mut replay = KraftReplay::default();
        let log = replay.segment(&bytes);
        if snapshot.is_ok() || log.is_ok() { Outcome::Accepted } else { Outcome::Refused }
    });
    assert!(tally.accepted > 0 && tally.refused > 0, "{tally:?}");
}
