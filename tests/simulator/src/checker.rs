//! Judges a history: which promises were broken, and by which record.
//!
//! | violation | what it means |
//! |---|---|
//! | `Gap` | the offsets of the final log do not follow each other from its begin on |
//! | `Lost` | an acknowledged record is not at its offset in the final log, byte for byte |
//! | `NeverSent` | the final log holds a value nobody sent to that partition |
//! | `RefusedButThere` | a batch the broker refused is in the log |
//! | `Duplicate` | one record lies at two offsets |
//! | `OutOfOrder` | records of one producer lie in another order than they were sent |
//! | `TornBatch` | some records of a batch are in the log and others are not, or not side by side |
//! | `ReadThenGone` | a fetcher saw a record that the final log does not have at that offset |
//! | `SkippedRead` | a fetcher went back or jumped over an offset |
//! | `DeletedButThere` | a topic whose deletion was granted is there |
//! | `CreatedButGone` | a topic whose creation was granted is not there |
//! | `StartWentBack` | a fetcher was told of a later begin of the log than it has at the end, or than the fetcher had come to |
//! | `KeptTooLittle` | retention deleted records and left fewer bytes than it must |
//! | `ReportedDamage` | the broker took something for damage, and nothing was damaged |
//!
//! Always true: a history without violations shows none; each rule is checked against every record.

use std::collections::BTreeMap;
use std::fmt;

use crate::history::{
    Answer, BatchNumber, ConnectionNumber, FetcherNumber, History, PartitionNumber, ProducerNumber, Promise,
    SentBatch, TopicNews,
};

/// A broken promise.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the table above describes the violations; their fields say where")]
pub enum Violation {
    Gap { partition: PartitionNumber, expected: i64, found: i64 },
    Lost { batch: BatchNumber, partition: PartitionNumber, offset: i64, found: Option<String> },
    NeverSent { partition: PartitionNumber, offset: i64, value: String },
    RefusedButThere { batch: BatchNumber, partition: PartitionNumber, offset: i64 },
    Duplicate { batch: BatchNumber, partition: PartitionNumber, offsets: [i64; 2] },
    OutOfOrder { producer: ProducerNumber, partition: PartitionNumber, batches: [BatchNumber; 2] },
    TornBatch { batch: BatchNumber, partition: PartitionNumber, offsets: Vec<i64> },
    ReadThenGone { fetcher: FetcherNumber, partition: PartitionNumber, offset: i64, found: Option<String> },
    SkippedRead { fetcher: FetcherNumber, partition: PartitionNumber, expected: i64, found: i64 },
    StartWentBack { partition: PartitionNumber, seen: i64, found: i64 },
    KeptTooLittle { partition: PartitionNumber, start: i64, bytes: u64, kept_bytes_min: u64 },
    DeletedButThere { news: usize },
    CreatedButGone { news: usize },
    ReportedDamage { report: String },
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

/// Every violation in a history, by partition.
pub fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for partition in history.partitions() {
        let view = PartitionView::new(history, partition);
        view.check_density(&mut violations);
        view.check_origin(&mut violations);
        view.check_batches(&mut violations);
        view.check_order(&mut violations);
        view.check_reads(&mut violations);
        view.check_start(&mut violations);
    }
    check_news(history, &mut violations);
    let reports = history.reports_of_damage().iter();
    violations.extend(reports.map(|report| Violation::ReportedDamage { report: report.clone() }));
    violations
}

/// What was granted is so, until something else is granted.
fn check_news(history: &History, violations: &mut Vec<Violation>) {
    let mut is_there = false;
    for (number, news) in history.news().iter().enumerate() {
        match news {
            TopicNews::Created => is_there = true,
            TopicNews::Deleted => is_there = false,
            TopicNews::Seen if !is_there => violations.push(Violation::DeletedButThere { news: number }),
            TopicNews::Missed if is_there => violations.push(Violation::CreatedButGone { news: number }),
            TopicNews::Seen | TopicNews::Missed => {}
        }
    }
}

/// One partition's evidence, arranged for look-up.
struct PartitionView<'h> {
    history: &'h History,
    partition: PartitionNumber,
    /// Where the final log begins: what lay below may be gone.
    start: i64,
    value_at: BTreeMap<i64, &'h [u8]>,
    offsets_of: BTreeMap<&'h [u8], Vec<i64>>,
    batches: Vec<(BatchNumber, &'h SentBatch)>,
}

impl<'h> PartitionView<'h> {
    fn new(history: &'h History, partition: PartitionNumber) -> PartitionView<'h> {
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

    fn check_density(&self, violations: &mut Vec<Violation>) {
        let partition = self.partition;
        let log = self.history.final_log(partition);
        for (expected, (found, _)) in (self.start..).zip(log) {
            if *found != expected {
                violations.push(Violation::Gap { partition, expected, found: *found });
                return;
            }
        }
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
            if found != Some(value.as_slice()) {
                let (partition, found) = (self.partition, found.map(text));
                violations.push(Violation::Lost { batch: number, partition, offset, found });
                return;
            }
        }
    }

    /// A batch is in the log whole and side by side, or not at all; and once.
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
        let is_whole =
            firsts.len() == sent.values.len() && firsts.is_sorted_by(|left, right| left + 1 == *right);
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
        let value = batch.values.first()?;
        self.offsets_of.get(value.as_slice()).map(|offsets| offsets[0])
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
            if offset != expected {
                violations.push(Violation::SkippedRead { fetcher, partition, expected, found: offset });
            }
            next_of.insert(fetcher, offset + 1);
            let found = self.value_at.get(&offset).copied();
            if offset >= self.start && found != Some(read.value.as_slice()) {
                let found = found.map(text);
                violations.push(Violation::ReadThenGone { fetcher, partition, offset, found });
            }
        }
    }
}

impl PartitionView<'_> {
    /// The begin of a log only grows, and whatever goes, enough stays.
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
        let Some(start) = self.history.final_start(partition) else { return };
        if start.offset > 0 && start.bytes < start.kept_bytes_min {
            violations.push(Violation::KeptTooLittle {
                partition,
                start: start.offset,
                bytes: start.bytes,
                kept_bytes_min: start.kept_bytes_min,
            });
        }
    }
}

/// The readable beginning of a value.
fn text(value: &[u8]) -> String {
    let start = &value[..value.len().min(40)];
    format!("{}{}", start.escape_ascii(), if value.len() > 40 { "..." } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCER: ProducerNumber = ProducerNumber(0);
    const FETCHER: FetcherNumber = FetcherNumber(0);

    fn values(values: &[&str]) -> Vec<Vec<u8>> {
        values.iter().map(|value| value.as_bytes().to_vec()).collect()
    }

    /// A history in which one producer sends batches, each on a connection of its own, all but `answers` unknown, and the log ends as given.
    fn history(promise: Promise, sent: &[(&[&str], Answer)], log: &[&str]) -> History {
        let mut history = History::default();
        for (connection, (batch, answer)) in sent.iter().enumerate() {
            let connection = ConnectionNumber(connection);
            let number = history.sent(PRODUCER, promise, connection, 0, values(batch));
            if *answer != Answer::Unknown {
                history.answered(number, *answer);
            }
        }
        for (offset, value) in (0..).zip(log) {
            history.final_record(0, offset, value.as_bytes());
        }
        history
    }

    #[test]
    fn a_history_as_promised_shows_no_violation() {
        let sent: &[(&[&str], Answer)] = &[
            (&["a", "b"], Answer::Acknowledged(0)),
            (&["c"], Answer::Unknown),
            (&["d"], Answer::Unknown),
            (&["e"], Answer::Acknowledged(3)),
            (&["f"], Answer::Refused),
        ];
        let mut history = history(Promise::Idempotent, sent, &["a", "b", "c", "e"]);
        for (offset, value) in [(1, "b"), (2, "c"), (3, "e")] {
            history.read(FETCHER, 0, offset, value.as_bytes());
        }
        assert_eq!(check(&history), []);
    }

    #[test]
    fn an_acknowledged_record_that_is_missing_or_different_is_lost() {
        let sent: &[(&[&str], Answer)] = &[(&["a", "b"], Answer::Acknowledged(0))];
        let lost = |offset, found: Option<&str>| Violation::Lost {
            batch: BatchNumber(0),
            partition: 0,
            offset,
            found: found.map(str::to_owned),
        };
        assert_eq!(check(&history(Promise::Plain, sent, &[])), [lost(0, None)]);
        assert!(check(&history(Promise::Plain, sent, &["a"])).contains(&lost(1, None)));
        assert!(check(&history(Promise::Plain, sent, &["a", "B"])).contains(&lost(1, Some("B"))));
    }

    #[test]
    fn an_acknowledged_record_at_another_offset_is_lost() {
        let sent: &[(&[&str], Answer)] = &[(&["a"], Answer::Acknowledged(1)), (&["b"], Answer::Unknown)];
        let violations = check(&history(Promise::Plain, sent, &["a", "b"]));
        assert!(matches!(violations[..], [Violation::Lost { offset: 1, .. }]), "{violations:?}");
    }

    #[test]
    fn offsets_that_do_not_follow_each_other_are_a_gap() {
        let mut history = history(Promise::Plain, &[(&["a"], Answer::Unknown)], &["a"]);
        history.sent(PRODUCER, Promise::Plain, ConnectionNumber(0), 0, values(&["b"]));
        history.final_record(0, 2, b"b");
        assert_eq!(check(&history), [Violation::Gap { partition: 0, expected: 1, found: 2 }]);
    }

    #[test]
    fn a_value_nobody_sent_there_is_reported() {
        let mut history = history(Promise::Plain, &[(&["a"], Answer::Unknown)], &["a"]);
        history.final_record(1, 0, b"a");
        let value = "a".to_owned();
        assert_eq!(check(&history), [Violation::NeverSent { partition: 1, offset: 0, value }]);
    }

    #[test]
    fn a_refused_batch_must_not_be_in_the_log() {
        let violations = check(&history(Promise::Plain, &[(&["a"], Answer::Refused)], &["a"]));
        assert_eq!(
            violations,
            [Violation::RefusedButThere { batch: BatchNumber(0), partition: 0, offset: 0 }]
        );
    }

    #[test]
    fn a_record_at_two_offsets_is_a_duplicate() {
        let sent: &[(&[&str], Answer)] = &[(&["a"], Answer::Acknowledged(0)), (&["b"], Answer::Unknown)];
        let violations = check(&history(Promise::Idempotent, sent, &["a", "b", "a"]));
        assert_eq!(
            violations,
            [Violation::Duplicate { batch: BatchNumber(0), partition: 0, offsets: [0, 2] }]
        );
    }

    #[test]
    fn an_idempotent_producers_batches_lie_as_sent() {
        let sent: &[(&[&str], Answer)] = &[(&["a"], Answer::Unknown), (&["b"], Answer::Unknown)];
        let out_of_order = Violation::OutOfOrder {
            producer: PRODUCER,
            partition: 0,
            batches: [BatchNumber(0), BatchNumber(1)],
        };
        assert_eq!(check(&history(Promise::Idempotent, sent, &["b", "a"])), [out_of_order]);
    }

    #[test]
    fn a_plain_producers_lost_answer_leaves_the_order_open() {
        let unknown: &[(&[&str], Answer)] = &[(&["a"], Answer::Unknown), (&["b"], Answer::Acknowledged(0))];
        assert_eq!(check(&history(Promise::Plain, unknown, &["b", "a"])), []);
        let known: &[(&[&str], Answer)] =
            &[(&["a"], Answer::Acknowledged(1)), (&["b"], Answer::Acknowledged(0))];
        let violations = check(&history(Promise::Plain, known, &["b", "a"]));
        assert!(matches!(violations[..], [Violation::OutOfOrder { .. }]), "{violations:?}");
    }

    #[test]
    fn what_went_over_one_connection_lies_as_sent_answered_or_not() {
        for promise in [Promise::Plain, Promise::Unanswered] {
            let mut history = History::default();
            for (connection, value) in [(0, "a"), (0, "b"), (1, "c")] {
                history.sent(PRODUCER, promise, ConnectionNumber(connection), 0, values(&[value]));
            }
            let mut swapped = history.clone();
            for (offset, (as_sent, otherwise)) in (0..).zip([("c", "b"), ("a", "a"), ("b", "c")]) {
                history.final_record(0, offset, as_sent.as_bytes());
                swapped.final_record(0, offset, otherwise.as_bytes());
            }
            assert_eq!(check(&history), [], "another connection may overtake");
            let batches = [BatchNumber(0), BatchNumber(1)];
            assert_eq!(
                check(&swapped),
                [Violation::OutOfOrder { producer: PRODUCER, partition: 0, batches }]
            );
        }
    }

    #[test]
    fn a_batch_is_there_whole_or_not_at_all() {
        let sent: &[(&[&str], Answer)] = &[(&["a", "b"], Answer::Unknown), (&["c"], Answer::Unknown)];
        for log in [&["a"][..], &["b"], &["a", "c", "b"]] {
            let violations = check(&history(Promise::Plain, sent, log));
            assert!(matches!(violations[..], [Violation::TornBatch { .. }]), "{log:?}: {violations:?}");
        }
    }

    #[test]
    fn a_topic_is_there_from_its_creation_to_its_deletion() {
        use TopicNews::{Created, Deleted, Missed, Seen};
        let violations = |news: &[TopicNews]| {
            let mut history = History::default();
            news.iter().for_each(|news| history.topic_news(*news));
            check(&history)
        };
        assert_eq!(violations(&[Missed, Created, Seen, Seen, Deleted, Missed, Created, Seen]), []);
        assert_eq!(violations(&[Created, Missed]), [Violation::CreatedButGone { news: 1 }]);
        assert_eq!(violations(&[Created, Deleted, Seen]), [Violation::DeletedButThere { news: 2 }]);
    }

    #[test]
    fn a_report_of_damage_is_a_violation_of_its_own() {
        let mut history = history(Promise::Plain, &[(&["a"], Answer::Acknowledged(0))], &["a"]);
        history.damage_reported("a log is damaged".to_owned());
        assert_eq!(check(&history), [Violation::ReportedDamage { report: "a log is damaged".to_owned() }]);
    }

    #[test]
    fn what_a_fetcher_saw_stays() {
        let mut history = history(Promise::Plain, &[(&["a"], Answer::Unknown)], &["a"]);
        history.read(FETCHER, 0, 0, b"a");
        history.read(FETCHER, 0, 1, b"b");
        let (fetcher, partition) = (FETCHER, 0);
        let gone = Violation::ReadThenGone { fetcher, partition, offset: 1, found: None };
        assert_eq!(check(&history), [gone]);
    }

    #[test]
    fn a_fetcher_neither_skips_nor_goes_back() {
        let sent: &[(&[&str], Answer)] = &[(&["a", "b", "c"], Answer::Acknowledged(0))];
        for order in [[0, 2], [1, 0], [1, 1]] {
            let mut history = history(Promise::Plain, sent, &["a", "b", "c"]);
            for offset in order {
                history.read(FETCHER, 0, offset, [b"a", b"b", b"c"][offset as usize]);
            }
            let violations = check(&history);
            assert!(matches!(violations[..], [Violation::SkippedRead { .. }]), "{order:?}: {violations:?}");
        }
    }

    /// A log that begins at 2 and has 100 bytes, of which retention must leave `kept_bytes_min`.
    fn shortened(kept_bytes_min: u64, final_log: &[(i64, &str)]) -> History {
        let sent: &[(&[&str], Answer)] = &[
            (&["a", "b"], Answer::Acknowledged(0)),
            (&["c"], Answer::Acknowledged(2)),
            (&["d"], Answer::Acknowledged(3)),
        ];
        let mut history = history(Promise::Plain, sent, &[]);
        history.final_reading_begins(0, 2, kept_bytes_min);
        history.final_bytes(0, 100);
        final_log.iter().for_each(|(offset, value)| history.final_record(0, *offset, value.as_bytes()));
        history
    }

    #[test]
    fn what_retention_deleted_is_not_missed_and_all_behind_it_is() {
        let mut whole = shortened(100, &[(2, "c"), (3, "d")]);
        whole.read(FETCHER, 0, 0, b"a");
        whole.log_start_seen(FETCHER, 0, 2);
        whole.read(FETCHER, 0, 2, b"c");
        assert_eq!(check(&whole), []);
        let lost = check(&shortened(100, &[(2, "c")]));
        assert!(matches!(lost[..], [Violation::Lost { offset: 3, .. }]), "{lost:?}");
        let gap = check(&shortened(100, &[(3, "d")]));
        assert!(gap.contains(&Violation::Gap { partition: 0, expected: 2, found: 3 }), "{gap:?}");
    }

    #[test]
    fn retention_leaves_what_it_must() {
        let log = [(2, "c"), (3, "d")];
        let too_little = Violation::KeptTooLittle { partition: 0, start: 2, bytes: 100, kept_bytes_min: 101 };
        assert_eq!(check(&shortened(101, &log)), [too_little]);
    }

    #[test]
    fn the_begin_of_a_log_only_grows() {
        let log = [(2, "c"), (3, "d")];
        let mut later = shortened(0, &log);
        later.log_start_seen(FETCHER, 0, 3);
        assert_eq!(check(&later), [Violation::StartWentBack { partition: 0, seen: 3, found: 2 }]);
        let mut back = shortened(0, &log);
        back.log_start_seen(FETCHER, 0, 2);
        back.read(FETCHER, 0, 2, b"c");
        back.log_start_seen(FETCHER, 0, 1);
        back.read(FETCHER, 0, 1, b"b");
        let went_back = |seen| Violation::StartWentBack { partition: 0, seen, found: 1 };
        assert_eq!(check(&back), [went_back(3), went_back(2)], "behind what it read, and than it was told");
        let mut looked = shortened(0, &log);
        looked.log_start_looked_at(FETCHER, 0, 2);
        looked.log_start_looked_at(FETCHER, 0, 1);
        assert_eq!(check(&looked), [went_back(2)]);
        let mut jump = shortened(0, &log);
        jump.read(FETCHER, 0, 1, b"b");
        jump.read(FETCHER, 0, 3, b"d");
        assert!(matches!(check(&jump)[..], [Violation::SkippedRead { .. }]), "it was not told to");
    }
}
