//! Where in a partition's log each leader epoch began: how two replicas find the point at which they diverged
//! (KIP-101, KIP-279).
//!
//! ```text
//!   entries:   epoch 3 from 0      epoch 5 from 120      epoch 6 from 140          log end 150
//!   end_offset_for(5) = (5, 140)   end_offset_for(4) = (3, 120)   end_offset_for(6) = (6, 150)
//!   end_offset_for(7) = None       end_offset_for(1) = (1, 0): older than anything still in the log
//! ```
//!
//! Always true: epochs and start offsets both grow strictly from entry to entry. The file is a cache of what
//! the batches say (each carries its leader epoch) and is rebuilt from them when lost.

use std::fmt;
use std::fmt::Write;

use crate::ids::{LeaderEpoch, Offset};

/// One epoch and the offset of its first batch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Where it begins.
    pub start_offset: Offset,
}

/// The epochs of one partition's log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LeaderEpochs {
    entries: Vec<EpochEntry>,
}

impl LeaderEpochs {
    /// No epochs: an empty log.
    pub fn new() -> LeaderEpochs {
        LeaderEpochs::default()
    }

    /// Notes that `epoch` has a batch at `start_offset`, and returns whether that was news (the file is then to
    /// be written). Entries that contradict it - an epoch as new beginning at or after it, or a newer epoch -
    /// belong to a history that was truncated, and go.
    ///
    /// # Panics
    /// If either is negative: an appended batch has an epoch and an offset.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        assert!(epoch.0 >= 0 && start_offset.0 >= 0, "epoch {epoch} at {start_offset} is none");
        if self.latest().is_some_and(|latest| latest.epoch == epoch && latest.start_offset <= start_offset) {
            return false;
        }
        let contradicts = |entry: &EpochEntry| entry.epoch >= epoch || entry.start_offset >= start_offset;
        while self.entries.pop_if(|entry| contradicts(entry)).is_some() {}
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// The largest epoch that is not newer than `epoch`, and where it ends: at the next epoch's start, or at
    /// `log_end_offset` for the latest. `None` for an epoch this log has not reached. An epoch older than all
    /// known ones is answered with itself and the first known start: whoever asks shares nothing before it.
    pub fn end_offset_for(
        &self,
        epoch: LeaderEpoch,
        log_end_offset: Offset,
    ) -> Option<(LeaderEpoch, Offset)> {
        let latest = self.latest()?;
        if epoch == LeaderEpoch::UNKNOWN || epoch > latest.epoch {
            return None;
        }
        if epoch == latest.epoch {
            return Some((epoch, log_end_offset));
        }
        let newer = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let floor = newer.checked_sub(1).map_or(epoch, |index| self.entries[index].epoch);
        Some((floor, self.entries[newer].start_offset))
    }

    /// The epoch in which the batch at `offset` was appended.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|entry| entry.start_offset <= offset);
        after.checked_sub(1).map(|index| self.entries[index].epoch)
    }

    /// The log was cut: nothing from `end_offset` on exists any more.
    pub fn truncate_from_end(&mut self, end_offset: Offset) {
        let kept = self.entries.partition_point(|entry| entry.start_offset < end_offset);
        self.entries.truncate(kept);
    }

    /// The log now begins at `start_offset`. The epoch that holds this offset begins there too; with
    /// `3 from 0, 5 from 120, 6 from 140`, a start at 130 leaves `5 from 130, 6 from 140`.
    pub fn truncate_from_start(&mut self, start_offset: Offset) {
        let after = self.entries.partition_point(|entry| entry.start_offset <= start_offset);
        let Some(holding) = after.checked_sub(1) else { return };
        self.entries[holding].start_offset = start_offset;
        self.entries.drain(..holding);
    }

    /// Forgets everything, as when a log is started anew.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The newest entry.
    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// Kafka's `leader-epoch-checkpoint`: a version, how many entries, then `epoch start_offset` a line.
    pub fn to_checkpoint(&self) -> String {
        let mut text = format!("0\n{}\n", self.entries.len());
        for entry in &self.entries {
            writeln!(text, "{} {}", entry.epoch, entry.start_offset).expect("a String takes everything");
        }
        text
    }

    /// Reads a `leader-epoch-checkpoint`.
    pub fn from_checkpoint(text: &str) -> Result<LeaderEpochs, CheckpointFault> {
        let mut lines = text.lines();
        if lines.next().map(str::trim) != Some("0") {
            return Err(CheckpointFault::Version);
        }
        let promised = lines.next().and_then(|line| line.trim().parse::<usize>().ok());
        let promised = promised.ok_or(CheckpointFault::Count)?;
        let mut epochs = LeaderEpochs::new();
        for (line, text) in (3..).zip(lines) {
            let entry = parse_entry(text).ok_or(CheckpointFault::Line { line })?;
            if epochs.latest().is_some_and(|latest| !follows(latest, entry)) {
                return Err(CheckpointFault::Order { line });
            }
            epochs.entries.push(entry);
        }
        if epochs.entries.len() != promised {
            return Err(CheckpointFault::Count);
        }
        Ok(epochs)
    }
}

fn follows(earlier: EpochEntry, later: EpochEntry) -> bool {
    later.epoch > earlier.epoch && later.start_offset > earlier.start_offset
}

fn parse_entry(line: &str) -> Option<EpochEntry> {
    let mut words = line.split_ascii_whitespace();
    let epoch = words.next()?.parse::<u32>().ok()?;
    let start_offset = words.next()?.parse::<u64>().ok()?;
    if words.next().is_some() {
        return None;
    }
    let epoch = LeaderEpoch(i32::try_from(epoch).ok()?);
    Some(EpochEntry { epoch, start_offset: Offset(i64::try_from(start_offset).ok()?) })
}

/// Why a `leader-epoch-checkpoint` cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckpointFault {
    /// The first line is not version 0.
    Version,
    /// The second line is no number, or not that of the entries.
    Count,
    /// A line that is not an epoch and an offset.
    Line {
        /// Its number, from one.
        line: usize,
    },
    /// An entry that does not grow over the one before.
    Order {
        /// Its number, from one.
        line: usize,
    },
}

impl fmt::Display for CheckpointFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckpointFault::Version => write!(formatter, "it is not a checkpoint of version 0"),
            CheckpointFault::Count => write!(formatter, "it does not hold as many entries as it says"),
            CheckpointFault::Line { line } => write!(formatter, "line {line} is not an epoch and an offset"),
            CheckpointFault::Order { line } => {
                write!(formatter, "line {line} does not follow the one before")
            }
        }
    }
}

impl std::error::Error for CheckpointFault {}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_epochs() -> LeaderEpochs {
        let mut epochs = LeaderEpochs::new();
        assert!(epochs.assign(LeaderEpoch(3), Offset(0)));
        assert!(epochs.assign(LeaderEpoch(5), Offset(120)));
        assert!(epochs.assign(LeaderEpoch(6), Offset(140)));
        epochs
    }

    fn pairs(epochs: &LeaderEpochs) -> Vec<(i32, i64)> {
        epochs.entries().iter().map(|entry| (entry.epoch.0, entry.start_offset.0)).collect()
    }

    // L6
    #[test]
    fn an_epoch_ends_where_the_next_one_begins_and_the_latest_at_the_log_end() {
        let epochs = three_epochs();
        let end = |epoch| epochs.end_offset_for(LeaderEpoch(epoch), Offset(150)).map(|(e, o)| (e.0, o.0));
        assert_eq!(end(3), Some((3, 120)));
        assert_eq!(end(4), Some((3, 120)), "a skipped epoch is answered with the one before it");
        assert_eq!(end(5), Some((5, 140)));
        assert_eq!(end(6), Some((6, 150)));
    }

    // L6
    #[test]
    fn an_epoch_the_log_has_not_reached_has_no_end() {
        let epochs = three_epochs();
        assert_eq!(epochs.end_offset_for(LeaderEpoch(7), Offset(150)), None);
        assert_eq!(epochs.end_offset_for(LeaderEpoch::UNKNOWN, Offset(150)), None);
        assert_eq!(LeaderEpochs::new().end_offset_for(LeaderEpoch(0), Offset(0)), None);
    }

    // L6
    #[test]
    fn an_epoch_older_than_the_log_ends_where_the_log_begins() {
        let mut epochs = three_epochs();
        epochs.truncate_from_start(Offset(125));
        assert_eq!(epochs.end_offset_for(LeaderEpoch(3), Offset(150)), Some((LeaderEpoch(3), Offset(125))));
    }

    // L7
    #[test]
    fn each_epoch_is_noted_once_at_its_first_offset() {
        let mut epochs = three_epochs();
        assert!(!epochs.assign(LeaderEpoch(6), Offset(145)));
        assert_eq!(pairs(&epochs), [(3, 0), (5, 120), (6, 140)]);
    }

    // L7
    #[test]
    fn a_new_epoch_that_begins_earlier_removes_the_history_it_contradicts() {
        let mut epochs = three_epochs();
        assert!(epochs.assign(LeaderEpoch(7), Offset(130)));
        assert_eq!(pairs(&epochs), [(3, 0), (5, 120), (7, 130)]);
        assert!(epochs.assign(LeaderEpoch(8), Offset(130)), "an epoch without a batch leaves no trace");
        assert_eq!(pairs(&epochs), [(3, 0), (5, 120), (8, 130)]);
    }

    // L7
    #[test]
    fn cutting_the_log_at_either_end_cuts_the_epochs() {
        let mut epochs = three_epochs();
        epochs.truncate_from_end(Offset(140));
        assert_eq!(pairs(&epochs), [(3, 0), (5, 120)]);
        epochs.truncate_from_end(Offset(130));
        assert_eq!(pairs(&epochs), [(3, 0), (5, 120)], "epoch 5 still has the batches 120 to 129");

        let mut epochs = three_epochs();
        epochs.truncate_from_start(Offset(130));
        assert_eq!(pairs(&epochs), [(5, 130), (6, 140)]);
        epochs.truncate_from_start(Offset(140));
        assert_eq!(pairs(&epochs), [(6, 140)]);
        epochs.truncate_from_start(Offset(10));
        assert_eq!(pairs(&epochs), [(6, 140)], "a start before everything known changes nothing");
    }

    #[test]
    fn an_offset_belongs_to_the_epoch_that_began_before_it() {
        let epochs = three_epochs();
        assert_eq!(epochs.epoch_of(Offset(0)), Some(LeaderEpoch(3)));
        assert_eq!(epochs.epoch_of(Offset(139)), Some(LeaderEpoch(5)));
        assert_eq!(epochs.epoch_of(Offset(140)), Some(LeaderEpoch(6)));
        assert_eq!(LeaderEpochs::new().epoch_of(Offset(0)), None);
    }

    #[test]
    fn the_checkpoint_is_kafkas_and_reads_back() {
        let epochs = three_epochs();
        assert_eq!(epochs.to_checkpoint(), "0\n3\n3 0\n5 120\n6 140\n");
        assert_eq!(LeaderEpochs::from_checkpoint(&epochs.to_checkpoint()), Ok(epochs));
        assert_eq!(LeaderEpochs::from_checkpoint("0\n0\n"), Ok(LeaderEpochs::new()));
    }

    #[test]
    fn a_checkpoint_that_cannot_be_true_is_refused() {
        let fault = |text| LeaderEpochs::from_checkpoint(text).expect_err(text);
        assert_eq!(fault(""), CheckpointFault::Version);
        assert_eq!(fault("1\n0\n"), CheckpointFault::Version);
        assert_eq!(fault("0\nmany\n"), CheckpointFault::Count);
        assert_eq!(fault("0\n2\n0 0\n"), CheckpointFault::Count);
        assert_eq!(fault("0\n1\n0 -5\n"), CheckpointFault::Line { line: 3 });
        assert_eq!(fault("0\n1\n0 0 0\n"), CheckpointFault::Line { line: 3 });
        assert_eq!(fault("0\n1\n4294967295 0\n"), CheckpointFault::Line { line: 3 });
        assert_eq!(fault("0\n2\n3 7\n2 9\n"), CheckpointFault::Order { line: 4 });
        assert_eq!(fault("0\n2\n3 7\n4 7\n"), CheckpointFault::Order { line: 4 });
    }
}
