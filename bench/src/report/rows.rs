//! What follows from measurements: a row for each figure of each scenario.

use crate::compare::record::Which;
use crate::report::evidence::{Evidence, Measured};
use crate::scenario::figure::{Better, LatencyKind, Percentile};
use crate::scenario::{Durability, Figure, Goal, Scenario};

/// One figure of one scenario.
#[derive(Clone, Debug)]
pub struct Row {
    /// The scenario's title, with the value of its series.
    pub title: String,
    /// What shall be reached.
    pub goal: Goal,
    /// Our figures, of measurements that count.
    pub ours: Vec<f64>,
    /// Theirs.
    pub theirs: Vec<f64>,
    /// ours / theirs, of pairs in which both count.
    pub ratios: Vec<f64>,
    /// What the sides are called.
    pub labels: [String; 2],
    /// Measurements that do not count, and why the first of them does not, by side.
    pub void: [Option<(usize, String)>; 2],
    /// What the device takes alone for what a durable acknowledgement waits for, in microseconds.
    pub floor_us: Option<f64>,
}

/// What a row says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Every one of our figures is better than every one of theirs.
    OursBetter,
    /// Every one of theirs is better.
    TheirsBetter,
    /// The ranges overlap.
    NoDifference,
    /// One side has no figure.
    NotComparable,
}

/// All rows, in the order of scenarios and goals.
pub fn of(evidence: &Evidence) -> Vec<Row> {
    let mut rows = Vec::new();
    for (report, measured) in evidence.scenarios() {
        for point in report.scenario.points() {
            for goal in &report.scenario.reach {
                rows.push(row(evidence, &report.scenario, &measured, point, *goal));
            }
        }
    }
    rows
}

fn row(
    evidence: &Evidence,
    scenario: &Scenario,
    measured: &[Measured<'_>],
    point: Option<f64>,
    goal: Goal,
) -> Row {
    let at = match (&scenario.series, point) {
        (Some(series), Some(value)) => format!(", {} {value}", series.option.trim_start_matches('-')),
        _ => String::new(),
    };
    let figure = |which: Which, pair: Option<u32>| -> Vec<f64> {
        let of_pair = |one: &&Measured<'_>| pair.is_none_or(|pair| one.measurement.pair == pair);
        let counted = measured.iter().filter(|one| one.counts_for(which, point)).filter(of_pair);
        counted.filter_map(|one| goal.figure.of(one.measurement, one.result)).collect()
    };
    let pairs = measured.iter().map(|one| one.measurement.pair).max().unwrap_or(0);
    let ratio = |pair: u32| match (
        figure(Which::Ours, Some(pair)).first(),
        figure(Which::Theirs, Some(pair)).first(),
    ) {
        (Some(ours), Some(theirs)) if *theirs > 0.0 => Some(ours / theirs),
        _ => None,
    };
    Row {
        title: format!("{}{at}", scenario.title),
        goal,
        ours: figure(Which::Ours, None),
        theirs: figure(Which::Theirs, None),
        ratios: (1..=pairs).filter_map(ratio).collect(),
        labels: [scenario.ours.label(), scenario.theirs.label()],
        void: [void(measured, Which::Ours, point), void(measured, Which::Theirs, point)],
        floor_us: floor(evidence, scenario, goal.figure),
    }
}

fn void(measured: &[Measured<'_>], side: Which, point: Option<f64>) -> Option<(usize, String)> {
    let of_side =
        measured.iter().map(|one| one.measurement).filter(|one| one.side == side && one.point == point);
    let reasons: Vec<&String> = of_side.filter_map(|one| one.void.as_ref()).collect();
    reasons.first().map(|first| (reasons.len(), (*first).clone()))
}

fn floor(evidence: &Evidence, scenario: &Scenario, figure: Figure) -> Option<f64> {
    let Figure::Latency(LatencyKind::Publish, percentile) = figure else { return None };
    let alone = evidence.synced_write().filter(|_| scenario.ours.durability == Some(Durability::Synced))?;
    Some(match percentile {
        Percentile::P50 => alone.p50_us,
        Percentile::P99 => alone.p99_us,
        Percentile::P99_9 => alone.p99_9_us,
    })
}

impl Row {
    /// The median of the pairs' ratios.
    pub fn ratio(&self) -> Option<f64> {
        median(&self.ratios)
    }

    /// Whether the goal is reached; nothing if there is none, or nothing to judge by.
    pub fn is_reached(&self) -> Option<bool> {
        self.goal.is_reached(self.ratio(), median(&self.ours)?)
    }

    /// What the row says.
    pub fn verdict(&self) -> Verdict {
        let (Some(ours), Some(theirs)) = (range(&self.ours), range(&self.theirs)) else {
            return Verdict::NotComparable;
        };
        let ours_smaller = ours.1 < theirs.0;
        let ours_larger = ours.0 > theirs.1;
        match (self.goal.figure.better(), ours_smaller, ours_larger) {
            (_, false, false) => Verdict::NoDifference,
            (Better::Smaller, true, _) | (Better::Larger, _, true) => Verdict::OursBetter,
            (Better::Smaller, false, true) | (Better::Larger, true, false) => Verdict::TheirsBetter,
        }
    }
}

/// The middle one, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The smallest and the largest.
pub fn range(values: &[f64]) -> Option<(f64, f64)> {
    let smallest = values.iter().copied().min_by(f64::total_cmp)?;
    let largest = values.iter().copied().max_by(f64::total_cmp)?;
    Some((smallest, largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(figure: Figure, ours: &[f64], theirs: &[f64]) -> Row {
        Row {
            title: "a row".to_owned(),
            goal: Goal { figure, at_most: Some(0.5), at_least: None, ours_at_most: None, told_only: false },
            ours: ours.to_vec(),
            theirs: theirs.to_vec(),
            ratios: ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect(),
            labels: ["ours".to_owned(), "theirs".to_owned()],
            void: [None, None],
            floor_us: None,
        }
    }

    #[test]
    fn a_ratio_is_the_median_of_the_pairs_ratios_and_not_the_ratio_of_medians() {
        let row = row(Figure::CpuPerRecord, &[1.0, 9.0, 2.0], &[2.0, 10.0, 100.0]);
        assert_eq!(row.ratio(), Some(0.5));
        assert_eq!(row.is_reached(), Some(true));
        assert_eq!((median(&[4.0, 1.0]), median(&[])), (Some(2.5), None));
    }

    #[test]
    fn ranges_that_overlap_are_no_difference() {
        assert_eq!(row(Figure::CpuPerRecord, &[1.0, 3.0], &[3.0, 9.0]).verdict(), Verdict::NoDifference);
        assert_eq!(row(Figure::CpuPerRecord, &[1.0, 2.0], &[3.0, 9.0]).verdict(), Verdict::OursBetter);
        assert_eq!(row(Figure::CpuPerRecord, &[10.0], &[3.0, 9.0]).verdict(), Verdict::TheirsBetter);
        assert_eq!(row(Figure::MegabytesPerSecond, &[10.0], &[3.0, 9.0]).verdict(), Verdict::OursBetter);
        assert_eq!(row(Figure::MegabytesPerSecond, &[1.0], &[3.0, 9.0]).verdict(), Verdict::TheirsBetter);
        assert_eq!(row(Figure::MegabytesPerSecond, &[1.0], &[]).verdict(), Verdict::NotComparable);
    }
}
