//! `ringlog topic describe`: leaders and replicas of each partition, and what the topic itself is configured with.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Args;
use ringlog_net::protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
};
use serde::Serialize;

use crate::client::ClientFailure;
use crate::client::cluster::{Cluster, MissingTopics, Target};
use crate::client::metadata::{PartitionMetadata, TopicMetadata};
use crate::commands::arguments::TopicsArgument;
use crate::commands::failure::CommandFailure;
use crate::commands::output::{Format, Report, show};
use crate::commands::table::{Align, Table, joined, or_dash, printable};

/// Kafka's number for the configuration of a topic.
const TOPIC_RESOURCE: i8 = 2;
/// Kafka's number for a value that was set for the topic itself.
const TOPIC_SOURCE: i8 = 1;

/// Which topics to tell about.
#[derive(Args, Debug)]
pub struct DescribeArguments {
    /// Their names; without any, all topics.
    #[command(flatten)]
    pub topics: TopicsArgument,
    /// Only partitions that lack a replica in sync.
    #[arg(long)]
    pub under_replicated_partitions: bool,
    /// Only partitions that nobody leads.
    #[arg(long)]
    pub unavailable_partitions: bool,
    /// Leave out the brokers' own topics.
    #[arg(long)]
    pub exclude_internal: bool,
}

#[derive(Serialize)]
struct Described {
    topics: Vec<DescribedTopic>,
}

#[derive(Serialize)]
struct DescribedTopic {
    name: String,
    id: Option<String>,
    is_internal: bool,
    replication_factor: usize,
    /// What was set for the topic itself; null from brokers that do not tell.
    configs: Option<BTreeMap<String, Option<String>>>,
    partitions: Vec<DescribedPartition>,
}

#[derive(Serialize)]
struct DescribedPartition {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: i32,
    replicas: Vec<i32>,
    in_sync_replicas: Vec<i32>,
    offline_replicas: Vec<i32>,
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure`].
pub fn run(
    arguments: &DescribeArguments,
    cluster: &mut Cluster,
    format: Format,
    sink: &mut dyn Write,
) -> Result<(), CommandFailure> {
    let names = arguments.topics.names();
    let asked = (!names.is_empty()).then_some(names.as_slice());
    let metadata = cluster.metadata(asked, MissingTopics::Leave)?;
    for name in &names {
        metadata.topic(name)?;
    }
    let wanted = metadata.topics.iter().filter(|topic| !(arguments.exclude_internal && topic.is_internal));
    let mut topics: Vec<DescribedTopic> = wanted.map(|topic| described(topic, arguments)).collect();
    if arguments.under_replicated_partitions || arguments.unavailable_partitions {
        topics.retain(|topic| !topic.partitions.is_empty());
    }
    add_configs(cluster, &mut topics)?;
    show(&Described { topics }, format, sink)
}

fn described(topic: &TopicMetadata, arguments: &DescribeArguments) -> DescribedTopic {
    let wanted = |partition: &&PartitionMetadata| {
        let lacks_a_replica = partition.in_sync_replicas.len() < partition.replicas.len();
        (!arguments.under_replicated_partitions || lacks_a_replica)
            && (!arguments.unavailable_partitions || partition.leader.is_none())
    };
    let partitions = topic.partitions.iter().filter(wanted).map(|partition| DescribedPartition {
        partition: partition.index,
        leader: partition.leader,
        leader_epoch: partition.leader_epoch,
        replicas: partition.replicas.clone(),
        in_sync_replicas: partition.in_sync_replicas.clone(),
        offline_replicas: partition.offline_replicas.clone(),
    });
    DescribedTopic {
        name: topic.name.clone(),
        id: topic.id.map(|id| id.to_string()),
        is_internal: topic.is_internal,
        replication_factor: topic.replication_factor(),
        configs: None,
        partitions: partitions.collect(),
    }
}

/// Asks what was set for the topics, where the broker tells such things.
fn add_configs(cluster: &mut Cluster, topics: &mut [DescribedTopic]) -> Result<(), ClientFailure> {
    if topics.is_empty() {
        return Ok(());
    }
    let resource = |topic: &DescribedTopic| topic.name.clone();
    let names: Vec<String> = topics.iter().map(resource).collect();
    let resources = names.iter().map(|name| DescribeConfigsResource {
        resource_type: TOPIC_RESOURCE,
        resource_name: name,
        configuration_keys: None,
    });
    let request =
        DescribeConfigsRequest { resources: resources.collect(), ..DescribeConfigsRequest::default() };
    let answer = match cluster.ask(Target::Any, &request) {
        Err(ClientFailure::NotServed { .. }) => return Ok(()),
        answer => answer?,
    };
    for result in answer.read(DescribeConfigsResponse::decode)?.results {
        let topic = topics.iter_mut().find(|topic| topic.name == result.resource_name);
        let (Some(topic), 0) = (topic, result.error_code) else { continue };
        let own = result.configs.iter().filter(|config| config.config_source == TOPIC_SOURCE);
        let pairs = own.map(|config| (config.name.to_owned(), config.value.map(str::to_owned)));
        topic.configs = Some(pairs.collect());
    }
    Ok(())
}

impl Report for Described {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        for (index, topic) in self.topics.iter().enumerate() {
            if index > 0 {
                writeln!(sink)?;
            }
            topic.write_text(sink)?;
        }
        Ok(())
    }
}

impl DescribedTopic {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        writeln!(
            sink,
            "topic {}, id {}, replication factor {}{}",
            printable(&self.name),
            or_dash(self.id.as_deref()),
            self.replication_factor,
            if self.is_internal { ", the broker's own" } else { "" }
        )?;
        for (key, value) in self.configs.iter().flatten() {
            writeln!(sink, "  {} = {}", printable(key), printable(value.as_deref().unwrap_or("")))?;
        }
        let columns = [
            ("PARTITION", Align::Right),
            ("LEADER", Align::Right),
            ("EPOCH", Align::Right),
            ("REPLICAS", Align::Left),
            ("IN SYNC", Align::Left),
            ("OFFLINE", Align::Left),
        ];
        let mut table = Table::new(&columns);
        for partition in &self.partitions {
            table.row([
                partition.partition.to_string(),
                or_dash(partition.leader),
                partition.leader_epoch.to_string(),
                joined(&partition.replicas),
                joined(&partition.in_sync_replicas),
                joined(&partition.offline_replicas),
            ]);
        }
        table.write(sink)
    }
}
