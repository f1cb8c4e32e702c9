//! The next slab, made ready before it is needed, on a thread of its own: mapped, and every page of it touched.
//!
//! ```text
//!   take ──► the one that is ready, or none ─┐
//!                                            └─ ask for the next ──► thread: map, touch ──► ready
//! ```
//!
//! The kernel clears a page at its first touch: 2 MiB take 0.2 ms, and on a virtual machine whose host has yet to
//! find the memory as much as 6 ms, in which a shard would answer nobody.
//!
//! Always true: at most [`READY_MAX`] slabs wait here; whoever finds none maps its own. The thread ends with its
//! last order.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::buddy::SLAB_BYTES;
use super::slabs::Mapping;

/// Slabs that wait to be needed. A shard that takes in 65 MB a second needs one every 30 ms.
const READY_MAX: usize = 1;

/// Below the shards: what they do now goes before what they may need next.
const NICENESS: libc::c_int = 10;

/// The slabs made ready for one arena.
pub(super) struct ReadySlabs {
    ready: Shelf,
    orders: SyncSender<()>,
}

type Shelf = Arc<Mutex<Vec<Mapping>>>;

impl ReadySlabs {
    /// Starts the thread. Where it cannot be started none is ever ready.
    pub(super) fn start() -> ReadySlabs {
        let ready = Shelf::default();
        let (orders, taken) = sync_channel(1);
        let shelf = ready.clone();
        let started = thread::Builder::new().name("memory".into()).spawn(move || work(&taken, &shelf));
        if let Err(error) = started {
            tracing::warn!(%error, "no thread to make memory ready: a shard waits for the memory it grows by");
        }
        ReadySlabs { ready, orders }
    }

    /// A slab that is ready, if there is one; the next is ordered.
    pub(super) fn take(&self) -> Option<Mapping> {
        let slab = lock(&self.ready).pop();
        // An order that is not taken yet will do for this one, too; a thread that was not started takes none.
        let _ = self.orders.try_send(());
        slab
    }
}

fn work(orders: &Receiver<()>, shelf: &Shelf) {
    // SAFETY: changes how this thread (zero) is scheduled, nothing else; refused, it is as it was.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
    for () in orders {
        while lock(shelf).len() < READY_MAX {
            let Some(mut slab) = Mapping::new_huge(SLAB_BYTES) else { break };
            slab.touch();
            lock(shelf).push(slab);
        }
    }
}

fn lock(shelf: &Shelf) -> std::sync::MutexGuard<'_, Vec<Mapping>> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_for_one(slabs: &ReadySlabs) {
        while lock(&slabs.ready).is_empty() {
            thread::yield_now();
        }
    }

    #[test]
    fn the_slab_after_the_first_is_ready_and_so_on() {
        let slabs = ReadySlabs::start();
        assert!(slabs.take().is_none(), "nobody asked before");
        for _ in 0..3 {
            wait_for_one(&slabs);
            let slab = slabs.take().expect("it is ready");
            // SAFETY: the slab is this test's own, and that long.
            let content = unsafe { std::slice::from_raw_parts(slab.start().as_ptr(), SLAB_BYTES) };
            assert!(content.iter().all(|byte| *byte == 0));
            assert_eq!(slab.start().as_ptr() as usize % SLAB_BYTES, 0);
        }
    }

    #[test]
    fn orders_beyond_the_bound_make_no_more() {
        let slabs = ReadySlabs::start();
        for _ in 0..10 {
            let _ = slabs.orders.try_send(());
            wait_for_one(&slabs);
        }
        assert_eq!(lock(&slabs.ready).len(), READY_MAX);
    }
}
