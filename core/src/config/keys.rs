//! The table of configuration keys: the single source of what a key is called, takes, defaults to and means.
//!
//! Always true: names, types and defaults of Kafka's keys are those of Kafka 4.3 (a test compares with lists made
//! from its own classes), except where a bound replaces "no bound" and for the data directory; `ringlog.*` keys
//! are ours; every default passes its own check.

use super::kind::{Check, ConfigKind};

/// A configuration key.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ConfigKey {
    /// Its name.
    pub name: &'static str,
    /// The type of its values.
    pub kind: ConfigKind,
    /// The value if none is given; `None` for "not set".
    pub default: Option<&'static str>,
    /// Which values it takes.
    pub check: Check,
    /// Whether it belongs to a broker or a topic.
    pub scope: Scope,
    /// Broker keys that give its value if it has none itself, the first that is set counting, and the factor from
    /// their unit to this key's.
    pub synonyms: &'static [(&'static str, i64)],
    /// What this broker does with it.
    pub effect: Effect,
    /// What it means, in a sentence.
    pub documentation: &'static str,
}

/// What a key belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Given once, in `server.properties` or as a flag.
    Broker,
    /// Given per topic.
    Topic,
}

/// What this broker does with a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// It acts on it.
    Applied,
    /// It accepts, checks, keeps and shows it, and does nothing else, for this reason.
    Kept(&'static str),
}

const NOT_YET: Effect = Effect::Kept("what it controls is not part of this broker yet");
const ONE_NODE: Effect = Effect::Kept("it has no meaning for a single node");
const JOURNALED: Effect = Effect::Kept("the journal decides when data is on disk, see ringlog.durability");

/// Keys of `server.properties`, in reading order: identity, network, topics, logs, groups, this broker's own.
pub static BROKER_KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "node.id",
        kind: ConfigKind::Int,
        default: Some("1"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[("broker.id", 1)],
        effect: Effect::Applied,
        documentation: "Which broker of the cluster this is.",
    },
    ConfigKey {
        name: "broker.id",
        kind: ConfigKind::Int,
        default: Some("-1"),
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "The older name of node.id; -1 leaves the choice to node.id.",
    },
    ConfigKey {
        name: "process.roles",
        kind: ConfigKind::List,
        default: Some("broker,controller"),
        check: Check::EachOf(&["broker", "controller"]),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "What this process does. One node is both.",
    },
    ConfigKey {
        name: "broker.rack",
        kind: ConfigKind::String,
        default: None,
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Where the broker stands, told to clients.",
    },
    ConfigKey {
        name: "listeners",
        kind: ConfigKind::List,
        default: Some("PLAINTEXT://:9092"),
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Addresses to listen on, as NAME://HOST:PORT. Without a host: on all interfaces.",
    },
    ConfigKey {
        name: "advertised.listeners",
        kind: ConfigKind::List,
        default: None,
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Addresses clients are told to connect to; those of listeners if absent.",
    },
    ConfigKey {
        name: "listener.security.protocol.map",
        kind: ConfigKind::String,
        default: Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"),
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "The security protocol of each listener name. Only PLAINTEXT is served.",
    },
    ConfigKey {
        name: "inter.broker.listener.name",
        kind: ConfigKind::String,
        default: None,
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: ONE_NODE,
        documentation: "The listener brokers use among themselves.",
    },
    ConfigKey {
        name: "controller.listener.names",
        kind: ConfigKind::List,
        default: Some(""),
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Listeners of the controller: not opened by a single node, which needs none.",
    },
    ConfigKey {
        name: "controller.quorum.voters",
        kind: ConfigKind::List,
        default: Some(""),
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: ONE_NODE,
        documentation: "The controllers of the cluster.",
    },
    ConfigKey {
        name: "controller.quorum.bootstrap.servers",
        kind: ConfigKind::List,
        default: Some(""),
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: ONE_NODE,
        documentation: "Where controllers are found.",
    },
    ConfigKey {
        name: "log.dir",
        kind: ConfigKind::List,
        default: Some("./data"),
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "The data directories, if log.dirs is absent.",
    },
    ConfigKey {
        name: "log.dirs",
        kind: ConfigKind::List,
        default: None,
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[("log.dir", 1)],
        effect: Effect::Applied,
        documentation: "The data directories, each on a disk of its own: one that fails takes only its own partitions with it.",
    },
    ConfigKey {
        name: "metadata.log.dir",
        kind: ConfigKind::String,
        default: None,
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Which of log.dirs holds the metadata log; the first of them if absent.",
    },
    ConfigKey {
        name: "num.partitions",
        kind: ConfigKind::Int,
        default: Some("1"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Partitions of a topic created without a number.",
    },
    ConfigKey {
        name: "default.replication.factor",
        kind: ConfigKind::Int,
        default: Some("1"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Replicas of a topic created without a number.",
    },
    ConfigKey {
        name: "auto.create.topics.enable",
        kind: ConfigKind::Boolean,
        default: Some("true"),
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Whether a client that asks for an unknown topic creates it.",
    },
    ConfigKey {
        name: "delete.topic.enable",
        kind: ConfigKind::Boolean,
        default: Some("true"),
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Whether topics can be deleted.",
    },
    ConfigKey {
        name: "message.max.bytes",
        kind: ConfigKind::Int,
        default: Some("1048588"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "The largest record batch, for topics without max.message.bytes.",
    },
    ConfigKey {
        name: "compression.type",
        kind: ConfigKind::String,
        default: Some("producer"),
        check: Check::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "The codec batches are stored in, for topics that do not say; producer keeps each as it came.",
    },
    ConfigKey {
        name: "compression.gzip.level",
        kind: ConfigKind::Int,
        default: Some("-1"),
        check: Check::WithinOrDefault(1, 9),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "The gzip level where the broker compresses.",
    },
    ConfigKey {
        name: "compression.lz4.level",
        kind: ConfigKind::Int,
        default: Some("9"),
        check: Check::Within(1, 17),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "The lz4 level where the broker compresses.",
    },
    ConfigKey {
        name: "compression.zstd.level",
        kind: ConfigKind::Int,
        default: Some("3"),
        check: Check::Within(-131072, 22),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "The zstd level where the broker compresses.",
    },
    ConfigKey {
        name: "min.insync.replicas",
        kind: ConfigKind::Int,
        default: Some("1"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Replicas that must be in sync for acks=all, for topics that do not say.",
    },
    ConfigKey {
        name: "unclean.leader.election.enable",
        kind: ConfigKind::Boolean,
        default: Some("false"),
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: ONE_NODE,
        documentation: "Whether a replica that may miss records may lead.",
    },
    ConfigKey {
        name: "log.cleanup.policy",
        kind: ConfigKind::List,
        default: Some("delete"),
        check: Check::EachOf(&["compact", "delete"]),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "delete by age and size, compact by key, both, or nothing, for topics that do not say. Nothing is compacted yet: such a topic refuses records without a key.",
    },
    ConfigKey {
        name: "log.segment.bytes",
        kind: ConfigKind::Int,
        default: Some("1073741824"),
        check: Check::From(1048576),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Size at which a segment is closed, for topics that do not say.",
    },
    ConfigKey {
        name: "log.roll.ms",
        kind: ConfigKind::Long,
        default: None,
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Age at which a segment is closed; before log.roll.hours.",
    },
    ConfigKey {
        name: "log.roll.hours",
        kind: ConfigKind::Int,
        default: Some("168"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Age in hours at which a segment is closed.",
    },
    ConfigKey {
        name: "log.roll.jitter.ms",
        kind: ConfigKind::Long,
        default: None,
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Random part of that age; before log.roll.jitter.hours.",
    },
    ConfigKey {
        name: "log.roll.jitter.hours",
        kind: ConfigKind::Int,
        default: Some("0"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Random part of that age in hours.",
    },
    ConfigKey {
        name: "log.index.interval.bytes",
        kind: ConfigKind::Int,
        default: Some("4096"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Bytes of log per entry of an offset index.",
    },
    ConfigKey {
        name: "log.index.size.max.bytes",
        kind: ConfigKind::Int,
        default: Some("10485760"),
        check: Check::From(4),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Size at which an index closes its segment.",
    },
    ConfigKey {
        name: "log.preallocate",
        kind: ConfigKind::Boolean,
        default: Some("false"),
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: JOURNALED,
        documentation: "Whether segments reserve their size when created.",
    },
    ConfigKey {
        name: "log.retention.ms",
        kind: ConfigKind::Long,
        default: None,
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "How long records are kept; before log.retention.minutes and .hours; -1 for ever.",
    },
    ConfigKey {
        name: "log.retention.minutes",
        kind: ConfigKind::Int,
        default: None,
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "How long records are kept, in minutes; before log.retention.hours.",
    },
    ConfigKey {
        name: "log.retention.hours",
        kind: ConfigKind::Int,
        default: Some("168"),
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "How long records are kept, in hours.",
    },
    ConfigKey {
        name: "log.retention.bytes",
        kind: ConfigKind::Long,
        default: Some("-1"),
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Bytes kept per partition; -1 for all.",
    },
    ConfigKey {
        name: "log.retention.check.interval.ms",
        kind: ConfigKind::Long,
        default: Some("300000"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "How often retention is applied.",
    },
    ConfigKey {
        name: "log.segment.delete.delay.ms",
        kind: ConfigKind::Long,
        default: Some("60000"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "How long a deleted segment stays on disk for its last readers.",
    },
    ConfigKey {
        name: "log.message.timestamp.type",
        kind: ConfigKind::String,
        default: Some("CreateTime"),
        check: Check::OneOf(&["CreateTime", "LogAppendTime"]),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Whose timestamp records carry: the producer's, or the time of the append.",
    },
    ConfigKey {
        name: "log.message.timestamp.before.max.ms",
        kind: ConfigKind::Long,
        default: Some("9223372036854775807"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "How far in the past a producer's timestamp may lie.",
    },
    ConfigKey {
        name: "log.message.timestamp.after.max.ms",
        kind: ConfigKind::Long,
        default: Some("3600000"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "How far in the future a producer's timestamp may lie.",
    },
    ConfigKey {
        name: "log.flush.interval.messages",
        kind: ConfigKind::Long,
        default: Some("9223372036854775807"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: JOURNALED,
        documentation: "Messages between two flushes.",
    },
    ConfigKey {
        name: "log.flush.interval.ms",
        kind: ConfigKind::Long,
        default: None,
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: JOURNALED,
        documentation: "Time between two flushes.",
    },
    ConfigKey {
        name: "log.flush.scheduler.interval.ms",
        kind: ConfigKind::Long,
        default: Some("9223372036854775807"),
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: JOURNALED,
        documentation: "How often the flusher looks.",
    },
    ConfigKey {
        name: "log.cleaner.delete.retention.ms",
        kind: ConfigKind::Long,
        default: Some("86400000"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: NOT_YET,
        documentation: "How long deletion markers of compacted topics are kept.",
    },
    ConfigKey {
        name: "log.cleaner.min.compaction.lag.ms",
        kind: ConfigKind::Long,
        default: Some("0"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: NOT_YET,
        documentation: "How long a record is left alone by compaction.",
    },
    ConfigKey {
        name: "log.cleaner.max.compaction.lag.ms",
        kind: ConfigKind::Long,
        default: Some("9223372036854775807"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: NOT_YET,
        documentation: "After how long compaction must look at a record.",
    },
    ConfigKey {
        name: "log.cleaner.min.cleanable.ratio",
        kind: ConfigKind::Double,
        default: Some("0.5"),
        check: Check::Within(0, 1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: NOT_YET,
        documentation: "How dirty a log is before it is compacted.",
    },
    ConfigKey {
        name: "log.local.retention.ms",
        kind: ConfigKind::Long,
        default: Some("-2"),
        check: Check::From(-2),
        scope: Scope::Broker,
        synonyms: &[],
        effect: NOT_YET,
        documentation: "How long tiered segments stay here as well.",
    },
    ConfigKey {
        name: "log.local.retention.bytes",
        kind: ConfigKind::Long,
        default: Some("-2"),
        check: Check::From(-2),
        scope: Scope::Broker,
        synonyms: &[],
        effect: NOT_YET,
        documentation: "How many bytes of tiered segments stay here as well.",
    },
    ConfigKey {
        name: "socket.request.max.bytes",
        kind: ConfigKind::Int,
        default: Some("104857600"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "The largest request.",
    },
    ConfigKey {
        name: "fetch.max.bytes",
        kind: ConfigKind::Int,
        default: Some("57671680"),
        check: Check::From(1024),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "The largest fetch response.",
    },
    ConfigKey {
        name: "connections.max.idle.ms",
        kind: ConfigKind::Long,
        default: Some("600000"),
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "After how long without a request a connection is closed.",
    },
    ConfigKey {
        name: "max.connections",
        kind: ConfigKind::Int,
        default: Some("20000"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Connections of all clients together. Kafka has no bound by default.",
    },
    ConfigKey {
        name: "max.connections.per.ip",
        kind: ConfigKind::Int,
        default: Some("1000"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Connections from one address. Kafka has no bound by default.",
    },
    ConfigKey {
        name: "max.connection.creation.rate",
        kind: ConfigKind::Int,
        default: Some("500"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: NOT_YET,
        documentation: "Connections accepted per second. Kafka has no bound by default.",
    },
    ConfigKey {
        name: "max.incremental.fetch.session.cache.slots",
        kind: ConfigKind::Int,
        default: Some("1000"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Fetch sessions remembered.",
    },
    ConfigKey {
        name: "max.request.partition.size.limit",
        kind: ConfigKind::Int,
        default: Some("2000"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Partitions one DescribeTopicPartitions answers.",
    },
    ConfigKey {
        name: "request.timeout.ms",
        kind: ConfigKind::Int,
        default: Some("30000"),
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: NOT_YET,
        documentation: "How long the broker waits for another one.",
    },
    ConfigKey {
        name: "producer.id.expiration.ms",
        kind: ConfigKind::Int,
        default: Some("86400000"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: NOT_YET,
        documentation: "After how long without a write an idempotent producer is forgotten.",
    },
    ConfigKey {
        name: "producer.id.expiration.check.interval.ms",
        kind: ConfigKind::Int,
        default: Some("600000"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: NOT_YET,
        documentation: "How often that is looked at.",
    },
    ConfigKey {
        name: "group.initial.rebalance.delay.ms",
        kind: ConfigKind::Int,
        default: Some("3000"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "How long an empty group waits for more members before its first generation.",
    },
    ConfigKey {
        name: "group.min.session.timeout.ms",
        kind: ConfigKind::Int,
        default: Some("6000"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "The shortest session a group member may ask for.",
    },
    ConfigKey {
        name: "group.max.session.timeout.ms",
        kind: ConfigKind::Int,
        default: Some("1800000"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "The longest session a group member may ask for.",
    },
    ConfigKey {
        name: "group.max.size",
        kind: ConfigKind::Int,
        default: Some("2147483647"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Members a group may have; this broker has a bound of its own besides.",
    },
    ConfigKey {
        name: "offset.metadata.max.bytes",
        kind: ConfigKind::Int,
        default: Some("4096"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Bytes of text a client may leave with a committed offset.",
    },
    ConfigKey {
        name: "offsets.retention.minutes",
        kind: ConfigKind::Int,
        default: Some("10080"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "How long offsets are kept after their group became empty.",
    },
    ConfigKey {
        name: "offsets.retention.check.interval.ms",
        kind: ConfigKind::Long,
        default: Some("600000"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "How often that is looked at.",
    },
    ConfigKey {
        name: "offsets.topic.num.partitions",
        kind: ConfigKind::Int,
        default: Some("50"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Partitions of __consumer_offsets, when it is created.",
    },
    ConfigKey {
        name: "offsets.topic.replication.factor",
        kind: ConfigKind::Short,
        default: Some("3"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: ONE_NODE,
        documentation: "Replicas of __consumer_offsets.",
    },
    ConfigKey {
        name: "offsets.topic.segment.bytes",
        kind: ConfigKind::Int,
        default: Some("104857600"),
        // What a topic's own segment.bytes must be: smaller, and the topic could not be created.
        check: Check::From(1048576),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Segment size of __consumer_offsets, when it is created.",
    },
    ConfigKey {
        name: "replica.lag.time.max.ms",
        kind: ConfigKind::Long,
        default: Some("30000"),
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: ONE_NODE,
        documentation: "After how long behind a replica is out of sync.",
    },
    ConfigKey {
        name: "ringlog.disk.free.min.bytes",
        kind: ConfigKind::Long,
        default: Some("536870912"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "With less free on the data directory's file system, records are refused (KAFKA_STORAGE_ERROR) until a quarter more is free; at most a tenth of the file system counts.",
    },
    ConfigKey {
        name: "ringlog.disk.reserve.bytes",
        kind: ConfigKind::Long,
        default: Some("134217728"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Room held back for what must be written on a full disk: checkpoints, committed offsets, deletions. At most a twentieth of the file system.",
    },
    ConfigKey {
        name: "ringlog.scrub.bytes.per.second",
        kind: ConfigKind::Long,
        default: Some("8388608"),
        check: Check::From(1),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "How fast segments are read again at most to find damage, all cores together, in each data directory.",
    },
    ConfigKey {
        name: "ringlog.scrub.period.ms",
        kind: ConfigKind::Long,
        default: Some("604800000"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Every segment is read again within so long, to find damage that nobody has met; 0 for never.",
    },
    ConfigKey {
        name: "ringlog.durability",
        kind: ConfigKind::String,
        default: Some("durable"),
        check: Check::OneOf(&["durable", "relaxed"]),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "durable: acknowledged means on stable storage. relaxed: in memory, written soon.",
    },
    ConfigKey {
        name: "ringlog.cores",
        kind: ConfigKind::Int,
        default: Some("0"),
        check: Check::Within(0, 1024),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Cores to run on, the last of those this process may use; 0 takes all but the first, which is left to the kernel.",
    },
    ConfigKey {
        name: "ringlog.idle.spin.us",
        kind: ConfigKind::Int,
        default: Some("0"),
        check: Check::Within(0, 1000000),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "How long an idle core looks for work before it sleeps, in microseconds.",
    },
    ConfigKey {
        name: "ringlog.journal.bytes",
        kind: ConfigKind::Long,
        default: Some("268435456"),
        check: Check::From(16777216),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Journal per core and data directory, at most. A start after a crash replays no more than this.",
    },
    ConfigKey {
        name: "ringlog.memory.bytes",
        kind: ConfigKind::Long,
        default: Some("1073741824"),
        check: Check::From(67108864),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "I/O memory per core, at most: receive buffers, tail cache, journal.",
    },
    ConfigKey {
        name: "ringlog.metrics.listen",
        kind: ConfigKind::String,
        default: None,
        check: Check::Any,
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "HOST:PORT to serve /metrics, /health and /ready on; not served if absent.",
    },
    ConfigKey {
        name: "ringlog.metrics.partitions.max",
        kind: ConfigKind::Int,
        default: Some("1000"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Partitions with metrics of their own; 0 leaves such metrics out.",
    },
    ConfigKey {
        name: "ringlog.slow.request.ms",
        kind: ConfigKind::Long,
        default: Some("500"),
        check: Check::From(0),
        scope: Scope::Broker,
        synonyms: &[],
        effect: Effect::Applied,
        documentation: "Requests that take longer are logged, long polls without their wait; 0 logs none.",
    },
];

/// Keys of topics, by name. A synonym is a broker key and what its values are multiplied with.
pub static TOPIC_KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "cleanup.policy",
        kind: ConfigKind::List,
        default: Some("delete"),
        check: Check::EachOf(&["compact", "delete"]),
        scope: Scope::Topic,
        synonyms: &[("log.cleanup.policy", 1)],
        effect: Effect::Applied,
        documentation: "delete by age and size, compact by key, both, or nothing. Nothing is compacted yet: such a topic refuses records without a key.",
    },
    ConfigKey {
        name: "compression.gzip.level",
        kind: ConfigKind::Int,
        default: Some("-1"),
        check: Check::WithinOrDefault(1, 9),
        scope: Scope::Topic,
        synonyms: &[("compression.gzip.level", 1)],
        effect: Effect::Applied,
        documentation: "The gzip level where the broker compresses.",
    },
    ConfigKey {
        name: "compression.lz4.level",
        kind: ConfigKind::Int,
        default: Some("9"),
        check: Check::Within(1, 17),
        scope: Scope::Topic,
        synonyms: &[("compression.lz4.level", 1)],
        effect: Effect::Applied,
        documentation: "The lz4 level where the broker compresses.",
    },
    ConfigKey {
        name: "compression.type",
        kind: ConfigKind::String,
        default: Some("producer"),
        check: Check::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        scope: Scope::Topic,
        synonyms: &[("compression.type", 1)],
        effect: Effect::Applied,
        documentation: "The codec batches are stored in; producer keeps each as it came.",
    },
    ConfigKey {
        name: "compression.zstd.level",
        kind: ConfigKind::Int,
        default: Some("3"),
        check: Check::Within(-131072, 22),
        scope: Scope::Topic,
        synonyms: &[("compression.zstd.level", 1)],
        effect: Effect::Applied,
        documentation: "The zstd level where the broker compresses.",
    },
    ConfigKey {
        name: "delete.retention.ms",
        kind: ConfigKind::Long,
        default: Some("86400000"),
        check: Check::From(0),
        scope: Scope::Topic,
        synonyms: &[("log.cleaner.delete.retention.ms", 1)],
        effect: NOT_YET,
        documentation: "How long deletion markers of a compacted topic are kept.",
    },
    ConfigKey {
        name: "file.delete.delay.ms",
        kind: ConfigKind::Long,
        default: Some("60000"),
        check: Check::From(0),
        scope: Scope::Topic,
        synonyms: &[("log.segment.delete.delay.ms", 1)],
        effect: Effect::Applied,
        documentation: "How long a deleted segment stays on disk for its last readers.",
    },
    ConfigKey {
        name: "flush.messages",
        kind: ConfigKind::Long,
        default: Some("9223372036854775807"),
        check: Check::From(1),
        scope: Scope::Topic,
        synonyms: &[("log.flush.interval.messages", 1)],
        effect: JOURNALED,
        documentation: "Messages between two flushes.",
    },
    ConfigKey {
        name: "flush.ms",
        kind: ConfigKind::Long,
        default: Some("9223372036854775807"),
        check: Check::From(0),
        scope: Scope::Topic,
        synonyms: &[("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)],
        effect: JOURNALED,
        documentation: "Time between two flushes.",
    },
    ConfigKey {
        name: "follower.replication.throttled.replicas",
        kind: ConfigKind::List,
        default: Some(""),
        check: Check::Any,
        scope: Scope::Topic,
        synonyms: &[],
        effect: ONE_NODE,
        documentation: "Followers whose replication is throttled.",
    },
    ConfigKey {
        name: "index.interval.bytes",
        kind: ConfigKind::Int,
        default: Some("4096"),
        check: Check::From(0),
        scope: Scope::Topic,
        synonyms: &[("log.index.interval.bytes", 1)],
        effect: Effect::Applied,
        documentation: "Bytes of log per entry of the offset index.",
    },
    ConfigKey {
        name: "leader.replication.throttled.replicas",
        kind: ConfigKind::List,
        default: Some(""),
        check: Check::Any,
        scope: Scope::Topic,
        synonyms: &[],
        effect: ONE_NODE,
        documentation: "Leaders whose replication is throttled.",
    },
    ConfigKey {
        name: "local.retention.bytes",
        kind: ConfigKind::Long,
        default: Some("-2"),
        check: Check::From(-2),
        scope: Scope::Topic,
        synonyms: &[("log.local.retention.bytes", 1)],
        effect: NOT_YET,
        documentation: "How many bytes of tiered segments stay here as well.",
    },
    ConfigKey {
        name: "local.retention.ms",
        kind: ConfigKind::Long,
        default: Some("-2"),
        check: Check::From(-2),
        scope: Scope::Topic,
        synonyms: &[("log.local.retention.ms", 1)],
        effect: NOT_YET,
        documentation: "How long tiered segments stay here as well.",
    },
    ConfigKey {
        name: "max.compaction.lag.ms",
        kind: ConfigKind::Long,
        default: Some("9223372036854775807"),
        check: Check::From(1),
        scope: Scope::Topic,
        synonyms: &[("log.cleaner.max.compaction.lag.ms", 1)],
        effect: NOT_YET,
        documentation: "After how long compaction must look at a record.",
    },
    ConfigKey {
        name: "max.message.bytes",
        kind: ConfigKind::Int,
        default: Some("1048588"),
        check: Check::From(0),
        scope: Scope::Topic,
        synonyms: &[("message.max.bytes", 1)],
        effect: Effect::Applied,
        documentation: "The largest record batch, as it arrives and as it is stored.",
    },
    ConfigKey {
        name: "message.timestamp.after.max.ms",
        kind: ConfigKind::Long,
        default: Some("3600000"),
        check: Check::From(0),
        scope: Scope::Topic,
        synonyms: &[("log.message.timestamp.after.max.ms", 1)],
        effect: Effect::Applied,
        documentation: "How far in the future a producer's timestamp may lie.",
    },
    ConfigKey {
        name: "message.timestamp.before.max.ms",
        kind: ConfigKind::Long,
        default: Some("9223372036854775807"),
        check: Check::From(0),
        scope: Scope::Topic,
        synonyms: &[("log.message.timestamp.before.max.ms", 1)],
        effect: Effect::Applied,
        documentation: "How far in the past a producer's timestamp may lie.",
    },
    ConfigKey {
        name: "message.timestamp.type",
        kind: ConfigKind::String,
        default: Some("CreateTime"),
        check: Check::OneOf(&["CreateTime", "LogAppendTime"]),
        scope: Scope::Topic,
        synonyms: &[("log.message.timestamp.type", 1)],
        effect: Effect::Applied,
        documentation: "Whose timestamp records carry: the producer's, or the time of the append.",
    },
    ConfigKey {
        name: "min.cleanable.dirty.ratio",
        kind: ConfigKind::Double,
        default: Some("0.5"),
        check: Check::Within(0, 1),
        scope: Scope::Topic,
        synonyms: &[("log.cleaner.min.cleanable.ratio", 1)],
        effect: NOT_YET,
        documentation: "How dirty the log is before it is compacted.",
    },
    ConfigKey {
        name: "min.compaction.lag.ms",
        kind: ConfigKind::Long,
        default: Some("0"),
        check: Check::From(0),
        scope: Scope::Topic,
        synonyms: &[("log.cleaner.min.compaction.lag.ms", 1)],
        effect: NOT_YET,
        documentation: "How long a record is left alone by compaction.",
    },
    ConfigKey {
        name: "min.insync.replicas",
        kind: ConfigKind::Int,
        default: Some("1"),
        check: Check::From(1),
        scope: Scope::Topic,
        synonyms: &[("min.insync.replicas", 1)],
        effect: Effect::Applied,
        documentation: "Replicas that must be in sync for acks=all.",
    },
    ConfigKey {
        name: "preallocate",
        kind: ConfigKind::Boolean,
        default: Some("false"),
        check: Check::Any,
        scope: Scope::Topic,
        synonyms: &[("log.preallocate", 1)],
        effect: JOURNALED,
        documentation: "Whether segments reserve their size when created.",
    },
    ConfigKey {
        name: "remote.log.copy.disable",
        kind: ConfigKind::Boolean,
        default: Some("false"),
        check: Check::Any,
        scope: Scope::Topic,
        synonyms: &[],
        effect: NOT_YET,
        documentation: "Whether no more segments are tiered.",
    },
    ConfigKey {
        name: "remote.log.delete.on.disable",
        kind: ConfigKind::Boolean,
        default: Some("false"),
        check: Check::Any,
        scope: Scope::Topic,
        synonyms: &[],
        effect: NOT_YET,
        documentation: "Whether switching tiering off deletes what was tiered.",
    },
    ConfigKey {
        name: "remote.storage.enable",
        kind: ConfigKind::Boolean,
        default: Some("false"),
        check: Check::Any,
        scope: Scope::Topic,
        synonyms: &[],
        effect: NOT_YET,
        documentation: "Whether old segments are tiered.",
    },
    ConfigKey {
        name: "retention.bytes",
        kind: ConfigKind::Long,
        default: Some("-1"),
        check: Check::Any,
        scope: Scope::Topic,
        synonyms: &[("log.retention.bytes", 1)],
        effect: Effect::Applied,
        documentation: "Bytes kept per partition; -1 for all.",
    },
    ConfigKey {
        name: "retention.ms",
        kind: ConfigKind::Long,
        default: Some("604800000"),
        check: Check::From(-1),
        scope: Scope::Topic,
        synonyms: &[
            ("log.retention.ms", 1),
            ("log.retention.minutes", 60000),
            ("log.retention.hours", 3600000),
        ],
        effect: Effect::Applied,
        documentation: "How long records are kept; -1 for ever.",
    },
    ConfigKey {
        name: "ringlog.durability",
        kind: ConfigKind::String,
        default: Some("durable"),
        check: Check::OneOf(&["durable", "relaxed"]),
        scope: Scope::Topic,
        synonyms: &[("ringlog.durability", 1)],
        effect: Effect::Applied,
        documentation: "durable: acknowledged means on stable storage. relaxed: in memory, written soon.",
    },
    ConfigKey {
        name: "segment.bytes",
        kind: ConfigKind::Int,
        default: Some("1073741824"),
        check: Check::From(1048576),
        scope: Scope::Topic,
        synonyms: &[("log.segment.bytes", 1)],
        effect: Effect::Applied,
        documentation: "Size at which a segment is closed.",
    },
    ConfigKey {
        name: "segment.index.bytes",
        kind: ConfigKind::Int,
        default: Some("10485760"),
        check: Check::From(4),
        scope: Scope::Topic,
        synonyms: &[("log.index.size.max.bytes", 1)],
        effect: Effect::Applied,
        documentation: "Size at which an index closes its segment.",
    },
    ConfigKey {
        name: "segment.jitter.ms",
        kind: ConfigKind::Long,
        default: Some("0"),
        check: Check::From(0),
        scope: Scope::Topic,
        synonyms: &[("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", 3600000)],
        effect: Effect::Applied,
        documentation: "Random part of the age at which a segment is closed.",
    },
    ConfigKey {
        name: "segment.ms",
        kind: ConfigKind::Long,
        default: Some("604800000"),
        check: Check::From(1),
        scope: Scope::Topic,
        synonyms: &[("log.roll.ms", 1), ("log.roll.hours", 3600000)],
        effect: Effect::Applied,
        documentation: "Age at which a segment is closed.",
    },
    ConfigKey {
        name: "unclean.leader.election.enable",
        kind: ConfigKind::Boolean,
        default: Some("false"),
        check: Check::Any,
        scope: Scope::Topic,
        synonyms: &[("unclean.leader.election.enable", 1)],
        effect: ONE_NODE,
        documentation: "Whether a replica that may miss records may lead.",
    },
];

/// Name, type and default of all broker keys of Kafka 4.3.1 (internal ones left out), as `configKeys()` of the
/// `ConfigDef` of its `AbstractKafkaConfig` gives them.
const KAFKA_BROKER_KEYS: &str = include_str!("kafka_4_3_1_broker_keys.tsv");

fn kafka_broker_keys() -> impl Iterator<Item = &'static str> {
    KAFKA_BROKER_KEYS.lines().filter_map(|line| line.split('\t').next())
}

/// A broker key by name.
pub fn broker_key(name: &str) -> Option<&'static ConfigKey> {
    BROKER_KEYS.iter().find(|key| key.name == name)
}

/// A topic key by name.
pub fn topic_key(name: &str) -> Option<&'static ConfigKey> {
    TOPIC_KEYS.iter().find(|key| key.name == name)
}

/// Whether a broker key can be changed while the broker runs: what a topic takes first if it says nothing itself.
pub fn is_dynamic(name: &str) -> bool {
    TOPIC_KEYS.iter().filter_map(|key| key.synonyms.first()).any(|&(first, _)| first == name)
}

/// Whether Kafka 4.3 has a broker key of this name, in the table or not. Keys of one listener
/// (`listener.name.NAME.KEY`) count as the key they end with.
pub fn is_kafka_broker_key(name: &str) -> bool {
    if let Some(of_listener) = name.strip_prefix("listener.name.") {
        return of_listener.match_indices('.').any(|(dot, _)| is_kafka_broker_key(&of_listener[dot + 1..]));
    }
    kafka_broker_keys().any(|key| key == name)
}

/// The broker key whose name is nearest to a misspelt one, if any is near.
pub fn nearest_broker_key(name: &str) -> Option<&'static str> {
    let ours = BROKER_KEYS.iter().map(|key| key.name);
    nearest(name, ours.chain(kafka_broker_keys()))
}

/// The topic key whose name is nearest to a misspelt one, if any is near.
pub fn nearest_topic_key(name: &str) -> Option<&'static str> {
    nearest(name, TOPIC_KEYS.iter().map(|key| key.name))
}

/// A third of a name wrong is still a misspelling; more is another word.
fn nearest(name: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    const NAME_BYTES_MAX: usize = 100;
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let distances = candidates.map(|candidate| (edit_distance(name, candidate), candidate));
    let (distance, candidate) = distances.min_by_key(|&(distance, _)| distance)?;
    (distance * 3 <= name.len()).then_some(candidate)
}

/// How many letters must be put in, taken out or exchanged to make one text the other.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, symbol) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for column in 0..right.len() {
            let exchanged = diagonal + usize::from(right[column] != symbol);
            diagonal = row[column + 1];
            row[column + 1] = exchanged.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::super::kind::normalize;
    use super::*;

    /// Name, type and default of each key of `LogConfig` in Kafka 4.3.1 (internal ones left out), as
    /// `configKeys()` of its `ConfigDef` gives them.
    const KAFKA_TOPIC_KEYS: &str = include_str!("kafka_4_3_1_topic_keys.tsv");

    #[test]
    fn topic_keys_are_those_of_kafka_4_3_with_their_types_and_defaults() {
        let ours: Vec<String> = TOPIC_KEYS
            .iter()
            .filter(|key| !key.name.starts_with("ringlog."))
            .map(|key| {
                let kind = key.kind.to_string().to_uppercase();
                format!("{}\t{kind}\t{}", key.name, key.default.expect("every topic key has a default"))
            })
            .collect();
        let kafkas: Vec<&str> = KAFKA_TOPIC_KEYS.lines().collect();
        assert_eq!(ours, kafkas);
    }

    /// Where our default is another than Kafka's, and why.
    const OTHER_DEFAULTS: [(&str, &str); 7] = [
        ("log.dir", "a directory that survives a reboot and needs no other user's rights"),
        ("max.connections", "every count has a bound"),
        ("max.connections.per.ip", "every count has a bound"),
        ("max.connection.creation.rate", "every count has a bound"),
        ("node.id", "a single node needs no configuration to start"),
        ("process.roles", "a single node needs no configuration to start"),
        ("controller.listener.names", "a single node needs no configuration to start"),
    ];

    #[test]
    fn broker_keys_have_kafkas_types_and_defaults_or_a_reason() {
        let kafkas = |name: &str| {
            let line = KAFKA_BROKER_KEYS.lines().find(|line| line.split('\t').next() == Some(name));
            line.unwrap_or_else(|| panic!("{name} is no key of Kafka's")).to_owned()
        };
        for key in BROKER_KEYS.iter().filter(|key| !key.name.starts_with("ringlog.")) {
            let kind = key.kind.to_string().to_uppercase();
            let ours = format!("{}\t{kind}\t{}", key.name, key.default.unwrap_or("null"));
            let other = OTHER_DEFAULTS.iter().any(|(name, _)| *name == key.name);
            assert_eq!(ours != kafkas(key.name), other, "{ours}");
        }
    }

    #[test]
    fn what_topics_take_from_the_broker_can_change_while_it_runs_and_the_rest_cannot() {
        for name in ["log.retention.ms", "log.segment.bytes", "message.max.bytes", "ringlog.durability"] {
            assert!(is_dynamic(name), "{name}");
        }
        for name in ["log.retention.hours", "num.partitions", "listeners", "no.such.key"] {
            assert!(!is_dynamic(name), "{name}");
        }
        assert!(
            TOPIC_KEYS
                .iter()
                .flat_map(|key| key.synonyms.first())
                .all(|(name, _)| broker_key(name).is_some())
        );
    }

    #[test]
    fn keys_of_our_own_begin_with_ringlog() {
        for key in BROKER_KEYS {
            assert!(is_kafka_broker_key(key.name) != key.name.starts_with("ringlog."), "{}", key.name);
        }
    }

    #[test]
    fn every_default_passes_its_own_check_and_is_in_normal_form() {
        for key in BROKER_KEYS.iter().chain(TOPIC_KEYS) {
            if let Some(default) = key.default {
                assert_eq!(normalize(default, key.kind, key.check).as_deref(), Ok(default), "{}", key.name);
            }
        }
    }

    #[test]
    fn a_topic_key_and_the_last_of_its_broker_synonyms_have_the_same_default() {
        for key in TOPIC_KEYS {
            let Some((synonym, factor)) = key.synonyms.last() else { continue };
            let default = broker_key(synonym).unwrap_or_else(|| panic!("{synonym} of {}", key.name)).default;
            let default = default.unwrap_or_else(|| panic!("the default of {synonym}"));
            match factor {
                1 => assert_eq!(Some(default), key.default, "{}", key.name),
                factor => {
                    let scaled = default.parse::<i64>().unwrap() * factor;
                    assert_eq!(Some(scaled.to_string().as_str()), key.default, "{}", key.name);
                }
            }
        }
    }

    #[test]
    fn no_key_is_in_a_table_twice() {
        for table in [BROKER_KEYS, TOPIC_KEYS] {
            let mut names: Vec<_> = table.iter().map(|key| key.name).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }

    #[test]
    fn a_misspelt_key_finds_its_neighbour_and_a_foreign_word_none() {
        assert_eq!(nearest_broker_key("log.retention.hour"), Some("log.retention.hours"));
        assert_eq!(nearest_broker_key("num.partition"), Some("num.partitions"));
        assert_eq!(nearest_topic_key("retention.msec"), Some("retention.ms"));
        assert_eq!(nearest_broker_key("zzz"), None);
        assert_eq!(nearest_broker_key(&"x".repeat(10_000)), None);
    }

    #[test]
    fn a_key_of_one_listener_is_known_by_its_end() {
        assert!(is_kafka_broker_key("listener.name.internal.ssl.keystore.location"));
        assert!(!is_kafka_broker_key("listener.name.internal.colour"));
    }
}
