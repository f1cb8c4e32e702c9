//! The `ringlog` program.

use std::process::ExitCode;

use clap::Parser;
use ringlog::command_line::{Command, CommandLine, StartArguments};
use ringlog::start::start;

fn main() -> ExitCode {
    match CommandLine::parse().command {
        Some(Command::Start(arguments)) => start(&arguments),
        None => start(&StartArguments::default()),
    }
}
