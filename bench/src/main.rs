//! The `ringlog-bench` program.

use std::process::ExitCode;

use clap::Parser;
use ringlog_bench::command_line::CommandLine;
use ringlog_bench::commands;
use ringlog_bench::failure::BenchFailure;
use ringlog_bench::outcome::Reader;
use ringlog_bench::progress::Progress;

fn main() -> ExitCode {
    match measure(&CommandLine::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("ringlog-bench: {failure}");
            ExitCode::from(2)
        }
    }
}

/// Measures and tells; whether the run counts.
fn measure(line: &CommandLine) -> Result<bool, BenchFailure> {
    let outcome = commands::run(&line.command)?;
    Progress::new(outcome.own.quiet).end();
    outcome.save()?;
    let reader = if outcome.own.json { Reader::Program } else { Reader::Person };
    print!("{}", outcome.printed(reader));
    Ok(outcome.counts())
}
