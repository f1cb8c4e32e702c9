//! The segment files a shard holds open, and the index files it holds loaded: a few of each, the longest
//! unused given up first.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ringlog_runtime::environment::{DiskFailure, Environment, OpenMode};

use crate::format::index::{IndexEntry, OffsetEntry};

/// A mode as a key.
fn mode_number(mode: OpenMode) -> u8 {
    match mode {
        OpenMode::DirectRead => 0,
        OpenMode::DirectWrite => 1,
        OpenMode::BufferedRead => 2,
        OpenMode::BufferedWrite => 3,
    }
}

/// Which file, opened how.
type FileKey = (PathBuf, u8);

/// Open files, at most so many.
pub(crate) struct FileCache<E: Environment> {
    files: RefCell<BTreeMap<FileKey, (E::File, u64)>>,
    uses: Cell<u64>,
    /// How often files were given up by name: what was opened meanwhile may have another name by now.
    forgets: Cell<u64>,
    files_max: usize,
}

impl<E: Environment> FileCache<E> {
    pub fn new(files_max: usize) -> FileCache<E> {
        FileCache { files: RefCell::default(), uses: Cell::new(0), forgets: Cell::new(0), files_max }
    }

    /// The open file, opened if it is not.
    pub async fn open(&self, env: &E, path: &Path, mode: OpenMode) -> Result<E::File, DiskFailure> {
        let key = (path.to_owned(), mode_number(mode));
        self.uses.set(self.uses.get() + 1);
        if let Some((file, used)) = self.files.borrow_mut().get_mut(&key) {
            *used = self.uses.get();
            return Ok(file.clone());
        }
        let forgets = self.forgets.get();
        let file = env.open(path, mode).await?;
        if self.forgets.get() != forgets {
            return Ok(file);
        }
        let mut files = self.files.borrow_mut();
        while files.len() >= self.files_max {
            let oldest = files.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
            files.remove(&oldest.expect("the bound is above zero"));
        }
        files.insert(key, (file.clone(), self.uses.get()));
        Ok(file)
    }

    /// Gives up every file of a directory, as before it is renamed and behind it.
    pub fn forget(&self, directory: &Path) {
        self.forgets.set(self.forgets.get() + 1);
        self.files.borrow_mut().retain(|(path, _), _| !path.starts_with(directory));
    }

    /// How many files are held open.
    pub fn count(&self) -> usize {
        self.files.borrow().len()
    }

    /// Gives up every file.
    pub fn clear(&self) {
        self.files.borrow_mut().clear();
    }
}

type Loaded = (Option<u32>, Rc<Vec<OffsetEntry>>, u64);

/// Loaded offset indexes, at most so many bytes.
pub(crate) struct IndexCache {
    indexes: RefCell<BTreeMap<PathBuf, Loaded>>,
    uses: Cell<u64>,
    bytes: Cell<usize>,
    bytes_max: usize,
}

impl IndexCache {
    pub fn new(bytes_max: usize) -> IndexCache {
        IndexCache { indexes: RefCell::default(), uses: Cell::new(0), bytes: Cell::new(0), bytes_max }
    }

    /// The index loaded when its file had `written` entries (`None`: sealed).
    pub fn get(&self, path: &Path, written: Option<u32>) -> Option<Rc<Vec<OffsetEntry>>> {
        self.uses.set(self.uses.get() + 1);
        let mut indexes = self.indexes.borrow_mut();
        let (of, entries, used) = indexes.get_mut(path)?;
        *used = self.uses.get();
        (*of == written).then(|| entries.clone())
    }

    /// Keeps a loaded index, if it is not larger than everything that may be kept.
    pub fn put(
        &self,
        path: PathBuf,
        written: Option<u32>,
        entries: Rc<Vec<OffsetEntry>>,
    ) -> Rc<Vec<OffsetEntry>> {
        let bytes = entries.len() * OffsetEntry::BYTES * 2;
        let mut indexes = self.indexes.borrow_mut();
        if let Some((_, old, _)) = indexes.remove(&path) {
            self.bytes.set(self.bytes.get() - old.len() * OffsetEntry::BYTES * 2);
        }
        if bytes > self.bytes_max {
            return entries;
        }
        while self.bytes.get() + bytes > self.bytes_max {
            let oldest = indexes.iter().min_by_key(|(_, (_, _, used))| *used).map(|(path, _)| path.clone());
            let (_, old, _) =
                indexes.remove(&oldest.expect("bytes are held by indexes")).expect("just found");
            self.bytes.set(self.bytes.get() - old.len() * OffsetEntry::BYTES * 2);
        }
        self.bytes.set(self.bytes.get() + bytes);
        indexes.insert(path, (written, entries.clone(), self.uses.get()));
        entries
    }

    /// What the indexes kept take.
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Gives up every index of a directory.
    pub fn forget(&self, directory: &Path) {
        self.indexes.borrow_mut().retain(|path, (_, entries, _)| {
            let stays = !path.starts_with(directory);
            if !stays {
                self.bytes.set(self.bytes.get() - entries.len() * OffsetEntry::BYTES * 2);
            }
            stays
        });
    }
}
