//! Which file of a data directory is what.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ringlog_core::ids::Offset;
use ringlog_storage::format::names::{
    SegmentFile, parse_checkpoint_name, parse_journal_file, parse_segment_name,
};
use serde::Serialize;

use crate::commands::dump_log::{Dump, DumpFailure};
use crate::commands::output::Report;
use crate::commands::table::printable;

/// The largest file that is read as a whole: checkpoints and metadata logs of millions of partitions.
pub const WHOLE_FILE_BYTES_MAX: u64 = 512 << 20;

/// A data directory holds partitions' directories and `journal/shard-S`; nothing lies deeper.
const DEPTH_MAX: usize = 2;

/// What a file holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// Record batches.
    Segment,
    /// Offset to position.
    OffsetIndex,
    /// Timestamp to offset.
    TimeIndex,
    /// A checksum for each block of a segment.
    Checksums,
    /// Commits.
    Journal,
    /// What segments hold for certain.
    Checkpoint,
    /// The controller's records.
    MetadataLog,
    /// Lines of text.
    Text,
}

impl FileKind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            FileKind::Segment => "segment",
            FileKind::OffsetIndex => "offset index",
            FileKind::TimeIndex => "time index",
            FileKind::Checksums => "checksums",
            FileKind::Journal => "journal",
            FileKind::Checkpoint => "checkpoint",
            FileKind::MetadataLog => "metadata log",
            FileKind::Text => "text",
        }
    }

    /// What the name of a file says.
    fn of_name(name: &str) -> Option<FileKind> {
        if let Some((_, file)) = parse_segment_name(name) {
            return Some(match file {
                SegmentFile::Log => FileKind::Segment,
                SegmentFile::OffsetIndex => FileKind::OffsetIndex,
                SegmentFile::TimeIndex => FileKind::TimeIndex,
                SegmentFile::Checksums => FileKind::Checksums,
            });
        }
        match name {
            "metadata.log" => Some(FileKind::MetadataLog),
            "leader-epoch-checkpoint"
            | "partition.metadata"
            | "meta.properties"
            | "directories.properties" => Some(FileKind::Text),
            _ if parse_checkpoint_name(name).is_some() => Some(FileKind::Checkpoint),
            _ if parse_journal_file(name).is_some() => Some(FileKind::Journal),
            _ => None,
        }
    }
}

/// A file to show.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DumpFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub kind: FileKind,
    /// How large it is.
    pub size_bytes: u64,
}

impl DumpFile {
    /// The first offset of the segment it belongs to, by its name.
    pub fn base_offset(&self) -> Offset {
        let name = self.path.file_name().map(|name| name.to_string_lossy());
        name.and_then(|name| parse_segment_name(&name)).map_or(Offset::ZERO, |(base_offset, _)| base_offset)
    }

    /// Opens it.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(&self) -> Result<File, DumpFailure> {
        File::open(&self.path).map_err(DumpFailure::Unreadable)
    }

    /// All of it.
    ///
    /// # Errors
    /// What the system says, or that it is too large for that.
    pub fn read_whole(&self) -> Result<Vec<u8>, DumpFailure> {
        let mut bytes = Vec::new();
        let read = self.open()?.take(WHOLE_FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(DumpFailure::Unreadable)?;
        if bytes.len() as u64 > WHOLE_FILE_BYTES_MAX {
            let reason = format!("it is larger than {WHOLE_FILE_BYTES_MAX} bytes");
            return Err(DumpFailure::Unreadable(io::Error::other(reason)));
        }
        Ok(bytes)
    }
}

/// The file at a path, or all files known below a directory, in the order of their names.
///
/// # Errors
/// What the system says, or that the file is none of ours.
pub fn files_at(path: &Path) -> io::Result<Vec<DumpFile>> {
    let about = fs::metadata(path)?;
    if !about.is_dir() {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let kind = FileKind::of_name(&name).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "its name is none that a data directory knows (20 digits and .log, .index, .timeindex or .checksums; 8 digits and \
                 .journal; .checkpoint; metadata.log)",
            )
        })?;
        return Ok(vec![DumpFile { path: path.to_owned(), kind, size_bytes: about.len() }]);
    }
    let mut files = Vec::new();
    collect(path, 0, &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(directory: &Path, depth: usize, files: &mut Vec<DumpFile>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, about) = (entry.path(), entry.metadata()?);
        if about.is_dir() && depth < DEPTH_MAX {
            collect(&path, depth + 1, files)?;
        } else if let Some(kind) = FileKind::of_name(&entry.file_name().to_string_lossy())
            && about.is_file()
        {
            files.push(DumpFile { path, kind, size_bytes: about.len() });
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct TextLine<'t> {
    r#type: &'static str,
    file: &'t str,
    text: &'t str,
}

impl Report for TextLine<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        writeln!(sink, "  {}", printable(self.text))
    }
}

/// Shows a text file line by line.
pub(super) fn dump_text(dump: &mut Dump<'_>, file: &DumpFile, name: &str) -> Result<(), DumpFailure> {
    let bytes = file.read_whole()?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => {
            for line in text.lines() {
                dump.show(&TextLine { r#type: "line", file: name, text: line })?;
            }
        }
        Err(error) => dump.damage(name, error.valid_up_to() as u64, "it is no text")?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_names_and_others_left_alone() {
        for (name, kind) in [
            ("00000000000000000000.log", FileKind::Segment),
            ("00000000000000000042.timeindex", FileKind::TimeIndex),
            ("00000000000000000042.checksums", FileKind::Checksums),
            ("00000001.journal", FileKind::Journal),
            ("shard-0-1.checkpoint", FileKind::Checkpoint),
            ("metadata.log", FileKind::MetadataLog),
            ("leader-epoch-checkpoint", FileKind::Text),
        ] {
            assert_eq!(FileKind::of_name(name), Some(kind), "{name}");
        }
        for name in [".lock", "notes.log", "00000000000000000000.snapshot"] {
            assert_eq!(FileKind::of_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_data_directory_is_walked_and_a_foreign_file_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("t-0/deeper/deepest")).unwrap();
        for name in
            ["t-0/00000000000000000000.log", ".lock", "metadata.log", "t-0/deeper/deepest/metadata.log"]
        {
            fs::write(directory.path().join(name), "x").unwrap();
        }
        let kinds: Vec<FileKind> = files_at(directory.path()).unwrap().iter().map(|file| file.kind).collect();
        assert_eq!(kinds, [FileKind::MetadataLog, FileKind::Segment]);
        let refusal = files_at(&directory.path().join(".lock")).unwrap_err().to_string();
        assert!(refusal.contains("20 digits and .log"), "{refusal}");
    }
}
