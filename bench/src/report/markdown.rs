//! The report as text.

use std::fmt::Write as _;

use crate::compare::record::{ScenarioReport, Which};
use crate::report::evidence::{Evidence, Measured};
use crate::report::plots::Plot;
use crate::report::rows::{self, Row, Verdict, median, range};
use crate::scenario::{Figure, Goal};

/// All of it.
pub fn of(evidence: &Evidence, plots: &[Plot]) -> String {
    let rows = rows::of(evidence);
    let mut text = "# Two brokers side by side\n\n".to_owned();
    host(&mut text, evidence);
    text.push_str("\n## All rows\n\n");
    text.push_str(READING);
    text.push_str(&table(&rows));
    losses(&mut text, &rows);
    for plot in plots.iter().filter(|plot| plot.scenario.is_none()) {
        image(&mut text, plot);
    }
    for (report, measured) in evidence.scenarios() {
        scenario(&mut text, report, &measured, plots);
    }
    text
}

const READING: &str = "Figures are medians of the measurements that count. A ratio is ours / theirs: the median of the pairs, then the \
smallest and the largest. *No difference* is said where the figures of both sides overlap. The floor is what the device alone takes \
to write 4 KiB stably, at the same percentile.\n\n";

/// The table of rows.
pub fn table(rows: &[Row]) -> String {
    let mut text = "| scenario | figure | ours | theirs | ratio | range | reach | |\n|---|---|---|---|---|---|---|---|\n".to_owned();
    for row in rows {
        let figure = row.goal.figure;
        let _ = writeln!(
            text,
            "| {} | {figure} | {}{} | {} | {} | {} | {} | {} |",
            row.title,
            side(row, 0),
            floor(row),
            side(row, 1),
            row.ratio().map_or_else(|| "–".to_owned(), ratio_words),
            range(&row.ratios).map_or_else(
                || "–".to_owned(),
                |(low, high)| format!("{} – {}", ratio_words(low), ratio_words(high))
            ),
            row.goal.words(),
            judged(row),
        );
    }
    text
}

/// The median of one side, or why there is none.
fn side(row: &Row, which: usize) -> String {
    let values = if which == 0 { &row.ours } else { &row.theirs };
    match (median(values), &row.void[which]) {
        (Some(value), None) => row.goal.figure.shown(value),
        (Some(value), Some((count, _))) => format!("{} ({count} void)", row.goal.figure.shown(value)),
        (None, Some((_, reason))) => format!("void: {}", reason.replace('|', "/")),
        (None, None) => "not measured".to_owned(),
    }
}

fn floor(row: &Row) -> String {
    match (row.floor_us, median(&row.ours)) {
        (Some(floor), Some(ours)) if floor > 0.0 => {
            format!(" ({:.1} x the floor of {})", ours / floor, row.goal.figure.shown(floor))
        }
        _ => String::new(),
    }
}

fn judged(row: &Row) -> &'static str {
    match (row.verdict(), row.is_reached()) {
        (Verdict::NotComparable, _) => "not comparable",
        (Verdict::NoDifference, None) => "no difference",
        (Verdict::NoDifference, Some(true)) => "no difference; reached",
        (Verdict::NoDifference, Some(false)) => "no difference; **not reached**",
        (_, Some(true)) => "reached",
        (_, Some(false)) => "**not reached**",
        (Verdict::OursBetter, None) => "ours is better",
        (Verdict::TheirsBetter, None) => "theirs is better",
    }
}

/// A small ratio is easier to read as a fraction.
fn ratio_words(ratio: f64) -> String {
    match ratio {
        small if small < 0.1005 && small > 0.0 => format!("1/{:.0}", 1.0 / small),
        small if small < 0.67 && small > 0.0 => format!("1/{:.1}", 1.0 / small),
        large => format!("{large:.2}"),
    }
}

fn losses(text: &mut String, rows: &[Row]) {
    text.push_str("\n## Where theirs is better\n\n");
    let mut none = true;
    for row in rows.iter().filter(|row| row.verdict() == Verdict::TheirsBetter) {
        none = false;
        let _ = writeln!(
            text,
            "- {}, {}: {} {} against {} {}",
            row.title,
            row.goal.figure,
            row.labels[0],
            side(row, 0),
            row.labels[1],
            side(row, 1)
        );
    }
    if none {
        text.push_str("Nowhere in these rows.\n");
    }
}

fn host(text: &mut String, evidence: &Evidence) {
    let comparison = &evidence.comparison;
    let host = &comparison.host;
    let gib = host.memory_bytes as f64 / f64::from(1 << 30);
    let _ = writeln!(text, "| | |\n|---|---|\n| source | {} |", host.revision);
    let _ = writeln!(text, "| machine | {}, {} cores, {gib:.0} GiB |", host.processor, host.cores);
    let _ = writeln!(text, "| kernel | {} |\n| data | {} |", host.kernel, host.file_system);
    let _ = writeln!(text, "| load before | {:.2} |", host.load_before);
    for broker in &comparison.brokers {
        let _ = writeln!(text, "| {} | {}: `{}` |", broker.kind, broker.version, broker.command);
    }
    let _ = writeln!(text, "| command | `{}` |", comparison.command);
    if let Some(alone) = evidence.synced_write() {
        let _ = writeln!(
            text,
            "| a stable write of 4 KiB, nothing else running | p50 {:.0}, p99 {:.0}, p99.9 {:.0} us |",
            alone.p50_us, alone.p99_us, alone.p99_9_us
        );
    }
}

fn scenario(text: &mut String, report: &ScenarioReport, measured: &[Measured<'_>], plots: &[Plot]) {
    let scenario = &report.scenario;
    let _ = writeln!(text, "\n## {}\n\n{}\n", scenario.title, scenario.question);
    for prepare in &scenario.prepare {
        let _ = writeln!(text, "Before: `{prepare}`\n");
    }
    if scenario.cold {
        text.push_str("Before: stop, drop the page cache, start.\n\n");
    }
    if let Some(beside) = &scenario.beside {
        let _ = writeln!(text, "Beside: `{beside}`\n");
    }
    for (side, label) in [(Which::Ours, scenario.ours.label()), (Which::Theirs, scenario.theirs.label())] {
        let one = measured.iter().find(|one| one.measurement.side == side);
        if let Some(one) = one {
            let _ = writeln!(text, "{label}: `{}`\n", one.measurement.command);
        }
    }
    pairs(text, report, measured);
    for plot in plots.iter().filter(|plot| plot.scenario.as_deref() == Some(report.name.as_str())) {
        image(text, plot);
    }
}

/// Every measurement, so that nobody has to believe a median.
fn pairs(text: &mut String, report: &ScenarioReport, measured: &[Measured<'_>]) {
    let goals = &report.scenario.reach;
    let names = goals.iter().map(|goal| goal.figure.to_string()).collect::<Vec<_>>().join(" | ");
    let _ = writeln!(text, "| pair | side | {names} | flushes/s | device MB | stolen | |");
    let _ = writeln!(text, "|{}", "---|".repeat(goals.len() + 6));
    for one in measured {
        let usage = &one.measurement.usage;
        let label = match one.measurement.side {
            Which::Ours => report.scenario.ours.label(),
            Which::Theirs => report.scenario.theirs.label(),
        };
        let point = one.measurement.point.map_or_else(String::new, |value| format!(" at {value}"));
        let figures = goals.iter().map(|goal| told(goal, one)).collect::<Vec<_>>().join(" | ");
        let _ = writeln!(
            text,
            "| {} | {label}{point} | {figures} | {:.0} | {:.1} | {:.1} s | {} |",
            one.measurement.pair,
            usage.flushes_per_second().unwrap_or(0.0),
            usage.device_bytes_written as f64 / 1e6,
            usage.stolen_seconds,
            one.measurement.void.as_deref().unwrap_or_default().replace('|', "/"),
        );
    }
    text.push('\n');
}

fn told(goal: &Goal, one: &Measured<'_>) -> String {
    let value = Figure::of(goal.figure, one.measurement, one.result);
    value.map_or_else(|| "–".to_owned(), |value| goal.figure.shown(value))
}

fn image(text: &mut String, plot: &Plot) {
    let _ = writeln!(text, "\n![{}](plots/{})\n", plot.title, plot.file());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::figure::{LatencyKind, Percentile};

    fn row(ours: &[f64], theirs: &[f64], void: [Option<(usize, String)>; 2]) -> Row {
        let figure = Figure::Latency(LatencyKind::Publish, Percentile::P99);
        Row {
            title: "64 partitions".to_owned(),
            goal: Goal { figure, at_most: Some(0.125), at_least: None, ours_at_most: None, told_only: false },
            ours: ours.to_vec(),
            theirs: theirs.to_vec(),
            ratios: ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect(),
            labels: ["Ringlog".to_owned(), "Kafka".to_owned()],
            void,
            floor_us: Some(400.0),
        }
    }

    #[test]
    fn a_row_tells_medians_ratio_range_goal_and_floor() {
        let text = table(&[row(&[800.0, 1000.0, 900.0], &[9000.0, 10_000.0, 18_000.0], [None, None])]);
        let line = text.lines().nth(2).unwrap();
        assert_eq!(
            line,
            "| 64 partitions | publish p99 | 900 us (2.2 x the floor of 400 us) | 10.0 ms | 1/11 | 1/20 – 1/10 | ≤ 1/8 | reached |"
        );
    }

    #[test]
    fn what_does_not_count_is_told_and_never_compared() {
        let reason = Some((3, "could not keep the plan".to_owned()));
        let text = table(&[row(&[800.0], &[], [None, reason])]);
        assert!(text.contains("void: could not keep the plan") && text.contains("not comparable"), "{text}");
    }

    #[test]
    fn losses_are_told() {
        let mut text = String::new();
        losses(&mut text, &[row(&[900.0], &[100.0], [None, None])]);
        assert!(text.contains("64 partitions, publish p99: Ringlog 900 us against Kafka 100 us"), "{text}");
        let mut text = String::new();
        losses(&mut text, &[row(&[100.0], &[900.0], [None, None])]);
        assert!(text.contains("Nowhere"), "{text}");
    }
}
