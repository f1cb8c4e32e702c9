//! A [`GroupRecord`] as the bytes of a record of `__consumer_offsets`, Kafka's own: its tools, and a broker that
//! takes over a data directory, read them.
//!
//! ```text
//!   key    [ type i16 ][ group, topic, partition ]    type 0, 1: an offset       (Kafka writes 1)
//!          [ type i16 ][ group ]                      type 2: a classic group
//!   value  [ version i16 ][ fields ... ][ tags ]      versions 0 to 4; tags and short lengths from 4 on
//! ```
//!
//! Always true: what is written has the version that Kafka 4.3 writes; every version that Kafka reads is read; a
//! length is compared with the bytes that are left before anything is reserved for it.
//!
//! Reading order: `offset_value` and `group_value`, the two kinds of value; `reader` and `writer`, their words;
//! [`RecordFault`], why bytes are no record.

mod fault;
mod group_value;
mod offset_value;
mod reader;
mod writer;

pub use fault::RecordFault;

use std::sync::Arc;

use crate::group::record::GroupRecord;
use crate::ids::PartitionIndex;
use reader::Reader;
use writer::Writer;

/// The longest text in a record, in bytes: lengths were 16 bits with a sign once, and Kafka keeps to it.
pub const TEXT_BYTES_MAX: usize = i16::MAX as usize;

/// The type of an offset's key before Kafka 0.8.2; its values have version 0.
const OLD_OFFSET: i16 = 0;
const OFFSET: i16 = 1;
const GROUP: i16 = 2;

/// The newest version of both kinds of value.
const VALUE_VERSION_MAX: i16 = 4;

impl GroupRecord {
    /// The record's key.
    pub fn key_bytes(&self) -> Vec<u8> {
        match self {
            GroupRecord::Offset { group, topic, partition, .. } => {
                let mut key = Writer::versioned(OFFSET);
                key.text(group);
                key.text(topic);
                key.i32(partition.0);
                key.into_bytes()
            }
            GroupRecord::Group { group, .. } => {
                let mut key = Writer::versioned(GROUP);
                key.text(group);
                key.into_bytes()
            }
        }
    }

    /// The record's value; `None`, a tombstone, for what is gone.
    pub fn value_bytes(&self) -> Option<Vec<u8>> {
        match self {
            GroupRecord::Offset { value, .. } => value.as_ref().map(offset_value::write),
            GroupRecord::Group { value, .. } => value.as_ref().map(group_value::write),
        }
    }

    /// Reads a record; `Ok(None)` if its type is none of ours: records of the newer kinds of groups, and of types
    /// that a later Kafka invented. Kafka passes over what it does not know in the same way.
    ///
    /// # Errors
    /// If key or value are not what their type and version ask for.
    pub fn parse(key: &[u8], value: Option<&[u8]>) -> Result<Option<GroupRecord>, RecordFault> {
        let mut key = Reader::new(key);
        let record = match key.i16("key type")? {
            kind @ (OLD_OFFSET | OFFSET) => {
                let version_max = if kind == OLD_OFFSET { 0 } else { VALUE_VERSION_MAX };
                GroupRecord::Offset {
                    group: Arc::from(key.text("group")?),
                    topic: Arc::from(key.text("topic")?),
                    partition: PartitionIndex(key.i32("partition")?),
                    value: value.map(|value| offset_value::read(value, version_max)).transpose()?,
                }
            }
            GROUP => GroupRecord::Group {
                group: Arc::from(key.text("group")?),
                value: value.map(|value| group_value::read(value, VALUE_VERSION_MAX)).transpose()?,
            },
            _ => return Ok(None),
        };
        key.finish()?;
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::group::message::GroupGeneration;
    use crate::group::record::{GroupMemberMetadata, GroupMetadata};
    use crate::ids::TopicId;
    use crate::time::Timestamp;

    type Parsed = Result<Option<GroupRecord>, RecordFault>;

    /// The key of the group "g".
    const GROUP_KEY: [u8; 5] = [0, 2, 0, 1, b'g'];
    /// The key of the group "g", topic "t" and partition 0.
    const OFFSET_KEY: [u8; 12] = [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 0];

    fn parse_group(value: &[u8]) -> Parsed {
        GroupRecord::parse(&GROUP_KEY, Some(value))
    }

    fn parse_offset(value: &[u8]) -> Parsed {
        GroupRecord::parse(&OFFSET_KEY, Some(value))
    }

    /// Offset 5, leader epoch 3, metadata "m", committed at 9; `tags` follow.
    fn offset_value(tags: &[u8]) -> Vec<u8> {
        let fields = [0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 3, 2, b'm', 0, 0, 0, 0, 0, 0, 0, 9];
        [&fields[..], tags].concat()
    }

    #[test]
    fn types_of_keys_that_are_not_ours_are_passed_over_whatever_follows() {
        for key_type in (3i16..=40).chain([i16::MAX, i16::MIN, -1]) {
            assert_eq!(
                GroupRecord::parse(&[&key_type.to_be_bytes()[..], b"\xff\xff"].concat(), Some(b"?")),
                Ok(None)
            );
        }
    }

    #[test]
    fn versions_of_values_that_a_later_kafka_may_invent_are_refused_and_not_guessed() {
        for version in [5, 6, i16::MAX, -1, i16::MIN] {
            let value = [&version.to_be_bytes()[..], &[0; 40]].concat();
            let fault = Err(RecordFault::ValueVersion { version, version_max: 4 });
            assert_eq!((parse_group(&value), parse_offset(&value)), (fault.clone(), fault));
        }
        let old_key = [&[0, 0], &OFFSET_KEY[2..]].concat();
        let fault = GroupRecord::parse(&old_key, Some(&[0, 1, 0, 0]));
        assert_eq!(fault, Err(RecordFault::ValueVersion { version: 1, version_max: 0 }));
    }

    #[test]
    fn a_length_or_count_beyond_the_rest_is_refused_before_anything_is_reserved_for_it() {
        let text = [0, 3, 0x7f, 0xff];
        let needed =
            |field, needed_bytes, left_bytes| Err(RecordFault::EndsEarly { field, needed_bytes, left_bytes });
        assert_eq!(parse_group(&text), needed("protocol type", 32_767, 0));
        let members = [0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0];
        assert_eq!(parse_group(&members), needed("members", 15 * 0x7fff_ffff, 1));
        let short_members =
            [0, 4, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert_eq!(parse_group(&short_members), needed("members", 15 * 0xffff_fffe, 1));
        assert_eq!(parse_offset(&offset_value(&[1, 7, 200, 1, 0])), needed("tagged fields", 200, 1));
    }

    #[test]
    fn null_where_nothing_is_null_and_text_that_is_none_are_refused() {
        assert_eq!(parse_group(&[0, 3, 0xff, 0xff]), Err(RecordFault::Null { field: "protocol type" }));
        assert_eq!(parse_group(&[0, 4, 0]), Err(RecordFault::Null { field: "protocol type" }));
        assert_eq!(parse_group(&[0, 3, 0, 1, 0xff]), Err(RecordFault::NotText { field: "protocol type" }));
        let long = [&[0, 4, 0x81, 0x80, 0x02][..], &[b'a'; 32_768]].concat();
        let fault = RecordFault::TextTooLong { field: "protocol type", bytes: 32_768 };
        assert_eq!(parse_group(&long), Err(fault));
        let number = [0, 4, 0x80, 0x80, 0x80, 0x80, 0x10];
        assert_eq!(parse_group(&number), Err(RecordFault::NumberTooLong { field: "protocol type" }));
    }

    #[test]
    fn tags_ascend_and_a_topic_id_has_sixteen_bytes() {
        let topic_id = [&[1, 0, 16][..], &[7; 16]].concat();
        let plain = parse_offset(&offset_value(&[0]));
        assert!(matches!(plain, Ok(Some(_))));
        let topic_id_of = |record: Parsed| match record {
            Ok(Some(GroupRecord::Offset { value: Some(value), .. })) => value.topic_id,
            other => panic!("not an offset: {other:?}"),
        };
        assert_eq!(topic_id_of(parse_offset(&offset_value(&topic_id))), Some(TopicId([7; 16])));
        let no_id = [&[1, 0, 16][..], &[0; 16]].concat();
        assert_eq!(topic_id_of(parse_offset(&offset_value(&no_id))), None);
        assert_eq!(parse_offset(&offset_value(&[2, 8, 0, 9, 0])), plain);
        for tags in [[2, 9, 0, 9, 0], [2, 9, 0, 8, 0]] {
            let fault = parse_offset(&offset_value(&tags));
            assert_eq!(fault, Err(RecordFault::TagOutOfOrder { tag: tags[3].into() }));
        }
        let short = parse_offset(&offset_value(&[1, 0, 1, 7]));
        assert_eq!(short, Err(RecordFault::TagSize { tag: 0, bytes: 1 }));
    }

    fn member(rebalance_timeout: Duration, session_timeout: Duration) -> GroupMemberMetadata {
        GroupMemberMetadata {
            member: "m".into(),
            instance: None,
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout,
            session_timeout,
            subscription: [].into(),
            assignment: [].into(),
        }
    }

    fn group_of(members: Vec<GroupMemberMetadata>) -> GroupRecord {
        let value = GroupMetadata {
            protocol_type: "consumer".into(),
            generation: GroupGeneration(1),
            protocol: Some("range".into()),
            leader: Some("m".into()),
            state_since: Timestamp(9),
            members,
        };
        GroupRecord::Group { group: "g".into(), value: Some(value) }
    }

    #[test]
    fn timeouts_that_32_bits_do_not_hold_become_the_nearest_that_they_do() {
        let longest = Duration::from_millis(i32::MAX as u64);
        let written = group_of(vec![member(Duration::MAX, Duration::from_micros(1_999))]);
        let read = GroupRecord::parse(&written.key_bytes(), written.value_bytes().as_deref());
        assert_eq!(read, Ok(Some(group_of(vec![member(longest, Duration::from_millis(1))]))));

        let mut value = written.value_bytes().unwrap();
        let timeouts = value.len() - 16..value.len() - 8;
        value[timeouts].copy_from_slice(&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe]);
        assert_eq!(parse_group(&value), Ok(Some(group_of(vec![member(Duration::ZERO, Duration::ZERO)]))));
    }

    #[test]
    fn a_text_beyond_the_longest_is_cut_between_two_characters() {
        let cut = |text: String| {
            let key = GroupRecord::Group { group: text.into(), value: None }.key_bytes();
            let Ok(Some(GroupRecord::Group { group, value: None })) = GroupRecord::parse(&key, None) else {
                panic!("not a group: {key:?}");
            };
            group.len()
        };
        assert_eq!(cut("a".repeat(TEXT_BYTES_MAX)), TEXT_BYTES_MAX);
        assert_eq!(cut("a".repeat(TEXT_BYTES_MAX + 1)), TEXT_BYTES_MAX);
        assert_eq!(cut("é".repeat(TEXT_BYTES_MAX)), TEXT_BYTES_MAX - 1);
    }
}
