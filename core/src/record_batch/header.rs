//! The 61 bytes before the records of a batch.
//!
//! ```text
//!   0            8            12           16    17    21          23                27
//!   | base offset | length     | leader     |magic| crc | attributes | last offset delta |
//!   |             | (from 12)  | epoch      |  2  |     |            |                   |
//!   27               35              43            51       53         57              61
//!   | base timestamp  | max timestamp | producer id | producer | base     | record count  | records ...
//!   |                 |               |             | epoch    | sequence |               |
//! ```
//!
//! Always true: the checksum covers byte 21 and everything after it. Base offset and leader epoch lie before
//! it, which is why a leader stamps both without recomputing anything.

use zerocopy::byteorder::big_endian::{I16, I32, I64, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::fault::BatchFault;
use crate::checksum;
use crate::compression::Codec;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, SequenceNumber};
use crate::time::Timestamp;

/// The size of a batch without its records.
pub const HEADER_BYTES: usize = 61;
/// The only version of the batch format that is read or written.
pub const MAGIC: i8 = 2;

/// What comes before the bytes that the length field counts: base offset and the length itself.
const LENGTH_FIELD_END: usize = 12;
/// Where the bytes under the checksum begin.
pub(super) const CHECKSUM_START: usize = 21;

/// Whose clock stamped the records.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum TimestampType {
    /// The producer's, one timestamp per record.
    #[default]
    CreateTime,
    /// The broker's, one for the whole batch: its max timestamp.
    LogAppendTime,
}

/// The flags of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    const COMPRESSION: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;

    /// The codec of the records; `None` where the bits name none that exists (validation refuses those).
    pub fn compression(self) -> Option<Codec> {
        Codec::from_id(self.compression_id())
    }

    /// The three bits that name the codec, as they are.
    pub fn compression_id(self) -> u8 {
        (self.0 & Attributes::COMPRESSION) as u8
    }

    /// Whose clock stamped the records.
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Attributes::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch belongs to a transaction (KIP-98).
    pub fn is_transactional(self) -> bool {
        self.0 & Attributes::TRANSACTIONAL != 0
    }

    /// Whether the batch holds a marker of the broker's rather than data.
    pub fn is_control(self) -> bool {
        self.0 & Attributes::CONTROL != 0
    }

    /// Whether base timestamp is the time at which tombstones and markers may be removed (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Attributes::DELETE_HORIZON != 0
    }

    pub(super) fn with_compression(self, codec: Codec) -> Attributes {
        Attributes((self.0 & !Attributes::COMPRESSION) | i16::from(codec.id()))
    }

    pub(super) fn with_timestamp_type(self, timestamp_type: TimestampType) -> Attributes {
        self.with(Attributes::LOG_APPEND_TIME, timestamp_type == TimestampType::LogAppendTime)
    }

    pub(super) fn with_transactional(self, on: bool) -> Attributes {
        self.with(Attributes::TRANSACTIONAL, on)
    }

    pub(super) fn with_control(self, on: bool) -> Attributes {
        self.with(Attributes::CONTROL, on)
    }

    fn with(self, bit: i16, on: bool) -> Attributes {
        Attributes(if on { self.0 | bit } else { self.0 & !bit })
    }
}

/// A batch's header: the very bytes, with names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BatchHeader {
    base_offset: I64,
    batch_length: I32,
    leader_epoch: I32,
    magic: i8,
    crc: U32,
    attributes: I16,
    last_offset_delta: I32,
    base_timestamp: I64,
    max_timestamp: I64,
    producer_id: I64,
    producer_epoch: I16,
    base_sequence: I32,
    record_count: I32,
}

const _: () = assert!(size_of::<BatchHeader>() == HEADER_BYTES);

impl BatchHeader {
    /// Reads the header at the start of `bytes`: magic 2, a length that holds at least a header, offsets from
    /// zero up that do not overflow, a count that is not negative. The checksum is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchFault> {
        let header = BatchHeader::parse_shape(bytes)?;
        header.check_offsets()?;
        Ok(header)
    }

    /// As much of [`BatchHeader::parse`] as must be known before the checksum can be verified.
    pub(super) fn parse_shape(bytes: &[u8]) -> Result<BatchHeader, BatchFault> {
        let (header, _) = BatchHeader::read_from_prefix(bytes)
            .map_err(|_| BatchFault::Truncated { needed_bytes: HEADER_BYTES, found_bytes: bytes.len() })?;
        if header.magic != MAGIC {
            return Err(BatchFault::Magic { magic: header.magic });
        }
        if header.batch_length.get() < (HEADER_BYTES - LENGTH_FIELD_END) as i32 {
            return Err(BatchFault::Length { batch_length: header.batch_length.get() });
        }
        Ok(header)
    }

    /// The rest of [`BatchHeader::parse`].
    pub(super) fn check_offsets(&self) -> Result<(), BatchFault> {
        let (base_offset, delta) = (self.base_offset.get(), self.last_offset_delta.get());
        let fits = base_offset >= 0 && delta >= 0 && base_offset.checked_add(i64::from(delta) + 1).is_some();
        if !fits || self.record_count.get() < 0 {
            let record_count = self.record_count.get();
            return Err(BatchFault::OffsetRange { base_offset, last_offset_delta: delta, record_count });
        }
        Ok(())
    }

    /// The offset of the first record.
    pub fn base_offset(&self) -> Offset {
        Offset(self.base_offset.get())
    }

    /// The offset of the last record the batch was made with, even if compaction has removed it since.
    pub fn last_offset(&self) -> Offset {
        Offset(self.base_offset.get().saturating_add(i64::from(self.last_offset_delta.get())))
    }

    /// Where the next batch may begin.
    pub fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.saturating_add(1))
    }

    /// `last_offset - base_offset`.
    pub fn last_offset_delta(&self) -> i32 {
        self.last_offset_delta.get()
    }

    /// In which leader epoch the batch was appended; before that, what the producer wrote (-1).
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.leader_epoch.get())
    }

    /// The flags.
    pub fn attributes(&self) -> Attributes {
        Attributes(self.attributes.get())
    }

    /// What the records' timestamp deltas are added to; a delete horizon if the attributes say so.
    pub fn base_timestamp(&self) -> Timestamp {
        Timestamp(self.base_timestamp.get())
    }

    /// The largest timestamp of any record; for log-append time, the timestamp of every record.
    pub fn max_timestamp(&self) -> Timestamp {
        Timestamp(self.max_timestamp.get())
    }

    /// Who produced the batch; negative without idempotence.
    pub fn producer_id(&self) -> ProducerId {
        ProducerId(self.producer_id.get())
    }

    /// Whether an idempotent or transactional producer made it.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id.get() >= 0
    }

    /// The incarnation of the producer.
    pub fn producer_epoch(&self) -> ProducerEpoch {
        ProducerEpoch(self.producer_epoch.get())
    }

    /// The sequence number of the first record; -1 without idempotence.
    pub fn base_sequence(&self) -> SequenceNumber {
        SequenceNumber(self.base_sequence.get())
    }

    /// The sequence number of the last record, wrapped where the batch spans the wrap; -1 without idempotence.
    pub fn last_sequence(&self) -> SequenceNumber {
        if self.base_sequence.get() < 0 {
            return SequenceNumber(-1);
        }
        self.base_sequence().wrapping_advance(self.last_offset_delta.get())
    }

    /// How many records the batch holds: fewer than its offsets span once compaction was there.
    pub fn record_count(&self) -> i32 {
        self.record_count.get()
    }

    /// The size of the whole batch, header included.
    pub fn size_bytes(&self) -> usize {
        LENGTH_FIELD_END + usize::try_from(self.batch_length.get()).expect("parsing refuses short lengths")
    }

    /// The checksum as written in the header.
    pub fn crc(&self) -> u32 {
        self.crc.get()
    }

    /// The header as bytes.
    pub fn as_bytes(&self) -> &[u8; HEADER_BYTES] {
        zerocopy::transmute_ref!(self)
    }

    /// The checksum a batch with this header and `body` should carry.
    pub(super) fn computed_crc(&self, body: &[u8]) -> u32 {
        checksum::crc32c_append(checksum::crc32c(&self.as_bytes()[CHECKSUM_START..]), body)
    }

    /// Stamps what lies outside the checksum.
    pub(super) fn stamp(&mut self, base_offset: Offset, leader_epoch: LeaderEpoch) {
        self.base_offset.set(base_offset.0);
        self.leader_epoch.set(leader_epoch.0);
    }

    /// Sets timestamp type and max timestamp of a batch whose checksum is right, and keeps it right without
    /// reading the body again.
    pub(super) fn set_max_timestamp(&mut self, timestamp_type: TimestampType, max_timestamp: Timestamp) {
        let before = *self;
        let attributes = self.attributes().with_timestamp_type(timestamp_type);
        self.attributes.set(attributes.0);
        self.max_timestamp.set(max_timestamp.0);
        if *self != before {
            let body_bytes = self.size_bytes() - HEADER_BYTES;
            let (old, new) = (&before.as_bytes()[CHECKSUM_START..], &self.as_bytes()[CHECKSUM_START..]);
            let crc = checksum::crc32c_replace_prefix(before.crc(), old, new, body_bytes);
            self.crc.set(crc);
        }
    }
}

/// What a header is made of when a batch is written rather than read.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderParts {
    pub base_offset: Offset,
    pub leader_epoch: LeaderEpoch,
    pub attributes: Attributes,
    pub last_offset_delta: i32,
    pub base_timestamp: Timestamp,
    pub max_timestamp: Timestamp,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub base_sequence: SequenceNumber,
    pub record_count: i32,
}

impl HeaderParts {
    /// The header of a batch with these parts and this body, checksum included.
    pub fn over(&self, body: &[u8]) -> BatchHeader {
        let length =
            i32::try_from(HEADER_BYTES - LENGTH_FIELD_END + body.len()).expect("a batch is below 2 GiB");
        let mut header = BatchHeader {
            base_offset: I64::new(self.base_offset.0),
            batch_length: I32::new(length),
            leader_epoch: I32::new(self.leader_epoch.0),
            magic: MAGIC,
            crc: U32::new(0),
            attributes: I16::new(self.attributes.0),
            last_offset_delta: I32::new(self.last_offset_delta),
            base_timestamp: I64::new(self.base_timestamp.0),
            max_timestamp: I64::new(self.max_timestamp.0),
            producer_id: I64::new(self.producer_id.0),
            producer_epoch: I16::new(self.producer_epoch.0),
            base_sequence: I32::new(self.base_sequence.0),
            record_count: I32::new(self.record_count),
        };
        let crc = header.computed_crc(body);
        header.crc.set(crc);
        header
    }
}
