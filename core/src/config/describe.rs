//! Configuration as clients see it: a row per key, for DescribeConfigs and the answer of CreateTopics.
//!
//! Always true: rows come in the order of names; a row's value is the first of its synonyms, or the default.

use std::collections::BTreeMap;

use super::broker::BrokerConfig;
use super::keys::{BROKER_KEYS, ConfigKey, TOPIC_KEYS, broker_key};
use super::kind::ConfigKind;
use super::topic::effective_value;

/// Where a value comes from. Numbers are those of DescribeConfigs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i8)]
pub enum ConfigSource {
    /// An override of the topic.
    Topic = 1,
    /// `server.properties` or a flag.
    StaticBroker = 4,
    /// Nowhere: the default.
    Default = 5,
}

impl ConfigSource {
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

/// The rows of a broker. All are read-only: what is given at the start holds until the next.
pub fn broker_rows(broker: &BrokerConfig) -> Vec<ConfigRow> {
    let mut rows: Vec<ConfigRow> = BROKER_KEYS.iter().map(|key| broker_row(key, broker)).collect();
    rows.sort_unstable_by_key(|row| row.name);
    rows
}

fn broker_row(key: &'static ConfigKey, broker: &BrokerConfig) -> ConfigRow {
    let sensitive = key.kind == ConfigKind::Password;
    let given = broker.given(key.name);
    let value = given.or(key.default).filter(|_| !sensitive).map(str::to_owned);
    ConfigRow {
        name: key.name,
        value,
        source: if given.is_some() { ConfigSource::StaticBroker } else { ConfigSource::Default },
        kind: key.kind,
        read_only: true,
        sensitive,
        synonyms: broker_synonyms(&group_of(key.name), broker),
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

/// What is given under any of these names, then their defaults.
fn broker_synonyms(names: &[&'static str], broker: &BrokerConfig) -> Vec<ConfigSynonym> {
    let given = names
        .iter()
        .filter_map(|name| broker.given(name).map(|value| synonym(name, value, ConfigSource::StaticBroker)));
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
    fn a_broker_has_rows_for_its_keys_given_or_not_and_none_can_be_changed() {
        let rows = broker_rows(&broker("num.partitions=3"));
        assert_eq!(rows.len(), BROKER_KEYS.len());
        assert!(rows.iter().all(|row| row.read_only));
        let partitions = row(&rows, "num.partitions");
        assert_eq!((partitions.value.as_deref(), partitions.source.number()), (Some("3"), 4));
        assert_eq!(synonyms(&partitions), [("num.partitions", "3", 4), ("num.partitions", "1", 5)]);
        assert_eq!(row(&rows, "log.retention.ms").value, None);
        assert_eq!(synonyms(&row(&rows, "log.retention.ms")), [("log.retention.hours", "168", 5)]);
    }
}
