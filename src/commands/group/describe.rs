//! `ringlog group describe`: offsets with their lag, and members with what is assigned to them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use clap::Args;
use ringlog_core::error_code::ErrorCode;
use serde::Serialize;

use crate::client::ClientFailure;
use crate::client::cluster::{Cluster, MissingTopics};
use crate::client::coordinator::committed_offsets;
use crate::client::groups::{GroupMember, ListedGroup, describe_group, list_groups};
use crate::client::offsets::{OffsetSpec, PartitionName, find_offsets};
use crate::commands::failure::CommandFailure;
use crate::commands::group::GroupsArgument;
use crate::commands::output::{Format, Report, show};
use crate::commands::table::{Align, Table, or_dash, printable};

/// Which groups to tell about.
#[derive(Args, Debug)]
pub struct DescribeArguments {
    /// Their names; without any, all groups.
    #[command(flatten)]
    pub groups: GroupsArgument,
    /// All groups.
    #[arg(long, hide = true)]
    pub all_groups: bool,
    /// Print members instead of offsets.
    #[arg(long, conflicts_with = "state")]
    pub members: bool,
    /// Print the state alone.
    #[arg(long)]
    pub state: bool,
    /// Print offsets, which is what is done anyway.
    #[arg(long, hide = true)]
    pub offsets: bool,
}

#[derive(Serialize)]
struct Described {
    groups: Vec<GroupReport>,
    #[serde(skip)]
    shows: Shows,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    Offsets,
    Members,
    State,
}

#[derive(Serialize)]
struct GroupReport {
    group: String,
    state: String,
    /// Null from brokers that do not tell.
    r#type: Option<String>,
    assignor: Option<String>,
    /// Null for groups whose members this program cannot ask for.
    members: Option<Vec<MemberReport>>,
    offsets: Vec<OffsetReport>,
}

#[derive(Serialize)]
struct MemberReport {
    member_id: String,
    instance_id: Option<String>,
    client_id: String,
    host: String,
    partitions: Vec<String>,
}

#[derive(Serialize)]
struct OffsetReport {
    topic: String,
    partition: i32,
    /// Null if none was committed.
    committed_offset: Option<i64>,
    /// Null if the partition is gone.
    end_offset: Option<i64>,
    lag: Option<i64>,
    member_id: Option<String>,
    metadata: String,
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
    let listed: BTreeMap<String, ListedGroup> =
        list_groups(cluster)?.into_iter().map(|group| (group.group.clone(), group)).collect();
    let names = arguments.groups.names();
    let names: Vec<&str> = match names.is_empty() {
        true => listed.keys().map(String::as_str).collect(),
        false => names,
    };
    let mut groups = Vec::new();
    for name in names {
        groups.push(describe(cluster, name, listed.get(name))?);
    }
    let shows = match (arguments.members, arguments.state) {
        (true, _) => Shows::Members,
        (_, true) => Shows::State,
        _ => Shows::Offsets,
    };
    show(&Described { groups, shows }, format, sink)
}

fn describe(
    cluster: &mut Cluster,
    name: &str,
    listed: Option<&ListedGroup>,
) -> Result<GroupReport, ClientFailure> {
    let Some(listed) = listed else {
        let code = ErrorCode::GroupIdNotFound.number();
        return Err(ClientFailure::Refused { subject: format!("group {name}"), code, words: None });
    };
    // Groups of the newer protocol are not described by the API of the older: their offsets are the same.
    let is_described = listed.kind.is_empty() || listed.kind.eq_ignore_ascii_case("classic");
    let described = is_described.then(|| describe_group(cluster, name)).transpose()?;
    let members = described.as_ref().map(|described| described.members.as_slice());
    let offsets = offsets(cluster, name, members.unwrap_or_default())?;
    Ok(GroupReport {
        group: name.to_owned(),
        state: described.as_ref().map_or(&listed.state, |described| &described.state).clone(),
        r#type: (!listed.kind.is_empty()).then(|| listed.kind.to_ascii_lowercase()),
        assignor: described.as_ref().map(|described| described.assignor.clone()),
        members: members.map(|members| members.iter().map(MemberReport::of_member).collect()),
        offsets,
    })
}

fn offsets(
    cluster: &mut Cluster,
    group: &str,
    members: &[GroupMember],
) -> Result<Vec<OffsetReport>, ClientFailure> {
    let committed = committed_offsets(cluster, group)?;
    let mut owners = BTreeMap::new();
    for member in members {
        owners.extend(member.partitions.iter().map(|name| (name.clone(), member.member_id.clone())));
    }
    let names: BTreeSet<PartitionName> = committed.keys().chain(owners.keys()).cloned().collect();
    let existing = existing(cluster, &names)?;
    let ends = find_offsets(cluster, &existing, OffsetSpec::Latest)?;
    let report = |name: PartitionName| {
        let known = committed.get(&name);
        let committed_offset = known.map(|committed| committed.offset);
        let end_offset = ends.get(&name).and_then(|found| found.offset);
        OffsetReport {
            committed_offset,
            end_offset,
            lag: end_offset.zip(committed_offset).map(|(end, committed)| (end - committed).max(0)),
            member_id: owners.get(&name).cloned(),
            metadata: known.map(|committed| committed.metadata.clone()).unwrap_or_default(),
            topic: name.topic,
            partition: name.partition,
        }
    };
    Ok(names.into_iter().map(report).collect())
}

/// The partitions that have not been deleted since.
fn existing(
    cluster: &mut Cluster,
    names: &BTreeSet<PartitionName>,
) -> Result<Vec<PartitionName>, ClientFailure> {
    let topics: BTreeSet<&str> = names.iter().map(|name| name.topic.as_str()).collect();
    let topics: Vec<&str> = topics.into_iter().collect();
    let metadata = cluster.metadata(Some(&topics), MissingTopics::Leave)?;
    let exists = |name: &&PartitionName| {
        metadata.topic(&name.topic).is_ok_and(|topic| topic.partition(name.partition).is_ok())
    };
    Ok(names.iter().filter(exists).cloned().collect())
}

impl MemberReport {
    fn of_member(member: &GroupMember) -> MemberReport {
        let partitions = member.partitions.iter().map(|name| format!("{}-{}", name.topic, name.partition));
        MemberReport {
            member_id: member.member_id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            host: member.host.clone(),
            partitions: partitions.collect(),
        }
    }
}

impl Report for Described {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        for (index, group) in self.groups.iter().enumerate() {
            if index > 0 {
                writeln!(sink)?;
            }
            group.write_head(sink)?;
            match self.shows {
                Shows::Offsets => group.write_offsets(sink)?,
                Shows::Members => group.write_members(sink)?,
                Shows::State => {}
            }
        }
        Ok(())
    }
}

impl GroupReport {
    fn write_head(&self, sink: &mut dyn Write) -> io::Result<()> {
        let lag: i64 = self.offsets.iter().filter_map(|offset| offset.lag).sum();
        write!(sink, "group {}, {}", printable(&self.group), printable(&self.state))?;
        if let Some(kind) = &self.r#type {
            write!(sink, ", {}", printable(kind))?;
        }
        if let Some(members) = &self.members {
            write!(sink, ", {} members", members.len())?;
        }
        writeln!(sink, ", lag {lag}")
    }

    fn write_offsets(&self, sink: &mut dyn Write) -> io::Result<()> {
        let columns = [
            ("TOPIC", Align::Left),
            ("PARTITION", Align::Right),
            ("COMMITTED", Align::Right),
            ("END", Align::Right),
            ("LAG", Align::Right),
            ("MEMBER", Align::Left),
        ];
        let mut table = Table::new(&columns);
        for offset in &self.offsets {
            table.row([
                offset.topic.clone(),
                offset.partition.to_string(),
                or_dash(offset.committed_offset),
                or_dash(offset.end_offset),
                or_dash(offset.lag),
                or_dash(offset.member_id.as_deref()),
            ]);
        }
        table.write(sink)
    }

    fn write_members(&self, sink: &mut dyn Write) -> io::Result<()> {
        let Some(members) = &self.members else {
            return writeln!(sink, "its members cannot be asked for with the older protocol");
        };
        let columns = [
            ("MEMBER", Align::Left),
            ("INSTANCE", Align::Left),
            ("CLIENT", Align::Left),
            ("HOST", Align::Left),
            ("PARTITIONS", Align::Left),
        ];
        let mut table = Table::new(&columns);
        for member in members {
            table.row([
                member.member_id.clone(),
                or_dash(member.instance_id.as_deref()),
                member.client_id.clone(),
                member.host.clone(),
                member.partitions.join(","),
            ]);
        }
        table.write(sink)
    }
}
