//! Fuzz target for the two doors of the log: record batches from clients and from peers.
//!
//! Promises checked for every input: no panic; an accepted batch is exactly what its header says, and can be
//! stored and read back. Half of the inputs get a right checksum, so that the code behind it is reached.

#[path = "../../net/tests/golden_data/mod.rs"]
mod golden_data;

use golden_data::batches;
use ringlog_core::checksum::crc32c;
use ringlog_core::ids::{LeaderEpoch, Offset};
use ringlog_core::record_batch::{BatchRules, HEADER_BYTES, ValidBatch, validate, validate_stored};
use ringlog_core::time::Timestamp;
use ringlog_fuzz::campaign::{Campaign, Outcome};

const ITERATIONS: usize = 30_000;
const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// Writes the checksum and length that the bytes should have.
fn repair(bytes: &mut [u8]) {
    if bytes.len() >= HEADER_BYTES {
        let length = (bytes.len() - 12) as u32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        let checksum = crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
    }
}

fn store(batch: ValidBatch<'_>) -> Outcome {
    let stored = batch.assign(Offset(1_000_000), LeaderEpoch(7)).to_bytes();
    let again = validate_stored(&stored).expect("what may be stored can be read back");
    assert_eq!((again.header().base_offset(), again.size_bytes()), (Offset(1_000_000), stored.len()));
    Outcome::Accepted
}

#[test]
fn changed_batches_are_stored_soundly_or_refused_at_both_doors() {
    let seeds =
        batches().into_iter().flat_map(|golden| [(false, golden.bytes.clone()), (true, golden.bytes)]);
    let rules = BatchRules::default();
    let compacted = BatchRules { compacted: true, ..rules };
    let tally = Campaign::from_environment(ITERATIONS).run(seeds.collect(), |repaired, input| {
        let mut bytes = input.to_vec();
        if repaired {
            repair(&mut bytes);
        }
        let _ = validate(&bytes, &compacted, NOW).map(store);
        let _ = validate_stored(&bytes).map(|batch| {
            let kept = batch.keep_offsets();
            assert_eq!(kept.to_bytes(), bytes, "the second door changes nothing");
        });
        validate(&bytes, &rules, NOW).map_or(Outcome::Refused, store)
    });
    assert!(tally.accepted > 0 && tally.refused > 0, "{tally:?}");
}
