//! Records out of the batches of a snapshot and of the segments behind it.
//!
//! ```text
//!   snapshot NNN-EEE: everything below offset NNN   ──► replay.snapshot(bytes, NNN)
//!   segments: batches from any offset on            ──► replay.segment(bytes), in order; what lies below NNN is passed over
//!   replay.finish()                                 ──► the image
//! ```
//!
//! Always true: every offset is replayed once and in order; records of a transaction that did not end are not replayed. The
//! last batch of the last segment may be torn: it was never acted by. A damaged one that a whole one follows is no such end.

use super::image::KraftImage;
use super::record::{KraftFault, KraftRecord};
use crate::compression::DecompressionBudget;
use crate::ids::Offset;
use crate::record_batch::{BatchFault, RawBatch};

/// A metadata log on its way to an image.
#[derive(Clone, Debug, Default)]
pub struct KraftReplay {
    image: KraftImage,
    /// Everything below was replayed.
    next_offset: Offset,
    /// Records of a transaction that has not ended.
    transaction: Option<Vec<KraftRecord>>,
    is_torn: bool,
}

impl KraftReplay {
    /// Everything below `end_offset`, as a snapshot has it.
    ///
    /// # Errors
    /// A snapshot that is not whole: it was renamed to its name after it was.
    pub fn snapshot(bytes: &[u8], end_offset: Offset) -> Result<KraftReplay, KraftFault> {
        let mut replay = KraftReplay::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let batch = whole_batch(rest)?;
            rest = &rest[batch.bytes().len()..];
            replay.batch(&batch)?;
        }
        if replay.transaction.is_some() {
            return Err(KraftFault::OutOfPlace {
                reason: "a transaction is open in the snapshot".to_owned(),
            });
        }
        replay.next_offset = end_offset;
        Ok(replay)
    }

    /// The records of a segment that were not replayed yet. Its end may be torn, if it is the last.
    ///
    /// # Errors
    /// A gap before it, or a batch that is damaged.
    pub fn segment(&mut self, bytes: &[u8]) -> Result<(), KraftFault> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.is_torn {
                let reason = "a batch is damaged that others follow".to_owned();
                return Err(KraftFault::Batch { reason });
            }
            let Ok(batch) = whole_batch(rest) else {
                if self.goes_on_behind(rest) {
                    let position = bytes.len() - rest.len();
                    let reason = format!("the batch at byte {position} is damaged, and whole ones follow it");
                    return Err(KraftFault::Batch { reason });
                }
                self.is_torn = true;
                return Ok(());
            };
            rest = &rest[batch.bytes().len()..];
            if batch.header().next_offset() <= self.next_offset {
                continue;
            }
            let (found, expected) = (batch.header().base_offset(), self.next_offset);
            if found > expected {
                let reason = format!("offset {found} comes where {expected} is next: a segment is missing");
                return Err(KraftFault::OutOfPlace { reason });
            }
            self.batch(&batch)?;
            self.next_offset = batch.header().next_offset();
        }
        Ok(())
    }

    /// Whether a whole batch that was not replayed begins anywhere behind the first byte of a damaged one: its length may be
    /// what is damaged.
    fn goes_on_behind(&self, damaged: &[u8]) -> bool {
        let is_new = |batch: RawBatch<'_>| batch.header().next_offset() > self.next_offset;
        (1..damaged.len()).any(|at| whole_batch(&damaged[at..]).is_ok_and(is_new))
    }

    /// Whether the end was torn.
    pub fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// The first offset that was not replayed.
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// What it all adds up to.
    pub fn finish(self) -> KraftImage {
        self.image
    }

    fn batch(&mut self, batch: &RawBatch<'_>) -> Result<(), KraftFault> {
        if batch.header().attributes().is_control() {
            return Ok(());
        }
        let mut budget = DecompressionBudget::default();
        let records = batch.records(&mut budget).map_err(fault)?;
        for record in &records {
            let record = record.map_err(fault)?;
            let value = record.value.ok_or(KraftFault::EndsEarly { field: "frame version" })?;
            // The snapshot may end within a batch.
            let offset = batch.header().base_offset().0.saturating_add(i64::from(record.offset_delta));
            if offset >= self.next_offset.0 {
                self.record(KraftRecord::parse(value)?)?;
            }
        }
        Ok(())
    }

    fn record(&mut self, record: KraftRecord) -> Result<(), KraftFault> {
        match (record, self.transaction.take()) {
            (KraftRecord::BeginTransaction, None) => self.transaction = Some(Vec::new()),
            (KraftRecord::EndTransaction, Some(records)) => {
                for record in &records {
                    self.image.apply(record)?;
                }
            }
            (KraftRecord::AbortTransaction, Some(_)) => {}
            (
                KraftRecord::BeginTransaction | KraftRecord::EndTransaction | KraftRecord::AbortTransaction,
                _,
            ) => {
                let reason = "a transaction begins within another, or ends without having begun".to_owned();
                return Err(KraftFault::OutOfPlace { reason });
            }
            (record, Some(mut records)) => {
                records.push(record);
                self.transaction = Some(records);
            }
            (record, None) => self.image.apply(&record)?,
        }
        Ok(())
    }
}

fn fault(fault: BatchFault) -> KraftFault {
    KraftFault::Batch { reason: fault.to_string() }
}

/// The first batch, its checksum verified.
fn whole_batch(bytes: &[u8]) -> Result<RawBatch<'_>, KraftFault> {
    let (batch, _) = RawBatch::split_first(bytes).map_err(fault)?;
    batch.verify_checksum().map_err(fault)?;
    Ok(batch)
}
