//! The controller's decision about changed configurations (KIP-339): each resource is judged by itself, all of its
//! changes hold or none.
//!
//! Always true: a resource named twice is changed by neither; what is written is the difference to what there was,
//! so a change that changes nothing leaves no record.

use std::collections::BTreeMap;

use super::controller::{CommandReply, CreationRules, Decision, repeated};
use super::image::{MetadataImage, TopicImage};
use super::record::MetadataRecord;
use super::topic_name;
use crate::config::ConfigChange;
use crate::config::alter::{altered_broker, altered_topic, check_broker};
use crate::ids::BrokerId;
use crate::refusal::Refusal;

/// A change of one resource's configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlterConfigs {
    /// Whose.
    pub resource: ConfigResource,
    /// What.
    pub change: ConfigChange,
}

/// What has a configuration that can be changed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ConfigResource {
    /// The topic of this name.
    Topic(String),
    /// A broker; none for every broker.
    Broker(Option<BrokerId>),
}

pub(super) fn alter_configs(
    image: &MetadataImage,
    rules: &CreationRules<'_>,
    resources: &[AlterConfigs],
    validate_only: bool,
) -> Decision {
    let twice = repeated(resources.iter().map(|alter| alter.resource.clone()));
    let mut next = image.clone();
    let mut records = Vec::new();
    let mut results = Vec::with_capacity(resources.len());
    for alter in resources {
        let result = match twice.contains(&alter.resource) {
            true => Err(Refusal::invalid_request("the resource is named twice")),
            false => alter_one(&next, rules, alter),
        };
        results.push(result.map(|record| {
            if let Some(record) = record {
                next = next.replay(&record);
                records.push(record);
            }
        }));
    }
    if validate_only {
        records.clear();
    }
    Decision { records, reply: CommandReply::ConfigsAltered(results) }
}

/// The record of a change, if it changes anything.
fn alter_one(
    image: &MetadataImage,
    rules: &CreationRules<'_>,
    alter: &AlterConfigs,
) -> Result<Option<MetadataRecord>, Refusal> {
    match &alter.resource {
        ConfigResource::Topic(name) => {
            let topic = named_topic(image, name)?;
            let broker = image.with_changes(rules.broker);
            let next = altered_topic(&broker, &topic.configs, &alter.change, rules.limits)?;
            let changes = difference(&topic.configs, &next);
            let id = topic.id.0;
            Ok((!changes.is_empty()).then_some(MetadataRecord::TopicConfigsChanged { id, changes }))
        }
        ConfigResource::Broker(broker) => {
            let current = image.broker_configs(*broker);
            let next = altered_broker(current, &alter.change, rules.limits)?;
            let changes = difference(current, &next);
            if changes.is_empty() {
                return Ok(None);
            }
            let broker_id = broker.map(|broker| broker.0);
            let record = MetadataRecord::BrokerConfigsChanged { broker_id, changes };
            check_topics(&image.replay(&record), rules)?;
            Ok(Some(record))
        }
    }
}

fn named_topic<'i>(image: &'i MetadataImage, name: &str) -> Result<&'i TopicImage, Refusal> {
    if name.is_empty() {
        return Err(Refusal::invalid_request(
            "there is no configuration of every topic; change the broker's",
        ));
    }
    topic_name::check(name).map_err(|reason| Refusal::InvalidTopicName { reason })?;
    image.topic(name).map(|topic| &**topic).ok_or(Refusal::UnknownTopicOrPartition)
}

/// A broker's values must not put a topic out of action that overrides only half of what belongs together.
fn check_topics(image: &MetadataImage, rules: &CreationRules<'_>) -> Result<(), Refusal> {
    const HALVES: [&str; 2] = ["min.compaction.lag.ms", "max.compaction.lag.ms"];
    let has_half =
        |configs: &&BTreeMap<String, String>| HALVES.iter().any(|name| configs.contains_key(*name));
    let mut overrides = image.topics().map(|topic| &topic.configs).filter(has_half);
    check_broker(&image.with_changes(rules.broker), &mut overrides)
}

/// What must be set and removed to come from one set of values to another.
fn difference(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<(String, Option<String>)> {
    let removed = before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name.clone(), None));
    let set = after.iter().filter(|(name, value)| before.get(*name) != Some(value));
    removed.chain(set.map(|(name, value)| (name.clone(), Some(value.clone())))).collect()
}
