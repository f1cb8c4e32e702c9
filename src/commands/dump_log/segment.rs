//! A segment: its batches one behind the other, and the space behind them.
//!
//! ```text
//!   [batch][batch][damaged batch][batch][zeros ...      ]
//!   shown  shown  told, passed   shown  space kept ahead
//! ```
//!
//! A batch whose checksum is wrong is passed over by the length it announces; where even that makes no sense, the rest of the
//! file cannot be read.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::ops::ControlFlow;

use ringlog_core::record_batch::{BatchFault, BatchHeader, HEADER_BYTES, TimestampType};
use ringlog_storage::format::names::parse_partition_directory;
use serde::Serialize;

use crate::client::offsets::PartitionName;
use crate::client::records::{FetchedRecord, each_record, opening_budget};
use crate::commands::dump_log::files::DumpFile;
use crate::commands::dump_log::{Dump, DumpFailure};
use crate::commands::failure::CommandFailure;
use crate::commands::output::Report;
use crate::commands::record_format::{JsonRecord, RecordFormat};
use crate::commands::time::Moment;

/// The largest batch that is read: more than any broker takes.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// How much is read at once.
const READ_BYTES: usize = 256 << 10;

/// Shows a segment.
pub(super) fn dump(dump: &mut Dump<'_>, file: &DumpFile, name: &str) -> Result<(), DumpFailure> {
    let mut reader = SegmentReader {
        bytes: BufReader::with_capacity(READ_BYTES, file.open()?),
        position: 0,
        size_bytes: file.size_bytes,
        batch: Vec::new(),
    };
    let partition = partition_of(file);
    let mut next_offset = file.base_offset().0;
    loop {
        let position = reader.position;
        match reader.next().map_err(DumpFailure::Unreadable)? {
            Next::Batch(header) => {
                let fault = verify(&header, &reader.batch, next_offset);
                let valid = fault.is_none();
                dump.show(&DumpedBatch::new(name, position, &header, valid))?;
                if let Some(reason) = fault {
                    dump.damage(name, position, reason)?;
                }
                if dump.with_records && valid {
                    show_records(dump, name, &partition, &reader.batch)?;
                }
                next_offset = next_offset.max(header.next_offset().0);
            }
            Next::Space => {
                let size_bytes = reader.size_bytes - position;
                dump.show(&Space { r#type: "space", file: name, position, size_bytes })?;
                return Ok(());
            }
            Next::Unreadable(reason) => return Ok(dump.damage(name, position, reason)?),
            Next::End => return Ok(()),
        }
    }
}

/// What stands next in a segment.
enum Next {
    Batch(BatchHeader),
    /// Zeros to the end of the file.
    Space,
    /// Something that has no end one could go on behind.
    Unreadable(String),
    End,
}

struct SegmentReader {
    bytes: BufReader<File>,
    position: u64,
    size_bytes: u64,
    batch: Vec<u8>,
}

impl SegmentReader {
    /// The next batch, left in `batch`.
    fn next(&mut self) -> io::Result<Next> {
        self.fill_to(HEADER_BYTES)?;
        if self.batch.is_empty() {
            return Ok(Next::End);
        }
        if self.batch.iter().all(|byte| *byte == 0) {
            return self.space();
        }
        let header = match BatchHeader::parse(&self.batch) {
            Ok(header) => header,
            Err(fault) => return Ok(Next::Unreadable(fault.to_string())),
        };
        let size_bytes = header.size_bytes();
        if size_bytes > BATCH_BYTES_MAX {
            return Ok(Next::Unreadable(format!("a batch of {size_bytes} bytes is announced")));
        }
        let head = std::mem::take(&mut self.batch);
        self.fill_to(size_bytes - head.len())?;
        self.batch.splice(0..0, head);
        if self.batch.len() < size_bytes {
            let fault = BatchFault::Truncated { needed_bytes: size_bytes, found_bytes: self.batch.len() };
            return Ok(Next::Unreadable(fault.to_string()));
        }
        self.position += size_bytes as u64;
        Ok(Next::Batch(header))
    }

    /// So many bytes, or as many as there are.
    fn fill_to(&mut self, count: usize) -> io::Result<()> {
        self.batch.clear();
        (&mut self.bytes).take(count as u64).read_to_end(&mut self.batch)?;
        Ok(())
    }

    /// Whether the zeros go on to the end.
    fn space(&mut self) -> io::Result<Next> {
        let mut position = self.position + self.batch.len() as u64;
        loop {
            self.fill_to(READ_BYTES)?;
            if self.batch.is_empty() {
                return Ok(Next::Space);
            }
            if let Some(at) = self.batch.iter().position(|byte| *byte != 0) {
                position += at as u64;
                return Ok(Next::Unreadable(format!("zeros, and at byte {position} something else again")));
            }
            position += self.batch.len() as u64;
        }
    }
}

/// What is wrong with a batch, records included.
fn verify(header: &BatchHeader, batch: &[u8], next_offset: i64) -> Option<String> {
    let (raw, _) = match ringlog_core::record_batch::RawBatch::split_first(batch) {
        Ok(split) => split,
        Err(fault) => return Some(fault.to_string()),
    };
    if let Err(fault) = raw.verify_checksum() {
        return Some(fault.to_string());
    }
    if header.base_offset().0 < next_offset {
        return Some(format!("it begins at offset {}, where {next_offset} is next", header.base_offset()));
    }
    let records = match raw.records(&mut opening_budget()) {
        Ok(records) => records,
        Err(fault) => return Some(fault.to_string()),
    };
    records.iter().find_map(Result::err).map(|fault| fault.to_string())
}

fn show_records(
    dump: &mut Dump<'_>,
    file: &str,
    partition: &PartitionName,
    batch: &[u8],
) -> Result<(), CommandFailure> {
    let shown = each_record(batch, 0, |record| -> Result<ControlFlow<()>, Shown> {
        dump.show(&DumpedRecord::new(file, partition, &record)).map_err(Shown::Failed)?;
        Ok(ControlFlow::Continue(()))
    });
    match shown {
        Err(Shown::Failed(failure)) => Err(failure),
        // It was verified before.
        Err(Shown::Fault) | Ok(_) => Ok(()),
    }
}

enum Shown {
    Failed(CommandFailure),
    Fault,
}

impl From<BatchFault> for Shown {
    fn from(_: BatchFault) -> Shown {
        Shown::Fault
    }
}

/// The partition whose directory the file lies in; its own name where it lies elsewhere.
fn partition_of(file: &DumpFile) -> PartitionName {
    let directory =
        file.path.parent().and_then(|parent| parent.file_name()).map(|name| name.to_string_lossy());
    let directory = directory.unwrap_or_default();
    match parse_partition_directory(&directory) {
        Some((topic, partition)) => PartitionName { topic: topic.to_owned(), partition: partition.0 },
        None => PartitionName { topic: directory.into_owned(), partition: -1 },
    }
}

#[derive(Serialize)]
struct DumpedBatch<'b> {
    r#type: &'static str,
    file: &'b str,
    position: u64,
    size_bytes: usize,
    base_offset: i64,
    last_offset: i64,
    records: i32,
    /// Null for a codec that does not exist.
    codec: Option<&'static str>,
    leader_epoch: i32,
    timestamp_type: &'static str,
    base_timestamp: i64,
    max_timestamp: i64,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    is_transactional: bool,
    is_control: bool,
    checksum: u32,
    is_valid: bool,
}

impl DumpedBatch<'_> {
    fn new<'b>(file: &'b str, position: u64, header: &BatchHeader, is_valid: bool) -> DumpedBatch<'b> {
        let attributes = header.attributes();
        DumpedBatch {
            r#type: "batch",
            file,
            position,
            size_bytes: header.size_bytes(),
            base_offset: header.base_offset().0,
            last_offset: header.last_offset().0,
            records: header.record_count(),
            codec: attributes.compression().map(|codec| codec.name()),
            leader_epoch: header.leader_epoch().0,
            timestamp_type: match attributes.timestamp_type() {
                TimestampType::CreateTime => "CreateTime",
                TimestampType::LogAppendTime => "LogAppendTime",
            },
            base_timestamp: header.base_timestamp().0,
            max_timestamp: header.max_timestamp().0,
            producer_id: header.producer_id().0,
            producer_epoch: header.producer_epoch().0,
            base_sequence: header.base_sequence().0,
            is_transactional: attributes.is_transactional(),
            is_control: attributes.is_control(),
            checksum: header.crc(),
            is_valid,
        }
    }
}

impl Report for DumpedBatch<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        write!(
            sink,
            "  at {}: offsets {} to {}, {} records, {} bytes, {}, epoch {}, {} to {}",
            self.position,
            self.base_offset,
            self.last_offset,
            self.records,
            self.size_bytes,
            self.codec.unwrap_or("unknown codec"),
            self.leader_epoch,
            self.timestamp_type,
            Moment::from_timestamp_ms(self.max_timestamp)
        )?;
        if self.producer_id >= 0 {
            let (id, epoch, sequence) = (self.producer_id, self.producer_epoch, self.base_sequence);
            write!(sink, ", producer {id} epoch {epoch} sequence {sequence}")?;
        }
        for (holds, word) in [(self.is_transactional, "transactional"), (self.is_control, "control")] {
            if holds {
                write!(sink, ", {word}")?;
            }
        }
        writeln!(sink, ", checksum {:#010x}", self.checksum)
    }
}

#[derive(Serialize)]
struct DumpedRecord<'r> {
    r#type: &'static str,
    file: &'r str,
    #[serde(flatten)]
    record: JsonRecord<'r>,
    #[serde(skip)]
    line: Vec<u8>,
}

impl<'r> DumpedRecord<'r> {
    fn new(file: &'r str, partition: &'r PartitionName, record: &FetchedRecord<'r>) -> DumpedRecord<'r> {
        let format = RecordFormat {
            timestamp: true,
            offset: true,
            headers: true,
            key: true,
            ..RecordFormat::default()
        };
        let mut line = Vec::new();
        format.write_line(partition, record, &mut line).expect("memory takes every line");
        DumpedRecord { r#type: "record", file, record: JsonRecord::new(partition, record), line }
    }
}

impl Report for DumpedRecord<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        sink.write_all(b"    ")?;
        sink.write_all(&self.line)
    }
}

#[derive(Serialize)]
struct Space<'s> {
    r#type: &'static str,
    file: &'s str,
    position: u64,
    size_bytes: u64,
}

impl Report for Space<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        writeln!(sink, "  at {}: {} bytes of space", self.position, self.size_bytes)
    }
}
