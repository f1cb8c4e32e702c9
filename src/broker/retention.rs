//! Retention: every `log.retention.check.interval.ms` a shard looks which of its partitions keep too much.
//!
//! ```text
//!   each partition whose policy deletes ──► its log plans and gives up its oldest segments ──► told and counted
//! ```
//!
//! A partition is asked by the limits it has at that moment, so whatever changes them acts at the next look. A look
//! costs a partition some arithmetic; files are touched only where a segment of an earlier start decides.

use std::rc::Rc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use ringlog_core::ids::TopicPartition;
use ringlog_runtime::environment::Environment;
use ringlog_storage::{AppendError, ReadError, RetireError, RetiredSegment, RetirementReason};

use crate::broker::partition::Partition;
use crate::broker::shard::Shard;

/// The first look after a start comes at the latest then, as in Kafka: a broker that is restarted often deletes too.
const FIRST_LOOK_AFTER_MAX: Duration = Duration::from_secs(30);

/// Partitions looked at together: their notes of new starts share commits of the journal.
const PARTITIONS_AT_ONCE: usize = 16;

impl<E: Environment> Shard<E> {
    /// Looks again and again, for as long as the shard runs.
    pub(super) async fn keep_retention(self: Rc<Self>) {
        let interval = self.config.retention_check_interval;
        let mut wait = interval.min(FIRST_LOOK_AFTER_MAX);
        loop {
            self.env.sleep_until(self.env.now() + wait).await;
            if self.is_stopping() {
                return;
            }
            self.apply_retention().await;
            wait = interval;
        }
    }

    async fn apply_retention(&self) {
        let mut ids = self.partition_ids();
        ids.sort_unstable();
        for ids in ids.chunks(PARTITIONS_AT_ONCE) {
            stream::iter(ids).for_each_concurrent(None, |id| self.apply_retention_to(id)).await;
            // Thousands of partitions are no reason to let requests wait.
            self.env.yield_now().await;
        }
    }

    async fn apply_retention_to(&self, id: &TopicPartition) {
        // Deleted since the list was made, or its disk failed.
        let Ok(partition) = self.leading(id) else { return };
        let Some(retention) = partition.retention() else { return };
        match partition.log.retire_segments(&retention, partition.high_watermark()).await {
            Ok(retired) => retired.iter().for_each(|retired| self.tell_retired(&partition, retired)),
            Err(
                RetireError::Advance(AppendError::Closed | AppendError::Damaged(_) | AppendError::Failed(_))
                | RetireError::Look(ReadError::Closed),
            ) => {}
            Err(error) => tracing::warn!(
                topic = %partition.topic, partition = id.partition.0, %error,
                "retention cannot be applied now; it is tried again at the next look"
            ),
        }
    }

    fn tell_retired(&self, partition: &Partition<E>, retired: &RetiredSegment) {
        let RetiredSegment { segment, reason } = retired;
        self.counts.retired.one(*reason, segment.size_bytes);
        tracing::info!(
            topic = %partition.topic,
            partition = partition.id.partition.0,
            segment = segment.base_offset.0,
            bytes = segment.size_bytes,
            max_timestamp = segment.max_timestamp.map(|timestamp| timestamp.0),
            reason = match reason {
                RetirementReason::Age => "age",
                RetirementReason::Size => "size",
            },
            log_start_offset = partition.log.log_start_offset().0,
            "retention gave up a segment"
        );
    }
}
