//! `ringlog verify`: is a data directory whole?
//!
//! ```text
//!   lock ──► every file, read once ──► findings: a line each, or a JSON object a line ──► what was looked at
//!                       └──► a bar on a terminal
//! ```
//!
//! Always true: a directory that a broker uses is refused; nothing in it is changed but the number in `.lock`.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ringlog_runtime::host;
use ringlog_storage::import::data_directory::is_unfinished;
use ringlog_storage::verify::{Files, Finding, FoundFile, Level, Totals, Watcher, verify};
use serde::Serialize;

use crate::commands::failure::CommandFailure;
use crate::commands::output::{Format, Report, show_next};

/// What to look at.
#[derive(Args, Debug)]
pub struct VerifyArguments {
    /// A data directory that no broker uses.
    #[arg(value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Print JSON, an object a line, for programs.
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure::Damaged`] if anything is not what was written; all findings were shown then.
pub fn run(arguments: VerifyArguments, sink: &mut dyn Write) -> Result<(), CommandFailure> {
    let VerifyArguments { data_dir, json } = arguments;
    let unreadable =
        |error: io::Error| CommandFailure::Input(format!("{} cannot be read: {error}", data_dir.display()));
    let bytes = size_of(&data_dir).map_err(unreadable)?;
    let _lock =
        host::lock_directory(&data_dir).map_err(|problem| CommandFailure::Input(problem.to_string()))?;
    if is_unfinished(&data_dir) {
        let shown = data_dir.display();
        return Err(CommandFailure::Input(format!("an import into {shown} was not finished: run it again")));
    }
    let mut telling =
        Telling { sink, format: Format::of_flag(json), bar: bar(bytes), damage_count: 0, broken: None };
    let totals = verify(&OnDisk::default(), &data_dir, &mut telling);
    telling.bar.finish_and_clear();
    if let Some(failure) = telling.broken.take() {
        return Err(failure);
    }
    let (totals, damage_count) = (totals.map_err(unreadable)?, telling.damage_count);
    telling.show(&Summary::new(&totals, damage_count))?;
    match damage_count {
        0 => Ok(()),
        count => Err(CommandFailure::Damaged { count }),
    }
}

/// A bar over so many bytes, on a terminal.
pub(super) fn bar(bytes: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {eta} left");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// All files below a directory.
fn size_of(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { size_of(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}

/// Files read through the page cache; the last one stays open.
#[derive(Default)]
struct OnDisk {
    open: RefCell<Option<(PathBuf, File)>>,
}

impl Files for OnDisk {
    fn list(&self, directory: &Path) -> io::Result<Vec<FoundFile>> {
        let found = fs::read_dir(directory)?.map(|entry| {
            let entry = entry?;
            let about = entry.metadata()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Ok(FoundFile { name, is_directory: about.is_dir(), length: about.len() })
        });
        found.collect()
    }

    fn read(&self, path: &Path, position: u64, count: usize) -> io::Result<Vec<u8>> {
        let mut open = self.open.borrow_mut();
        if open.as_ref().is_none_or(|(of, _)| of != path) {
            *open = Some((path.to_owned(), File::open(path)?));
        }
        let (_, file) = open.as_ref().expect("just opened");
        let left = file.metadata()?.len().saturating_sub(position);
        let mut bytes = vec![0; count.min(usize::try_from(left).unwrap_or(usize::MAX))];
        file.read_exact_at(&mut bytes, position)?;
        Ok(bytes)
    }
}

/// Where findings go.
struct Telling<'t> {
    sink: &'t mut dyn Write,
    format: Format,
    bar: ProgressBar,
    damage_count: usize,
    /// Why nothing can be told any more.
    broken: Option<CommandFailure>,
}

impl Telling<'_> {
    fn show(&mut self, item: &impl Report) -> Result<(), CommandFailure> {
        show_next(item, self.format, self.sink)
    }
}

impl Watcher for Telling<'_> {
    fn found(&mut self, finding: Finding) {
        self.damage_count += usize::from(finding.level == Level::Damage);
        if self.broken.is_none() {
            self.broken = self.show(&ShownFinding::new(&finding)).err();
        }
    }

    fn read(&mut self, bytes: u64) {
        self.bar.inc(bytes);
    }
}

#[derive(Serialize)]
struct ShownFinding<'f> {
    r#type: &'static str,
    file: String,
    /// Null where it concerns the file as a whole.
    first_byte: Option<u64>,
    end_byte: Option<u64>,
    first_offset: Option<i64>,
    end_offset: Option<i64>,
    reason: &'f str,
    advice: &'f str,
}

impl ShownFinding<'_> {
    fn new(finding: &Finding) -> ShownFinding<'_> {
        let bytes = Some(&finding.bytes).filter(|bytes| !bytes.is_empty());
        ShownFinding {
            r#type: match finding.level {
                Level::Notice => "notice",
                Level::Damage => "damage",
            },
            file: finding.path.display().to_string(),
            first_byte: bytes.map(|bytes| bytes.start),
            end_byte: bytes.map(|bytes| bytes.end),
            first_offset: finding.offsets.as_ref().map(|offsets| offsets.start),
            end_offset: finding.offsets.as_ref().map(|offsets| offsets.end),
            reason: &finding.reason,
            advice: finding.advice,
        }
    }
}

impl Report for ShownFinding<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        let word = if self.r#type == "damage" { "DAMAGED" } else { "notice " };
        write!(sink, "{word} {}", self.file)?;
        if let (Some(first), Some(end)) = (self.first_byte, self.end_byte) {
            write!(sink, ", bytes {first} to {end}")?;
        }
        if let (Some(first), Some(end)) = (self.first_offset, self.end_offset) {
            write!(sink, ", offsets {first} to {end}")?;
        }
        writeln!(sink, ": {}\n        what to do: {}", self.reason, self.advice)
    }
}

#[derive(Serialize)]
struct Summary {
    r#type: &'static str,
    logs: u64,
    segments: u64,
    segments_with_checksums: u64,
    bytes: u64,
    damage: usize,
}

impl Summary {
    fn new(totals: &Totals, damage: usize) -> Summary {
        Summary {
            r#type: "summary",
            logs: totals.logs,
            segments: totals.segments,
            segments_with_checksums: totals.summed_segments,
            bytes: totals.bytes,
            damage,
        }
    }
}

impl Report for Summary {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        let Summary { logs, segments, segments_with_checksums, bytes, damage, .. } = self;
        let verdict = if *damage == 0 { "whole" } else { "damaged" };
        writeln!(
            sink,
            "{verdict}: {logs} logs, {segments} segments ({segments_with_checksums} with checksums of their blocks), {bytes} bytes read"
        )
    }
}
