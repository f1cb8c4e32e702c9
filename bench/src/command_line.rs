//! The command line: what can be measured, in words that `--help` explains.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ringlog::client::Address;
use ringlog::commands::arguments::KeyValue;
use ringlog_core::compression::Codec;
use serde::Serialize;

use crate::limits::{
    BATCH_RECORDS_MAX, CONNECTIONS_MAX, CONSUMERS_MAX, IN_FLIGHT_MAX, MEMBERS_MAX, RECORD_BYTES_MAX,
    RECORD_BYTES_MIN,
};
use crate::scenario::BrokerKind;

/// Measures a Kafka broker: Ringlog, Apache Kafka, any that speaks the protocol.
///
/// Every run that sends records reads all of them back; a run that does not find each once, in order and
/// undamaged is void and ends with a failure. docs/benchmarking.md says how to measure honestly.
#[derive(Parser, Debug)]
#[command(name = "ringlog-bench", version, max_term_width = 100)]
pub struct CommandLine {
    /// What to measure.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be measured.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Send records by a fixed plan and measure from the planned time of each (open loop).
    Load(LoadArguments),
    /// Send records as fast as they are acknowledged (closed loop).
    Capacity(CapacityArguments),
    /// Read a topic from its beginning as fast as it comes.
    Consume(ConsumeArguments),
    /// Commit offsets of consumer groups as fast as they are acknowledged.
    Commits(CommitsArguments),
    /// Let one consumer group of many members come together and keep it alive.
    Groups(GroupsArguments),
    /// Ask for the metadata of many partitions.
    Metadata(MetadataArguments),
    /// Measure what a connection costs the broker.
    Connections(ConnectionsArguments),
    /// Measure what a directory's disk can do for a broker.
    Disk(DiskArguments),
    /// Compare two brokers on this machine, in turn, by scenarios.
    Run(RunArguments),
    /// Tell what a comparison came to: Markdown, and one page of HTML with plots.
    Report(ReportArguments),
}

impl Command {
    /// Whether it measures a broker.
    pub fn measures(&self) -> bool {
        !matches!(self, Command::Disk(_) | Command::Run(_) | Command::Report(_))
    }

    /// Whether it takes `--seconds`.
    pub fn takes_seconds(&self) -> bool {
        self.measures() && !matches!(self, Command::Consume(_))
    }

    /// Whether it takes `--warmup-seconds`.
    pub fn takes_warmup(&self) -> bool {
        matches!(self, Command::Load(_) | Command::Capacity(_))
    }

    /// Whether it makes the topic its records go to.
    pub fn makes_topic(&self) -> bool {
        match self {
            Command::Load(arguments) => arguments.topic.create,
            Command::Capacity(arguments) => arguments.topic.create,
            _ => false,
        }
    }
}

/// Where the broker is, and where results go.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TargetArguments {
    /// Brokers to begin with; one that answers is enough.
    #[arg(
        short = 'b',
        long,
        value_name = "HOST:PORT,...",
        value_delimiter = ',',
        default_value = "127.0.0.1:9092"
    )]
    #[serde(serialize_with = "as_text")]
    pub bootstrap_server: Vec<Address>,
    /// The longest single wait for a broker, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub request_timeout_ms: u32,
    /// Measure the CPU time and memory of this process too: the broker's.
    #[arg(long, value_name = "PID")]
    pub broker_pid: Option<u32>,
    /// How this program runs itself.
    #[command(flatten)]
    #[serde(flatten)]
    pub own: OwnArguments,
}

/// How this program runs itself.
#[derive(Args, Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct OwnArguments {
    /// The core this program keeps to [default: the first one it may use].
    #[arg(long, value_name = "CORE")]
    pub core: Option<usize>,
    /// Poll this long before sleeping: sends are more exactly on time, and the core is busy.
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 0)]
    pub idle_spin_us: u64,
    /// Write result.json and a log of histograms into this directory, which is made.
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Say nothing while measuring.
    #[arg(short, long)]
    pub quiet: bool,
    /// Print the result as JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

/// The topic that records go to.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TopicArguments {
    /// The topic. It must be empty: what is read back is compared with what was sent.
    #[arg(short, long, value_name = "NAME", default_value = "bench")]
    pub topic: String,
    /// Make the topic; one of this name is deleted first.
    #[arg(long)]
    pub create: bool,
    /// Partitions, if the topic is made.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: i32,
    /// Replicas of each partition, if the topic is made.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i16).range(1..))]
    pub replication_factor: i16,
    /// A configuration of the topic, if it is made; may be repeated.
    #[arg(long = "config", value_name = "KEY=VALUE")]
    #[serde(serialize_with = "as_pairs")]
    pub configs: Vec<KeyValue>,
}

/// The records and how they are sent.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecordArguments {
    /// Bytes of each record's value.
    #[arg(long, value_name = "BYTES", default_value_t = 1024, value_parser = within(RECORD_BYTES_MIN, RECORD_BYTES_MAX))]
    pub record_bytes: u64,
    /// Records in each batch. A request carries one batch.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = within(1, BATCH_RECORDS_MAX))]
    pub batch_records: u64,
    /// Different keys; 0 for records without a key.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub keys: u32,
    /// How batches are compressed. They are compressed once, before the run.
    #[arg(long, value_name = "CODEC", default_value = "none", value_parser = codec)]
    #[serde(serialize_with = "as_codec")]
    pub compression: Codec,
    /// Whose acknowledgement is waited for.
    #[arg(long, value_enum, default_value_t = AcksArgument::All)]
    pub acks: AcksArgument,
    /// Connections that send.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = within(1, CONNECTIONS_MAX))]
    pub connections: u64,
    /// Send as idempotent producers: one producer id for each connection.
    #[arg(long)]
    pub idempotence: bool,
}

/// `load`.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LoadArguments {
    /// Where the broker is.
    #[command(flatten)]
    #[serde(flatten)]
    pub target: TargetArguments,
    /// Where records go.
    #[command(flatten)]
    #[serde(flatten)]
    pub topic: TopicArguments,
    /// The records.
    #[command(flatten)]
    #[serde(flatten)]
    pub records: RecordArguments,
    /// Records to send a second, over all connections.
    #[arg(short, long, value_name = "RECORDS", default_value_t = 1000.0, value_parser = rate)]
    pub rate: f64,
    /// Requests under way on each connection; what is planned beyond waits, and its wait counts.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = within(1, IN_FLIGHT_MAX))]
    pub in_flight: u64,
    /// Seconds before the measured part.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 5)]
    pub warmup_seconds: u32,
    /// Seconds that are measured.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,
    /// Consumers that read along, each all partitions; end-to-end latency is theirs.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = within(0, CONSUMERS_MAX))]
    pub consumers: u64,
    /// Another consumer begins at offset 0 when the measured part begins, and catches up.
    #[arg(long)]
    pub catch_up: bool,
}

/// `capacity`.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CapacityArguments {
    /// Where the broker is.
    #[command(flatten)]
    #[serde(flatten)]
    pub target: TargetArguments,
    /// Where records go.
    #[command(flatten)]
    #[serde(flatten)]
    pub topic: TopicArguments,
    /// The records.
    #[command(flatten)]
    #[serde(flatten)]
    pub records: RecordArguments,
    /// Requests kept under way on each connection.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = within(1, IN_FLIGHT_MAX))]
    pub in_flight: u64,
    /// Seconds before the measured part.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 3)]
    pub warmup_seconds: u32,
    /// Seconds that are measured.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,
}

/// `consume`.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ConsumeArguments {
    /// Where the broker is.
    #[command(flatten)]
    #[serde(flatten)]
    pub target: TargetArguments,
    /// The topic: one that `load` or `capacity` filled.
    #[arg(short, long, value_name = "NAME", default_value = "bench")]
    pub topic: String,
    /// Connections; partitions are spread over them.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = within(1, CONSUMERS_MAX))]
    pub connections: u64,
    /// The most bytes one fetch asks for.
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20, value_parser = clap::value_parser!(i32).range(1..=64 << 20))]
    pub fetch_bytes: i32,
    /// The most bytes one fetch asks of one partition.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(i32).range(1..=64 << 20))]
    pub partition_bytes: i32,
}

/// `commits`.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CommitsArguments {
    /// Where the broker is.
    #[command(flatten)]
    #[serde(flatten)]
    pub target: TargetArguments,
    /// Groups that commit, one connection each.
    #[arg(short, long, value_name = "N", default_value_t = 10, value_parser = within(1, CONNECTIONS_MAX))]
    pub groups: u64,
    /// Partitions in each commit. A topic with as many is made if it does not exist.
    #[arg(short, long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: i32,
    /// The topic.
    #[arg(short, long, value_name = "NAME", default_value = "bench-commits")]
    pub topic: String,
    /// Seconds that are measured.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,
}

/// `groups`.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GroupsArguments {
    /// Where the broker is.
    #[command(flatten)]
    #[serde(flatten)]
    pub target: TargetArguments,
    /// Members, one connection each.
    #[arg(short, long, value_name = "N", default_value_t = 100, value_parser = within(1, MEMBERS_MAX))]
    pub members: u64,
    /// Partitions to deal out. A topic with as many is made if it does not exist.
    #[arg(short, long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: i32,
    /// The topic.
    #[arg(short, long, value_name = "NAME", default_value = "bench-groups")]
    pub topic: String,
    /// The group; it must have no members.
    #[arg(short, long, value_name = "NAME", default_value = "bench-group")]
    pub group: String,
    /// Seconds of heartbeats after the group has formed.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 5)]
    pub seconds: u32,
    /// Milliseconds between two heartbeats of a member.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..))]
    pub heartbeat_ms: u64,
}

/// `metadata`.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MetadataArguments {
    /// Where the broker is.
    #[command(flatten)]
    #[serde(flatten)]
    pub target: TargetArguments,
    /// Partitions the cluster shall have; topics are made until it has.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    pub topic_partitions: i32,
    /// Partitions of each topic that is made.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions_per_topic: i32,
    /// Seconds that are measured, one question at a time.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,
}

/// `connections`.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ConnectionsArguments {
    /// Where the broker is.
    #[command(flatten)]
    #[serde(flatten)]
    pub target: TargetArguments,
    /// Connections that ask once and then stay.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = within(0, CONNECTIONS_MAX))]
    pub idle: u64,
    /// Connections that ask for the topic's metadata without a pause.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = within(1, CONNECTIONS_MAX))]
    pub busy: u64,
    /// Seconds that are measured.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,
}

/// `run`.
#[derive(Args, Debug, Clone)]
pub struct RunArguments {
    /// Scenarios: files, or folders of them.
    #[arg(value_name = "SCENARIO", default_value = "bench/scenarios")]
    pub scenarios: Vec<PathBuf>,
    /// Where results go.
    #[arg(short, long, value_name = "DIR", default_value = "results")]
    pub output: PathBuf,
    /// Where the brokers keep their data while they are measured; the disk under it is part of what is measured.
    #[arg(long, value_name = "DIR", default_value = "target/bench-data")]
    pub data_dir: PathBuf,
    /// How long everything takes.
    #[arg(long, value_enum, default_value_t = Profile::Full)]
    pub profile: Profile,
    /// Pairs of measurements [default: the profile's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub pairs: Option<u32>,
    /// Seconds of each measurement [default: the profile's].
    #[arg(short, long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: Option<u32>,
    /// Ringlog's binary [default: the one beside this program].
    #[arg(long, value_name = "FILE")]
    pub ringlog: Option<PathBuf>,
    /// A folder with Apache Kafka's archives; it is filled from Maven Central if they are not there.
    #[arg(long, value_name = "DIR", default_value = "tests/clients/.cache/java-reference")]
    pub kafka_jars: PathBuf,
    /// What Kafka is assembled by.
    #[arg(long, value_name = "FILE", default_value = "tests/clients/java/pom.xml")]
    pub kafka_pom: PathBuf,
    /// Confine the brokers to these cores, as taskset takes them [default: all].
    #[arg(long, value_name = "CORES")]
    pub broker_cores: Option<String>,
    /// The core this program keeps to [default: the first one it may use].
    #[arg(long, value_name = "CORE")]
    pub core: Option<usize>,
    /// Do not measure the disk first.
    #[arg(long)]
    pub skip_disk: bool,
    /// Say nothing while measuring.
    #[arg(short, long)]
    pub quiet: bool,
}

/// How long a run takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Profile {
    /// Five pairs of a minute each, Kafka warmed up for three.
    Full,
    /// Three pairs of eight seconds: an order of magnitude.
    Quick,
    /// One pair of two seconds: whether it works at all.
    Smoke,
}

impl RunArguments {
    /// Pairs of measurements.
    pub fn pairs(&self) -> u32 {
        self.pairs.unwrap_or(match self.profile {
            Profile::Full => 5,
            Profile::Quick => 3,
            Profile::Smoke => 1,
        })
    }

    /// Seconds of each.
    pub fn seconds(&self) -> u32 {
        self.seconds.unwrap_or(match self.profile {
            Profile::Full => 60,
            Profile::Quick => 8,
            Profile::Smoke => 2,
        })
    }

    /// Seconds before the first.
    pub fn warmup_seconds(&self, kind: BrokerKind) -> u32 {
        match (self.profile, kind) {
            (Profile::Full, BrokerKind::Ringlog) => 60,
            (Profile::Full, BrokerKind::Kafka) => 180,
            (Profile::Quick, BrokerKind::Ringlog) => 5,
            (Profile::Quick, BrokerKind::Kafka) => 20,
            (Profile::Smoke, _) => 0,
        }
    }
}

/// `report`.
#[derive(Args, Debug, Clone)]
pub struct ReportArguments {
    /// What `run` wrote.
    #[arg(value_name = "DIR", default_value = "results")]
    pub folder: PathBuf,
}

/// `disk`.
#[derive(Args, Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskArguments {
    /// The directory to measure: a file is written there and removed.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Ten seconds instead of a minute.
    #[arg(long)]
    pub quick: bool,
    /// How this program runs itself.
    #[command(flatten)]
    #[serde(flatten)]
    pub own: OwnArguments,
}

/// Whose acknowledgement is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
pub enum AcksArgument {
    /// Nobody's.
    #[value(name = "0")]
    #[serde(rename = "0")]
    None,
    /// The leader's.
    #[value(name = "1")]
    #[serde(rename = "1")]
    Leader,
    /// That of all replicas in sync.
    #[value(name = "all", alias = "-1")]
    #[serde(rename = "all")]
    All,
}

impl AcksArgument {
    /// As requests say it.
    pub fn to_wire(self) -> i16 {
        match self {
            AcksArgument::None => 0,
            AcksArgument::Leader => 1,
            AcksArgument::All => -1,
        }
    }
}

fn within(min: u64, max: u64) -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(min..=max)
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && (0.001..=1e9).contains(&rate) => Ok(rate),
        _ => Err("a number of records a second, from 0.001 to 1000000000".to_owned()),
    }
}

fn codec(text: &str) -> Result<Codec, String> {
    let known = Codec::ALL.into_iter().find(|codec| codec.name() == text);
    known.ok_or_else(|| "one of none, gzip, snappy, lz4, zstd".to_owned())
}

fn as_text<S: serde::Serializer>(values: &[Address], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(ToString::to_string))
}

fn as_pairs<S: serde::Serializer>(values: &[KeyValue], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|pair| format!("{}={}", pair.key, pair.value)))
}

fn as_codec<S: serde::Serializer>(codec: &Codec, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(codec.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(options: &[&str]) -> Result<LoadArguments, String> {
        let line = ["ringlog-bench", "load"].iter().chain(options);
        match CommandLine::try_parse_from(line).map_err(|error| error.to_string())?.command {
            Command::Load(arguments) => Ok(arguments),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parameters_of_a_result_are_the_options_by_name() {
        let arguments =
            load(&["--rate", "5000", "--acks", "1", "--compression", "zstd", "--config", "a=b"]).unwrap();
        let value = serde_json::to_value(&arguments).unwrap();
        for (name, expected) in [
            ("rate", serde_json::json!(5000.0)),
            ("acks", "1".into()),
            ("compression", "zstd".into()),
            ("configs", serde_json::json!(["a=b"])),
            ("bootstrap-server", serde_json::json!(["127.0.0.1:9092"])),
            ("record-bytes", 1024.into()),
        ] {
            assert_eq!(value[name], expected, "{name} in {value}");
        }
    }

    #[test]
    fn what_cannot_be_measured_is_refused_before_anything_is_sent() {
        for options in [
            ["--record-bytes", "8"],
            ["--record-bytes", "99999999"],
            ["--rate", "0"],
            ["--rate", "NaN"],
            ["--acks", "2"],
            ["--compression", "brotli"],
            ["--connections", "0"],
            ["--seconds", "0"],
        ] {
            assert!(load(&options).unwrap_err().contains(options[1]), "{options:?}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        CommandLine::command().debug_assert();
    }
}
