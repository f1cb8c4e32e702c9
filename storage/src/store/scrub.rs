//! Reading everything again, slowly: what nobody asks for shall not rot unnoticed.
//!
//! ```text
//!   a round:  every log ──► every segment, as far as it is in its file ──► blocks against their checksums
//!                                └── one without checksums: batches instead, and its file is made of them
//!   pace:     what is left within what is left of the period, never faster than so many a second
//! ```
//!
//! Always true: one piece, or one batch larger than that, is in memory at a time; damage is told once; no segment is changed;
//! no log that is deleted meanwhile is held on to.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::select;
use ringlog_core::ids::TopicPartition;
use ringlog_core::time::Instant;
use ringlog_runtime::environment::Environment;

use crate::log::PartitionLog;
use crate::signal::Signal;
use crate::store::StoreShared;
use crate::store::read_ahead::Place;

/// One read.
pub(crate) const PIECE_BYTES: usize = 128 << 10;

/// Damaged places that are remembered. Beyond it none is told until some of them are gone: a disk that loses everything
/// shall not fill the log of events.
const DAMAGED_MAX: usize = 1024;

/// How long to wait where there is nothing to read.
const EMPTY_WAIT: Duration = Duration::from_secs(600);

/// A round waits at least so often: what grows meanwhile is seen.
const WAITS_MIN: u32 = 64;

/// What the scrubber of a shard has done and found.
#[derive(Default)]
pub(crate) struct Scrubber {
    damaged: RefCell<Vec<(Place, Range<u64>)>>,
    bytes: Cell<u64>,
    rounds: Cell<u64>,
    files_made: Cell<u64>,
    /// The store closes.
    ending: Signal,
}

impl Scrubber {
    /// Remembers damage; false if it is known, or too much is.
    pub fn note_damage(&self, place: Place, bytes: &Range<u64>) -> bool {
        let mut damaged = self.damaged.borrow_mut();
        let is_known = |(of, known): &(Place, Range<u64>)| {
            *of == place && known.start <= bytes.start && bytes.end <= known.end
        };
        if damaged.iter().any(is_known) {
            return false;
        }
        // A longer run of blocks takes the place of what was known of it.
        damaged.retain(|(of, known)| *of != place || known.start < bytes.start || bytes.end < known.end);
        let has_room = damaged.len() < DAMAGED_MAX;
        if has_room {
            damaged.push((place, bytes.clone()));
        }
        has_room
    }

    /// These bytes are what was written: if they were not before, the disk could not read them then, and can now.
    pub fn note_sound(&self, place: Place, bytes: &Range<u64>) {
        let is_within = |known: &Range<u64>| bytes.start <= known.start && known.end <= bytes.end;
        self.damaged.borrow_mut().retain(|(of, known)| *of != place || !is_within(known));
    }

    /// Wakes the scrubber, to look whether all is over.
    pub fn notify(&self) {
        self.ending.notify();
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    pub fn rounds(&self) -> u64 {
        self.rounds.get()
    }

    pub fn files_made(&self) -> u64 {
        self.files_made.get()
    }

    /// So many bytes were looked at.
    pub fn note_bytes(&self, bytes: u64) {
        self.bytes.set(self.bytes.get() + bytes);
    }

    /// A checksum file was made.
    pub fn note_file_made(&self) {
        self.files_made.set(self.files_made.get() + 1);
    }
}

/// Reads until the store is closed or fails.
pub(crate) async fn run<E: Environment>(store: Rc<StoreShared<E>>) {
    if store.config.scrub_period.is_zero() {
        return;
    }
    // Starts that follow each other shall not all begin with the same logs. The rounds of one do: between two looks at a
    // log lies no more than the period.
    let skipped = store.env.random() as usize;
    let mut first = None;
    while store.goes_on_scrubbing() {
        let round = Round { began: store.env.now(), bytes_before: store.scrubber.bytes() };
        let mut ids: Vec<TopicPartition> = store.logs.borrow().keys().copied().collect();
        first = first.or_else(|| ids.get(skipped % ids.len().max(1)).copied());
        let passed = ids.partition_point(|id| Some(*id) < first);
        ids.rotate_left(passed);
        for id in ids {
            let log = store.logs.borrow().get(&id).cloned();
            if let Some(log) = log {
                scrub_log(&PartitionLog { store: store.clone(), log }, round).await;
            }
        }
        if !store.goes_on_scrubbing() {
            return;
        }
        // Makes room for what is met in the next round.
        store.damaged_places();
        let has_read = store.scrubber.bytes() > round.bytes_before;
        store.scrubber.rounds.set(store.scrubber.rounds.get() + u64::from(has_read));
        let period = store.config.scrub_period;
        store
            .sleep_scrubbing(round.began + if has_read { period } else { EMPTY_WAIT.min(period / 10) })
            .await;
    }
}

async fn scrub_log<E: Environment>(log: &PartitionLog<E>, round: Round) {
    let scrubber = &log.store.scrubber;
    for summary in log.segments() {
        // What cannot be looked at now is passed over: whoever wants it finds out.
        if log.make_checksums_if_none(summary.base_offset, round).await.unwrap_or(true) {
            continue;
        }
        let mut position = 0;
        while log.store.goes_on_scrubbing() {
            let Ok(Some(next)) = log.scrub_piece(summary.base_offset, position).await else { break };
            scrubber.note_bytes(next - position);
            log.store.wait_scrubbing(round, next - position).await;
            position = next;
        }
    }
}

/// A look at everything, from when it began and what had been read before.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    began: Instant,
    bytes_before: u64,
}

impl<E: Environment> StoreShared<E> {
    /// Waits after so many bytes were read, so that what is left is read within the period, and never more than so many bytes a
    /// second. Told anew after every piece: logs grow while they are read.
    pub(crate) async fn wait_scrubbing(&self, round: Round, bytes: u64) {
        let total: u64 = self.logs.borrow().values().map(|log| log.state.borrow().size_bytes()).sum();
        let left = total.saturating_sub(self.scrubber.bytes() - round.bytes_before);
        let (period, now) = (self.config.scrub_period, self.env.now());
        // A tenth is kept for what the reads themselves take.
        let time_left = (round.began + period.mul_f64(0.9)) - now;
        let of_period = time_left.mul_f64(bytes as f64 / (left + bytes).max(1) as f64);
        let fastest = bytes as f64 / self.config.scrub_bytes_per_second_max.max(1) as f64;
        let fastest = Duration::try_from_secs_f64(fastest).unwrap_or(Duration::MAX);
        self.sleep_scrubbing(now + of_period.min(period / WAITS_MIN).max(fastest)).await;
    }

    /// Sleeps until then, or until the store closes.
    async fn sleep_scrubbing(&self, until: Instant) {
        let ending = std::pin::pin!(self.scrubber.ending.when(|| !self.goes_on_scrubbing()));
        select(ending, std::pin::pin!(self.env.sleep_until(until))).await;
    }

    pub(crate) fn goes_on_scrubbing(&self) -> bool {
        !self.is_closing() && !self.is_over()
    }

    /// How many damaged places are known; those of segments that are gone are forgotten.
    pub(crate) fn damaged_places(&self) -> usize {
        let logs = self.logs.borrow();
        let exists = |place: &Place| {
            logs.get(&place.partition).is_some_and(|log| log.state.borrow().has_segment(place.segment))
        };
        let mut damaged = self.scrubber.damaged.borrow_mut();
        damaged.retain(|(place, _)| exists(place));
        damaged.len()
    }
}
