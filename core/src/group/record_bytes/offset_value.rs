//! `OffsetCommitValue`: a committed offset.
//!
//! ```text
//!   offset i64 | leader epoch i32 (3+) | metadata text | commit time i64 | expire time i64 (1) | tag 0: topic id (4)
//! ```
//!
//! Always true: version 4 is written, as Kafka 4.3 does, and version 1 where the client said how long to keep the
//! offset, because only that version holds it; leader epoch and topic id are then lost, as they are in Kafka.

use std::sync::Arc;

use super::RecordFault;
use super::reader::Reader;
use super::writer::Writer;
use crate::group::record::CommittedOffset;
use crate::ids::{LeaderEpoch, Offset, TopicId};
use crate::time::Timestamp;

/// Writes a value.
pub(super) fn write(offset: &CommittedOffset) -> Vec<u8> {
    match offset.expires_at.filter(|expires_at| *expires_at != Timestamp::NONE) {
        Some(expires_at) => write_expiring(offset, expires_at),
        None => write_lasting(offset),
    }
}

fn write_lasting(offset: &CommittedOffset) -> Vec<u8> {
    let mut value = Writer::versioned(4);
    value.i64(offset.offset.0);
    value.i32(offset.leader_epoch.0);
    value.short_text(&offset.metadata);
    value.i64(offset.committed_at.0);
    match offset.topic_id {
        Some(topic_id) => value.only_tag(TOPIC_ID_TAG, &topic_id.0),
        None => value.no_tags(),
    }
    value.into_bytes()
}

fn write_expiring(offset: &CommittedOffset, expires_at: Timestamp) -> Vec<u8> {
    let mut value = Writer::versioned(1);
    value.i64(offset.offset.0);
    value.text(&offset.metadata);
    value.i64(offset.committed_at.0);
    value.i64(expires_at.0);
    value.into_bytes()
}

/// Reads a value of any version up to `version_max`.
pub(super) fn read(value: &[u8], version_max: i16) -> Result<CommittedOffset, RecordFault> {
    let (version, mut reader) = Reader::of_value(value, version_max)?;
    let mut offset = CommittedOffset {
        offset: Offset(reader.i64("offset")?),
        leader_epoch: match version {
            0..3 => LeaderEpoch::UNKNOWN,
            _ => LeaderEpoch(reader.i32("leader epoch")?),
        },
        metadata: Arc::from(reader.text("metadata")?),
        committed_at: Timestamp(reader.i64("commit time")?),
        expires_at: match version {
            1 => Some(Timestamp(reader.i64("expire time")?)).filter(|time| *time != Timestamp::NONE),
            _ => None,
        },
        topic_id: None,
    };
    reader.tags(|tag, bytes| {
        if tag == TOPIC_ID_TAG {
            let id = bytes.try_into().map_err(|_| RecordFault::TagSize { tag, bytes: bytes.len() })?;
            offset.topic_id = Some(TopicId(id)).filter(|id| *id != TopicId::ZERO);
        }
        Ok(())
    })?;
    reader.finish()?;
    Ok(offset)
}

const TOPIC_ID_TAG: u32 = 0;
