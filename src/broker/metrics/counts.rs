//! What one shard has counted since it began. Whoever does something counts it here; nobody decides by it.
//!
//! Always true: a count is a cell of this shard: an addition, no lock, no atomic.

use std::cell::Cell;
use std::time::Duration;

use ringlog_net::activity::Stall;
use ringlog_storage::RetirementReason;

use crate::broker::metrics::requests::ApiCounts;
use crate::broker::metrics::slow_requests::SlowRequests;

/// Something counted.
#[derive(Default)]
pub struct Count(Cell<u64>);

impl Count {
    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.set(self.0.get().wrapping_add(more));
    }

    /// So many fewer: for what is counted while it lasts.
    pub fn subtract(&self, fewer: u64) {
        self.0.set(self.0.get().wrapping_sub(fewer));
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// One shard's counts.
#[derive(Default)]
pub struct ShardCounts {
    /// Requests, by API.
    pub apis: ApiCounts,
    /// Which requests are slow, and how often that was said.
    pub slow_requests: SlowRequests,
    /// Requests taken and not yet answered.
    pub requests_in_flight: Count,
    /// Bytes of their frames.
    pub request_bytes_in_flight: Count,
    /// Nanoseconds that fetches waited for data.
    pub fetch_wait_ns: Count,
    /// Connections taken.
    pub connections_opened: Count,
    /// Connections turned away.
    pub connections_refused: Count,
    /// Connections closed by the broker, by reason.
    pub connections_cut: CutCounts,
    /// Batches appended.
    pub produced_batches: Count,
    /// Records appended.
    pub produced_records: Count,
    /// Bytes appended.
    pub produced_bytes: Count,
    /// Batches that were there already.
    pub duplicate_batches: Count,
    /// Batches refused.
    pub refused_batches: Count,
    /// Of them, because the disk was full.
    pub refused_for_space: Count,
    /// Records sent.
    pub fetched_records: Count,
    /// Bytes of records sent.
    pub fetched_bytes: Count,
    /// Batches that waited before they were appended.
    pub batches_held: Count,
    /// Waits of replies for memory.
    pub reply_memory_waits: Count,
    /// Segments that retention gave up.
    pub retired: RetiredCounts,
    /// Messages that found the mesh full.
    pub mesh_full: Count,
    /// Messages sent to other shards.
    pub mesh_sent: Count,
    /// Messages received from other shards.
    pub mesh_received: Count,
}

impl ShardCounts {
    /// Nothing counted; requests that take longer than `slow_request` are logged.
    pub fn new(slow_request: Option<Duration>) -> ShardCounts {
        ShardCounts { slow_requests: SlowRequests::new(slow_request), ..ShardCounts::default() }
    }

    /// A batch came to its log: with no records if it was there already.
    pub fn produced(&self, record_count: u64, bytes: usize) {
        if record_count == 0 {
            return self.duplicate_batches.one();
        }
        self.produced_batches.one();
        self.produced_records.add(record_count);
        self.produced_bytes.add(bytes as u64);
    }

    /// Records leave for a consumer.
    pub fn fetched(&self, record_count: u64, bytes: usize) {
        self.fetched_records.add(record_count);
        self.fetched_bytes.add(bytes as u64);
    }
}

/// What retention gave up, by reason.
#[derive(Default)]
pub struct RetiredCounts {
    by_age: Retired,
    by_size: Retired,
}

/// Segments and their bytes.
#[derive(Default)]
pub struct Retired {
    /// How many segments.
    pub segments: Count,
    /// How many bytes they had.
    pub bytes: Count,
}

impl RetiredCounts {
    /// One more segment, of this size.
    pub fn one(&self, reason: RetirementReason, size_bytes: u64) {
        let retired = match reason {
            RetirementReason::Age => &self.by_age,
            RetirementReason::Size => &self.by_size,
        };
        retired.segments.one();
        retired.bytes.add(size_bytes);
    }

    /// Every reason and what went for it.
    pub fn by_reason(&self) -> [(&'static str, &Retired); 2] {
        [("age", &self.by_age), ("size", &self.by_size)]
    }
}

/// Why the broker closed connections.
#[derive(Default)]
pub struct CutCounts {
    idle: Count,
    not_reading: Count,
    slow_frame: Count,
    /// What came is no frame.
    pub bad_frame: Count,
}

impl CutCounts {
    /// Patience with a connection ran out.
    pub fn stalled(&self, stall: Stall) {
        match stall {
            Stall::Idle => self.idle.one(),
            Stall::NotReading => self.not_reading.one(),
            Stall::SlowFrame => self.slow_frame.one(),
        }
    }

    /// Every reason and how often it was one.
    pub fn by_reason(&self) -> [(&'static str, u64); 4] {
        [
            ("idle", self.idle.get()),
            ("not_reading", self.not_reading.get()),
            ("slow_frame", self.slow_frame.get()),
            ("bad_frame", self.bad_frame.get()),
        ]
    }
}
