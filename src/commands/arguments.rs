//! What all commands that ask a broker have in common.

use std::time::Duration;

use clap::Args;

use crate::client::{Address, ClientFailure, Cluster, ClusterOptions};
use crate::commands::output::Format;

/// How to reach a cluster, and for whom to print.
#[derive(Args, Debug, Clone)]
pub struct BrokerArguments {
    /// Brokers to begin with; one that answers is enough.
    #[arg(
        short = 'b',
        long,
        alias = "bootstrap",
        alias = "broker-list",
        value_name = "HOST:PORT,...",
        value_delimiter = ',',
        default_value = "127.0.0.1:9092",
        global = true
    )]
    pub bootstrap_server: Vec<Address>,
    /// The longest single wait for a broker, in milliseconds.
    #[arg(
        long,
        alias = "timeout",
        value_name = "MILLISECONDS",
        default_value_t = 30_000,
        value_parser = clap::value_parser!(u32).range(1..),
        global = true
    )]
    pub request_timeout_ms: u32,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    pub json: bool,
}

impl BrokerArguments {
    /// Reaches the cluster.
    ///
    /// # Errors
    /// [`ClientFailure`].
    pub fn connect(&self) -> Result<Cluster, ClientFailure> {
        let timeout = Duration::from_millis(u64::from(self.request_timeout_ms));
        Cluster::connect(ClusterOptions { bootstrap: self.bootstrap_server.clone(), timeout })
    }

    /// For whom to print.
    pub fn format(&self) -> Format {
        Format::of_flag(self.json)
    }
}

/// A `KEY=VALUE` argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyValue {
    /// The key.
    pub key: String,
    /// The value, which may hold `=` and be empty.
    pub value: String,
}

impl std::str::FromStr for KeyValue {
    type Err = String;

    fn from_str(text: &str) -> Result<KeyValue, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(KeyValue { key: key.trim().to_owned(), value: value.trim().to_owned() })
            }
            _ => Err(format!("{text:?}: write KEY=VALUE")),
        }
    }
}

/// A separator as typed, with `\t`, `\n`, `\0` and `\\` for what is hard to type.
pub fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut symbols = text.chars();
    while let Some(symbol) = symbols.next() {
        let meant = match symbol {
            '\\' => match symbols.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('0') => '\0',
                Some(other) => other,
                None => '\\',
            },
            plain => plain,
        };
        bytes.extend_from_slice(meant.encode_utf8(&mut [0; 4]).as_bytes());
    }
    bytes
}

/// A topic, as an argument of its own or as Kafka's tools take it.
#[derive(Args, Debug, Clone)]
pub struct TopicArgument {
    /// The topic.
    #[arg(value_name = "TOPIC", required_unless_present = "topic_flag")]
    topic: Option<String>,
    /// The topic, as Kafka's tools take it.
    #[arg(long = "topic", value_name = "TOPIC", conflicts_with = "topic", hide = true)]
    topic_flag: Option<String>,
}

impl TopicArgument {
    /// Its name.
    pub fn name(&self) -> &str {
        self.topic.as_deref().or(self.topic_flag.as_deref()).unwrap_or_default()
    }
}

/// Topics, as arguments or as Kafka's tools take them; perhaps none.
#[derive(Args, Debug, Clone)]
pub struct TopicsArgument {
    /// The topics.
    #[arg(value_name = "TOPIC")]
    topics: Vec<String>,
    /// A topic, as Kafka's tools take it.
    #[arg(long = "topic", value_name = "TOPIC", hide = true)]
    topic_flags: Vec<String>,
}

impl TopicsArgument {
    /// Their names.
    pub fn names(&self) -> Vec<&str> {
        self.topics.iter().chain(&self.topic_flags).map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_may_be_written_with_a_backslash() {
        assert_eq!(unescaped(r"\t"), b"\t");
        assert_eq!(unescaped(r"ü\\\"), "ü\\\\".as_bytes());
        assert_eq!(unescaped(": "), b": ");
    }

    #[test]
    fn a_value_may_hold_an_equals_sign_and_a_key_may_not_be_missing() {
        let parsed: KeyValue = " retention.ms = a=b ".parse().unwrap();
        assert_eq!((parsed.key.as_str(), parsed.value.as_str()), ("retention.ms", "a=b"));
        for wrong in ["", "key", "=value"] {
            assert!(wrong.parse::<KeyValue>().unwrap_err().contains("write KEY=VALUE"), "{wrong}");
        }
    }
}
