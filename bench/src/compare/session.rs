//! A run from its first scenario to its last.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};

use ringlog_runtime::uring::wall_clock;

use crate::command_line::{OwnArguments, RunArguments};
use crate::commands::disk;
use crate::compare::broker::Broker;
use crate::compare::host::Host;
use crate::compare::launcher::Launcher;
use crate::compare::record::{
    BrokerReport, COMPARISON_VERSION, Comparison, Measurement, ScenarioReport, Which,
};
use crate::compare::turn::Turn;
use crate::failure::BenchFailure;
use crate::result::DiskReport;
use crate::scenario::{BrokerKind, Scenario, Side, read_all};

/// A run under way.
struct Session<'a> {
    arguments: &'a RunArguments,
    launchers: BTreeMap<BrokerKind, Launcher>,
    comparison: Comparison,
}

/// One side of a scenario: its broker stays up from pair to pair.
struct Contender<'a> {
    which: Which,
    side: &'a Side,
    launcher: &'a Launcher,
    folder: PathBuf,
    broker: Option<Broker>,
}

/// Runs all scenarios; whether every measurement counts.
///
/// # Errors
/// [`BenchFailure`] if a broker does not come up or nothing can be written.
pub fn run(arguments: &RunArguments) -> Result<bool, BenchFailure> {
    let scenarios = read_all(&arguments.scenarios)?;
    let scratch = arguments.data_dir.clone();
    fs::create_dir_all(&arguments.output)
        .and_then(|()| fs::create_dir_all(&scratch))
        .map_err(|error| BenchFailure::Host(format!("{}: {error}", arguments.output.display())))?;
    let mut launchers = BTreeMap::new();
    for kind in scenarios.iter().flat_map(|scenario| [scenario.ours.broker, scenario.theirs.broker]) {
        if let Entry::Vacant(place) = launchers.entry(kind) {
            place.insert(Launcher::find(kind, arguments)?);
        }
    }
    let comparison = Comparison {
        version: COMPARISON_VERSION,
        command: std::env::args().collect::<Vec<_>>().join(" "),
        host: Host::look(&scratch, wall_clock().0),
        disk: look_at_disk(arguments, &scratch)?,
        brokers: launchers.values().map(described).collect(),
        scenarios: Vec::new(),
    };
    let mut session = Session { arguments, launchers, comparison };
    let count = scenarios.len();
    for (number, scenario) in scenarios.iter().enumerate() {
        session.say(&format!("{} of {count}: {} ({})", number + 1, scenario.title, scenario.name));
        session.compare(scenario, &scratch)?;
    }
    let mut measurements = session.comparison.scenarios.iter().flat_map(|report| &report.measurements);
    Ok(measurements.all(|measurement| measurement.void.is_none()))
}

fn look_at_disk(arguments: &RunArguments, scratch: &Path) -> Result<Option<DiskReport>, BenchFailure> {
    if arguments.skip_disk {
        return Ok(None);
    }
    let own = OwnArguments { core: arguments.core, quiet: arguments.quiet, ..OwnArguments::default() };
    Ok(disk::quick(scratch, own)?.disk)
}

fn described(launcher: &Launcher) -> BrokerReport {
    let command = launcher.command(Path::new("broker.properties"));
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    BrokerReport {
        kind: launcher.kind(),
        version: launcher.version(),
        command: words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "),
    }
}

impl Session<'_> {
    fn compare(&mut self, scenario: &Scenario, scratch: &Path) -> Result<(), BenchFailure> {
        self.comparison.scenarios.push(ScenarioReport {
            name: scenario.name.clone(),
            scenario: scenario.clone(),
            measurements: Vec::new(),
        });
        let launchers = self.launchers.clone();
        let contender = |which: Which, side| Contender::new(which, side, &launchers, scratch);
        let mut contenders =
            [contender(Which::Ours, &scenario.ours), contender(Which::Theirs, &scenario.theirs)];
        if !scenario.fresh {
            for contender in &mut contenders {
                contender.begin()?;
                self.warm_up(scenario, contender)?;
            }
        }
        for pair in 1..=self.arguments.pairs() {
            for point in scenario.points() {
                for contender in &mut contenders {
                    if scenario.fresh {
                        contender.begin()?;
                    }
                    self.measure(scenario, contender, pair, point)?;
                    if scenario.fresh {
                        contender.broker = None;
                    }
                }
            }
        }
        Ok(())
    }

    /// Does what will be measured, over and over, until its time is over; what came out is thrown away.
    fn warm_up(&self, scenario: &Scenario, contender: &mut Contender<'_>) -> Result<(), BenchFailure> {
        let seconds = self.arguments.warmup_seconds(contender.launcher.kind());
        let until = wall_clock().0 + i64::from(seconds) * 1000;
        while wall_clock().0 < until {
            self.say(&format!("  warming up {} for {seconds} s", contender.side.label()));
            let point = scenario.points().last().copied().flatten();
            let folder = contender.folder.join("warm-up");
            let measured = contender.turn(self.arguments, scenario, point, seconds).take(&folder)?;
            if let Some(void) = measured.void {
                self.say(&format!("  the warm-up did not count: {void}"));
                break;
            }
        }
        Ok(())
    }

    fn measure(
        &mut self,
        scenario: &Scenario,
        contender: &mut Contender<'_>,
        pair: u32,
        point: Option<f64>,
    ) -> Result<(), BenchFailure> {
        let which = contender.which;
        let at = point.map_or_else(String::new, |value| format!("-{value}"));
        let name = format!("{}/{pair}-{}{at}", scenario.name, which.name());
        let folder = self.arguments.output.join(&name);
        let seconds = self.arguments.seconds();
        let measured = contender.turn(self.arguments, scenario, point, seconds).take(&folder)?;
        let measured = Measurement { side: which, pair, point, folder: name, ..measured };
        let at = point.map_or_else(String::new, |value| format!(" at {value}"));
        let label = contender.side.label();
        self.say(&format!(
            "  pair {pair} of {}, {label}{at}: {}",
            self.arguments.pairs(),
            self.told(scenario, &measured)
        ));
        let report = self.comparison.scenarios.last_mut().expect("this scenario was pushed");
        report.measurements.push(measured);
        self.save()
    }

    /// The figures a scenario asks for, of one measurement.
    fn told(&self, scenario: &Scenario, measured: &Measurement) -> String {
        if let Some(void) = &measured.void {
            return format!("void: {void}");
        }
        let result = measured.result_in(&self.arguments.output);
        let told = scenario.reach.iter().filter_map(|goal| {
            let value = goal.figure.of(measured, result.as_ref())?;
            Some(format!("{} {}", goal.figure, goal.figure.shown(value)))
        });
        told.collect::<Vec<_>>().join(", ")
    }

    fn save(&self) -> Result<(), BenchFailure> {
        let path = self.arguments.output.join("run.json");
        fs::write(&path, self.comparison.to_json())
            .map_err(|error| BenchFailure::Host(format!("{}: {error}", path.display())))
    }

    fn say(&self, words: &str) {
        if !self.arguments.quiet {
            eprintln!("{words}");
        }
    }
}

impl<'a> Contender<'a> {
    fn new(
        which: Which,
        side: &'a Side,
        launchers: &'a BTreeMap<BrokerKind, Launcher>,
        scratch: &Path,
    ) -> Contender<'a> {
        let launcher = &launchers[&side.broker];
        Contender { which, side, launcher, folder: scratch.join(which.name()), broker: None }
    }

    /// Starts its broker on an empty directory.
    fn begin(&mut self) -> Result<(), BenchFailure> {
        // The old one ends before its directory goes.
        self.broker = None;
        self.broker = Some(Broker::begin(self.launcher, &self.folder, &self.side.configs)?);
        Ok(())
    }

    fn turn<'t>(
        &'t mut self,
        arguments: &'t RunArguments,
        scenario: &'t Scenario,
        point: Option<f64>,
        seconds: u32,
    ) -> Turn<'t> {
        let broker = self.broker.as_mut().expect("its broker was started");
        Turn { arguments, scenario, side: self.side, broker, point, seconds }
    }
}
