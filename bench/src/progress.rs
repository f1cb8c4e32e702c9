//! One line a second of how a run goes: over itself on a terminal, one below the other elsewhere.

use std::io::{self, IsTerminal, Write};

use crate::meter::Interval;

/// Where lines go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Nowhere.
    Silent,
    /// Each over the last.
    Terminal,
    /// One below the other.
    Lines,
}

impl Progress {
    /// Standard error, unless nothing shall be said.
    pub fn new(quiet: bool) -> Progress {
        match (quiet, io::stderr().is_terminal()) {
            (true, _) => Progress::Silent,
            (false, true) => Progress::Terminal,
            (false, false) => Progress::Lines,
        }
    }

    /// Tells of a second of a run that sends records.
    pub fn tell(
        self,
        phase: &str,
        second: u64,
        rate: f64,
        publish: &Interval,
        end_to_end: &Interval,
        waits: u64,
    ) {
        let mut line = format!("{phase} {second:>4} s  {rate:>9.0} records/s  publish {}", times(publish));
        if end_to_end.samples > 0 {
            line += &format!("  end to end {}", times(end_to_end));
        }
        if waits > 0 {
            line += &format!("  {waits} requests wait");
        }
        self.say(&line);
    }

    /// Says a line.
    pub fn say(self, line: &str) {
        let mut stderr = io::stderr().lock();
        // Nobody listens: the measurement goes on.
        let _ = match self {
            Progress::Silent => Ok(()),
            Progress::Terminal => write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush()),
            Progress::Lines => writeln!(stderr, "{line}"),
        };
    }

    /// The last line stands.
    pub fn end(self) {
        if self == Progress::Terminal {
            let _ = writeln!(io::stderr());
        }
    }
}

fn times(interval: &Interval) -> String {
    format!("p50 {:.0} p99 {:.0} max {:.0} us", interval.p50_us, interval.p99_us, interval.max_us)
}
