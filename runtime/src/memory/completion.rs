//! One result, handed from an event to the task that waits for it.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The waiting end.
pub(super) struct Completion<T> {
    shared: Rc<RefCell<Shared<T>>>,
}

/// The end that delivers.
pub(super) struct Completer<T> {
    shared: Rc<RefCell<Shared<T>>>,
}

struct Shared<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

pub(super) fn pair<T>() -> (Completer<T>, Completion<T>) {
    let shared = Rc::new(RefCell::new(Shared { value: None, waker: None }));
    (Completer { shared: shared.clone() }, Completion { shared })
}

impl<T> Completer<T> {
    /// Hands over the result; nobody may be waiting any more.
    pub fn complete(self, value: T) {
        let waker = {
            let mut shared = self.shared.borrow_mut();
            shared.value = Some(value);
            shared.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Completion<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut shared = self.shared.borrow_mut();
        match shared.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                shared.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
