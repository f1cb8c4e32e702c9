//! One measurement of one side: prepare, perhaps start anew with a cold cache, measure, collect.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::Parser;
use ringlog::client::cluster::pause;
use ringlog_runtime::uring::wall_clock;

use crate::command_line::{self, CommandLine, RunArguments};
use crate::compare::broker::Broker;
use crate::compare::record::{Measurement, Usage};
use crate::compare::usage::Sampler;
use crate::failure::BenchFailure;
use crate::result::{BenchResult, Verdict};
use crate::scenario::{IDLE, Scenario, Side, words};

/// A broker that has just started is left alone this long before it is called idle.
const SETTLING: Duration = Duration::from_secs(3);

/// Each measurement warms its own connections up before it counts.
const OWN_WARMUP_SECONDS: u32 = 2;

/// What is about to be measured.
pub struct Turn<'a> {
    /// How the run was asked for.
    pub arguments: &'a RunArguments,
    /// What is compared.
    pub scenario: &'a Scenario,
    /// Which side.
    pub side: &'a Side,
    /// Its broker.
    pub broker: &'a mut Broker,
    /// The value of the series.
    pub point: Option<f64>,
    /// Seconds that are measured.
    pub seconds: u32,
}

impl Turn<'_> {
    /// Measures, and leaves what came out in `folder`. A measurement that does not count is void and no error.
    ///
    /// # Errors
    /// [`BenchFailure`] if a program cannot be started or nothing can be written.
    pub fn take(mut self, folder: &Path) -> Result<Measurement, BenchFailure> {
        let lost = |error: std::io::Error| BenchFailure::Host(format!("{}: {error}", folder.display()));
        fs::create_dir_all(folder).map_err(lost)?;
        for command in &self.scenario.prepare {
            let line = self.line(command, &[]);
            let status = self.spawn(&line, &folder.join("prepare.txt"))?.wait().map_err(lost)?;
            if !status.success() {
                let void = Some(format!("`{}` ended with {status}", line.join(" ")));
                return Ok(Measurement { void, start: self.broker.start, ..Measurement::default() });
            }
        }
        if self.scenario.cold {
            self.broker.stop();
            drop_caches()?;
            self.broker.start()?;
        }
        let measured = match self.scenario.measure.as_str() {
            IDLE => self.idle(folder)?,
            _ => self.command(folder)?,
        };
        for path in [self.broker.properties(), self.broker.log()] {
            fs::copy(&path, folder.join(path.file_name().unwrap_or_default())).map_err(lost)?;
        }
        Ok(measured)
    }

    /// Leaves the broker alone and looks at it.
    fn idle(&mut self, folder: &Path) -> Result<Measurement, BenchFailure> {
        pause(SETTLING);
        let sampler = Sampler::begin(self.broker.pid(), self.broker.folder());
        let began = wall_clock().0;
        pause(Duration::from_secs(u64::from(self.seconds)));
        let usage = used(sampler, folder, Some((began, wall_clock().0)))?;
        Ok(Measurement {
            command: IDLE.to_owned(),
            start: self.broker.start,
            usage,
            ..Measurement::default()
        })
    }

    /// Runs the command, and the one beside it.
    fn command(&mut self, folder: &Path) -> Result<Measurement, BenchFailure> {
        let lost = |error: std::io::Error| BenchFailure::Host(format!("ringlog-bench: {error}"));
        let output = folder.display().to_string();
        let pid = self.broker.pid().to_string();
        let own = ["--output", &output, "--broker-pid", &pid];
        let measure = format!("{} {}", self.scenario.measure, self.side.options);
        let mut line = self.line(&measure, &own);
        let parsed = kind_of(&measure);
        if let Some(config) = self.side.topic_config().filter(|_| parsed.makes_topic()) {
            line.extend(["--config".to_owned(), config.to_owned()]);
        }
        // What an earlier run left there is not what is measured now.
        let _ = fs::remove_file(folder.join("result.json"));
        let sampler = Sampler::begin(self.broker.pid(), self.broker.folder());
        let mut measuring = self.spawn(&line, &folder.join("measured.txt"))?;
        let beside = self.beside(folder)?;
        let status = measuring.wait().map_err(lost)?;
        if let Some(mut beside) = beside {
            // It reads until it is at the end, or until there is nothing left to be beside of.
            let _ = (beside.kill(), beside.wait());
        }
        let result = read_result(folder);
        let times = result.as_ref().map(|result| result.times);
        let window = times.map(|times| (times.measured_from_unix_ms, times.measured_to_unix_ms));
        let usage = used(sampler, folder, window)?;
        let void = match result {
            None => Some(format!("nothing was measured ({status}): see measured.txt")),
            Some(result) if result.verdict != Verdict::Kept || !result.verified => Some(result.verdict_words),
            Some(_) => None,
        };
        let start = self.broker.start;
        Ok(Measurement { command: line.join(" "), start, usage, void, ..Measurement::default() })
    }

    fn beside(&self, folder: &Path) -> Result<Option<Child>, BenchFailure> {
        let beside = self.scenario.beside.as_ref().filter(|_| !self.side.alone);
        let Some(command) = beside else { return Ok(None) };
        pause(Duration::from_secs(u64::from(OWN_WARMUP_SECONDS)));
        self.spawn(&self.line(command, &["--quiet"]), &folder.join("beside.txt")).map(Some)
    }

    /// A command of the scenario with what it leaves open: where the broker is, how long.
    fn line(&self, command: &str, own: &[&str]) -> Vec<String> {
        let mut line: Vec<String> = words(command).map(str::to_owned).collect();
        let mut add = |option: &str, value: &str| {
            if !line.iter().any(|word| word == option) {
                line.extend([option.to_owned(), value.to_owned()]);
            }
        };
        add("--bootstrap-server", &self.broker.address());
        if let (Some(series), Some(value)) = (&self.scenario.series, self.point) {
            add(&series.option, &value.to_string());
        }
        if let Some(core) = self.arguments.core {
            add("--core", &core.to_string());
        }
        let kind = kind_of(command);
        if kind.takes_seconds() {
            add("--seconds", &self.seconds.to_string());
        }
        if kind.takes_warmup() {
            add("--warmup-seconds", &OWN_WARMUP_SECONDS.to_string());
        }
        line.extend(own.iter().map(|word| (*word).to_owned()));
        line
    }

    /// This program again, as a process of its own; what it prints goes into a file, its progress stays in sight.
    fn spawn(&self, line: &[String], said: &Path) -> Result<Child, BenchFailure> {
        let failed = |error: std::io::Error| BenchFailure::Host(format!("{}: {error}", said.display()));
        let own = std::env::current_exe().map_err(failed)?;
        let said = File::create(said).map_err(failed)?;
        let mut command = Command::new(own);
        command.args(line).stdin(Stdio::null()).stdout(said);
        if self.arguments.quiet {
            command.stderr(Stdio::null());
        }
        command.spawn().map_err(failed)
    }
}

/// Which command of this program it is.
fn kind_of(command: &str) -> command_line::Command {
    let line = std::iter::once("ringlog-bench").chain(words(command));
    CommandLine::try_parse_from(line).expect("it was checked when the scenario was read").command
}

/// Ends the looking; what was used in the window.
fn used(sampler: Sampler, folder: &Path, window: Option<(i64, i64)>) -> Result<Usage, BenchFailure> {
    let samples = sampler.end();
    fs::write(folder.join("usage.csv"), samples.to_csv())
        .map_err(|error| BenchFailure::Host(format!("{}: {error}", folder.display())))?;
    Ok(window.map_or_else(Usage::default, |(from, to)| samples.between(from, to)))
}

fn read_result(folder: &Path) -> Option<BenchResult> {
    BenchResult::from_json(&fs::read_to_string(folder.join("result.json")).ok()?).ok()
}

/// Writes everything back and forgets what was read (Documentation/admin-guide/sysctl/vm.rst).
fn drop_caches() -> Result<(), BenchFailure> {
    let _ = Command::new("sync").status();
    fs::write("/proc/sys/vm/drop_caches", "3").map_err(|error| {
        BenchFailure::Host(format!(
            "a cold start needs root to drop the page cache: /proc/sys/vm/drop_caches: {error}"
        ))
    })
}

impl Measurement {
    /// What the command wrote down, where it did.
    pub fn result_in(&self, output: &Path) -> Option<BenchResult> {
        read_result(&output.join(&self.folder))
    }
}
