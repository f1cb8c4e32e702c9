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
//! anew by itself is a notice; what it would refuse, report or serve wrongly is damage. A block that the disk cannot read is damage where it
//! lies, and everything else is looked at.

mod own;
mod partition;
mod segment;

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::disk::{BLOCK, block_ceil};

/// What Linux says where the disk cannot read.
const EIO: i32 = 5;

const UNREADABLE: &str =
    "copy what can be read to a sound disk, and restore the file from a copy or a replica";

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
/// A file or a directory cannot be opened or read for another reason than a damaged disk: nothing is known of it then.
pub fn verify(files: &impl Files, data_dir: &Path, watcher: &mut dyn Watcher) -> io::Result<Totals> {
    let mut look = Look { files, watcher, totals: Totals::default(), unreadable: BTreeSet::new() };
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
    /// Blocks that the disk cannot read and that were told.
    unreadable: BTreeSet<(PathBuf, u64)>,
}

/// Whether the disk lost what is to be read.
fn is_unreadable(error: &io::Error) -> bool {
    error.raw_os_error() == Some(EIO)
}

impl<F: Files> Look<'_, F> {
    fn read(&mut self, path: &Path, position: u64, count: usize) -> io::Result<Vec<u8>> {
        let bytes = match self.files.read(path, position, count) {
            Err(error) if is_unreadable(&error) => self.read_block_by_block(path, position, count)?,
            read => read?,
        };
        self.totals.bytes += bytes.len() as u64;
        self.watcher.read(bytes.len() as u64);
        Ok(bytes)
    }

    /// As [`Look::read`]: blocks that the disk cannot read are told, and are zeros. No checksum agrees with them.
    fn read_block_by_block(&mut self, path: &Path, position: u64, count: usize) -> io::Result<Vec<u8>> {
        let listed = path.parent().map_or(Ok(Vec::new()), |directory| self.files.list(directory))?;
        let is_named = |file: &&FoundFile| path.file_name().is_some_and(|name| *name == *file.name);
        let length = listed.iter().find(is_named).map_or(0, |file| file.length);
        let end = length.min(position.saturating_add(count as u64));
        let (mut next, mut bytes, mut lost) = (position, Vec::new(), Vec::<Range<u64>>::new());
        while next < end {
            let block_end = block_ceil(next + 1).min(end);
            match self.files.read(path, next, (block_end - next) as usize) {
                Err(error) if is_unreadable(&error) => {
                    match lost.last_mut().filter(|last| last.end == next) {
                        Some(last) => last.end = block_end,
                        None => lost.push(next..block_end),
                    }
                }
                read => bytes.extend(read?),
            }
            bytes.resize((block_end - position) as usize, 0);
            next = block_end;
        }
        for range in lost {
            self.tell_unreadable(path, range);
        }
        Ok(bytes)
    }

    /// Tells of blocks that cannot be read, once.
    fn tell_unreadable(&mut self, path: &Path, bytes: Range<u64>) {
        let blocks = (bytes.start / BLOCK..bytes.end.div_ceil(BLOCK)).map(|block| (path.to_owned(), block));
        let before = self.unreadable.len();
        self.unreadable.extend(blocks);
        if self.unreadable.len() > before {
            self.damage(path, bytes, "the disk cannot read it", UNREADABLE);
        }
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
