//! Many seeds of one program, on every core.
//!
//! ```text
//!   0 1 2 3 4 5 ...  ──next──► thread ──► run ──► report ┐
//!                    ──next──► thread ──► run ──► report ┴──► Summary: what was kept, what was broken
//! ```
//!
//! Always true: what a seed does depends neither on the thread that runs it nor on what runs beside it. Every
//! fiftieth seed is run twice, to see that it does the same: the trace of everything that happened is compared.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZero;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::planted::Bug;
use crate::run::{Program, Report, run};

/// Every so many seeds one is run twice.
const TWICE_EVERY: u64 = 50;

/// What came of many seeds.
#[derive(Default, Debug)]
pub struct Summary {
    /// How many ran.
    pub seeds: u64,
    /// Records acknowledged.
    pub acknowledged_records: usize,
    /// Records in the final logs.
    pub final_records: usize,
    /// Lives of the program that came to an end.
    pub lives: usize,
    /// Records that retention or a client deleted.
    pub retired_records: usize,
    /// Deletions of records that were granted.
    pub deletions_granted: usize,
    /// Changes of configurations that were granted.
    pub config_changes: usize,
    /// Assignments that members of groups were given.
    pub assignments: usize,
    /// Commits of offsets that were granted.
    pub commits_granted: usize,
    /// Topics deleted.
    pub topics_deleted: usize,
    /// Blocks of the medium that rotted.
    pub blocks_rotted: usize,
    /// Changes made to the disks.
    pub disk_changes: u64,
    /// Virtual time passed.
    pub virtual_time: Duration,
    /// The traces of all runs in one number: the same for the same seeds and the same code.
    pub traces: u64,
    /// Seeds that broke a promise, did not end, or panicked, and what they said.
    pub failures: BTreeMap<u64, String>,
}

impl Summary {
    fn note(&mut self, seed: u64, outcome: Result<Report, String>) {
        self.seeds += 1;
        match outcome {
            Ok(report) if report.violations.is_empty() => {
                self.acknowledged_records += report.acknowledged_records;
                self.final_records += report.final_records;
                self.lives += report.lives.len();
                self.retired_records += report.retired_records;
                self.deletions_granted += report.deletions_granted;
                self.config_changes += report.config_changes;
                self.assignments += report.assignments;
                self.commits_granted += report.commits_granted;
                self.topics_deleted += report.topics_deleted;
                self.blocks_rotted += report.blocks_rotted;
                self.disk_changes += report.disk_changes;
                self.virtual_time += report.virtual_time;
                // In whatever order they ended.
                self.traces = self.traces.wrapping_add(report.trace_hash);
            }
            Ok(report) => drop(self.failures.insert(seed, report.to_string())),
            Err(message) => drop(self.failures.insert(seed, message)),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{} seeds: {} records acknowledged, {} in the final logs, {} deleted, {} deletions and {} configurations granted, \
             {} assignments and {} commits of groups, {} topics deleted, {} blocks rotted, {} lives ended, {} changes of disks, {:?} passed, traces {:016x}",
            self.seeds,
            self.acknowledged_records,
            self.final_records,
            self.retired_records,
            self.deletions_granted,
            self.config_changes,
            self.assignments,
            self.commits_granted,
            self.topics_deleted,
            self.blocks_rotted,
            self.lives,
            self.disk_changes,
            self.virtual_time,
            self.traces
        )?;
        for (seed, message) in &self.failures {
            writeln!(formatter, "FAILED seed {seed}: {message}")?;
        }
        Ok(())
    }
}

/// Runs seeds on as many threads as there are cores, until all are run or `failures_max` of them failed.
pub fn run_seeds(
    program: &(impl Program + Sync),
    seeds: Range<u64>,
    bug: Bug,
    failures_max: usize,
) -> Summary {
    let next = AtomicU64::new(seeds.start);
    let summary = Mutex::new(Summary::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let outcome = attempt(program, seed, bug);
            let mut summary = summary.lock().expect("nothing panics while it holds the summary");
            summary.note(seed, outcome);
            if summary.failures.len() >= failures_max {
                next.store(seeds.end, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    summary.into_inner().expect("nothing panics while it holds the summary")
}

/// Runs one seed; a panic is what it says.
fn attempt(program: &impl Program, seed: u64, bug: Bug) -> Result<Report, String> {
    let run_once = || {
        catch_unwind(AssertUnwindSafe(|| run(program, seed, bug))).map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
        })
    };
    let first = run_once()?;
    if seed.is_multiple_of(TWICE_EVERY) {
        let (first, second) = (format!("{first:?}"), format!("{:?}", run_once()?));
        if first != second {
            return Err(format!("it did two things:\n  {first}\n  {second}"));
        }
    }
    Ok(first)
}
