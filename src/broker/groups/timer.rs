//! When time alone decides: one timer for all groups of a shard.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::future::select;
use ringlog_core::time::Instant;
use ringlog_runtime::environment::Environment;

use crate::broker::groups::seat::Work;
use crate::broker::shard::Shard;

/// The least time between two looks at the deadlines.
const PAUSE: Duration = Duration::from_millis(1);

/// Wakes the task that waits for the earliest deadline.
#[derive(Default)]
pub(super) struct GroupTimer {
    /// What the task waits for; `None` while it does not wait, or waits for nothing.
    armed: Cell<Option<Instant>>,
    earlier: Cell<bool>,
    watcher: RefCell<Option<Waker>>,
}

impl GroupTimer {
    /// There is a deadline; wakes the task if it waits for a later one.
    pub(super) fn note(&self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        if self.armed.get().is_some_and(|armed| armed <= deadline) {
            return;
        }
        self.earlier.set(true);
        if let Some(watcher) = self.watcher.borrow_mut().take() {
            watcher.wake();
        }
    }

    /// The task has looked at every deadline and waits for the earliest. Whatever was noted before is part of that
    /// already: woken by it, the task would look again without the pause, and hold its core for as long as anything is due.
    fn arm(&self, deadline: Option<Instant>) {
        self.armed.set(deadline);
        self.earlier.set(false);
    }

    /// The task is awake: it will look at every deadline before it waits again.
    fn disarm(&self) {
        self.armed.set(None);
    }

    fn earlier(&self) -> impl Future<Output = ()> + '_ {
        poll_fn(|context| {
            if self.earlier.replace(false) {
                return Poll::Ready(());
            }
            *self.watcher.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
    }
}

impl<E: Environment> Shard<E> {
    /// Lets time pass in every group, for as long as the shard runs.
    pub(in crate::broker) async fn watch_groups(self: Rc<Self>) {
        loop {
            let deadline = self.groups.seats().iter().filter_map(|seat| seat.next_deadline()).min();
            let deadline = deadline.map(|deadline| deadline.max(self.env.now() + PAUSE));
            self.groups.timer.arm(deadline);
            let earlier = self.groups.timer.earlier();
            match deadline {
                Some(deadline) => {
                    select(pin!(earlier), pin!(self.env.sleep_until(deadline))).await;
                }
                None => earlier.await,
            }
            self.groups.timer.disarm();
            let now = self.env.now();
            for seat in self.groups.seats() {
                if seat.next_deadline().is_some_and(|deadline| deadline <= now) {
                    self.coordinate(&seat, Work::Tick);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_deadline_noted_before_the_task_looked_does_not_take_its_pause_from_it() {
        let timer = GroupTimer::default();
        timer.note(Some(Instant(5)));
        timer.arm(Some(Instant(5)));
        assert_eq!(timer.earlier().now_or_never(), None, "it waits for that deadline already");
        timer.note(Some(Instant(9)));
        assert_eq!(timer.earlier().now_or_never(), None, "a later one is no reason to look");
        timer.note(Some(Instant(3)));
        assert_eq!(timer.earlier().now_or_never(), Some(()));
    }

    #[test]
    fn a_task_that_waits_for_nothing_is_woken_by_the_first_deadline() {
        let timer = GroupTimer::default();
        timer.arm(None);
        assert_eq!(timer.earlier().now_or_never(), None);
        timer.note(None);
        assert_eq!(timer.earlier().now_or_never(), None);
        timer.note(Some(Instant(9)));
        assert_eq!(timer.earlier().now_or_never(), Some(()));
    }
}
