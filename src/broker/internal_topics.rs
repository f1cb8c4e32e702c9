//! Topics that hold the broker's own state: created when they are first needed, with the settings they need.

use std::rc::Rc;

use ringlog_core::config::BrokerConfig;
use ringlog_core::metadata::topic_name::CONSUMER_OFFSETS_TOPIC;
use ringlog_core::metadata::{Command, CommandReply, CreateTopic};
use ringlog_core::refusal::Refusal;
use ringlog_runtime::environment::Environment;

use crate::broker::message::{Answer, Call};
use crate::broker::shard::{FIRST_SHARD, Shard};

impl<E: Environment> Shard<E> {
    /// Creates an internal topic unless it is there. Where it cannot be created, whoever needs it finds it
    /// missing.
    pub async fn ensure_internal_topic(self: &Rc<Self>, name: &str) {
        if self.image().topic(name).is_some() {
            return;
        }
        let Some(topic) = internal_topic(&self.config, name) else { return };
        let command = Command::CreateTopics { topics: vec![topic], validate_only: false };
        match self.call(FIRST_SHARD, Call::Command(command)).await {
            Answer::Commanded(CommandReply::TopicsCreated(results)) => {
                for (topic, result) in results {
                    // Somebody else may have asked for it meanwhile.
                    if let Err(refusal) = result
                        && self.image().topic(&topic).is_none()
                    {
                        tracing::error!(%topic, %refusal, "an internal topic cannot be created");
                    }
                }
            }
            // What became of the disk was told when it did; whoever asks for a group asks again.
            Answer::Commanded(CommandReply::Refused(Refusal::DiskFull | Refusal::Storage)) => {}
            Answer::Commanded(CommandReply::Refused(refusal)) => {
                tracing::error!(topic = name, %refusal, "an internal topic cannot be created");
            }
            _ => unreachable!("a command is answered as one"),
        }
    }
}

/// An internal topic as it is to be created; `None` for those this broker has no use for yet.
pub fn internal_topic(config: &BrokerConfig, name: &str) -> Option<CreateTopic> {
    if name != CONSUMER_OFFSETS_TOPIC {
        return None;
    }
    let configs = [
        ("cleanup.policy", "compact".to_owned()),
        ("compression.type", "producer".to_owned()),
        ("segment.bytes", config.offsets_topic.segment_bytes.to_string()),
    ];
    Some(CreateTopic {
        name: name.to_owned(),
        partition_count: config.offsets_topic.partition_count,
        // A single node holds the only copy there can be.
        replication_factor: 1,
        assignments: Vec::new(),
        configs: configs.map(|(key, value)| (key.to_owned(), Some(value))).to_vec(),
    })
}
