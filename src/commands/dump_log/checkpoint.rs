//! A checkpoint: what a shard's segments hold for certain.

use std::io::{self, Write};

use ringlog_core::ids::TopicId;
use ringlog_storage::format::checkpoint::{CheckpointBody, PartitionRecord};
use serde::Serialize;

use crate::commands::dump_log::files::DumpFile;
use crate::commands::dump_log::{Dump, DumpFailure};
use crate::commands::output::Report;
use crate::commands::table::printable;

/// Shows a checkpoint.
pub(super) fn dump(dump: &mut Dump<'_>, file: &DumpFile, name: &str) -> Result<(), DumpFailure> {
    match CheckpointBody::parse(&file.read_whole()?) {
        Ok(body) => {
            dump.show(&ShownCheckpoint::new(name, &body))?;
            for record in &body.partitions {
                dump.show(&ShownPartition::new(name, record))?;
            }
            Ok(())
        }
        Err(reason) => Ok(dump.damage(name, 0, reason)?),
    }
}

#[derive(Serialize)]
struct ShownCheckpoint<'c> {
    r#type: &'static str,
    file: &'c str,
    start: u64,
    number: u64,
    shard_count: u16,
    is_clean: bool,
    generation: u64,
    sequence: u64,
    checksum: u32,
    partitions: usize,
    deleted: usize,
}

impl ShownCheckpoint<'_> {
    fn new<'c>(file: &'c str, body: &CheckpointBody) -> ShownCheckpoint<'c> {
        ShownCheckpoint {
            r#type: "checkpoint",
            file,
            start: body.start,
            number: body.number,
            shard_count: body.shard_count,
            is_clean: body.is_clean,
            generation: body.generation,
            sequence: body.sequence,
            checksum: body.checksum,
            partitions: body.partitions.len(),
            deleted: body.deleted.len(),
        }
    }
}

impl Report for ShownCheckpoint<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        writeln!(
            sink,
            "  checkpoint {} of start {}, {} shards, {}; covers commits to {} of generation {:#018x}; {} partitions, {} \
             deleted",
            self.number,
            self.start,
            self.shard_count,
            if self.is_clean { "clean stop" } else { "no clean stop" },
            self.sequence,
            self.generation,
            self.partitions,
            self.deleted
        )
    }
}

#[derive(Serialize)]
struct ShownPartition<'p> {
    r#type: &'static str,
    file: &'p str,
    topic: &'p str,
    topic_id: String,
    partition: i32,
    log_start_offset: i64,
    end_offset: i64,
    durable_end_offset: i64,
    segment_base_offset: i64,
    segment_position: u64,
    max_timestamp: i64,
    offset_index_count: u32,
    time_index_count: u32,
    unwritten_offset_entries: usize,
    unwritten_time_entries: usize,
    unwritten_checksums: usize,
    leader_epochs: &'p [(i32, i64)],
}

impl ShownPartition<'_> {
    fn new<'p>(file: &'p str, record: &'p PartitionRecord) -> ShownPartition<'p> {
        ShownPartition {
            r#type: "partition",
            file,
            topic: &record.topic,
            topic_id: TopicId(record.topic_id).to_string(),
            partition: record.partition,
            log_start_offset: record.log_start_offset,
            end_offset: record.end_offset,
            durable_end_offset: record.durable_end_offset,
            segment_base_offset: record.segment_base_offset,
            segment_position: record.position,
            max_timestamp: record.max_timestamp,
            offset_index_count: record.offset_index_count,
            time_index_count: record.time_index_count,
            unwritten_offset_entries: record.unwritten.offsets.len(),
            unwritten_time_entries: record.unwritten.times.len(),
            unwritten_checksums: record.unwritten.checksums.len(),
            leader_epochs: &record.epochs,
        }
    }
}

impl Report for ShownPartition<'_> {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        writeln!(
            sink,
            "  {}-{} ({}): offsets {} to {}, durable to {}, segment {} stable to {}, {} and {} index entries in files, \
             {} and {} here with {} checksums, epochs {:?}",
            printable(self.topic),
            self.partition,
            self.topic_id,
            self.log_start_offset,
            self.end_offset,
            self.durable_end_offset,
            self.segment_base_offset,
            self.segment_position,
            self.offset_index_count,
            self.time_index_count,
            self.unwritten_offset_entries,
            self.unwritten_time_entries,
            self.unwritten_checksums,
            self.leader_epochs
        )
    }
}
