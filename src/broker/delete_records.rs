//! DeleteRecords on the owning shard: a log begins later (KIP-107).
//!
//! ```text
//!   call ──► within the high watermark? ──► note in the journal, durable ──► readers see it ──► answer
//!                                                                       └──► passed segments' files go
//! ```

use std::rc::Rc;

use futures_util::future::join_all;
use ringlog_core::ids::Offset;
use ringlog_core::refusal::Refusal;
use ringlog_runtime::environment::Environment;

use crate::broker::calls::ReplyTo;
use crate::broker::message::{Answer, DeleteRecords, RecordsDeleted};
use crate::broker::refusals::append_refusal;
use crate::broker::shard::Shard;

/// Stands for the high watermark.
const TO_HIGH_WATERMARK: Offset = Offset(-1);

impl<E: Environment> Shard<E> {
    /// Shortens logs of this shard; all notes of a request share the journal's next commit.
    pub(super) async fn delete_records(self: Rc<Self>, deletions: Vec<DeleteRecords>, reply_to: ReplyTo) {
        let deleted = join_all(deletions.iter().map(|deletion| self.delete_from_front(deletion))).await;
        let deleted = deletions.iter().zip(deleted);
        let deleted = deleted.map(|(deletion, result)| RecordsDeleted { index: deletion.index, result });
        self.answer(reply_to, Answer::RecordsDeleted(deleted.collect()));
    }

    async fn delete_from_front(&self, deletion: &DeleteRecords) -> Result<Offset, Refusal> {
        let partition = self.leading(&deletion.partition)?;
        if partition.is_only_compacted() {
            return Err(Refusal::RecordsOnlyCompacted);
        }
        let high_watermark = partition.high_watermark();
        let before_offset = match deletion.before_offset {
            TO_HIGH_WATERMARK => high_watermark,
            offset if offset >= Offset(0) && offset <= high_watermark => offset,
            offset => {
                return Err(Refusal::OffsetOutOfRange {
                    offset,
                    log_start_offset: partition.log.log_start_offset(),
                    log_end_offset: high_watermark,
                });
            }
        };
        partition.log.advance_log_start(before_offset).await.map_err(append_refusal)?;
        Ok(partition.log.log_start_offset())
    }
}
