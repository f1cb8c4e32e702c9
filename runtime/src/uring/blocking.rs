//! Calls that may block: opening, naming, listing. They run on the shard's helper thread, a bounded number at a
//! time, and own what they use, so a dropped future leaves nothing dangling.
//!
//! ```text
//!   run(call) ──queue──► helper thread: call, put the answer down, answered := true, ring if the shard sleeps
//!   waiting future ◄──wake── deliver: answered? wake all who wait; each looks for its own answer
//! ```
//!
//! Always true: an answer lies in its place before `answered` is set, so whoever is woken for it finds it. The
//! helper thread ends when the last handle of the shard is gone and its queue is empty.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread;

use super::driver::{Driver, ShardBell};
use crate::mesh::Inbox;

/// Calls handed to the helper thread and not yet answered.
const CALLS_MAX: usize = 64;

type Call = Box<dyn FnOnce() + Send>;
type Answer<T> = Arc<Mutex<Option<Result<T, Box<dyn Any + Send>>>>>;

/// The way to the helper thread. Clones share its bound.
#[derive(Clone)]
pub(super) struct Blocking {
    calls: Sender<Call>,
    answers: Rc<Answers>,
    gate: Rc<Gate>,
}

/// Who waits for an answer.
struct Answers {
    answered: Arc<AtomicBool>,
    waiting: RefCell<Vec<Waker>>,
}

#[derive(Default)]
struct Gate {
    under_way: Cell<usize>,
    waiting: RefCell<VecDeque<Waker>>,
}

/// The right to one call.
struct Passage(Rc<Gate>);

impl Blocking {
    /// Starts the helper thread of the driver's shard.
    pub(super) fn start(driver: &Driver) -> io::Result<Blocking> {
        let (calls, to_do) = channel();
        let answered = Arc::new(AtomicBool::new(false));
        let (bell, done) = (driver.bell_for_threads(), answered.clone());
        thread::Builder::new().name("blocking".into()).spawn(move || work(&to_do, &done, &bell))?;
        let answers = Rc::new(Answers { answered, waiting: RefCell::default() });
        driver.add_inbox(answers.clone());
        Ok(Blocking { calls, answers, gate: Rc::default() })
    }

    /// Runs a call on the helper thread. A call that panics does so here.
    pub(super) async fn run<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> T {
        let _passage = self.enter().await;
        let answer: Answer<T> = Arc::default();
        let place = answer.clone();
        let call = move || {
            let result = catch_unwind(AssertUnwindSafe(call));
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        };
        self.calls.send(Box::new(call)).expect("the helper thread lives as long as its handles");
        self.take(answer).await.unwrap_or_else(|panic| resume_unwind(panic))
    }

    async fn take<T>(&self, answer: Answer<T>) -> Result<T, Box<dyn Any + Send>> {
        poll_fn(|context| {
            if let Some(result) = answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Poll::Ready(result);
            }
            let mut waiting = self.answers.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
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

/// The helper thread.
fn work(to_do: &Receiver<Call>, answered: &AtomicBool, bell: &ShardBell) {
    for call in to_do {
        call();
        // Release: who sees it finds the answer.
        answered.store(true, Ordering::Release);
        bell.ring_if_asleep();
    }
}

impl Inbox for Answers {
    fn deliver(&self) -> bool {
        if !self.answered.load(Ordering::Relaxed) || !self.answered.swap(false, Ordering::Acquire) {
            return false;
        }
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_iter().for_each(Waker::wake);
        true
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ringlog_core::ids::ShardIndex;

    use super::*;
    use crate::buffer::Arena;
    use crate::mesh::Doorplate;

    #[test]
    fn a_call_that_panics_does_so_where_it_is_awaited_and_the_next_call_is_answered() {
        let doorplates: Arc<[Doorplate]> = [Doorplate::default()].into();
        let driver = Driver::new(ShardIndex(0), Arena::unregistered(1 << 20), doorplates, &[]).unwrap();
        let blocking = Blocking::start(&driver).unwrap();
        let answer_of = |fails: bool| {
            let mut call = Box::pin(blocking.run(move || if fails { panic!("in a call") } else { 7 }));
            let mut context = std::task::Context::from_waker(Waker::noop());
            catch_unwind(AssertUnwindSafe(|| {
                loop {
                    if let Poll::Ready(answer) = call.as_mut().poll(&mut context) {
                        return answer;
                    }
                    thread::yield_now();
                }
            }))
        };
        assert_eq!(answer_of(true).unwrap_err().downcast_ref::<&str>(), Some(&"in a call"));
        assert_eq!(answer_of(false).unwrap(), 7);
    }
}
