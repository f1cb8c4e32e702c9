//! Kafka's transactions in a log, from its batches alone (KIP-98): which are open, which were rolled back, and where.

use std::collections::BTreeMap;

use ringlog_core::compression::DecompressionBudget;
use ringlog_core::ids::{Offset, ProducerId};
use ringlog_core::record_batch::RawBatch;

use super::Kept;

/// A marker's key: its version, then what it does.
const ABORT: [u8; 2] = [0, 0];
const COMMIT: [u8; 2] = [0, 1];

/// A transaction of this log that was rolled back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AbortedTransaction {
    /// Whose.
    pub producer: ProducerId,
    /// Where it began.
    pub first_offset: Offset,
    /// Where its marker is.
    pub marker_offset: Offset,
}

/// What is known of a log's transactions at one place of it.
#[derive(Clone, Debug)]
pub(super) struct Transactions {
    /// As an earlier walk found them, by where they begin.
    rolled_back: BTreeMap<(ProducerId, Offset), AbortedTransaction>,
    /// As this walk finds them.
    aborted: Vec<AbortedTransaction>,
    open: BTreeMap<ProducerId, Offset>,
}

impl Transactions {
    pub fn new(rolled_back: Vec<AbortedTransaction>) -> Transactions {
        let rolled_back = rolled_back.into_iter().map(|one| ((one.producer, one.first_offset), one));
        Transactions { rolled_back: rolled_back.collect(), aborted: Vec::new(), open: BTreeMap::new() }
    }

    pub fn aborted(&self) -> &[AbortedTransaction] {
        &self.aborted
    }

    /// Whether one was found that the walk before did not know of.
    pub fn has_news(&self) -> bool {
        self.aborted.iter().any(|one| !self.rolled_back.contains_key(&(one.producer, one.first_offset)))
    }

    pub fn open(&self) -> Vec<(ProducerId, Offset)> {
        self.open.iter().map(|(producer, offset)| (*producer, *offset)).collect()
    }

    /// Goes over a batch.
    pub fn pass(&mut self, batch: &RawBatch<'_>) -> Result<Kept, String> {
        let header = batch.header();
        let producer = header.producer_id();
        if !header.attributes().is_transactional() {
            return Ok(Kept::Copied);
        }
        if header.attributes().is_control() {
            self.end(producer, header.base_offset(), batch)?;
            return Ok(Kept::Copied);
        }
        self.open.entry(producer).or_insert(header.base_offset());
        let before = self.rolled_back.range(..=(producer, header.base_offset())).next_back();
        let is_rolled_back = before.is_some_and(|((of, _), transaction)| {
            *of == producer && header.last_offset() < transaction.marker_offset
        });
        Ok(if is_rolled_back { Kept::LeftOut } else { Kept::Copied })
    }

    fn end(&mut self, producer: ProducerId, offset: Offset, batch: &RawBatch<'_>) -> Result<(), String> {
        let mut budget = DecompressionBudget::default();
        let records = batch.records(&mut budget).map_err(|fault| fault.to_string())?;
        for record in &records {
            let record = record.map_err(|fault| fault.to_string())?;
            let kind = record.key.and_then(|key| key.get(2..4));
            let Some(kind) = kind.filter(|kind| *kind == ABORT || *kind == COMMIT) else { continue };
            let Some(first_offset) = self.open.remove(&producer) else { continue };
            if *kind == ABORT {
                let transaction = AbortedTransaction { producer, first_offset, marker_offset: offset };
                self.aborted.push(transaction);
            }
        }
        Ok(())
    }
}
