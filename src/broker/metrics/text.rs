//! Prometheus's text format, version 0.0.4.
//!
//! ```text
//!   # HELP ringlog_requests_total Requests answered.
//!   # TYPE ringlog_requests_total counter
//!   ringlog_requests_total{api="Produce"} 17
//! ```

use std::fmt::{self, Display, Write};

use ringlog_core::latency::{BOUNDS_US, LatencySummary};

use crate::broker::metrics::samples::{FamilySamples, Label, Labels, Value};

/// What the format calls itself.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Appends one family with its samples.
pub fn write_family(text: &mut String, samples: &FamilySamples) {
    let family = samples.family;
    write_line(text, format_args!("# HELP {} {}", family.name, family.help));
    write_line(text, format_args!("# TYPE {} {}", family.name, family.kind.name()));
    for (labels, value) in &samples.values {
        match value {
            Value::Number(number) => {
                let braces = Braces { names: family.labels, labels, bound: None };
                write_line(text, format_args!("{}{braces} {number}", family.name));
            }
            Value::Latency(summary) => write_histogram(text, family.name, family.labels, labels, summary),
        }
    }
}

fn write_histogram(text: &mut String, name: &str, names: &[&str], labels: &Labels, summary: &LatencySummary) {
    let mut below = 0;
    for (bound_us, count) in BOUNDS_US.into_iter().zip(summary.counts) {
        below += count;
        let bound = Some(Bound::Microseconds(bound_us));
        write_line(text, format_args!("{name}_bucket{} {below}", Braces { names, labels, bound }));
    }
    let count = summary.count();
    let all = Braces { names, labels, bound: Some(Bound::Infinity) };
    let plain = Braces { names, labels, bound: None };
    write_line(text, format_args!("{name}_bucket{all} {count}"));
    write_line(text, format_args!("{name}_sum{plain} {}", summary.sum_ns as f64 / 1e9));
    write_line(text, format_args!("{name}_count{plain} {count}"));
}

fn write_line(text: &mut String, line: fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string takes every line");
}

#[derive(Clone, Copy)]
enum Bound {
    Microseconds(u64),
    Infinity,
}

/// `{name="value",le="0.01"}`, or nothing where there is neither.
struct Braces<'a> {
    names: &'a [&'a str],
    labels: &'a Labels,
    bound: Option<Bound>,
}

impl Display for Braces<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = '{';
        for (name, label) in self.names.iter().zip(self.labels) {
            write!(formatter, "{separator}{name}=\"")?;
            match label {
                Label::Number(number) => write!(formatter, "{number}")?,
                Label::Word(word) => write_escaped(formatter, word)?,
                Label::Name(name) => write_escaped(formatter, name)?,
            }
            formatter.write_char('"')?;
            separator = ',';
        }
        match self.bound {
            Some(Bound::Microseconds(us)) => write!(formatter, "{separator}le=\"{}\"", us as f64 / 1e6)?,
            Some(Bound::Infinity) => write!(formatter, "{separator}le=\"+Inf\"")?,
            None if separator == '{' => return Ok(()),
            None => {}
        }
        formatter.write_char('}')
    }
}

fn write_escaped(formatter: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    for symbol in value.chars() {
        match symbol {
            '\\' => formatter.write_str("\\\\")?,
            '"' => formatter.write_str("\\\"")?,
            '\n' => formatter.write_str("\\n")?,
            other => formatter.write_char(other)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ringlog_core::latency::LatencyHistogram;

    use super::*;
    use crate::broker::metrics::families::{JOURNAL_SECONDS, LOG_END_OFFSET, READY};
    use crate::broker::metrics::samples::Samples;

    fn text_of(samples: Samples) -> String {
        let mut text = String::new();
        samples.into_families().for_each(|family| write_family(&mut text, &family));
        text
    }

    #[test]
    fn numbers_and_labels_are_written_as_the_format_wants_them() {
        let mut samples = Samples::default();
        samples.add(&READY, [], true);
        let name = Label::Name("a\"b\\c\nd".into());
        samples.add(&LOG_END_OFFSET, [name, Label::Number(3)], 9_007_199_254_740_993_i64 - 1);
        let text = text_of(samples);
        assert!(text.contains("\n# TYPE ringlog_ready gauge\nringlog_ready 1\n"), "{text}");
        let line = r#"ringlog_partition_log_end_offset{topic="a\"b\\c\nd",partition="3"} 9007199254740992"#;
        assert!(text.contains(&format!("{line}\n")), "{text}");
    }

    #[test]
    fn a_histogram_counts_upwards_to_infinity() {
        let mut histogram = LatencyHistogram::new();
        for us in [30, 300, 99_000_000] {
            histogram.record(Duration::from_micros(us));
        }
        let mut samples = Samples::default();
        samples.add(&JOURNAL_SECONDS, [Label::Number(0), Label::Name("/a".into())], histogram.summary());
        let text = text_of(samples);
        let name = "ringlog_journal_commit_duration_seconds";
        for line in [
            format!("{name}_bucket{{shard=\"0\",directory=\"/a\",le=\"0.00001\"}} 0"),
            format!("{name}_bucket{{shard=\"0\",directory=\"/a\",le=\"0.00005\"}} 1"),
            format!("{name}_bucket{{shard=\"0\",directory=\"/a\",le=\"0.0005\"}} 2"),
            format!("{name}_bucket{{shard=\"0\",directory=\"/a\",le=\"50\"}} 2"),
            format!("{name}_bucket{{shard=\"0\",directory=\"/a\",le=\"+Inf\"}} 3"),
            format!("{name}_sum{{shard=\"0\",directory=\"/a\"}} 99.00033"),
            format!("{name}_count{{shard=\"0\",directory=\"/a\"}} 3"),
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn samples_of_two_shards_with_the_same_labels_add_up() {
        let mut sum = Samples::default();
        for shard in 0..2 {
            let mut samples = Samples::default();
            samples.add(&READY, [], 1_u64);
            samples.add(&crate::broker::metrics::families::CONNECTIONS, [Label::Number(shard)], 5_u64);
            sum.merge(samples);
        }
        let text = text_of(sum);
        assert!(text.contains("\nringlog_ready 2\n"), "{text}");
        assert!(text.contains("{shard=\"0\"} 5\n") && text.contains("{shard=\"1\"} 5\n"), "{text}");
    }
}
