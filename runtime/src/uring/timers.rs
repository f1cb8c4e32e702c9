//! The shard's timers: who wants to be woken when.
//!
//! ```text
//!   sleep_until(deadline) ──► (deadline, number) -> waker ──► the pump wakes those whose time has come
//!                                    └── the first of them bounds the thread's sleep
//! ```
//!
//! Always true: a timer is in the map only while its future lives and waits. Their number is bounded by the tasks
//! that sleep.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ringlog_core::time::Instant;

use super::clock;

/// The timers of one shard.
#[derive(Default)]
pub(super) struct Timers {
    waiting: RefCell<BTreeMap<(Instant, u64), Waker>>,
    count: Cell<u64>,
}

/// Completes at its deadline.
pub(super) struct Sleep {
    timers: Rc<Timers>,
    /// The number tells apart those of one deadline.
    key: (Instant, u64),
}

impl Timers {
    /// Completes at `deadline`, or at once if that has passed.
    pub(super) fn sleep_until(self: &Rc<Timers>, deadline: Instant) -> Sleep {
        let number = self.count.get();
        self.count.set(number + 1);
        Sleep { timers: self.clone(), key: (deadline, number) }
    }

    /// When the next timer is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.borrow().first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Wakes those whose time has come. True if there were any.
    pub(super) fn wake_due(&self) -> bool {
        if self.waiting.borrow().is_empty() {
            return false;
        }
        let now = clock::now();
        let mut any = false;
        while let Some(waker) = self.take_due(now) {
            // Foreign code, so no borrow is alive here.
            waker.wake();
            any = true;
        }
        any
    }

    fn take_due(&self, now: Instant) -> Option<Waker> {
        let mut waiting = self.waiting.borrow_mut();
        let first = waiting.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if clock::now() >= self.key.0 {
            return Poll::Ready(());
        }
        let replaced = self.timers.waiting.borrow_mut().insert(self.key, context.waker().clone());
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let removed = self.timers.waiting.borrow_mut().remove(&self.key);
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_deadline_that_has_passed_is_no_wait() {
        let timers = Rc::new(Timers::default());
        assert_eq!(timers.sleep_until(clock::now()).now_or_never(), Some(()));
        assert_eq!(timers.next_deadline(), None);
    }

    #[test]
    fn the_earliest_of_those_who_wait_is_next_and_one_that_gives_up_is_forgotten() {
        let timers = Rc::new(Timers::default());
        let (near, far) = (clock::now() + Duration::from_secs(60), clock::now() + Duration::from_secs(600));
        let mut context = Context::from_waker(Waker::noop());
        let mut later = Box::pin(timers.sleep_until(far));
        let mut sooner = Box::pin(timers.sleep_until(near));
        assert!(later.as_mut().poll(&mut context).is_pending());
        assert!(sooner.as_mut().poll(&mut context).is_pending());
        assert_eq!(timers.next_deadline(), Some(near));
        assert!(!timers.wake_due(), "nobody's time has come");
        drop(sooner);
        assert_eq!(timers.next_deadline(), Some(far));
        drop(later);
        assert_eq!(timers.next_deadline(), None);
    }
}
