//! `ringlog completions SHELL`: what a shell needs to complete our command line.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::command_line::CommandLine;
use crate::commands::failure::CommandFailure;

/// For which shell.
#[derive(Args, Debug)]
pub struct CompletionsArguments {
    /// The shell.
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// [`CommandFailure::Output`].
pub fn run(arguments: CompletionsArguments, sink: &mut dyn Write) -> Result<(), CommandFailure> {
    // The generator panics where its sink fails, so it writes into memory: the script has some tens of KiB.
    let mut script = Vec::new();
    generate(arguments.shell, &mut CommandLine::command(), "ringlog", &mut script);
    sink.write_all(&script)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_knows_our_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let mut script = Vec::new();
            run(CompletionsArguments { shell }, &mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("topic") && script.contains("completions"), "{shell}");
        }
    }
}
