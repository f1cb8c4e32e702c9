//! The configuration of a broker, typed, with what was given and where.
//!
//! ```text
//!   server.properties ─┐
//!   flags (they win) ──┴─► every value checked by its key ─► typed fields ─► checked together
//! ```
//!
//! Always true: a key Kafka knows never stops the broker from starting by being there; a value that cannot be
//! meant does, with its line and what would be right.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::describe::ConfigSource;
use super::keys::{self, Effect};
use super::kind::{list_entries, normalize};
use super::properties;
use super::topic::Durability;
use crate::group::settings::GroupSettings;
use crate::ids::BrokerId;
use crate::limits::Limits;

/// A broker's configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct BrokerConfig {
    given: BTreeMap<&'static str, Given>,
    changed_for_all: BTreeMap<&'static str, String>,
    changed: BTreeMap<&'static str, String>,
    /// `node.id`.
    pub node_id: BrokerId,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// `listeners`, without those of the controller.
    pub listeners: Vec<ListenerConfig>,
    /// `advertised.listeners`, one for each of `listeners`; an empty host is the listener's own.
    pub advertised_listeners: Vec<ListenerConfig>,
    /// `log.dirs`, none twice; the first holds the metadata log (`metadata.log.dir`).
    pub log_dirs: Vec<PathBuf>,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `delete.topic.enable`.
    pub delete_topics: bool,
    /// `max.request.partition.size.limit`.
    pub described_partitions_max: usize,
    /// `log.retention.check.interval.ms`.
    pub retention_check_interval: Duration,
    /// Sessions, sizes and offsets of groups.
    pub groups: GroupSettings,
    /// `offsets.topic.*`: how `__consumer_offsets` is created.
    pub offsets_topic: OffsetsTopicConfig,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration: Duration,
    /// `producer.id.expiration.check.interval.ms`.
    pub producer_id_expiration_check_interval: Duration,
    /// `ringlog.disk.free.min.bytes`.
    pub disk_free_bytes_min: u64,
    /// `ringlog.disk.reserve.bytes`, of all shards.
    pub disk_reserve_bytes: u64,
    /// `ringlog.journal.bytes`, of each shard, for each data directory.
    pub journal_bytes_max: u64,
    /// `ringlog.scrub.bytes.per.second`, of all shards, for each data directory.
    pub scrub_bytes_per_second_max: u64,
    /// `ringlog.scrub.period.ms`; zero for never.
    pub scrub_period: Duration,
    /// `ringlog.durability`, for topics that do not say.
    pub durability: Durability,
    /// `ringlog.cores`; `None` for all but one.
    pub cores: Option<u16>,
    /// `ringlog.idle.spin.us`.
    pub idle_spin: Duration,
    /// `ringlog.metrics.listen`; `None` if metrics are not served.
    pub metrics_listener: Option<ListenerConfig>,
    /// `ringlog.metrics.partitions.max`.
    pub metrics_partitions_max: usize,
    /// `ringlog.slow.request.ms`; `None` if slow requests are not logged.
    pub slow_request: Option<Duration>,
    limits: Limits,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Given {
    value: String,
    place: Place,
}

/// Where a value was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// This line of the properties, from one.
    Line(usize),
    /// A flag on the command line.
    Flag,
    /// Nowhere: a default that does not go with something given.
    Default,
}

/// How the topic of groups and their offsets is created.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OffsetsTopicConfig {
    /// `offsets.topic.num.partitions`.
    pub partition_count: i32,
    /// `offsets.topic.segment.bytes`.
    pub segment_bytes: i32,
}

/// An address of one listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerConfig {
    /// Its name, in capitals.
    pub name: String,
    /// The host; empty for all interfaces.
    pub host: String,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

impl ListenerConfig {
    /// Whether its host is the address that stands for all of this machine's, which nobody can connect to.
    fn is_on_all_interfaces(&self) -> bool {
        self.host == "0.0.0.0" || self.host == "::"
    }

    /// What clients are told where nothing else is given: for all interfaces this machine's name, as without a host.
    fn as_reached_by_clients(&self) -> ListenerConfig {
        let host = if self.is_on_all_interfaces() { String::new() } else { self.host.clone() };
        ListenerConfig { host, ..self.clone() }
    }
}

/// Why a configuration cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// Which key; empty for text that is no entry.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

/// Something a human may want to know about a configuration that can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigNote {
    /// A key of Kafka's that changes nothing here.
    WithoutEffect {
        /// Where.
        place: Place,
        /// Which key.
        key: String,
        /// Why not.
        reason: &'static str,
    },
    /// A key nobody knows.
    Unknown {
        /// Where.
        place: Place,
        /// Which key.
        key: String,
        /// The key that may have been meant.
        nearest: Option<&'static str>,
    },
    /// Of two entries with the same key the earlier one is not used.
    Repeated {
        /// Where it is given again.
        place: Place,
        /// Which key.
        key: String,
    },
}

impl BrokerConfig {
    /// Reads the text of a `server.properties`.
    ///
    /// # Errors
    /// [`ConfigError`] with line and remedy.
    pub fn from_properties(text: &str) -> Result<(BrokerConfig, Vec<ConfigNote>), ConfigError> {
        BrokerConfig::from_properties_and_flags(text, &[])
    }

    /// Reads the text of a `server.properties`, and keys given as flags, which win.
    ///
    /// # Errors
    /// As [`BrokerConfig::from_properties`].
    pub fn from_properties_and_flags(
        text: &str,
        flags: &[(&str, String)],
    ) -> Result<(BrokerConfig, Vec<ConfigNote>), ConfigError> {
        let mut reading = Reading::default();
        let entries = properties::parse(text).map_err(|error| ConfigError {
            place: Place::Line(error.line),
            key: String::new(),
            problem: error.reason.to_owned(),
            remedy: "write \\\\ for a backslash".to_owned(),
        })?;
        for entry in &entries {
            reading.take(&entry.key, &entry.value, Place::Line(entry.line))?;
        }
        for (key, value) in flags {
            if let Some(known) = keys::broker_key(key) {
                reading.given.remove(known.name);
                if known.name == "node.id" {
                    // Its older name, of which a file may speak.
                    reading.given.remove("broker.id");
                }
            }
            reading.take(key, value, Place::Flag)?;
        }
        let config = BrokerConfig::from_given(reading.given)?;
        Ok((config, reading.notes))
    }

    /// This configuration with what was changed while the broker ran: for every broker, and for this one, which
    /// wins. Keys that are not dynamic, as after a downgrade, are left out.
    pub fn with_dynamic(
        &self,
        for_all: &BTreeMap<String, String>,
        own: &BTreeMap<String, String>,
    ) -> BrokerConfig {
        let mut config = BrokerConfig {
            changed_for_all: known_changes(for_all),
            changed: known_changes(own),
            ..self.clone()
        };
        config.durability = Durability::parse(config.given("ringlog.durability").unwrap_or_default());
        config
    }

    /// The value given for a broker key, in normal form; `None` where the default holds.
    pub fn given(&self, key: &str) -> Option<&str> {
        self.given_with_source(key).map(|(value, _)| value)
    }

    /// The value given for a broker key, and where.
    pub fn given_with_source(&self, key: &str) -> Option<(&str, ConfigSource)> {
        let sources = ConfigSource::OF_BROKERS.into_iter();
        sources.filter_map(|source| self.given_as(key, source).map(|value| (value, source))).next()
    }

    /// The value given for a broker key in one place, whether or not another wins.
    pub fn given_as(&self, key: &str, source: ConfigSource) -> Option<&str> {
        match source {
            ConfigSource::DynamicBroker => self.changed.get(key).map(String::as_str),
            ConfigSource::DynamicDefaultBroker => self.changed_for_all.get(key).map(String::as_str),
            ConfigSource::StaticBroker => self.given.get(key).map(|given| given.value.as_str()),
            ConfigSource::Topic | ConfigSource::Default => None,
        }
    }

    /// The bounds of this broker: those of production, as far as keys change them.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    fn from_given(given: BTreeMap<&'static str, Given>) -> Result<BrokerConfig, ConfigError> {
        let values = Values { given: &given };
        values.check_single_node()?;
        let listeners = values.listeners()?;
        Ok(BrokerConfig {
            node_id: values.node_id()?,
            rack: values.text("broker.rack").map(str::to_owned),
            advertised_listeners: values.advertised_listeners(&listeners)?,
            listeners,
            log_dirs: values.log_dirs()?,
            num_partitions: values.number("num.partitions"),
            default_replication_factor: values.replication_factor()?,
            auto_create_topics: values.boolean("auto.create.topics.enable"),
            delete_topics: values.boolean("delete.topic.enable"),
            described_partitions_max: values.number("max.request.partition.size.limit"),
            retention_check_interval: values.milliseconds("log.retention.check.interval.ms"),
            groups: GroupSettings {
                initial_rebalance_delay: values.milliseconds("group.initial.rebalance.delay.ms"),
                session_timeout_min: values.milliseconds("group.min.session.timeout.ms"),
                session_timeout_max: values.milliseconds("group.max.session.timeout.ms"),
                members_max: values.number("group.max.size"),
                offset_metadata_bytes_max: values.number("offset.metadata.max.bytes"),
                offsets_retention: Duration::from_secs(
                    60 * values.number::<u64>("offsets.retention.minutes"),
                ),
                offsets_retention_check_interval: values.milliseconds("offsets.retention.check.interval.ms"),
                limits: Limits::production().groups,
            },
            offsets_topic: OffsetsTopicConfig {
                partition_count: values.number("offsets.topic.num.partitions"),
                segment_bytes: values.number("offsets.topic.segment.bytes"),
            },
            producer_id_expiration: values.milliseconds("producer.id.expiration.ms"),
            producer_id_expiration_check_interval: values
                .milliseconds("producer.id.expiration.check.interval.ms"),
            disk_free_bytes_min: values.number("ringlog.disk.free.min.bytes"),
            disk_reserve_bytes: values.number("ringlog.disk.reserve.bytes"),
            journal_bytes_max: values.number("ringlog.journal.bytes"),
            scrub_bytes_per_second_max: values.number("ringlog.scrub.bytes.per.second"),
            scrub_period: values.milliseconds("ringlog.scrub.period.ms"),
            durability: Durability::parse(values.text("ringlog.durability").unwrap_or_default()),
            cores: Some(values.number("ringlog.cores")).filter(|&count| count > 0),
            idle_spin: Duration::from_micros(values.number("ringlog.idle.spin.us")),
            metrics_listener: values.metrics_listener()?,
            metrics_partitions_max: values.number("ringlog.metrics.partitions.max"),
            slow_request: Some(values.milliseconds("ringlog.slow.request.ms"))
                .filter(|limit| !limit.is_zero()),
            limits: values.limits()?,
            changed_for_all: BTreeMap::new(),
            changed: BTreeMap::new(),
            given,
        })
    }
}

fn known_changes(changes: &BTreeMap<String, String>) -> BTreeMap<&'static str, String> {
    let known = |name: &str| keys::broker_key(name).filter(|key| keys::is_dynamic(key.name));
    changes
        .iter()
        .filter_map(|(name, value)| {
            let key = known(name)?;
            Some((key.name, normalize(value, key.kind, key.check).ok()?))
        })
        .collect()
}

#[derive(Default)]
struct Reading {
    given: BTreeMap<&'static str, Given>,
    notes: Vec<ConfigNote>,
}

impl Reading {
    fn take(&mut self, name: &str, value: &str, place: Place) -> Result<(), ConfigError> {
        let Some(key) = keys::broker_key(name) else {
            if name == "authorizer.class.name" && !value.is_empty() {
                return Err(ConfigError {
                    place,
                    key: name.to_owned(),
                    problem: "access control is not served: everybody could do everything".to_owned(),
                    remedy: "leave the key out, on a network you trust".to_owned(),
                });
            }
            self.notes.push(note_on_foreign_key(name, place));
            return Ok(());
        };
        if let Effect::Kept(reason) = key.effect {
            self.notes.push(ConfigNote::WithoutEffect { place, key: name.to_owned(), reason });
        }
        let value = normalize(value, key.kind, key.check).map_err(|problem| ConfigError {
            place,
            key: name.to_owned(),
            problem,
            remedy: match key.default {
                Some(default) => format!("correct the value, or leave it out for {default:?}"),
                None => "correct the value, or leave it out".to_owned(),
            },
        })?;
        if self.given.insert(key.name, Given { value, place }).is_some() {
            self.notes.push(ConfigNote::Repeated { place, key: name.to_owned() });
        }
        Ok(())
    }
}

fn note_on_foreign_key(name: &str, place: Place) -> ConfigNote {
    let key = name.to_owned();
    if keys::is_kafka_broker_key(name) {
        return ConfigNote::WithoutEffect {
            place,
            key,
            reason: "it has no meaning for this broker, or none yet",
        };
    }
    ConfigNote::Unknown { place, key, nearest: keys::nearest_broker_key(name) }
}

/// Checked values, on their way to typed fields.
struct Values<'a> {
    given: &'a BTreeMap<&'static str, Given>,
}

impl<'a> Values<'a> {
    fn text(&self, name: &str) -> Option<&'a str> {
        let given = self.given.get(name).map(|given| given.value.as_str()).filter(|value| !value.is_empty());
        given.or_else(|| keys::broker_key(name).expect("a key of the table").default)
    }

    fn number<N: FromStr>(&self, name: &str) -> N {
        let text = self.text(name).expect("a key with a default");
        text.parse().unwrap_or_else(|_| panic!("{name} = {text} passed its check"))
    }

    fn boolean(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// A negative time is for ever, as in Kafka.
    fn milliseconds(&self, name: &str) -> Duration {
        u64::try_from(self.number::<i64>(name)).map_or(Duration::MAX, Duration::from_millis)
    }

    fn error(&self, key: &str, problem: String, remedy: &str) -> ConfigError {
        let place = self.given.get(key).map_or(Place::Default, |given| given.place);
        ConfigError { place, key: key.to_owned(), problem, remedy: remedy.to_owned() }
    }

    fn check_single_node(&self) -> Result<(), ConfigError> {
        let roles = self.text("process.roles").unwrap_or_default();
        if !list_entries(roles).any(|role| role == "broker") {
            let remedy = "give process.roles=broker,controller";
            return Err(self.error(
                "process.roles",
                "a node that is no broker is not possible".to_owned(),
                remedy,
            ));
        }
        let voters = list_entries(self.text("controller.quorum.voters").unwrap_or_default()).count();
        if voters > 1 {
            let problem = format!("{voters} controllers, and this broker runs as a single node");
            return Err(self.error(
                "controller.quorum.voters",
                problem,
                "name this node only, or leave it out",
            ));
        }
        Ok(())
    }

    fn node_id(&self) -> Result<BrokerId, ConfigError> {
        let older: i32 = self.number("broker.id");
        if older < 0 {
            return Ok(BrokerId(self.number("node.id")));
        }
        if self.given.contains_key("node.id") && self.number::<i32>("node.id") != older {
            let problem = format!("{older} is not the value of node.id");
            return Err(self.error("broker.id", problem, "leave broker.id out"));
        }
        Ok(BrokerId(older))
    }

    fn replication_factor(&self) -> Result<i16, ConfigError> {
        let key = "default.replication.factor";
        let factor: i32 = self.number(key);
        i16::try_from(factor).map_err(|_| {
            self.error(
                key,
                format!("{factor} replicas of one partition"),
                "give at most 32767; a single node has 1",
            )
        })
    }

    fn log_dirs(&self) -> Result<Vec<PathBuf>, ConfigError> {
        let key = if self.text("log.dirs").is_some() { "log.dirs" } else { "log.dir" };
        let mut directories: Vec<PathBuf> =
            list_entries(self.text(key).unwrap_or_default()).map(PathBuf::from).collect();
        let count = directories.len();
        let count_max = Limits::production().storage.directories_max;
        if count == 0 || count > count_max {
            let problem = format!("{count} data directories");
            return Err(self.error(key, problem, &format!("give 1 to {count_max}")));
        }
        for (index, directory) in directories.iter().enumerate() {
            if directories[..index].contains(directory) {
                let problem = format!("{} is given twice", directory.display());
                return Err(self.error(key, problem, "give each data directory once"));
            }
        }
        if let Some(metadata) = self.text("metadata.log.dir") {
            let place = directories.iter().position(|directory| directory == Path::new(metadata));
            let Some(place) = place else {
                let problem = format!("{metadata} is none of {key}");
                return Err(self.error("metadata.log.dir", problem, "name one of the data directories"));
            };
            // The others keep their order.
            directories[..=place].rotate_right(1);
        }
        Ok(directories)
    }

    fn listeners(&self) -> Result<Vec<ListenerConfig>, ConfigError> {
        let key = "listeners";
        let mut listeners = self.parse_listeners(key)?;
        listeners.retain(|listener| !self.is_of_controller(listener));
        if listeners.is_empty() {
            return Err(self.error(
                key,
                "no listener for clients".to_owned(),
                "add PLAINTEXT://127.0.0.1:9092",
            ));
        }
        for (index, listener) in listeners.iter().enumerate() {
            self.check_protocol(listener)?;
            if listeners[..index].iter().any(|other| other.name == listener.name) {
                let problem = format!("the name {} is used twice", listener.name);
                return Err(self.error(key, problem, "give each listener its own name"));
            }
        }
        Ok(listeners)
    }

    /// Controllers talk to each other there; a single broker has nothing to say to itself.
    fn is_of_controller(&self, listener: &ListenerConfig) -> bool {
        list_entries(self.text("controller.listener.names").unwrap_or_default())
            .any(|name| name.eq_ignore_ascii_case(&listener.name))
    }

    fn check_protocol(&self, listener: &ListenerConfig) -> Result<(), ConfigError> {
        let map = self.text("listener.security.protocol.map").unwrap_or_default();
        let pairs = list_entries(map).filter_map(|pair| pair.split_once(':'));
        let named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case(&listener.name)).last();
        let problem = match named {
            Some((_, protocol)) if protocol.trim().eq_ignore_ascii_case("PLAINTEXT") => return Ok(()),
            Some((_, protocol)) => {
                format!("{} asks for {}; only PLAINTEXT is served", listener.name, protocol.trim())
            }
            None => format!("{} has no entry in listener.security.protocol.map", listener.name),
        };
        let remedy = format!("map {}:PLAINTEXT, on a network you trust", listener.name);
        Err(self.error("listeners", problem, &remedy))
    }

    fn advertised_listeners(&self, listeners: &[ListenerConfig]) -> Result<Vec<ListenerConfig>, ConfigError> {
        let key = "advertised.listeners";
        if self.text(key).is_none() {
            return Ok(listeners.iter().map(ListenerConfig::as_reached_by_clients).collect());
        }
        let mut advertised = self.parse_listeners(key)?;
        advertised.retain(|listener| !self.is_of_controller(listener));
        for listener in &advertised {
            if !listeners.iter().any(|other| other.name == listener.name) {
                let problem = format!("{} is not among the listeners", listener.name);
                return Err(self.error(key, problem, "use the names of listeners"));
            }
            if listener.is_on_all_interfaces() {
                let problem = format!("{} is no address a client can connect to", listener.host);
                return Err(self.error(
                    key,
                    problem,
                    "give the name or address clients reach this machine by",
                ));
            }
        }
        let of_name = |listener: &ListenerConfig| {
            let named = advertised.iter().find(|other| other.name == listener.name);
            named.cloned().unwrap_or_else(|| listener.as_reached_by_clients())
        };
        Ok(listeners.iter().map(of_name).collect())
    }

    fn parse_listeners(&self, key: &str) -> Result<Vec<ListenerConfig>, ConfigError> {
        let parse = |entry| {
            parse_listener(entry).ok_or_else(|| {
                let problem = format!("\"{entry}\" is no listener");
                self.error(key, problem, "write NAME://HOST:PORT, for example PLAINTEXT://127.0.0.1:9092")
            })
        };
        list_entries(self.text(key).unwrap_or_default()).map(parse).collect()
    }

    fn metrics_listener(&self) -> Result<Option<ListenerConfig>, ConfigError> {
        let key = "ringlog.metrics.listen";
        let Some(address) = self.text(key) else { return Ok(None) };
        match parse_listener(&format!("METRICS://{address}")) {
            Some(listener) if !listener.host.is_empty() => Ok(Some(listener)),
            _ => {
                let problem = format!("\"{address}\" is no address");
                Err(self.error(key, problem, "write HOST:PORT, for example 127.0.0.1:9644"))
            }
        }
    }

    fn limits(&self) -> Result<Limits, ConfigError> {
        let mut limits = Limits::production();
        let network = &mut limits.network;
        network.frame_bytes_max = self.number("socket.request.max.bytes");
        network.idle_max = self.milliseconds("connections.max.idle.ms");
        network.connections_max = self.number("max.connections");
        network.connections_per_ip_max =
            self.number::<usize>("max.connections.per.ip").min(network.connections_max);
        limits.request.fetch_bytes_max = self.number("fetch.max.bytes");
        limits.state.fetch_session_slots = self.number("max.incremental.fetch.session.cache.slots");
        limits.memory = limits.memory.of_arena(self.number("ringlog.memory.bytes"));
        limits.check().map_err(|problem| {
            let remedy =
                "give ringlog.memory.bytes more, or socket.request.max.bytes and fetch.max.bytes less";
            self.error("ringlog.memory.bytes", problem.to_owned(), remedy)
        })?;
        Ok(limits)
    }
}

/// `NAME://HOST:PORT`, with an IPv6 address in brackets.
fn parse_listener(entry: &str) -> Option<ListenerConfig> {
    let (name, address) = entry.split_once("://")?;
    let (host, port) = address.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None => host,
    };
    let name_is_legal =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    let host_is_legal = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:%".contains(&byte));
    (name_is_legal && host_is_legal).then_some(())?;
    Some(ListenerConfig { name: name.to_ascii_uppercase(), host: host.to_owned(), port: port.parse().ok()? })
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(line) => write!(formatter, "line {line}"),
            Place::Flag => formatter.write_str("on the command line"),
            Place::Default => formatter.write_str("by default"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigError { place, key, problem, remedy } = self;
        if key.is_empty() {
            return write!(formatter, "{place}: {problem}; {remedy}");
        }
        write!(formatter, "{place}: {key}: {problem}; {remedy}")
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigNote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigNote::WithoutEffect { place, key, reason } => {
                write!(formatter, "{place}: {key} changes nothing: {reason}")
            }
            ConfigNote::Unknown { place, key, nearest: Some(nearest) } => {
                write!(formatter, "{place}: there is no key {key}; did you mean {nearest}?")
            }
            ConfigNote::Unknown { place, key, nearest: None } => {
                write!(formatter, "{place}: there is no key {key}")
            }
            ConfigNote::Repeated { place, key } => {
                write!(formatter, "{place}: {key} is given again; this value counts")
            }
        }
    }
}

#[cfg(test)]
#[path = "broker_tests.rs"]
mod tests;
