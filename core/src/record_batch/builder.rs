//! Makes batches, as a producer would: for tests, for tools, for the broker's own topics.
//!
//! ```text
//!   BatchBuilder::new().at(1000).record(b"key", b"value").record(b"key", b"again").build()  -> bytes
//! ```
//!
//! Always true: what it builds passes `validate_stored`, and `validate` too unless asked for something a client
//! may not send.

use super::header::{Attributes, BatchHeader, HeaderParts, TimestampType};
use super::records::{RecordRef, put_nullable_bytes, written_headers};
use crate::compression::{Codec, compress};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, SequenceNumber};
use crate::time::Timestamp;

/// A batch being made.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    parts: HeaderParts,
    codec: Codec,
    level: i32,
    records: Vec<u8>,
}

impl Default for BatchBuilder {
    fn default() -> BatchBuilder {
        BatchBuilder::new()
    }
}

impl BatchBuilder {
    /// An uncompressed batch at offset 0, as a producer without idempotence makes it.
    pub fn new() -> BatchBuilder {
        let parts = HeaderParts {
            base_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch::UNKNOWN,
            attributes: Attributes::default(),
            last_offset_delta: -1,
            base_timestamp: Timestamp::NONE,
            max_timestamp: Timestamp::NONE,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: SequenceNumber(-1),
            record_count: 0,
        };
        BatchBuilder { parts, codec: Codec::None, level: 0, records: Vec::new() }
    }

    /// An empty batch with the producer's identity and flags of another.
    pub(super) fn like(header: &BatchHeader) -> BatchBuilder {
        let transactional = header.attributes().is_transactional();
        let mut builder = BatchBuilder::new().producer(
            header.producer_id(),
            header.producer_epoch(),
            header.base_sequence(),
        );
        builder.parts.attributes = builder.parts.attributes.with_transactional(transactional);
        builder
    }

    /// Begins at this offset.
    pub fn at(mut self, base_offset: Offset) -> BatchBuilder {
        self.parts.base_offset = base_offset;
        self
    }

    /// Was appended in this leader epoch.
    pub fn leader_epoch(mut self, leader_epoch: LeaderEpoch) -> BatchBuilder {
        self.parts.leader_epoch = leader_epoch;
        self
    }

    /// Comes from an idempotent producer.
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base: SequenceNumber) -> BatchBuilder {
        (self.parts.producer_id, self.parts.producer_epoch, self.parts.base_sequence) = (id, epoch, base);
        self
    }

    /// Belongs to a transaction.
    pub fn transactional(mut self) -> BatchBuilder {
        self.parts.attributes = self.parts.attributes.with_transactional(true);
        self
    }

    /// Is compressed, at the codec's default level.
    pub fn compressed(self, codec: Codec) -> BatchBuilder {
        self.compressed_at(codec, codec.default_level())
    }

    /// Is compressed at this level.
    pub fn compressed_at(mut self, codec: Codec, level: i32) -> BatchBuilder {
        (self.codec, self.level) = (codec, level);
        self
    }

    /// Holds a marker: the caller writes the record that says which.
    pub fn control(mut self) -> BatchBuilder {
        self.parts.attributes = self.parts.attributes.with_control(true);
        self
    }

    /// Is stamped by the broker: every record's timestamp is this one.
    pub fn log_append_time(mut self, now: Timestamp) -> BatchBuilder {
        self.parts.attributes = self.parts.attributes.with_timestamp_type(TimestampType::LogAppendTime);
        self.parts.max_timestamp = now;
        self
    }

    /// Adds a record without timestamp or headers.
    pub fn record<'a>(
        self,
        key: impl Into<Option<&'a [u8]>>,
        value: impl Into<Option<&'a [u8]>>,
    ) -> BatchBuilder {
        self.record_with(Timestamp::NONE, key.into(), value.into(), &[])
    }

    /// Adds a record.
    pub fn record_with(
        mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) -> BatchBuilder {
        let mut header_bytes = Vec::new();
        for (name, header_value) in headers {
            put_nullable_bytes(&mut header_bytes, Some(name));
            put_nullable_bytes(&mut header_bytes, *header_value);
        }
        let headers = written_headers(headers.len(), &header_bytes);
        self.push(timestamp, RecordRef { offset_delta: 0, timestamp_delta: 0, key, value, headers });
        self
    }

    /// Leaves out the next `count` offsets, as compaction does.
    pub fn gap(mut self, count: i32) -> BatchBuilder {
        self.parts.last_offset_delta += count;
        self
    }

    /// Adds a record at the next offset delta; its own deltas are not used.
    pub(super) fn push(&mut self, timestamp: Timestamp, record: RecordRef<'_>) {
        let parts = &mut self.parts;
        parts.last_offset_delta = parts.last_offset_delta.checked_add(1).expect("a batch spans 31 bits");
        if parts.record_count == 0 {
            parts.base_timestamp = timestamp;
        }
        parts.record_count += 1;
        if parts.attributes.timestamp_type() == TimestampType::CreateTime {
            parts.max_timestamp = parts.max_timestamp.max(timestamp);
        }
        let timestamp_delta = timestamp.0.wrapping_sub(parts.base_timestamp.0);
        RecordRef { offset_delta: parts.last_offset_delta, timestamp_delta, ..record }
            .write(&mut self.records);
    }

    /// The batch.
    pub fn build(self) -> Vec<u8> {
        let (header, body) = self.finish();
        [header.as_bytes().as_slice(), &body].concat()
    }

    /// The batch in its two parts.
    pub(super) fn finish(self) -> (BatchHeader, Vec<u8>) {
        let body = match self.codec {
            Codec::None => self.records,
            codec => compress(codec, self.level, &self.records),
        };
        let parts = HeaderParts {
            attributes: self.parts.attributes.with_compression(self.codec),
            last_offset_delta: self.parts.last_offset_delta.max(0),
            ..self.parts
        };
        (parts.over(&body), body)
    }
}
