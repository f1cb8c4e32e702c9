//! The subcommands, a file each.

pub mod capacity;
pub mod commits;
pub mod connections;
pub mod consume;
pub mod disk;
pub mod groups;
pub mod load;
pub mod metadata;

use crate::command_line::Command;
use crate::compare;
use crate::failure::BenchFailure;
use crate::outcome::{Outcome, Reader};
use crate::progress::Progress;
use crate::report;

/// Runs a subcommand and tells what it came to; whether that counts.
///
/// # Errors
/// [`BenchFailure`] if there is nothing to tell.
pub fn run(command: &Command) -> Result<bool, BenchFailure> {
    match command {
        Command::Load(arguments) => told(load::run(arguments)?),
        Command::Capacity(arguments) => told(capacity::run(arguments)?),
        Command::Consume(arguments) => told(consume::run(arguments)?),
        Command::Commits(arguments) => told(commits::run(arguments)?),
        Command::Groups(arguments) => told(groups::run(arguments)?),
        Command::Metadata(arguments) => told(metadata::run(arguments)?),
        Command::Connections(arguments) => told(connections::run(arguments)?),
        Command::Disk(arguments) => told(disk::run(arguments)?),
        Command::Run(arguments) => compare::session::run(arguments),
        Command::Report(arguments) => report::run(arguments),
    }
}

/// Saves and prints an outcome.
fn told(outcome: Outcome) -> Result<bool, BenchFailure> {
    Progress::new(outcome.own.quiet).end();
    outcome.save()?;
    let reader = if outcome.own.json { Reader::Program } else { Reader::Person };
    print!("{}", outcome.printed(reader));
    Ok(outcome.counts())
}
