//! `meta.properties`: whose data directory this is, written as Kafka writes it.
//!
//! ```text
//!   #                                   made once, when the directory is first used;
//!   cluster.id=22 characters            compared at every later start, so that a directory is never
//!   directory.id=22 characters          served by another broker or in another cluster
//!   node.id=1
//!   version=1
//! ```
//!
//! Always true: the file is whole or absent: it is written beside its place, synced and renamed.

use std::fmt;
use std::path::{Path, PathBuf};

use ringlog_core::config::properties;
use ringlog_core::ids::{BrokerId, TopicId};
use ringlog_runtime::environment::{DiskFailure, Environment, File, OpenMode, WriteSync};

/// What the file is called.
pub const FILE_NAME: &str = "meta.properties";
const UNFINISHED_NAME: &str = "meta.properties.tmp";
const VERSION: &str = "1";

/// Five short lines, and room for comments.
const BYTES_MAX: usize = 16 * 1024;

/// Whose data directory it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetaProperties {
    /// The cluster, 22 characters.
    pub cluster_id: String,
    /// The broker.
    pub node_id: BrokerId,
    /// The directory itself: drawn when it is first used.
    pub directory_id: TopicId,
}

/// Why a directory's `meta.properties` cannot be used.
#[derive(Debug)]
pub enum MetaPropertiesFailure {
    /// A file operation failed.
    Disk(DiskFailure),
    /// The file does not say what it should.
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No memory to read it.
    Memory,
}

impl fmt::Display for MetaPropertiesFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MetaPropertiesFailure::Disk(failure) => failure.fmt(formatter),
            MetaPropertiesFailure::Malformed { path, reason } => write!(
                formatter,
                "{} cannot be used: {reason}; restore it, or give an empty data directory",
                path.display()
            ),
            MetaPropertiesFailure::Memory => formatter.write_str("no I/O memory to read meta.properties"),
        }
    }
}

impl std::error::Error for MetaPropertiesFailure {}

impl From<DiskFailure> for MetaPropertiesFailure {
    fn from(failure: DiskFailure) -> MetaPropertiesFailure {
        MetaPropertiesFailure::Disk(failure)
    }
}

impl MetaProperties {
    /// Reads the file of a data directory; `None` if the directory was never used.
    ///
    /// # Errors
    /// [`MetaPropertiesFailure::Malformed`] for a file that is there and does not say all it should.
    pub async fn read<E: Environment>(
        env: &E,
        data_dir: &Path,
    ) -> Result<Option<MetaProperties>, MetaPropertiesFailure> {
        let path = data_dir.join(FILE_NAME);
        let file = match env.open(&path, OpenMode::BufferedRead).await {
            Ok(file) => file,
            Err(failure) if failure.is_not_found() => return Ok(None),
            Err(failure) => return Err(failure.into()),
        };
        let buffer = env.arena().allocate(BYTES_MAX).map_err(|_| MetaPropertiesFailure::Memory)?;
        let bytes = file.read_at(0, buffer).await?;
        match parse(bytes.as_slice()) {
            Ok(properties) => Ok(Some(properties)),
            Err(reason) => Err(MetaPropertiesFailure::Malformed { path, reason }),
        }
    }

    /// Writes the file of a data directory; durable when this returns.
    ///
    /// # Errors
    /// After a failure the file is as it was before.
    pub async fn write<E: Environment>(&self, env: &E, data_dir: &Path) -> Result<(), MetaPropertiesFailure> {
        let unfinished = data_dir.join(UNFINISHED_NAME);
        let text = self.to_text();
        let mut buffer = env.arena().allocate(text.len()).map_err(|_| MetaPropertiesFailure::Memory)?;
        buffer.extend_from_slice(text.as_bytes());
        let file = env.open(&unfinished, OpenMode::BufferedWrite).await?;
        // What an earlier attempt left may be longer.
        file.truncate(0).await?;
        file.write_at(0, vec![buffer.freeze()], WriteSync::Later).await?;
        file.sync().await?;
        env.rename(&unfinished, &data_dir.join(FILE_NAME)).await?;
        env.sync_directory(data_dir).await?;
        Ok(())
    }

    /// The file's content.
    pub fn to_text(&self) -> String {
        let MetaProperties { cluster_id, node_id, directory_id } = self;
        format!(
            "#\ncluster.id={cluster_id}\ndirectory.id={directory_id}\nnode.id={node_id}\nversion={VERSION}\n"
        )
    }
}

pub(crate) fn parse(bytes: &[u8]) -> Result<MetaProperties, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
    let entries =
        properties::parse(text).map_err(|error| format!("line {}: {}", error.line, error.reason))?;
    let value = |key: &str| {
        let entry = entries.iter().rfind(|entry| entry.key == key);
        entry.map(|entry| entry.value.trim()).ok_or_else(|| format!("{key} is missing"))
    };
    let version = value("version")?;
    if version != VERSION {
        return Err(format!("its version is {version}, where {VERSION} is read"));
    }
    let cluster_id = value("cluster.id")?;
    if cluster_id.is_empty() {
        return Err("cluster.id is empty".to_owned());
    }
    let node_id = value("node.id")?;
    let directory_id = value("directory.id")?;
    Ok(MetaProperties {
        cluster_id: cluster_id.to_owned(),
        node_id: node_id
            .parse()
            .ok()
            .filter(|&id: &i32| id >= 0)
            .map(BrokerId)
            .ok_or_else(|| format!("node.id {node_id} is no broker's"))?,
        directory_id: TopicId::parse(directory_id)
            .ok_or_else(|| format!("directory.id {directory_id} is no id of 22 characters"))?,
    })
}

#[cfg(test)]
mod tests {
    use ringlog_runtime::memory::{MemoryWorld, Options};

    use super::*;

    const DIR: &str = "/data";

    fn sample(node_id: i32) -> MetaProperties {
        MetaProperties {
            cluster_id: "SjXV-bZyTPmGSIoCqEWJ9w".to_owned(),
            node_id: BrokerId(node_id),
            directory_id: TopicId::from_random(1, 2),
        }
    }

    #[test]
    fn it_is_written_as_kafka_writes_it_and_reads_back() {
        let text = sample(1).to_text();
        let expected = format!(
            "#\ncluster.id=SjXV-bZyTPmGSIoCqEWJ9w\ndirectory.id={}\nnode.id=1\nversion=1\n",
            TopicId::from_random(1, 2)
        );
        assert_eq!(text, expected);
        assert_eq!(parse(text.as_bytes()), Ok(sample(1)));
    }

    #[test]
    fn a_file_that_kafka_wrote_is_read() {
        let kafkas = "#\n#Tue Nov 24 04:00:00 UTC 2026\nversion=1\ndirectory.id=AAAAAAAAAAEAAAAAAAAAAg\n\
                      node.id=7\ncluster.id=SjXV-bZyTPmGSIoCqEWJ9w\n";
        assert_eq!(parse(kafkas.as_bytes()).map(|read| read.node_id), Ok(BrokerId(7)));
    }

    #[test]
    fn a_file_that_does_not_say_all_it_should_is_refused_with_what_is_wrong() {
        let good = sample(1).to_text();
        let without = |key: &str| -> String {
            good.lines().filter(|line| !line.starts_with(key)).map(|line| format!("{line}\n")).collect()
        };
        for key in ["cluster.id", "directory.id", "node.id", "version"] {
            assert_eq!(parse(without(key).as_bytes()), Err(format!("{key} is missing")));
        }
        for (from, to, part) in [
            ("version=1", "version=0", "its version is 0"),
            ("node.id=1", "node.id=-1", "node.id -1"),
            ("directory.id=", "directory.id=x", "directory.id x"),
            ("cluster.id=SjXV-bZyTPmGSIoCqEWJ9w", "cluster.id=", "cluster.id is empty"),
        ] {
            let reason = parse(good.replace(from, to).as_bytes()).unwrap_err();
            assert!(reason.contains(part), "{to}: {reason}");
        }
        assert_eq!(parse(&[0xff]), Err("it is no text".to_owned()));
    }

    #[test]
    fn after_a_crash_at_every_disk_operation_it_is_the_old_one_or_the_new_one() {
        let dir = Path::new(DIR);
        for crash_after in 1..12 {
            for seed in 0..20 {
                let world = MemoryWorld::new(seed, Options::quiet());
                let env = world.environment(0, 1);
                world.run_until(async move {
                    env.create_directory(dir).await.unwrap();
                    env.sync_directory(Path::new("/")).await.unwrap();
                    sample(1).write(&env, dir).await.unwrap();
                });
                let env = world.environment(0, 1);
                world.set_crash_after(crash_after);
                let written =
                    world.run_until_or_crash(async move { sample(2).write(&env, dir).await.unwrap() });
                if written.is_ok() {
                    world.crash();
                }
                let env = world.environment(0, 1);
                let found = world.run_until(async move { MetaProperties::read(&env, dir).await.unwrap() });
                let newest = sample(2);
                let kept = found == Some(newest) || (written.is_err() && found == Some(sample(1)));
                assert!(kept, "crash after {crash_after}, seed {seed}: {found:?}");
            }
        }
    }

    #[test]
    fn a_directory_never_used_has_none() {
        let world = MemoryWorld::new(1, Options::quiet());
        let env = world.environment(0, 1);
        let found = world.run_until(async move {
            env.create_directory(Path::new(DIR)).await.unwrap();
            MetaProperties::read(&env, Path::new(DIR)).await.unwrap()
        });
        assert_eq!(found, None);
    }
}
