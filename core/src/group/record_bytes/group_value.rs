//! `GroupMetadataValue`: a generation of a classic group and its members.
//!
//! ```text
//!   protocol type text | generation i32 | protocol text? | leader text? | in this state since i64 (2+) | members | tags (4)
//!   member: id text | instance text? (3+) | client id text | client host text | rebalance timeout i32 (1+)
//!           | session timeout i32 | subscription bytes | assignment bytes | tags (4)
//! ```
//!
//! Always true: version 3 is written, as Kafka 4.3 does. Timeouts are milliseconds; one that 32 bits do not hold
//! becomes the longest that they do, one below zero becomes zero.

use std::sync::Arc;
use std::time::Duration;

use super::RecordFault;
use super::reader::Reader;
use super::writer::Writer;
use crate::group::message::GroupGeneration;
use crate::group::record::{GroupMemberMetadata, GroupMetadata};
use crate::time::Timestamp;

/// The shortest member: version 4, every text and both byte fields empty, no tags.
const MEMBER_BYTES_MIN: usize = 15;

/// Writes a value.
pub(super) fn write(group: &GroupMetadata) -> Vec<u8> {
    let mut value = Writer::versioned(3);
    value.text(&group.protocol_type);
    value.i32(group.generation.0);
    value.nullable_text(group.protocol.as_deref());
    value.nullable_text(group.leader.as_deref());
    value.i64(group.state_since.0);
    value.i32(group.members.len() as i32);
    for member in &group.members {
        write_member(member, &mut value);
    }
    value.into_bytes()
}

fn write_member(member: &GroupMemberMetadata, value: &mut Writer) {
    value.text(&member.member);
    value.nullable_text(member.instance.as_deref());
    value.text(&member.client_id);
    value.text(&member.client_host);
    value.i32(milliseconds(member.rebalance_timeout));
    value.i32(milliseconds(member.session_timeout));
    value.bytes(&member.subscription);
    value.bytes(&member.assignment);
}

/// Reads a value of any version up to `version_max`.
pub(super) fn read(value: &[u8], version_max: i16) -> Result<GroupMetadata, RecordFault> {
    let (version, mut reader) = Reader::of_value(value, version_max)?;
    let group = GroupMetadata {
        protocol_type: Arc::from(reader.text("protocol type")?),
        generation: GroupGeneration(reader.i32("generation")?),
        protocol: reader.nullable_text("protocol")?.map(Arc::from),
        leader: reader.nullable_text("leader")?.map(Arc::from),
        state_since: match version {
            0..2 => Timestamp::NONE,
            _ => Timestamp(reader.i64("time of the state")?),
        },
        members: read_members(version, &mut reader)?,
    };
    reader.skip_tags()?;
    reader.finish()?;
    Ok(group)
}

fn read_members(version: i16, reader: &mut Reader<'_>) -> Result<Vec<GroupMemberMetadata>, RecordFault> {
    let count = reader.count(MEMBER_BYTES_MIN, "members")?;
    (0..count).map(|_| read_member(version, reader)).collect()
}

fn read_member(version: i16, reader: &mut Reader<'_>) -> Result<GroupMemberMetadata, RecordFault> {
    let member = Arc::from(reader.text("member id")?);
    let instance = match version {
        0..3 => None,
        _ => reader.nullable_text("instance id")?.map(Arc::from),
    };
    let client_id = Arc::from(reader.text("client id")?);
    let client_host = Arc::from(reader.text("client host")?);
    let rebalance_timeout = match version {
        0 => NO_TIMEOUT,
        _ => reader.i32("rebalance timeout")?,
    };
    let session_timeout = reader.i32("session timeout")?;
    let subscription = Arc::from(reader.bytes("subscription")?);
    let assignment = Arc::from(reader.bytes("assignment")?);
    reader.skip_tags()?;
    Ok(GroupMemberMetadata {
        member,
        instance,
        client_id,
        client_host,
        rebalance_timeout: duration(if rebalance_timeout == NO_TIMEOUT {
            session_timeout
        } else {
            rebalance_timeout
        }),
        session_timeout: duration(session_timeout),
        subscription,
        assignment,
    })
}

/// "The member did not say": the session timeout stands for it.
const NO_TIMEOUT: i32 = -1;

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn duration(milliseconds: i32) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}
