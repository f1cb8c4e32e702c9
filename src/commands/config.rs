//! `ringlog config`: what topics and brokers are configured with, and changes of it.

use std::io::{self, Write};

use clap::{Args, Subcommand, ValueEnum};
use ringlog_net::protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
};
use ringlog_net::protocol::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use serde::Serialize;

use crate::client::ClientFailure;
use crate::client::cluster::{Cluster, MissingTopics, Target};
use crate::commands::arguments::{BrokerArguments, KeyValue};
use crate::commands::failure::CommandFailure;
use crate::commands::output::{Format, Report, show};
use crate::commands::table::{Align, Table, or_dash};

/// Kafka's numbers for what can be configured.
const TOPIC_RESOURCE: i8 = 2;
const BROKER_RESOURCE: i8 = 4;

/// Kafka's numbers for where a value comes from.
const DEFAULT_SOURCE: i8 = 5;

/// Kafka's numbers for changes.
const SET: i8 = 0;
const UNSET: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// What to do with configurations.
#[derive(Args, Debug)]
pub struct ConfigArguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: ConfigVerb,
    /// Where.
    #[command(flatten)]
    pub broker: BrokerArguments,
}

/// What can be done with configurations.
#[derive(Subcommand, Debug)]
pub enum ConfigVerb {
    /// Tell values and where each comes from.
    Describe(DescribeArguments),
    /// Change values while brokers run.
    Alter(AlterArguments),
}

/// Whose configuration.
#[derive(Args, Debug, Clone)]
#[group(id = "entity")]
pub struct EntityArguments {
    /// A topic's.
    #[arg(short, long, value_name = "TOPIC", conflicts_with_all = ["broker", "broker_defaults", "entity_type"])]
    pub topic: Option<String>,
    /// A broker's, by id.
    #[arg(long, value_name = "ID", conflicts_with_all = ["broker_defaults", "entity_type"])]
    pub broker: Option<i32>,
    /// What holds for every broker that was not told otherwise.
    #[arg(long, conflicts_with = "entity_type")]
    pub broker_defaults: bool,
    /// As Kafka's tool takes it.
    #[arg(long, value_enum, hide = true)]
    pub entity_type: Option<EntityType>,
    /// As Kafka's tool takes it.
    #[arg(long, value_name = "NAME", hide = true, requires = "entity_type")]
    pub entity_name: Option<String>,
    /// As Kafka's tool takes it.
    #[arg(long, hide = true, requires = "entity_type")]
    pub entity_default: bool,
}

/// Kafka's words for what can be configured.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntityType {
    /// Topics.
    Topics,
    /// Brokers.
    Brokers,
}

/// What to tell.
#[derive(Args, Debug)]
pub struct DescribeArguments {
    /// Whose.
    #[command(flatten)]
    pub entity: EntityArguments,
    /// Only these keys.
    #[arg(value_name = "KEY")]
    pub keys: Vec<String>,
    /// Also values that nobody set.
    #[arg(short, long)]
    pub all: bool,
    /// Also what each key means.
    #[arg(long)]
    pub explain: bool,
}

/// What to change.
#[derive(Args, Debug)]
pub struct AlterArguments {
    /// Whose.
    #[command(flatten)]
    pub entity: EntityArguments,
    /// Give a key a value.
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub set: Vec<KeyValue>,
    /// Take a key's value away, so that the next default holds.
    #[arg(short, long, value_name = "KEY")]
    pub unset: Vec<String>,
    /// Add to a key whose value is a list.
    #[arg(long, value_name = "KEY=VALUE")]
    pub append: Vec<KeyValue>,
    /// Remove from a key whose value is a list.
    #[arg(long, value_name = "KEY=VALUE")]
    pub subtract: Vec<KeyValue>,
    /// As Kafka's tool takes it: k1=v1,k2=[a,b].
    #[arg(long, value_name = "KEY=VALUE,...", hide = true)]
    pub add_config: Option<String>,
    /// As Kafka's tool takes it.
    #[arg(long, value_name = "KEY,...", value_delimiter = ',', hide = true)]
    pub delete_config: Vec<String>,
    /// Ask whether it could be done, and do not do it.
    #[arg(long, alias = "validate-only")]
    pub dry_run: bool,
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure`].
pub fn run(arguments: ConfigArguments, sink: &mut dyn Write) -> Result<(), CommandFailure> {
    let format = arguments.broker.format();
    match arguments.verb {
        ConfigVerb::Describe(wanted) => {
            let entity = Entity::of_arguments(&wanted.entity)?;
            let mut cluster = arguments.broker.connect()?;
            show(&describe(&mut cluster, &entity, &wanted)?, format, sink)
        }
        ConfigVerb::Alter(wanted) => {
            let entity = Entity::of_arguments(&wanted.entity)?;
            let changes = changes_of(&wanted)?;
            let mut cluster = arguments.broker.connect()?;
            alter(&mut cluster, &entity, &changes, wanted.dry_run, format, sink)
        }
    }
}

/// What is configured.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Entity {
    Topic(String),
    Broker(i32),
    BrokerDefaults,
}

impl Entity {
    fn of_arguments(arguments: &EntityArguments) -> Result<Entity, CommandFailure> {
        let usage = |words: &str| CommandFailure::Usage(words.to_owned());
        match (&arguments.topic, arguments.broker, arguments.broker_defaults, arguments.entity_type) {
            (Some(topic), ..) => Ok(Entity::Topic(topic.clone())),
            (None, Some(id), ..) => Ok(Entity::Broker(id)),
            (None, None, true, _) => Ok(Entity::BrokerDefaults),
            (None, None, false, Some(EntityType::Topics)) => {
                let name = arguments.entity_name.clone().map(Entity::Topic);
                name.ok_or_else(|| usage("say which topic with --entity-name NAME"))
            }
            (None, None, false, Some(EntityType::Brokers)) => match &arguments.entity_name {
                Some(name) => name
                    .parse()
                    .map(Entity::Broker)
                    .map_err(|_| usage("a broker's --entity-name is its id, a number")),
                None if arguments.entity_default => Ok(Entity::BrokerDefaults),
                None => Err(usage("say which broker with --entity-name ID, or all with --entity-default")),
            },
            (None, None, false, None) => {
                Err(usage("say whose configuration: --topic TOPIC, --broker ID or --broker-defaults"))
            }
        }
    }

    fn resource_type(&self) -> i8 {
        match self {
            Entity::Topic(_) => TOPIC_RESOURCE,
            Entity::Broker(_) | Entity::BrokerDefaults => BROKER_RESOURCE,
        }
    }

    fn resource_name(&self) -> String {
        match self {
            Entity::Topic(name) => name.clone(),
            Entity::Broker(id) => id.to_string(),
            Entity::BrokerDefaults => String::new(),
        }
    }

    fn words(&self) -> String {
        match self {
            Entity::Topic(name) => format!("topic {name}"),
            Entity::Broker(id) => format!("broker {id}"),
            Entity::BrokerDefaults => "all brokers".to_owned(),
        }
    }

    /// Only a broker itself knows its own configuration.
    fn target(&self, cluster: &mut Cluster) -> Result<Target, ClientFailure> {
        let metadata = cluster.metadata(Some(&[]), MissingTopics::Leave)?;
        Ok(match self {
            Entity::Broker(id) => Target::Broker(*id),
            _ => metadata.controller_id.map_or(Target::Any, Target::Broker),
        })
    }
}

#[derive(Serialize)]
struct Described {
    entity: String,
    configs: Vec<DescribedConfig>,
    #[serde(skip)]
    explains: bool,
}

#[derive(Serialize)]
struct DescribedConfig {
    key: String,
    /// Null if there is none, or if it is secret.
    value: Option<String>,
    source: &'static str,
    is_read_only: bool,
    is_sensitive: bool,
    documentation: Option<String>,
}

fn describe(
    cluster: &mut Cluster,
    entity: &Entity,
    wanted: &DescribeArguments,
) -> Result<Described, ClientFailure> {
    let name = entity.resource_name();
    let keys = wanted.keys.iter().map(String::as_str).collect();
    let request = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: entity.resource_type(),
            resource_name: &name,
            configuration_keys: (!wanted.keys.is_empty()).then_some(keys),
        }],
        include_synonyms: false,
        include_documentation: wanted.explain,
    };
    let target = entity.target(cluster)?;
    let answer = cluster.ask(target, &request)?;
    let response = answer.read(DescribeConfigsResponse::decode)?;
    let mut configs = Vec::new();
    for result in response.results {
        ClientFailure::check(result.error_code, || entity.words(), result.error_message)?;
        let told = |config: &&DescribeConfigsResourceResult<'_>| {
            wanted.all || !wanted.keys.is_empty() || config.config_source != DEFAULT_SOURCE
        };
        configs.extend(result.configs.iter().filter(told).map(DescribedConfig::of_result));
    }
    configs.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(Described { entity: entity.words(), configs, explains: wanted.explain })
}

impl DescribedConfig {
    fn of_result(config: &DescribeConfigsResourceResult<'_>) -> DescribedConfig {
        DescribedConfig {
            key: config.name.to_owned(),
            value: config.value.map(str::to_owned),
            source: match config.config_source {
                1 => "topic",
                2 => "broker",
                3 => "broker-defaults",
                4 => "file",
                DEFAULT_SOURCE => "default",
                _ => "unknown",
            },
            is_read_only: config.read_only,
            is_sensitive: config.is_sensitive,
            documentation: config.documentation.map(str::to_owned),
        }
    }
}

impl Report for Described {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        writeln!(sink, "{}", self.entity)?;
        let mut columns = vec![("KEY", Align::Left), ("VALUE", Align::Left), ("FROM", Align::Left)];
        if self.explains {
            columns.push(("MEANS", Align::Left));
        }
        let mut table = Table::new(&columns);
        for config in &self.configs {
            let value = match config.is_sensitive {
                true => "(secret)".to_owned(),
                false => or_dash(config.value.as_deref()),
            };
            let means = self.explains.then(|| or_dash(config.documentation.as_deref()));
            let cells = [config.key.clone(), value, config.source.to_owned()];
            table.row(cells.into_iter().chain(means));
        }
        table.write(sink)
    }
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Change {
    key: String,
    operation: i8,
    value: Option<String>,
}

fn changes_of(wanted: &AlterArguments) -> Result<Vec<Change>, CommandFailure> {
    let added =
        split_pairs(wanted.add_config.as_deref().unwrap_or_default()).map_err(CommandFailure::Usage)?;
    let with_value =
        [(SET, &wanted.set), (SET, &added), (APPEND, &wanted.append), (SUBTRACT, &wanted.subtract)];
    let mut changes = Vec::new();
    for (operation, pairs) in with_value {
        for KeyValue { key, value } in pairs {
            changes.push(Change { key: key.clone(), operation, value: Some(value.clone()) });
        }
    }
    for key in wanted.unset.iter().chain(&wanted.delete_config) {
        changes.push(Change { key: key.clone(), operation: UNSET, value: None });
    }
    match changes.is_empty() {
        true => Err(CommandFailure::Usage("say what to change: --set KEY=VALUE or --unset KEY".to_owned())),
        false => Ok(changes),
    }
}

/// `a=1,b=[x,y],c=` as pairs: a comma within brackets belongs to the value.
fn split_pairs(text: &str) -> Result<Vec<KeyValue>, String> {
    let mut pairs = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let key_end = rest.find('=').ok_or_else(|| format!("{rest:?}: write KEY=VALUE"))?;
        let value_start = &rest[key_end + 1..];
        let (value, behind) = match value_start.strip_prefix('[') {
            Some(list) => {
                list.split_once(']').ok_or_else(|| format!("{rest:?}: the list does not end with ]"))?
            }
            None => value_start.split_at(value_start.find(',').unwrap_or(value_start.len())),
        };
        pairs.push(format!("{}={value}", &rest[..key_end]).parse()?);
        rest = behind.strip_prefix(',').unwrap_or(behind);
    }
    Ok(pairs)
}

#[derive(Serialize)]
struct Altered {
    entity: String,
    changes: usize,
    dry_run: bool,
}

fn alter(
    cluster: &mut Cluster,
    entity: &Entity,
    changes: &[Change],
    dry_run: bool,
    format: Format,
    sink: &mut dyn Write,
) -> Result<(), CommandFailure> {
    let name = entity.resource_name();
    let configs = changes.iter().map(|change| AlterableConfig {
        name: &change.key,
        config_operation: change.operation,
        value: change.value.as_deref(),
    });
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: entity.resource_type(),
            resource_name: &name,
            configs: configs.collect(),
        }],
        validate_only: dry_run,
    };
    let target = entity.target(cluster)?;
    let answer = cluster.ask(target, &request)?;
    for result in answer.read(IncrementalAlterConfigsResponse::decode)?.responses {
        ClientFailure::check(result.error_code, || entity.words(), result.error_message)?;
    }
    show(&Altered { entity: entity.words(), changes: changes.len(), dry_run }, format, sink)
}

impl Report for Altered {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        let Altered { entity, changes, dry_run } = self;
        let plural = if *changes == 1 { "" } else { "s" };
        match dry_run {
            true => writeln!(sink, "{entity} could have {changes} change{plural}"),
            false => writeln!(sink, "changed {changes} value{plural} of {entity}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_list_of_pairs_is_taken_apart_with_lists_in_brackets_whole() {
        let pairs = split_pairs("a=1,cleanup.policy=[compact,delete],c=").unwrap();
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("cleanup.policy", "compact,delete"), ("c", "")]);
        assert_eq!(split_pairs(""), Ok(vec![]));
        for wrong in ["a", "a=1,b", "a=[x", "=1"] {
            assert!(split_pairs(wrong).is_err(), "{wrong}");
        }
    }
}
