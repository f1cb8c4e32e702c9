//! `ringlog topic`: topics made, listed, described, changed and deleted.
//!
//! - [`create`], [`delete`], [`alter`]: what changes something
//! - [`list`], [`describe`], [`offsets`]: what tells something

pub mod alter;
pub mod create;
pub mod delete;
pub mod describe;
pub mod list;
pub mod offsets;

use std::io::Write;

use clap::{Args, Subcommand};

use crate::commands::arguments::BrokerArguments;
use crate::commands::failure::CommandFailure;

/// What to do with topics.
#[derive(Args, Debug)]
pub struct TopicArguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: TopicVerb,
    /// Where.
    #[command(flatten)]
    pub broker: BrokerArguments,
}

/// What can be done with topics.
#[derive(Subcommand, Debug)]
pub enum TopicVerb {
    /// Make a topic.
    Create(create::CreateArguments),
    /// List topics.
    List(list::ListArguments),
    /// Tell about topics: leaders, replicas, what is configured.
    Describe(describe::DescribeArguments),
    /// Tell where a topic's partitions begin and end, or where they were at a time.
    Offsets(offsets::OffsetsArguments),
    /// Give a topic more partitions.
    Alter(alter::AlterArguments),
    /// Delete topics and all their records.
    Delete(delete::DeleteArguments),
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure`].
pub fn run(arguments: TopicArguments, sink: &mut dyn Write) -> Result<(), CommandFailure> {
    let mut cluster = arguments.broker.connect()?;
    let format = arguments.broker.format();
    match arguments.verb {
        TopicVerb::Create(create) => create::run(&create, &mut cluster, format, sink),
        TopicVerb::List(list) => list::run(&list, &mut cluster, format, sink),
        TopicVerb::Describe(describe) => describe::run(&describe, &mut cluster, format, sink),
        TopicVerb::Offsets(offsets) => offsets::run(&offsets, &mut cluster, format, sink),
        TopicVerb::Alter(alter) => alter::run(&alter, &mut cluster, format, sink),
        TopicVerb::Delete(delete) => delete::run(&delete, &mut cluster, format, sink),
    }
}
