//! How a command can fail, and what it tells the shell.

use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::client::ClientFailure;

/// Exit codes. `docs/command-line.md` lists them for people; 0 is success, 2 is clap's for arguments it cannot use.
pub mod exit_codes {
    /// The broker refused, or a file cannot be read.
    pub const FAILED: u8 = 1;
    /// The arguments contradict each other or the input.
    pub const USAGE: u8 = 2;
    /// No broker was reached, or one stopped answering.
    pub const UNREACHABLE: u8 = 3;
    /// The broker does not serve what the command needs.
    pub const NOT_SERVED: u8 = 4;
    /// Something that was looked at is not as it should be: damaged files, an unfit host.
    pub const NOT_WELL: u8 = 5;
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub enum CommandFailure {
    /// A broker could not be asked, or refused.
    Client(ClientFailure),
    /// Arguments that clap accepts and that are wrong together.
    Usage(String),
    /// Something given to the command cannot be read.
    Input(String),
    /// Files are damaged; where was shown already.
    Damaged {
        /// In how many places.
        count: usize,
    },
    /// A broker cannot run on this host; why was shown already.
    Unfit {
        /// How many problems there are.
        count: usize,
    },
    /// Some of several things failed; each was told already.
    Partly {
        /// How many failed.
        failed: usize,
        /// Of how many.
        count: usize,
    },
    /// The result cannot be written.
    Output(io::Error),
}

impl CommandFailure {
    /// Whether the reader of the result went away.
    pub fn is_closed_output(&self) -> bool {
        matches!(self, CommandFailure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What the shell is told. A reader that went away has what it wanted: no failure.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            closed if closed.is_closed_output() => ExitCode::SUCCESS,
            CommandFailure::Usage(_) => exit_codes::USAGE.into(),
            CommandFailure::Client(ClientFailure::NotServed { .. }) => exit_codes::NOT_SERVED.into(),
            CommandFailure::Client(
                ClientFailure::Unreachable { .. }
                | ClientFailure::Lost { .. }
                | ClientFailure::Garbled { .. },
            ) => exit_codes::UNREACHABLE.into(),
            CommandFailure::Damaged { .. } | CommandFailure::Unfit { .. } => exit_codes::NOT_WELL.into(),
            CommandFailure::Client(_)
            | CommandFailure::Input(_)
            | CommandFailure::Partly { .. }
            | CommandFailure::Output(_) => exit_codes::FAILED.into(),
        }
    }
}

impl fmt::Display for CommandFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandFailure::Client(failure) => failure.fmt(formatter),
            CommandFailure::Usage(words) | CommandFailure::Input(words) => formatter.write_str(words),
            CommandFailure::Damaged { count } => {
                let places = if *count == 1 { "place" } else { "places" };
                write!(formatter, "damage in {count} {places}")
            }
            CommandFailure::Unfit { count } => {
                let problems = if *count == 1 { "problem keeps" } else { "problems keep" };
                write!(formatter, "{count} {problems} a broker from running here")
            }
            CommandFailure::Partly { failed, count } => write!(formatter, "{failed} of {count} failed"),
            CommandFailure::Output(error) => write!(formatter, "the result cannot be written: {error}"),
        }
    }
}

impl std::error::Error for CommandFailure {}

impl From<ClientFailure> for CommandFailure {
    fn from(failure: ClientFailure) -> CommandFailure {
        CommandFailure::Client(failure)
    }
}

impl From<io::Error> for CommandFailure {
    fn from(error: io::Error) -> CommandFailure {
        CommandFailure::Output(error)
    }
}

impl From<serde_json::Error> for CommandFailure {
    fn from(error: serde_json::Error) -> CommandFailure {
        CommandFailure::Output(error.into())
    }
}
