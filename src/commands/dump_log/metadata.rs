//! The metadata log: the controller's records, frame by frame.

use std::io::{self, Write};

use ringlog_storage::metadata_log::{ReadFrame, each_frame};
use serde::Serialize;

use crate::commands::dump_log::files::DumpFile;
use crate::commands::dump_log::{Dump, DumpFailure};
use crate::commands::output::Report;
use crate::commands::table::printable;

/// Shows a metadata log.
pub(super) fn dump(dump: &mut Dump<'_>, file: &DumpFile, name: &str) -> Result<(), DumpFailure> {
    let bytes = file.read_whole()?;
    for frame in each_frame(&bytes) {
        match frame {
            Ok(frame) => dump.show(&ShownFrame::new(name, &frame))?,
            Err(fault) => dump.damage(name, fault.position, fault.reason)?,
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct ShownFrame<'f> {
    r#type: &'static str,
    file: &'f str,
    position: u64,
    first_index: u64,
    /// Empty for the frame that ends others.
    records: Vec<String>,
}

impl ShownFrame<'_> {
    fn new<'f>(file: &'f str, frame: &ReadFrame) -> ShownFrame<'f> {
        let records = frame.records.iter().map(|record| format!("{record:?}")).collect();
        ShownFrame {
            r#type: "frame",
            file,
            position: frame.position,
            first_index: frame.first_index,
            records,
        }
    }
}

impl Report for ShownFrame<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        let (position, first) = (self.position, self.first_index);
        match self.records.len() {
            0 => writeln!(sink, "  at {position}: end, record {first} is next")?,
            count => writeln!(sink, "  at {position}: {count} records from {first}")?,
        }
        self.records.iter().try_for_each(|record| writeln!(sink, "    {}", printable(record)))
    }
}
