//! Where logs begin, as clients asked for it and were told: evidence for the checker.
//!
//! ```text
//!   floor(partition)          where a log surely begins, or later, before a request is sent
//!   told(partition, floor)    the answer to a question that was asked with that floor known
//!   deletion                  asked(at least, at most) ──► granted(low watermark) | refused | nothing: it may be done
//! ```
//!
//! Always true: a floor is what somebody was told before; it only grows.

use std::collections::BTreeMap;

use crate::history::PartitionNumber;

/// Names a deletion within a history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeletionNumber(usize);

/// A wish that a log begin later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deletion {
    /// Of which log.
    pub partition: PartitionNumber,
    /// What lies below was to go, all of it.
    pub at_least: i64,
    /// What lies here or above was to stay.
    pub at_most: i64,
    /// Where the log begins, if the wish was granted.
    pub low_watermark: Option<i64>,
}

/// A client that was told something about offsets which the floor it knew of denies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    /// Of which log.
    pub partition: PartitionNumber,
    /// Where the log began at least when the client asked.
    pub floor: i64,
    /// The offset it was told of.
    pub offset: i64,
}

/// All there is to know about where logs begin.
#[derive(Clone, Default, Debug)]
pub struct LogStarts {
    floors: BTreeMap<PartitionNumber, i64>,
    went_back: Vec<Told>,
    read_below: Vec<Told>,
    deletions: Vec<Deletion>,
    refused_within: Vec<Told>,
}

impl LogStarts {
    /// Where a log begins at least.
    pub fn floor(&self, partition: PartitionNumber) -> i64 {
        self.floors.get(&partition).copied().unwrap_or_default()
    }

    /// A client that asked when `floor` was known is told where a log begins.
    pub fn told(&mut self, partition: PartitionNumber, floor: i64, offset: i64) {
        if offset < floor {
            self.went_back.push(Told { partition, floor, offset });
        }
        self.raise(partition, offset);
    }

    /// A client that asked for an offset when `floor` was known is answered as if that were there.
    pub fn read(&mut self, partition: PartitionNumber, floor: i64, offset: i64) {
        if offset < floor {
            self.read_below.push(Told { partition, floor, offset });
        }
    }

    /// A client asks that a log begin at `at_least`, or later, and no later than `at_most`.
    pub fn deletion_asked(
        &mut self,
        partition: PartitionNumber,
        at_least: i64,
        at_most: i64,
    ) -> DeletionNumber {
        self.deletions.push(Deletion { partition, at_least, at_most, low_watermark: None });
        DeletionNumber(self.deletions.len() - 1)
    }

    /// It turns out that a deletion cannot have come, and will not come, beyond `at_most`.
    pub fn deletion_bounded(&mut self, number: DeletionNumber, at_most: i64) {
        let deletion = &mut self.deletions[number.0];
        deletion.at_most = deletion.at_most.min(at_most);
    }

    /// A deletion is granted: the log begins here.
    pub fn deletion_granted(&mut self, number: DeletionNumber, low_watermark: i64) {
        let deletion = &mut self.deletions[number.0];
        deletion.low_watermark = Some(low_watermark);
        self.raise(self.deletions[number.0].partition, low_watermark);
    }

    /// A deletion up to an offset that was within the log before is refused because it is not.
    pub fn deletion_refused_within(&mut self, partition: PartitionNumber, end: i64, offset: i64) {
        self.refused_within.push(Told { partition, floor: end, offset });
    }

    fn raise(&mut self, partition: PartitionNumber, offset: i64) {
        let floor = self.floors.entry(partition).or_default();
        *floor = offset.max(*floor);
    }

    /// Begins of logs that lie before what was known of them.
    pub fn went_back(&self) -> &[Told] {
        &self.went_back
    }

    /// Reads of what was known to be gone.
    pub fn read_below(&self) -> &[Told] {
        &self.read_below
    }

    /// Deletions up to what was known to be there, refused as if it were not.
    pub fn refused_within(&self) -> &[Told] {
        &self.refused_within
    }

    /// Every deletion, in the order they were asked for.
    pub fn deletions(&self) -> &[Deletion] {
        &self.deletions
    }

    /// How many were granted.
    pub fn deletions_granted(&self) -> usize {
        self.deletions.iter().filter(|deletion| deletion.low_watermark.is_some()).count()
    }

    /// Up to where clients have asked that a log's records go.
    pub fn deletable_to(&self, partition: PartitionNumber) -> i64 {
        let of_partition = self.deletions.iter().filter(|deletion| deletion.partition == partition);
        of_partition.map(|deletion| deletion.at_most).max().unwrap_or_default()
    }
}
