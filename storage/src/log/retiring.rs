//! Giving up a log's oldest segments.
//!
//! ```text
//!   summaries ──► plan ──► age unknown, or not certain? look at that segment, plan again
//!                     └──► all go? begin another segment ──► the log begins behind them, durable ──► files go later
//! ```
//!
//! Always true: between the plan and the note of the new start nothing is awaited, so what was planned is what goes. No segment goes
//! for its age on the word of an index alone.

use std::collections::BTreeMap;

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
        let (mut retention, mut proven, mut stays) = (*retention, BTreeMap::new(), None);
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
                    let certain = self.count_certain(aged, &proven);
                    let uncertain = aged.get(certain).map(|segment| segment.base_offset);
                    let Some(segment) = uncertain.filter(|segment| stays != Some(*segment)) else {
                        let count = by_size + certain;
                        let next = segments.get(count).map_or(log_end_offset, |next| next.base_offset);
                        break (retired(&segments, by_size, certain), next);
                    };
                    match self.make_certain(segment, &mut proven).await {
                        // Those before go all the same, so that nothing is proven in vain.
                        Err(error) if by_size + certain > 0 => {
                            self.tell_stays(&error);
                            stays = Some(segment);
                        }
                        made_certain => made_certain?,
                    }
                    continue;
                }
            };
            match looked {
                // What is too much goes, whatever is the matter with a segment behind it.
                Err(error) if by_size > 0 => {
                    self.tell_stays(&error);
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

    fn tell_stays(&self, error: &ReadError) {
        tracing::warn!(directory = %self.log.directory.display(), %error,
            "how old a segment is cannot be found out; it stays");
    }

    /// The segments that hold a record at or above the log's start: others are on their way out already.
    fn segments_from_start(&self) -> Vec<SegmentSummary> {
        let mut segments = self.segments();
        let begins = segments.iter().skip(1).map(|segment| segment.base_offset);
        let passed = begins.take_while(|begin| *begin <= self.log_start_offset()).count();
        segments.drain(..passed);
        segments
    }

    /// How many of these segments, the first ones, go for a timestamp that is no index's alone.
    fn count_certain(&self, aged: &[SegmentSummary], proven: &BTreeMap<Offset, Timestamp>) -> usize {
        let state = self.log.state.borrow();
        let is_certain = |segment: &&SegmentSummary| {
            let is_of_records = segment.max_timestamp.is_some_and(|youngest| youngest >= Timestamp(0));
            // Of the others every record was seen.
            let is_of_earlier_start = segment.base_offset < state.opened_in;
            // A look-up that ran meanwhile may have found something else.
            let is_proven = proven.get(&segment.base_offset).copied() == segment.max_timestamp;
            !is_of_records || !is_of_earlier_start || is_proven
        };
        aged.iter().take_while(is_certain).count()
    }

    /// Makes certain that no record of a segment is younger than is known. Where they cannot be read it ages from its last write.
    async fn make_certain(
        &self,
        segment: Offset,
        proven: &mut BTreeMap<Offset, Timestamp>,
    ) -> Result<(), ReadError> {
        match self.prove_largest_timestamp(segment).await {
            Ok(largest) => {
                proven.insert(segment, largest);
                Ok(())
            }
            Err(error) if are_out_of_reach(&error) => {
                self.note_largest_timestamp(segment, None);
                self.load_written_at(segment).await
            }
            Err(error) => Err(error),
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
