//! Everything that can go wrong between a command and a broker, each with what to do next.

use std::fmt;
use std::io;

use ringlog_core::error_code::ErrorCode;
use ringlog_net::protocol::{ApiKey, VersionRange};

use crate::client::address::Address;
use crate::client::limits::WORDS_CHARACTERS_MAX;

/// Why a question to a cluster has no answer.
#[derive(Debug)]
pub enum ClientFailure {
    /// No broker could be reached.
    Unreachable {
        /// Where, and what the system said of each.
        tried: Vec<(Address, io::Error)>,
    },
    /// A connection broke, or the broker did not answer in time.
    Lost {
        /// Whose.
        address: Address,
        /// What was asked.
        api: ApiKey,
        /// What the system said.
        error: io::Error,
    },
    /// An answer cannot be read.
    Garbled {
        /// Whose.
        address: Address,
        /// What was asked.
        api: ApiKey,
        /// What is wrong with it.
        reason: String,
    },
    /// The broker does not serve the API, or not in a version that this program knows.
    NotServed {
        /// Whose.
        address: Address,
        /// What was to be asked.
        api: ApiKey,
        /// The versions of this program.
        known: VersionRange,
        /// The broker's versions; `None` if it does not have the API.
        served: Option<VersionRange>,
    },
    /// The broker refused.
    Refused {
        /// Whom or what: `topic orders`.
        subject: String,
        /// Kafka's number for it.
        code: i16,
        /// The broker's own words.
        words: Option<String>,
    },
    /// Nobody leads a partition just now.
    NoLeader {
        /// Its topic.
        topic: String,
        /// Its number.
        partition: i32,
    },
    /// Metadata names a broker and not where it is.
    UnknownBroker {
        /// Which.
        id: i32,
    },
}

impl ClientFailure {
    /// A refusal, if the code stands for one.
    ///
    /// # Errors
    /// [`ClientFailure::Refused`] unless the code is 0.
    pub fn check(
        code: i16,
        subject: impl FnOnce() -> String,
        words: Option<&str>,
    ) -> Result<(), ClientFailure> {
        if code == ErrorCode::None.number() {
            return Ok(());
        }
        let words = words.filter(|words| !words.is_empty()).map(shortened);
        Err(ClientFailure::Refused { subject: subject(), code, words })
    }

    /// Kafka's code of a refusal.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientFailure::Refused { code, .. } => ErrorCode::from_number(*code),
            _ => None,
        }
    }

    /// Whether asking again may help.
    pub fn is_passing(&self) -> bool {
        match self {
            ClientFailure::NoLeader { .. } => true,
            ClientFailure::Refused { .. } => self.code().is_some_and(ErrorCode::is_retriable),
            _ => false,
        }
    }
}

/// A broker's words, made fit for one line of a terminal: it may be anybody's broker.
fn shortened(words: &str) -> String {
    words
        .chars()
        .take(WORDS_CHARACTERS_MAX)
        .map(|symbol| if symbol.is_control() { ' ' } else { symbol })
        .collect()
}

impl fmt::Display for ClientFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientFailure::Unreachable { tried } => {
                formatter.write_str("no broker can be reached: ")?;
                for (index, (address, error)) in tried.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(formatter, "{separator}{address}: {error}")?;
                }
                formatter.write_str(
                    "\nStart one with `ringlog start`, or say where one is with --bootstrap-server HOST:PORT.",
                )
            }
            ClientFailure::Lost { address, api, error } => {
                write!(formatter, "{address} gave no answer to {api:?}: {}", lost(error))?;
                formatter.write_str(
                    "\nLook at the broker's log, or wait longer with --request-timeout-ms. What was asked for may have been done.",
                )
            }
            ClientFailure::Garbled { address, api, reason } => {
                write!(formatter, "the answer of {address} to {api:?} cannot be read: {reason}")?;
                formatter.write_str("\nIs a Kafka broker without TLS listening there?")
            }
            ClientFailure::NotServed { address, api, served: None, .. } => {
                write!(formatter, "the broker {address} does not serve {api:?}, which this command needs")?;
                formatter.write_str("\n`ringlog cluster api-versions` lists what it serves.")
            }
            ClientFailure::NotServed { address, api, known, served: Some(served) } => write!(
                formatter,
                "the broker {address} serves versions {} to {} of {api:?}, this program knows {} to {}\nUse a program and a \
                 broker that are closer in age.",
                served.first, served.last, known.first, known.last
            ),
            ClientFailure::Refused { subject, code, words } => {
                refused(formatter, subject, *code, words.as_deref())
            }
            ClientFailure::NoLeader { topic, partition } => write!(
                formatter,
                "partition {partition} of topic {topic} has no leader now\nTry again; `ringlog topic describe {topic}` \
                 tells which brokers hold it."
            ),
            ClientFailure::UnknownBroker { id } => {
                write!(formatter, "the cluster names broker {id} and does not say where it is\nTry again.")
            }
        }
    }
}

impl std::error::Error for ClientFailure {}

/// What the system calls "resource temporarily unavailable" is a broker that did not answer in time.
fn lost(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it did not come in time".to_owned(),
        io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => error.to_string(),
    }
}

fn refused(formatter: &mut fmt::Formatter<'_>, subject: &str, code: i16, words: Option<&str>) -> fmt::Result {
    let Some(known) = ErrorCode::from_number(code) else {
        write!(formatter, "{subject}: the broker answers with error {code}, which Kafka 4.3 does not have")?;
        return words.map_or(Ok(()), |words| write!(formatter, ": {words}"));
    };
    write!(formatter, "{subject}: {} ({})", words.unwrap_or(known.message()), known.name())?;
    advice(known).map_or(Ok(()), |advice| write!(formatter, "\n{advice}"))
}

/// What to do about a refusal, where there is something to do.
fn advice(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId => {
            "`ringlog topic list` lists the topics, `ringlog topic create NAME` makes one."
        }
        ErrorCode::TopicAlreadyExists => "--if-not-exists takes that for success.",
        ErrorCode::InvalidReplicationFactor => {
            "A partition has at most one replica on each broker; `ringlog cluster describe` lists the brokers."
        }
        ErrorCode::InvalidConfig => {
            "`ringlog config describe --topic NAME --all` lists the keys and their values."
        }
        ErrorCode::OffsetOutOfRange => {
            "`ringlog topic offsets NAME` tells where its partitions begin and end."
        }
        ErrorCode::GroupIdNotFound => "`ringlog group list` lists the groups.",
        ErrorCode::NonEmptyGroup | ErrorCode::UnknownMemberId | ErrorCode::RebalanceInProgress => {
            "Stop the group's consumers first; `ringlog group describe NAME` lists its members."
        }
        ErrorCode::GroupSubscribedToTopic => "Stop the group's consumers of that topic first.",
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => {
            "Send smaller batches (--batch-bytes), or raise the topic's max.message.bytes."
        }
        ErrorCode::NotEnoughReplicas | ErrorCode::NotEnoughReplicasAfterAppend => {
            "Bring back the missing brokers, or lower the topic's min.insync.replicas."
        }
        ErrorCode::TopicAuthorizationFailed
        | ErrorCode::GroupAuthorizationFailed
        | ErrorCode::ClusterAuthorizationFailed => "Ask whoever runs the cluster for the right.",
        retriable if retriable.is_retriable() => "This may pass by itself: try again.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: ErrorCode, words: Option<&str>) -> String {
        ClientFailure::check(code.number(), || "topic orders".to_owned(), words).unwrap_err().to_string()
    }

    #[test]
    fn a_refusal_says_who_why_and_what_to_do() {
        let text = refusal(ErrorCode::TopicAlreadyExists, None);
        assert!(
            text.starts_with("topic orders: A topic of this name exists. (TOPIC_ALREADY_EXISTS)\n"),
            "{text}"
        );
        assert!(text.ends_with("--if-not-exists takes that for success."), "{text}");
        let text = refusal(ErrorCode::InvalidPartitions, Some("the broker's words"));
        assert_eq!(text, "topic orders: the broker's words (INVALID_PARTITIONS)");
        assert!(ClientFailure::check(0, || unreachable!("nothing was refused"), None).is_ok());
    }

    #[test]
    fn words_of_a_foreign_broker_cannot_steer_the_terminal_or_fill_it() {
        let text = refusal(ErrorCode::InvalidConfig, Some(&format!("\x1b[2J{}", "x".repeat(5000))));
        assert!(!text.contains('\x1b') && text.len() < 1300, "{} bytes", text.len());
    }

    #[test]
    fn a_code_from_the_future_is_told_by_its_number() {
        let text = ClientFailure::check(4711, || "group g".to_owned(), None).unwrap_err().to_string();
        assert!(text.contains("error 4711"), "{text}");
    }
}
