//! A journal file: the commits in it, of whatever life of the journal.
//!
//! A journal is a ring of files: behind the newest commit stand older ones or zeros, so they are shown by their place and
//! their generation and sequence tell their order.

use std::io::{self, Write};

use ringlog_storage::format::commit::{Commit, CommitHeader};
use serde::Serialize;

use crate::commands::dump_log::files::DumpFile;
use crate::commands::dump_log::{Dump, DumpFailure};
use crate::commands::output::Report;

/// Commits begin at such boundaries.
const BLOCK_BYTES: usize = 4096;

/// Shows a journal file.
pub(super) fn dump(dump: &mut Dump<'_>, file: &DumpFile, name: &str) -> Result<(), DumpFailure> {
    let bytes = file.read_whole()?;
    let mut position = 0;
    while let Some(rest) = bytes.get(position..).filter(|rest| !rest.is_empty()) {
        let Some(header) = CommitHeader::peek_any(rest) else {
            position += BLOCK_BYTES;
            continue;
        };
        match Commit::verify(header, rest) {
            Some(commit) => {
                dump.show(&ShownCommit::new(name, position as u64, &commit))?;
                position += header.padded_length();
            }
            None => {
                let words = format!(
                    "a commit that does not verify (generation {:#018x}, sequence {}): torn if it is the newest, damaged if \
                     a later one follows it",
                    header.generation(),
                    header.sequence()
                );
                dump.damage(name, position as u64, words)?;
                position += BLOCK_BYTES;
            }
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct ShownCommit<'c> {
    r#type: &'static str,
    file: &'c str,
    position: u64,
    size_bytes: usize,
    generation: u64,
    sequence: u64,
    previous_checksum: u32,
    checksum: u32,
    entries: Vec<ShownEntry>,
}

#[derive(Serialize)]
struct ShownEntry {
    kind: &'static str,
    topic_id: String,
    partition: i32,
    base_offset: i64,
    previous_end_offset: i64,
    durable_end_offset: i64,
    segment_base_offset: i64,
    segment_position: u32,
    size_bytes: u32,
}

impl ShownCommit<'_> {
    fn new<'c>(file: &'c str, position: u64, commit: &Commit<'_>) -> ShownCommit<'c> {
        let entries = commit.entries().map(|(entry, _)| ShownEntry {
            kind: entry.kind.name(),
            topic_id: entry.partition.topic.to_string(),
            partition: entry.partition.partition.0,
            base_offset: entry.base_offset.0,
            previous_end_offset: entry.previous_end_offset.0,
            durable_end_offset: entry.durable_end_offset.0,
            segment_base_offset: entry.segment_base_offset.0,
            segment_position: entry.position,
            size_bytes: entry.length,
        });
        ShownCommit {
            r#type: "commit",
            file,
            position,
            size_bytes: commit.header.length(),
            generation: commit.header.generation(),
            sequence: commit.header.sequence(),
            previous_checksum: commit.header.previous_checksum(),
            checksum: commit.header.checksum(),
            entries: entries.collect(),
        }
    }
}

impl Report for ShownCommit<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        writeln!(
            sink,
            "  at {}: commit {} of generation {:#018x}, {} bytes, {} entries, checksum {:#010x} behind {:#010x}",
            self.position,
            self.sequence,
            self.generation,
            self.size_bytes,
            self.entries.len(),
            self.checksum,
            self.previous_checksum
        )?;
        for entry in &self.entries {
            writeln!(
                sink,
                "    {} {} partition {} offset {} after {}, durable to {}, {} bytes for segment {} at {}",
                entry.kind,
                entry.topic_id,
                entry.partition,
                entry.base_offset,
                entry.previous_end_offset,
                entry.durable_end_offset,
                entry.size_bytes,
                entry.segment_base_offset,
                entry.segment_position
            )?;
        }
        Ok(())
    }
}
