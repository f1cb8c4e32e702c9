//! What the client door of the log accepts and refuses: the P rules about batches, one test each.

use ringlog_core::ids::{LeaderEpoch, Offset};
use ringlog_core::record_batch::{
    BatchBuilder, BatchFault, BatchRules, FaultKind, HEADER_BYTES, RawBatch, validate, validate_stored,
};
use ringlog_core::time::Timestamp;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn judged(bytes: &[u8]) -> Result<(), BatchFault> {
    validate(bytes, &BatchRules::default(), NOW).map(|_| ())
}

fn three_records() -> BatchBuilder {
    BatchBuilder::new()
        .record_with(NOW, Some(b"apple"), Some(b"red"), &[])
        .record_with(Timestamp(NOW.0 + 5), None, Some(b"no key"), &[(b"trace", Some(b"1")), (b"trace", None)])
        .record_with(Timestamp(NOW.0 - 5), Some(b"pear"), None, &[])
}

#[test]
fn a_plain_batch_is_accepted_and_gets_its_place_without_a_change_to_the_clients_bytes() {
    let bytes = three_records().build();
    let batch = validate(&bytes, &BatchRules::default(), NOW).expect("a plain batch");
    let assigned = batch.assign(Offset(1000), LeaderEpoch(7));
    assert_eq!(assigned.header().base_offset(), Offset(1000));
    assert_eq!(assigned.header().last_offset(), Offset(1002));
    assert_eq!(assigned.header().leader_epoch(), LeaderEpoch(7), "P17");
    assert_eq!(assigned.body().as_ptr(), bytes[HEADER_BYTES..].as_ptr(), "the body is the client's own");
    let stored = assigned.to_bytes();
    validate_stored(&stored).expect("what is stored passes the second door");
}

// P10
#[test]
fn a_batch_with_a_wrong_checksum_is_corrupt() {
    for position in 17..three_records().build().len() {
        let mut bytes = three_records().build();
        bytes[position] ^= 0x10;
        let fault = judged(&bytes).expect_err("a damaged batch");
        assert_eq!(fault.kind(), FaultKind::Corrupt, "byte {position}: {fault}");
    }
}

#[test]
fn batches_in_a_row_are_cut_apart() {
    let first = three_records().build();
    let second = BatchBuilder::new().at(Offset(3)).record(None, &b"x"[..]).build();
    let row = [first.clone(), second.clone()].concat();
    let (batch, rest) = RawBatch::split_first(&row).expect("the first");
    assert_eq!((batch.bytes(), rest), (&first[..], &second[..]));
}
