//! File systems of their own within a disk's tree: each has its own room, and fails alone.
//!
//! Always true: without any, all of the tree is one file system, and nothing is looked up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::DiskOperation;

/// What a file system fails with EIO.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MountFails {
    /// Nothing.
    #[default]
    Nothing,
    /// Everything that would change it.
    Changes,
    /// Reading, too.
    Everything,
}

/// A file system.
#[derive(Clone, Debug)]
struct Mount {
    bytes_max: u64,
    fails: MountFails,
}

/// All of them, by where they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Mounts {
    by_path: BTreeMap<PathBuf, Mount>,
    /// Where files lie that are in one of them.
    files: BTreeMap<u64, PathBuf>,
}

impl Mounts {
    pub fn mount(&mut self, path: &Path, bytes_max: u64) {
        let mount = self.by_path.entry(path.to_owned());
        mount.or_insert(Mount { bytes_max, fails: MountFails::Nothing }).bytes_max = bytes_max;
    }

    pub fn set_fails(&mut self, path: &Path, fails: MountFails) {
        self.by_path.get_mut(path).expect("it was mounted").fails = fails;
    }

    pub fn is_mount(&self, path: &Path) -> bool {
        self.by_path.contains_key(path)
    }

    /// The one a path lies in.
    pub fn of(&self, path: &Path) -> Option<&Path> {
        self.by_path.keys().map(PathBuf::as_path).rfind(|mount| path.starts_with(mount))
    }

    /// A file was made.
    pub fn note_file(&mut self, file: u64, path: &Path) {
        if let Some(mount) = self.of(path).map(Path::to_owned) {
            self.files.insert(file, mount);
        }
    }

    pub fn of_file(&self, file: u64) -> Option<&Path> {
        self.files.get(&file).map(PathBuf::as_path)
    }

    pub fn bytes_max(&self, mount: &Path) -> u64 {
        self.by_path[mount].bytes_max
    }

    pub fn fails(&self, path: &Path, operation: DiskOperation) -> bool {
        let Some(mount) = self.of(path) else { return false };
        match self.by_path[mount].fails {
            MountFails::Nothing => false,
            // To open is to change something only where it creates.
            MountFails::Changes => operation.is_mutation() && operation != DiskOperation::Open,
            MountFails::Everything => true,
        }
    }
}
