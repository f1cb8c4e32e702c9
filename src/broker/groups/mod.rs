//! Consumer groups on the shard that owns their partition of `__consumer_offsets`.
//!
//! ```text
//!   call ──► seat: decide (pure) ──► records ──► the partition's log ──► committed ──► answers leave
//!              └─ the log is closed or short of memory: the call waits in the seat's queue, in order
//! ```
//!
//! Always true: a coordinator and its log hold the same; an answer that tells of records leaves only after they are
//! committed. Where the log took only a part of a decision, the coordinator is made anew from the log.
//!
//! Reading order:
//! - [`asking`]: which coordinator, and how it is asked
//! - [`seat`]: one coordinator and what waits for it
//! - [`coordinating`]: decisions carried out; [`loading`]: a coordinator made from its log
//! - [`renewing`]: how its log stays short
//! - [`timer`]: when time alone decides

pub mod asking;
pub mod coordinating;
pub mod loading;
pub mod renewing;
pub mod seat;
pub mod timer;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use ringlog_core::group::Weight;
use ringlog_core::group::coordinator::GroupCoordinator;
use ringlog_core::group::decision::GroupTicket;
use ringlog_core::group::message::Answer;
use ringlog_core::group::settings::GroupSettings;
use ringlog_core::ids::TopicPartition;
use slab::Slab;

use crate::broker::calls::ReplyTo;
use crate::broker::groups::seat::Seat;
use crate::broker::groups::timer::GroupTimer;
use crate::broker::own_records::OwnAppends;

/// An answer on its way to whoever asked.
pub type Due = (ReplyTo, Answer);

/// The groups of one shard.
pub struct Groups {
    settings: GroupSettings,
    /// In order, so that the same run meets them in the same order.
    seats: RefCell<BTreeMap<TopicPartition, Rc<Seat>>>,
    /// Whom to answer; as many as there are group calls under way.
    asking: RefCell<Slab<ReplyTo>>,
    appends: OwnAppends<Vec<Due>>,
    timer: GroupTimer,
    /// What all seats hold of the shard's bounds.
    held: Cell<Weight>,
}

impl Groups {
    /// No groups yet.
    pub fn new(settings: GroupSettings) -> Groups {
        Groups {
            settings,
            seats: RefCell::default(),
            asking: RefCell::default(),
            appends: OwnAppends::default(),
            timer: GroupTimer::default(),
            held: Cell::default(),
        }
    }

    /// Every seat, in order.
    pub(super) fn seats(&self) -> Vec<Rc<Seat>> {
        self.seats.borrow().values().cloned().collect()
    }

    fn seat(&self, partition: &TopicPartition) -> Option<Rc<Seat>> {
        self.seats.borrow().get(partition).cloned()
    }

    /// Lets a coordinator do something that changes what it holds of the bounds, with what the others leave of them.
    fn weighed<R>(
        &self,
        coordinator: &mut GroupCoordinator,
        act: impl FnOnce(&mut GroupCoordinator) -> R,
    ) -> R {
        let beside = self.held.get() - coordinator.held();
        coordinator.beside(beside);
        let result = act(coordinator);
        self.held.set(beside + coordinator.held());
        result
    }

    /// A coordinator goes, and with it what it held.
    fn unweigh(&self, coordinator: &GroupCoordinator) {
        self.held.set(self.held.get() - coordinator.held());
    }

    /// Takes note of who asks.
    fn ask(&self, reply_to: ReplyTo) -> GroupTicket {
        GroupTicket(self.asking.borrow_mut().insert(reply_to) as u64)
    }

    /// Who asked. Each ticket is answered once.
    fn asked_by(&self, ticket: GroupTicket) -> ReplyTo {
        self.asking.borrow_mut().remove(ticket.0 as usize)
    }
}
