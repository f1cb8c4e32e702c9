//! The subcommands, a file each.

pub mod capacity;
pub mod commits;
pub mod consume;
pub mod disk;
pub mod groups;
pub mod load;
pub mod metadata;

use crate::command_line::Command;
use crate::failure::BenchFailure;
use crate::outcome::Outcome;

/// Runs a subcommand.
///
/// # Errors
/// [`BenchFailure`] if there is nothing to tell.
pub fn run(command: &Command) -> Result<Outcome, BenchFailure> {
    match command {
        Command::Load(arguments) => load::run(arguments),
        Command::Capacity(arguments) => capacity::run(arguments),
        Command::Consume(arguments) => consume::run(arguments),
        Command::Commits(arguments) => commits::run(arguments),
        Command::Groups(arguments) => groups::run(arguments),
        Command::Metadata(arguments) => metadata::run(arguments),
        Command::Disk(arguments) => disk::run(arguments),
    }
}
