//! `ringlog doctor`: is this host fit for a broker, and what would make it better?
//!
//! ```text
//!   the host ──► readings (text of /proc and /sys, limits, a short measurement) ──► findings ──► a line each, with advice
//! ```
//!
//! - [`readings`]: asks the host
//! - [`findings`]: judges, without looking at anything itself
//! - [`mounts`]: which file system a directory lies on
//!
//! Always true: it needs no broker and leaves nothing behind; what cannot be found out is said to be unknown, never guessed.

pub mod findings;
pub mod mounts;
pub mod readings;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::commands::doctor::findings::{Finding, Level, findings_of, findings_of_directory};
use crate::commands::doctor::readings::Readings;
use crate::commands::failure::CommandFailure;
use crate::commands::output::{Format, Report, show};

/// What to look at.
#[derive(Args, Debug)]
pub struct DoctorArguments {
    /// Where the data lies or shall lie; again, or with commas, for each further disk.
    #[arg(long, value_name = "DIR", default_value = "./data", value_delimiter = ',')]
    pub data_dir: Vec<PathBuf>,
    /// How many synced writes to time; 0 times none.
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    pub writes: usize,
    /// Print JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct Diagnosis {
    data_dir: String,
    /// Where it was measured: the directory itself, or the nearest one above it that exists.
    measured_in: String,
    findings: Vec<Finding>,
}

/// Runs it.
///
/// # Errors
/// [`CommandFailure::Unfit`] if a broker could not run here; all findings were shown then.
pub fn run(arguments: DoctorArguments, sink: &mut dyn Write) -> Result<(), CommandFailure> {
    let mut problem_count = 0;
    for (index, data_dir) in arguments.data_dir.iter().enumerate() {
        let readings = Readings::take(data_dir, arguments.writes);
        let diagnosis = Diagnosis {
            data_dir: data_dir.display().to_string(),
            measured_in: readings.directory.display().to_string(),
            findings: if index == 0 { findings_of(&readings) } else { findings_of_directory(&readings) },
        };
        if index > 0 && !arguments.json {
            writeln!(sink, "\n{}", diagnosis.data_dir)?;
        }
        show(&diagnosis, Format::of_flag(arguments.json), sink)?;
        let problems = diagnosis.findings.iter().filter(|finding| finding.level == Level::Problem);
        problem_count += problems.count();
    }
    match problem_count {
        0 => Ok(()),
        count => Err(CommandFailure::Unfit { count }),
    }
}

impl Report for Diagnosis {
    fn write_text(&self, sink: &mut dyn Write) -> io::Result<()> {
        if self.measured_in != self.data_dir {
            writeln!(sink, "{} does not exist yet; looking at {}", self.data_dir, self.measured_in)?;
        }
        for finding in &self.findings {
            writeln!(sink, "{:<8} {:<14} {}", finding.level.name(), finding.subject, finding.found)?;
            if let Some(advice) = &finding.advice {
                writeln!(sink, "{:<23} {advice}", "")?;
            }
        }
        Ok(())
    }
}
