//! The `ringlog-bench` program.

use std::process::ExitCode;

use clap::Parser;
use ringlog_bench::command_line::CommandLine;
use ringlog_bench::commands;

fn main() -> ExitCode {
    match commands::run(&CommandLine::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("ringlog-bench: {failure}");
            ExitCode::from(2)
        }
    }
}
