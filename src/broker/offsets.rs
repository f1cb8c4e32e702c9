//! Look-ups on the owning shard: offsets by time or end, ends of leader epochs.

use std::rc::Rc;

use ringlog_core::ids::Offset;
use ringlog_core::refusal::Refusal;
use ringlog_core::time::Timestamp;
use ringlog_runtime::environment::Environment;
use ringlog_storage::TimestampOffset;

use crate::broker::calls::ReplyTo;
use crate::broker::message::{
    Answer, FindEpochEnd, FindOffset, FoundEpochEnd, FoundOffset, OffsetAndTime, OffsetTarget,
};
use crate::broker::partition::Partition;
use crate::broker::refusals::read_refusal;
use crate::broker::shard::Shard;

impl<E: Environment> Shard<E> {
    pub(super) async fn find_offsets(self: Rc<Self>, finds: Vec<FindOffset>, reply_to: ReplyTo) {
        let mut found = Vec::with_capacity(finds.len());
        for find in finds {
            found.push(FoundOffset { index: find.index, result: self.find_offset(&find).await });
        }
        self.answer(reply_to, Answer::Offsets(found));
    }

    async fn find_offset(&self, find: &FindOffset) -> Result<Option<OffsetAndTime>, Refusal> {
        let partition = self.reading(&find.partition)?;
        partition.check_epoch(find.current_leader_epoch)?;
        let high_watermark = partition.high_watermark();
        let refused = |error| read_refusal(&partition.log, error);
        match find.target {
            OffsetTarget::Latest => Ok(Some(log_place(&partition, high_watermark))),
            OffsetTarget::Earliest => Ok(Some(log_place(&partition, partition.log.log_start_offset()))),
            OffsetTarget::Tiered => Ok(None),
            OffsetTarget::MaxTimestamp => {
                partition.log.ready_to_read().await.map_err(refused)?;
                let found = partition.log.offset_of_max_timestamp(high_watermark).await;
                Ok(found.map_err(refused)?.map(record_place))
            }
            OffsetTarget::At(timestamp) => {
                partition.log.ready_to_read().await.map_err(refused)?;
                let found = partition.log.offset_for_timestamp(timestamp, high_watermark).await;
                Ok(found.map_err(refused)?.map(record_place))
            }
        }
    }

    pub(super) fn find_epoch_ends(self: &Rc<Self>, finds: Vec<FindEpochEnd>, reply_to: ReplyTo) {
        let found = finds
            .iter()
            .map(|find| FoundEpochEnd { index: find.index, result: self.find_epoch_end(find) })
            .collect();
        self.answer(reply_to, Answer::EpochEnds(found));
    }

    fn find_epoch_end(
        &self,
        find: &FindEpochEnd,
    ) -> Result<Option<(ringlog_core::ids::LeaderEpoch, Offset)>, Refusal> {
        let partition = self.reading(&find.partition)?;
        partition.check_epoch(find.current_leader_epoch)?;
        Ok(partition.log.epoch_end_offset(find.leader_epoch))
    }
}

/// An end of the log: an offset without a record, hence without a timestamp.
fn log_place<E: Environment>(partition: &Partition<E>, offset: Offset) -> OffsetAndTime {
    OffsetAndTime { offset, timestamp: Timestamp::NONE, leader_epoch: partition.log.epoch_at(offset) }
}

fn record_place(found: TimestampOffset) -> OffsetAndTime {
    OffsetAndTime { offset: found.offset, timestamp: found.timestamp, leader_epoch: found.leader_epoch }
}
