//! The report's pictures: percentile curves, a figure over time, a figure over a series, processor time for each gigabyte.

use std::error::Error;
use std::fs;
use std::ops::Range;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use plotters::prelude::*;

use crate::compare::record::{ScenarioReport, Which};
use crate::latency::Recorder;
use crate::report::evidence::{Evidence, Measured};
use crate::scenario::Figure;
use crate::scenario::figure::LatencyKind;

/// A picture.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Unique in the report.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// The scenario it belongs to, if to one.
    pub scenario: Option<String>,
    /// The picture.
    pub svg: String,
}

impl Plot {
    /// Its file below `plots/`.
    pub fn file(&self) -> String {
        format!("{}.svg", self.name)
    }
}

/// A line with its name.
type Curve = (String, Vec<(f64, f64)>);

/// What stands at an axis.
struct Axes {
    x: &'static str,
    y: &'static str,
}

const SIZE: (u32, u32) = (900, 380);
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x17, 0xa2, 0xb8),
    RGBColor(0xff, 0x7f, 0x0e),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0x94, 0x67, 0xbd),
];

/// From the median to one in a hundred thousand: the x of a percentile curve is 1 / (1 - quantile).
const NINES: Range<f64> = 1.0..100_000.0;

/// Every picture there is something to draw for.
///
/// # Errors
/// What could not be drawn.
pub fn of(evidence: &Evidence) -> Result<Vec<Plot>, String> {
    let mut plots = Vec::new();
    plots.extend(cpu_per_gigabyte(evidence)?);
    for (report, measured) in evidence.scenarios() {
        plots.extend(percentiles(report, &measured)?);
        plots.extend(over_time(evidence, report, &measured)?);
        plots.extend(over_series(report, &measured)?);
    }
    Ok(plots)
}

fn sides(report: &ScenarioReport) -> [(Which, String); 2] {
    [(Which::Ours, report.scenario.ours.label()), (Which::Theirs, report.scenario.theirs.label())]
}

/// The latency a scenario is about: to the acknowledgement, else of a request.
fn kind_of(measured: &[Measured<'_>]) -> Option<LatencyKind> {
    let has = |kind: LatencyKind| {
        measured.iter().filter_map(|one| one.result).any(|result| kind.of(result).is_some())
    };
    [LatencyKind::Publish, LatencyKind::Request].into_iter().find(|kind| has(*kind))
}

fn percentiles(report: &ScenarioReport, measured: &[Measured<'_>]) -> Result<Option<Plot>, String> {
    let Some(kind) = kind_of(measured).filter(|_| report.scenario.series.is_none()) else { return Ok(None) };
    let mut curves = Vec::new();
    for (side, label) in sides(report) {
        let mut merged = Recorder::new();
        for one in measured.iter().filter(|one| one.counts_for(side, None)) {
            if let Some(latency) = one.result.and_then(|result| kind.of(result)) {
                merged.add(&latency.recorder()?);
            }
        }
        curves.push((label, curve_of(&merged)));
    }
    let title = format!("{}: {} latency by percentile", report.scenario.title, kind.name());
    let axes = Axes { x: "one in so many is longer", y: "us" };
    drawn(&format!("{}-percentiles", report.name), &title, Some(report), &axes, &curves, Scale::BothLog)
}

fn curve_of(recorder: &Recorder) -> Vec<(f64, f64)> {
    let (samples, steps) = (recorder.samples() as f64, 100);
    let one = |step: i32| {
        let nines = NINES.start * (NINES.end / NINES.start).powf(f64::from(step) / f64::from(steps));
        (nines, recorder.percentile_us((1.0 - 1.0 / nines) * 100.0))
    };
    (0..=steps).map(one).filter(|(nines, us)| *nines <= samples && *us > 0.0).collect()
}

/// The 99th percentile of every second of the first pair.
fn over_time(
    evidence: &Evidence,
    report: &ScenarioReport,
    measured: &[Measured<'_>],
) -> Result<Option<Plot>, String> {
    let Some(kind) = kind_of(measured).filter(|_| report.scenario.series.is_none()) else { return Ok(None) };
    let mut curves = Vec::new();
    for (side, label) in sides(report) {
        let one = measured.iter().find(|one| one.counts_for(side, None));
        let folder = one.map(|one| evidence.folder.join(&one.measurement.folder));
        let file = format!("{}.hlog", kind.name().replace(' ', "_"));
        curves.push((label, folder.map(|folder| seconds_in(&folder.join(file))).unwrap_or_default()));
    }
    let title = format!("{}: p99 of every second, first pair", report.scenario.title);
    let axes = Axes { x: "seconds, warm-up included", y: "us" };
    drawn(&format!("{}-time", report.name), &title, Some(report), &axes, &curves, Scale::YLog)
}

/// (second, 99th percentile in microseconds) of a log; nothing if there is none.
fn seconds_in(path: &Path) -> Vec<(f64, f64)> {
    let bytes = fs::read(path).unwrap_or_default();
    let mut points: Vec<(f64, f64)> = Vec::new();
    for entry in IntervalLogIterator::new(&bytes).flatten() {
        let LogEntry::Interval(interval) = entry else { continue };
        let read = STANDARD.decode(interval.encoded_histogram()).ok();
        let read =
            read.and_then(|bytes| Deserializer::new().deserialize::<u64, _>(&mut bytes.as_slice()).ok());
        if let Some(histogram) = read.filter(|histogram| !histogram.is_empty()) {
            let second = interval.start_timestamp().as_secs_f64();
            points.push((second, histogram.value_at_percentile(99.0) as f64 / 1e3));
        }
    }
    let first = points.first().map_or(0.0, |(second, _)| *second);
    points.into_iter().map(|(second, us)| (second - first, us)).collect()
}

fn over_series(report: &ScenarioReport, measured: &[Measured<'_>]) -> Result<Option<Plot>, String> {
    let Some(series) = &report.scenario.series else { return Ok(None) };
    let mut curves: Vec<Curve> = Vec::new();
    let latencies = report.scenario.reach.iter().map(|goal| goal.figure);
    for figure in latencies.filter(|figure| matches!(figure, Figure::Latency(..))) {
        for (side, label) in sides(report) {
            let at = |value: &f64| {
                let counted = measured.iter().filter(|one| one.counts_for(side, Some(*value)));
                let values: Vec<f64> =
                    counted.filter_map(|one| figure.of(one.measurement, one.result)).collect();
                Some((*value, super::rows::median(&values)?))
            };
            curves.push((format!("{label}: {figure}"), series.values.iter().filter_map(at).collect()));
        }
    }
    let axes = Axes { x: "value of the series", y: "us" };
    let title = format!("{}, by {}", report.scenario.title, series.option.trim_start_matches('-'));
    drawn(&format!("{}-series", report.name), &title, Some(report), &axes, &curves, Scale::BothLog)
}

/// Seconds of the broker's processor time for each GB of payload, of every scenario that moves at least 50 MB a run.
fn cpu_per_gigabyte(evidence: &Evidence) -> Result<Option<Plot>, String> {
    const BYTES_MIN: u64 = 50_000_000;
    let mut bars: Vec<(String, Which, f64)> = Vec::new();
    for (report, measured) in evidence.scenarios().filter(|(report, _)| report.scenario.series.is_none()) {
        for (side, label) in sides(report) {
            let each = measured.iter().filter(|one| one.counts_for(side, None)).filter_map(|one| {
                let result = one.result.filter(|result| result.throughput.bytes >= BYTES_MIN)?;
                Some(result.cpu.broker_cpu_seconds? / (result.throughput.bytes as f64 / 1e9))
            });
            let each: Vec<f64> = each.collect();
            if let Some(seconds) = super::rows::median(&each) {
                bars.push((format!("{}: {label}", report.scenario.title), side, seconds));
            }
        }
    }
    if bars.is_empty() {
        return Ok(None);
    }
    let title = "Processor seconds of the broker for each GB".to_owned();
    let svg = bars_drawn(&title, &bars).map_err(|error| format!("{title}: {error}"))?;
    Ok(Some(Plot { name: "cpu-per-gb".to_owned(), title, scenario: None, svg }))
}

/// Which axes are logarithmic.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    YLog,
    BothLog,
}

fn drawn(
    name: &str,
    title: &str,
    report: Option<&ScenarioReport>,
    axes: &Axes,
    curves: &[Curve],
    scale: Scale,
) -> Result<Option<Plot>, String> {
    if curves.iter().all(|(_, points)| points.is_empty()) {
        return Ok(None);
    }
    let svg = curves_drawn(title, axes, curves, scale).map_err(|error| format!("{title}: {error}"))?;
    let scenario = report.map(|report| report.name.clone());
    Ok(Some(Plot { name: name.to_owned(), title: title.to_owned(), scenario, svg }))
}

fn curves_drawn(title: &str, axes: &Axes, curves: &[Curve], scale: Scale) -> Result<String, Box<dyn Error>> {
    let points = || curves.iter().flat_map(|(_, points)| points);
    let (x, y) = (spread(points().map(|point| point.0)), spread(points().map(|point| point.1)));
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut builder = ChartBuilder::on(&area);
        builder.caption(title, ("sans-serif", 17)).margin(12).x_label_area_size(42).y_label_area_size(78);
        // The two kinds of axes are two types.
        macro_rules! draw {
            ($x:expr) => {{
                let mut chart = builder.build_cartesian_2d($x, (y.start * 0.9..y.end * 1.1).log_scale())?;
                chart.configure_mesh().x_desc(axes.x).y_desc(axes.y).draw()?;
                for ((label, points), colour) in curves.iter().zip(COLOURS.iter().cycle()) {
                    let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
                    let colour = *colour;
                    chart.draw_series(line)?.label(label.clone()).legend(move |(x, y)| {
                        PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2))
                    });
                }
                let mut labels = chart.configure_series_labels();
                labels
                    .position(SeriesLabelPosition::UpperLeft)
                    .background_style(WHITE.mix(0.8))
                    .border_style(BLACK);
                labels.draw()?;
            }};
        }
        match scale {
            Scale::YLog => draw!(x.start..x.end),
            Scale::BothLog => draw!((x.start.max(0.1)..x.end).log_scale()),
        }
        area.present()?;
    }
    Ok(svg)
}

/// From the smallest to the largest, and never nothing.
fn spread(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let smallest = values.clone().fold(f64::INFINITY, f64::min);
    let largest = values.fold(f64::NEG_INFINITY, f64::max);
    smallest..largest.max(smallest + 1.0)
}

fn bars_drawn(title: &str, bars: &[(String, Which, f64)]) -> Result<String, Box<dyn Error>> {
    const BAR: u32 = 24;
    let height = 70 + BAR * u32::try_from(bars.len())?;
    let longest = bars.iter().map(|(_, _, seconds)| *seconds).fold(0.0, f64::max);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (SIZE.0, height)).into_drawing_area();
        area.fill(&WHITE)?;
        area.draw(&Text::new(title.to_owned(), (12, 14), ("sans-serif", 17)))?;
        for (row, (label, side, seconds)) in (0_i32..).zip(bars) {
            let top = 44 + row * BAR as i32;
            let length = (seconds / longest * f64::from(SIZE.0 - 480)) as i32;
            let colour = COLOURS[usize::from(*side == Which::Theirs)];
            area.draw(&Text::new(label.clone(), (12, top), ("sans-serif", 13)))?;
            area.draw(&Rectangle::new([(400, top), (400 + length.max(1), top + 15)], colour.filled()))?;
            area.draw(&Text::new(format!("{seconds:.2}"), (406 + length, top), ("sans-serif", 13)))?;
        }
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_curve_ends_where_its_samples_do() {
        let mut recorder = Recorder::new();
        (1..=1000).for_each(|us| recorder.record_ns(us * 1000));
        let curve = curve_of(&recorder);
        let last = curve.last().unwrap();
        assert!(last.0 <= 1000.0 && last.0 > 800.0 && last.1 >= 990.0, "{last:?}");
        assert!(curve.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{curve:?}");
        assert!(curve_of(&Recorder::new()).is_empty());
    }

    #[test]
    fn pictures_hold_what_they_are_given() {
        let axes = Axes { x: "x words", y: "y words" };
        let curves = [("ours".to_owned(), vec![(1.0, 5.0), (10.0, 7.0)]), ("theirs".to_owned(), Vec::new())];
        for scale in [Scale::YLog, Scale::BothLog] {
            let svg = curves_drawn("a title", &axes, &curves, scale).unwrap();
            for words in ["a title", "x words", "y words", "ours", "theirs", "</svg>"] {
                assert!(svg.contains(words), "{words}: {svg}");
            }
        }
        let svg = bars_drawn("bars", &[("a row".to_owned(), Which::Theirs, 1.5)]).unwrap();
        assert!(svg.contains("a row") && svg.contains("1.50"), "{svg}");
    }
}
