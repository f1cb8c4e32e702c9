//! A batch that has been validated, and the same batch once it has its place in a log.
//!
//! ```text
//!   client's frame:   | header | body |        never written to
//!                          |       \
//!   AssignedBatch:    [ a patched copy, 61 bytes ][ the same body, borrowed ]    -> journal, segment
//! ```
//!
//! Always true: the checksum in the header is that of the bytes; an assigned batch has a base offset from zero
//! up whose last offset is representable. Only these two parts, one behind the other, go to a log.

use std::borrow::Cow;

use super::header::{BatchHeader, HEADER_BYTES, TimestampType};
use crate::ids::{LeaderEpoch, Offset};
use crate::time::Timestamp;

/// A batch that may be appended.
#[derive(Clone, Debug)]
pub struct ValidBatch<'a> {
    header: BatchHeader,
    body: Cow<'a, [u8]>,
}

impl<'a> ValidBatch<'a> {
    pub(super) fn new(header: BatchHeader, body: Cow<'a, [u8]>) -> ValidBatch<'a> {
        assert_eq!(header.size_bytes(), HEADER_BYTES + body.len(), "a header announces its body's size");
        ValidBatch { header, body }
    }

    /// The header as it will be stored, apart from base offset and leader epoch.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// What follows the header.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The size of the whole batch as it will be stored.
    pub fn size_bytes(&self) -> usize {
        self.header.size_bytes()
    }

    /// The broker's timestamp, where the topic has the broker stamp (`LogAppendTimeMs` of a Produce response).
    pub fn log_append_time(&self) -> Option<Timestamp> {
        match self.header.attributes().timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(self.header.max_timestamp()),
        }
    }

    /// Whether the body is not the one that came in: recompressed, or its offset deltas put right.
    pub fn was_rebuilt(&self) -> bool {
        matches!(self.body, Cow::Owned(_))
    }

    /// Gives the batch its place: the leader's door.
    ///
    /// # Panics
    /// If the offsets would not be representable: a log's end never comes near `i64::MAX`.
    pub fn assign(mut self, base_offset: Offset, leader_epoch: LeaderEpoch) -> AssignedBatch<'a> {
        assert!(base_offset.0 >= 0, "a log's offsets start at 0, not at {base_offset}");
        assert!(leader_epoch.0 >= 0, "a leader knows its epoch, {leader_epoch} is none");
        let span = i64::from(self.header.last_offset_delta()) + 1;
        assert!(base_offset.checked_add(span).is_some(), "a batch at {base_offset} leaves no next offset");
        self.header.stamp(base_offset, leader_epoch);
        AssignedBatch { header: self.header, body: self.body }
    }

    /// Keeps the place the batch was given elsewhere: the door of followers, mirrors and restore.
    pub fn keep_offsets(self) -> AssignedBatch<'a> {
        AssignedBatch { header: self.header, body: self.body }
    }
}

/// A batch with its place in a log.
#[derive(Clone, Debug)]
pub struct AssignedBatch<'a> {
    header: BatchHeader,
    body: Cow<'a, [u8]>,
}

impl AssignedBatch<'_> {
    /// The header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The header as it goes to the log.
    pub fn header_bytes(&self) -> &[u8; HEADER_BYTES] {
        self.header.as_bytes()
    }

    /// What goes to the log right after it.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The size of both.
    pub fn size_bytes(&self) -> usize {
        self.header.size_bytes()
    }

    /// Both in one piece, for tests and tools.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.header_bytes().as_slice(), self.body()].concat()
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> AssignedBatch<'static> {
        AssignedBatch { header: self.header, body: Cow::Owned(self.body.into_owned()) }
    }
}
