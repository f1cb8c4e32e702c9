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
//! | `ReadBelowStart` | a record was asked for and found below where the log was known to begin |
//! | `DeletedTooMuch`, `DeletedTooLittle` | the log begins behind what anybody asked to delete, or before what was granted to be deleted |
//! | `EndWentBack` | an offset that was within the log is refused as being beyond it |
//! | `EndBelowAcknowledged` | a reader was told of an end of the log below what had been acknowledged before it asked |
//! | `ConfigLost` | a described configuration is not what was granted last |
//! | `ConfigTorn` | it is neither that nor what an unanswered change would make of it |
//! | `ConfigNotFollowed` | the broker acts by another value than was granted |
//! | `DoubleOwner`, `ReassignedInGeneration` | two members were given one partition in one generation, or one member two assignments |
//! | `GenerationWentBack` | a member that joins is told a generation before one whose assignment was granted |
//! | `NotSettled` | a group whose members do all they should has not come to rest |
//! | `CommitLost`, `CommitWentBack` | a commit was granted or told, and now there is none, or an earlier one |
//! | `NeverCommitted`, `RefusedCommitThere` | an offset is told that nobody committed, or whose commit was refused |
//! | `RemovedCommitThere` | an offset is told that was granted to be removed |
//! | `DeletedButOnDisk` | a file of a topic is left whose deletion was granted |
//! | `ReportedDamage` | the broker took something for damage that is none, or named other bytes or offsets |
//! | `DamageNotFound` | a damaged block was read by nobody, and not reported within the period of scrubbing |
//! | `DamageServed` | records that lie in a damaged block were served from the disk |
//! | `RefusedSound` | records were refused as damaged that are not |
//!
//! Always true: a history without violations shows none; each rule is checked against every record.

mod commits;
mod configs;
#[cfg(test)]
mod group_tests;
mod groups;
mod log_starts;
mod partition;
mod rot;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use crate::config_history::{Resource, Values};
use crate::group_history::{CommitNumber, GroupNumber};
use crate::history::{BatchNumber, FetcherNumber, History, PartitionNumber, ProducerNumber, TopicNews};
use partition::PartitionView;

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
    ReadBelowStart { partition: PartitionNumber, offset: i64, start: i64 },
    DeletedTooMuch { partition: PartitionNumber, start: i64, asked: i64 },
    DeletedTooLittle { partition: PartitionNumber, start: i64, asked: i64 },
    EndWentBack { partition: PartitionNumber, seen: i64, refused: i64 },
    EndBelowAcknowledged { partition: PartitionNumber, acknowledged: i64, told: i64 },
    ConfigLost { resource: Resource, expected: Values, found: Values },
    ConfigTorn { resource: Resource, before: Values, after: Values, found: Values },
    ConfigNotFollowed { resource: Resource, key: &'static str, value: String, seen: String },
    DoubleOwner { group: GroupNumber, generation: i32, partition: i32, owners: [String; 2] },
    ReassignedInGeneration { group: GroupNumber, generation: i32, owner: String },
    GenerationWentBack { group: GroupNumber, seen: i32, found: i32 },
    NotSettled { group: GroupNumber, members: String },
    CommitLost { group: GroupNumber, partition: i32, commit: CommitNumber },
    CommitWentBack { group: GroupNumber, partition: i32, expected: CommitNumber, found: CommitNumber },
    NeverCommitted { group: GroupNumber, partition: i32, what: String },
    RefusedCommitThere { group: GroupNumber, partition: i32, commit: CommitNumber },
    RemovedCommitThere { group: GroupNumber, partition: i32, commit: CommitNumber },
    DeletedButThere { news: usize },
    CreatedButGone { news: usize },
    DeletedButOnDisk { path: String },
    ReportedDamage { report: String },
    DamageNotFound { partition: PartitionNumber, path: String, bytes: Range<u64>, offsets: Range<i64> },
    DamageServed { partition: PartitionNumber, offset: i64, path: String, bytes: Range<u64> },
    RefusedSound { partition: PartitionNumber, offset: i64 },
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
        PartitionView::new(history, partition).check(&mut violations);
    }
    log_starts::check(history, &mut violations);
    configs::check(history, &mut violations);
    groups::check(history, &mut violations);
    commits::check(history, &mut violations);
    check_news(history, &mut violations);
    violations.extend(history.ends_below().iter().map(|end| Violation::EndBelowAcknowledged {
        partition: end.partition,
        acknowledged: end.acknowledged,
        told: end.told,
    }));
    let left = history.files_left().iter();
    violations.extend(left.map(|path| Violation::DeletedButOnDisk { path: path.clone() }));
    rot::check(history, &mut violations);
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
