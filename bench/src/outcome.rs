//! What a run came to: told to a person, written into a directory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::command_line::OwnArguments;
use crate::commands::disk;
use crate::failure::BenchFailure;
use crate::latency::Latency;
use crate::result::{
    BenchResult, Cpu, Latencies, RESULT_VERSION, Target, Throughput, Times, Verdict, Verification,
};

/// A result and the logs that go with it.
pub struct Outcome {
    /// The result.
    pub result: BenchResult,
    /// Logs of histograms, by the name of their file.
    pub logs: Vec<(&'static str, Vec<u8>)>,
    /// Where to write them, and whether to talk.
    pub own: OwnArguments,
}

/// For whom an outcome is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reader {
    /// A person.
    Person,
    /// A program.
    Program,
}

/// A result with nothing in it yet.
pub fn blank(command: &str, arguments: &impl Serialize) -> BenchResult {
    BenchResult {
        version: RESULT_VERSION,
        command: command.to_owned(),
        parameters: parameters(arguments),
        target: None::<Target>,
        times: Times::default(),
        verdict: Verdict::Kept,
        verdict_words: String::new(),
        verified: false,
        verification: None::<Verification>,
        throughput: Throughput::default(),
        latencies: Latencies::default(),
        cpu: Cpu::default(),
        catch_up: None,
        groups: None,
        connections: None,
        disk: None,
    }
}

fn parameters(arguments: &impl Serialize) -> BTreeMap<String, serde_json::Value> {
    match serde_json::to_value(arguments) {
        Ok(serde_json::Value::Object(map)) => map.into_iter().collect(),
        other => unreachable!("arguments are options with values: {other:?}"),
    }
}

impl Outcome {
    /// Whether the run counts.
    pub fn counts(&self) -> bool {
        self.result.verdict == Verdict::Kept && self.result.verified
    }

    /// Writes result.json and the logs, if a directory was named.
    ///
    /// # Errors
    /// [`BenchFailure::Host`].
    pub fn save(&self) -> Result<(), BenchFailure> {
        let Some(folder) = &self.own.output else { return Ok(()) };
        let result = self.result.to_json();
        let files = [("result.json", result.as_bytes())];
        let logs = self.logs.iter().map(|(name, bytes)| (*name, bytes.as_slice()));
        for (name, bytes) in files.into_iter().chain(logs) {
            write(folder, name, bytes).map_err(|error| {
                BenchFailure::Host(format!("cannot write {}: {error}", folder.join(name).display()))
            })?;
        }
        Ok(())
    }

    /// What is printed.
    pub fn printed(&self, reader: Reader) -> String {
        match reader {
            Reader::Person => self.text(),
            Reader::Program => self.result.to_json() + "\n",
        }
    }

    fn text(&self) -> String {
        let result = &self.result;
        let mut text = String::new();
        let throughput = &result.throughput;
        let unit = if throughput.records > 0 { "records/s" } else { "requests/s" };
        if throughput.requests > 0 {
            let _ = writeln!(
                text,
                "{:.0} {unit}, {:.1} MB/s, {} requests in {:.1} s",
                throughput.records_per_second,
                throughput.megabytes_per_second,
                throughput.requests,
                result.times.measured_seconds
            );
        }
        for (name, latency) in [
            ("publish", &result.latencies.publish),
            ("end to end", &result.latencies.end_to_end),
            ("request", &result.latencies.request),
            ("own lateness", &result.latencies.pacing_error),
        ] {
            if let Some(latency) = latency {
                let _ = writeln!(text, "{name:<13}{}", line_of(latency));
            }
        }
        self.describe_rest(&mut text);
        text
    }

    fn describe_rest(&self, text: &mut String) {
        let result = &self.result;
        if result.cpu.generator_cpu_seconds > 0.0 {
            let cpu = &result.cpu;
            let _ = write!(
                text,
                "cpu          this program {:.2} s ({:.2} us a record)",
                cpu.generator_cpu_seconds, cpu.generator_cpu_us_per_record
            );
            if let (Some(seconds), Some(each)) = (cpu.broker_cpu_seconds, cpu.broker_cpu_us_per_record) {
                let _ = write!(text, ", broker {seconds:.2} s ({each:.2} us a record)");
            }
            text.push('\n');
        }
        if let Some(report) = &result.disk {
            text.push_str(&disk::text_of(report));
        }
        if let Some(groups) = &result.groups {
            let _ = writeln!(
                text,
                "formed       {} members with {} partitions after {:.1} ms, in generation {}; {} heartbeats, {} refused",
                groups.members,
                groups.partitions,
                groups.formed_ms,
                groups.generations,
                groups.heartbeats,
                groups.heartbeats_refused
            );
        }
        if let Some(cost) = &result.connections {
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            let _ = writeln!(
                text,
                "connections  {} idle, {} busy: the broker grew from {:.1} to {:.1} to {:.1} MB, {:.1} KB each",
                cost.idle,
                cost.busy,
                megabytes(cost.broker_bytes_before),
                megabytes(cost.broker_bytes_idle),
                megabytes(cost.broker_bytes_busy),
                cost.broker_bytes_per_connection / 1e3
            );
        }
        if let Some(caught) = &result.catch_up {
            let _ = writeln!(
                text,
                "catch-up     {:.1} MB/s over {:.1} s, end reached: {}",
                caught.megabytes_per_second, caught.seconds, caught.reached_the_end
            );
        }
        if let Some(found) = &result.verification {
            let _ = writeln!(
                text,
                "verified     {} of {} sent read back; {} lost, {} twice, {} out of order, {} damaged, {} foreign",
                found.read,
                found.sent,
                found.lost,
                found.duplicated,
                found.reordered,
                found.damaged,
                found.foreign
            );
            for example in &found.examples {
                let _ = writeln!(text, "             {example}");
            }
        }
        let verdict = if self.counts() { "counts" } else { "DOES NOT COUNT" };
        let _ = writeln!(text, "This run {verdict}: {}", result.verdict_words);
    }
}

fn line_of(latency: &Latency) -> String {
    let far = latency.p99_99_us.map_or_else(String::new, |us| format!("  p99.99 {us:.0}"));
    format!(
        "p50 {:.0}  p90 {:.0}  p99 {:.0}  p99.9 {:.0}{far}  max {:.0} us  ({} samples)",
        latency.p50_us, latency.p90_us, latency.p99_us, latency.p99_9_us, latency.max_us, latency.samples
    )
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(name), bytes)
}
