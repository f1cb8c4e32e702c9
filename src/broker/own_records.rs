//! Records of the broker's own in a partition it leads: appended like a client's, and read back at the start.
//!
//! ```text
//!   records ──► batches ──► log ──► journal ──► committed ──► what they unlock: answers leave
//!   log ──► batches, checked ──► each record in order (after a start)
//! ```
//!
//! Always true: an answer that records unlock leaves only after the last of them is committed; if that never
//! happens it is turned into a refusal.

use std::cell::RefCell;
use std::time::Duration;

use ringlog_core::compression::DecompressionBudget;
use ringlog_core::ids::Offset;
use ringlog_core::record_batch::{BatchBuilder, RawBatch, RecordRef};
use ringlog_core::refusal::Refusal;
use ringlog_core::time::Timestamp;
use ringlog_replication::pending_acks::Ticket;
use ringlog_runtime::environment::Environment;
use ringlog_storage::{AtLeastOne, ReadError};
use slab::Slab;

use crate::broker::partition::Partition;

/// Tells the tickets of the broker's own batches from those of clients.
const OWN: u64 = 1 << 63;

/// A batch is closed when its records have this many bytes.
const BATCH_BYTES: usize = 512 << 10;

/// How much of a log is read at a time.
const READ_BYTES: usize = 1 << 20;

/// How long to leave I/O memory alone before asking for it again.
const MEMORY_RETRY: Duration = Duration::from_millis(5);

/// A record to append.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnRecord {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value; `None` takes the key's earlier value away.
    pub value: Option<Vec<u8>>,
}

/// What waits for the broker's own batches to be committed.
pub struct OwnAppends<U> {
    waiting: RefCell<Slab<U>>,
}

impl<U> Default for OwnAppends<U> {
    fn default() -> OwnAppends<U> {
        OwnAppends { waiting: RefCell::default() }
    }
}

impl<U> OwnAppends<U> {
    /// The ticket of a batch that unlocks this.
    pub fn begin(&self, unlocks: U) -> Ticket {
        Ticket(OWN | self.waiting.borrow_mut().insert(unlocks) as u64)
    }

    /// More that a batch under way unlocks.
    pub fn add<T>(&self, ticket: Ticket, more: Vec<T>)
    where
        U: Extend<T>,
    {
        self.waiting.borrow_mut()[(ticket.0 & !OWN) as usize].extend(more);
    }

    /// The batch is committed, or never will be: what it unlocked.
    pub fn end(&self, ticket: Ticket) -> U {
        self.waiting.borrow_mut().remove((ticket.0 & !OWN) as usize)
    }
}

/// Whether a ticket belongs to a batch of the broker's own.
pub fn is_own(ticket: Ticket) -> bool {
    ticket.0 & OWN != 0
}

/// Packs records into batches of a bearable size, in order.
pub fn batches(records: &[OwnRecord], now: Timestamp) -> Vec<Vec<u8>> {
    let mut packed = Vec::new();
    let mut builder = BatchBuilder::new();
    let mut bytes = 0;
    for record in records {
        if bytes >= BATCH_BYTES {
            packed.push(std::mem::take(&mut builder).build());
            bytes = 0;
        }
        builder = builder.record_with(now, Some(&record.key), record.value.as_deref(), &[]);
        bytes += record.key.len() + record.value.as_ref().map_or(0, Vec::len);
    }
    if bytes > 0 {
        packed.push(builder.build());
    }
    packed
}

/// Reads every record below the log's end, in order.
///
/// # Errors
/// The log cannot be read, or holds what no broker wrote.
pub async fn read_all<E: Environment>(
    env: &E,
    partition: &Partition<E>,
    mut take: impl FnMut(RecordRef<'_>) -> Result<(), String>,
) -> Result<(), Refusal> {
    let log = &partition.log;
    log.ready_to_read().await.map_err(|error| cannot_read(partition, &error))?;
    let mut from = log.log_start_offset();
    let end = log.log_end_offset();
    while from < end {
        let read = when_there_is_memory(env, async || {
            log.plan_read(from, end, READ_BYTES, AtLeastOne::Batch)?.execute().await
        });
        let read = read.await.map_err(|error| cannot_read(partition, &error))?;
        let bytes: Vec<u8> = read.slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let next = take_batches(&bytes, from, &mut take).map_err(|reason| {
            tracing::error!(topic = %partition.topic, partition = partition.id.partition.0, offset = from.0, reason,
                "a record of the broker's own cannot be read");
            Refusal::Storage
        })?;
        if next == from {
            // Taken for the end, it would hide whatever comes behind it.
            tracing::error!(topic = %partition.topic, partition = partition.id.partition.0, offset = from.0,
                "the broker's own records end before their log does");
            return Err(Refusal::Storage);
        }
        from = next;
        // Others are waiting for this core, perhaps through a long log.
        env.yield_now().await;
    }
    Ok(())
}

/// Reads, again and again while there is no memory: others give theirs back, and whoever reads its own records has
/// nothing else to begin with.
async fn when_there_is_memory<E: Environment, T>(
    env: &E,
    mut read: impl AsyncFnMut() -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    loop {
        match read().await {
            Err(ReadError::NoRoom) => env.sleep_until(env.now() + MEMORY_RETRY).await,
            read => return read,
        }
    }
}

fn take_batches(
    mut bytes: &[u8],
    from: Offset,
    take: &mut impl FnMut(RecordRef<'_>) -> Result<(), String>,
) -> Result<Offset, String> {
    let mut next = from;
    while !bytes.is_empty() {
        let (batch, rest) = RawBatch::split_first(bytes).map_err(|fault| fault.to_string())?;
        bytes = rest;
        next = batch.header().next_offset();
        if batch.header().attributes().is_control() {
            continue;
        }
        let mut budget = DecompressionBudget::default();
        let records = batch.records(&mut budget).map_err(|fault| fault.to_string())?;
        for record in &records {
            take(record.map_err(|fault| fault.to_string())?)?;
        }
    }
    Ok(next)
}

fn cannot_read<E: Environment>(partition: &Partition<E>, error: &ReadError) -> Refusal {
    tracing::error!(topic = %partition.topic, partition = partition.id.partition.0, %error,
        "the broker's own records cannot be read");
    Refusal::Storage
}

#[cfg(test)]
mod tests {
    use ringlog_runtime::memory::{MemoryWorld, Options};

    use super::*;

    fn record(bytes: usize) -> OwnRecord {
        OwnRecord { key: b"key".to_vec(), value: Some(vec![7; bytes]) }
    }

    #[test]
    fn records_are_packed_in_order_into_batches_of_a_bearable_size() {
        let records: Vec<_> = (0..5).map(|index| record(300 * 1024 + index)).collect();
        let packed = batches(&records, Timestamp(1_000));
        let mut lengths = Vec::new();
        for batch in &packed {
            let next = take_batches(batch, Offset::ZERO, &mut |record| {
                lengths.push(record.value.map_or(0, <[u8]>::len));
                Ok(())
            });
            assert_eq!(next, Ok(Offset(if lengths.len() == 5 { 1 } else { 2 })));
        }
        assert_eq!(packed.len(), 3);
        assert_eq!(lengths, (0..5).map(|index| 300 * 1024 + index).collect::<Vec<_>>());
    }

    #[test]
    fn records_that_found_no_memory_are_read_when_there_is_some_and_other_failures_are_final() {
        let world = MemoryWorld::new(7, Options::quiet());
        let env = world.environment(0, 1);
        let mut failures = vec![ReadError::Closed, ReadError::NoRoom, ReadError::NoRoom];
        let mut read = async || failures.pop().map_or(Ok("records"), Err);
        let began = world.now();
        let failed = world.run_until(when_there_is_memory(&env, &mut read));
        assert!(matches!(failed, Err(ReadError::Closed)));
        assert!(world.now().since(began) >= 2 * MEMORY_RETRY);
        assert!(matches!(world.run_until(when_there_is_memory(&env, &mut read)), Ok("records")));
    }

    #[test]
    fn no_records_are_no_batch() {
        assert!(batches(&[], Timestamp(1_000)).is_empty());
    }

    #[test]
    fn what_waits_for_a_batch_is_found_by_its_ticket_once() {
        let appends = OwnAppends::default();
        let (first, second) = (appends.begin("first"), appends.begin("second"));
        assert!(is_own(first) && !is_own(Ticket(7)));
        assert_eq!((appends.end(second), appends.end(first)), ("second", "first"));
    }
}
