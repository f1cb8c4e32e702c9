//! Coarse deadlines: thousands of requests each with a timeout that hardly ever comes.
//!
//! One task per shard looks every [`TICK`] at the deadlines waiting, and only while there are any. Arming and
//! disarming cost a slab slot each; a deadline is met up to one tick late.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringlog_core::time::Instant;
use ringlog_runtime::environment::Environment;
use slab::Slab;

/// How late a deadline may be noticed.
pub const TICK: Duration = Duration::from_millis(100);

/// One shard's deadlines.
#[derive(Clone, Default)]
pub struct Deadlines {
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    armed: Slab<Armed>,
    watcher: Option<Waker>,
}

struct Armed {
    at: Instant,
    passed: bool,
    waker: Option<Waker>,
}

impl Deadlines {
    /// Completes when `at` has passed, give or take a [`TICK`].
    pub fn at(&self, at: Instant) -> Deadline {
        let mut state = self.state.borrow_mut();
        let key = state.armed.insert(Armed { at, passed: false, waker: None });
        if let Some(watcher) = state.watcher.take() {
            watcher.wake();
        }
        Deadline { state: self.state.clone(), key }
    }

    /// Runs for as long as the shard does.
    pub async fn watch<E: Environment>(self, env: E) {
        loop {
            self.any_armed().await;
            env.sleep_until(env.now() + TICK).await;
            self.expire(env.now());
        }
    }

    fn any_armed(&self) -> impl Future<Output = ()> + '_ {
        poll_fn(|context| {
            let mut state = self.state.borrow_mut();
            if state.armed.is_empty() {
                state.watcher = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
    }

    fn expire(&self, now: Instant) {
        for (_, armed) in self.state.borrow_mut().armed.iter_mut() {
            if armed.at <= now {
                armed.passed = true;
                if let Some(waker) = armed.waker.take() {
                    waker.wake();
                }
            }
        }
    }
}

/// Completes when its time has passed; dropping it disarms it.
pub struct Deadline {
    state: Rc<RefCell<State>>,
    key: usize,
}

impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let armed = &mut self.state.borrow_mut().armed[self.key];
        if armed.passed {
            return Poll::Ready(());
        }
        armed.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.state.borrow_mut().armed.remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_deadline_completes_once_its_time_has_passed_and_leaves_nothing_behind() {
        let deadlines = Deadlines::default();
        let start = Instant::default();
        let mut early = deadlines.at(start + Duration::from_millis(100));
        let mut late = deadlines.at(start + Duration::from_millis(200));
        deadlines.expire(start + Duration::from_millis(150));
        assert_eq!((&mut early).now_or_never(), Some(()));
        assert_eq!((&mut late).now_or_never(), None);
        drop((early, late));
        assert!(deadlines.state.borrow().armed.is_empty());
    }
}
