//! The pump: the task that turns the data ring; and the loop of the shard's thread, which sleeps in that ring.
//!
//! ```text
//!   thread ──► executor.run: rest, then every task that is ready ──► none is ready: run returns ──► again
//!                             │
//!                             └─ hang out the sign, look once more, io_uring_enter(data ring) until
//!                                a completion, a neighbour's message, the eventfd or a deadline; wake the pump
//! ```
//!
//! The executor has a sleep of its own, and may fall into it with tasks still ready: where one of its own events
//! (its preemption timer, above all) comes between its last look at them and the first task, it takes "I ran
//! nothing" for "there is nothing to run". So it is never left to sleep. It gets no timer, no socket, no file and
//! no blocking call, and a preemption timer beyond every life ([`NEVER`]); then each `run` of a future that is
//! ready returns as soon as no task is (docs/decisions/2026-11-26-the-shard-sleeps-in-its-own-ring.md).
//!
//! Always true: the thread sleeps only after a look at ring, queues and deadlines that came after the sign was
//! hung out, while the pump rests and so no task is ready. Wakers of a shard are woken on its own thread only.

use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use glommio::LocalExecutor;

use super::clock;
use super::driver::Driver;

/// The executor's preemption timer: it must not go off between two looks of the executor at its tasks.
pub(super) const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Runs tasks on this thread, sleeping while none is ready, until `is_over` says so.
pub(super) fn host(
    executor: &LocalExecutor,
    driver: &Rc<Driver>,
    start: impl Future<Output = ()> + 'static,
    is_over: impl Fn() -> bool,
) {
    executor.run(async {
        glommio::spawn_local(start).detach();
    });
    while !is_over() {
        let driver = driver.clone();
        // Inside the executor, since what is woken must find it; first in its queue, since that is empty.
        executor.run(async move { driver.rest() });
    }
}

/// Turns the ring until it is closed.
pub(super) async fn pump(driver: Rc<Driver>, idle_spin: Duration) {
    let mut last_active = clock::now();
    while !driver.is_closed() {
        if driver.turn() | driver.deliver() {
            last_active = clock::now();
            glommio::executor().yield_task_queue_now().await;
            continue;
        }
        // Whoever is ready may queue more: let them before the system call that a sleep costs.
        glommio::executor().yield_task_queue_now().await;
        if clock::now().since(last_active) >= idle_spin {
            sleep(&driver).await;
        }
    }
}

/// Until a task of this shard queues an operation, or the thread has rested.
async fn sleep(driver: &Driver) {
    let mut slept = false;
    poll_fn(|context| {
        if std::mem::replace(&mut slept, true) || driver.has_work() {
            return Poll::Ready(());
        }
        driver.set_pump(context.waker());
        Poll::Pending
    })
    .await;
}
