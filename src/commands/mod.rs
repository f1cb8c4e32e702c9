//! The commands besides `start`, one file each.
//!
//! ```text
//!   arguments ──► kafka_spelling ──► clap ──► command ──► client or files ──► Report ──► table or JSON
//! ```
//!
//! Reading order:
//! - [`arguments`], [`kafka_spelling`]: what commands have in common, and Kafka's words for it
//! - [`output`], [`table`], [`failure`]: what is printed, and how a command ends
//! - [`topic`], [`cluster`], [`config`], [`group`]: what a cluster holds
//! - [`produce`] with [`line_format`], [`consume`] with [`record_format`]: records in and out
//! - [`dump_log`], [`verify`]: what is in the files of a data directory, and whether it is whole
//! - [`import`]: a stopped Kafka broker's directories become a data directory
//! - [`doctor`]: whether this host is fit for a broker
//! - [`time`]: moments as people write them
//! - [`completions`]: for shells
//!
//! Always true: a command writes its result to standard output and nothing else; problems go to standard error; a
//! reader that goes away (`| head`) ends the command quietly.

pub mod arguments;
pub mod cluster;
pub mod completions;
pub mod config;
pub mod consume;
pub mod doctor;
pub mod dump_log;
pub mod failure;
pub mod group;
pub mod import;
pub mod kafka_spelling;
pub mod line_format;
pub mod output;
pub mod produce;
pub mod record_format;
pub mod table;
pub mod time;
pub mod topic;
pub mod verify;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use crate::command_line::ToolCommand;
use crate::commands::failure::CommandFailure;

/// Runs a command to its end and says how it ended.
pub fn run(command: ToolCommand) -> ExitCode {
    let mut sink = BufWriter::new(io::stdout().lock());
    let done = dispatch(command, &mut sink);
    let done = done.and_then(|code| sink.flush().map(|()| code).map_err(CommandFailure::from));
    done.unwrap_or_else(|failure| {
        if !failure.is_closed_output() {
            // Nobody may be left to read this either.
            let _ = writeln!(io::stderr(), "ringlog: {failure}");
        }
        failure.exit_code()
    })
}

fn dispatch(command: ToolCommand, sink: &mut dyn Write) -> Result<ExitCode, CommandFailure> {
    match command {
        ToolCommand::Topic(arguments) => topic::run(arguments, sink)?,
        ToolCommand::Cluster(arguments) => cluster::run(arguments, sink)?,
        ToolCommand::Config(arguments) => config::run(arguments, sink)?,
        ToolCommand::Group(arguments) => group::run(arguments, sink)?,
        ToolCommand::Produce(arguments) => produce::run(arguments, io::stdin().lock(), sink)?,
        ToolCommand::Consume(arguments) => consume::run(arguments, sink)?,
        ToolCommand::DumpLog(arguments) => dump_log::run(arguments, sink)?,
        ToolCommand::Verify(arguments) => verify::run(arguments, sink)?,
        ToolCommand::Import(arguments) => import::run(arguments, sink)?,
        ToolCommand::Doctor(arguments) => doctor::run(arguments, sink)?,
        ToolCommand::Completions(arguments) => completions::run(arguments, sink)?,
    }
    Ok(ExitCode::SUCCESS)
}
