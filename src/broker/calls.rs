//! Questions from one shard to another, and their answers.
//!
//! ```text
//!   asking shard                              answering shard
//!   call(owner, question) ──► ticket ───────► answer(question, Replier { shard, ticket })
//!   await                 ◄── slot ◄───────── replier: exactly one reply
//! ```
//!
//! Always true: each call gets exactly one reply. A slot is freed when the reply came, never before, so a late
//! reply to a caller that went away finds its own slot, not another's.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ringlog_core::ids::ShardIndex;
use slab::Slab;

/// Names one call of one shard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CallTicket(usize);

/// Where an answer goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyTo {
    /// The shard that asked.
    pub shard: ShardIndex,
    /// Its ticket.
    pub ticket: CallTicket,
}

/// One shard's calls under way.
pub struct Calls<R> {
    slots: Rc<RefCell<Slab<Slot<R>>>>,
}

enum Slot<R> {
    Waiting(Option<Waker>),
    Answered(R),
    /// The caller went away; the reply is dropped when it comes.
    Forgotten,
}

impl<R> Calls<R> {
    /// None under way.
    pub fn new() -> Calls<R> {
        Calls { slots: Rc::new(RefCell::new(Slab::new())) }
    }

    /// Opens a slot for a reply.
    pub fn open(&self) -> (CallTicket, PendingCall<R>) {
        let ticket = CallTicket(self.slots.borrow_mut().insert(Slot::Waiting(None)));
        (ticket, PendingCall { slots: self.slots.clone(), ticket, taken: false })
    }

    /// Delivers a reply.
    ///
    /// # Panics
    /// If the ticket was answered before: a shard answers each call once.
    pub fn deliver(&self, ticket: CallTicket, reply: R) {
        let waker = {
            let mut slots = self.slots.borrow_mut();
            let slot = slots.get_mut(ticket.0).expect("a reply belongs to a call under way");
            match std::mem::replace(slot, Slot::Answered(reply)) {
                Slot::Waiting(waker) => waker,
                Slot::Forgotten => {
                    slots.remove(ticket.0);
                    None
                }
                Slot::Answered(_) => panic!("call {} was answered twice", ticket.0),
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// How many calls are under way, forgotten ones included.
    pub fn count(&self) -> usize {
        self.slots.borrow().len()
    }
}

impl<R> Default for Calls<R> {
    fn default() -> Self {
        Calls::new()
    }
}

/// Waits for one call's reply. Dropping it forgets the call; the work asked for goes on.
pub struct PendingCall<R> {
    slots: Rc<RefCell<Slab<Slot<R>>>>,
    ticket: CallTicket,
    taken: bool,
}

impl<R> PendingCall<R> {
    /// The call's ticket, to name it in a later message.
    pub fn ticket(&self) -> CallTicket {
        self.ticket
    }
}

impl<R> Future for PendingCall<R> {
    type Output = R;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        let this = self.get_mut();
        assert!(!this.taken, "a call is not awaited again after its reply");
        let mut slots = this.slots.borrow_mut();
        if let Slot::Waiting(waker) = &mut slots[this.ticket.0] {
            match waker {
                Some(known) if known.will_wake(context.waker()) => {}
                _ => *waker = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        this.taken = true;
        match slots.remove(this.ticket.0) {
            Slot::Answered(reply) => Poll::Ready(reply),
            Slot::Waiting(_) | Slot::Forgotten => {
                unreachable!("a slot with a waiting caller is not forgotten")
            }
        }
    }
}

impl<R> Drop for PendingCall<R> {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        let mut slots = self.slots.borrow_mut();
        let answered = matches!(slots[self.ticket.0], Slot::Answered(_));
        let unread = if answered {
            slots.remove(self.ticket.0)
        } else {
            std::mem::replace(&mut slots[self.ticket.0], Slot::Forgotten)
        };
        drop(slots);
        // Outside the borrow: a reply may own memory whose release runs anything.
        drop(unread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_reply_reaches_its_caller_and_frees_the_slot() {
        let calls = Calls::new();
        let (ticket, mut pending) = calls.open();
        assert_eq!((&mut pending).now_or_never(), None::<u32>);
        calls.deliver(ticket, 7);
        assert_eq!(pending.now_or_never(), Some(7));
        assert_eq!(calls.count(), 0);
    }

    #[test]
    fn a_late_reply_to_a_caller_that_went_away_is_dropped() {
        let calls = Calls::new();
        let (forgotten, pending) = calls.open();
        drop(pending);
        let (other, waiting) = calls.open();
        assert_ne!(forgotten, other, "the forgotten slot is still taken");
        calls.deliver(forgotten, 1);
        calls.deliver(other, 2);
        assert_eq!(waiting.now_or_never(), Some(2));
        assert_eq!(calls.count(), 0);
    }
}
