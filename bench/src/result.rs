//! What a measurement writes down: `result.json`, for people, for `report`, for merging.
//!
//! ```text
//!   ringlog-bench load ... --output DIR
//!     DIR/result.json       a BenchResult
//!     DIR/publish.hlog      one histogram a second, HdrHistogram's log format, V2
//!     DIR/end_to_end.hlog   the same, with --consumers
//! ```
//!
//! Always true: times of latencies are nanoseconds inside histograms and microseconds where a person reads them;
//! percentiles of several runs come from merged histograms, never from averages; `verified` is true only if every
//! record was read back and found as it was sent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::latency::Latency;

/// The version of this schema. A reader refuses what it does not know; new optional fields do not change it.
pub const RESULT_VERSION: u32 = 1;

/// One run of one command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BenchResult {
    /// [`RESULT_VERSION`].
    pub version: u32,
    /// The subcommand: `load`, `capacity`, `consume`, `commits`, `groups`, `metadata`, `connections`, `disk`.
    pub command: String,
    /// Every option by its long name, defaults included: `{"record-bytes": 1024, ...}`.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// What was measured; absent for `disk`.
    pub target: Option<Target>,
    /// When, by the wall clock.
    pub times: Times,
    /// Whether the run counts.
    pub verdict: Verdict,
    /// The verdict in words: what happened, who is to blame.
    pub verdict_words: String,
    /// Whether every record was read back as it was sent. Also true for commands that send no records and whose
    /// answers were all right.
    pub verified: bool,
    /// What reading back found; absent where no records were sent or read.
    pub verification: Option<Verification>,
    /// How much went through in the measured time.
    pub throughput: Throughput,
    /// How long things took in the measured time.
    pub latencies: Latencies,
    /// What measuring cost, and what the broker's process used if it was told (`--broker-pid`).
    pub cpu: Cpu,
    /// How a late consumer fared: `load --catch-up` only.
    pub catch_up: Option<CatchUp>,
    /// How the group came together: `groups` only.
    pub groups: Option<GroupFormation>,
    /// What a connection costs: `connections` only.
    #[serde(default)]
    pub connections: Option<ConnectionCost>,
    /// What the directory can do: `disk` only.
    pub disk: Option<DiskReport>,
}

/// What was measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Target {
    /// As given.
    pub bootstrap_servers: Vec<String>,
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// How many brokers it has.
    pub brokers: usize,
    /// The topic, where there is one.
    pub topic: Option<String>,
    /// Its partitions.
    pub partitions: usize,
}

/// Wall-clock milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Times {
    /// The command began.
    pub started_unix_ms: i64,
    /// The warm-up was over and the measured part began.
    pub measured_from_unix_ms: i64,
    /// The measured part was over.
    pub measured_to_unix_ms: i64,
    /// All was read back and verified.
    pub ended_unix_ms: i64,
    /// How long the measured part was, by the monotonic clock.
    pub measured_seconds: f64,
}

/// Whether a run counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All went as planned.
    Kept,
    /// More requests waited than the bound: the broker does not hold this rate.
    CouldNotKeepThePlan,
    /// The broker refused requests or broke a connection.
    BrokerFailed,
    /// Not every record came back as it was sent: the run is void.
    VerificationFailed,
}

/// What reading back found. All but the first three must be zero for a run to count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Records that were sent, acknowledged or not.
    pub sent: u64,
    /// Records whose acknowledgement came.
    pub acknowledged: u64,
    /// Records read back.
    pub read: u64,
    /// Acknowledged records that are not in the log.
    pub lost: u64,
    /// Records nobody acknowledged that are not in the log: told, not held against the broker.
    pub unacknowledged_missing: u64,
    /// Records that were in the log already.
    pub duplicated: u64,
    /// Records that stand before an earlier one of the same producer.
    pub reordered: u64,
    /// Records whose bytes are not those that were sent.
    pub damaged: u64,
    /// Records of this topic that this run did not send.
    pub foreign: u64,
    /// The first faults, with partition and offset.
    pub examples: Vec<String>,
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.lost + self.duplicated + self.reordered + self.damaged + self.foreign == 0
    }
}

/// How much went through in the measured time.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Throughput {
    /// What the plan asked for; absent in a closed loop.
    pub planned_records_per_second: Option<f64>,
    /// Records acknowledged (`load`, `capacity`), read (`consume`) or requests answered (the others), a second.
    pub records_per_second: f64,
    /// Payload and keys, in millions of bytes a second.
    pub megabytes_per_second: f64,
    /// Requests answered without error in the measured time.
    pub requests: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of keys and values in them.
    pub bytes: u64,
    /// Requests the broker refused.
    pub refused_requests: u64,
    /// The most requests that waited for their turn at once.
    pub backlog_requests_max: u64,
}

/// How long things took in the measured time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Latencies {
    /// From the planned send time to the acknowledgement (`load`; with acks 0: until the bytes were handed over).
    pub publish: Option<Latency>,
    /// From the planned send time to the record's arrival at a consumer (`load --consumers`).
    pub end_to_end: Option<Latency>,
    /// From sending to the answer: `capacity`, `consume`, `commits`, `metadata`.
    pub request: Option<Latency>,
    /// How late this program handed a request over when nothing held it up: its own error, part of the latencies
    /// above.
    pub pacing_error: Option<Latency>,
}

/// Processor time in the measured part.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Cpu {
    /// Of this program, consumers included.
    pub generator_cpu_seconds: f64,
    /// The same for each record, in microseconds.
    pub generator_cpu_us_per_record: f64,
    /// Of the broker's process.
    pub broker_cpu_seconds: Option<f64>,
    /// The same for each record, in microseconds.
    pub broker_cpu_us_per_record: Option<f64>,
    /// The broker's resident memory at the end of the measured part.
    pub broker_resident_bytes: Option<u64>,
}

/// A consumer that began at the first offset of the run when the measured part began.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct CatchUp {
    /// Records read.
    pub records: u64,
    /// Bytes of batches read.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// In millions of bytes a second.
    pub megabytes_per_second: f64,
    /// Whether the end of the log was reached while the load ran.
    pub reached_the_end: bool,
}

impl CatchUp {
    /// Several at the same time, one for each leader, as one.
    pub fn sum(parts: impl Iterator<Item = CatchUp>) -> Option<CatchUp> {
        parts.reduce(|one, other| CatchUp {
            records: one.records + other.records,
            bytes: one.bytes + other.bytes,
            seconds: one.seconds.max(other.seconds),
            megabytes_per_second: one.megabytes_per_second + other.megabytes_per_second,
            reached_the_end: one.reached_the_end && other.reached_the_end,
        })
    }
}

/// How a group of many members came together.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct GroupFormation {
    /// Members of the group.
    pub members: usize,
    /// Partitions dealt out.
    pub partitions: usize,
    /// From the first join until every member had its assignment in one generation.
    pub formed_ms: f64,
    /// Generations it took.
    pub generations: i32,
    /// Heartbeats answered without error afterwards.
    pub heartbeats: u64,
    /// Heartbeats refused afterwards.
    pub heartbeats_refused: u64,
}

/// What connections cost the broker in resident memory.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ConnectionCost {
    /// Connections that asked once and stayed.
    pub idle: u64,
    /// Connections that asked without a pause.
    pub busy: u64,
    /// The broker's memory before the first.
    pub broker_bytes_before: u64,
    /// With the idle ones.
    pub broker_bytes_idle: u64,
    /// With all, at the end of the measured part.
    pub broker_bytes_busy: u64,
    /// What it grew by, for each of all connections.
    pub broker_bytes_per_connection: f64,
}

/// What a directory can do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DiskReport {
    /// The directory.
    pub data_dir: String,
    /// Every combination that was tried.
    pub cells: Vec<DiskCell>,
    /// What follows from it, in words.
    pub advice: Vec<String>,
}

/// One combination of size, depth, durability and kind of space.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DiskCell {
    /// Bytes in one write.
    pub write_bytes: usize,
    /// Writes under way at once.
    pub depth: usize,
    /// Whether each write is on stable storage when it completes (`RWF_DSYNC`).
    pub synced: bool,
    /// The file's space before the write.
    pub space: DiskSpace,
    /// Writes completed.
    pub writes: u64,
    /// In millions of bytes a second.
    pub megabytes_per_second: f64,
    /// How long one write took.
    pub latency: Latency,
}

/// What a write finds in its place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskSpace {
    /// Nothing: the file grows.
    Growing,
    /// Reserved space that was never written.
    Allocated,
    /// Bytes written before.
    Written,
}

impl BenchResult {
    /// Reads a result.
    ///
    /// # Errors
    /// What is wrong with the text, or that its version is not [`RESULT_VERSION`].
    pub fn from_json(text: &str) -> Result<BenchResult, String> {
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(RESULT_VERSION) => {}
            Some(version) => {
                return Err(format!("result version {version}, this program reads {RESULT_VERSION}"));
            }
            None => return Err("it has no version: not a result of ringlog-bench".to_owned()),
        }
        serde_json::from_value(value).map_err(|error| format!("not a result of ringlog-bench: {error}"))
    }

    /// The text of a `result.json`.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("every field has a place in JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Recorder;

    fn example() -> BenchResult {
        let mut publish = Recorder::new();
        publish.record_ns(1_500_000);
        BenchResult {
            version: RESULT_VERSION,
            command: "load".to_owned(),
            parameters: BTreeMap::from([("record-bytes".to_owned(), 1024.into())]),
            target: Some(Target::default()),
            times: Times::default(),
            verdict: Verdict::CouldNotKeepThePlan,
            verdict_words: "too slow".to_owned(),
            verified: false,
            verification: Some(Verification { lost: 3, ..Verification::default() }),
            throughput: Throughput::default(),
            latencies: Latencies { publish: publish.summary(), ..Latencies::default() },
            cpu: Cpu::default(),
            catch_up: None,
            groups: None,
            connections: None,
            disk: None,
        }
    }

    #[test]
    fn a_result_reads_as_it_was_written() {
        let text = example().to_json();
        assert!(text.contains("\"verified\": false") && text.contains("could_not_keep_the_plan"), "{text}");
        let read = BenchResult::from_json(&text).unwrap();
        assert_eq!(read.to_json(), text);
    }

    #[test]
    fn what_is_no_result_is_refused_in_words() {
        let later = example().to_json().replace("\"version\": 1", "\"version\": 2");
        assert!(BenchResult::from_json(&later).unwrap_err().contains("version 2"));
        assert!(BenchResult::from_json("{}").unwrap_err().contains("no version"));
        assert!(BenchResult::from_json("{\"version\": 1}").unwrap_err().contains("not a result"));
    }

    #[test]
    fn one_fault_of_any_kind_is_not_clean() {
        let clean = Verification {
            sent: 9,
            acknowledged: 8,
            read: 8,
            unacknowledged_missing: 1,
            ..Default::default()
        };
        assert!(clean.is_clean());
        for spoil in [
            |v: &mut Verification| v.lost = 1,
            |v: &mut Verification| v.duplicated = 1,
            |v: &mut Verification| v.reordered = 1,
            |v: &mut Verification| v.damaged = 1,
            |v: &mut Verification| v.foreign = 1,
        ] {
            let mut spoiled = clean.clone();
            spoil(&mut spoiled);
            assert!(!spoiled.is_clean(), "{spoiled:?}");
        }
    }
}
