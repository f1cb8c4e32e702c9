//! Records out of fetched batches.
//!
//! ```text
//!   [batch 5..9][batch 10..12][batch 13.. cut off]     from 7: records 7, 8, 9, 10, 11, 12, next is 13
//! ```
//!
//! Always true: a batch is opened only after its checksum was verified; one batch is open at a time.

use std::ops::ControlFlow;

use ringlog_core::compression::{DecompressionBudget, DecompressionLimits};
use ringlog_core::record_batch::{BatchFault, Headers, RawBatch, TimestampType};

/// A batch may open to more than a hundred times its size here, where nobody else's memory is at stake; the absolute
/// bound stays.
const OPENING: DecompressionLimits =
    DecompressionLimits { output_ratio_max: usize::MAX, ..DecompressionLimits::PRODUCTION };

/// A record and its place.
#[derive(Clone, Copy, Debug)]
pub struct FetchedRecord<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds since 1970; -1 if it has none.
    pub timestamp: i64,
    /// Whose clock that is.
    pub timestamp_type: TimestampType,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
}

/// A budget that opens one batch as large as the client takes.
pub fn opening_budget() -> DecompressionBudget {
    DecompressionBudget::new(OPENING)
}

/// Gives each record from `from` on to `take`, until it breaks: then the record it broke at is not taken. Markers of
/// transactions are left out. Returns the offset to go on from.
///
/// # Errors
/// What is wrong with the first batch that cannot be read; the records before it were given.
pub fn each_record<E: From<BatchFault>>(
    bytes: &[u8],
    from: i64,
    mut take: impl FnMut(FetchedRecord<'_>) -> Result<ControlFlow<()>, E>,
) -> Result<i64, E> {
    let (mut rest, mut next) = (bytes, from);
    while !rest.is_empty() {
        let (batch, behind) = match RawBatch::split_first(rest) {
            // A broker cuts its answer where it is full; a first batch always comes whole.
            Err(BatchFault::Truncated { .. }) if rest.len() < bytes.len() => return Ok(next),
            split => split?,
        };
        batch.verify_checksum()?;
        if !batch.header().attributes().is_control()
            && let ControlFlow::Break(refused) = each_of_batch(&batch, next, &mut take)?
        {
            return Ok(refused);
        }
        next = next.max(batch.header().next_offset().0);
        rest = behind;
    }
    Ok(next)
}

/// Breaks with the offset of the record that was not taken.
fn each_of_batch<E: From<BatchFault>>(
    batch: &RawBatch<'_>,
    from: i64,
    take: &mut impl FnMut(FetchedRecord<'_>) -> Result<ControlFlow<()>, E>,
) -> Result<ControlFlow<i64>, E> {
    let header = batch.header();
    let timestamp_type = header.attributes().timestamp_type();
    for record in &batch.records(&mut opening_budget())? {
        let record = record?;
        let offset = header.base_offset().0.saturating_add(i64::from(record.offset_delta));
        let timestamp = match timestamp_type {
            TimestampType::LogAppendTime => header.max_timestamp().0,
            TimestampType::CreateTime => header.base_timestamp().0.saturating_add(record.timestamp_delta),
        };
        let (key, value, headers) = (record.key, record.value, record.headers);
        let fetched = FetchedRecord { offset, timestamp, timestamp_type, key, value, headers };
        if offset >= from && take(fetched)?.is_break() {
            return Ok(ControlFlow::Break(offset));
        }
    }
    Ok(ControlFlow::Continue(()))
}

#[cfg(test)]
mod tests {
    use ringlog_core::compression::Codec;
    use ringlog_core::ids::Offset;
    use ringlog_core::record_batch::BatchBuilder;

    use super::*;

    fn batch(base_offset: i64, codec: Codec, count: usize) -> Vec<u8> {
        let empty = BatchBuilder::new().at(Offset(base_offset)).compressed(codec);
        (0..count).fold(empty, |batch, _| batch.record(None, &b"value"[..])).build()
    }

    fn offsets(bytes: &[u8], from: i64, most: usize) -> Result<(Vec<i64>, i64), BatchFault> {
        let mut offsets = Vec::new();
        let next = each_record(bytes, from, |record| {
            if offsets.len() == most {
                return Ok::<_, BatchFault>(ControlFlow::Break(()));
            }
            offsets.push(record.offset);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((offsets, next))
    }

    #[test]
    fn records_before_the_one_asked_for_and_a_cut_off_batch_are_left_out() {
        let bytes = [batch(5, Codec::Zstd, 5), batch(10, Codec::None, 3), batch(13, Codec::Lz4, 3)].concat();
        assert_eq!(offsets(&bytes[..bytes.len() - 1], 7, 99), Ok((vec![7, 8, 9, 10, 11, 12], 13)));
        assert_eq!(offsets(&bytes, 7, 4), Ok((vec![7, 8, 9, 10], 11)));
        assert_eq!(offsets(&[], 7, 4), Ok((vec![], 7)));
    }

    #[test]
    fn a_batch_that_is_damaged_or_never_whole_is_told() {
        let mut bytes = [batch(0, Codec::None, 2), batch(2, Codec::Gzip, 2)].concat();
        assert!(matches!(offsets(&bytes[..70], 0, 9), Err(BatchFault::Truncated { .. })));
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert!(matches!(offsets(&bytes, 0, 9), Err(BatchFault::Checksum { .. })));
    }

    #[test]
    fn a_batch_of_zeros_opens_although_it_becomes_a_thousand_times_as_large() {
        let zeros = vec![0; 8 << 20];
        let bytes = BatchBuilder::new().compressed(Codec::Zstd).record(None, zeros.as_slice()).build();
        assert!(bytes.len() < zeros.len() / 1000, "{} bytes", bytes.len());
        assert_eq!(offsets(&bytes, 0, 9), Ok((vec![0], 1)));
    }

    #[test]
    fn markers_are_passed_over() {
        let marker = BatchBuilder::new().at(Offset(4)).control().record(&b"marker"[..], &b""[..]).build();
        assert_eq!(offsets(&[batch(3, Codec::None, 1), marker].concat(), 0, 9), Ok((vec![3], 5)));
    }
}
