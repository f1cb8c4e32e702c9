//! How many tasks of a shard are ready to run: what its thread must know before it sleeps.
//!
//! ```text
//!   spawn ──► Tracked { task } ──poll──► the task sees a waker of ours ──wake──► ready + 1, then the executor's waker
//!                                 └── ready - 1
//! ```
//!
//! The executor knows which tasks are ready and does not tell; so each task's wakers pass by here first.
//!
//! Always true: a task counts once from its wake (or its making) until it is polled or gone. A waker of a task
//! that has ended counts nothing. While any waker of a task lives, new ones are the same (`will_wake`), so a list
//! of wakers holds each task once.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use pin_project_lite::pin_project;

/// The count of one shard. Clones are the same count.
#[derive(Clone, Default)]
pub(super) struct Readiness {
    // Atomic because wakers must be `Send`; only the shard's thread comes here.
    count: Arc<AtomicUsize>,
}

impl Readiness {
    /// Whether every task waits for something.
    pub(super) fn none_ready(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Makes a task count. To be spawned at once: it is ready from here on.
    pub(super) fn track<F: Future>(&self, task: F) -> Tracked<F> {
        let presence = Arc::new(Presence { state: AtomicU8::new(WAITING), count: self.count.clone() });
        presence.mark_ready();
        Tracked { task, presence: Counted(presence), signal: Weak::new() }
    }
}

const WAITING: u8 = 0;
const READY: u8 = 1;
const OVER: u8 = 2;

/// A task's place in the count.
struct Presence {
    state: AtomicU8,
    count: Arc<AtomicUsize>,
}

impl Presence {
    fn mark_ready(&self) {
        if self.state.compare_exchange(WAITING, READY, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn leave_ready_for(&self, state: u8) {
        if self.state.swap(state, Ordering::Relaxed) == READY {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A presence that ends with its task.
struct Counted(Arc<Presence>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.leave_ready_for(OVER);
    }
}

/// What a task's wakers are.
struct Signal {
    presence: Arc<Presence>,
    executor: Waker,
}

impl Wake for Signal {
    fn wake(self: Arc<Signal>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Signal>) {
        self.presence.mark_ready();
        self.executor.wake_by_ref();
    }
}

pin_project! {
    /// A task that counts while it is ready.
    pub(super) struct Tracked<F> {
        #[pin]
        task: F,
        presence: Counted,
        // Weak: a strong one would keep the executor's waker, and with it a task that nobody can wake any more.
        signal: Weak<Signal>,
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let presence = &this.presence.0;
        presence.leave_ready_for(WAITING);
        let signal = this.signal.upgrade().unwrap_or_else(|| {
            let signal = Arc::new(Signal { presence: presence.clone(), executor: context.waker().clone() });
            *this.signal = Arc::downgrade(&signal);
            signal
        });
        let polled = this.task.poll(&mut Context::from_waker(&Waker::from(signal)));
        if polled.is_ready() {
            presence.leave_ready_for(OVER);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::rc::Rc;

    use super::*;

    type Wakers = Rc<RefCell<Vec<Waker>>>;

    /// A task that leaves a waker behind each time it is polled, and ends when told to.
    fn task(wakers: &Wakers, ends: bool) -> impl Future<Output = ()> + use<> {
        let wakers = wakers.clone();
        poll_fn(move |context| {
            wakers.borrow_mut().push(context.waker().clone());
            if ends { Poll::Ready(()) } else { Poll::Pending }
        })
    }

    fn poll<F: Future>(task: &mut Pin<Box<Tracked<F>>>) -> bool {
        task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_task_is_ready_from_its_making_to_its_first_poll() {
        let (readiness, wakers) = (Readiness::default(), Wakers::default());
        let mut task = Box::pin(readiness.track(task(&wakers, false)));
        assert!(!readiness.none_ready());
        assert!(!poll(&mut task));
        assert!(readiness.none_ready());
    }

    #[test]
    fn two_wakes_are_one_turn() {
        let (readiness, wakers) = (Readiness::default(), Wakers::default());
        let mut task = Box::pin(readiness.track(task(&wakers, false)));
        poll(&mut task);
        wakers.borrow()[0].wake_by_ref();
        wakers.borrow()[0].wake_by_ref();
        assert!(!readiness.none_ready());
        poll(&mut task);
        assert!(readiness.none_ready());
    }

    #[test]
    fn wakers_of_one_task_are_the_same_while_one_of_them_lives() {
        let (readiness, wakers) = (Readiness::default(), Wakers::default());
        let mut task = Box::pin(readiness.track(task(&wakers, false)));
        poll(&mut task);
        poll(&mut task);
        assert!(wakers.borrow()[0].will_wake(&wakers.borrow()[1]));
    }

    #[test]
    fn a_waker_that_outlives_its_task_counts_nothing() {
        let (readiness, wakers) = (Readiness::default(), Wakers::default());
        let mut ended = Box::pin(readiness.track(task(&wakers, true)));
        assert!(poll(&mut ended));
        wakers.borrow()[0].wake_by_ref();
        assert!(readiness.none_ready(), "it has ended");
        let mut dropped = Box::pin(readiness.track(task(&wakers, false)));
        poll(&mut dropped);
        drop(dropped);
        wakers.borrow()[1].wake_by_ref();
        assert!(readiness.none_ready(), "it is gone");
    }

    #[test]
    fn a_task_dropped_while_ready_leaves_the_count() {
        let readiness = Readiness::default();
        drop(readiness.track(async {}));
        assert!(readiness.none_ready());
    }

    #[test]
    fn a_task_that_wakes_itself_and_ends_is_not_ready() {
        let readiness = Readiness::default();
        let mut task = Box::pin(readiness.track(poll_fn(|context| {
            context.waker().wake_by_ref();
            Poll::Ready(())
        })));
        assert!(poll(&mut task));
        assert!(readiness.none_ready());
    }

    #[test]
    fn the_executors_waker_goes_with_the_last_waker_of_a_task() {
        struct Silent;
        impl Wake for Silent {
            fn wake(self: Arc<Silent>) {}
        }
        let (readiness, wakers) = (Readiness::default(), Wakers::default());
        let mut task = Box::pin(readiness.track(task(&wakers, false)));
        let executor = Arc::new(Silent);
        let waker = Waker::from(executor.clone());
        assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert_eq!(Arc::strong_count(&executor), 2);
        wakers.borrow_mut().clear();
        assert_eq!(Arc::strong_count(&executor), 1, "nobody can wake the task, so nothing must keep it");
    }
}
