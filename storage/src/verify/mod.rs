//! Whether a data directory is whole, found out by reading alone, while no broker runs.
//!
//! ```text
//!   checkpoints ──► what each log must hold, and which commits count
//!   journals    ──► which batches a start would still put into segments
//!   every log   ──► its segments block by block and batch by batch, its indexes entry by entry, what lies beside them
//! ```
//!
//! - [`Files`]: where the bytes come from
//! - `own`: what belongs to no log: `meta.properties`, metadata log, checkpoints, journals
//! - `partition`: one log's directory; `segment`: one segment and its indexes
//!
//! Always true: nothing is changed, and every byte that a broker would act by is looked at. What a start would cut or write
//! anew by itself is a notice; what it would refuse, report or serve wrongly is damage.

mod own;
mod partition;
mod segment;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A file or directory found in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundFile {
    /// Its name.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// How long it is.
    pub length: u64,
}

/// A data directory at rest.
pub trait Files {
    /// What lies in a directory, in any order.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, directory: &Path) -> io::Result<Vec<FoundFile>>;

    /// `count` bytes of a file, fewer where it ends.
    ///
    /// # Errors
    /// What the system says.
    fn read(&self, path: &Path, position: u64, count: usize) -> io::Result<Vec<u8>>;
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// As it may be, and worth knowing.
    Notice,
    /// Something is not what was written.
    Damage,
}

/// What was found at one place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The file or directory.
    pub path: PathBuf,
    /// Which bytes of it; empty for all.
    pub bytes: Range<u64>,
    /// Which records it concerns.
    pub offsets: Option<Range<i64>>,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub advice: &'static str,
}

/// Who is told while a directory is looked at.
pub trait Watcher {
    /// Something was found.
    fn found(&mut self, finding: Finding);
    /// So many bytes were read since the last call.
    fn read(&mut self, bytes: u64);
}

/// How much was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Logs.
    pub logs: u64,
    /// Segments.
    pub segments: u64,
    /// Segments whose blocks could be compared with checksums.
    pub summed_segments: u64,
    /// Bytes read.
    pub bytes: u64,
}

/// Looks at a whole data directory.
///
/// # Errors
/// A file cannot be read: nothing is known of it then.
pub fn verify(files: &impl Files, data_dir: &Path, watcher: &mut dyn Watcher) -> io::Result<Totals> {
    let mut look = Look { files, watcher, totals: Totals::default() };
    let is_named = own::identity(&mut look, data_dir)?;
    let Some(lives) = own::checkpoints(&mut look, data_dir)? else {
        // Without a checkpoint nothing says what belongs where; the segments can still be looked at.
        partition::all(&mut look, data_dir, &Default::default(), &Default::default())?;
        return Ok(look.totals);
    };
    // Of several directories only one has it.
    let has_log = look.list(data_dir)?.iter().any(|file| file.name == "metadata.log");
    if has_log && !is_named && lives.records().next().is_some() {
        own::metadata_is_lost(&mut look, data_dir);
    }
    let journaled = own::journals(&mut look, data_dir, &lives)?;
    partition::all(&mut look, data_dir, &lives, &journaled)?;
    Ok(look.totals)
}

/// A look under way.
struct Look<'l, F: Files> {
    files: &'l F,
    watcher: &'l mut dyn Watcher,
    totals: Totals,
}

impl<F: Files> Look<'_, F> {
    fn read(&mut self, path: &Path, position: u64, count: usize) -> io::Result<Vec<u8>> {
        let bytes = self.files.read(path, position, count)?;
        self.totals.bytes += bytes.len() as u64;
        self.watcher.read(bytes.len() as u64);
        Ok(bytes)
    }

    /// A whole small file; `None` if it is not there.
    fn read_whole(&mut self, path: &Path, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        match self.read(path, 0, bytes_max) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// What lies in a directory, by name; nothing if it is not there.
    fn list(&mut self, directory: &Path) -> io::Result<Vec<FoundFile>> {
        let mut found = match self.files.list(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            found => found?,
        };
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    fn damage(&mut self, path: &Path, bytes: Range<u64>, reason: impl Into<String>, advice: &'static str) {
        self.found(Level::Damage, path, bytes, None, reason.into(), advice);
    }

    fn notice(&mut self, path: &Path, reason: impl Into<String>, advice: &'static str) {
        self.found(Level::Notice, path, 0..0, None, reason.into(), advice);
    }

    fn found(
        &mut self,
        level: Level,
        path: &Path,
        bytes: Range<u64>,
        offsets: Option<Range<i64>>,
        reason: String,
        advice: &'static str,
    ) {
        self.watcher.found(Finding { level, path: path.to_owned(), bytes, offsets, reason, advice });
    }
}
