//! `ringlog group delete` and `delete-offsets`.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::client::cluster::Cluster;
use crate::client::groups::{delete_group, delete_offsets};
use crate::commands::failure::CommandFailure;
use crate::commands::group::selection::{TopicSelection, selected};
use crate::commands::group::{GroupArgument, GroupsArgument};
use crate::commands::output::{Format, Report, show};

/// Which groups to delete.
#[derive(Args, Debug)]
pub struct DeleteArguments {
    /// Their names.
    #[command(flatten)]
    pub groups: GroupsArgument,
}

/// Which offsets to delete.
#[derive(Args, Debug)]
pub struct DeleteOffsetsArguments {
    /// The group.
    #[command(flatten)]
    pub group: GroupArgument,
    /// Of which topic, and perhaps of which of its partitions.
    #[arg(short, long, value_name = "TOPIC[:PARTITION,...]", required = true)]
    pub topic: Vec<TopicSelection>,
}

#[derive(Serialize)]
struct Deleted {
    groups: Vec<DeletedGroup>,
}

#[derive(Serialize)]
struct DeletedGroup {
    group: String,
    /// Null if it was deleted.
    error: Option<String>,
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure`]; of several groups all are tried.
pub fn run(
    arguments: &DeleteArguments,
    cluster: &mut Cluster,
    format: Format,
    sink: &mut dyn Write,
) -> Result<(), CommandFailure> {
    let names = arguments.groups.names();
    match names.as_slice() {
        [] => return Err(CommandFailure::Usage("say which group to delete".to_owned())),
        [only] => {
            delete_group(cluster, only)?;
            let deleted = DeletedGroup { group: (*only).to_owned(), error: None };
            return show(&Deleted { groups: vec![deleted] }, format, sink);
        }
        _ => {}
    }
    let mut groups = Vec::new();
    for name in &names {
        let error = delete_group(cluster, name).err().map(|failure| failure.to_string());
        groups.push(DeletedGroup { group: (*name).to_owned(), error });
    }
    let failed = groups.iter().filter(|group| group.error.is_some()).count();
    show(&Deleted { groups }, format, sink)?;
    match failed {
        0 => Ok(()),
        failed => Err(CommandFailure::Partly { failed, count: names.len() }),
    }
}

impl Report for Deleted {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        self.groups.iter().try_for_each(|group| match &group.error {
            None => writeln!(sink, "deleted group {}", group.group),
            Some(error) => writeln!(sink, "{error}"),
        })
    }
}

#[derive(Serialize)]
struct DeletedOffsets {
    group: String,
    partitions: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure`].
pub fn run_offsets(
    arguments: &DeleteOffsetsArguments,
    cluster: &mut Cluster,
    format: Format,
    sink: &mut dyn Write,
) -> Result<(), CommandFailure> {
    let group = arguments.group.name();
    let names = selected(cluster, &arguments.topic)?;
    delete_offsets(cluster, group, &names)?;
    let partitions = names.iter().map(|name| format!("{}-{}", name.topic, name.partition)).collect();
    show(&DeletedOffsets { group: group.to_owned(), partitions }, format, sink)
}

impl Report for DeletedOffsets {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        writeln!(sink, "group {} forgot its offsets of {}", self.group, self.partitions.join(", "))
    }
}
