//! One side of a comparison: which broker, and what it promises.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the two that are compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Side {
    /// Which broker.
    pub broker: BrokerKind,
    /// What its acknowledgements promise; absent where nothing is produced.
    #[serde(default)]
    pub durability: Option<Durability>,
    /// What the side is called; by default after broker and durability.
    #[serde(default)]
    pub name: Option<String>,
    /// Options for the measured command, of this side alone.
    #[serde(default)]
    pub options: String,
    /// The command beside the measured one does not run on this side.
    #[serde(default)]
    pub alone: bool,
    /// `KEY=VALUE` for the broker's own configuration.
    #[serde(default)]
    pub configs: Vec<String>,
}

/// Which broker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokerKind {
    /// Ours.
    Ringlog,
    /// Apache Kafka, one node that is its own controller.
    Kafka,
}

/// What an acknowledged record has survived.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// It is on stable storage.
    Synced,
    /// It is in memory; the kernel or the broker writes it later.
    Unsynced,
}

impl Side {
    /// What tables call it.
    pub fn label(&self) -> String {
        match (&self.name, self.durability) {
            (Some(name), _) => name.clone(),
            (None, Some(durability)) => format!("{}, {durability}", self.broker),
            (None, None) => self.broker.to_string(),
        }
    }

    /// The topic's configuration that makes the broker keep the promise; none where its default does.
    pub fn topic_config(&self) -> Option<&'static str> {
        match (self.broker, self.durability?) {
            (BrokerKind::Ringlog, Durability::Synced) | (BrokerKind::Kafka, Durability::Unsynced) => None,
            (BrokerKind::Ringlog, Durability::Unsynced) => Some("ringlog.durability=relaxed"),
            (BrokerKind::Kafka, Durability::Synced) => Some("flush.messages=1"),
        }
    }
}

impl fmt::Display for BrokerKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            BrokerKind::Ringlog => "Ringlog",
            BrokerKind::Kafka => "Kafka",
        })
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Durability::Synced => "synced",
            Durability::Unsynced => "unsynced",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(broker: BrokerKind, durability: Option<Durability>) -> Side {
        Side { broker, durability, name: None, options: String::new(), alone: false, configs: Vec::new() }
    }

    #[test]
    fn the_same_promise_is_asked_for_in_each_brokers_own_words() {
        let (ringlog, kafka) = (BrokerKind::Ringlog, BrokerKind::Kafka);
        assert_eq!(side(ringlog, Some(Durability::Synced)).topic_config(), None);
        assert_eq!(
            side(ringlog, Some(Durability::Unsynced)).topic_config(),
            Some("ringlog.durability=relaxed")
        );
        assert_eq!(side(kafka, Some(Durability::Synced)).topic_config(), Some("flush.messages=1"));
        assert_eq!(side(kafka, Some(Durability::Unsynced)).topic_config(), None);
        assert_eq!(side(kafka, None).topic_config(), None);
    }

    #[test]
    fn a_side_has_a_name_of_its_own_or_one_that_says_what_it_is() {
        let mut one = side(BrokerKind::Kafka, Some(Durability::Synced));
        assert_eq!(one.label(), "Kafka, synced");
        one.name = Some("1 partition".to_owned());
        assert_eq!(one.label(), "1 partition");
    }
}
