//! The metadata log that Kafka's own broker wrote while topics and much else came and went (`tests/golden/record_metadata_log.py`): the
//! snapshot with the log behind it, and the log alone, add up to the same.

mod golden_data;

use golden_data::file;
use ringlog_core::ids::Offset;
use ringlog_core::kraft::record::{Beside, resource_types};
use ringlog_core::kraft::{KraftImage, KraftReplay};
use ringlog_core::record_batch::RawBatch;

fn replayed(mut replay: KraftReplay) -> KraftImage {
    replay.segment(&file("metadata.log")).unwrap();
    assert!(!replay.is_torn());
    replay.finish()
}

/// The log alone: it has every record from the first on.
fn of_log() -> KraftImage {
    replayed(KraftReplay::default())
}

/// Where the snapshot ends: in Kafka's directory its name says so.
const SNAPSHOT_END: Offset = Offset(64);

#[test]
fn topics_partitions_and_configurations_are_those_that_were_left() {
    let image = of_log();
    let mut topics: Vec<_> =
        image.topics.values().map(|topic| (&topic.name[..], topic.partitions.len())).collect();
    topics.sort_unstable();
    assert_eq!(topics, [("clicks", 1), ("orders", 4)]);
    for topic in image.topics.values() {
        assert!(topic.partitions.keys().copied().eq(0..topic.partitions.len() as i32));
        for partition in topic.partitions.values() {
            assert_eq!(partition.replicas, [1]);
            assert!(partition.in_sync == [1] || partition.eligible == [1], "{partition:?}");
            assert_eq!(partition.directories.len(), 1);
        }
    }
    let configs = |name: &str| -> Vec<(String, String)> {
        image.configs_of(resource_types::TOPIC, name).into_iter().collect()
    };
    let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(configs("orders"), [text("retention.ms", "100000")]);
    assert_eq!(configs("clicks"), [text("cleanup.policy", "compact")]);
    assert_eq!(configs("gone"), []);
    let of_brokers = image.configs_of(resource_types::BROKER, "");
    assert_eq!(of_brokers.get("log.retention.ms").map(String::as_str), Some("7000001"));
    assert!(image.next_producer_id > 0);
}

#[test]
fn what_has_no_place_here_is_counted_and_what_was_taken_away_is_not() {
    let image = of_log();
    let count = |kind: Beside| image.beside.get(&kind).map_or(0, |known| known.len());
    assert_eq!(count(Beside::Acl), 1);
    assert_eq!(count(Beside::ScramCredential), 1, "alice's; bob's was removed");
    assert_eq!(count(Beside::Quota), 1);
    assert_eq!(count(Beside::DelegationToken), 0);
}

#[test]
fn a_snapshot_with_the_log_behind_it_adds_up_to_what_the_log_does() {
    let snapshot = |bytes: &[u8]| KraftReplay::snapshot(bytes, SNAPSHOT_END);
    let alone = snapshot(&file("metadata.checkpoint")).unwrap().finish();
    let whole = of_log();
    assert_ne!(alone, whole, "the log goes on behind the snapshot");
    assert_eq!(replayed(snapshot(&file("metadata.checkpoint")).unwrap()), whole);
    let mut bytes = file("metadata.checkpoint");
    bytes.pop();
    snapshot(&bytes).unwrap_err();
}

#[test]
fn a_torn_end_is_told_and_a_hole_is_refused() {
    let bytes = file("metadata.log");
    let mut replay = KraftReplay::default();
    replay.segment(&bytes[..bytes.len() - 3]).unwrap();
    assert!(replay.is_torn());
    replay.segment(&bytes).unwrap_err();
    let (first, _) = RawBatch::split_first(&bytes).unwrap();
    let behind = &bytes[first.bytes().len()..];
    KraftReplay::default().segment(behind).unwrap_err();
}

#[test]
fn a_damaged_batch_is_a_torn_end_only_if_no_whole_one_follows() {
    let bytes = file("metadata.log");
    let (mut starts, mut rest) = (Vec::new(), &bytes[..]);
    while !rest.is_empty() {
        starts.push(bytes.len() - rest.len());
        (_, rest) = RawBatch::split_first(rest).unwrap();
    }
    let last = starts.pop().unwrap();
    // Its length, its version, its checksum, its count of records, the first record.
    let places = [8, 11, 16, 17, 57, 61];
    let damaged = |position: usize| {
        let mut bytes = bytes.clone();
        bytes[position] ^= 0x21;
        bytes
    };
    for position in starts.iter().flat_map(|start| places.map(|place| start + place)) {
        let fault = KraftReplay::default().segment(&damaged(position)).unwrap_err();
        assert!(
            fault.to_string().contains("is damaged, and whole ones follow it"),
            "byte {position}: {fault}"
        );
    }
    for position in places.map(|place| last + place) {
        let mut replay = KraftReplay::default();
        replay.segment(&damaged(position)).unwrap();
        assert!(replay.is_torn(), "byte {position}");
    }
}

#[test]
fn a_torn_batch_that_a_snapshot_has_is_no_end_either() {
    let bytes = file("metadata.log");
    let mut replay = KraftReplay::snapshot(&file("metadata.checkpoint"), SNAPSHOT_END).unwrap();
    let mut damaged = bytes.clone();
    damaged[61] ^= 1;
    replay.segment(&damaged).unwrap_err();
}
