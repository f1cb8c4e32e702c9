//! Making and deleting a partition's directory.
//!
//! ```text
//!   create:  directory ──► partition.metadata, first segment ──► sync it ──► sync the data directory
//!   delete:  no more batches ──► writer at rest ──► rename to ...-delete ──► sync ──► in the background: remove the files
//!            ──► a checkpoint without the log ──► remove the directory
//! ```
//!
//! Always true: one task at a time works on the directory of a name. A log that `create` returned has a directory
//! that survives a crash; a log that `delete` returned for does not come back. Whatever is found under a wanted
//! name and is not ours is moved aside, never removed.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use ringlog_core::ids::{Offset, TopicId};
use ringlog_runtime::environment::{DiskFailure, Environment, OpenMode, TaskClass};

use crate::config::LogConfig;
use crate::disk::{read_file, replace_file, with_suffix};
use crate::failure::{Damage, StoreFailure};
use crate::format::checkpoint::PartitionRecord;
use crate::format::names::{
    SegmentFile, deleted_directory, partition_directory, partition_metadata, segment_path, stray_directory,
};
use crate::format::partition_metadata as metadata_text;
use crate::log::state::LogState;
use crate::log::{LogIdentity, LogShared, SegmentSummary};
use crate::signal::Signal;
use crate::store::StoreShared;
use crate::store::space::WhenSpent;

/// `partition.metadata` is two short lines.
const METADATA_BYTES_MAX: usize = 4096;

/// The directories that a task works on.
#[derive(Default)]
pub(crate) struct ClaimedDirectories {
    paths: RefCell<BTreeSet<PathBuf>>,
    changed: Signal,
}

/// The right to work on a directory; gone with its holder, finished or not.
pub(crate) struct Claim<'c> {
    claimed: &'c ClaimedDirectories,
    path: PathBuf,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.claimed.paths.borrow_mut().remove(&self.path);
        self.claimed.changed.notify();
    }
}

/// Waits until no other task works on a directory.
pub(crate) async fn claim<'c>(claimed: &'c ClaimedDirectories, directory: &Path) -> Claim<'c> {
    claimed.changed.when(|| claimed.paths.borrow_mut().insert(directory.to_owned())).await;
    Claim { claimed, path: directory.to_owned() }
}

/// Opens or makes a log.
pub(super) async fn create<E: Environment>(
    store: &Rc<StoreShared<E>>,
    identity: LogIdentity,
    config: LogConfig,
) -> Result<Rc<LogShared>, StoreFailure> {
    store.check()?;
    if store.is_closing() {
        return Err(StoreFailure::Closed);
    }
    let directory = partition_directory(&store.data_dir, &identity.topic, identity.id.partition);
    let _claim = claim(&store.claimed_directories, &directory).await;
    let existing = store.logs.borrow().get(&identity.id).cloned();
    if let Some(log) = existing {
        log.state.borrow_mut().config = config;
        return Ok(log);
    }
    let recovered = store.recovered.partition(identity.id);
    let (record, sealed, damage) = match recovered {
        Some(found) => (found.record.clone(), found.sealed.clone(), found.damage.clone()),
        None => {
            // Each step of it goes on from what an earlier attempt left.
            let make = async || make_directory(store, &identity, &directory).await;
            store.with_room(WhenSpent::GiveUp, make).await?;
            (empty_record(&identity), Vec::new(), None)
        }
    };
    Ok(insert(store, identity, directory, record, sealed, damage, config))
}

fn insert<E: Environment>(
    store: &StoreShared<E>,
    identity: LogIdentity,
    directory: std::path::PathBuf,
    record: PartitionRecord,
    sealed: Vec<SegmentSummary>,
    damage: Option<Arc<Damage>>,
    config: LogConfig,
) -> Rc<LogShared> {
    let mut state = LogState::new(record, sealed, config, store.config.producers_max, store.env.wall_clock());
    state.damage = damage;
    let id = identity.id;
    let log = LogShared { identity, directory, state: state.into(), changed: Signal::default() };
    let log = Rc::new(log);
    store.logs.borrow_mut().insert(id, log.clone());
    log
}

/// What is known of a log without a record.
pub(crate) fn empty_record(identity: &LogIdentity) -> PartitionRecord {
    PartitionRecord {
        topic_id: identity.id.topic.0,
        topic: identity.topic.to_string(),
        partition: identity.id.partition.0,
        max_timestamp: -1,
        open_checksums: Some((0, 0)),
        ..PartitionRecord::default()
    }
}

/// Whose records a partition's directory says that it holds; `None` if it does not say, or is not there.
pub(crate) async fn owner<E: Environment>(env: &E, directory: &Path) -> Result<Option<TopicId>, DiskFailure> {
    let metadata = read_file(env, &partition_metadata(directory), METADATA_BYTES_MAX).await?;
    Ok(metadata.as_deref().and_then(metadata_text::parse))
}

async fn make_directory<E: Environment>(
    store: &StoreShared<E>,
    identity: &LogIdentity,
    directory: &Path,
) -> Result<(), DiskFailure> {
    let env = &store.env;
    let metadata = partition_metadata(directory);
    let is_ours = owner(env, directory).await? == Some(identity.id.topic);
    if !is_ours && is_occupied(env, directory).await? {
        let aside = stray_directory(directory, env.random());
        tracing::warn!(directory = %directory.display(), aside = %aside.display(),
            "a directory of another topic stood where a new one belongs; it was moved aside");
        env.rename(directory, &aside).await?;
        store.forget_files(directory);
    }
    env.create_directory(directory).await?;
    // A crash here leaves an empty directory, or one that says whose it is: the next attempt goes on.
    replace_file(env, &metadata, metadata_text::to_text(identity.id.topic).as_bytes()).await?;
    env.open(&segment_path(directory, Offset::ZERO, SegmentFile::Log), OpenMode::DirectWrite).await?;
    env.sync_directory(directory).await?;
    env.sync_directory(&store.data_dir).await
}

/// Whether something lies in a directory, apart from what an attempt to make it left that a crash cut short.
async fn is_occupied<E: Environment>(env: &E, directory: &Path) -> Result<bool, DiskFailure> {
    let unfinished = unfinished_metadata(directory);
    match env.list_directory(directory).await {
        Ok(entries) => Ok(entries.iter().any(|entry| directory.join(&entry.name) != unfinished)),
        Err(failure) if failure.is_not_found() => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Whether all that lies in a directory is what an attempt to make it left that was cut short.
pub(crate) async fn is_unfinished<E: Environment>(env: &E, directory: &Path) -> Result<bool, DiskFailure> {
    let unfinished = unfinished_metadata(directory);
    let entries = env.list_directory(directory).await?;
    Ok(!entries.is_empty() && entries.iter().all(|entry| directory.join(&entry.name) == unfinished))
}

/// What `partition.metadata` is called before it is whole.
fn unfinished_metadata(directory: &Path) -> PathBuf {
    with_suffix(&partition_metadata(directory), ".tmp")
}

/// Deletes a log.
pub(super) async fn delete<E: Environment>(
    store: &Rc<StoreShared<E>>,
    log: &Rc<LogShared>,
) -> Result<(), StoreFailure> {
    if std::mem::replace(&mut log.state.borrow_mut().is_closed, true) {
        return Ok(());
    }
    log.changed.notify();
    let _claim = claim(&store.claimed_directories, &log.directory).await;
    log.changed.when(|| !log.state.borrow().writer.is_running).await;
    store.forget(log);
    store.check()?;
    let env = &store.env;
    let aside = deleted_directory(&log.directory, env.random());
    // The longer name may need room, and who deletes to make room must not wait for it.
    store.with_room(WhenSpent::GiveUp, async || env.rename(&log.directory, &aside).await).await?;
    // Once more: a read under way may have opened a file by its old name meanwhile, and the next log of that name is not it.
    store.forget_files(&log.directory);
    // A crash before the sync may bring the log back; its topic is deleted, so nobody opens it.
    env.sync_directory(&store.data_dir).await?;
    let store = store.clone();
    store.clone().env.spawn(TaskClass::Storage, async move {
        // The directory says that the log was deleted until a checkpoint does. Its files are not needed for that, and a
        // checkpoint may need their room.
        if let Err(failure) = remove_segments(&store.env, &aside).await {
            tracing::warn!(%failure, "a deleted log's files remain; the next start removes them");
            return;
        }
        store.housekeeping.checkpoint(&store).await;
        if store.check().is_err() {
            return;
        }
        if let Err(failure) = remove_directory(&store.env, &aside).await {
            tracing::warn!(%failure, "a deleted log's files remain; the next start removes them");
        }
    });
    Ok(())
}

/// Removes everything in a directory but what says whose it is.
async fn remove_segments<E: Environment>(env: &E, directory: &Path) -> Result<(), DiskFailure> {
    let metadata = partition_metadata(directory);
    for entry in env.list_directory(directory).await? {
        let path = directory.join(&entry.name);
        if path != metadata {
            env.remove_file(&path).await?;
        }
    }
    Ok(())
}

/// Removes a directory of files.
pub(crate) async fn remove_directory<E: Environment>(env: &E, directory: &Path) -> Result<(), DiskFailure> {
    for entry in env.list_directory(directory).await? {
        env.remove_file(&directory.join(&entry.name)).await?;
    }
    env.remove_directory(directory).await
}
