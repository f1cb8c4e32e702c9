//! One partition of `__consumer_offsets` that this shard leads: its coordinator and what waits for it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};

use ringlog_core::group::coordinator::GroupCoordinator;
use ringlog_core::group::decision::GroupTicket;
use ringlog_core::group::message::{GroupId, Request};
use ringlog_core::group::settings::GroupSettings;
use ringlog_core::ids::{Offset, PartitionIndex, TopicId, TopicName, TopicPartition};
use ringlog_core::time::Instant;
use ringlog_replication::pending_acks::Ticket;

/// What is to be decided.
pub(super) enum Work {
    /// A request.
    Request(Request, Asker),
    /// Time has passed.
    Tick,
    /// All records are read: requests are served from now on.
    Activate,
}

/// Who is told.
#[derive(Clone, Copy)]
pub(super) enum Asker {
    /// Whoever has this ticket.
    Waits(GroupTicket),
    /// Nobody.
    Nobody,
}

/// A coordinator and its queue.
pub struct Seat {
    /// Which partition.
    pub(super) partition: TopicPartition,
    /// Taken out when the partition is lost.
    pub(super) coordinator: RefCell<Option<GroupCoordinator>>,
    queue: RefCell<VecDeque<Work>>,
    emptying: Cell<bool>,
    tick_waits: Cell<bool>,
    /// The newest of this partition's batches that is not committed.
    pub(super) pending: Cell<Option<Ticket>>,
    /// Bytes of records that a start would read, of those written or read since the log was last renewed.
    pub(super) log_bytes: Cell<u64>,
    /// Bytes of records that the last renewal wrote.
    pub(super) renewed_bytes: Cell<u64>,
    /// Whether the log is being written anew.
    pub(super) renewing: Cell<bool>,
}

impl Seat {
    pub(super) fn new(partition: TopicPartition, settings: GroupSettings) -> Seat {
        Seat {
            partition,
            coordinator: RefCell::new(Some(GroupCoordinator::loading(settings))),
            queue: RefCell::default(),
            emptying: Cell::new(false),
            tick_waits: Cell::new(false),
            pending: Cell::new(None),
            log_bytes: Cell::new(0),
            renewed_bytes: Cell::new(0),
            renewing: Cell::new(false),
        }
    }

    /// What groups have committed here, up to so many.
    pub fn committed(&self, count_max: usize) -> Vec<(GroupId, TopicName, PartitionIndex, Offset)> {
        let coordinator = self.coordinator.borrow();
        let offsets = coordinator.iter().flat_map(GroupCoordinator::offsets).take(count_max);
        offsets
            .map(|(group, topic, partition, offset)| (group.clone(), topic.clone(), partition, offset))
            .collect()
    }

    /// Of which topics groups have committed offsets here.
    pub(super) fn topics_with_offsets(&self) -> BTreeSet<(TopicName, Option<TopicId>)> {
        let coordinator = self.coordinator.borrow();
        coordinator.as_ref().map(GroupCoordinator::topics_with_offsets).unwrap_or_default()
    }

    /// How many offsets groups have committed here.
    pub fn committed_count(&self) -> usize {
        self.coordinator.borrow().iter().map(|coordinator| coordinator.offsets().count()).sum()
    }

    /// Whether the partition's groups are coordinated by this one.
    pub(super) fn is_taken(&self) -> bool {
        self.coordinator.borrow().is_some()
    }

    /// Whether all records are read and requests are served.
    pub(super) fn is_active(&self) -> bool {
        self.coordinator.borrow().as_ref().is_some_and(GroupCoordinator::is_active)
    }

    /// How many groups are kept here.
    pub fn group_count(&self) -> usize {
        self.coordinator.borrow().as_ref().map_or(0, GroupCoordinator::group_count)
    }

    /// When time alone decides something here; nothing while that waits for the log already.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if self.tick_waits.get() {
            return None;
        }
        self.coordinator.borrow().as_ref().and_then(GroupCoordinator::next_deadline)
    }

    /// Whether work may be done at once without overtaking other work.
    pub(super) fn is_idle(&self) -> bool {
        !self.emptying.get()
    }

    /// Puts work behind other work; true if the caller must start to empty the queue.
    pub(super) fn queue(&self, work: Work) -> bool {
        if matches!(work, Work::Tick) {
            self.tick_waits.set(true);
        }
        self.queue.borrow_mut().push_back(work);
        !self.emptying.replace(true)
    }

    /// The next work that waits; with the last one the emptying ends.
    pub(super) fn take_queued(&self) -> Option<Work> {
        let work = self.queue.borrow_mut().pop_front();
        match work {
            None => self.emptying.set(false),
            Some(Work::Tick) => self.tick_waits.set(false),
            Some(_) => {}
        }
        work
    }
}
