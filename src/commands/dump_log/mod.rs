//! `ringlog dump-log`: what is in the files of a data directory, and whether it is whole.
//!
//! ```text
//!   path ──► which file is it ──► its reader ──► items ──► a line each, or a JSON object a line
//!                                         └────► damage: file, position, reason ──► exit code 5
//! ```
//!
//! - [`files`]: which file is what
//! - [`segment`], [`index`]: Kafka's log segments and their two indexes
//! - [`checksums`], [`journal`], [`checkpoint`], [`metadata`]: what Ringlog itself keeps beside them
//!
//! Always true: files are only read, never locked or changed; a segment is read one batch at a time. What a running broker is
//! just writing may look torn: stop it first to be certain.

pub mod checkpoint;
pub mod checksums;
pub mod files;
pub mod index;
pub mod journal;
pub mod metadata;
pub mod segment;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::commands::dump_log::files::{DumpFile, FileKind, files_at};
use crate::commands::failure::CommandFailure;
use crate::commands::output::{Format, Report, show_next};

/// Which files to show, and how.
#[derive(Args, Debug)]
pub struct DumpLogArguments {
    /// Segments, indexes, checksum files, journals, checkpoints, metadata logs, or directories of them: a partition's, or a whole data directory.
    #[arg(value_name = "PATH", required_unless_present = "files")]
    pub paths: Vec<PathBuf>,
    /// Files, as Kafka's tool takes them.
    #[arg(long, value_name = "FILE,...", value_delimiter = ',', hide = true)]
    pub files: Vec<PathBuf>,
    /// Also the records of each batch.
    #[arg(short, long, alias = "deep-iteration", alias = "print-data-log")]
    pub records: bool,
    /// Print JSON, an object a line, for programs.
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure::Damaged`] if anything is not as it should be; everything that can be read was shown then.
pub fn run(arguments: DumpLogArguments, sink: &mut dyn Write) -> Result<(), CommandFailure> {
    let mut dump = Dump {
        sink,
        format: Format::of_flag(arguments.json),
        with_records: arguments.records,
        damage_count: 0,
    };
    for path in arguments.paths.iter().chain(&arguments.files) {
        for file in files_at(path).map_err(|error| unreadable(path, &error))? {
            dump.file(&file)?;
        }
    }
    match dump.damage_count {
        0 => Ok(()),
        count => Err(CommandFailure::Damaged { count }),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> CommandFailure {
    CommandFailure::Input(format!("{} cannot be read: {error}", path.display()))
}

/// Where items go.
pub struct Dump<'d> {
    sink: &'d mut dyn Write,
    format: Format,
    with_records: bool,
    damage_count: usize,
}

/// What is wrong at one place of a file.
#[derive(Serialize)]
struct Damage<'d> {
    r#type: &'static str,
    file: &'d str,
    position: u64,
    reason: String,
}

/// A file of which items follow.
#[derive(Serialize)]
struct Heading<'d> {
    r#type: &'static str,
    file: &'d str,
    kind: FileKind,
    size_bytes: u64,
}

impl Dump<'_> {
    fn file(&mut self, file: &DumpFile) -> Result<(), CommandFailure> {
        let name = file.path.display().to_string();
        self.show(&Heading { r#type: "file", file: &name, kind: file.kind, size_bytes: file.size_bytes })?;
        let shown = match file.kind {
            FileKind::Segment => segment::dump(self, file, &name),
            FileKind::OffsetIndex => index::dump_offsets(self, file, &name),
            FileKind::TimeIndex => index::dump_times(self, file, &name),
            FileKind::Checksums => checksums::dump(self, file, &name),
            FileKind::Journal => journal::dump(self, file, &name),
            FileKind::Checkpoint => checkpoint::dump(self, file, &name),
            FileKind::MetadataLog => metadata::dump(self, file, &name),
            FileKind::Text => files::dump_text(self, file, &name),
        };
        match shown {
            Err(DumpFailure::Unreadable(error)) => Err(unreadable(&file.path, &error)),
            Err(DumpFailure::Command(failure)) => Err(failure),
            Ok(()) => Ok(()),
        }
    }

    fn show(&mut self, item: &impl Report) -> Result<(), CommandFailure> {
        show_next(item, self.format, self.sink)
    }

    fn damage(&mut self, file: &str, position: u64, reason: impl ToString) -> Result<(), CommandFailure> {
        self.damage_count += 1;
        self.show(&Damage { r#type: "damage", file, position, reason: reason.to_string() })
    }
}

/// Why a file cannot be shown to its end.
pub enum DumpFailure {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// What was read cannot be printed.
    Command(CommandFailure),
}

impl From<CommandFailure> for DumpFailure {
    fn from(failure: CommandFailure) -> DumpFailure {
        DumpFailure::Command(failure)
    }
}

impl Report for Damage<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        writeln!(sink, "  DAMAGED at byte {} of {}: {}", self.position, self.file, self.reason)
    }
}

impl Report for Heading<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        writeln!(sink, "{} ({}, {} bytes)", self.file, self.kind.name(), self.size_bytes)
    }
}
