//! The data directory that is made: marked as unfinished first, and ready only when everything else is stable.
//!
//! Always true: while the mark is there no broker starts on the directory, and another import may begin anew in it; nothing in a directory
//! without the mark is ever changed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ringlog_core::ids::{BrokerId, TopicId};
use ringlog_core::metadata::MetadataRecord;
use ringlog_runtime::host::{DirectoryLock, lock_directory};
use ringlog_storage::format::checkpoint::PartitionRecord;
use ringlog_storage::format::names::parse_partition_directory;
use ringlog_storage::import::data_directory::{self, UNFINISHED_NAME};
use ringlog_storage::metadata_log;
use ringlog_storage::metadata_log::meta_properties::{self, MetaProperties};

use crate::commands::failure::CommandFailure;
use crate::commands::import::source::refused;

const MARK: &[u8] =
    b"An import into this directory was not finished. Run it again, or remove the directory.\n";

/// A data directory on its way.
pub(super) struct Target {
    pub path: PathBuf,
    _lock: DirectoryLock,
}

/// A failure to write, with what could not be written.
pub(super) fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> CommandFailure + '_ {
    move |error| refused(format!("{} cannot be written: {error}", path.display()))
}

/// Refuses a directory that something lies in, unless an import that was cut short left it.
pub(super) fn expect_empty(path: &Path) -> Result<(), CommandFailure> {
    if data_directory::is_unfinished(path) {
        return Ok(());
    }
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(unwritable(path))?,
    };
    for entry in entries {
        let name = entry.map_err(unwritable(path))?.file_name();
        if !is_nobodys(&name) {
            return Err(refused(format!(
                "{} is not empty ({} lies there): name a directory that is empty, or not there",
                path.display(),
                name.display()
            )));
        }
    }
    Ok(())
}

fn is_nobodys(name: &OsStr) -> bool {
    name == ".lock" || name == "lost+found"
}

impl Target {
    /// Makes the directory, or takes over what an import left that was cut short, and marks it.
    pub fn begin(path: &Path) -> Result<Target, CommandFailure> {
        expect_empty(path)?;
        fs::create_dir_all(path).map_err(unwritable(path))?;
        let lock = lock_directory(path).map_err(|problem| refused(problem.to_string()))?;
        // Another import may have been faster.
        expect_empty(path)?;
        let target = Target { path: path.to_owned(), _lock: lock };
        target.remove_leftovers()?;
        target.write(&path.join(UNFINISHED_NAME), MARK)?;
        sync_directory(path)?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            // It may not be ours to open; losing a directory that is not finished loses nothing.
            let _ = sync_directory(parent);
        }
        Ok(target)
    }

    fn remove_leftovers(&self) -> Result<(), CommandFailure> {
        for entry in fs::read_dir(&self.path).map_err(unwritable(&self.path))? {
            let entry = entry.map_err(unwritable(&self.path))?;
            let (path, name) = (entry.path(), entry.file_name());
            let text = name.to_string_lossy();
            if is_nobodys(&name) || text == UNFINISHED_NAME {
                continue;
            }
            let is_made_here = parse_partition_directory(&text).is_some()
                || ["checkpoint", metadata_log::FILE_NAME, meta_properties::FILE_NAME].contains(&&*text);
            if !is_made_here {
                return Err(refused(format!("{} was not made by an import: move it away", path.display())));
            }
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(unwritable(&path))?;
        }
        Ok(())
    }

    /// Writes a file, stable but for its name.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), CommandFailure> {
        let written =
            File::create(path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        written.map_err(unwritable(path))
    }

    /// Writes what is beside the partitions, and takes the mark away.
    pub fn finish(
        self,
        logs: Vec<PartitionRecord>,
        records: &[Vec<MetadataRecord>],
        cluster_id: &str,
        node_id: BrokerId,
    ) -> Result<(), CommandFailure> {
        let files = data_directory::files(&self.path, logs, records)
            .map_err(|failure| refused(failure.to_string()))?;
        for directory in data_directory::directories(&self.path) {
            fs::create_dir_all(&directory).map_err(unwritable(&directory))?;
        }
        for (path, bytes) in &files {
            self.write(path, bytes)?;
        }
        for directory in data_directory::directories(&self.path) {
            sync_directory(&directory)?;
        }
        let properties =
            MetaProperties { cluster_id: cluster_id.to_owned(), node_id, directory_id: new_directory_id()? };
        self.write(&self.path.join(meta_properties::FILE_NAME), properties.to_text().as_bytes())?;
        sync_directory(&self.path)?;
        let mark = self.path.join(UNFINISHED_NAME);
        fs::remove_file(&mark).map_err(unwritable(&mark))?;
        sync_directory(&self.path)
    }
}

/// Makes the names in a directory stable.
pub(super) fn sync_directory(path: &Path) -> Result<(), CommandFailure> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(unwritable(path))
}

fn new_directory_id() -> Result<TopicId, CommandFailure> {
    const SOURCE: &str = "/dev/urandom";
    let mut drawn = [0; 16];
    loop {
        let read = File::open(SOURCE).and_then(|mut source| source.read_exact(&mut drawn));
        read.map_err(|error| refused(format!("{SOURCE} cannot be read: {error}")))?;
        let (high, low) = drawn.split_at(8);
        let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
        let id = TopicId::from_random(number(high), number(low));
        if !id.is_reserved() {
            return Ok(id);
        }
    }
}
