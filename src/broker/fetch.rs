//! Fetch on the owning shard: plan, wait if there is too little, read.
//!
//! ```text
//!   call ──► look ──► enough, an error, or too late? ──► read ──► answer
//!              ▲                    │ no
//!              └── woken by an ─────┘
//!                  advancing high watermark, the deadline, or the asking shard in a hurry
//! ```
//!
//! A read that finds no I/O memory gives nothing, as if there were no records, and is tried again until the deadline: Kafka has no
//! error for this, and its consumers end by one that they do not know. A hurry waits for a few tries. Records on their way to slow
//! readers hold memory: the less is free, the less a read takes, down to one batch, so that there is always some for what comes in.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::future::select;
use ringlog_core::ids::{LeaderEpoch, Offset};
use ringlog_core::refusal::Refusal;
use ringlog_runtime::environment::Environment;
use ringlog_storage::{AtLeastOne, ReadError, ReadRecords};

use crate::broker::calls::{CallTicket, ReplyTo};
use crate::broker::message::{Answer, FetchCall, FetchRefused, Fetched, PartitionFetch, PartitionRecords};
use crate::broker::partition::{Partition, UnknownEpoch};
use crate::broker::refusals::read_refusal;
use crate::broker::shard::Shard;

/// How long to wait for I/O memory before asking again.
const MEMORY_RETRY: Duration = Duration::from_millis(5);

/// How often a read that found no memory is tried again although other shards have records to answer with: if it were not, a shard
/// without memory would tell of nothing for as long as another is busy.
const RETRIES_BEFORE_HURRY: u32 = 2;

/// Fetches of other shards under way here, by who asked, so that they can be hurried.
#[derive(Default)]
pub(super) struct FetchesUnderWay {
    hurries: RefCell<BTreeMap<(u16, CallTicket), Rc<Hurry>>>,
}

impl FetchesUnderWay {
    /// Lets a fetch be hurried from now on. It is known before it runs: who hurries it may be read in the same turn.
    pub fn begin(&self, reply_to: ReplyTo) -> Rc<Hurry> {
        let hurry = Rc::new(Hurry::default());
        self.hurries.borrow_mut().insert((reply_to.shard.0, reply_to.ticket), hurry.clone());
        hurry
    }

    fn end(&self, reply_to: ReplyTo) {
        self.hurries.borrow_mut().remove(&(reply_to.shard.0, reply_to.ticket));
    }
}

/// "Answer now with what is there."
#[derive(Default)]
pub(super) struct Hurry {
    hurried: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Hurry {
    fn wait(&self) -> impl Future<Output = ()> + '_ {
        poll_fn(|context| {
            if self.hurried.get() {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
    }
}

/// What a call read.
struct Read {
    fetched: Vec<Fetched>,
    bytes: usize,
    /// Some records stayed where they are for want of I/O memory.
    found_no_memory: bool,
}

impl Read {
    /// Whether there is nothing to tell.
    fn is_empty(&self) -> bool {
        let is_news =
            |fetched: &Fetched| fetched.result.as_ref().map_or(true, |records| records.diverging.is_some());
        self.bytes == 0 && !self.fetched.iter().any(is_news)
    }
}

/// What a look at a partition found.
enum Look<E: Environment> {
    Refused(FetchRefused),
    Diverged { partition: Rc<Partition<E>>, epoch: LeaderEpoch, end_offset: Offset },
    Readable { partition: Rc<Partition<E>>, bytes: usize },
}

impl<E: Environment> Shard<E> {
    /// Reads from partitions of this shard and answers.
    pub(super) async fn fetch(self: Rc<Self>, call: FetchCall, hurry: Rc<Hurry>, reply_to: ReplyTo) {
        let (waited, readable_bytes) = self.wait_for_bytes(&call, &hurry).await;
        let fetched = self.read_when_there_is_memory(&call, &hurry).await;
        self.fetches_under_way.end(reply_to);
        self.answer(reply_to, Answer::Fetched { fetched, readable_bytes, waited });
    }

    /// Reads; again and again while there is no memory for anything and the call may wait.
    async fn read_when_there_is_memory(&self, call: &FetchCall, hurry: &Hurry) -> Vec<Fetched> {
        let mut retries = 0;
        loop {
            let read = self.read(call).await;
            let now = self.env.now();
            let is_hurried = hurry.hurried.get() && retries >= RETRIES_BEFORE_HURRY;
            let may_wait = now < call.deadline && !is_hurried && !self.is_stopping();
            if !read.found_no_memory || !read.is_empty() || !may_wait {
                return read.fetched;
            }
            retries += 1;
            self.env.sleep_until(call.deadline.min(now + MEMORY_RETRY)).await;
        }
    }

    /// How much a read may take of the memory: half of what is free of three quarters.
    fn room_for_records(&self) -> usize {
        let arena = self.env.arena();
        (arena.bytes_max() / 4 * 3).saturating_sub(arena.used_bytes()) / 2
    }

    /// Lets a fetch of another shard answer at once; it may have answered already.
    pub(super) fn hurry_fetch(&self, reply_to: ReplyTo) {
        if let Some(hurry) = self.fetches_under_way.hurries.borrow().get(&(reply_to.shard.0, reply_to.ticket))
        {
            hurry.hurried.set(true);
            if let Some(waker) = hurry.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// Returns when the call's bytes are readable, when waiting for them makes no sense, or when it must not
    /// wait any longer: how long it waited, and how much is readable then.
    async fn wait_for_bytes(&self, call: &FetchCall, hurry: &Hurry) -> (Duration, usize) {
        let began = self.env.now();
        let mut now = began;
        loop {
            let may_wait = !hurry.hurried.get() && !self.is_stopping() && now < call.deadline;
            let readable_bytes = match self.readable_bytes(call) {
                Some(bytes) if bytes < call.bytes_needed && may_wait => bytes,
                readable => return (now.since(began), readable.unwrap_or(0)),
            };
            let partitions = call.partitions.iter().map(|fetch| fetch.partition).collect();
            let more = self.waiting_fetches.wait(partitions, call.bytes_needed - readable_bytes);
            let too_late = std::pin::pin!(self.env.sleep_until(call.deadline));
            let hurried = std::pin::pin!(hurry.wait());
            select(more, select(too_late, hurried)).await;
            now = self.env.now();
        }
    }

    /// What could be read now, of each partition no more than is wanted of it; `None` if there is something else to be told.
    fn readable_bytes(&self, call: &FetchCall) -> Option<usize> {
        call.partitions.iter().try_fold(0, |sum: usize, fetch| match self.look(fetch) {
            Look::Readable { bytes, .. } => Some(sum.saturating_add(bytes)),
            Look::Refused(_) | Look::Diverged { .. } => None,
        })
    }

    fn look(&self, fetch: &PartitionFetch) -> Look<E> {
        let partition = match self.reading(&fetch.partition) {
            Ok(partition) => partition,
            Err(refusal) => return Look::Refused(FetchRefused::new(refusal)),
        };
        if let Err(refusal) = partition.check_epoch(fetch.current_leader_epoch) {
            return Look::Refused(FetchRefused::new(refusal));
        }
        let is_known = match partition.divergence(fetch) {
            Ok(Some((epoch, end_offset))) => return Look::Diverged { partition, epoch, end_offset },
            Ok(None) => true,
            // Whatever the client has read, it was not this log (F20).
            Err(UnknownEpoch) => false,
        };
        let log_start_offset = partition.log.log_start_offset();
        let log_end_offset = partition.log.log_end_offset();
        if !is_known || fetch.fetch_offset < log_start_offset || fetch.fetch_offset > log_end_offset {
            return Look::Refused(FetchRefused {
                refusal: Refusal::OffsetOutOfRange {
                    offset: fetch.fetch_offset,
                    log_start_offset,
                    log_end_offset,
                },
                high_watermark: partition.high_watermark(),
                log_start_offset,
            });
        }
        let high_watermark = partition.high_watermark();
        let bytes = if fetch.fetch_offset < high_watermark {
            // A client that wants no bytes gets one batch all the same (F1).
            partition.log.readable_bytes(fetch.fetch_offset, high_watermark).min(fetch.bytes_max).max(1)
        } else {
            0
        };
        Look::Readable { partition, bytes }
    }

    async fn read(&self, call: &FetchCall) -> Read {
        let fetched = Vec::with_capacity(call.partitions.len());
        let mut read = Read { fetched, bytes: 0, found_no_memory: false };
        for fetch in &call.partitions {
            let at_least_one = if read.bytes == 0 { AtLeastOne::Batch } else { AtLeastOne::Nothing };
            let bytes_left = call.bytes_max.saturating_sub(read.bytes).min(self.room_for_records());
            let found_no_memory = &mut read.found_no_memory;
            let result = self.read_partition(fetch, bytes_left, at_least_one, found_no_memory).await;
            read.bytes += result.as_ref().map_or(0, |records| records.record_bytes);
            read.fetched.push(Fetched { index: fetch.index, result });
        }
        read
    }

    async fn read_partition(
        &self,
        fetch: &PartitionFetch,
        bytes_left: usize,
        at_least_one: AtLeastOne,
        found_no_memory: &mut bool,
    ) -> Result<PartitionRecords, FetchRefused> {
        let (partition, diverging, readable) = match self.look(fetch) {
            Look::Refused(refused) => return Err(refused),
            Look::Diverged { partition, epoch, end_offset } => (partition, Some((epoch, end_offset)), false),
            Look::Readable { partition, bytes } => (partition, None, bytes > 0),
        };
        let high_watermark = partition.high_watermark();
        let mut records = PartitionRecords {
            high_watermark,
            log_start_offset: partition.log.log_start_offset(),
            diverging,
            records: Vec::new(),
            record_bytes: 0,
            record_count: 0,
        };
        if readable {
            let bytes_max = bytes_left.min(fetch.bytes_max);
            let read =
                self.read_log(&partition, fetch.fetch_offset, high_watermark, bytes_max, at_least_one).await;
            match read {
                Ok(read) => {
                    let advance = read.end_offset.0.saturating_sub(fetch.fetch_offset.0);
                    if !read.slices.is_empty() {
                        records.record_count = u64::try_from(advance).unwrap_or(0);
                    }
                    (records.records, records.record_bytes) = (read.slices, read.bytes);
                }
                Err(ReadError::NoRoom) => *found_no_memory = true,
                Err(error) => {
                    return Err(FetchRefused {
                        refusal: read_refusal(&partition.log, error),
                        high_watermark,
                        log_start_offset: records.log_start_offset,
                    });
                }
            }
        }
        Ok(records)
    }

    async fn read_log(
        &self,
        partition: &Partition<E>,
        from: Offset,
        end: Offset,
        bytes_max: usize,
        at_least_one: AtLeastOne,
    ) -> Result<ReadRecords, ReadError> {
        partition.log.ready_to_read().await?;
        partition.log.plan_read(from, end, bytes_max, at_least_one)?.execute().await
    }
}
