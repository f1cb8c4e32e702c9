//! Keeping a coordinator's log short: everything that still holds is written anew behind it, then the log begins there.
//!
//! ```text
//!   log   [ ......... mostly superseded ......... ][ every group, some at a time ][ what was decided since
//!                                                   ▲ the log begins here, once all of them are committed
//! ```
//!
//! Always true: a start reads everything, whenever the broker ended: before the log begins later the old records are
//! there, afterwards each group was written behind that place, and whatever changed since came behind it. A group is
//! written with no decision between looking at it and appending it.
//!
//! This is what a compacted topic is for, done by the one who knows which records still hold.

use std::rc::Rc;
use std::time::Duration;

use ringlog_core::group::message::GroupId;
use ringlog_core::refusal::Refusal;
use ringlog_replication::leader::Acks;
use ringlog_replication::pending_acks::Ticket;
use ringlog_runtime::environment::{Environment, TaskClass};

use crate::broker::groups::coordinating::own_record;
use crate::broker::groups::seat::Seat;
use crate::broker::own_records::batches;
use crate::broker::partition::Partition;
use crate::broker::refusals::append_refusal;
use crate::broker::shard::Shard;

/// A log with so many bytes is worth renewing, if they are also [`SUPERSEDED_FACTOR`] times those of the last renewal.
const RENEW_BYTES: u64 = 8 << 20;

/// ... or with more than this part of the journal, which has to take everybody else's records as well. A real journal is
/// large enough for the bytes above; a small one has its logs renewed sooner.
const JOURNAL_PART: u64 = 8;

/// How many times what still holds may be written before it is written anew: at most a third more is written for it.
const SUPERSEDED_FACTOR: u64 = 4;

/// Records written without a pause for others.
const RECORDS_AT_ONCE: usize = 500;

/// How often to look whether all of it is committed.
const COMMIT_LOOK: Duration = Duration::from_millis(1);

impl<E: Environment> Shard<E> {
    /// Renews the log of a seat if enough was written since it was last renewed.
    pub(super) fn renew_if_due(self: &Rc<Self>, seat: &Rc<Seat>, partition: &Rc<Partition<E>>) {
        let segment_bytes = self.config.offsets_topic.segment_bytes.unsigned_abs().into();
        let bytes_min =
            RENEW_BYTES.min(segment_bytes).min(self.directories.first().journal_bytes_max() / JOURNAL_PART);
        let is_due = seat.log_bytes.get() >= bytes_min.max(SUPERSEDED_FACTOR * seat.renewed_bytes.get());
        if is_due && seat.is_active() && !seat.renewing.replace(true) {
            self.env.spawn(TaskClass::Admin, self.clone().renew(seat.clone(), partition.clone()));
        }
    }

    async fn renew(self: Rc<Self>, seat: Rc<Seat>, partition: Rc<Partition<E>>) {
        seat.log_bytes.set(0);
        if let Err(refusal) = self.write_all_groups(&seat, &partition).await {
            // The old records are all there. It is tried again when as much has been written once more.
            tracing::warn!(
                topic = %partition.topic, partition = partition.id.partition.0, %refusal,
                "the log of groups cannot be written anew now"
            );
        }
        seat.renewing.set(false);
    }

    async fn write_all_groups(self: &Rc<Self>, seat: &Seat, partition: &Partition<E>) -> Result<(), Refusal> {
        partition.log.ready().await.map_err(append_refusal)?;
        partition.log.roll();
        let renewed_start = partition.log.log_end_offset();
        let (mut written_up_to, mut bytes): (Option<GroupId>, u64) = (None, 0);
        loop {
            partition.log.ready().await.map_err(append_refusal)?;
            let next = match seat.coordinator.borrow().as_ref() {
                Some(coordinator) => coordinator.records_behind(written_up_to.as_ref(), RECORDS_AT_ONCE),
                // The partition is somebody else's, or the shard stops.
                None => return Ok(()),
            };
            let Some((records, last)) = next else { break };
            let records: Vec<_> = records.iter().map(own_record).collect();
            for batch in batches(&records, self.env.wall_clock()) {
                bytes += batch.len() as u64;
                partition.append_own(&batch, Acks::None, Ticket(0)).map_err(append_refusal)?;
            }
            written_up_to = Some(last);
            self.env.yield_now().await;
        }
        seat.renewed_bytes.set(bytes);
        let renewed_end = partition.log.log_end_offset();
        while partition.high_watermark() < renewed_end {
            if !seat.is_taken() {
                return Ok(());
            }
            self.env.sleep_until(self.env.now() + COMMIT_LOOK).await;
        }
        partition.log.advance_log_start(renewed_start).await.map_err(append_refusal)?;
        tracing::debug!(
            partition = partition.id.partition.0,
            log_start_offset = renewed_start.0,
            bytes,
            "the log of groups was written anew"
        );
        Ok(())
    }
}
