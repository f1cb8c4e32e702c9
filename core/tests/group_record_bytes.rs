//! The bytes of records of groups against those that Kafka's own classes write, and against bytes nobody wrote.

mod golden_data;

use std::sync::Arc;
use std::time::Duration;

use golden_data::{GoldenRecord, records};
use proptest::prelude::*;
use ringlog_core::group::message::{GroupGeneration, Opaque};
use ringlog_core::group::record::{CommittedOffset, GroupMemberMetadata, GroupMetadata, GroupRecord};
use ringlog_core::group::record_bytes::RecordFault;
use ringlog_core::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use ringlog_core::time::Timestamp;

type Parsed = Result<Option<GroupRecord>, RecordFault>;

fn parse(key: &[u8], value: Option<&[u8]>) -> Parsed {
    GroupRecord::parse(key, value)
}

fn ours(records: Vec<GoldenRecord>) -> impl Iterator<Item = GoldenRecord> {
    records.into_iter().filter(|golden| golden.written.is_some())
}

/// Whatever is understood is written so that it is understood as the same.
fn assert_stands(parsed: Parsed, what: &str) {
    if let Ok(Some(record)) = parsed {
        let again = parse(&record.key_bytes(), record.value_bytes().as_deref());
        assert_eq!(again, Ok(Some(record)), "{what}");
    }
}

#[test]
fn every_version_kafka_reads_is_read_and_becomes_the_bytes_that_kafka_writes_today() {
    for golden in records() {
        let record = parse(&golden.key, golden.value.as_deref())
            .unwrap_or_else(|fault| panic!("{}: {fault}", golden.label()));
        let written = record.map(|record| (record.key_bytes(), record.value_bytes()));
        assert_eq!(written, golden.written, "{}", golden.label());
    }
}

#[test]
fn golden_records_are_of_every_type_and_version_kafka_has() {
    let records = records();
    let count = |key_type, version| {
        records.iter().filter(|golden| (golden.key_type, golden.version) == (key_type, version)).count()
    };
    for key_type in (0..=8).chain(10..=17).chain(19..=23) {
        assert_eq!(count(key_type, -1), 1, "tombstones of type {key_type}");
        assert!(count(key_type, 0) > 0, "type {key_type}");
    }
    assert_eq!(count(0, 0), 8);
    for version in 0..=4 {
        let crowds = usize::from(version == 4);
        assert_eq!((count(1, version), count(2, version)), (8, 8 + crowds), "version {version}");
    }
    assert_eq!(records.len(), 22 + 19 + 8 + 5 * 8 + 5 * 8 + 1);
}

#[test]
fn some_golden_records_are_of_the_version_written_and_so_come_back_byte_for_byte() {
    let same =
        |golden: &GoldenRecord| golden.written.as_ref() == Some(&(golden.key.clone(), golden.value.clone()));
    let versions = ours(records()).filter(same).map(|golden| (golden.key_type, golden.version));
    let mut versions: Vec<_> = versions.collect();
    versions.sort_unstable();
    versions.dedup();
    // A version 1 that names no time to expire at, and a version 4 with a topic id, are written differently.
    assert_eq!(versions, [(1, -1), (1, 1), (1, 4), (2, -1), (2, 3)]);
}

#[test]
fn tagged_fields_that_nobody_knows_change_nothing() {
    let mut count = 0;
    for golden in ours(records()) {
        let Some(tagged) = &golden.tagged else { continue };
        assert_ne!(golden.tagged, golden.value);
        assert_eq!(
            parse(&golden.key, Some(tagged)),
            parse(&golden.key, golden.value.as_deref()),
            "{}",
            golden.label()
        );
        count += 1;
    }
    assert_eq!(count, 16);
}

#[test]
fn a_record_that_is_cut_anywhere_or_goes_on_is_refused() {
    for golden in ours(records()) {
        let value = golden.value.as_deref();
        for length in 0..golden.key.len() {
            let fault = parse(&golden.key[..length], value);
            assert!(matches!(fault, Err(RecordFault::EndsEarly { .. })), "{}: {fault:?}", golden.label());
        }
        let longer = [&golden.key[..], &[0]].concat();
        assert_eq!(parse(&longer, value), Err(RecordFault::BytesLeft { bytes: 1 }), "{}", golden.label());
        for bytes in [value, golden.tagged.as_deref()].into_iter().flatten() {
            for length in 0..bytes.len() {
                let fault = parse(&golden.key, Some(&bytes[..length]));
                assert!(matches!(fault, Err(RecordFault::EndsEarly { .. })), "{}: {fault:?}", golden.label());
            }
            let longer = [bytes, &[0]].concat();
            let fault = parse(&golden.key, Some(&longer));
            assert_eq!(fault, Err(RecordFault::BytesLeft { bytes: 1 }), "{}", golden.label());
        }
    }
}

#[test]
fn a_record_with_any_byte_changed_is_refused_or_understood() {
    for golden in records() {
        let mut key = golden.key.clone();
        for at in 0..key.len() {
            for change in [0x01, 0x80, 0xff] {
                key[at] ^= change;
                assert_stands(parse(&key, golden.value.as_deref()), &golden.label());
                key[at] ^= change;
            }
        }
        for mut value in [golden.value.clone(), golden.tagged.clone()].into_iter().flatten() {
            for at in 0..value.len() {
                for change in [0x01, 0x80, 0xff] {
                    value[at] ^= change;
                    assert_stands(parse(&golden.key, Some(&value)), &golden.label());
                    value[at] ^= change;
                }
            }
        }
    }
}

/// Bytes of the page's block that begins with `title`: rows of hexadecimal pairs, each behind its position.
fn bytes_on_the_page(title: &str) -> Vec<u8> {
    const PAGE: &str = include_str!("../../docs/on-disk-format.md");
    let (_, block) = PAGE.split_once(&format!("{title}\n")).expect("the page has this block");
    let (rows, _) = block.split_once("\n\n").expect("an empty line or a fence ends it");
    let pairs = rows
        .lines()
        .take_while(|row| !row.starts_with("```"))
        .flat_map(|row| row.split('|').next().expect("a row has a first part").split_whitespace().skip(1));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("two hexadecimal digits")).collect()
}

#[test]
fn the_bytes_on_the_page_about_formats_are_those_that_are_written() {
    let record = GroupRecord::Offset {
        group: "billing".into(),
        topic: "orders".into(),
        partition: PartitionIndex(2),
        value: Some(CommittedOffset {
            offset: Offset(30),
            leader_epoch: LeaderEpoch(0),
            metadata: "".into(),
            committed_at: Timestamp(1_795_789_540_837),
            expires_at: None,
            topic_id: TopicId::parse("x29T8Sy5TFWPU5iQ-W2xvA"),
        }),
    };
    assert_eq!(bytes_on_the_page("an offset, its key"), record.key_bytes());
    assert_eq!(Some(bytes_on_the_page("an offset, its value")), record.value_bytes());
    let emptied = GroupMetadata {
        protocol_type: "consumer".into(),
        generation: GroupGeneration(2),
        protocol: None,
        leader: None,
        state_since: Timestamp(1_795_789_540_956),
        members: Vec::new(),
    };
    let record = GroupRecord::Group { group: "billing".into(), value: Some(emptied) };
    assert_eq!(bytes_on_the_page("a group whose members have left, its key"), record.key_bytes());
    assert_eq!(Some(bytes_on_the_page("a group whose members have left, its value")), record.value_bytes());
}

fn text() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![4 => "\\PC{0,20}", 1 => "[a-z]{120,260}"].prop_map(Arc::from)
}

fn opaque() -> impl Strategy<Value = Opaque> {
    prop::collection::vec(any::<u8>(), 0..200).prop_map(Opaque::from)
}

fn timeout() -> impl Strategy<Value = Duration> {
    (0..=i32::MAX as u64).prop_map(Duration::from_millis)
}

fn committed_offset() -> impl Strategy<Value = CommittedOffset> {
    let expires_at = prop::option::of(any::<i64>().prop_filter("-1 is none", |time| *time != -1));
    let topic_id = prop::option::of((1..u128::MAX).prop_map(|id| TopicId(id.to_be_bytes())));
    (any::<i64>(), any::<i32>(), text(), any::<i64>(), expires_at, topic_id).prop_map(
        |(offset, leader_epoch, metadata, committed_at, expires_at, topic_id)| CommittedOffset {
            offset: Offset(offset),
            // The version that holds a time to expire at holds neither epoch nor topic id.
            leader_epoch: if expires_at.is_some() { LeaderEpoch::UNKNOWN } else { LeaderEpoch(leader_epoch) },
            metadata,
            committed_at: Timestamp(committed_at),
            expires_at: expires_at.map(Timestamp),
            topic_id: topic_id.filter(|_| expires_at.is_none()),
        },
    )
}

fn any_member() -> impl Strategy<Value = GroupMemberMetadata> {
    let names = (text(), prop::option::of(text()), text(), text());
    (names, timeout(), timeout(), opaque(), opaque()).prop_map(
        |(names, rebalance_timeout, session_timeout, subscription, assignment)| GroupMemberMetadata {
            member: names.0,
            instance: names.1,
            client_id: names.2,
            client_host: names.3,
            rebalance_timeout,
            session_timeout,
            subscription,
            assignment,
        },
    )
}

fn group_metadata() -> impl Strategy<Value = GroupMetadata> {
    let names = (text(), prop::option::of(text()), prop::option::of(text()));
    (names, any::<i32>(), any::<i64>(), prop::collection::vec(any_member(), 0..4)).prop_map(
        |(names, generation, state_since, members)| GroupMetadata {
            protocol_type: names.0,
            generation: GroupGeneration(generation),
            protocol: names.1,
            leader: names.2,
            state_since: Timestamp(state_since),
            members,
        },
    )
}

fn group_record() -> impl Strategy<Value = GroupRecord> {
    let offset = (text(), text(), any::<i32>(), prop::option::of(committed_offset())).prop_map(
        |(group, topic, partition, value)| GroupRecord::Offset {
            group,
            topic,
            partition: PartitionIndex(partition),
            value,
        },
    );
    let group = (text(), prop::option::of(group_metadata()))
        .prop_map(|(group, value)| GroupRecord::Group { group, value });
    prop_oneof![offset, group]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(record in group_record()) {
        let read = parse(&record.key_bytes(), record.value_bytes().as_deref());
        prop_assert_eq!(read, Ok(Some(record)));
    }

    #[test]
    fn bytes_that_nobody_wrote_are_refused_or_understood(
        key_type in 0u8..4,
        version in 0u8..6,
        key in prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..40),
        value in prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..80),
    ) {
        let key = [&[0, key_type][..], &key].concat();
        let value = [&[0, version][..], &value].concat();
        assert_stands(parse(&key, Some(&value)), "any key");
        assert_stands(parse(b"\0\x01\0\x01g\0\x01t\0\0\0\0", Some(&value)), "an offset");
        assert_stands(parse(b"\0\x02\0\x01g", Some(&value)), "a group");
    }
}
