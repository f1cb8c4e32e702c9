//! `ringlog group`: consumer groups, their members, how far they have read and how far that is behind.
//!
//! - [`list`], [`describe`]: what tells something
//! - [`reset_offsets`], [`delete`]: what changes something
//! - [`selection`]: partitions as arguments

pub mod delete;
pub mod describe;
pub mod list;
pub mod reset_offsets;
pub mod selection;

use std::io::Write;

use clap::{Args, Subcommand};

use crate::commands::arguments::BrokerArguments;
use crate::commands::failure::CommandFailure;

/// What to do with groups.
#[derive(Args, Debug)]
pub struct GroupArguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: GroupVerb,
    /// Where.
    #[command(flatten)]
    pub broker: BrokerArguments,
}

/// What can be done with groups.
#[derive(Subcommand, Debug)]
pub enum GroupVerb {
    /// List groups.
    List(list::ListArguments),
    /// Tell how far groups have read, how far that is behind, and who their members are.
    Describe(describe::DescribeArguments),
    /// Let a group without members go on elsewhere; shows what would be done unless --execute is given.
    ResetOffsets(reset_offsets::ResetArguments),
    /// Delete groups without members, with their offsets.
    Delete(delete::DeleteArguments),
    /// Forget how far a group has read topics that it no longer reads.
    DeleteOffsets(delete::DeleteOffsetsArguments),
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure`].
pub fn run(arguments: GroupArguments, sink: &mut dyn Write) -> Result<(), CommandFailure> {
    let mut cluster = arguments.broker.connect()?;
    let format = arguments.broker.format();
    match arguments.verb {
        GroupVerb::List(list) => list::run(&list, &mut cluster, format, sink),
        GroupVerb::Describe(describe) => describe::run(&describe, &mut cluster, format, sink),
        GroupVerb::ResetOffsets(reset) => reset_offsets::run(&reset, &mut cluster, format, sink),
        GroupVerb::Delete(delete) => delete::run(&delete, &mut cluster, format, sink),
        GroupVerb::DeleteOffsets(delete) => delete::run_offsets(&delete, &mut cluster, format, sink),
    }
}

/// A group, as an argument of its own or as Kafka's tool takes it.
#[derive(Args, Debug, Clone)]
pub struct GroupArgument {
    /// The group.
    #[arg(value_name = "GROUP", required_unless_present = "group_flag")]
    group: Option<String>,
    /// The group, as Kafka's tool takes it.
    #[arg(long = "group", value_name = "GROUP", conflicts_with = "group", hide = true)]
    group_flag: Option<String>,
}

impl GroupArgument {
    /// Its name.
    pub fn name(&self) -> &str {
        self.group.as_deref().or(self.group_flag.as_deref()).unwrap_or_default()
    }
}

/// Groups, as arguments or as Kafka's tool takes them; perhaps none.
#[derive(Args, Debug, Clone)]
pub struct GroupsArgument {
    /// The groups.
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,
    /// A group, as Kafka's tool takes it.
    #[arg(long = "group", value_name = "GROUP", hide = true)]
    group_flags: Vec<String>,
}

impl GroupsArgument {
    /// Their names.
    pub fn names(&self) -> Vec<&str> {
        self.groups.iter().chain(&self.group_flags).map(String::as_str).collect()
    }
}
