//! The pump: the task that turns the data ring, and in which the shard's thread sleeps.
//!
//! ```text
//!   ┌─► take completions, messages, due timers: their tasks are ready
//!   │   let the ready tasks run; what they ask for is queued
//!   └── is none ready any more? sleep: one system call gives the kernel what is queued and waits
//!                        else: give the kernel what is queued, go on
//! ```
//!
//! The executor has a sleep of its own, and may fall into it with tasks still ready: where one of its own events
//! (its preemption timer, above all) comes between its last look at them and the first task, it takes "I ran
//! nothing" for "there is nothing to run". So it is never left to sleep: the pump is always ready. That also keeps
//! it within one pass of its loop, in which it enters the kernel for nothing. It gets no timer, no socket, no file
//! and no blocking call, and a preemption timer beyond every life ([`NEVER`]).
//! docs/decisions/2026-11-26-the-shard-sleeps-in-its-own-ring.md has the whole story.
//!
//! Always true: the thread sleeps only while no task is ready, after a look at ring, queues and deadlines that came
//! after the sign was hung out. Wakers of a shard are woken on its own thread only.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use glommio::{Latency, LocalExecutor, Shares};

use super::clock;
use super::driver::Driver;
use super::readiness::Readiness;

/// The executor's preemption timer: it must not go off between two looks of the executor at its tasks.
pub(super) const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What the pump's own queue weighs: as little as the least of the others. The executor runs the queue that has used
/// the least time by its weight, so whoever is ready goes before the pump, and after a while of that the pump does.
/// In a heavy queue it would turn in vain until a light one has its right to a turn.
const SHARES: usize = 50;

/// How often tasks that ready each other run on before the kernel hears what they have asked for so far.
const ROUNDS_MAX: usize = 4;

/// Runs tasks on this thread, sleeping while none is ready, until `is_over` says so.
pub(super) fn host(
    executor: &LocalExecutor,
    driver: Rc<Driver>,
    readiness: Readiness,
    idle_spin: Duration,
    start: impl Future<Output = ()> + 'static,
    is_over: impl Fn() -> bool + 'static,
) {
    executor.run(async {
        glommio::spawn_local(readiness.track(start)).detach();
        let queue =
            glommio::executor().create_task_queue(Shares::Static(SHARES), Latency::NotImportant, "pump");
        let pump = pump(driver, readiness, idle_spin, is_over);
        glommio::spawn_local_into(pump, queue).expect("the queue was just made").await;
    });
}

/// Turns the ring until all is over.
async fn pump(driver: Rc<Driver>, readiness: Readiness, idle_spin: Duration, is_over: impl Fn() -> bool) {
    let mut last_active = clock::now();
    while !is_over() {
        if driver.reap() | driver.deliver() {
            last_active = clock::now();
        }
        run_ready_tasks(&readiness).await;
        if !readiness.none_ready() || is_over() || clock::now().since(last_active) < idle_spin {
            driver.submit();
        } else if driver.rest() {
            // The executor counts the sleep as time this task has used. Once it has done so, whoever is woken next
            // begins level with this task, not ahead of it by the length of the sleep.
            yield_to_others().await;
        }
    }
}

/// Whoever is ready may queue more, and ready others: let them before a system call.
async fn run_ready_tasks(readiness: &Readiness) {
    for _ in 0..ROUNDS_MAX {
        yield_to_others().await;
        if readiness.none_ready() {
            return;
        }
    }
}

async fn yield_to_others() {
    glommio::executor().yield_task_queue_now().await;
}
