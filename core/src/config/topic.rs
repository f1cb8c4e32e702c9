//! The configuration of one topic, typed: its overrides, else the broker's values, else the defaults.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::broker::BrokerConfig;
use super::describe::ConfigSource;
use super::keys::{self, ConfigKey, TOPIC_KEYS};
use super::kind::{list_entries, normalize};
use crate::limits::StateLimits;
use crate::refusal::Refusal;

/// What the broker does for a topic's partitions.
#[derive(Clone, PartialEq, Debug)]
pub struct TopicConfig {
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `segment.jitter.ms`.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`.
    pub index_bytes_max: usize,
    /// `index.interval.bytes`.
    pub index_interval_bytes: usize,
    /// `retention.ms`; `None` keeps for ever.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`; `None` keeps all.
    pub retention_bytes: Option<u64>,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: i64,
    /// `max.message.bytes`.
    pub max_message_bytes: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `compression.type`.
    pub compression_type: CompressionType,
    /// The level of `compression_type`, where it has levels; -1 is the codec's own default.
    pub compression_level: i32,
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
    /// `ringlog.durability`.
    pub durability: Durability,
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// The records are on stable storage here and on the in-sync replicas.
    #[default]
    Durable,
    /// They are in memory there, and written soon: what Kafka promises.
    Relaxed,
}

/// Whose time a record's timestamp is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, when it appended.
    LogAppendTime,
}

/// How old records go. Neither keeps them for ever (KIP-1161).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CleanupPolicy {
    /// By age and size.
    pub delete: bool,
    /// All but the last of each key.
    pub compact: bool,
}

/// How batches are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompressionType {
    /// As they came.
    Producer,
    /// Not compressed.
    Uncompressed,
    /// gzip.
    Gzip,
    /// Snappy, in xerial's framing.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl TopicConfig {
    /// The configuration of a topic with these overrides, which [`check_overrides`] accepted.
    ///
    /// # Errors
    /// [`Refusal::InvalidConfig`] for overrides that no longer pass, as after a downgrade.
    pub fn resolve(
        broker: &BrokerConfig,
        overrides: &BTreeMap<String, String>,
    ) -> Result<TopicConfig, Refusal> {
        for (name, value) in overrides {
            let known = keys::topic_key(name).ok_or_else(|| unknown_key(name))?;
            normalize(value, known.kind, known.check).map_err(|problem| refused(name, &problem))?;
        }
        let values = Values { broker, overrides };
        values.check_together()?;
        let compression_type = values.compression_type();
        Ok(TopicConfig {
            segment_bytes: values.number("segment.bytes"),
            segment_ms: values.number("segment.ms"),
            segment_jitter_ms: values.number("segment.jitter.ms"),
            index_bytes_max: values.number("segment.index.bytes"),
            index_interval_bytes: values.number("index.interval.bytes"),
            retention_ms: Some(values.number("retention.ms")).filter(|&age: &i64| age >= 0),
            retention_bytes: u64::try_from(values.number::<i64>("retention.bytes")).ok(),
            file_delete_delay_ms: values.number("file.delete.delay.ms"),
            max_message_bytes: values.number("max.message.bytes"),
            timestamp_type: match values.text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: values.number("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: values.number("message.timestamp.after.max.ms"),
            cleanup_policy: CleanupPolicy::parse(&values.text("cleanup.policy")),
            compression_type,
            compression_level: values.compression_level(compression_type),
            min_insync_replicas: values.number("min.insync.replicas"),
            durability: Durability::parse(&values.text("ringlog.durability")),
        })
    }
}

/// Checks overrides a client gives for a new topic; returns them in normal form, by name.
///
/// # Errors
/// [`Refusal::InvalidConfig`] for an unknown key, a value out of range or none at all, and values that do not
/// go together; [`Refusal::LimitReached`] for too many or too long ones.
pub fn check_overrides(
    broker: &BrokerConfig,
    given: &[(String, Option<String>)],
    limits: &StateLimits,
) -> Result<BTreeMap<String, String>, Refusal> {
    if given.len() > limits.configs_per_topic_max {
        let (count, most) = (given.len(), limits.configs_per_topic_max);
        return Err(Refusal::LimitReached {
            reason: format!("{count} configs for one topic, {most} are allowed"),
        });
    }
    let mut overrides = BTreeMap::new();
    for (name, value) in given {
        let key = keys::topic_key(name).ok_or_else(|| unknown_key(name))?;
        let value = value.as_ref().ok_or_else(|| refused(name, "a value is missing"))?;
        if value.len() > limits.config_value_bytes_max {
            let most = limits.config_value_bytes_max;
            return Err(Refusal::LimitReached { reason: format!("{name}: a value may have {most} bytes") });
        }
        let normal = normalize(value, key.kind, key.check).map_err(|problem| refused(name, &problem))?;
        overrides.insert(name.clone(), normal);
    }
    Values { broker, overrides: &overrides }.check_together()?;
    Ok(overrides)
}

/// The value of a topic key and where it comes from.
pub fn effective_value(
    key: &ConfigKey,
    broker: &BrokerConfig,
    overrides: &BTreeMap<String, String>,
) -> (String, ConfigSource) {
    if let Some(value) = overrides.get(key.name) {
        return (value.clone(), ConfigSource::Topic);
    }
    for &(synonym, factor) in key.synonyms {
        if let Some((value, source)) = broker.given_with_source(synonym) {
            return (scaled(value, factor), source);
        }
    }
    (key.default.unwrap_or_default().to_owned(), ConfigSource::Default)
}

/// Hours as milliseconds; -1 means "never" in every unit.
fn scaled(value: &str, factor: i64) -> String {
    match value.parse::<i64>() {
        Ok(number) if factor != 1 && number < 0 => "-1".to_owned(),
        Ok(number) if factor != 1 => number.saturating_mul(factor).to_string(),
        _ => value.to_owned(),
    }
}

struct Values<'a> {
    broker: &'a BrokerConfig,
    overrides: &'a BTreeMap<String, String>,
}

impl Values<'_> {
    fn text(&self, name: &str) -> String {
        let key = TOPIC_KEYS.iter().find(|key| key.name == name).expect("a key of the table");
        effective_value(key, self.broker, self.overrides).0
    }

    /// A number that its key's check has accepted. Values of Kafka's that have no upper bound are cut to the type.
    fn number<N: FromStr + TryFrom<i64>>(&self, name: &str) -> N {
        let text = self.text(name);
        let number = text.parse::<i64>().unwrap_or_else(|_| panic!("{name} = {text} passed its check"));
        N::try_from(number).unwrap_or_else(|_| panic!("{name} = {number} passed its check"))
    }

    fn compression_type(&self) -> CompressionType {
        match self.text("compression.type").as_str() {
            "uncompressed" => CompressionType::Uncompressed,
            "gzip" => CompressionType::Gzip,
            "snappy" => CompressionType::Snappy,
            "lz4" => CompressionType::Lz4,
            "zstd" => CompressionType::Zstd,
            _ => CompressionType::Producer,
        }
    }

    fn compression_level(&self, compression: CompressionType) -> i32 {
        match compression {
            CompressionType::Gzip => self.number("compression.gzip.level"),
            CompressionType::Lz4 => self.number("compression.lz4.level"),
            CompressionType::Zstd => self.number("compression.zstd.level"),
            CompressionType::Producer | CompressionType::Uncompressed | CompressionType::Snappy => -1,
        }
    }

    fn check_together(&self) -> Result<(), Refusal> {
        let (least, most): (i64, i64) =
            (self.number("min.compaction.lag.ms"), self.number("max.compaction.lag.ms"));
        if least > most {
            return Err(refused(
                "min.compaction.lag.ms",
                &format!("{least} is above max.compaction.lag.ms = {most}"),
            ));
        }
        Ok(())
    }
}

impl CleanupPolicy {
    fn parse(value: &str) -> CleanupPolicy {
        let has = |word| list_entries(value).any(|entry| entry == word);
        CleanupPolicy { delete: has("delete"), compact: has("compact") }
    }
}

impl Durability {
    pub(super) fn parse(value: &str) -> Durability {
        if value == "relaxed" { Durability::Relaxed } else { Durability::Durable }
    }
}

fn refused(name: &str, problem: &str) -> Refusal {
    Refusal::InvalidConfig { reason: format!("{name}: {problem}") }
}

fn unknown_key(name: &str) -> Refusal {
    let hint = match keys::nearest_topic_key(name) {
        Some(near) => format!("; did you mean {near}?"),
        None => String::new(),
    };
    let shown: String = name.chars().take(100).collect();
    Refusal::InvalidConfig { reason: format!("there is no topic config '{shown}'{hint}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    fn broker(text: &str) -> BrokerConfig {
        BrokerConfig::from_properties(text).unwrap().0
    }

    fn check(given: &[(&str, Option<&str>)]) -> Result<BTreeMap<String, String>, Refusal> {
        let owned = |&(name, value): &(&str, Option<&str>)| (name.to_owned(), value.map(str::to_owned));
        let given: Vec<_> = given.iter().map(owned).collect();
        check_overrides(&broker(""), &given, &Limits::tiny().state)
    }

    fn overridden(given: &[(&str, &str)]) -> BTreeMap<String, String> {
        given.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn without_configuration_a_topic_has_kafkas_defaults_and_is_durable() {
        let topic = TopicConfig::resolve(&broker(""), &BTreeMap::new()).unwrap();
        assert_eq!(topic.segment_bytes, 1 << 30);
        assert_eq!(topic.retention_ms, Some(604_800_000));
        assert_eq!(topic.retention_bytes, None);
        assert_eq!(topic.max_message_bytes, 1_048_588);
        assert_eq!(topic.timestamp_after_max_ms, 3_600_000);
        assert_eq!(topic.timestamp_before_max_ms, i64::MAX);
        assert_eq!(topic.cleanup_policy, CleanupPolicy { delete: true, compact: false });
        assert_eq!(topic.compression_type, CompressionType::Producer);
        assert_eq!(topic.durability, Durability::Durable);
    }

    #[test]
    fn an_override_wins_over_the_broker_which_wins_over_the_default() {
        let broker = broker("log.segment.bytes=2097152\nlog.retention.bytes=10\nringlog.durability=relaxed");
        let topic = TopicConfig::resolve(&broker, &overridden(&[("retention.bytes", "20")])).unwrap();
        assert_eq!((topic.segment_bytes, topic.retention_bytes), (2_097_152, Some(20)));
        assert_eq!(topic.durability, Durability::Relaxed);
        let durable = overridden(&[("ringlog.durability", "durable")]);
        assert_eq!(TopicConfig::resolve(&broker, &durable).unwrap().durability, Durability::Durable);
    }

    #[test]
    fn retention_in_milliseconds_wins_over_minutes_over_hours_whatever_their_order() {
        let resolve = |text| TopicConfig::resolve(&broker(text), &BTreeMap::new()).unwrap().retention_ms;
        assert_eq!(resolve("log.retention.hours=2"), Some(7_200_000));
        assert_eq!(resolve("log.retention.minutes=3\nlog.retention.hours=2"), Some(180_000));
        assert_eq!(resolve("log.retention.hours=2\nlog.retention.ms=5\nlog.retention.minutes=3"), Some(5));
        assert_eq!(resolve("log.retention.hours=-1"), None);
    }

    #[test]
    fn an_unknown_key_names_its_neighbour() {
        let refusal = check(&[("retention.msec", Some("1"))]).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "there is no topic config 'retention.msec'; did you mean retention.ms?"
        );
    }

    #[test]
    fn a_missing_value_a_bad_value_and_a_contradiction_are_refused() {
        let reason = |given: &[(&str, Option<&str>)]| check(given).unwrap_err().to_string();
        assert_eq!(reason(&[("retention.ms", None)]), "retention.ms: a value is missing");
        assert!(reason(&[("segment.bytes", Some("100"))]).contains("1048576 or more"));
        let lag = [("min.compaction.lag.ms", Some("9")), ("max.compaction.lag.ms", Some("8"))];
        assert!(reason(&lag).contains("9 is above max.compaction.lag.ms = 8"));
    }

    #[test]
    fn overrides_have_bounds_in_number_and_size() {
        let limits = Limits::tiny().state;
        let many: Vec<_> = (0..=limits.configs_per_topic_max).map(|_| ("retention.ms", Some("1"))).collect();
        assert!(matches!(check(&many), Err(Refusal::LimitReached { .. })));
        let long = "x".repeat(limits.config_value_bytes_max + 1);
        let long = check(&[("leader.replication.throttled.replicas", Some(&long))]);
        assert!(matches!(long, Err(Refusal::LimitReached { .. })));
    }

    #[test]
    fn accepted_overrides_come_back_in_normal_form() {
        let accepted =
            check(&[("cleanup.policy", Some(" compact , delete ")), ("retention.ms", Some("+007"))]);
        assert_eq!(
            accepted.unwrap(),
            overridden(&[("cleanup.policy", "compact,delete"), ("retention.ms", "7")])
        );
    }
}
