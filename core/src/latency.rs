//! How long things took: recorded finely, told in the buckets that monitoring asks for.
//!
//! ```text
//!   record(duration) ──► high dynamic range histogram, 1 % fine ──summary()──► counts between fixed bounds
//! ```
//!
//! Always true: what took at most a bound is counted below it; of what took longer, only what is within one
//! percent of the bound may be. Counts never fall, so differences of two summaries mean something.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The upper bounds of a summary's buckets, in microseconds; one more bucket holds what took longer.
pub const BOUNDS_US: [u64; 21] = [
    10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 50_000_000,
];

/// What is shorter is not told apart.
const SHORTEST_NS: u64 = 1_000;

/// What is longer counts as this long.
const LONGEST_NS: u64 = 100_000_000_000;

/// Two significant digits: one percent.
const DIGITS: u8 = 2;

/// Durations of one kind of thing. About 20 KiB.
#[derive(Clone, Debug)]
pub struct LatencyHistogram {
    recorded: Histogram<u64>,
    sum_ns: u64,
}

impl LatencyHistogram {
    /// Nothing recorded.
    pub fn new() -> LatencyHistogram {
        let recorded = Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, DIGITS);
        LatencyHistogram { recorded: recorded.expect("the bounds are in order"), sum_ns: 0 }
    }

    /// One more took so long.
    pub fn record(&mut self, duration: Duration) {
        let duration_ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.recorded.saturating_record(duration_ns);
        self.sum_ns = self.sum_ns.saturating_add(duration_ns);
    }

    /// What was recorded so far.
    pub fn summary(&self) -> LatencySummary {
        let mut counts = [0; BOUNDS_US.len() + 1];
        for recorded in self.recorded.iter_recorded() {
            let shortest_ns = self.recorded.lowest_equivalent(recorded.value_iterated_to());
            let bucket = BOUNDS_US.partition_point(|bound_us| bound_us * 1_000 < shortest_ns);
            counts[bucket] += recorded.count_since_last_iteration();
        }
        LatencySummary { counts, sum_ns: self.sum_ns }
    }
}

impl Default for LatencyHistogram {
    fn default() -> LatencyHistogram {
        LatencyHistogram::new()
    }
}

/// Durations in buckets. Summaries of several shards add up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LatencySummary {
    /// How many are in each bucket of [`BOUNDS_US`], then how many took longer.
    pub counts: [u64; BOUNDS_US.len() + 1],
    /// All durations together.
    pub sum_ns: u64,
}

impl LatencySummary {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds those of another place.
    pub fn add(&mut self, other: &LatencySummary) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary_of(durations_us: &[u64]) -> LatencySummary {
        let mut histogram = LatencyHistogram::new();
        durations_us.iter().for_each(|us| histogram.record(Duration::from_micros(*us)));
        histogram.summary()
    }

    #[test]
    fn what_took_exactly_a_bound_is_counted_below_it_and_two_percent_more_is_not() {
        for (bucket, bound_us) in BOUNDS_US.into_iter().enumerate() {
            assert_eq!(summary_of(&[bound_us]).counts[bucket], 1, "{bound_us} us");
            assert_eq!(summary_of(&[bound_us + bound_us / 25 + 1]).counts[bucket], 0, "{bound_us} us");
        }
    }

    #[test]
    fn the_shortest_and_the_longest_have_their_place() {
        let summary = summary_of(&[0, 3_600_000_000]);
        assert_eq!((summary.counts[0], summary.counts[BOUNDS_US.len()]), (1, 1));
        assert_eq!((summary.count(), summary.sum_ns), (2, 3_600_000_000_000));
    }

    #[test]
    fn summaries_of_several_shards_add_up() {
        let mut sum = summary_of(&[15, 700]);
        sum.add(&summary_of(&[700, 60_000_000]));
        assert_eq!(sum, summary_of(&[15, 700, 700, 60_000_000]));
    }
}
