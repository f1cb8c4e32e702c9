//! What can go wrong, one enum per door: opening a store, appending, reading. Damage found on disk always comes
//! with the file and the exact range.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use ringlog_core::ids::{LeaderEpoch, Offset, TopicId, TopicPartition};
use ringlog_runtime::environment::DiskFailure;

/// Bytes on disk that should be whole and are not. Never dropped silently: below the durable end there is
/// nothing to drop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The file or directory.
    pub path: PathBuf,
    /// Which bytes of it.
    pub bytes: Range<u64>,
    /// What they should hold, if they belong to a log.
    pub offsets: Option<Range<i64>>,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { path, bytes, offsets, reason } = self;
        write!(formatter, "{} is damaged at bytes {}..{}", path.display(), bytes.start, bytes.end)?;
        if let Some(offsets) = offsets {
            write!(formatter, " (offsets {}..{})", offsets.start, offsets.end)?;
        }
        write!(formatter, ": {reason}")
    }
}

impl std::error::Error for Damage {}

/// Why a store or a log of it cannot be opened, made, deleted or closed.
#[derive(Debug)]
pub enum StoreFailure {
    /// The disk refused.
    Disk(DiskFailure),
    /// The store had failed before and takes nothing any more.
    Fenced(Rc<DiskFailure>),
    /// A file of our own does not hold what it must: the store does not start.
    Damaged(Damage),
    /// The store is closing or closed, or the log deleted.
    Closed,
}

impl From<DiskFailure> for StoreFailure {
    fn from(failure: DiskFailure) -> StoreFailure {
        StoreFailure::Disk(failure)
    }
}

impl From<Damage> for StoreFailure {
    fn from(damage: Damage) -> StoreFailure {
        StoreFailure::Damaged(damage)
    }
}

impl fmt::Display for StoreFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreFailure::Disk(failure) => failure.fmt(formatter),
            StoreFailure::Fenced(failure) => write!(formatter, "the data directory failed before: {failure}"),
            StoreFailure::Damaged(damage) => write!(
                formatter,
                "{damage}. Nothing was changed. Restore the file from a copy, or move the data directory away \
                 to start empty"
            ),
            StoreFailure::Closed => write!(formatter, "the log is closed"),
        }
    }
}

impl std::error::Error for StoreFailure {}

/// Why a batch was not appended. The log is as before.
#[derive(Clone, Debug)]
pub enum AppendError {
    /// The data directory failed: nothing is taken any more.
    Failed(Rc<DiskFailure>),
    /// The log is damaged below its durable end and refused as a whole.
    Damaged(Arc<Damage>),
    /// The log is deleted or its store closed.
    Closed,
    /// No memory for it now: wait for `ready` and try again.
    NoRoom,
    /// A batch of an older leader epoch than the log's last.
    EpochWentBack {
        /// The log's.
        latest: LeaderEpoch,
        /// The batch's.
        found: LeaderEpoch,
    },
    /// Given offsets that the log has passed.
    OffsetWentBack {
        /// Where the log ends.
        log_end_offset: Offset,
        /// Where the batch begins.
        found: Offset,
    },
}

impl fmt::Display for AppendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::Failed(failure) => write!(formatter, "the data directory failed: {failure}"),
            AppendError::Damaged(damage) => damage.fmt(formatter),
            AppendError::Closed => write!(formatter, "the log is closed"),
            AppendError::NoRoom => write!(formatter, "no memory for the batch"),
            AppendError::EpochWentBack { latest, found } => {
                write!(formatter, "a batch of leader epoch {found} after one of {latest}")
            }
            AppendError::OffsetWentBack { log_end_offset, found } => {
                write!(formatter, "a batch at offset {found} for a log that ends at {log_end_offset}")
            }
        }
    }
}

impl std::error::Error for AppendError {}

/// Why records cannot be read.
#[derive(Clone, Debug)]
pub enum ReadError {
    /// The log does not hold this offset.
    OffsetOutOfRange {
        /// Asked for.
        asked: Offset,
        /// The first there is.
        log_start_offset: Offset,
        /// The first there is not.
        log_end_offset: Offset,
    },
    /// The bytes are not what was written; nothing of them was served.
    Damaged(Arc<Damage>),
    /// The disk refused.
    Disk(Rc<DiskFailure>),
    /// No memory for the bytes now.
    NoRoom,
    /// The log is deleted or its store closed.
    Closed,
}

impl ReadError {
    /// Whether something is wrong with the bytes, so that the same read fails again.
    pub fn is_of_the_bytes(&self) -> bool {
        match self {
            ReadError::Damaged(_) => true,
            ReadError::Disk(failure) => failure.is_unreadable(),
            ReadError::OffsetOutOfRange { .. } | ReadError::NoRoom | ReadError::Closed => false,
        }
    }
}

impl From<Damage> for ReadError {
    fn from(damage: Damage) -> ReadError {
        ReadError::Damaged(Arc::new(damage))
    }
}

impl From<DiskFailure> for ReadError {
    fn from(failure: DiskFailure) -> ReadError {
        ReadError::Disk(Rc::new(failure))
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::OffsetOutOfRange { asked, log_start_offset, log_end_offset } => {
                write!(formatter, "offset {asked} is not in {log_start_offset}..{log_end_offset}")
            }
            ReadError::Damaged(damage) => damage.fmt(formatter),
            ReadError::Disk(failure) => failure.fmt(formatter),
            ReadError::NoRoom => write!(formatter, "no memory to read into"),
            ReadError::Closed => write!(formatter, "the log is closed"),
        }
    }
}

impl std::error::Error for ReadError {}

/// Why a log does not give up its oldest segments now.
#[derive(Clone, Debug)]
pub enum RetireError {
    /// How old a segment is cannot be found out.
    Look(ReadError),
    /// The log takes no new start.
    Advance(AppendError),
}

impl From<ReadError> for RetireError {
    fn from(error: ReadError) -> RetireError {
        RetireError::Look(error)
    }
}

impl From<AppendError> for RetireError {
    fn from(error: AppendError) -> RetireError {
        RetireError::Advance(error)
    }
}

impl fmt::Display for RetireError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RetireError::Look(error) => write!(formatter, "a segment cannot be looked at: {error}"),
            RetireError::Advance(error) => write!(formatter, "the log takes no new start: {error}"),
        }
    }
}

impl std::error::Error for RetireError {}

/// A partition directory that is not what its name or the broker's metadata says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StrayDirectory {
    /// Where it was.
    pub path: PathBuf,
    /// Whose it says it is.
    pub found: Option<TopicId>,
    /// Whose it should have been.
    pub wanted: TopicPartition,
}
