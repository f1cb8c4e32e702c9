//! The future of one operation on the ring.
//!
//! Always true: the operation starts when the future is made, not when it is first polled, and ends by itself: a
//! dropped future leaves an orphan behind that keeps its memory until the kernel is done with it.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::driver::Driver;
use super::slots::{Finished, Key};

/// An operation under way.
pub(super) struct Operation {
    driver: Rc<Driver>,
    key: Option<Key>,
    on_drop: OnDrop,
}

/// What becomes of an operation whose future is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OnDrop {
    /// It runs to its end.
    Complete,
    /// The kernel is asked to stop it: it could wait for ever.
    Cancel,
}

impl Operation {
    pub(super) fn new(driver: Rc<Driver>, key: Key, on_drop: OnDrop) -> Operation {
        Operation { driver, key: Some(key), on_drop }
    }
}

impl Future for Operation {
    type Output = Finished;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Finished> {
        let key = self.key.expect("an operation is polled until it is done");
        let finished = std::task::ready!(self.driver.poll(key, context.waker()));
        self.key = None;
        Poll::Ready(finished)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.driver.orphan(key, self.on_drop);
        }
    }
}
