//! What a client's changes make of the overrides of a topic or broker.
//!
//! ```text
//!   overrides now ──┬─ Replace: what is given, and nothing else        (AlterConfigs)
//!                   └─ Update: set, delete, append, subtract, in order (IncrementalAlterConfigs, KIP-339)
//!                            │
//!                            ▼ checked as a whole: all of the changes hold, or none
//! ```
//!
//! Always true: what comes back passes the checks a new topic's configuration or a `server.properties` passes.
//! Appending to a list that has no override starts from the key's default, as in Kafka, not from the broker's value.

use std::collections::{BTreeMap, BTreeSet};

use super::broker::BrokerConfig;
use super::keys::{self, ConfigKey};
use super::kind::{ConfigKind, list_entries, normalize};
use super::topic::{TopicConfig, check_overrides};
use crate::limits::StateLimits;
use crate::refusal::Refusal;

/// What is asked for one topic or broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigChange {
    /// These overrides, instead of all there were.
    Replace(Vec<(String, Option<String>)>),
    /// These changes, one after the other.
    Update(Vec<(String, ConfigOperation)>),
}

/// One change of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigOperation {
    /// Give it this value.
    Set(Option<String>),
    /// Remove the override.
    Delete,
    /// Add these entries to a list, those it does not have.
    Append(Option<String>),
    /// Take these entries out of a list.
    Subtract(Option<String>),
    /// A number no operation has.
    Unknown(i8),
}

impl ConfigOperation {
    /// From the number in IncrementalAlterConfigs, and the value beside it.
    pub fn from_number(number: i8, value: Option<String>) -> ConfigOperation {
        match number {
            0 => ConfigOperation::Set(value),
            1 => ConfigOperation::Delete,
            2 => ConfigOperation::Append(value),
            3 => ConfigOperation::Subtract(value),
            other => ConfigOperation::Unknown(other),
        }
    }
}

/// The overrides a topic has after a change.
///
/// # Errors
/// [`Refusal::InvalidRequest`] for a key given twice or without a value, [`Refusal::InvalidConfig`] for an unknown
/// key, a bad value or values that do not go together, [`Refusal::LimitReached`] for too many.
pub fn altered_topic(
    broker: &BrokerConfig,
    current: &BTreeMap<String, String>,
    change: &ConfigChange,
    limits: &StateLimits,
) -> Result<BTreeMap<String, String>, Refusal> {
    let next: Vec<_> = apply(current, change, keys::topic_key)?
        .into_iter()
        .map(|(name, value)| (name, Some(value)))
        .collect();
    check_overrides(broker, &next, limits)
}

/// The values changed for a broker, or for every broker, after a change.
///
/// # Errors
/// As [`altered_topic`], except that a bad value, and a key that cannot be changed while the broker runs, are an
/// [`Refusal::InvalidRequest`], as in Kafka.
pub fn altered_broker(
    current: &BTreeMap<String, String>,
    change: &ConfigChange,
    limits: &StateLimits,
) -> Result<BTreeMap<String, String>, Refusal> {
    let next = apply(current, change, keys::broker_key)?;
    if next.len() > limits.configs_per_topic_max {
        let (count, most) = (next.len(), limits.configs_per_topic_max);
        let reason = format!("{count} configs of a broker changed, {most} are allowed");
        return Err(Refusal::LimitReached { reason });
    }
    next.into_iter()
        .map(|(name, value)| {
            let normal = check_dynamic(&name, &value, limits)?;
            Ok((name, normal))
        })
        .collect()
}

/// Checks that topics can live with a broker's changed values.
///
/// # Errors
/// [`Refusal::InvalidRequest`] with what does not go together.
pub fn check_broker(
    broker: &BrokerConfig,
    topics: &mut dyn Iterator<Item = &BTreeMap<String, String>>,
) -> Result<(), Refusal> {
    let refused = |refusal: Refusal| Refusal::InvalidRequest { reason: refusal.to_string().into() };
    TopicConfig::resolve(broker, &BTreeMap::new()).map_err(refused)?;
    for overrides in topics {
        TopicConfig::resolve(broker, overrides).map_err(refused)?;
    }
    Ok(())
}

fn apply(
    current: &BTreeMap<String, String>,
    change: &ConfigChange,
    key: fn(&str) -> Option<&'static ConfigKey>,
) -> Result<BTreeMap<String, String>, Refusal> {
    match change {
        ConfigChange::Replace(given) => {
            check_names(given.iter().map(|(name, _)| name.as_str()))?;
            given.iter().map(|(name, value)| Ok((name.clone(), required(name, value)?.to_owned()))).collect()
        }
        ConfigChange::Update(operations) => {
            check_names(operations.iter().map(|(name, _)| name.as_str()))?;
            let mut next = current.clone();
            for (name, operation) in operations {
                match operation {
                    ConfigOperation::Set(value) => {
                        next.insert(name.clone(), required(name, value)?.to_owned());
                    }
                    ConfigOperation::Delete => {
                        next.remove(name);
                    }
                    ConfigOperation::Append(value) => {
                        let added: Vec<&str> = list_entries(required(name, value)?).collect();
                        let mut entries = entries_of(&next, name, key)?;
                        for entry in added {
                            if !entries.iter().any(|known| known == entry) {
                                entries.push(entry.to_owned());
                            }
                        }
                        next.insert(name.clone(), entries.join(","));
                    }
                    ConfigOperation::Subtract(value) => {
                        let removed: Vec<&str> = list_entries(required(name, value)?).collect();
                        let mut entries = entries_of(&next, name, key)?;
                        entries.retain(|entry| !removed.contains(&entry.as_str()));
                        next.insert(name.clone(), entries.join(","));
                    }
                    ConfigOperation::Unknown(number) => {
                        let reason = format!("{name}: there is no operation {number}").into();
                        return Err(Refusal::InvalidRequest { reason });
                    }
                }
            }
            Ok(next)
        }
    }
}

fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Refusal::invalid_request("a config key is given twice"));
        }
    }
    Ok(())
}

fn required<'v>(name: &str, value: &'v Option<String>) -> Result<&'v str, Refusal> {
    value.as_deref().ok_or_else(|| Refusal::InvalidRequest {
        reason: format!("{}: a value is missing", shown(name)).into(),
    })
}

/// The entries a list has now, to be appended to or subtracted from.
fn entries_of(
    overrides: &BTreeMap<String, String>,
    name: &str,
    key: fn(&str) -> Option<&'static ConfigKey>,
) -> Result<Vec<String>, Refusal> {
    let known = key(name).filter(|key| key.kind == ConfigKind::List);
    let Some(known) = known else {
        let reason = format!("{}: only lists can be appended to or subtracted from", shown(name));
        return Err(Refusal::InvalidConfig { reason });
    };
    let value = overrides.get(name).map(String::as_str).or(known.default).unwrap_or_default();
    Ok(list_entries(value).map(str::to_owned).collect())
}

fn check_dynamic(name: &str, value: &str, limits: &StateLimits) -> Result<String, Refusal> {
    let Some(key) = keys::broker_key(name) else {
        let hint =
            keys::nearest_broker_key(name).map_or_else(String::new, |near| format!("; did you mean {near}?"));
        return Err(Refusal::InvalidConfig {
            reason: format!("there is no broker config '{}'{hint}", shown(name)),
        });
    };
    let refused = |reason: String| Refusal::InvalidRequest { reason: format!("{name}: {reason}").into() };
    if !keys::is_dynamic(name) {
        return Err(refused("it cannot be changed while the broker runs".to_owned()));
    }
    if value.len() > limits.config_value_bytes_max {
        return Err(refused(format!("a value may have {} bytes", limits.config_value_bytes_max)));
    }
    normalize(value, key.kind, key.check).map_err(refused)
}

/// A name from a client, short enough for a message.
fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    fn broker() -> BrokerConfig {
        BrokerConfig::from_properties("log.cleanup.policy=compact").unwrap().0
    }

    fn owned(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn update(operations: &[(&str, ConfigOperation)]) -> ConfigChange {
        ConfigChange::Update(
            operations.iter().map(|(name, operation)| ((*name).to_owned(), operation.clone())).collect(),
        )
    }

    fn set(value: &str) -> ConfigOperation {
        ConfigOperation::Set(Some(value.to_owned()))
    }

    fn append(value: &str) -> ConfigOperation {
        ConfigOperation::Append(Some(value.to_owned()))
    }

    fn subtract(value: &str) -> ConfigOperation {
        ConfigOperation::Subtract(Some(value.to_owned()))
    }

    fn topic(
        current: &[(&str, &str)],
        operations: &[(&str, ConfigOperation)],
    ) -> Result<BTreeMap<String, String>, Refusal> {
        altered_topic(&broker(), &owned(current), &update(operations), &Limits::tiny().state)
    }

    #[test]
    fn values_are_set_and_deleted_and_the_others_stay() {
        let current = [("retention.ms", "5"), ("segment.bytes", "1048576")];
        let next =
            topic(&current, &[("retention.ms", ConfigOperation::Delete), ("retention.bytes", set("+9"))]);
        assert_eq!(next.unwrap(), owned(&[("retention.bytes", "9"), ("segment.bytes", "1048576")]));
    }

    #[test]
    fn deleting_what_is_not_there_changes_nothing_whatever_its_name() {
        let current = [("retention.ms", "5")];
        assert_eq!(topic(&current, &[("no.such.key", ConfigOperation::Delete)]).unwrap(), owned(&current));
    }

    #[test]
    fn lists_grow_by_what_they_do_not_have_from_the_keys_default() {
        let policy = |current: &[(&str, &str)], operation| {
            topic(current, &[("cleanup.policy", operation)]).unwrap()["cleanup.policy"].clone()
        };
        assert_eq!(policy(&[], append("compact")), "delete,compact");
        assert_eq!(policy(&[("cleanup.policy", "compact")], append("compact , delete")), "compact,delete");
        assert_eq!(policy(&[("cleanup.policy", "compact,delete")], subtract("delete")), "compact");
        assert_eq!(policy(&[("cleanup.policy", "compact")], subtract("compact")), "");
    }

    #[test]
    fn only_lists_have_entries() {
        for name in ["retention.ms", "no.such.key"] {
            for operation in [append("1"), subtract("1")] {
                assert!(matches!(topic(&[], &[(name, operation)]), Err(Refusal::InvalidConfig { .. })));
            }
        }
    }

    #[test]
    fn a_key_given_twice_without_a_value_or_with_a_strange_operation_is_a_bad_request() {
        for operations in [
            vec![("retention.ms", set("1")), ("retention.ms", set("2"))],
            vec![("retention.ms", ConfigOperation::from_number(0, None))],
            vec![("cleanup.policy", ConfigOperation::from_number(2, None))],
            vec![("retention.ms", ConfigOperation::from_number(4, None))],
        ] {
            assert!(matches!(topic(&[], &operations), Err(Refusal::InvalidRequest { .. })), "{operations:?}");
        }
    }

    #[test]
    fn one_bad_value_keeps_all_changes_away() {
        for bad in [("segment.bytes", set("1")), ("no.such.key", set("1"))] {
            let refusal = topic(&[], &[("retention.ms", set("1")), bad]).unwrap_err();
            assert!(matches!(refusal, Refusal::InvalidConfig { .. }), "{refusal:?}");
        }
        let lag = [("min.compaction.lag.ms", "9")];
        assert!(topic(&lag, &[("max.compaction.lag.ms", set("8"))]).is_err(), "checked with what is there");
    }

    #[test]
    fn replacing_forgets_what_is_not_given() {
        let replace = |given: &[(&str, Option<&str>)]| {
            let given = given.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)));
            let change = ConfigChange::Replace(given.collect());
            altered_topic(&broker(), &owned(&[("retention.ms", "5")]), &change, &Limits::tiny().state)
        };
        assert_eq!(
            replace(&[("segment.bytes", Some("1048576"))]).unwrap(),
            owned(&[("segment.bytes", "1048576")])
        );
        assert_eq!(replace(&[]).unwrap(), owned(&[]));
        assert!(matches!(replace(&[("retention.ms", None)]), Err(Refusal::InvalidRequest { .. })));
    }

    #[test]
    fn a_broker_takes_dynamic_keys_only() {
        let alter = |name, operation| {
            altered_broker(&owned(&[]), &update(&[(name, operation)]), &Limits::tiny().state)
        };
        assert_eq!(alter("log.retention.ms", set("7")).unwrap(), owned(&[("log.retention.ms", "7")]));
        assert_eq!(alter("num.partitions", ConfigOperation::Delete).unwrap(), owned(&[]));
        for (name, value) in [("num.partitions", "3"), ("log.segment.bytes", "1"), ("log.retention.ms", "x")]
        {
            let refusal = alter(name, set(value)).unwrap_err();
            assert!(matches!(refusal, Refusal::InvalidRequest { .. }), "{refusal:?}");
        }
        let unknown = alter("log.retention.msec", set("3")).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "there is no broker config 'log.retention.msec'; did you mean log.retention.ms?"
        );
    }

    #[test]
    fn a_broker_takes_no_value_that_a_topic_could_not_live_with() {
        let changed =
            broker().with_dynamic(&owned(&[("log.cleaner.max.compaction.lag.ms", "5")]), &owned(&[]));
        let topics = [owned(&[("min.compaction.lag.ms", "6")])];
        assert!(check_broker(&changed, &mut std::iter::empty()).is_ok());
        assert!(matches!(check_broker(&changed, &mut topics.iter()), Err(Refusal::InvalidRequest { .. })));
    }
}
