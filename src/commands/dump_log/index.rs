//! The two indexes of a segment: their entries, and whether the segment beside them agrees.
//!
//! An entry is a hint: a wrong one costs a reader time and never a record. It is told as damage all the same.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;

use ringlog_core::ids::Offset;
use ringlog_core::record_batch::{BatchHeader, HEADER_BYTES};
use ringlog_storage::format::index::{IndexEntry, OffsetEntry, TimeEntry};
use serde::Serialize;

use crate::commands::dump_log::files::DumpFile;
use crate::commands::dump_log::{Dump, DumpFailure};
use crate::commands::output::Report;
use crate::commands::time::Moment;

/// Shows an offset index.
pub(super) fn dump_offsets(dump: &mut Dump<'_>, file: &DumpFile, name: &str) -> Result<(), DumpFailure> {
    let segment = File::open(file.path.with_extension("log")).ok();
    each_entry(dump, file, name, |dump, position, entry: OffsetEntry| {
        let (offset, place) = (entry.last_offset, u64::from(entry.position));
        dump.show(&ShownOffset {
            r#type: "offset-entry",
            file: name,
            position,
            offset: offset.0,
            segment_position: place,
        })?;
        let disagreement = segment.as_ref().and_then(|segment| disagreement(segment, place, offset));
        disagreement.map_or(Ok(()), |reason| dump.damage(name, position, reason))
    })
}

/// Shows a time index.
pub(super) fn dump_times(dump: &mut Dump<'_>, file: &DumpFile, name: &str) -> Result<(), DumpFailure> {
    each_entry(dump, file, name, |dump, position, entry: TimeEntry| {
        let (timestamp, offset) = (entry.timestamp.0, entry.last_offset.0);
        dump.show(&ShownTime { r#type: "time-entry", file: name, position, timestamp, offset })
    })
}

/// Reads entries until the zeros that a file allocated ahead ends with.
fn each_entry<T: IndexEntry>(
    dump: &mut Dump<'_>,
    file: &DumpFile,
    name: &str,
    mut show: impl FnMut(&mut Dump<'_>, u64, T) -> Result<(), crate::commands::failure::CommandFailure>,
) -> Result<(), DumpFailure> {
    let mut bytes = BufReader::new(file.open()?);
    let (mut position, mut earlier, mut in_space) = (0, None::<T>, false);
    loop {
        let mut entry = Vec::with_capacity(T::BYTES);
        let read =
            (&mut bytes).take(T::BYTES as u64).read_to_end(&mut entry).map_err(DumpFailure::Unreadable)?;
        match read {
            0 => return Ok(()),
            cut if cut < T::BYTES => {
                return Ok(dump.damage(name, position, format!("{cut} bytes are no entry"))?);
            }
            _ => {}
        }
        if entry.iter().all(|byte| *byte == 0) {
            in_space = true;
        } else if in_space {
            return Ok(dump.damage(name, position, "an entry behind the space for entries")?);
        } else {
            let entry = T::read(file.base_offset(), &entry);
            show(dump, position, entry)?;
            if earlier.is_some_and(|earlier| !entry.follows(&earlier)) {
                dump.damage(name, position, "it does not grow from the entry before")?;
            }
            earlier = Some(entry);
        }
        position += T::BYTES as u64;
    }
}

/// What the segment has where the entry points.
fn disagreement(segment: &File, position: u64, last_offset: Offset) -> Option<String> {
    let mut header = [0; HEADER_BYTES];
    if segment.read_exact_at(&mut header, position).is_err() {
        return Some(format!("the segment ends before byte {position}"));
    }
    match BatchHeader::parse(&header) {
        Ok(header) if header.last_offset() == last_offset => None,
        Ok(header) => Some(format!("the batch at byte {position} ends at offset {}", header.last_offset())),
        Err(fault) => Some(format!("no batch begins at byte {position}: {fault}")),
    }
}

#[derive(Serialize)]
struct ShownOffset<'s> {
    r#type: &'static str,
    file: &'s str,
    position: u64,
    offset: i64,
    segment_position: u64,
}

impl Report for ShownOffset<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        writeln!(sink, "  offset {} at byte {}", self.offset, self.segment_position)
    }
}

#[derive(Serialize)]
struct ShownTime<'s> {
    r#type: &'static str,
    file: &'s str,
    position: u64,
    timestamp: i64,
    offset: i64,
}

impl Report for ShownTime<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        let moment = Moment::from_timestamp_ms(self.timestamp);
        writeln!(sink, "  {moment} ({}) at offset {}", self.timestamp, self.offset)
    }
}
