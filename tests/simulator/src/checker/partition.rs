//! What must hold of one partition: its final log, what was sent to it, what fetchers saw of it.
//!
//! Always true: each rule is checked against every record of the partition; what lay below its begin may be gone.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Violation, log_starts};
use crate::history::{
    Answer, BatchNumber, ConnectionNumber, FetcherNumber, History, PartitionNumber, ProducerNumber, Promise,
    SentBatch,
};

/// One partition's evidence, arranged for look-up.
pub(super) struct PartitionView<'h> {
    history: &'h History,
    partition: PartitionNumber,
    /// Where the final log begins: what lay below may be gone.
    start: i64,
    value_at: BTreeMap<i64, &'h [u8]>,
    offsets_of: BTreeMap<&'h [u8], Vec<i64>>,
    batches: Vec<(BatchNumber, &'h SentBatch)>,
}

impl<'h> PartitionView<'h> {
    pub fn new(history: &'h History, partition: PartitionNumber) -> PartitionView<'h> {
        let mut value_at = BTreeMap::new();
        let mut offsets_of: BTreeMap<&[u8], Vec<i64>> = BTreeMap::new();
        for (offset, value) in history.final_log(partition) {
            value_at.insert(*offset, value.as_slice());
            offsets_of.entry(value).or_default().push(*offset);
        }
        let numbered = history.batches().iter().enumerate();
        let batches = numbered
            .filter(|(_, batch)| batch.partition == partition)
            .map(|(number, batch)| (BatchNumber(number), batch))
            .collect();
        let start = history.final_start(partition).map_or(0, |start| start.offset);
        PartitionView { history, partition, start, value_at, offsets_of, batches }
    }

    /// Checks every rule.
    pub fn check(&self, violations: &mut Vec<Violation>) {
        self.check_density(violations);
        self.check_origin(violations);
        self.check_batches(violations);
        self.check_order(violations);
        self.check_reads(violations);
        self.check_start(violations);
    }

    fn check_density(&self, violations: &mut Vec<Violation>) {
        let partition = self.partition;
        let log = self.history.final_log(partition);
        let mut expected = self.start;
        for (found, _) in log {
            let is_next = *found == expected || *found > expected && self.may_be_refused(expected..*found);
            if !is_next {
                violations.push(Violation::Gap { partition, expected, found: *found });
                return;
            }
            expected = *found + 1;
        }
    }

    /// Whether all of these offsets lie in blocks that are damaged.
    fn may_be_refused(&self, offsets: Range<i64>) -> bool {
        self.history.may_be_refused(self.partition, offsets)
    }

    fn check_origin(&self, violations: &mut Vec<Violation>) {
        let partition = self.partition;
        let mut sender_of = BTreeMap::new();
        for (number, batch) in &self.batches {
            sender_of.extend(batch.values.iter().map(|value| (value.as_slice(), (*number, batch.answer))));
        }
        for (offset, value) in self.history.final_log(partition) {
            let offset = *offset;
            match sender_of.get(value.as_slice()) {
                None => violations.push(Violation::NeverSent { partition, offset, value: text(value) }),
                Some((batch, Answer::Refused)) => {
                    violations.push(Violation::RefusedButThere { batch: *batch, partition, offset });
                }
                Some(_) => {}
            }
        }
    }

    fn check_batches(&self, violations: &mut Vec<Violation>) {
        for (number, batch) in &self.batches {
            if let Answer::Acknowledged(base_offset) = batch.answer {
                self.check_acknowledged(*number, batch, base_offset, violations);
            }
            self.check_occurrences(*number, batch, violations);
        }
    }

    fn check_acknowledged(
        &self,
        number: BatchNumber,
        batch: &SentBatch,
        base_offset: i64,
        violations: &mut Vec<Violation>,
    ) {
        for (offset, value) in (base_offset..).zip(&batch.values).filter(|(offset, _)| *offset >= self.start)
        {
            let found = self.value_at.get(&offset).copied();
            let is_refused = found.is_none() && self.may_be_refused(offset..offset + 1);
            if found != Some(value.as_slice()) && !is_refused {
                let (partition, found) = (self.partition, found.map(text));
                violations.push(Violation::Lost { batch: number, partition, offset, found });
                return;
            }
        }
    }

    /// A batch is in the log whole and side by side, or not at all; and once. Of one that lies across the begin of the
    /// log the rest is.
    fn check_occurrences(&self, batch: BatchNumber, sent: &SentBatch, violations: &mut Vec<Violation>) {
        let partition = self.partition;
        let mut firsts = Vec::new();
        for value in &sent.values {
            let Some(offsets) = self.offsets_of.get(value.as_slice()) else { continue };
            if let [first, second, ..] = offsets[..] {
                violations.push(Violation::Duplicate { batch, partition, offsets: [first, second] });
                return;
            }
            firsts.push(offsets[0]);
        }
        let is_dense = firsts.is_sorted_by(|left, right| left + 1 == *right);
        let is_cut = || {
            let last = sent.values.last().and_then(|value| self.offsets_of.get(value.as_slice()));
            self.start > 0 && firsts[0] == self.start && last.map(|offsets| &offsets[0]) == firsts.last()
        };
        let is_whole = is_dense && (firsts.len() == sent.values.len() || firsts.is_empty() || is_cut());
        if !firsts.is_empty() && !is_whole {
            violations.push(Violation::TornBatch { batch, partition, offsets: firsts });
        }
    }

    /// An idempotent producer's batches lie as sent. Another's do where they went over one connection, or where
    /// it knew of the earlier one before it sent the later: one whose connection broke before its answer came may
    /// still have been on its way when the next connection was made.
    fn check_order(&self, violations: &mut Vec<Violation>) {
        let mut last_of: BTreeMap<ProducerNumber, (BatchNumber, i64)> = BTreeMap::new();
        let mut last_on: BTreeMap<(ProducerNumber, ConnectionNumber), (BatchNumber, i64)> = BTreeMap::new();
        for (number, batch) in &self.batches {
            let Some(offset) = self.place_of(batch) else { continue };
            let connection = (batch.producer, batch.connection);
            let earlier = [last_of.get(&batch.producer), last_on.get(&connection)];
            if let Some((earlier, _)) = earlier.into_iter().flatten().find(|earlier| offset <= earlier.1) {
                let (producer, partition) = (batch.producer, self.partition);
                let batches = [*earlier, *number];
                violations.push(Violation::OutOfOrder { producer, partition, batches });
            }
            let is_known = matches!(batch.answer, Answer::Acknowledged(_));
            if batch.promise == Promise::Idempotent || is_known {
                last_of.insert(batch.producer, (*number, offset));
            }
            last_on.insert(connection, (*number, offset));
        }
    }

    fn place_of(&self, batch: &SentBatch) -> Option<i64> {
        let mut found = batch.values.iter().filter_map(|value| self.offsets_of.get(value.as_slice()));
        found.next().map(|offsets| offsets[0])
    }

    fn check_reads(&self, violations: &mut Vec<Violation>) {
        let partition = self.partition;
        let mut next_of: BTreeMap<FetcherNumber, i64> = BTreeMap::new();
        let starts = self.history.log_starts().iter().filter(|seen| seen.partition == partition);
        let mut starts = starts.filter(|seen| seen.reads_before.is_some()).peekable();
        for (index, read) in self.history.reads().iter().enumerate() {
            if read.partition != partition {
                continue;
            }
            while let Some(seen) = starts.next_if(|seen| seen.reads_before <= Some(index)) {
                let next = next_of.entry(seen.fetcher).or_default();
                if *next > seen.offset {
                    let (seen, found) = (*next, seen.offset);
                    violations.push(Violation::StartWentBack { partition, seen, found });
                }
                *next = seen.offset;
            }
            let (fetcher, offset) = (read.fetcher, read.offset);
            let expected = *next_of.get(&fetcher).unwrap_or(&offset);
            let is_next = offset == expected || offset > expected && self.may_be_refused(expected..offset);
            if !is_next {
                violations.push(Violation::SkippedRead { fetcher, partition, expected, found: offset });
            }
            next_of.insert(fetcher, offset + 1);
            let found = self.value_at.get(&offset).copied();
            let is_refused = found.is_none() && self.may_be_refused(offset..offset + 1);
            if offset >= self.start && found != Some(read.value.as_slice()) && !is_refused {
                let found = found.map(text);
                violations.push(Violation::ReadThenGone { fetcher, partition, offset, found });
            }
        }
    }
}

impl PartitionView<'_> {
    /// The begin of a log only grows, and nothing goes that nobody asked to.
    fn check_start(&self, violations: &mut Vec<Violation>) {
        let (partition, found) = (self.partition, self.start);
        let seen = self.history.log_starts().iter().filter(|seen| seen.partition == partition);
        if let Some(seen) = seen.map(|seen| seen.offset).max().filter(|seen| *seen > found) {
            violations.push(Violation::StartWentBack { partition, seen, found });
        }
        let mut start_of: BTreeMap<FetcherNumber, i64> = BTreeMap::new();
        for seen in self.history.log_starts().iter().filter(|seen| seen.partition == partition) {
            let earlier = start_of.insert(seen.fetcher, seen.offset).unwrap_or_default();
            if seen.offset < earlier {
                let (seen, found) = (earlier, seen.offset);
                violations.push(Violation::StartWentBack { partition, seen, found });
            }
        }
        log_starts::check_kept(self.history, partition, violations);
    }
}

/// The readable beginning of a value.
fn text(value: &[u8]) -> String {
    let start = &value[..value.len().min(40)];
    format!("{}{}", start.escape_ascii(), if value.len() > 40 { "..." } else { "" })
}
