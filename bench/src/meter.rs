//! One kind of latency, measured over a run: all of it, and each second of it.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

use crate::latency::{Latency, Recorder};

/// The head of a histogram log.
const LOG_HEAD: &str = "#[Histogram log format version 1.3]\n\
    #[values are nanoseconds]\n\
    \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";

/// Latencies of the measured part in one histogram; those of each second, warm-up included, as lines of a log.
#[derive(Default)]
pub struct Meter {
    total: Recorder,
    interval: Recorder,
    log: Vec<u8>,
}

/// What a second looked like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    /// Samples.
    pub samples: u64,
    /// The median.
    pub p50_us: f64,
    /// One in a hundred is longer.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Meter {
    /// Notes a latency; `counts` tells whether it belongs to the measured part.
    pub fn note(&mut self, nanoseconds: u64, counts: bool) {
        self.interval.record_ns(nanoseconds);
        if counts {
            self.total.record_ns(nanoseconds);
        }
    }

    /// Ends an interval: a line of the log, a look at it.
    pub fn turn(&mut self, started_seconds: f64, seconds: f64) -> Interval {
        let max_us = self.interval.percentile_us(100.0);
        let interval = Interval {
            samples: self.interval.samples(),
            p50_us: self.interval.percentile_us(50.0),
            p99_us: self.interval.percentile_us(99.0),
            max_us,
        };
        let mut bytes = Vec::new();
        let serialized = V2DeflateSerializer::new().serialize(self.interval.histogram(), &mut bytes);
        serialized.expect("memory takes every byte");
        let encoded = STANDARD.encode(bytes);
        writeln!(self.log, "{started_seconds:.3},{seconds:.3},{:.0},{encoded}", max_us * 1000.0)
            .expect("memory takes every byte");
        self.interval.clear();
        interval
    }

    /// The measured part.
    pub fn summary(&self) -> Option<Latency> {
        self.total.summary()
    }

    /// The log of seconds, in HdrHistogram's format.
    pub fn log(&self) -> Vec<u8> {
        [LOG_HEAD.as_bytes(), &self.log].concat()
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;

    #[test]
    fn the_log_is_read_by_those_who_know_the_format() {
        let mut meter = Meter::default();
        for second in 0..3 {
            for value in 1..=100 {
                meter.note(value * 1000 * (second + 1), second > 0);
            }
            let interval = meter.turn(second as f64, 1.0);
            assert_eq!(interval.samples, 100);
        }
        assert_eq!(meter.summary().unwrap().samples, 200, "the warm-up does not count");
        let log = meter.log();
        let mut samples = Vec::new();
        for entry in IntervalLogIterator::new(&log) {
            if let LogEntry::Interval(interval) = entry.unwrap() {
                let bytes = STANDARD.decode(interval.encoded_histogram()).unwrap();
                let histogram = Deserializer::new().deserialize::<u64, _>(&mut bytes.as_slice()).unwrap();
                samples.push((interval.start_timestamp().as_secs(), histogram.len()));
            }
        }
        assert_eq!(samples, [(0, 100), (1, 100), (2, 100)]);
    }
}
