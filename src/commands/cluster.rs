//! `ringlog cluster`: brokers, the controller, and what each broker serves.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use ringlog_net::protocol::ApiKey;
use serde::Serialize;

use crate::client::cluster::{Cluster, MissingTopics, Target};
use crate::commands::arguments::BrokerArguments;
use crate::commands::failure::CommandFailure;
use crate::commands::output::{Report, show};
use crate::commands::table::{Align, Table, or_dash, printable};

/// What to tell about a cluster.
#[derive(Args, Debug)]
pub struct ClusterArguments {
    /// What to tell.
    #[command(subcommand)]
    pub verb: ClusterVerb,
    /// Where.
    #[command(flatten)]
    pub broker: BrokerArguments,
}

/// What there is to tell about a cluster.
#[derive(Subcommand, Debug)]
pub enum ClusterVerb {
    /// The cluster's id, its brokers and its controller.
    Describe,
    /// The cluster's id alone.
    #[command(visible_alias = "cluster-id")]
    Id,
    /// The APIs that each broker serves, and their versions.
    #[command(visible_alias = "api-versions")]
    Apis,
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure`].
pub fn run(arguments: ClusterArguments, sink: &mut dyn Write) -> Result<(), CommandFailure> {
    let mut cluster = arguments.broker.connect()?;
    let format = arguments.broker.format();
    match arguments.verb {
        ClusterVerb::Describe => show(&describe(&mut cluster)?, format, sink),
        ClusterVerb::Id => show(&ClusterId { cluster_id: describe(&mut cluster)?.cluster_id }, format, sink),
        ClusterVerb::Apis => show(&apis(&mut cluster)?, format, sink),
    }
}

#[derive(Serialize)]
struct ClusterReport {
    cluster_id: Option<String>,
    controller_id: Option<i32>,
    brokers: Vec<BrokerReport>,
    topics: usize,
    partitions: usize,
}

#[derive(Serialize)]
struct BrokerReport {
    id: i32,
    host: String,
    port: u16,
    rack: Option<String>,
    is_controller: bool,
    partitions_led: usize,
}

fn describe(cluster: &mut Cluster) -> Result<ClusterReport, CommandFailure> {
    let metadata = cluster.metadata(None, MissingTopics::Leave)?;
    let partitions = || metadata.topics.iter().flat_map(|topic| &topic.partitions);
    let brokers = metadata.brokers.iter().map(|(id, broker)| BrokerReport {
        id: *id,
        host: broker.address.host.clone(),
        port: broker.address.port,
        rack: broker.rack.clone(),
        is_controller: metadata.controller_id == Some(*id),
        partitions_led: partitions().filter(|partition| partition.leader == Some(*id)).count(),
    });
    Ok(ClusterReport {
        brokers: brokers.collect(),
        topics: metadata.topics.len(),
        partitions: partitions().count(),
        cluster_id: metadata.cluster_id.clone(),
        controller_id: metadata.controller_id,
    })
}

impl Report for ClusterReport {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        let id = self.cluster_id.as_deref().map(printable);
        writeln!(
            sink,
            "cluster {}, controller {}, {} topics, {} partitions",
            or_dash(id),
            or_dash(self.controller_id),
            self.topics,
            self.partitions
        )?;
        let columns = [
            ("BROKER", Align::Right),
            ("HOST", Align::Left),
            ("PORT", Align::Right),
            ("RACK", Align::Left),
            ("LEADS", Align::Right),
            ("", Align::Left),
        ];
        let mut table = Table::new(&columns);
        for broker in &self.brokers {
            table.row([
                broker.id.to_string(),
                broker.host.clone(),
                broker.port.to_string(),
                or_dash(broker.rack.as_deref()),
                broker.partitions_led.to_string(),
                if broker.is_controller { "controller".to_owned() } else { String::new() },
            ]);
        }
        table.write(sink)
    }
}

#[derive(Serialize)]
struct ClusterId {
    cluster_id: Option<String>,
}

impl Report for ClusterId {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        writeln!(sink, "{}", or_dash(self.cluster_id.as_deref().map(printable)))
    }
}

#[derive(Serialize)]
struct ApisReport {
    brokers: Vec<BrokerApis>,
}

#[derive(Serialize)]
struct BrokerApis {
    id: i32,
    address: String,
    apis: Vec<ServedApi>,
}

#[derive(Serialize)]
struct ServedApi {
    key: i16,
    /// Null for an API that this program does not know.
    name: Option<String>,
    version_min: i16,
    version_max: i16,
}

fn apis(cluster: &mut Cluster) -> Result<ApisReport, CommandFailure> {
    let metadata = cluster.metadata(Some(&[]), MissingTopics::Leave)?;
    let mut brokers = Vec::new();
    for (id, broker) in &metadata.brokers {
        let served = cluster.connection(Target::Broker(*id))?.served();
        let apis = served.iter().map(|(key, versions)| ServedApi {
            key: *key,
            name: ApiKey::from_wire(*key).map(ApiKey::name),
            version_min: versions.first,
            version_max: versions.last,
        });
        brokers.push(BrokerApis { id: *id, address: broker.address.to_string(), apis: apis.collect() });
    }
    Ok(ApisReport { brokers })
}

impl Report for ApisReport {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        for broker in &self.brokers {
            writeln!(sink, "broker {} at {}", broker.id, printable(&broker.address))?;
            let mut table =
                Table::new(&[("KEY", Align::Right), ("API", Align::Left), ("VERSIONS", Align::Left)]);
            for api in &broker.apis {
                let versions = format!("{} to {}", api.version_min, api.version_max);
                table.row([api.key.to_string(), or_dash(api.name.as_deref()), versions]);
            }
            table.write(sink)?;
        }
        Ok(())
    }
}
