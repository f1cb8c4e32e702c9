//! Configuration as clients see it: a row per key, for DescribeConfigs and the answer of CreateTopics.
//!
//! Always true: rows come in the order of names; a row's value is the first of its synonyms, or the default.

use std::collections::BTreeMap;

use super::broker::BrokerConfig;
use super::keys::{BROKER_KEYS, ConfigKey, TOPIC_KEYS, broker_key, is_dynamic};
use super::kind::ConfigKind;
use super::topic::effective_value;

/// Where a value comes from. Numbers are those of DescribeConfigs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i8)]
pub enum ConfigSource {
    /// An override of the topic.
    Topic = 1,
    /// Changed for this broker while it ran.
    DynamicBroker = 2,
    /// Changed for every broker while they ran.
    DynamicDefaultBroker = 3,
    /// `server.properties` or a flag.
    StaticBroker = 4,
    /// Nowhere: the default.
    Default = 5,
}

impl ConfigSource {
    /// Where a broker's value may come from, the one that wins first.
    pub const OF_BROKERS: [ConfigSource; 3] =
        [ConfigSource::DynamicBroker, ConfigSource::DynamicDefaultBroker, ConfigSource::StaticBroker];

    /// The number in DescribeConfigs.
    pub const fn number(self) -> i8 {
        self as i8
    }
}

/// One key, its value, and where that comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigRow {
    /// The key.
    pub name: &'static str,
    /// The value; `None` if there is none, or it is secret.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// The type of its values.
    pub kind: ConfigKind,
    /// Whether clients cannot change it.
    pub read_only: bool,
    /// Whether the value is secret.
    pub sensitive: bool,
    /// Every value that is given, by precedence.
    pub synonyms: Vec<ConfigSynonym>,
    /// What the key means.
    pub documentation: &'static str,
}

/// A value given for a key, perhaps under another name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigSynonym {
    /// The name it is given under.
    pub name: &'static str,
    /// The value, in the unit of that name; `None` if it is secret.
    pub value: Option<String>,
    /// Where it is given.
    pub source: ConfigSource,
}

/// The rows of a topic.
pub fn topic_rows(broker: &BrokerConfig, overrides: &BTreeMap<String, String>) -> Vec<ConfigRow> {
    TOPIC_KEYS.iter().map(|key| topic_row(key, broker, overrides)).collect()
}

fn topic_row(
    key: &'static ConfigKey,
    broker: &BrokerConfig,
    overrides: &BTreeMap<String, String>,
) -> ConfigRow {
    let (value, source) = effective_value(key, broker, overrides);
    let own = overrides.get(key.name).map(|value| synonym(key.name, value, ConfigSource::Topic));
    let names: Vec<&'static str> = key.synonyms.iter().map(|&(name, _)| name).collect();
    ConfigRow {
        name: key.name,
        value: Some(value),
        source,
        kind: key.kind,
        read_only: false,
        sensitive: key.kind == ConfigKind::Password,
        synonyms: own.into_iter().chain(broker_synonyms(&names, broker)).collect(),
        documentation: key.documentation,
    }
}

/// The rows of a broker. Read-only is what holds until the next start.
pub fn broker_rows(broker: &BrokerConfig) -> Vec<ConfigRow> {
    let mut rows: Vec<ConfigRow> = BROKER_KEYS.iter().map(|key| broker_row(key, broker)).collect();
    rows.sort_unstable_by_key(|row| row.name);
    rows
}

/// The rows of what was changed for every broker while they ran; nothing else is known of "every broker".
pub fn default_broker_rows(broker: &BrokerConfig) -> Vec<ConfigRow> {
    let source = ConfigSource::DynamicDefaultBroker;
    let changed = |key: &&ConfigKey| broker.given_as(key.name, source).is_some();
    let mut rows: Vec<ConfigRow> = BROKER_KEYS
        .iter()
        .filter(changed)
        .map(|key| {
            let value = broker.given_as(key.name, source);
            let synonyms = value.map(|value| synonym(key.name, value, source)).into_iter().collect();
            let value = value.map(str::to_owned);
            ConfigRow { value, source, synonyms, ..broker_row(key, broker) }
        })
        .collect();
    rows.sort_unstable_by_key(|row| row.name);
    rows
}

fn broker_row(key: &'static ConfigKey, broker: &BrokerConfig) -> ConfigRow {
    let sensitive = key.kind == ConfigKind::Password;
    let given = broker.given_with_source(key.name);
    let value = given.map(|(value, _)| value).or(key.default).filter(|_| !sensitive).map(str::to_owned);
    let mut synonyms = broker_synonyms(&group_of(key.name), broker);
    // What wins over this key is told under the winner's name alone.
    let own = synonyms.iter().position(|synonym| synonym.name == key.name).unwrap_or(synonyms.len());
    synonyms.drain(..own);
    ConfigRow {
        name: key.name,
        value,
        source: given.map_or(ConfigSource::Default, |(_, source)| source),
        kind: key.kind,
        read_only: !is_dynamic(key.name),
        sensitive,
        synonyms,
        documentation: key.documentation,
    }
}

/// Broker keys that stand for the same thing as one of them, by precedence.
fn group_of(name: &'static str) -> Vec<&'static str> {
    let groups = TOPIC_KEYS.iter().map(|key| key.synonyms);
    let group = groups.into_iter().find(|synonyms| synonyms.iter().any(|&(other, _)| other == name));
    match group {
        Some(synonyms) => synonyms.iter().map(|&(name, _)| name).collect(),
        None => vec![name],
    }
}

/// What is given under any of these names, the most particular first, then their defaults.
fn broker_synonyms(names: &[&'static str], broker: &BrokerConfig) -> Vec<ConfigSynonym> {
    let given = ConfigSource::OF_BROKERS.into_iter().flat_map(|source| {
        let value = move |name| broker.given_as(name, source);
        names.iter().filter_map(move |name| value(name).map(|value| synonym(name, value, source)))
    });
    let defaults = names.iter().filter_map(|name| {
        let default = broker_key(name)?.default?;
        Some(synonym(name, default, ConfigSource::Default))
    });
    given.chain(defaults).collect()
}

fn synonym(name: &'static str, value: &str, source: ConfigSource) -> ConfigSynonym {
    ConfigSynonym { name, value: Some(value.to_owned()), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(text: &str) -> BrokerConfig {
        BrokerConfig::from_properties(text).unwrap().0
    }

    fn row(rows: &[ConfigRow], name: &str) -> ConfigRow {
        rows.iter().find(|row| row.name == name).unwrap().clone()
    }

    fn synonyms(row: &ConfigRow) -> Vec<(&str, &str, i8)> {
        row.synonyms
            .iter()
            .map(|synonym| (synonym.name, synonym.value.as_deref().unwrap(), synonym.source.number()))
            .collect()
    }

    #[test]
    fn a_topic_without_overrides_has_a_row_for_every_key_with_its_default() {
        let rows = topic_rows(&broker(""), &BTreeMap::new());
        assert_eq!(rows.len(), TOPIC_KEYS.len());
        assert!(rows.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(rows.iter().all(|row| row.source == ConfigSource::Default && row.value.is_some()));
        let retention = row(&rows, "retention.ms");
        assert_eq!(retention.value.as_deref(), Some("604800000"));
        assert_eq!(retention.kind.number(), 5);
        assert_eq!(synonyms(&retention), [("log.retention.hours", "168", 5)]);
    }

    #[test]
    fn an_override_comes_before_the_brokers_values_and_the_default() {
        let overrides = BTreeMap::from([("retention.ms".to_owned(), "7".to_owned())]);
        let broker = broker("log.retention.hours=2\nlog.retention.ms=9");
        let retention = row(&topic_rows(&broker, &overrides), "retention.ms");
        assert_eq!((retention.value.as_deref(), retention.source), (Some("7"), ConfigSource::Topic));
        assert_eq!(
            synonyms(&retention),
            [
                ("retention.ms", "7", 1),
                ("log.retention.ms", "9", 4),
                ("log.retention.hours", "2", 4),
                ("log.retention.hours", "168", 5)
            ]
        );
        let inherited = row(&topic_rows(&broker, &BTreeMap::new()), "retention.ms");
        assert_eq!((inherited.value.as_deref(), inherited.source), (Some("9"), ConfigSource::StaticBroker));
    }

    #[test]
    fn a_broker_has_rows_for_its_keys_given_or_not() {
        let rows = broker_rows(&broker("num.partitions=3"));
        assert_eq!(rows.len(), BROKER_KEYS.len());
        let partitions = row(&rows, "num.partitions");
        assert_eq!((partitions.value.as_deref(), partitions.source.number()), (Some("3"), 4));
        assert_eq!(synonyms(&partitions), [("num.partitions", "3", 4), ("num.partitions", "1", 5)]);
        assert!(partitions.read_only && !row(&rows, "log.retention.ms").read_only);
        assert_eq!(row(&rows, "log.retention.ms").value, None);
        assert_eq!(synonyms(&row(&rows, "log.retention.ms")), []);
        assert_eq!(synonyms(&row(&rows, "log.retention.hours")), [("log.retention.hours", "168", 5)]);
    }

    #[test]
    fn what_was_changed_for_one_broker_comes_before_what_was_changed_for_all_and_before_the_file() {
        let map = |value: &str| BTreeMap::from([("log.segment.bytes".to_owned(), value.to_owned())]);
        let broker = broker("log.segment.bytes=1048577").with_dynamic(&map("1048578"), &map("1048579"));
        let segment = row(&broker_rows(&broker), "log.segment.bytes");
        assert_eq!((segment.value.as_deref(), segment.source.number()), (Some("1048579"), 2));
        let all = [
            ("log.segment.bytes", "1048579", 2),
            ("log.segment.bytes", "1048578", 3),
            ("log.segment.bytes", "1048577", 4),
            ("log.segment.bytes", "1073741824", 5),
        ];
        assert_eq!(synonyms(&segment), all);
        let inherited = row(&topic_rows(&broker, &BTreeMap::new()), "segment.bytes");
        assert_eq!((inherited.value.as_deref(), inherited.source.number()), (Some("1048579"), 2));
        assert_eq!(synonyms(&inherited), all);
        let for_all = default_broker_rows(&broker);
        assert_eq!(for_all.len(), 1);
        assert_eq!(synonyms(&for_all[0]), [("log.segment.bytes", "1048578", 3)]);
    }
}
