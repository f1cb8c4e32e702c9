//! The checksums of a segment's blocks, and whether the segment beside them agrees.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use ringlog_storage::format::checksums::{
    BLOCK_BYTES, ChecksumFile, ChecksumHeader, SegmentSeed, checksum_position,
};
use serde::Serialize;

use crate::commands::dump_log::files::DumpFile;
use crate::commands::dump_log::{Dump, DumpFailure};
use crate::commands::output::Report;

/// Shows a checksum file.
pub(super) fn dump(dump: &mut Dump<'_>, file: &DumpFile, name: &str) -> Result<(), DumpFailure> {
    let bytes = file.read_whole()?;
    let header = match ChecksumHeader::parse(&bytes) {
        Ok(header) => header,
        Err(reason) => return Ok(dump.damage(name, 0, reason)?),
    };
    dump.show(&ShownHeader::new(name, &header))?;
    let checksums = match ChecksumFile::parse(&bytes, header.partition, file.base_offset()) {
        Ok(file) => file.checksums,
        Err(reason) => return Ok(dump.damage(name, 0, reason)?),
    };
    let segment = File::open(file.path.with_extension("log")).ok();
    let seed = SegmentSeed::new(header.partition, header.base_offset);
    for (block, checksum) in (0u64..).zip(checksums) {
        let position = block * BLOCK_BYTES;
        dump.show(&ShownChecksum { r#type: "checksum", file: name, segment_position: position, checksum })?;
        let Some(segment) = &segment else { continue };
        // While the segment grows, its file says nothing of its last block, and neither does this one.
        let length =
            header.sealed.map_or(u64::MAX, |sealed| sealed.segment_bytes - position).min(BLOCK_BYTES);
        let found = read_block(segment, position, length as usize).map_err(DumpFailure::Unreadable)?;
        let computed = seed.checksum_of(position, &found);
        if computed != checksum {
            let words = format!(
                "the block at byte {position} of the segment gives {computed:#010x}, not {checksum:#010x}"
            );
            dump.damage(name, checksum_position(block), words)?;
        }
    }
    Ok(())
}

fn read_block(segment: &File, position: u64, length: usize) -> io::Result<Vec<u8>> {
    let (mut bytes, mut filled) = (vec![0; length], 0);
    while filled < length {
        match segment.read_at(&mut bytes[filled..], position + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[derive(Serialize)]
struct ShownHeader<'f> {
    r#type: &'static str,
    file: &'f str,
    topic_id: String,
    partition: i32,
    base_offset: i64,
    /// Null while the segment grows.
    segment_bytes: Option<u64>,
}

impl ShownHeader<'_> {
    fn new<'f>(file: &'f str, header: &ChecksumHeader) -> ShownHeader<'f> {
        ShownHeader {
            r#type: "checksums",
            file,
            topic_id: header.partition.topic.to_string(),
            partition: header.partition.partition.0,
            base_offset: header.base_offset.0,
            segment_bytes: header.sealed.map(|sealed| sealed.segment_bytes),
        }
    }
}

impl Report for ShownHeader<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        write!(
            sink,
            "  of the segment at offset {} of partition {} of {}",
            self.base_offset, self.partition, self.topic_id
        )?;
        match self.segment_bytes {
            Some(bytes) => writeln!(sink, ", sealed with {bytes} bytes"),
            None => writeln!(sink, ", which grows"),
        }
    }
}

#[derive(Serialize)]
struct ShownChecksum<'f> {
    r#type: &'static str,
    file: &'f str,
    segment_position: u64,
    checksum: u32,
}

impl Report for ShownChecksum<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        writeln!(sink, "  block at {}: {:#010x}", self.segment_position, self.checksum)
    }
}
