//! Giving up a log's oldest segments.
//!
//! ```text
//!   summaries ──► plan ──► age unknown, or not certain? look at that segment, plan again
//!                     └──► all go? begin another segment ──► the log begins behind them, durable ──► files go later
//! ```
//!
//! Always true: between the plan and the note of the new start nothing is awaited, so what was planned is what goes. No segment goes
//! for its age on the word of an index alone.

use std::collections::BTreeSet;

use ringlog_core::ids::Offset;
use ringlog_core::time::Timestamp;
use ringlog_runtime::environment::Environment;

use crate::failure::{ReadError, RetireError};
use crate::format::names::{SegmentFile, segment_path};
use crate::log::largest_timestamp::are_out_of_reach;
use crate::log::{PartitionLog, SegmentSummary};
use crate::retention::{LogEnds, Retention, RetentionPlan, RetirementReason, segments_past_retention};

/// A segment that was given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetiredSegment {
    /// What was known of it.
    pub segment: SegmentSummary,
    /// Why.
    pub reason: RetirementReason,
}

impl<E: Environment> PartitionLog<E> {
    /// Gives up the oldest segments that `retention` does not keep, all below `high_watermark`: when this returns the
    /// log begins behind them, durably. Their files go later. Returns them, oldest first.
    ///
    /// # Errors
    /// A segment cannot be looked at, or the log takes no new start.
    pub async fn retire_segments(
        &self,
        retention: &Retention,
        high_watermark: Offset,
    ) -> Result<Vec<RetiredSegment>, RetireError> {
        let now = self.store.env.wall_clock();
        let (mut retention, mut certain) = (*retention, BTreeSet::new());
        let (retired, log_start_offset) = loop {
            self.check_open()?;
            let segments = self.segments_from_start();
            let log_end_offset = self.log_end_offset();
            let uncommitted_bytes = self.readable_bytes(high_watermark, log_end_offset) as u64;
            let ends = LogEnds { high_watermark, log_end_offset, uncommitted_bytes };
            let (by_size, looked) = match segments_past_retention(&segments, ends, now, &retention) {
                RetentionPlan::LookAt { segment, by_size } => (by_size, self.look_at(segment).await),
                RetentionPlan::Retire { by_size, by_age } => {
                    let aged = &segments[by_size..by_size + by_age];
                    let Some(segment) = self.first_uncertain(aged, &certain) else {
                        let next =
                            segments.get(by_size + by_age).map_or(log_end_offset, |next| next.base_offset);
                        break (retired(&segments, by_size, by_age), next);
                    };
                    certain.insert(segment);
                    (by_size, self.make_certain(segment).await)
                }
            };
            match looked {
                // What is too much goes, whatever is the matter with a segment behind it.
                Err(error) if by_size > 0 => {
                    tracing::warn!(directory = %self.log.directory.display(), %error,
                        "how old a segment is cannot be found out; it stays");
                    retention.age_ms_max = None;
                }
                looked => looked?,
            }
        };
        if retired.is_empty() {
            return Ok(retired);
        }
        if log_start_offset == self.log_end_offset() {
            // Seals the active segment, so that it can go too.
            self.roll();
        }
        self.advance_log_start(log_start_offset).await?;
        Ok(retired)
    }

    /// The segments that hold a record at or above the log's start: others are on their way out already.
    fn segments_from_start(&self) -> Vec<SegmentSummary> {
        let mut segments = self.segments();
        let begins = segments.iter().skip(1).map(|segment| segment.base_offset);
        let passed = begins.take_while(|begin| *begin <= self.log_start_offset()).count();
        segments.drain(..passed);
        segments
    }

    /// The first segment that is to go because of a timestamp that may be an index's alone.
    fn first_uncertain(&self, aged: &[SegmentSummary], certain: &BTreeSet<Offset>) -> Option<Offset> {
        let state = self.log.state.borrow();
        let is_uncertain = |segment: &&SegmentSummary| {
            let is_of_records = segment.max_timestamp.is_some_and(|youngest| youngest >= Timestamp(0));
            // Of the others every record was seen.
            let is_of_earlier_start = segment.base_offset < state.opened_in;
            is_of_records && is_of_earlier_start && !certain.contains(&segment.base_offset)
        };
        aged.iter().find(is_uncertain).map(|segment| segment.base_offset)
    }

    /// Makes certain that no record of a segment is younger than is known. Where they cannot be read it ages from its last write.
    async fn make_certain(&self, segment: Offset) -> Result<(), ReadError> {
        match self.prove_largest_timestamp(segment).await {
            Err(error) if are_out_of_reach(&error) => {
                self.note_largest_timestamp(segment, None);
                self.load_written_at(segment).await
            }
            proven => proven,
        }
    }

    /// Finds out how old a segment is.
    async fn look_at(&self, segment: Offset) -> Result<(), ReadError> {
        let known = self.segments().into_iter().find(|summary| summary.base_offset == segment);
        match known.and_then(|summary| summary.max_timestamp) {
            None => match self.load_largest_timestamp(segment).await {
                // Its file was not changed later than its records came.
                Err(error) if are_out_of_reach(&error) => self.load_written_at(segment).await,
                loaded => loaded,
            },
            Some(_) => self.load_written_at(segment).await,
        }
    }

    async fn load_written_at(&self, segment: Offset) -> Result<(), ReadError> {
        let env = &self.store.env;
        let path = segment_path(&self.log.directory, segment, SegmentFile::Log);
        let written_at = match env.modified_at(&path).await {
            Ok(modified_at) => modified_at,
            // Deleted meanwhile, or a sealed segment that lost its file: not for us to judge.
            Err(failure) if failure.is_not_found() => env.wall_clock(),
            Err(failure) => return Err(failure.into()),
        };
        let mut state = self.log.state.borrow_mut();
        if let Some(open) = state.open_segment_mut(segment) {
            open.written_at.get_or_insert(written_at);
        }
        if let Some(sealed) = state.sealed.iter_mut().find(|summary| summary.base_offset == segment) {
            sealed.written_at = Some(written_at);
        }
        Ok(())
    }
}

fn retired(segments: &[SegmentSummary], by_size: usize, by_age: usize) -> Vec<RetiredSegment> {
    let reasons = [(RetirementReason::Size, by_size), (RetirementReason::Age, by_age)];
    let reasons = reasons.into_iter().flat_map(|(reason, count)| std::iter::repeat_n(reason, count));
    segments
        .iter()
        .zip(reasons)
        .map(|(segment, reason)| RetiredSegment { segment: *segment, reason })
        .collect()
}
