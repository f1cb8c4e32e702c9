//! Stopping: answer what was accepted, then put everything where the next start finds it at once.
//!
//! ```text
//!   drain (every shard): no new requests, long polls end, replies owed are sent, connections close
//!   close (every shard): checkpoint, segments cut to their length, clean-shutdown mark
//! ```
//!
//! Always true: no shard closes its logs before every shard has drained, so no request finds a closed log.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::future::join_all;
use ringlog_runtime::environment::Environment;

use crate::broker::calls::ReplyTo;
use crate::broker::message::Answer;
use crate::broker::shard::Shard;

/// How long replies owed may take to leave before their connections are closed over them.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// How often to look whether all is sent.
const DRAIN_LOOK: Duration = Duration::from_millis(5);

/// Tells a shard's main task that the shard has closed.
#[derive(Default)]
pub struct Closed {
    closed: Cell<bool>,
    main: RefCell<Option<Waker>>,
}

impl Closed {
    /// Completes when the shard has closed.
    pub fn wait(&self) -> impl Future<Output = ()> + '_ {
        poll_fn(|context| {
            if self.closed.get() {
                return Poll::Ready(());
            }
            *self.main.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
    }

    fn set(&self) {
        self.closed.set(true);
        if let Some(main) = self.main.borrow_mut().take() {
            main.wake();
        }
    }
}

impl<E: Environment> Shard<E> {
    pub(super) async fn drain(self: Rc<Self>, reply_to: ReplyTo) {
        self.set_stopping();
        self.leave_all_seats();
        let deadline = self.env.now() + DRAIN_MAX;
        while !self.connections.are_quiet() && self.env.now() < deadline {
            self.env.sleep_until(self.env.now() + DRAIN_LOOK).await;
        }
        self.connections.shutdown();
        self.answer(reply_to, Answer::Done);
    }

    pub(super) async fn close(self: Rc<Self>, reply_to: ReplyTo) {
        let closing = self.directories.stores().map(|(_, store)| store.close());
        for closed in join_all(closing).await {
            if let Err(failure) = closed {
                tracing::error!(%failure, "the logs could not be closed cleanly; the next start recovers them");
            }
        }
        self.answer(reply_to, Answer::Done);
        self.closed.set();
    }
}
