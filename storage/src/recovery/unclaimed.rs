//! Logs that no topic has: what a start does with them, once it has read the metadata.
//!
//! ```text
//!   the metadata log says that the topic was deleted ──► the deletion is brought to its end: ...-delete, removed
//!   it never heard of the topic                      ──► ...-stray: kept for whoever knows better
//! ```
//!
//! A deletion is granted when its record is stable; the directory is renamed after that, so a crash may leave it. A topic
//! that nobody heard of comes from another broker, or from a metadata log that was lost and restored.
//!
//! A checkpoint may know a log whose directory went away, and its name may have been given to another topic since. So a name says
//! nothing: whose a directory is, its `partition.metadata` says.
//!
//! Always true: nothing is removed but on the word of a record that says so, and nothing is renamed that does not name the very log that
//! is to go. Cut short anywhere and begun again, it comes to the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringlog_core::ids::TopicPartition;
use ringlog_runtime::environment::{DiskFailure, Environment};

use super::{Recovered, directories, write};
use crate::format::names::{deleted_directory, partition_directory, stray_directory};
use crate::store::directories::owner;

/// What the metadata says of a log's topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It has this partition.
    Claimed,
    /// It was deleted.
    Deleted,
    /// There never was such a topic.
    Unknown,
}

/// Directories that were moved out of the way.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Unclaimed {
    /// Of deleted topics: they are gone.
    pub removed: Vec<PathBuf>,
    /// Of unknown topics: what they were called, and what they are called now.
    pub aside: Vec<(PathBuf, PathBuf)>,
}

/// Moves the directories of logs out of the way that no topic has. To be called before any shard opens its store.
///
/// # Errors
/// The disk refuses; the next start goes on.
pub async fn settle_unclaimed<E: Environment>(
    env: &E,
    data_dir: &Path,
    recovered: &mut Arc<Recovered>,
    standing: impl Fn(TopicPartition) -> Standing,
) -> Result<Unclaimed, DiskFailure> {
    let known = recovered.partitions.iter();
    let known =
        known.map(|(id, found)| (*id, partition_directory(data_dir, &found.record.topic, id.partition)));
    let passed_over = recovered.passed_over.iter().map(|(id, directory)| (*id, directory.clone()));
    let with_standing = known.chain(passed_over).map(|(id, directory)| (id, directory, standing(id)));
    let without: Vec<_> = with_standing.filter(|(_, _, standing)| *standing != Standing::Claimed).collect();
    let mut unclaimed = Unclaimed::default();
    if without.is_empty() {
        return Ok(unclaimed);
    }
    let recovered = Arc::get_mut(recovered).expect("nobody else has it before the stores are opened");
    let mut leftovers = Vec::new();
    for (id, directory, standing) in without {
        if owner(env, &directory).await? != Some(id.topic) {
            // A checkpoint knows it. Its directory is gone, moved aside when the name was given to another topic, or by an earlier
            // attempt; what has the name now is not its.
            recovered.forget(id);
            continue;
        }
        let aside = match standing {
            Standing::Deleted => deleted_directory(&directory, env.random()),
            _ => stray_directory(&directory, env.random()),
        };
        // Known until then: the next start goes on where the disk refused.
        env.rename(&directory, &aside).await?;
        recovered.forget(id);
        match standing {
            Standing::Deleted => {
                let name = aside.file_name().expect("it has just got one");
                leftovers.push(name.to_string_lossy().into_owned());
                unclaimed.removed.push(directory);
            }
            _ => unclaimed.aside.push((directory, aside)),
        }
    }
    // What is renamed must not come back once no checkpoint knows it.
    env.sync_directory(data_dir).await?;
    write(env, data_dir, recovered).await?;
    directories::remove_deleted(env, data_dir, &leftovers).await?;
    Ok(unclaimed)
}
