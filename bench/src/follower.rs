//! Reading partitions from given offsets on, one fetch at a time: what comes is handed on batch by batch.
//!
//! Always true: batches of a partition come in offset order and each once; what a broker sends from before the offset asked
//! for is left out, as every consumer does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ringlog_core::record_batch::{BatchFault, RawBatch};
use ringlog_net::protocol::Records;
use ringlog_net::protocol::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use ringlog_runtime::uring::UringEnvironment;

use crate::failure::{BenchFailure, error_name};
use crate::line::Line;

/// The newest that names topics by name.
pub const FETCH_VERSION: i16 = 12;

/// How long a fetch that finds nothing waits at the broker.
pub const FETCH_WAIT: Duration = Duration::from_millis(500);

/// How much one fetch asks for.
#[derive(Clone, Copy, Debug)]
pub struct FetchBounds {
    /// Over all partitions.
    pub bytes: i32,
    /// Of each partition.
    pub partition_bytes: i32,
}

impl Default for FetchBounds {
    fn default() -> FetchBounds {
        FetchBounds { bytes: 8 << 20, partition_bytes: 1 << 20 }
    }
}

/// A reader of some partitions that one broker leads.
pub struct Follower {
    line: Line,
    address: SocketAddr,
    topic: String,
    bounds: FetchBounds,
    positions: BTreeMap<i32, Position>,
}

/// How far a partition was read.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// The next offset.
    pub next: i64,
    /// Where consumers may read to, as the broker said last.
    pub high_watermark: i64,
}

/// What one fetch brought.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fetched {
    /// Batches.
    pub batches: u64,
    /// Records.
    pub records: u64,
    /// Bytes of batches.
    pub bytes: u64,
}

impl Follower {
    /// Connects; `positions` are partitions with the offsets to begin at.
    ///
    /// # Errors
    /// [`BenchFailure::Broker`].
    pub fn open(
        env: &UringEnvironment,
        address: SocketAddr,
        topic: &str,
        positions: impl IntoIterator<Item = (i32, i64)>,
        bounds: FetchBounds,
        timeout: Duration,
    ) -> Result<Follower, BenchFailure> {
        let position = |(partition, next)| (partition, Position { next, high_watermark: next });
        Ok(Follower {
            line: Line::open(env, address, timeout)?,
            address,
            topic: topic.to_owned(),
            bounds,
            positions: positions.into_iter().map(position).collect(),
        })
    }

    /// How far each partition was read.
    pub fn positions(&self) -> &BTreeMap<i32, Position> {
        &self.positions
    }

    /// Whether there was nothing more when the broker was asked last.
    pub fn is_at_the_end(&self) -> bool {
        self.positions.values().all(|position| position.next >= position.high_watermark)
    }

    /// Does not ask for a partition again.
    pub fn leave(&mut self, partition: i32) {
        self.positions.remove(&partition);
    }

    /// Fetches once and hands every batch to `each`, with its partition.
    ///
    /// # Errors
    /// [`BenchFailure::Broker`].
    pub async fn fetch(&mut self, mut each: impl FnMut(i32, &RawBatch<'_>)) -> Result<Fetched, BenchFailure> {
        let partitions = self.positions.iter().map(|(partition, position)| FetchPartition {
            partition: *partition,
            fetch_offset: position.next,
            partition_max_bytes: self.bounds.partition_bytes,
            ..FetchPartition::default()
        });
        let topics = vec![FetchTopic {
            topic: &self.topic,
            partitions: partitions.collect(),
            ..FetchTopic::default()
        }];
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms: FETCH_WAIT.as_millis() as i32,
            min_bytes: 1,
            max_bytes: self.bounds.bytes,
            topics,
            ..FetchRequest::default()
        };
        let reply = self.line.ask(FETCH_VERSION, &request).await?;
        let response = reply.read::<FetchRequest<'_>, _>(FetchResponse::decode)?;
        self.check(response.error_code, None)?;
        let mut fetched = Fetched::default();
        for data in response.responses.iter().flat_map(|topic| &topic.partitions) {
            self.check(data.error_code, Some(data.partition_index))?;
            let Some(position) = self.positions.get_mut(&data.partition_index) else { continue };
            position.high_watermark = position.high_watermark.max(data.high_watermark);
            if let Some(Records::Borrowed(bytes)) = &data.records {
                let walked = walk(bytes, position, |batch| each(data.partition_index, batch), &mut fetched);
                walked.map_err(|fault| self.garbled(data.partition_index, &fault))?;
            }
        }
        Ok(fetched)
    }

    fn check(&self, code: i16, partition: Option<i32>) -> Result<(), BenchFailure> {
        if code == 0 {
            return Ok(());
        }
        let name = error_name(code);
        let place = partition.map_or_else(String::new, |partition| format!(" of partition {partition}"));
        Err(BenchFailure::Broker(format!("{} refused a fetch{place}: {name}", self.address)))
    }

    fn garbled(&self, partition: i32, fault: &BatchFault) -> BenchFailure {
        BenchFailure::Broker(format!("{} sent no batch from partition {partition}: {fault}", self.address))
    }
}

/// Goes over whole batches; the last may be cut off.
fn walk(
    mut bytes: &[u8],
    position: &mut Position,
    mut each: impl FnMut(&RawBatch<'_>),
    fetched: &mut Fetched,
) -> Result<(), BatchFault> {
    while !bytes.is_empty() {
        let (batch, rest) = match RawBatch::split_first(bytes) {
            Ok(split) => split,
            Err(BatchFault::Truncated { .. }) => break,
            Err(fault) => return Err(fault),
        };
        bytes = rest;
        let header = batch.header();
        if header.last_offset().0 < position.next {
            continue;
        }
        position.next = header.next_offset().0;
        fetched.batches += 1;
        fetched.records += header.record_count().max(0) as u64;
        fetched.bytes += header.size_bytes() as u64;
        each(&batch);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ringlog_core::ids::Offset;
    use ringlog_core::record_batch::BatchBuilder;

    use super::*;

    fn batch(at: i64) -> Vec<u8> {
        let record = |builder: BatchBuilder| builder.record(None, &b"value"[..]);
        record(record(BatchBuilder::new().at(Offset(at)))).build()
    }

    #[test]
    fn batches_before_the_offset_asked_for_and_a_torn_last_one_are_left_out() {
        let mut bytes = [batch(0), batch(2), batch(4), batch(6)].concat();
        bytes.truncate(bytes.len() - 1);
        let mut position = Position { next: 3, high_watermark: 8 };
        let (mut fetched, mut seen) = (Fetched::default(), Vec::new());
        walk(&bytes, &mut position, |batch| seen.push(batch.header().base_offset().0), &mut fetched).unwrap();
        assert_eq!((seen, position.next), (vec![2, 4], 6));
        assert_eq!((fetched.batches, fetched.records), (2, 4));
    }

    #[test]
    fn what_is_no_batch_is_a_fault() {
        let mut bytes = batch(0);
        bytes[16] = 1;
        let mut position = Position { next: 0, high_watermark: 2 };
        assert!(walk(&bytes, &mut position, |_| {}, &mut Fetched::default()).is_err());
    }
}
