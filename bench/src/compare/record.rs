//! What a comparison writes down: `run.json`, beside a folder for every measurement.
//!
//! ```text
//!   DIR/run.json                           a Comparison: which machine, which brokers, which measurements
//!   DIR/<scenario>/<pair>-<side>[-<point>]/result.json, *.hlog, usage.csv, broker.log, broker.properties
//! ```
//!
//! It is written anew after every measurement, so that a run which was stopped can be reported.

use serde::{Deserialize, Serialize};

use crate::compare::host::Host;
use crate::result::DiskReport;
use crate::scenario::{BrokerKind, Scenario};

/// The version of this schema.
pub const COMPARISON_VERSION: u32 = 1;

/// All of one `ringlog-bench run`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// [`COMPARISON_VERSION`].
    pub version: u32,
    /// The command line.
    pub command: String,
    /// The machine.
    pub host: Host,
    /// What its disk can do.
    pub disk: Option<DiskReport>,
    /// The brokers and how they are started.
    pub brokers: Vec<BrokerReport>,
    /// What was compared.
    pub scenarios: Vec<ScenarioReport>,
}

/// A broker under test.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BrokerReport {
    /// Which.
    pub kind: BrokerKind,
    /// As it says itself, or as its file is called.
    pub version: String,
    /// How it is started.
    pub command: String,
}

/// A scenario and what was measured for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScenarioReport {
    /// The scenario's name.
    pub name: String,
    /// The scenario as it was run.
    pub scenario: Scenario,
    /// In the order in which they were made.
    pub measurements: Vec<Measurement>,
}

/// Which side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// The one whose figures are divided.
    #[default]
    Ours,
    /// The one they are divided by.
    Theirs,
}

/// One measurement.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measurement {
    /// Of which side.
    pub side: Which,
    /// Its pair, from one on.
    pub pair: u32,
    /// The value of the series.
    pub point: Option<f64>,
    /// Where its files are, below the folder of the run.
    pub folder: String,
    /// What was measured, as a command that can be given again.
    pub command: String,
    /// How the broker came up.
    pub start: StartReport,
    /// What it used in the measured part.
    pub usage: Usage,
    /// Why it does not count, if it does not.
    pub void: Option<String>,
}

/// How a broker came up.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct StartReport {
    /// From the start of the process to its first answer.
    pub first_answer_ms: u64,
    /// Its binary, or its archives and the Java runtime.
    pub installed_bytes: u64,
}

/// What a broker and the device used in the measured part.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// How long it was.
    pub seconds: f64,
    /// Processor time of the broker.
    pub cpu_seconds: f64,
    /// The broker's resident memory at its end.
    pub resident_bytes: u64,
    /// The most it was.
    pub resident_bytes_max: u64,
    /// Write commands of the device, of all that writes to it.
    pub device_writes: u64,
    /// Bytes in them.
    pub device_bytes_written: u64,
    /// Flush commands of the device.
    pub device_flushes: u64,
    /// Processor time that the hypervisor gave to others, of all cores.
    pub stolen_seconds: f64,
}

impl Usage {
    /// The broker's share of one core.
    pub fn share_of_a_core(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.cpu_seconds / self.seconds)
    }

    /// Flush commands a second.
    pub fn flushes_per_second(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.device_flushes as f64 / self.seconds)
    }
}

impl Which {
    /// In names of folders.
    pub fn name(self) -> &'static str {
        match self {
            Which::Ours => "ours",
            Which::Theirs => "theirs",
        }
    }
}

impl Comparison {
    /// Reads a `run.json`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn from_json(text: &str) -> Result<Comparison, String> {
        let comparison: Comparison =
            serde_json::from_str(text).map_err(|error| format!("not a run.json: {error}"))?;
        match comparison.version {
            COMPARISON_VERSION => Ok(comparison),
            other => Err(format!("version {other}, this program reads {COMPARISON_VERSION}")),
        }
    }

    /// The text of a `run.json`.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("every field has a place in JSON")
    }
}
