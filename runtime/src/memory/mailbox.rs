//! The mesh between the shards of a world: bounded, first in first out per pair, late by a random delay.
//!
//! ```text
//!   shard 0 ──pair 0→2: [m1 m2] under way──► arrived at 2: [(0, m1)] ──receive──►
//!   shard 1 ──pair 1→2: [m1]    under way──►
//! ```
//!
//! Always true: no pair holds more than its bound, under way and arrived together; one pair keeps its order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;
use std::task::{Poll, Waker};

use ringlog_core::ids::ShardIndex;

use super::executor::Owner;
use super::trace::Step;
use super::world::World;
use crate::environment::{Mailbox, MailboxFull, TaskClass};

/// One shard's end of the mesh.
pub struct MemoryMailbox<M> {
    shard: ShardIndex,
    mesh: Rc<Mesh<M>>,
}

struct Mesh<M> {
    world: Rc<World>,
    incarnation: u64,
    shard_count: usize,
    pairs: RefCell<Vec<Pair<M>>>,
    inboxes: RefCell<Vec<Inbox<M>>>,
}

struct Pair<M> {
    under_way: VecDeque<M>,
    unreceived: usize,
    last_arrival_ns: u64,
}

struct Inbox<M> {
    arrived: VecDeque<(ShardIndex, M)>,
    waiting: Vec<Waker>,
}

pub(super) fn mesh<M: Send + 'static>(world: &Rc<World>, shard_count: u16) -> Vec<MemoryMailbox<M>> {
    let count = usize::from(shard_count);
    let pair = || Pair { under_way: VecDeque::new(), unreceived: 0, last_arrival_ns: 0 };
    let inbox = || Inbox { arrived: VecDeque::new(), waiting: Vec::new() };
    let mesh = Rc::new(Mesh {
        world: world.clone(),
        incarnation: world.incarnation(),
        shard_count: count,
        pairs: RefCell::new((0..count * count).map(|_| pair()).collect()),
        inboxes: RefCell::new((0..count).map(|_| inbox()).collect()),
    });
    (0..shard_count).map(|shard| MemoryMailbox { shard: ShardIndex(shard), mesh: mesh.clone() }).collect()
}

impl<M> Clone for MemoryMailbox<M> {
    fn clone(&self) -> MemoryMailbox<M> {
        MemoryMailbox { shard: self.shard, mesh: self.mesh.clone() }
    }
}

impl<M: 'static> Mesh<M> {
    fn pair_of(&self, from: ShardIndex, to: ShardIndex) -> usize {
        usize::from(from.0) * self.shard_count + usize::from(to.0)
    }

    /// Puts a message on its way and tells when it arrives, if the pair has room.
    fn depart(&self, pair: usize, message: M) -> Result<u64, MailboxFull<M>> {
        let delay_ns_max = self.world.faults().mailbox_delay_ns_max;
        let delay_ns = self.world.random.borrow_mut().between(0..=delay_ns_max);
        let mut pairs = self.pairs.borrow_mut();
        let pair = &mut pairs[pair];
        if pair.unreceived >= self.world.options.limits.mailbox_messages_max {
            return Err(MailboxFull(message));
        }
        pair.unreceived += 1;
        pair.under_way.push_back(message);
        pair.last_arrival_ns = pair.last_arrival_ns.max(self.world.clock.now() + delay_ns);
        Ok(pair.last_arrival_ns)
    }

    fn arrive(&self, from: ShardIndex, to: ShardIndex) {
        let pair = self.pair_of(from, to);
        let message = self.pairs.borrow_mut()[pair].under_way.pop_front().expect("each arrival was sent");
        self.world.trace.note(Step::Message, pair as u64);
        let waiting = {
            let inbox = &mut self.inboxes.borrow_mut()[usize::from(to.0)];
            inbox.arrived.push_back((from, message));
            std::mem::take(&mut inbox.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    fn take(&self, to: ShardIndex, waker: &Waker) -> Poll<(ShardIndex, M)> {
        let mut inboxes = self.inboxes.borrow_mut();
        let inbox = &mut inboxes[usize::from(to.0)];
        let Some((from, message)) = inbox.arrived.pop_front() else {
            if !inbox.waiting.iter().any(|waiting| waiting.will_wake(waker)) {
                inbox.waiting.push(waker.clone());
            }
            return Poll::Pending;
        };
        self.pairs.borrow_mut()[self.pair_of(from, to)].unreceived -= 1;
        Poll::Ready((from, message))
    }
}

impl<M: Send + 'static> Mailbox<M> for MemoryMailbox<M> {
    fn send(&self, to: ShardIndex, message: M) -> Result<(), MailboxFull<M>> {
        let mesh = &self.mesh;
        if mesh.incarnation != mesh.world.incarnation() {
            return Ok(());
        }
        let from = self.shard;
        let arrival_ns = mesh.depart(mesh.pair_of(from, to), message)?;
        let arriving = mesh.clone();
        let owner = Owner::Shard(to, TaskClass::Network);
        mesh.world.executor.schedule(arrival_ns, owner, move || arriving.arrive(from, to));
        Ok(())
    }

    fn receive(&self) -> impl Future<Output = (ShardIndex, M)> {
        std::future::poll_fn(|context| self.mesh.take(self.shard, context.waker()))
    }
}
