//! How far consumer groups are behind: what they committed against what there is to read.
//!
//! Whoever keeps committed offsets gives them here as they are; a partition whose end is not known to the answer (it
//! was deleted, or is beyond `ringlog.metrics.partitions.max`) has an offset and no lag.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringlog_core::ids::{Offset, PartitionIndex, TopicName};

use crate::broker::metrics::families::{Family, Kind};
use crate::broker::metrics::samples::{Label, Samples};

/// The offset a group committed.
pub static COMMITTED_OFFSET: Family = Family {
    name: "ringlog_group_committed_offset",
    kind: Kind::Gauge,
    labels: &["group", "topic", "partition"],
    help: "The offset the group will read next.",
};

/// How many offsets the group is behind.
pub static LAG: Family = Family {
    name: "ringlog_group_lag",
    kind: Kind::Gauge,
    labels: &["group", "topic", "partition"],
    help: "Offsets between what the group committed and the high watermark.",
};

/// Where partitions end for consumers.
pub type HighWatermarks = BTreeMap<(TopicName, PartitionIndex), Offset>;

/// Adds what groups committed and how far that is behind.
pub fn add_group_lag(
    samples: &mut Samples,
    committed: impl IntoIterator<Item = (Arc<str>, TopicName, PartitionIndex, Offset)>,
    high_watermarks: &HighWatermarks,
) {
    for (group, topic, partition, offset) in committed {
        let labels = || {
            [Label::Name(group.clone()), Label::Name(topic.clone()), Label::Number(i64::from(partition.0))]
        };
        samples.add(&COMMITTED_OFFSET, labels(), offset.0);
        if let Some(end) = high_watermarks.get(&(topic.clone(), partition)) {
            samples.add(&LAG, labels(), (end.0 - offset.0).max(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::metrics::text::write_family;

    #[test]
    fn a_group_is_behind_by_what_it_has_not_read_and_never_ahead() {
        let topic: TopicName = "orders".into();
        let group: Arc<str> = "billing".into();
        let committed = [(0, 70), (1, 105), (2, 5)].map(|(partition, offset)| {
            (group.clone(), topic.clone(), PartitionIndex(partition), Offset(offset))
        });
        let ends =
            [(0, 100), (1, 100)].map(|(index, end)| ((topic.clone(), PartitionIndex(index)), Offset(end)));
        let mut samples = Samples::default();
        add_group_lag(&mut samples, committed, &HighWatermarks::from(ends));
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
