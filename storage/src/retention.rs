//! Which segments a log may give up: planned from what is known of them, without I/O.
//!
//! ```text
//!   oldest ──► [ too many bytes ][ too old ][ stay ........ ][ active ]
//!               '------ go, as a whole ----'
//! ```
//!
//! Always true: what goes is a run of whole segments from the oldest on, all of it below the high watermark. The active
//! segment goes only with all others and only if it holds something: then an idle log becomes empty.

use ringlog_core::ids::Offset;
use ringlog_core::time::Timestamp;

use crate::log::SegmentSummary;

/// How much of a log is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Retention {
    /// Segments whose youngest record is older go (`retention.ms`); `None` keeps them.
    pub age_ms_max: Option<i64>,
    /// Segments go as long as those that stay have at least so many bytes (`retention.bytes`); `None` keeps them.
    pub bytes_max: Option<u64>,
}

/// Why a segment goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetirementReason {
    /// The log is larger than `retention.bytes`.
    Size,
    /// Its records are older than `retention.ms`.
    Age,
}

/// Where a log ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogEnds {
    /// Nothing at or above it goes.
    pub high_watermark: Offset,
    /// Where the active segment ends.
    pub log_end_offset: Offset,
    /// The bytes between the two. They do not count as kept: a crash may take them.
    pub uncommitted_bytes: u64,
}

/// What to do about a log's oldest segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetentionPlan {
    /// The first `by_size` segments go, and the `by_age` behind them.
    Retire {
        /// How many go because the log is too large.
        by_size: usize,
        /// How many more go because they are too old.
        by_age: usize,
    },
    /// How old a segment is must be found out first.
    LookAt {
        /// Its name.
        segment: Offset,
        /// How many go whatever comes of it, because the log is too large.
        by_size: usize,
    },
}

/// Plans as Kafka does: first what is too much, then what of the rest is too old.
pub fn segments_past_retention(
    segments: &[SegmentSummary],
    ends: LogEnds,
    now: Timestamp,
    retention: &Retention,
) -> RetentionPlan {
    let committed = committed_count(segments, ends);
    let keep = retention.bytes_max.map(|bytes_max| bytes_max.saturating_add(ends.uncommitted_bytes));
    let by_size = keep.map_or(0, |keep| past_size(segments, committed, keep));
    let rest = &segments[by_size..committed];
    match retention.age_ms_max.map_or(Ok(0), |age_ms_max| past_age(rest, now, age_ms_max)) {
        Ok(by_age) => RetentionPlan::Retire { by_size, by_age },
        Err(segment) => RetentionPlan::LookAt { segment, by_size },
    }
}

/// How many of the first segments may go at all.
fn committed_count(segments: &[SegmentSummary], ends: LogEnds) -> usize {
    let begins = segments.iter().skip(1).map(|segment| segment.base_offset);
    let segment_ends = begins.chain([ends.log_end_offset]);
    let committed =
        segments.iter().zip(segment_ends).take_while(|(_, end)| *end <= ends.high_watermark).count();
    match segments.last() {
        Some(active) if committed == segments.len() && active.size_bytes == 0 => committed - 1,
        _ => committed,
    }
}

fn past_size(segments: &[SegmentSummary], committed: usize, keep: u64) -> usize {
    let total: u64 = segments.iter().map(|segment| segment.size_bytes).sum();
    let Some(mut excess) = total.checked_sub(keep) else { return 0 };
    let goes = |segment: &&SegmentSummary| match excess.checked_sub(segment.size_bytes) {
        Some(less) => {
            excess = less;
            true
        }
        None => false,
    };
    segments[..committed].iter().take_while(goes).count()
}

/// # Errors
/// The first segment that may be too old and whose age is not known.
fn past_age(segments: &[SegmentSummary], now: Timestamp, age_ms_max: i64) -> Result<usize, Offset> {
    for (index, segment) in segments.iter().enumerate() {
        let aged_from = aged_from(segment).ok_or(segment.base_offset)?;
        // A timestamp in the future makes an age below zero: the segment, and all behind it, stay.
        if now.0.saturating_sub(aged_from.0) <= age_ms_max {
            return Ok(index);
        }
    }
    Ok(segments.len())
}

/// The moment a segment's age counts from: its youngest record, or its last write if no record has a timestamp that can
/// be read.
fn aged_from(segment: &SegmentSummary) -> Option<Timestamp> {
    segment.max_timestamp.filter(|youngest| *youngest >= Timestamp(0)).or(segment.written_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(100_000);
    const AGE: Retention = Retention { age_ms_max: Some(1_000), bytes_max: None };

    /// Segments of ten offsets each: size, and how long ago their youngest record was.
    fn segments(given: &[(u64, i64)]) -> Vec<SegmentSummary> {
        let summary = |(index, (size_bytes, age)): (usize, &(u64, i64))| SegmentSummary {
            max_timestamp: Some(Timestamp(NOW.0 - age)),
            ..SegmentSummary::found(Offset(index as i64 * 10), *size_bytes)
        };
        given.iter().enumerate().map(summary).collect()
    }

    fn plan(segments: &[SegmentSummary], high_watermark: i64, retention: Retention) -> (usize, usize) {
        let log_end_offset = Offset(segments.len() as i64 * 10);
        let high_watermark = Offset(high_watermark);
        let ends = LogEnds { high_watermark, log_end_offset, uncommitted_bytes: 0 };
        match segments_past_retention(segments, ends, NOW, &retention) {
            RetentionPlan::Retire { by_size, by_age } => (by_size, by_age),
            RetentionPlan::LookAt { segment, .. } => panic!("{segment} is known"),
        }
    }

    fn bytes(bytes_max: u64) -> Retention {
        Retention { age_ms_max: None, bytes_max: Some(bytes_max) }
    }

    #[test]
    fn a_segment_goes_when_its_youngest_record_is_older_than_the_limit_and_not_before() {
        assert_eq!(plan(&segments(&[(5, 1_001), (5, 1_001), (5, 1_000)]), 30, AGE), (0, 2));
        assert_eq!(
            plan(&segments(&[(5, 1_000), (5, 2_000)]), 20, AGE),
            (0, 0),
            "an older one behind it stays"
        );
        assert_eq!(plan(&segments(&[(5, -1), (5, 2_000)]), 20, AGE), (0, 0), "a future timestamp pins");
        let extremes = segments(&[(5, NOW.0 - i64::MAX)]);
        assert_eq!(plan(&extremes, 10, Retention { age_ms_max: Some(i64::MAX), bytes_max: None }), (0, 0));
    }

    #[test]
    fn at_least_the_bytes_asked_for_stay() {
        let four = segments(&[(100, 0), (100, 0), (100, 0), (50, 0)]);
        assert_eq!(plan(&four, 40, bytes(351)), (0, 0));
        assert_eq!(plan(&four, 40, bytes(251)), (0, 0));
        assert_eq!(plan(&four, 40, bytes(250)), (1, 0));
        assert_eq!(plan(&four, 40, bytes(51)), (2, 0));
        assert_eq!(plan(&four, 40, bytes(50)), (3, 0));
        assert_eq!(plan(&four, 40, bytes(0)), (4, 0), "nothing is kept");
    }

    #[test]
    fn bytes_that_are_not_committed_do_not_count_as_kept() {
        let three = segments(&[(100, 0), (100, 0), (100, 0)]);
        let plan = |uncommitted_bytes, bytes_max| {
            let ends = LogEnds { high_watermark: Offset(25), log_end_offset: Offset(30), uncommitted_bytes };
            segments_past_retention(&three, ends, NOW, &bytes(bytes_max))
        };
        assert_eq!(plan(50, 150), RetentionPlan::Retire { by_size: 1, by_age: 0 });
        assert_eq!(plan(50, 151), RetentionPlan::Retire { by_size: 0, by_age: 0 });
        assert_eq!(plan(50, u64::MAX), RetentionPlan::Retire { by_size: 0, by_age: 0 });
    }

    #[test]
    fn size_comes_first_and_age_goes_on_from_there() {
        let four = segments(&[(100, 0), (100, 2_000), (100, 2_000), (100, 0)]);
        assert_eq!(plan(&four, 40, Retention { bytes_max: Some(300), ..AGE }), (1, 2));
        assert_eq!(plan(&four, 40, AGE), (0, 0));
    }

    #[test]
    fn nothing_at_or_above_the_high_watermark_goes() {
        let old = segments(&[(5, 2_000), (5, 2_000), (5, 2_000)]);
        for (high_watermark, expected) in [(0, 0), (9, 0), (10, 1), (29, 2), (30, 3)] {
            assert_eq!(plan(&old, high_watermark, AGE), (0, expected), "{high_watermark}");
            assert_eq!(plan(&old, high_watermark, bytes(0)), (expected, 0), "{high_watermark}");
        }
    }

    #[test]
    fn an_active_segment_without_a_record_stays_and_without_limits_everything_does() {
        let idle = segments(&[(5, 2_000), (0, NOW.0 + 1)]);
        assert_eq!(plan(&idle, 20, AGE), (0, 1));
        assert_eq!(plan(&idle, 20, bytes(0)), (1, 0));
        assert_eq!(plan(&segments(&[(0, 2_000)]), 10, AGE), (0, 0));
        assert_eq!(plan(&segments(&[(9, 2_000)]), 10, Retention::default()), (0, 0));
        assert_eq!(plan(&[], 0, AGE), (0, 0));
    }

    #[test]
    fn only_the_oldest_segment_that_matters_is_looked_at() {
        let ends = LogEnds { high_watermark: Offset(30), log_end_offset: Offset(30), uncommitted_bytes: 0 };
        let look =
            |segments: &[SegmentSummary], retention| segments_past_retention(segments, ends, NOW, &retention);
        let mut three = segments(&[(5, 2_000), (5, 2_000), (5, 0)]);
        three[1].max_timestamp = None;
        assert_eq!(look(&three, AGE), RetentionPlan::LookAt { segment: Offset(10), by_size: 0 });
        assert_eq!(look(&three, bytes(5)), RetentionPlan::Retire { by_size: 2, by_age: 0 });
        let both = Retention { bytes_max: Some(10), ..AGE };
        assert_eq!(look(&three, both), RetentionPlan::LookAt { segment: Offset(10), by_size: 1 });
        three[0].max_timestamp = Some(NOW);
        assert_eq!(look(&three, AGE), RetentionPlan::Retire { by_size: 0, by_age: 0 }, "it cannot be due");
    }

    #[test]
    fn a_segment_without_timestamps_ages_from_its_last_write() {
        let ends = LogEnds { high_watermark: Offset(20), log_end_offset: Offset(20), uncommitted_bytes: 0 };
        let mut two = segments(&[(5, NOW.0 + 1), (5, 0)]);
        let unknown = RetentionPlan::LookAt { segment: Offset(0), by_size: 0 };
        assert_eq!(segments_past_retention(&two, ends, NOW, &AGE), unknown);
        two[0].written_at = Some(Timestamp(NOW.0 - 1_000));
        assert_eq!(plan(&two, 20, AGE), (0, 0));
        two[0].written_at = Some(Timestamp(NOW.0 - 1_001));
        assert_eq!(plan(&two, 20, AGE), (0, 1));
        two[0].max_timestamp = None;
        assert_eq!(plan(&two, 20, AGE), (0, 1), "and one whose timestamps cannot be read");
    }
}
