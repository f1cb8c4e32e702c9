//! Calls that may block: opening, naming, listing. They run on the executor's helper thread, a bounded number at
//! a time, and own what they use, so a dropped future leaves nothing dangling.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Calls handed to the helper thread and not yet answered.
const CALLS_MAX: usize = 64;

/// The way to the helper thread. Clones share its bound.
#[derive(Clone, Default)]
pub(super) struct Blocking {
    gate: Rc<Gate>,
}

#[derive(Default)]
struct Gate {
    under_way: Cell<usize>,
    waiting: RefCell<VecDeque<Waker>>,
}

/// The right to one call.
struct Passage(Rc<Gate>);

impl Blocking {
    /// Runs a call on the helper thread.
    pub(super) async fn run<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> T {
        let _passage = self.enter().await;
        glommio::executor().spawn_blocking(call).await
    }

    async fn enter(&self) -> Passage {
        poll_fn(|context| {
            if self.gate.under_way.get() < CALLS_MAX {
                self.gate.under_way.set(self.gate.under_way.get() + 1);
                return Poll::Ready(Passage(self.gate.clone()));
            }
            self.gate.waiting.borrow_mut().push_back(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
        // All of them: one alone might be gone already, and the others would wait for ever.
        let waiting = std::mem::take(&mut *self.0.waiting.borrow_mut());
        waiting.into_iter().for_each(Waker::wake);
    }
}
