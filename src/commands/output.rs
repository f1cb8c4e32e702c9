//! What a command prints: a table for people, or one JSON document for programs.

use std::io::{self, Write};

use serde::Serialize;

use crate::commands::failure::CommandFailure;

/// For whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// People.
    Text,
    /// Programs.
    Json,
}

impl Format {
    /// As the flag says.
    pub fn of_flag(json: bool) -> Format {
        if json { Format::Json } else { Format::Text }
    }
}

/// A command's result: its fields are the JSON document.
pub trait Report: Serialize {
    /// Writes it for people.
    ///
    /// # Errors
    /// What the sink says.
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()>;
}

/// Prints a result.
///
/// # Errors
/// What the sink says.
pub fn show(report: &impl Report, format: Format, sink: &mut dyn Write) -> Result<(), CommandFailure> {
    match format {
        Format::Text => report.write_text(sink)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *sink, report)?;
            writeln!(sink)?;
        }
    }
    Ok(())
}

/// Prints one of a row of results: of JSON documents one a line.
///
/// # Errors
/// What the sink says.
pub fn show_next(report: &impl Report, format: Format, sink: &mut dyn Write) -> Result<(), CommandFailure> {
    match format {
        Format::Text => report.write_text(sink)?,
        Format::Json => {
            serde_json::to_writer(&mut *sink, report)?;
            sink.write_all(b"\n")?;
        }
    }
    Ok(())
}
