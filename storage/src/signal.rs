//! Waiting for a condition of this shard: who changes something calls `notify`, who waits looks again.
//!
//! Always true: a condition is looked at again after every `notify` that follows a look; a dropped waiter costs
//! one useless wake at most.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::task::{Poll, Waker};

/// Wakes tasks of one shard.
#[derive(Default)]
pub(crate) struct Signal {
    wakers: RefCell<Vec<Waker>>,
}

impl Signal {
    /// Makes every waiter look at its condition again.
    pub fn notify(&self) {
        if self.wakers.borrow().is_empty() {
            return;
        }
        let wakers = std::mem::take(&mut *self.wakers.borrow_mut());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Completes when `look` returns a value; looks at once and after each `notify`.
    pub fn until<'a, T>(&'a self, mut look: impl FnMut() -> Option<T> + 'a) -> impl Future<Output = T> + 'a {
        poll_fn(move |context| {
            if let Some(value) = look() {
                return Poll::Ready(value);
            }
            let mut wakers = self.wakers.borrow_mut();
            if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
    }

    /// Completes when `is_so` holds.
    pub fn when<'a>(&'a self, mut is_so: impl FnMut() -> bool + 'a) -> impl Future<Output = ()> + 'a {
        self.until(move || is_so().then_some(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::cell::Cell;

    #[test]
    fn a_waiter_looks_at_once_and_after_each_notify() {
        let (signal, value) = (Signal::default(), Cell::new(0));
        assert_eq!(signal.until(|| Some(7)).now_or_never(), Some(7));
        let mut waiting = Box::pin(signal.when(|| value.get() == 2));
        assert!(waiting.as_mut().now_or_never().is_none());
        value.set(2);
        signal.notify();
        assert!(waiting.now_or_never().is_some());
    }
}
