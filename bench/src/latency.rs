//! Latencies: recorded in a histogram of three digits, told as percentiles, kept as a histogram that can be merged.
//!
//! Always true: a histogram holds nanoseconds; the 99.99th percentile is told only of a hundred times as many samples
//! as it takes to see one beyond it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use serde::{Deserialize, Serialize};

/// Digits that are exact.
const DIGITS: u8 = 3;

/// Longer waits are told as this long: no run waits longer.
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// The samples of which the 99.99th percentile is told: a hundred beyond it.
const SAMPLES_FOR_P99_99: u64 = 100 * 10_000;

/// A histogram being filled.
#[derive(Clone)]
pub struct Recorder {
    histogram: Histogram<u64>,
}

/// What a histogram says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Samples.
    pub samples: u64,
    /// The arithmetic mean.
    pub mean_us: f64,
    /// The median.
    pub p50_us: f64,
    /// One in ten is longer.
    pub p90_us: f64,
    /// One in a hundred is longer.
    pub p99_us: f64,
    /// One in a thousand is longer.
    pub p99_9_us: f64,
    /// One in ten thousand is longer; absent below a million samples.
    pub p99_99_us: Option<f64>,
    /// The longest.
    pub max_us: f64,
    /// All of it: HdrHistogram's V2 encoding of nanoseconds, in base64.
    pub histogram: String,
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder::new()
    }
}

impl Recorder {
    /// Empty.
    pub fn new() -> Recorder {
        let histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS);
        Recorder { histogram: histogram.expect("bounds in order and three digits") }
    }

    /// Notes one latency; one that is beyond the bound is noted as the bound.
    pub fn record_ns(&mut self, nanoseconds: u64) {
        self.histogram.saturating_record(nanoseconds);
    }

    /// Notes the same latency of several records.
    pub fn record_many_ns(&mut self, nanoseconds: u64, count: u64) {
        self.histogram.saturating_record_n(nanoseconds, count);
    }

    /// Adds what another noted.
    pub fn add(&mut self, other: &Recorder) {
        self.histogram.add(&other.histogram).expect("all recorders have the same bounds");
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.histogram.reset();
    }

    /// How many were noted.
    pub fn samples(&self) -> u64 {
        self.histogram.len()
    }

    /// The histogram, for logs.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// A percentile in microseconds.
    pub fn percentile_us(&self, percentile: f64) -> f64 {
        microseconds(self.histogram.value_at_percentile(percentile))
    }

    /// What it says; nothing if nothing was noted.
    pub fn summary(&self) -> Option<Latency> {
        if self.histogram.is_empty() {
            return None;
        }
        let enough = self.samples() >= SAMPLES_FOR_P99_99;
        Some(Latency {
            samples: self.samples(),
            mean_us: (self.histogram.mean() / 100.0).round() / 10.0,
            p50_us: self.percentile_us(50.0),
            p90_us: self.percentile_us(90.0),
            p99_us: self.percentile_us(99.0),
            p99_9_us: self.percentile_us(99.9),
            p99_99_us: enough.then(|| self.percentile_us(99.99)),
            max_us: microseconds(self.histogram.max()),
            histogram: encoded(&self.histogram),
        })
    }
}

impl Latency {
    /// The histogram again, to merge it with others.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn recorder(&self) -> Result<Recorder, String> {
        let bytes = STANDARD.decode(&self.histogram).map_err(|error| format!("histogram: {error}"))?;
        let read = Deserializer::new().deserialize::<u64, _>(&mut bytes.as_slice());
        let read = read.map_err(|error| format!("histogram: {error}"))?;
        let mut recorder = Recorder::new();
        recorder.histogram.add(&read).map_err(|error| format!("histogram: {error}"))?;
        Ok(recorder)
    }

    /// What several say together.
    ///
    /// # Errors
    /// What is wrong with the text of one of them.
    pub fn merged<'a>(several: impl IntoIterator<Item = &'a Latency>) -> Result<Option<Latency>, String> {
        let mut all = Recorder::new();
        for latency in several {
            all.add(&latency.recorder()?);
        }
        Ok(all.summary())
    }
}

fn microseconds(nanoseconds: u64) -> f64 {
    (nanoseconds as f64 / 100.0).round() / 10.0
}

fn encoded(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(histogram, &mut bytes).expect("memory takes every byte");
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder(values_us: impl Iterator<Item = u64>) -> Recorder {
        let mut recorder = Recorder::new();
        values_us.for_each(|value| recorder.record_ns(value * 1000));
        recorder
    }

    #[test]
    fn percentiles_of_a_known_distribution_are_right_to_three_digits() {
        // Given one sample at each microsecond from 1 to 10,000.
        let latency = recorder(1..=10_000).summary().unwrap();
        let near = |told: f64, right: f64| (told - right).abs() <= right / 1000.0 + 0.1;
        assert!(near(latency.p50_us, 5_000.0), "{latency:?}");
        assert!(near(latency.p90_us, 9_000.0) && near(latency.p99_us, 9_900.0), "{latency:?}");
        assert!(near(latency.p99_9_us, 9_990.0) && near(latency.max_us, 10_000.0), "{latency:?}");
        assert!(near(latency.mean_us, 5_000.5), "{latency:?}");
    }

    #[test]
    fn the_far_tail_is_told_only_of_enough_samples() {
        let mut few = Recorder::new();
        few.record_many_ns(5, SAMPLES_FOR_P99_99 - 1);
        assert_eq!(few.summary().unwrap().p99_99_us, None);
        few.record_ns(5);
        assert!(few.summary().unwrap().p99_99_us.is_some());
        assert_eq!(Recorder::new().summary(), None);
    }

    #[test]
    fn merged_histograms_say_what_one_of_all_samples_says() {
        let (low, high) = (recorder(1..=500), recorder(501..=1000));
        let merged = Latency::merged([&low.summary().unwrap(), &high.summary().unwrap()]).unwrap();
        assert_eq!(merged, recorder(1..=1000).summary());
        let broken = Latency { histogram: "AAAA".to_owned(), ..low.summary().unwrap() };
        assert!(Latency::merged([&broken]).is_err());
    }

    #[test]
    fn what_lasts_longer_than_the_bound_is_told_as_the_bound() {
        let mut recorder = Recorder::new();
        recorder.record_ns(u64::MAX);
        let max = recorder.summary().unwrap().max_us;
        assert!((max - 6e8).abs() < 6e5, "{max}");
    }
}
