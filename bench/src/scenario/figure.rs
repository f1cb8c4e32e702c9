//! What can be compared: a number that one measurement has, by the name scenarios call it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::compare::record::Measurement;
use crate::latency::Latency;
use crate::result::BenchResult;

/// A number of a measurement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Figure {
    /// `publish p50`, `end to end p99.9`: a percentile of a latency, in microseconds.
    Latency(LatencyKind, Percentile),
    /// `cpu per record`: the broker's processor time for each record, or request where there are no records, in
    /// microseconds.
    CpuPerRecord,
    /// `MB per cpu-second`: payload for each second of the broker's processor time.
    MegabytesPerCpuSecond,
    /// `MB/s`: payload a second.
    MegabytesPerSecond,
    /// `requests/s`: answers a second.
    RequestsPerSecond,
    /// `catch-up MB/s`: what the late consumer read a second.
    CatchUp,
    /// `resident`: the broker's memory at the end, in bytes.
    Resident,
    /// `memory per connection`, in bytes.
    MemoryPerConnection,
    /// `first answer`: from the start of the process to its first answer, in milliseconds.
    FirstAnswer,
    /// `idle cpu`: the share of one core that a broker takes which nobody asks.
    IdleCpu,
    /// `installed size`: what has to be there to start it, in bytes.
    InstalledSize,
    /// `formed`: how long a group took until every member had its partitions, in milliseconds.
    Formed,
    /// `device flushes/s`: flush commands that reached the device.
    FlushesPerSecond,
    /// `device bytes per byte`: bytes written to the device for each byte of payload.
    DeviceBytesPerByte,
}

/// Whose times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LatencyKind {
    /// To the acknowledgement.
    Publish,
    /// To a consumer.
    EndToEnd,
    /// Of a request.
    Request,
}

/// Which percentile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Percentile {
    /// The median.
    P50,
    /// One in a hundred is longer.
    P99,
    /// One in a thousand is longer.
    P99_9,
}

/// Whether a small figure is a good one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Better {
    /// It is.
    Smaller,
    /// A large one is.
    Larger,
}

const KINDS: [(&str, LatencyKind); 3] = [
    ("publish", LatencyKind::Publish),
    ("end to end", LatencyKind::EndToEnd),
    ("request", LatencyKind::Request),
];

const PERCENTILES: [(&str, Percentile); 3] =
    [("p50", Percentile::P50), ("p99", Percentile::P99), ("p99.9", Percentile::P99_9)];

const OTHERS: [(&str, Figure); 13] = [
    ("cpu per record", Figure::CpuPerRecord),
    ("MB per cpu-second", Figure::MegabytesPerCpuSecond),
    ("MB/s", Figure::MegabytesPerSecond),
    ("requests/s", Figure::RequestsPerSecond),
    ("catch-up MB/s", Figure::CatchUp),
    ("resident", Figure::Resident),
    ("memory per connection", Figure::MemoryPerConnection),
    ("first answer", Figure::FirstAnswer),
    ("idle cpu", Figure::IdleCpu),
    ("installed size", Figure::InstalledSize),
    ("formed", Figure::Formed),
    ("device flushes/s", Figure::FlushesPerSecond),
    ("device bytes per byte", Figure::DeviceBytesPerByte),
];

impl Figure {
    /// The number, where the measurement has it.
    pub fn of(self, measurement: &Measurement, result: Option<&BenchResult>) -> Option<f64> {
        let (cpu, throughput) = (result.map(|result| &result.cpu), result.map(|result| &result.throughput));
        match self {
            Figure::Latency(kind, percentile) => Some(percentile.of(kind.of(result?)?)),
            Figure::CpuPerRecord => cpu?.broker_cpu_us_per_record,
            Figure::MegabytesPerCpuSecond => {
                let seconds = cpu?.broker_cpu_seconds.filter(|seconds| *seconds > 0.0)?;
                Some(throughput?.bytes as f64 / 1e6 / seconds)
            }
            Figure::MegabytesPerSecond => throughput.map(|throughput| throughput.megabytes_per_second),
            Figure::RequestsPerSecond => {
                let seconds = result?.times.measured_seconds;
                (seconds > 0.0).then(|| throughput.map(|throughput| throughput.requests as f64 / seconds))?
            }
            Figure::CatchUp => result?.catch_up.map(|caught| caught.megabytes_per_second),
            Figure::Resident => Some(measurement.usage.resident_bytes as f64),
            Figure::MemoryPerConnection => {
                result?.connections.as_ref().map(|cost| cost.broker_bytes_per_connection)
            }
            Figure::FirstAnswer => Some(measurement.start.first_answer_ms as f64),
            Figure::IdleCpu => measurement.usage.share_of_a_core(),
            Figure::InstalledSize => Some(measurement.start.installed_bytes as f64),
            Figure::Formed => result?.groups.as_ref().map(|groups| groups.formed_ms),
            Figure::FlushesPerSecond => measurement.usage.flushes_per_second(),
            Figure::DeviceBytesPerByte => {
                let bytes = throughput?.bytes;
                (bytes > 0).then(|| measurement.usage.device_bytes_written as f64 / bytes as f64)
            }
        }
    }

    /// Which way is good.
    pub fn better(self) -> Better {
        match self {
            Figure::MegabytesPerCpuSecond
            | Figure::MegabytesPerSecond
            | Figure::RequestsPerSecond
            | Figure::CatchUp => Better::Larger,
            Figure::Latency(..)
            | Figure::CpuPerRecord
            | Figure::Resident
            | Figure::MemoryPerConnection
            | Figure::FirstAnswer
            | Figure::IdleCpu
            | Figure::InstalledSize
            | Figure::Formed
            | Figure::FlushesPerSecond
            | Figure::DeviceBytesPerByte => Better::Smaller,
        }
    }

    /// With its unit, for a table.
    pub fn shown(self, value: f64) -> String {
        match self {
            Figure::Latency(..) if value >= 10_000.0 => format!("{:.1} ms", value / 1e3),
            Figure::Latency(..) => format!("{value:.0} us"),
            Figure::CpuPerRecord if value < 10.0 => format!("{value:.2} us"),
            Figure::CpuPerRecord => format!("{value:.0} us"),
            Figure::MegabytesPerCpuSecond | Figure::MegabytesPerSecond | Figure::CatchUp => {
                format!("{value:.0} MB")
            }
            Figure::RequestsPerSecond | Figure::FlushesPerSecond => format!("{value:.0}"),
            Figure::Resident | Figure::InstalledSize => format!("{:.1} MB", value / 1e6),
            Figure::MemoryPerConnection => format!("{:.1} KB", value / 1e3),
            Figure::FirstAnswer | Figure::Formed => format!("{value:.0} ms"),
            Figure::IdleCpu => format!("{:.2} %", value * 100.0),
            Figure::DeviceBytesPerByte => format!("{value:.2}"),
        }
    }
}

impl LatencyKind {
    /// What a result has of it.
    pub fn of(self, result: &BenchResult) -> Option<&Latency> {
        let latencies = &result.latencies;
        match self {
            LatencyKind::Publish => latencies.publish.as_ref(),
            LatencyKind::EndToEnd => latencies.end_to_end.as_ref(),
            LatencyKind::Request => latencies.request.as_ref(),
        }
    }

    /// What scenarios call it.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

impl Percentile {
    fn of(self, latency: &Latency) -> f64 {
        match self {
            Percentile::P50 => latency.p50_us,
            Percentile::P99 => latency.p99_us,
            Percentile::P99_9 => latency.p99_9_us,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Figure::Latency(kind, percentile) = self {
            let percentile = PERCENTILES.iter().find(|(_, each)| each == percentile);
            return write!(formatter, "{} {}", kind.name(), percentile.map_or("", |(name, _)| name));
        }
        formatter.write_str(OTHERS.iter().find(|(_, figure)| figure == self).map_or("", |(name, _)| name))
    }
}

impl TryFrom<String> for Figure {
    type Error = String;

    fn try_from(text: String) -> Result<Figure, String> {
        let latency = || {
            let (kind, percentile) = text.rsplit_once(' ')?;
            let (_, kind) = KINDS.iter().find(|(name, _)| *name == kind)?;
            let (_, percentile) = PERCENTILES.iter().find(|(name, _)| *name == percentile)?;
            Some(Figure::Latency(*kind, *percentile))
        };
        let other = OTHERS.iter().find(|(name, _)| *name == text).map(|(_, figure)| *figure);
        other.or_else(latency).ok_or_else(|| {
            let others: Vec<&str> = OTHERS.iter().map(|(name, _)| *name).collect();
            format!(
                "`{text}` is no figure: publish, end to end or request with p50, p99 or p99.9; {}",
                others.join(", ")
            )
        })
    }
}

impl From<Figure> for String {
    fn from(figure: Figure) -> String {
        figure.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::record::{StartReport, Usage};

    #[test]
    fn every_figure_reads_as_it_is_written() {
        let latencies = KINDS
            .iter()
            .flat_map(|(_, kind)| PERCENTILES.iter().map(|(_, each)| Figure::Latency(*kind, *each)));
        for figure in latencies.chain(OTHERS.iter().map(|(_, figure)| *figure)) {
            assert_eq!(Figure::try_from(figure.to_string()), Ok(figure));
        }
        let problem = Figure::try_from("publish p98".to_owned()).unwrap_err();
        assert!(problem.contains("publish p98") && problem.contains("first answer"), "{problem}");
    }

    #[test]
    fn a_figure_that_was_not_measured_is_absent() {
        let measurement = Measurement {
            start: StartReport { first_answer_ms: 28, installed_bytes: 9_000_000 },
            usage: Usage { seconds: 2.0, cpu_seconds: 0.5, ..Usage::default() },
            ..Measurement::default()
        };
        assert_eq!(Figure::FirstAnswer.of(&measurement, None), Some(28.0));
        assert_eq!(Figure::IdleCpu.of(&measurement, None), Some(0.25));
        assert_eq!(Figure::CpuPerRecord.of(&measurement, None), None);
        assert_eq!(Figure::Latency(LatencyKind::Publish, Percentile::P99).of(&measurement, None), None);
    }

    #[test]
    fn figures_are_shown_with_their_units() {
        let p99 = Figure::Latency(LatencyKind::Publish, Percentile::P99);
        assert_eq!((p99.shown(812.4), p99.shown(51_359.0)), ("812 us".to_owned(), "51.4 ms".to_owned()));
        assert_eq!(Figure::Resident.shown(17.2e6), "17.2 MB");
        assert_eq!(Figure::IdleCpu.shown(0.0001), "0.01 %");
    }
}
