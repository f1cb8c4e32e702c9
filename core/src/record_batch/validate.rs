//! The two doors a batch comes in by.
//!
//! ```text
//!   client    -> validate         one batch at offset 0, checksum, header, every record    -> assign
//!   follower  -> validate_stored  checksum and shape: its leader judged the rest already   -> keep_offsets
//! ```
//!
//! The order of the checks is Kafka's, so that a batch which is wrong in two ways gets the same answer.
//! Always true: the bytes that came in are not changed; a batch that passes has a right checksum, offset deltas
//! 0, 1, 2 ... and the max timestamp of its records (or, with [`ValidationDepth::Header`], claims to).

use std::borrow::Cow;

use super::assign::ValidBatch;
use super::builder::BatchBuilder;
use super::fault::{BatchFault, Counted, RecordErrors, RecordFault};
use super::header::{BatchHeader, TimestampType};
use super::raw::RawBatch;
use super::records::{RecordIter, RecordRef};
use super::rules::{BatchRules, ValidationDepth};
use super::varint::Cursor;
use crate::compression::{Codec, Decompressor};
use crate::time::Timestamp;

/// Judges a batch that a client sent at wall-clock time `now`. Where many are judged, a [`BatchValidator`] saves
/// setting up a decompressor for each.
pub fn validate<'a>(
    bytes: &'a [u8],
    rules: &BatchRules,
    now: Timestamp,
) -> Result<ValidBatch<'a>, BatchFault> {
    BatchValidator::new().validate(bytes, rules, now)
}

/// The client's door with what it needs at hand: one per shard.
#[derive(Debug, Default)]
pub struct BatchValidator {
    decompressor: Decompressor,
}

impl BatchValidator {
    /// Holds nothing until the first compressed batch.
    pub fn new() -> BatchValidator {
        BatchValidator::default()
    }

    /// See [`validate`].
    pub fn validate<'a>(
        &mut self,
        bytes: &'a [u8],
        rules: &BatchRules,
        now: Timestamp,
    ) -> Result<ValidBatch<'a>, BatchFault> {
        let batch = only_batch(bytes)?;
        check_envelope(&batch, rules)?;
        let codec = check_header(batch.header(), rules)?;
        let valid = if may_skip_records(codec, rules) {
            check_header_timestamps(batch.header(), rules, now)?;
            in_place(&batch, batch.header().max_timestamp(), rules, now)
        } else {
            let judged = self.look_into(&batch, codec, rules, now);
            self.decompressor.trim();
            judged?
        };
        check_segment(valid.size_bytes(), rules)?;
        Ok(valid)
    }

    fn look_into<'a>(
        &mut self,
        batch: &RawBatch<'a>,
        codec: Codec,
        rules: &BatchRules,
        now: Timestamp,
    ) -> Result<ValidBatch<'a>, BatchFault> {
        let target = rules.compression.codec_for(codec);
        if (codec, target) == (Codec::None, Codec::None) {
            let walked = walk(batch.body(), batch.header(), OffsetDeltas::MustBeRight, rules, now)?;
            return Ok(in_place(batch, walked.max_timestamp, rules, now));
        }
        let opened = match codec {
            Codec::None => batch.body(),
            codec => self.decompressor.decompress(codec, batch.body(), &rules.decompression)?,
        };
        let walked = walk(opened, batch.header(), OffsetDeltas::CanBePutRight, rules, now)?;
        if codec == target && walked.deltas_are_right {
            return Ok(in_place(batch, walked.max_timestamp, rules, now));
        }
        rebuild(batch.header(), opened, target, rules, now)
    }
}

/// Judges a batch that already has its offsets: one that a leader, a mirror's source or a backup validated.
pub fn validate_stored(bytes: &[u8]) -> Result<ValidBatch<'_>, BatchFault> {
    let (batch, rest) = RawBatch::split_first(bytes)?;
    if !rest.is_empty() {
        return Err(BatchFault::MoreThanOneBatch);
    }
    batch.verify_checksum()?;
    check_count(batch.header(), |count, span| count <= span)?;
    Ok(ValidBatch::new(*batch.header(), Cow::Borrowed(batch.body())))
}

/// The one batch of a partition in a Produce request. As in Kafka, a trailing piece too short to be a batch is
/// not a second one: it is dropped.
fn only_batch(bytes: &[u8]) -> Result<RawBatch<'_>, BatchFault> {
    let (batch, rest) = match RawBatch::split_first_shape(bytes) {
        Err(BatchFault::Truncated { .. }) => return Err(BatchFault::NoBatch),
        other => other?,
    };
    match RawBatch::split_first_shape(rest) {
        Err(BatchFault::Truncated { .. }) => Ok(batch),
        Err(fault) => Err(fault),
        Ok(_) => Err(BatchFault::MoreThanOneBatch),
    }
}

/// What can be said before the header is believed, and whether it can be believed.
fn check_envelope(batch: &RawBatch<'_>, rules: &BatchRules) -> Result<(), BatchFault> {
    let header = batch.header();
    if header.attributes().compression() == Some(Codec::Zstd) && !rules.zstd_allowed {
        return Err(BatchFault::ZstdNotAllowed);
    }
    if header.base_offset().0 != 0 {
        return Err(BatchFault::BaseOffset { base_offset: header.base_offset().0 });
    }
    check_size(header.size_bytes(), rules)?;
    batch.verify_checksum()
}

fn check_size(size_bytes: usize, rules: &BatchRules) -> Result<(), BatchFault> {
    let size_bytes_max = rules.max_message_bytes;
    if size_bytes > size_bytes_max {
        return Err(BatchFault::TooLarge { size_bytes, size_bytes_max });
    }
    Ok(())
}

fn check_segment(size_bytes: usize, rules: &BatchRules) -> Result<(), BatchFault> {
    let segment_bytes = rules.segment_bytes;
    if size_bytes > segment_bytes {
        return Err(BatchFault::LargerThanSegment { size_bytes, segment_bytes });
    }
    Ok(())
}

/// What a client may say in a header; returns the codec it says.
fn check_header(header: &BatchHeader, rules: &BatchRules) -> Result<Codec, BatchFault> {
    let attributes = header.attributes();
    let Some(codec) = attributes.compression() else {
        return Err(BatchFault::UnknownCompression { id: attributes.compression_id() });
    };
    header.check_offsets()?;
    check_count(header, |count, span| count >= 1 && count == span)?;
    if attributes.is_control() {
        return Err(BatchFault::ControlBatch);
    }
    if header.has_producer_id() && header.base_sequence().0 < 0 {
        return Err(BatchFault::Sequence { base_sequence: header.base_sequence().0 });
    }
    let count_max = rules.decompression.record_count_max;
    if usize::try_from(header.record_count()).is_ok_and(|count| count > count_max) {
        return Err(BatchFault::TooMany { what: Counted::Records, count_max });
    }
    Ok(codec)
}

fn check_count(header: &BatchHeader, fits: impl Fn(i64, i64) -> bool) -> Result<(), BatchFault> {
    let (record_count, last_offset_delta) = (header.record_count(), header.last_offset_delta());
    if !fits(i64::from(record_count), i64::from(last_offset_delta) + 1) {
        let base_offset = header.base_offset().0;
        return Err(BatchFault::OffsetRange { base_offset, last_offset_delta, record_count });
    }
    Ok(())
}

/// Whether the topic is content with the header's word.
fn may_skip_records(codec: Codec, rules: &BatchRules) -> bool {
    rules.depth == ValidationDepth::Header && !rules.compacted && rules.compression.codec_for(codec) == codec
}

/// Without looking at the records: the first and the newest timestamp, as far as the header tells.
fn check_header_timestamps(
    header: &BatchHeader,
    rules: &BatchRules,
    now: Timestamp,
) -> Result<(), BatchFault> {
    let mut errors = RecordErrors::default();
    let first = (0, header.base_timestamp());
    let newest = (header.last_offset_delta(), header.max_timestamp());
    let named = if first == newest { &[first][..] } else { &[first, newest] };
    for &(index, timestamp) in named {
        if let Some(fault) = timestamp_fault(timestamp, header, rules, now) {
            errors.push(index, fault);
        }
    }
    errors.into_result()
}

/// The batch as it came, with the max timestamp its records have.
fn in_place<'a>(
    batch: &RawBatch<'a>,
    max_timestamp: Timestamp,
    rules: &BatchRules,
    now: Timestamp,
) -> ValidBatch<'a> {
    let mut header = *batch.header();
    match rules.timestamp_type {
        TimestampType::CreateTime => header.set_max_timestamp(TimestampType::CreateTime, max_timestamp),
        TimestampType::LogAppendTime => header.set_max_timestamp(TimestampType::LogAppendTime, now),
    }
    ValidBatch::new(header, Cow::Borrowed(batch.body()))
}

/// The same records under another codec, or with offset deltas put right. The producer's identity stays.
fn rebuild(
    header: &BatchHeader,
    opened: &[u8],
    target: Codec,
    rules: &BatchRules,
    now: Timestamp,
) -> Result<ValidBatch<'static>, BatchFault> {
    let mut builder = BatchBuilder::like(header).compressed_at(target, rules.compression.level_for(target));
    if rules.timestamp_type == TimestampType::LogAppendTime {
        builder = builder.log_append_time(now);
    }
    for record in RecordIter::new(opened, header.record_count()) {
        let record = record?;
        builder.push(timestamp_of(&record, header), record);
    }
    let (header, body) = builder.finish();
    check_size(header.size_bytes(), rules)?;
    Ok(ValidBatch::new(header, Cow::Owned(body)))
}

/// Whether a batch with wrong offset deltas is refused or rebuilt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OffsetDeltas {
    MustBeRight,
    CanBePutRight,
}

/// What looking at every record told.
struct Walked {
    max_timestamp: Timestamp,
    deltas_are_right: bool,
}

/// Reads every record and judges it.
fn walk(
    records: &[u8],
    header: &BatchHeader,
    deltas: OffsetDeltas,
    rules: &BatchRules,
    now: Timestamp,
) -> Result<Walked, BatchFault> {
    let mut walked = Walked { max_timestamp: Timestamp::NONE, deltas_are_right: true };
    let mut errors = RecordErrors::default();
    let mut headers_left = rules.decompression.header_count_max;
    let mut cursor = Cursor::new(records);
    for index in 0..header.record_count() {
        let record = RecordRef::read(&mut cursor).map_err(|shape| BatchFault::Record { index, shape })?;
        headers_left = headers_left.checked_sub(record.headers.len()).ok_or(BatchFault::TooMany {
            what: Counted::Headers,
            count_max: rules.decompression.header_count_max,
        })?;
        let timestamp = timestamp_of(&record, header);
        walked.max_timestamp = walked.max_timestamp.max(timestamp);
        let delta_is_right = record.offset_delta == index;
        walked.deltas_are_right &= delta_is_right;
        if rules.compacted && record.key.is_none() {
            errors.push(index, RecordFault::KeyMissing);
        } else if !delta_is_right && deltas == OffsetDeltas::MustBeRight {
            errors.push(index, RecordFault::OffsetDelta { found: record.offset_delta });
        } else if let Some(fault) = timestamp_fault(timestamp, header, rules, now) {
            errors.push(index, fault);
        }
    }
    if !cursor.rest().is_empty() {
        return Err(BatchFault::BytesAfterRecords { bytes: cursor.rest().len() });
    }
    errors.into_result()?;
    Ok(walked)
}

/// Sums that leave 64 bits wrap, as they do in Java, and are then judged like any other timestamp.
fn timestamp_of(record: &RecordRef<'_>, header: &BatchHeader) -> Timestamp {
    Timestamp(header.base_timestamp().0.wrapping_add(record.timestamp_delta))
}

#[inline]
fn timestamp_fault(
    timestamp: Timestamp,
    header: &BatchHeader,
    rules: &BatchRules,
    now: Timestamp,
) -> Option<RecordFault> {
    if header.attributes().timestamp_type() == TimestampType::LogAppendTime {
        return Some(RecordFault::TimestampType);
    }
    if rules.timestamp_type == TimestampType::LogAppendTime || timestamp == Timestamp::NONE {
        return None;
    }
    let age_ms = now.0.saturating_sub(timestamp.0);
    if age_ms > rules.timestamp_before_max_ms || age_ms.saturating_neg() > rules.timestamp_after_max_ms {
        let earliest = Timestamp(now.0.saturating_sub(rules.timestamp_before_max_ms));
        let latest = Timestamp(now.0.saturating_add(rules.timestamp_after_max_ms));
        return Some(RecordFault::TimestampOutOfRange { timestamp, earliest, latest });
    }
    None
}
