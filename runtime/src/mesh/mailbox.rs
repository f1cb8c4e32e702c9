//! One shard's end of the mesh: it sends into its own column of rings and receives from its row.
//!
//! ```text
//!   mesh(shards) ──► MailboxEnds, one per shard, moved to its thread ──open(bell)──► MeshMailbox
//! ```
//!
//! Always true: messages of one sender are received in the order sent; a waiting receiver is woken by whoever
//! polls the shard ([`Inbox::deliver`]), which a sender makes happen by the [`Bell`] if the shard sleeps.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ringlog_core::ids::ShardIndex;

use super::doorplate::Doorplate;
use super::ring::{Consumer, Producer, ring};
use crate::environment::{Mailbox, MailboxFull};

/// Wakes a sleeping shard.
pub trait Bell {
    /// Makes the shard look into its queues.
    fn ring(&self, shard: ShardIndex);
}

/// What the poller of a shard asks of its mailboxes.
pub trait Inbox {
    /// Wakes receivers if messages have come; says whether it woke any.
    fn deliver(&self) -> bool;
}

/// The ends of one shard's rings, on the way to its thread.
pub struct MailboxEnds<M> {
    shard: ShardIndex,
    producers: Vec<Producer<M>>,
    consumers: Vec<Consumer<M>>,
    doorplates: Arc<[Doorplate]>,
}

/// Rings for all pairs of `shard_count` shards, each for `capacity` messages.
pub fn mesh<M: Send>(shard_count: u16, capacity: usize, doorplates: Arc<[Doorplate]>) -> Vec<MailboxEnds<M>> {
    assert_eq!(doorplates.len(), usize::from(shard_count), "a doorplate for each shard");
    let mut ends: Vec<MailboxEnds<M>> = (0..shard_count)
        .map(|shard| MailboxEnds {
            shard: ShardIndex(shard),
            producers: Vec::new(),
            consumers: Vec::new(),
            doorplates: doorplates.clone(),
        })
        .collect();
    for from in 0..usize::from(shard_count) {
        for to in 0..usize::from(shard_count) {
            let (producer, consumer) = ring(capacity);
            ends[from].producers.push(producer);
            ends[to].consumers.push(consumer);
        }
    }
    ends
}

/// One shard's end of the mesh. Clones are handles to the same end.
pub struct MeshMailbox<M> {
    inner: Rc<Inner<M>>,
}

impl<M> Clone for MeshMailbox<M> {
    fn clone(&self) -> MeshMailbox<M> {
        MeshMailbox { inner: self.inner.clone() }
    }
}

struct Inner<M> {
    shard: ShardIndex,
    producers: RefCell<Vec<Producer<M>>>,
    consumers: RefCell<Vec<Consumer<M>>>,
    /// Whose ring is looked at first: it moves on, so that no sender is always last.
    turn: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
    doorplates: Arc<[Doorplate]>,
    bell: Rc<dyn Bell>,
}

impl<M: Send> MailboxEnds<M> {
    /// Puts the ends to use on the shard's own thread.
    pub fn open(self, bell: Rc<dyn Bell>) -> MeshMailbox<M> {
        MeshMailbox {
            inner: Rc::new(Inner {
                shard: self.shard,
                producers: RefCell::new(self.producers),
                consumers: RefCell::new(self.consumers),
                turn: Cell::new(0),
                waiting: RefCell::new(Vec::new()),
                doorplates: self.doorplates,
                bell,
            }),
        }
    }
}

impl<M: Send + 'static> MeshMailbox<M> {
    /// This mailbox as the shard's poller sees it.
    pub fn inbox(&self) -> Rc<dyn Inbox> {
        self.inner.clone()
    }
}

impl<M: Send> Inner<M> {
    fn take(&self) -> Option<(ShardIndex, M)> {
        let mut consumers = self.consumers.borrow_mut();
        let count = consumers.len();
        let start = self.turn.get();
        for step in 0..count {
            let from = (start + step) % count;
            if let Some(message) = consumers[from].pop() {
                self.turn.set((from + 1) % count);
                return Some((ShardIndex(from as u16), message));
            }
        }
        None
    }

    fn poll_receive(&self, context: &mut Context<'_>) -> Poll<(ShardIndex, M)> {
        if let Some(received) = self.take() {
            return Poll::Ready(received);
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
        Poll::Pending
    }

    fn wake_receivers(&self) {
        // Taken first: waking may run into this mailbox again.
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        for waker in waiting {
            waker.wake();
        }
    }
}

impl<M: Send> Inbox for Inner<M> {
    fn deliver(&self) -> bool {
        if self.waiting.borrow().is_empty() {
            return false;
        }
        let has_messages = self.consumers.borrow_mut().iter_mut().any(|consumer| !consumer.is_empty());
        if has_messages {
            self.wake_receivers();
        }
        has_messages
    }
}

impl<M: Send + 'static> Mailbox<M> for MeshMailbox<M> {
    fn send(&self, to: ShardIndex, message: M) -> Result<(), MailboxFull<M>> {
        let inner = &*self.inner;
        inner.producers.borrow_mut()[usize::from(to.0)].push(message).map_err(MailboxFull)?;
        if to == inner.shard {
            inner.wake_receivers();
        } else if inner.doorplates[usize::from(to.0)].needs_bell() {
            inner.bell.ring(to);
        }
        Ok(())
    }

    fn receive(&self) -> impl Future<Output = (ShardIndex, M)> {
        poll_fn(|context| self.inner.poll_receive(context))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[derive(Default)]
    struct CountedBell {
        rung: RefCell<Vec<ShardIndex>>,
    }

    impl Bell for CountedBell {
        fn ring(&self, shard: ShardIndex) {
            self.rung.borrow_mut().push(shard);
        }
    }

    fn pair(capacity: usize) -> (MeshMailbox<u32>, MeshMailbox<u32>, Arc<[Doorplate]>, Rc<CountedBell>) {
        let doorplates: Arc<[Doorplate]> = (0..2).map(|_| Doorplate::default()).collect();
        let bell = Rc::new(CountedBell::default());
        let mut ends = mesh(2, capacity, doorplates.clone()).into_iter();
        let first = ends.next().unwrap().open(bell.clone());
        let second = ends.next().unwrap().open(bell.clone());
        (first, second, doorplates, bell)
    }

    #[test]
    fn the_bell_rings_only_for_a_sleeping_shard_and_once() {
        let (first, _second, doorplates, bell) = pair(8);
        first.send(ShardIndex(1), 1).unwrap();
        assert!(bell.rung.borrow().is_empty());
        assert!(doorplates[1].try_sleep(|| false));
        first.send(ShardIndex(1), 2).unwrap();
        first.send(ShardIndex(1), 3).unwrap();
        assert_eq!(*bell.rung.borrow(), [ShardIndex(1)]);
    }

    #[test]
    fn a_full_ring_gives_the_message_back_and_others_go_on() {
        let (first, second, ..) = pair(1);
        first.send(ShardIndex(1), 1).unwrap();
        assert_eq!(first.send(ShardIndex(1), 2).unwrap_err().0, 2);
        second.send(ShardIndex(1), 3).unwrap();
        assert_eq!(second.receive().now_or_never(), Some((ShardIndex(0), 1)));
        assert_eq!(second.receive().now_or_never(), Some((ShardIndex(1), 3)));
        assert_eq!(second.receive().now_or_never(), None);
    }

    #[test]
    fn no_sender_starves_behind_a_busy_one() {
        let (first, second, ..) = pair(8);
        for number in 0..4 {
            first.send(ShardIndex(1), number).unwrap();
        }
        second.send(ShardIndex(1), 100).unwrap();
        let received: Vec<u32> = (0..2).map(|_| second.receive().now_or_never().unwrap().1).collect();
        assert!(received.contains(&100), "the second sender waits behind at most one message: {received:?}");
    }
}
