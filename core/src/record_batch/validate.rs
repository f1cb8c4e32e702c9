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
use super::fault::{BatchFault, RecordErrors, RecordFault};
use super::header::{BatchHeader, TimestampType};
use super::raw::RawBatch;
use super::records::RecordIter;
use super::rules::BatchRules;
use crate::compression::Codec;
use crate::time::Timestamp;

/// Judges a batch that a client sent at wall-clock time `now`.
pub fn validate<'a>(
    bytes: &'a [u8],
    rules: &BatchRules,
    now: Timestamp,
) -> Result<ValidBatch<'a>, BatchFault> {
    let batch = only_batch(bytes)?;
    check_envelope(&batch, rules)?;
    check_header(batch.header())?;
    let mut header = *batch.header();
    let max_timestamp = walk(RecordIter::new(batch.body(), header.record_count()), &header, rules, now)?;
    match rules.timestamp_type {
        TimestampType::CreateTime => header.set_max_timestamp(TimestampType::CreateTime, max_timestamp),
        TimestampType::LogAppendTime => header.set_max_timestamp(TimestampType::LogAppendTime, now),
    }
    check_segment(header.size_bytes(), rules)?;
    Ok(ValidBatch::new(header, Cow::Borrowed(batch.body())))
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

/// What a client may say in a header.
fn check_header(header: &BatchHeader) -> Result<(), BatchFault> {
    let attributes = header.attributes();
    if attributes.compression().is_none() {
        return Err(BatchFault::UnknownCompression { id: attributes.compression_id() });
    }
    header.check_offsets()?;
    check_count(header, |count, span| count >= 1 && count == span)?;
    if attributes.is_control() {
        return Err(BatchFault::ControlBatch);
    }
    if header.has_producer_id() && header.base_sequence().0 < 0 {
        return Err(BatchFault::Sequence { base_sequence: header.base_sequence().0 });
    }
    Ok(())
}

fn check_count(header: &BatchHeader, fits: impl Fn(i64, i64) -> bool) -> Result<(), BatchFault> {
    let (record_count, last_offset_delta) = (header.record_count(), header.last_offset_delta());
    if !fits(i64::from(record_count), i64::from(last_offset_delta) + 1) {
        let base_offset = header.base_offset().0;
        return Err(BatchFault::OffsetRange { base_offset, last_offset_delta, record_count });
    }
    Ok(())
}

/// Reads every record and returns the largest timestamp.
fn walk(
    records: RecordIter<'_>,
    header: &BatchHeader,
    rules: &BatchRules,
    now: Timestamp,
) -> Result<Timestamp, BatchFault> {
    let mut max_timestamp = Timestamp::NONE;
    let mut errors = RecordErrors::default();
    for (index, record) in (0..).zip(records) {
        let record = record?;
        let timestamp = Timestamp(header.base_timestamp().0.wrapping_add(record.timestamp_delta));
        max_timestamp = max_timestamp.max(timestamp);
        if rules.compacted && record.key.is_none() {
            errors.push(index, RecordFault::KeyMissing);
        } else if record.offset_delta != index {
            errors.push(index, RecordFault::OffsetDelta { found: record.offset_delta });
        } else if let Some(fault) = timestamp_fault(timestamp, header, rules, now) {
            errors.push(index, fault);
        }
    }
    errors.into_result()?;
    Ok(max_timestamp)
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
