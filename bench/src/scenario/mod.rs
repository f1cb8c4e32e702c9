//! A scenario: one row of the table of goals, as a file anybody can read and change.
//!
//! ```text
//!   title = "64 partitions, 5,000/s, both synced"
//!   measure = "load --create --partitions 64 --rate 5000"      what ringlog-bench does, on both sides
//!   [ours]   broker = "ringlog"  durability = "synced"          options of one side are appended
//!   [theirs] broker = "kafka"    durability = "synced"
//!   [[reach]] figure = "publish p99"  at_most = 0.033           ours / theirs
//! ```
//!
//! Always true of a scenario that was read: its commands are commands of this program, its figures are figures, and every
//! goal has a bound. Where the brokers are, how long things take and where results go is not its business.
//!
//! Reading order: [`Scenario`], [`figure`] for what can be compared, [`goal`] for what shall be reached.

pub mod figure;
pub mod goal;
pub mod side;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use serde::{Deserialize, Serialize};

use crate::command_line::CommandLine;
use crate::failure::BenchFailure;
pub use figure::Figure;
pub use goal::Goal;
pub use side::{BrokerKind, Durability, Side};

/// One comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The file's name without its ending.
    #[serde(skip)]
    pub name: String,
    /// A line of a table.
    pub title: String,
    /// What a user would like to know.
    pub question: String,
    /// Commands of this program before each measurement, one after the other: they fill topics.
    #[serde(default)]
    pub prepare: Vec<String>,
    /// Between preparing and measuring, the broker is stopped, the page cache dropped and the broker started again.
    #[serde(default)]
    pub cold: bool,
    /// The broker is started anew, on an empty directory, for each measurement.
    #[serde(default)]
    pub fresh: bool,
    /// What is measured: a command of this program with its options, or `idle` for a broker that nobody asks.
    pub measure: String,
    /// A command of this program that runs beside it, from the beginning of the measured part on.
    #[serde(default)]
    pub beside: Option<String>,
    /// Measured at each of these values of an option: a curve instead of a row.
    #[serde(default)]
    pub series: Option<Series>,
    /// The side whose figure is divided.
    pub ours: Side,
    /// The side it is divided by.
    pub theirs: Side,
    /// What the quotients shall reach; every figure named here is reported.
    pub reach: Vec<Goal>,
}

/// An option and its values.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// Its long name: `--rate`.
    pub option: String,
    /// One measurement of each.
    pub values: Vec<f64>,
}

/// The command of a scenario that measures nothing but the broker itself.
pub const IDLE: &str = "idle";

impl Scenario {
    /// Reads one.
    ///
    /// # Errors
    /// [`BenchFailure::Arguments`] naming the file and what is wrong in it.
    pub fn read(path: &Path) -> Result<Scenario, BenchFailure> {
        let blame = |words: String| BenchFailure::Arguments(format!("{}: {words}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| blame(error.to_string()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Scenario::parse(&name, &text).map_err(blame)
    }

    /// Reads one from its text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(name: &str, text: &str) -> Result<Scenario, String> {
        let mut scenario: Scenario = toml::from_str(text).map_err(|error| error.to_string())?;
        scenario.name = name.to_owned();
        for (side, options) in [("ours", &scenario.ours.options), ("theirs", &scenario.theirs.options)] {
            for command in scenario.commands(options) {
                check(&command).map_err(|words| format!("{side}: `{command}`: {words}"))?;
            }
        }
        if scenario.reach.is_empty() {
            return Err("no [[reach]]: nothing would be reported".to_owned());
        }
        for goal in &scenario.reach {
            goal.check()?;
        }
        match &scenario.series {
            Some(series) if series.values.is_empty() || !series.option.starts_with("--") => {
                Err("series: an option such as --rate, and values".to_owned())
            }
            _ => Ok(scenario),
        }
    }

    fn commands(&self, options: &str) -> Vec<String> {
        let mut commands = self.prepare.clone();
        commands.extend(self.beside.clone());
        if self.measure != IDLE {
            commands.push(format!("{} {options}", self.measure));
        }
        commands
    }

    /// What is measured at which value; a row is a series of one.
    pub fn points(&self) -> Vec<Option<f64>> {
        match &self.series {
            None => vec![None],
            Some(series) => series.values.iter().copied().map(Some).collect(),
        }
    }
}

/// The words of a command line; scenarios need no quotes.
pub fn words(command: &str) -> impl Iterator<Item = &str> {
    command.split_whitespace()
}

/// Whether this program would take the command.
fn check(command: &str) -> Result<(), String> {
    let line = std::iter::once("ringlog-bench").chain(words(command));
    match CommandLine::try_parse_from(line) {
        Ok(line) if line.command.measures() => Ok(()),
        Ok(_) => Err("it does not measure a broker".to_owned()),
        Err(error) => Err(error.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

/// The scenarios of a folder, or of the files that were named, in order of their names.
///
/// # Errors
/// [`BenchFailure::Arguments`] if one cannot be read, or there is none.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Scenario>, BenchFailure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path)
            .map_err(|error| BenchFailure::Arguments(format!("{}: {error}", path.display())))?;
        let found = entries.flatten().map(|entry| entry.path());
        files.extend(found.filter(|path| path.extension().is_some_and(|ending| ending == "toml")));
    }
    files.sort();
    if files.is_empty() {
        return Err(BenchFailure::Arguments("no scenario: name files or a folder of *.toml".to_owned()));
    }
    files.iter().map(|path| Scenario::read(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        title = "a row"
        question = "how long?"
        measure = "load --create --partitions 64 --rate 5000"
        [ours]
        broker = "ringlog"
        durability = "synced"
        [theirs]
        broker = "kafka"
        durability = "synced"
        options = "--connections 2"
        [[reach]]
        figure = "publish p99"
        at_most = 0.033
    "#;

    #[test]
    fn a_scenario_is_what_its_file_says() {
        let scenario = Scenario::parse("row", TEXT).unwrap();
        assert_eq!((scenario.name.as_str(), scenario.points()), ("row", vec![None]));
        assert_eq!(scenario.theirs.broker, BrokerKind::Kafka);
        assert_eq!(scenario.reach[0].figure.to_string(), "publish p99");
    }

    #[test]
    fn what_could_not_be_run_is_refused_when_it_is_read() {
        for (old, new, words) in [
            ("--rate 5000", "--rate fast", "invalid value 'fast'"),
            ("--connections 2", "--nonsense", "theirs"),
            ("load --create", "report --create", "report"),
            ("publish p99", "publish p98", "publish p98"),
            ("at_most = 0.033", "", "at_most"),
            ("title", "tilte", "tilte"),
            ("\"kafka\"", "\"pulsar\"", "pulsar"),
        ] {
            let problem = Scenario::parse("row", &TEXT.replacen(old, new, 1)).unwrap_err();
            assert!(problem.contains(words), "{old} -> {new}: {problem}");
        }
    }

    #[test]
    fn every_scenario_of_this_repository_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let scenarios = read_all(&[folder]).unwrap();
        assert!(scenarios.len() > 15, "{}", scenarios.len());
    }
}
