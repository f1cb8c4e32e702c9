//! How far consumer groups are behind: what they committed against what there is to read.
//!
//! ```text
//!   shards of groups ──► committed offset {group, topic, partition} ┐
//!   shards of partitions ──► high watermark {topic, partition} ─────┴──► lag {group, topic, partition}
//! ```
//!
//! A partition whose end is not known to the page (it was deleted, or is beyond `ringlog.metrics.partitions.max`) has an
//! offset and no lag.

use crate::broker::metrics::families::{GROUP_COMMITTED_OFFSET, GROUP_LAG, HIGH_WATERMARK};
use crate::broker::metrics::samples::{Labels, Samples, Value};

/// Adds how far each group is behind, from what all shards said.
pub fn add_group_lag(samples: &mut Samples) {
    let mut behind = Vec::new();
    for (labels, committed) in samples.of(&GROUP_COMMITTED_OFFSET) {
        let [group, topic, partition] = &labels[..] else { unreachable!("an offset has three labels") };
        let end = samples.value(&HIGH_WATERMARK, &Labels::from_iter([topic.clone(), partition.clone()]));
        if let (Some(Value::Number(end)), Value::Number(committed)) = (end, committed) {
            behind.push(([group.clone(), topic.clone(), partition.clone()], (end - committed).max(0.0)));
        }
    }
    for (labels, lag) in behind {
        samples.add(&GROUP_LAG, labels, lag as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::metrics::samples::Label;
    use crate::broker::metrics::text::write_family;

    #[test]
    fn a_group_is_behind_by_what_it_has_not_read_and_never_ahead() {
        let name = |text: &str| Label::Name(Arc::from(text));
        let mut samples = Samples::default();
        for (partition, offset) in [(0, 70), (1, 105), (2, 5)] {
            let labels = [name("billing"), name("orders"), Label::Number(partition)];
            samples.add(&GROUP_COMMITTED_OFFSET, labels, offset as u64);
        }
        for partition in [0, 1] {
            samples.add(&HIGH_WATERMARK, [name("orders"), Label::Number(partition)], 100_u64);
        }
        add_group_lag(&mut samples);
        let mut text = String::new();
        samples.into_families().for_each(|family| write_family(&mut text, &family));
        let lag = |partition, lag| {
            format!(
                "ringlog_group_lag{{group=\"billing\",topic=\"orders\",partition=\"{partition}\"}} {lag}\n"
            )
        };
        assert!(text.contains(&lag(0, 30)) && text.contains(&lag(1, 0)), "{text}");
        assert_eq!(text.matches("ringlog_group_committed_offset{").count(), 3, "{text}");
        assert_eq!(text.matches("ringlog_group_lag{").count(), 2, "no lag where the end is unknown: {text}");
    }
}
