//! `ringlog produce`: each line of standard input becomes a record.
//!
//! ```text
//!   line ──► headers, key, value ──► partition ──► batches ──► leaders     a batch goes when it is full, or when
//!                                                                          no further line is waiting
//! ```
//!
//! Always true: a line is counted only when its batch was acknowledged (or nobody was to acknowledge it); a batch is sent
//! again only if it certainly was not written.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};

use clap::{Args, ValueEnum};
use ringlog_core::compression::Codec;
use ringlog_core::record_batch::BatchBuilder;
use ringlog_runtime::uring::wall_clock;
use serde::Serialize;

use crate::client::cluster::{Cluster, MissingTopics};
use crate::client::limits::{LINE_BYTES_MAX, UNSENT_BYTES_MAX};
use crate::client::offsets::PartitionName;
use crate::client::partitioner::partition_of_key;
use crate::client::produce::{Acks, produce};
use crate::commands::arguments::{BrokerArguments, KeyValue, TopicArgument, unescaped};
use crate::commands::failure::CommandFailure;
use crate::commands::line_format::LineFormat;
use crate::commands::output::{Report, show};

/// How much of the input is read at once: also what is sent together while input comes faster than it is taken.
const INPUT_BYTES: usize = 256 << 10;

/// Bytes of a record beside key, value and headers, at most: for counting alone.
const RECORD_OVERHEAD_BYTES: usize = 24;

/// Where records go and what they are made of.
#[derive(Args, Debug)]
pub struct ProduceArguments {
    /// The topic; one that is missing is made, if the broker makes topics by itself.
    #[command(flatten)]
    pub topic: TopicArgument,
    /// Put every record into this partition, whatever its key.
    #[arg(short, long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<i32>,
    /// Take what stands before this text for the record's key; \t is a tab.
    #[arg(short = 'K', long, value_name = "TEXT")]
    pub key_separator: Option<String>,
    /// Give every record this header.
    #[arg(short = 'H', long, value_name = "NAME=VALUE")]
    pub header: Vec<KeyValue>,
    /// Take what stands before the first tab for the record's own headers: name:value,name:value.
    #[arg(long)]
    pub parse_headers: bool,
    /// Take a key or value that is exactly this text for none at all.
    #[arg(short = 'Z', long, value_name = "TEXT")]
    pub null_marker: Option<String>,
    /// Whose acknowledgement to wait for.
    #[arg(long, alias = "request-required-acks", value_enum, default_value_t = AcksArgument::All)]
    pub acks: AcksArgument,
    /// How to compress.
    #[arg(short = 'z', long, alias = "compression-codec", value_enum, default_value_t = CodecArgument::None)]
    pub compression: CodecArgument,
    /// Bytes of records in one batch, before compression.
    #[arg(long, alias = "batch-size", value_name = "BYTES", default_value_t = 131_072,
        value_parser = clap::value_parser!(u32).range(1..=UNSENT_BYTES_MAX as i64))]
    pub batch_bytes: u32,
    /// A property of Kafka's line reader, for example parse.key=true.
    #[arg(long, alias = "reader-property", value_name = "KEY=VALUE", hide = true)]
    pub property: Vec<KeyValue>,
    /// Where.
    #[command(flatten)]
    pub broker: BrokerArguments,
}

/// Whose acknowledgement is waited for.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum AcksArgument {
    /// Nobody's.
    #[value(name = "0")]
    None,
    /// The leader's.
    #[value(name = "1")]
    Leader,
    /// That of all replicas in sync.
    #[value(name = "all", alias = "-1")]
    All,
}

impl AcksArgument {
    fn acks(self) -> Acks {
        match self {
            AcksArgument::None => Acks::None,
            AcksArgument::Leader => Acks::Leader,
            AcksArgument::All => Acks::All,
        }
    }
}

/// How batches are compressed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "they are called what they are")]
pub enum CodecArgument {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl CodecArgument {
    fn codec(self) -> Codec {
        match self {
            CodecArgument::None => Codec::None,
            CodecArgument::Gzip => Codec::Gzip,
            CodecArgument::Snappy => Codec::Snappy,
            CodecArgument::Lz4 => Codec::Lz4,
            CodecArgument::Zstd => Codec::Zstd,
        }
    }
}

#[derive(Serialize, Default)]
struct Produced {
    topic: String,
    records: u64,
    partitions: Vec<ProducedPartition>,
}

#[derive(Serialize)]
struct ProducedPartition {
    partition: i32,
    records: u64,
    /// Null if nobody was to acknowledge.
    first_offset: Option<i64>,
    last_offset: Option<i64>,
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure`]; what was acknowledged before it stays.
pub fn run(
    arguments: ProduceArguments,
    input: impl Read,
    sink: &mut dyn Write,
) -> Result<(), CommandFailure> {
    let lines = line_format(&arguments)?;
    let topic = arguments.topic.name().to_owned();
    let mut cluster = arguments.broker.connect()?;
    let partition_count = cluster.patiently(|cluster| {
        let metadata = cluster.metadata(Some(&[&topic]), MissingTopics::Create)?;
        let topic = metadata.topic(&topic)?;
        if let Some(partition) = arguments.partition {
            topic.partition(partition)?;
        }
        Ok(topic.partitions.len())
    })?;
    let mut producer = Producer {
        start: wall_clock().0.unsigned_abs() as usize,
        partition_count,
        arguments: &arguments,
        cluster: &mut cluster,
        unsent: BTreeMap::new(),
        unsent_bytes: 0,
        sent: BTreeMap::new(),
        topic,
    };
    let done = producer.produce_lines(&lines, input);
    let report = producer.report();
    if done.is_err() && report.records > 0 {
        let _ = writeln!(io::stderr(), "ringlog: {} records were sent before this:", report.records);
    }
    done?;
    show(&report, arguments.broker.format(), sink)
}

fn line_format(arguments: &ProduceArguments) -> Result<LineFormat, CommandFailure> {
    let mut format = LineFormat {
        key_separator: arguments.key_separator.as_deref().map(unescaped),
        null_marker: arguments.null_marker.as_deref().map(|marker| marker.as_bytes().to_vec()),
        parse_headers: arguments.parse_headers,
        ..LineFormat::default()
    };
    for property in &arguments.property {
        format.set_property(&property.key, &property.value).map_err(CommandFailure::Usage)?;
    }
    format.check().map_err(CommandFailure::Usage)?;
    Ok(format)
}

struct Producer<'p> {
    arguments: &'p ProduceArguments,
    cluster: &'p mut Cluster,
    topic: String,
    partition_count: usize,
    /// Where records without a key begin; grows with every sending, so that they spread.
    start: usize,
    unsent: BTreeMap<i32, UnsentBatch>,
    unsent_bytes: usize,
    sent: BTreeMap<i32, ProducedPartition>,
}

struct UnsentBatch {
    batch: BatchBuilder,
    bytes: usize,
    records: u64,
}

impl Producer<'_> {
    fn produce_lines(&mut self, lines: &LineFormat, input: impl Read) -> Result<(), CommandFailure> {
        let mut input = BufReader::with_capacity(INPUT_BYTES, input);
        let mut line = Vec::new();
        for number in 1.. {
            if !read_line(&mut input, &mut line, number)? {
                break;
            }
            self.add(lines, &line, number)?;
            // No further line is here yet: what is collected shall not wait for it.
            if !input.buffer().contains(&b'\n') {
                self.send()?;
            }
        }
        self.send()
    }

    fn add(&mut self, lines: &LineFormat, line: &[u8], number: u64) -> Result<(), CommandFailure> {
        let record = lines
            .parse(line)
            .map_err(|problem| CommandFailure::Usage(format!("line {number}: {problem}")))?;
        let fixed = self.arguments.header.iter();
        let mut headers: Vec<(&[u8], Option<&[u8]>)> =
            fixed.map(|header| (header.key.as_bytes(), Some(header.value.as_bytes()))).collect();
        headers.extend(record.headers.iter().map(|(name, value)| (*name, Some(*value))));
        let header_bytes: usize = headers
            .iter()
            .map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len) + RECORD_OVERHEAD_BYTES)
            .sum();
        let bytes = line.len() + header_bytes + RECORD_OVERHEAD_BYTES;
        let partition = self.partition_of(record.key);
        let is_full = |unsent: &UnsentBatch| unsent.bytes + bytes > self.arguments.batch_bytes as usize;
        if self.unsent.get(&partition).is_some_and(is_full) || self.unsent_bytes + bytes > UNSENT_BYTES_MAX {
            self.send()?;
        }
        let unsent = self.unsent.entry(partition).or_insert_with(|| UnsentBatch {
            batch: BatchBuilder::new().compressed(self.arguments.compression.codec()),
            bytes: 0,
            records: 0,
        });
        let batch = std::mem::take(&mut unsent.batch);
        unsent.batch = batch.record_with(wall_clock(), record.key, record.value, &headers);
        unsent.bytes += bytes;
        unsent.records += 1;
        self.unsent_bytes += bytes;
        Ok(())
    }

    fn partition_of(&self, key: Option<&[u8]>) -> i32 {
        match (self.arguments.partition, key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of_key(key, self.partition_count),
            (None, None) => (self.start % self.partition_count) as i32,
        }
    }

    fn send(&mut self) -> Result<(), CommandFailure> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let mut counts = BTreeMap::new();
        let mut batches = BTreeMap::new();
        for (partition, unsent) in std::mem::take(&mut self.unsent) {
            counts.insert(partition, unsent.records);
            let name = PartitionName { topic: self.topic.clone(), partition };
            batches.insert(name, unsent.batch.build());
        }
        self.unsent_bytes = 0;
        self.start = self.start.wrapping_add(1);
        let acks = self.arguments.acks.acks();
        for (name, base_offset) in produce(self.cluster, &batches, acks)? {
            self.count(name.partition, counts[&name.partition], (base_offset >= 0).then_some(base_offset));
        }
        Ok(())
    }

    fn count(&mut self, partition: i32, records: u64, base_offset: Option<i64>) {
        let last_offset = base_offset.map(|base| base + records as i64 - 1);
        let first = ProducedPartition { partition, records: 0, first_offset: base_offset, last_offset };
        let sent = self.sent.entry(partition).or_insert(first);
        sent.records += records;
        sent.last_offset = last_offset;
    }

    fn report(self) -> Produced {
        let records = self.sent.values().map(|partition| partition.records).sum();
        Produced { topic: self.topic, records, partitions: self.sent.into_values().collect() }
    }
}

/// The next line without its end; false at the end of the input. A last line may lack its end.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>, number: u64) -> Result<bool, CommandFailure> {
    line.clear();
    let read = input.take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', line);
    let bytes = read.map_err(|error| CommandFailure::Input(format!("line {number}: {error}")))?;
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    if line.len() > LINE_BYTES_MAX {
        return Err(CommandFailure::Usage(format!("line {number} is longer than {LINE_BYTES_MAX} bytes")));
    }
    Ok(bytes > 0)
}

impl Report for Produced {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        write!(
            sink,
            "{} record{} to {}",
            self.records,
            if self.records == 1 { "" } else { "s" },
            self.topic
        )?;
        for (index, partition) in self.partitions.iter().enumerate() {
            let separator = if index == 0 { ": " } else { ", " };
            match partition.first_offset.zip(partition.last_offset) {
                Some((first, last)) => {
                    write!(sink, "{separator}partition {} offsets {first} to {last}", partition.partition)?;
                }
                None => write!(sink, "{separator}partition {} unacknowledged", partition.partition)?,
            }
        }
        writeln!(sink)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_a_newline_a_return_before_it_or_the_input() {
        let mut input = BufReader::with_capacity(4, &b"one\r\n\ntwo\nthree"[..]);
        let mut line = Vec::new();
        let mut lines = Vec::new();
        while read_line(&mut input, &mut line, 1).unwrap() {
            lines.push(String::from_utf8(line.clone()).unwrap());
        }
        assert_eq!(lines, ["one", "", "two", "three"]);
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let mut endless = BufReader::new(io::repeat(b'x'));
        let refusal = read_line(&mut endless, &mut Vec::new(), 7).unwrap_err().to_string();
        assert!(refusal.starts_with("line 7 is longer than"), "{refusal}");
    }
}
