//! `directories.properties`: which data directories hold this broker's partitions, kept beside the metadata log.
//!
//! ```text
//!   # The data directories of this broker ...
//!   22 characters=/srv/disk1        directory.id of its meta.properties = where it was last
//!   22 characters=/srv/disk2
//! ```
//!
//! A disk that is not mounted leaves an empty directory in its place. So a partition that is found nowhere may be made
//! anew only if every directory named here is there; whoever gives a lost disk up removes its line.
//!
//! Always true: a directory is in the file before it gets its first partition. A broker that never had more than one
//! directory has no such file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ringlog_core::config::properties;
use ringlog_core::ids::TopicId;
use ringlog_runtime::environment::{DiskFailure, Environment};

use crate::disk::{read_file, replace_file};
use crate::metadata_log::meta_properties::MetaPropertiesFailure;

/// What the file is called.
pub const FILE_NAME: &str = "directories.properties";

const HEAD: &str = "\
# The data directories of this broker: directory.id=where it was last. While one of them is missing, partitions that are found
# nowhere stay offline. To give up what a lost one holds for ever, remove its line while the broker is stopped.
";

/// Far more than as many lines as there may be directories.
const BYTES_MAX: usize = 1 << 20;

/// Data directories by `directory.id`, with where each was last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KnownDirectories {
    /// Where each was last.
    pub paths: BTreeMap<TopicId, PathBuf>,
}

impl KnownDirectories {
    /// Reads the file beside the metadata log; empty if there is none.
    ///
    /// # Errors
    /// The disk refuses, or the file is not what this broker wrote.
    pub async fn read<E: Environment>(
        env: &E,
        data_dir: &Path,
    ) -> Result<KnownDirectories, MetaPropertiesFailure> {
        let path = data_dir.join(FILE_NAME);
        let Some(bytes) = read_file(env, &path, BYTES_MAX).await? else {
            return Ok(KnownDirectories::default());
        };
        parse(&bytes).map_err(|reason| MetaPropertiesFailure::Malformed { path, reason })
    }

    /// Writes the file; durable when this returns.
    ///
    /// # Errors
    /// After a failure the file is as it was before.
    pub async fn write<E: Environment>(&self, env: &E, data_dir: &Path) -> Result<(), DiskFailure> {
        let lines = self.paths.iter().map(|(id, path)| format!("{id}={}\n", escaped(path)));
        let text: String = std::iter::once(HEAD.to_owned()).chain(lines).collect();
        replace_file(env, &data_dir.join(FILE_NAME), text.as_bytes()).await
    }
}

/// As a value of a properties file.
fn escaped(path: &Path) -> String {
    let path = path.to_string_lossy().replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
    match path.starts_with([' ', '\t']) {
        true => format!("\\{path}"),
        false => path,
    }
}

fn parse(bytes: &[u8]) -> Result<KnownDirectories, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
    let entries =
        properties::parse(text).map_err(|error| format!("line {}: {}", error.line, error.reason))?;
    let mut known = KnownDirectories::default();
    for entry in entries {
        let id = TopicId::parse(&entry.key)
            .ok_or_else(|| format!("line {}: {} is no id of 22 characters", entry.line, entry.key))?;
        known.paths.insert(id, PathBuf::from(entry.value));
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use ringlog_runtime::memory::{MemoryWorld, Options};

    use super::*;

    #[test]
    fn what_is_written_is_read_back_whatever_a_path_looks_like() {
        let world = MemoryWorld::new(1, Options::quiet());
        let env = world.environment(0, 1);
        world.run_until(async move {
            let data_dir = Path::new("/data");
            env.create_directory(data_dir).await.unwrap();
            assert_eq!(KnownDirectories::read(&env, data_dir).await.unwrap(), KnownDirectories::default());
            let mut known = KnownDirectories::default();
            for (number, path) in ["/srv/a", " /b c = d\\e", "/f\ng#h"].into_iter().enumerate() {
                known.paths.insert(TopicId::from_random(1, number as u64), PathBuf::from(path));
            }
            known.write(&env, data_dir).await.unwrap();
            assert_eq!(KnownDirectories::read(&env, data_dir).await.unwrap(), known);
        });
    }

    #[test]
    fn a_line_that_names_no_directory_is_refused() {
        assert_eq!(parse(b"# note\nshort=/a\n"), Err("line 2: short is no id of 22 characters".to_owned()));
    }
}
