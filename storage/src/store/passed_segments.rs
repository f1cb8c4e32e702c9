//! Removing the files of segments that lie below their log's start.
//!
//! ```text
//!   the start's note is in the journal ──► segments leave the log ──► file.delete.delay.ms
//!     ──► two checkpoints without them ──► files go
//! ```
//!
//! The delay is for readers who planned to read a segment before it left. The files keep their names meanwhile, where
//! Kafka renames them: the log's start says which of them are deleted, and one durable fact is better than two.
//!
//! Always true: a file goes only after both kept checkpoints name a start above it, so whichever of them a start
//! reads, it misses nothing. A crash before: the next start knows the files by the log's start, and removes them.

use std::rc::Rc;

use ringlog_core::ids::Offset;
use ringlog_runtime::environment::{DiskFailure, Environment, TaskClass};

use crate::disk::remove_file_if_present;
use crate::format::names::{SegmentFile, segment_path};
use crate::log::LogShared;
use crate::store::StoreShared;
use crate::store::directories::claim;

// Nothing here is bounded by a number of its own: what waits are offsets of segments that exist as files.

/// Every file of a segment. The log goes last: by it a start finds the others.
pub(crate) const SEGMENT_FILES: [SegmentFile; 4] =
    [SegmentFile::OffsetIndex, SegmentFile::TimeIndex, SegmentFile::Checksums, SegmentFile::Log];

/// Starts to remove what a log passed, if there is anything.
pub(crate) fn remove_soon<E: Environment>(store: &Rc<StoreShared<E>>, log: &Rc<LogShared>) {
    let passed = std::mem::take(&mut log.state.borrow_mut().passed);
    if passed.is_empty() {
        return;
    }
    let (task_store, log) = (store.clone(), log.clone());
    store.env.spawn(TaskClass::Storage, async move { remove(&task_store, &log, &passed).await });
}

async fn remove<E: Environment>(store: &Rc<StoreShared<E>>, log: &Rc<LogShared>, passed: &[Offset]) {
    let delay = log.state.borrow().config.file_delete_delay;
    store.env.sleep_until(store.env.now() + delay).await;
    for _ in 0..2 {
        if store.is_over() {
            return;
        }
        store.housekeeping.checkpoint(store).await;
    }
    if store.check().is_err() {
        return;
    }
    // While this is held nobody renames the directory, or makes another of its name.
    let _claim = claim(&store.claimed_directories, &log.directory).await;
    if log.state.borrow().is_closed {
        return;
    }
    for base_offset in passed {
        if let Err(failure) = remove_segment(store, log, *base_offset).await {
            tracing::warn!(%failure, "a deleted segment's files remain; the next start removes them");
        }
    }
}

async fn remove_segment<E: Environment>(
    store: &StoreShared<E>,
    log: &LogShared,
    base_offset: Offset,
) -> Result<(), DiskFailure> {
    for kind in SEGMENT_FILES {
        let path = segment_path(&log.directory, base_offset, kind);
        remove_file_if_present(&store.env, &path).await?;
        // Behind it: a reader may open a file up to the moment in which it is gone.
        store.forget_files(&path);
    }
    Ok(())
}
