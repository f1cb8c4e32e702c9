//! One record of the metadata log.
//!
//! ```text
//!   frame   1 | API key, varint | version, varint | fields ... | tagged fields
//! ```
//!
//! Every version that Kafka 4.x writes is read. What only concerns Kafka's own processes (registrations, features, elections of
//! controllers) is [`KraftRecord::Passed`].

use std::fmt;

use super::reader::Reader;
use crate::ids::TopicId;

/// Kafka's number of the kinds of resource that have a configuration.
pub mod resource_types {
    /// A topic.
    pub const TOPIC: i8 = 2;
    /// A broker, or every broker.
    pub const BROKER: i8 = 4;
}

/// The framing of every record.
const FRAME_VERSION: u32 = 1;

/// What a record says.
#[derive(Clone, PartialEq, Debug)]
pub enum KraftRecord {
    /// There is a topic.
    Topic {
        /// Its name.
        name: String,
        /// Its id.
        id: TopicId,
    },
    /// A topic has a partition.
    Partition {
        /// Whose.
        topic: TopicId,
        /// Its number.
        index: i32,
        /// What is decided about it.
        state: PartitionState,
    },
    /// Something about a partition changed.
    PartitionChange {
        /// Whose.
        topic: TopicId,
        /// Its number.
        index: i32,
        /// What is new.
        change: PartitionChange,
    },
    /// Nobody is known any more to have everything though it is not in sync: what that takes was configured anew.
    EligibleCleared {
        /// The name of the topic; every one if it is empty.
        topic: String,
    },
    /// A configuration was set, or unset.
    Config {
        /// Of what kind of thing.
        resource_type: i8,
        /// Of which.
        resource: String,
        /// The key.
        key: String,
        /// `None` takes it away.
        value: Option<String>,
    },
    /// A topic is gone.
    RemoveTopic {
        /// Which.
        id: TopicId,
    },
    /// Producer ids below this one were given away.
    ProducerIds {
        /// The first that was not.
        next: i64,
    },
    /// Something that is kept here only to be named; or it is gone.
    Beside {
        /// What kind of thing.
        kind: Beside,
        /// What tells it from others of its kind.
        identity: Vec<u8>,
        /// Whether it is there from here on.
        is_there: bool,
    },
    /// What follows holds only with [`KraftRecord::EndTransaction`].
    BeginTransaction,
    /// What came since the beginning holds.
    EndTransaction,
    /// What came since the beginning does not hold.
    AbortTransaction,
    /// Nothing that is needed.
    Passed {
        /// Kafka's number of its kind.
        api_key: u32,
    },
}

/// Things of a cluster that have no place here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Beside {
    /// An ACL.
    Acl,
    /// A user's SCRAM credential.
    ScramCredential,
    /// A client quota.
    Quota,
    /// A delegation token.
    DelegationToken,
}

/// What is decided about a partition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PartitionState {
    /// Who holds it.
    pub replicas: Vec<i32>,
    /// Who is in sync.
    pub in_sync: Vec<i32>,
    /// Who leads it; below 0 nobody.
    pub leader: i32,
    /// How often that changed.
    pub leader_epoch: i32,
    /// In which directory of each replica it lies; empty if nobody says.
    pub directories: Vec<TopicId>,
    /// Who has everything that was acknowledged though it is not in sync (KIP-966).
    pub eligible: Vec<i32>,
}

/// What changed about a partition; `None` where it is as before.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PartitionChange {
    in_sync: Option<Vec<i32>>,
    leader: Option<i32>,
    replicas: Option<Vec<i32>>,
    directories: Option<Vec<TopicId>>,
    eligible: Option<Vec<i32>>,
}

impl PartitionState {
    /// Takes over what is new.
    pub fn apply(&mut self, change: &PartitionChange) {
        let copy = |new: &Option<Vec<i32>>, old: &mut Vec<i32>| {
            if let Some(new) = new {
                old.clone_from(new);
            }
        };
        copy(&change.in_sync, &mut self.in_sync);
        copy(&change.replicas, &mut self.replicas);
        copy(&change.eligible, &mut self.eligible);
        if let Some(directories) = &change.directories {
            self.directories.clone_from(directories);
        }
        if let Some(leader) = change.leader {
            self.leader = leader;
            self.leader_epoch = self.leader_epoch.saturating_add(1);
        }
    }
}

/// Why bytes are no record that can be taken over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KraftFault {
    /// The bytes end within a field.
    EndsEarly {
        /// Which.
        field: &'static str,
    },
    /// A field does not hold what it should.
    Malformed {
        /// Which.
        field: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// The framing is of a version that is not known.
    Frame {
        /// Which.
        version: u32,
    },
    /// A record that is needed has a version that is not known.
    Version {
        /// Kafka's name of it.
        name: &'static str,
        /// The version found.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// A batch cannot be read.
    Batch {
        /// Why.
        reason: String,
    },
    /// A record does not fit those before it.
    OutOfPlace {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for KraftFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KraftFault::EndsEarly { field } => write!(formatter, "the record ends within its field {field}"),
            KraftFault::Malformed { field, reason } => {
                write!(formatter, "the record's field {field} has {reason}")
            }
            KraftFault::Frame { version } => {
                write!(formatter, "the record is framed in version {version}, where {FRAME_VERSION} is known")
            }
            KraftFault::Version { name, found, known } => write!(
                formatter,
                "a {name} of version {found}, where {known} is the newest that is known: a later Kafka wrote it"
            ),
            KraftFault::Batch { reason } | KraftFault::OutOfPlace { reason } => formatter.write_str(reason),
        }
    }
}

impl std::error::Error for KraftFault {}

impl KraftRecord {
    /// Reads a record's value.
    ///
    /// # Errors
    /// Bytes that are no record, or a record that is needed in a version nobody knows.
    pub fn parse(bytes: &[u8]) -> Result<KraftRecord, KraftFault> {
        let mut reader = Reader::new(bytes);
        let version = reader.unsigned_varint("frame version")?;
        if version != FRAME_VERSION {
            return Err(KraftFault::Frame { version });
        }
        let api_key = reader.unsigned_varint("API key")?;
        let version = reader.unsigned_varint("version")?;
        let Some(kind) = kind_of(api_key) else { return Ok(KraftRecord::Passed { api_key }) };
        if version > kind.version_max {
            return Err(KraftFault::Version { name: kind.name, found: version, known: kind.version_max });
        }
        let record = (kind.read)(&mut reader, version)?;
        reader.finish()?;
        Ok(record)
    }
}

/// A kind of record that is read.
struct Kind {
    name: &'static str,
    version_max: u32,
    read: fn(&mut Reader<'_>, u32) -> Result<KraftRecord, KraftFault>,
}

fn kind_of(api_key: u32) -> Option<Kind> {
    let kind = |name, version_max, read| Some(Kind { name, version_max, read });
    match api_key {
        2 => kind("TopicRecord", 0, topic),
        3 => kind("PartitionRecord", 2, partition),
        4 => kind("ConfigRecord", 0, config),
        5 => kind("PartitionChangeRecord", 2, partition_change),
        9 => kind("RemoveTopicRecord", 0, remove_topic),
        10 => kind("DelegationTokenRecord", 0, delegation_token),
        11 => kind("UserScramCredentialRecord", 0, scram_credential),
        14 => kind("ClientQuotaRecord", 0, quota),
        15 => kind("ProducerIdsRecord", 0, producer_ids),
        18 => kind("AccessControlEntryRecord", 0, acl),
        19 => kind("RemoveAccessControlEntryRecord", 0, remove_acl),
        22 => kind("RemoveUserScramCredentialRecord", 0, remove_scram_credential),
        23 => kind("BeginTransactionRecord", 0, begin_transaction),
        24 => kind("EndTransactionRecord", 0, end_transaction),
        25 => kind("AbortTransactionRecord", 0, abort_transaction),
        26 => kind("RemoveDelegationTokenRecord", 0, remove_delegation_token),
        28 => kind("ClearElrRecord", 0, eligible_cleared),
        _ => None,
    }
}

fn topic(reader: &mut Reader<'_>, _: u32) -> Result<KraftRecord, KraftFault> {
    let name = reader.text("name")?.to_owned();
    let id = reader.id("topic id")?;
    reader.pass_tags()?;
    Ok(KraftRecord::Topic { name, id })
}

fn partition(reader: &mut Reader<'_>, version: u32) -> Result<KraftRecord, KraftFault> {
    let index = reader.i32("partition")?;
    let topic = reader.id("topic id")?;
    let replicas = reader.numbers("replicas")?;
    let in_sync = reader.numbers("in-sync replicas")?;
    reader.numbers("removing replicas")?;
    reader.numbers("adding replicas")?;
    let leader = reader.i32("leader")?;
    let leader_epoch = reader.i32("leader epoch")?;
    reader.i32("partition epoch")?;
    let directories = if version >= 1 { directories(reader)? } else { Vec::new() };
    let mut state =
        PartitionState { replicas, in_sync, leader, leader_epoch, directories, eligible: Vec::new() };
    reader.tags(|tag, mut value| {
        if tag == 1 && version >= 2 {
            state.eligible = nullable_numbers(&mut value, "eligible replicas")?.unwrap_or_default();
        }
        Ok(())
    })?;
    Ok(KraftRecord::Partition { topic, index, state })
}

fn directories(reader: &mut Reader<'_>) -> Result<Vec<TopicId>, KraftFault> {
    reader.list("directories", 16, |reader| reader.id("directory"))
}

fn nullable_numbers(reader: &mut Reader<'_>, field: &'static str) -> Result<Option<Vec<i32>>, KraftFault> {
    reader.nullable_list(field, 4, |reader| reader.i32(field))
}

fn partition_change(reader: &mut Reader<'_>, version: u32) -> Result<KraftRecord, KraftFault> {
    /// As Kafka writes "the leader is the same".
    const NO_CHANGE: i32 = -2;
    let index = reader.i32("partition")?;
    let topic = reader.id("topic id")?;
    let mut change = PartitionChange::default();
    reader.tags(|tag, mut value| {
        match tag {
            0 => change.in_sync = nullable_numbers(&mut value, "in-sync replicas")?,
            1 => change.leader = Some(value.i32("leader")?).filter(|leader| *leader != NO_CHANGE),
            2 => change.replicas = nullable_numbers(&mut value, "replicas")?,
            6 if version >= 2 => change.eligible = nullable_numbers(&mut value, "eligible replicas")?,
            8 if version >= 1 => {
                change.directories =
                    value.nullable_list("directories", 16, |reader| reader.id("directory"))?;
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(KraftRecord::PartitionChange { topic, index, change })
}

fn eligible_cleared(reader: &mut Reader<'_>, _: u32) -> Result<KraftRecord, KraftFault> {
    let topic = reader.text("topic name")?.to_owned();
    reader.pass_tags()?;
    Ok(KraftRecord::EligibleCleared { topic })
}

fn config(reader: &mut Reader<'_>, _: u32) -> Result<KraftRecord, KraftFault> {
    let resource_type = reader.i8("resource type")?;
    let resource = reader.text("resource name")?.to_owned();
    let key = reader.text("name")?.to_owned();
    let value = reader.nullable_text("value")?.map(str::to_owned);
    reader.pass_tags()?;
    Ok(KraftRecord::Config { resource_type, resource, key, value })
}

fn remove_topic(reader: &mut Reader<'_>, _: u32) -> Result<KraftRecord, KraftFault> {
    let id = reader.id("topic id")?;
    reader.pass_tags()?;
    Ok(KraftRecord::RemoveTopic { id })
}

fn producer_ids(reader: &mut Reader<'_>, _: u32) -> Result<KraftRecord, KraftFault> {
    reader.i32("broker")?;
    reader.i64("broker epoch")?;
    let next = reader.i64("next producer id")?;
    reader.pass_tags()?;
    Ok(KraftRecord::ProducerIds { next })
}

fn begin_transaction(reader: &mut Reader<'_>, _: u32) -> Result<KraftRecord, KraftFault> {
    reader.pass_tags()?;
    Ok(KraftRecord::BeginTransaction)
}

fn end_transaction(reader: &mut Reader<'_>, _: u32) -> Result<KraftRecord, KraftFault> {
    reader.pass_tags()?;
    Ok(KraftRecord::EndTransaction)
}

fn abort_transaction(reader: &mut Reader<'_>, _: u32) -> Result<KraftRecord, KraftFault> {
    reader.pass_tags()?;
    Ok(KraftRecord::AbortTransaction)
}

fn acl(reader: &mut Reader<'_>, _: u32) -> Result<KraftRecord, KraftFault> {
    let identity = reader.id("id")?.0.to_vec();
    reader.i8("resource type")?;
    reader.nullable_text("resource name")?;
    reader.i8("pattern type")?;
    for field in ["principal", "host"] {
        reader.nullable_text(field)?;
    }
    reader.i8("operation")?;
    reader.i8("permission type")?;
    reader.pass_tags()?;
    Ok(KraftRecord::Beside { kind: Beside::Acl, identity, is_there: true })
}

fn remove_acl(reader: &mut Reader<'_>, _: u32) -> Result<KraftRecord, KraftFault> {
    let identity = reader.id("id")?.0.to_vec();
    reader.pass_tags()?;
    Ok(KraftRecord::Beside { kind: Beside::Acl, identity, is_there: false })
}

/// A user and the number of the mechanism.
fn scram_identity(reader: &mut Reader<'_>) -> Result<Vec<u8>, KraftFault> {
    let mut identity = reader.text("name")?.as_bytes().to_vec();
    identity.push(reader.i8("mechanism")?.to_be_bytes()[0]);
    Ok(identity)
}

fn scram_credential(reader: &mut Reader<'_>, _: u32) -> Result<KraftRecord, KraftFault> {
    let identity = scram_identity(reader)?;
    for field in ["salt", "stored key", "server key"] {
        reader.list(field, 1, |reader| reader.i8(field))?;
    }
    reader.i32("iterations")?;
    reader.pass_tags()?;
    Ok(KraftRecord::Beside { kind: Beside::ScramCredential, identity, is_there: true })
}

fn remove_scram_credential(reader: &mut Reader<'_>, _: u32) -> Result<KraftRecord, KraftFault> {
    let identity = scram_identity(reader)?;
    reader.pass_tags()?;
    Ok(KraftRecord::Beside { kind: Beside::ScramCredential, identity, is_there: false })
}

fn quota(reader: &mut Reader<'_>, _: u32) -> Result<KraftRecord, KraftFault> {
    let mut identity = Vec::new();
    let mut note = |text: Option<&str>| {
        identity.extend_from_slice(text.unwrap_or_default().as_bytes());
        identity.push(u8::from(text.is_some()));
    };
    reader.list("entity", 3, |reader| {
        note(Some(reader.text("entity type")?));
        note(reader.nullable_text("entity name")?);
        reader.pass_tags()
    })?;
    note(Some(reader.text("key")?));
    reader.i64("value")?;
    let is_there = reader.i8("remove")? == 0;
    reader.pass_tags()?;
    Ok(KraftRecord::Beside { kind: Beside::Quota, identity, is_there })
}

fn delegation_token(reader: &mut Reader<'_>, _: u32) -> Result<KraftRecord, KraftFault> {
    reader.text("owner")?;
    reader.text("requester")?;
    reader.list("renewers", 1, |reader| reader.text("renewer").map(drop))?;
    for field in ["issue timestamp", "max timestamp", "expiration timestamp"] {
        reader.i64(field)?;
    }
    let identity = reader.text("token id")?.as_bytes().to_vec();
    reader.pass_tags()?;
    Ok(KraftRecord::Beside { kind: Beside::DelegationToken, identity, is_there: true })
}

fn remove_delegation_token(reader: &mut Reader<'_>, _: u32) -> Result<KraftRecord, KraftFault> {
    let identity = reader.text("token id")?.as_bytes().to_vec();
    reader.pass_tags()?;
    Ok(KraftRecord::Beside { kind: Beside::DelegationToken, identity, is_there: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 16] = [7; 16];

    fn frame(api_key: u8, version: u8, body: &[&[u8]]) -> Vec<u8> {
        [&[1, api_key, version][..], &body.concat()].concat()
    }

    #[test]
    fn a_topic_is_read_and_so_are_fields_that_a_later_kafka_tags_it_with() {
        let expected = Ok(KraftRecord::Topic { name: "orders".to_owned(), id: TopicId(ID) });
        assert_eq!(KraftRecord::parse(&frame(2, 0, &[b"\x07orders", &ID, &[0]])), expected);
        assert_eq!(KraftRecord::parse(&frame(2, 0, &[b"\x07orders", &ID, &[1, 9, 2, 5, 5]])), expected);
    }

    #[test]
    fn a_change_of_leader_raises_the_epoch_and_a_change_of_nothing_else_does_not() {
        let change = |tags: &[u8]| {
            let bytes = frame(5, 2, &[&[0, 0, 0, 3], &ID, tags]);
            match KraftRecord::parse(&bytes).unwrap() {
                KraftRecord::PartitionChange { index: 3, change, .. } => change,
                other => panic!("{other:?}"),
            }
        };
        let mut state = PartitionState {
            replicas: vec![1],
            in_sync: vec![1],
            leader: 1,
            leader_epoch: 4,
            ..PartitionState::default()
        };
        state.apply(&change(&[2, 0, 1, 1, 6, 5, 2, 0, 0, 0, 1]));
        assert_eq!((&state.in_sync[..], &state.eligible[..], state.leader_epoch), (&[][..], &[1][..], 4));
        state.apply(&change(&[1, 1, 4, 0xff, 0xff, 0xff, 0xff]));
        assert_eq!((state.leader, state.leader_epoch), (-1, 5));
        state.apply(&change(&[1, 1, 4, 0xff, 0xff, 0xff, 0xfe]));
        assert_eq!((state.leader, state.leader_epoch), (-1, 5), "-2 is no leader but no change");
    }

    #[test]
    fn records_nobody_needs_are_passed_over_and_needed_ones_of_a_later_version_are_refused() {
        assert_eq!(KraftRecord::parse(&frame(27, 9, &[&[1, 2, 3]])), Ok(KraftRecord::Passed { api_key: 27 }));
        let refused = KraftRecord::parse(&frame(3, 3, &[&[0; 40]])).unwrap_err();
        assert_eq!(refused, KraftFault::Version { name: "PartitionRecord", found: 3, known: 2 });
        assert_eq!(KraftRecord::parse(&[0, 2, 0]), Err(KraftFault::Frame { version: 0 }));
    }

    #[test]
    fn a_record_cut_anywhere_or_longer_than_it_says_is_refused() {
        let whole = frame(3, 2, &[&[0; 4], &ID, &[2, 0, 0, 0, 1], &[1, 1, 1], &[0; 12], &[1, 0]]);
        assert!(matches!(KraftRecord::parse(&whole), Ok(KraftRecord::Partition { index: 0, .. })));
        for length in 0..whole.len() {
            assert!(KraftRecord::parse(&whole[..length]).is_err(), "{length} bytes");
        }
        let longer = [&whole[..], &[0]].concat();
        assert!(matches!(KraftRecord::parse(&longer), Err(KraftFault::Malformed { field: "record", .. })));
    }

    #[test]
    fn a_list_longer_than_its_bytes_is_refused_before_anything_is_reserved() {
        let bytes = frame(3, 0, &[&[0; 4], &ID, &[0xff, 0xff, 0xff, 0xff, 0x0f]]);
        assert_eq!(KraftRecord::parse(&bytes), Err(KraftFault::EndsEarly { field: "replicas" }));
    }
}
