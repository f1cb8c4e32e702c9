//! The `ringlog` program.

use std::process::ExitCode;

use clap::Parser;
use ringlog::command_line::{Command, CommandLine, StartArguments};
use ringlog::commands;
use ringlog::commands::kafka_spelling;
use ringlog::start::start;

fn main() -> ExitCode {
    let line = CommandLine::parse_from(kafka_spelling::translated(std::env::args_os()));
    match line.command {
        Some(Command::Start(arguments)) => start(&arguments),
        Some(Command::Tool(command)) => commands::run(command),
        None => start(&StartArguments::default()),
    }
}
