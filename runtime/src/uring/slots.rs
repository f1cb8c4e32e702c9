//! What the kernel is working on: one slot per operation, which owns all that the operation touches.
//!
//! ```text
//!            insert ──► in kernel, held ──last completion──► ended, held ──poll──► free
//!                          │    │                               │
//!        future dropped ◄──┘    └─first of two completions      └─future dropped──► free
//!              ▼                          ▼ poll
//!       in kernel, orphaned        in kernel, lingering
//!              └──────last completion─────┴──► free (buffers and file let go here, never before)
//! ```
//!
//! Always true: a slot keeps its buffers and file until the last completion of its operation; a key is good for
//! one operation only, since the generation grows when a slot becomes free. What is let go is handed to the
//! caller, who drops it after its borrow has ended: dropping may start further operations.

use std::rc::Rc;
use std::task::{Poll, Waker};

use super::descriptor::Descriptor;
use super::payload::Payload;

/// All slots of a shard. Their number is bounded by those who start operations: connections, files, timers.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
    in_kernel_count: usize,
}

struct Slot {
    generation: u32,
    in_kernel: bool,
    is_held: bool,
    completion: Option<Completion>,
    waker: Option<Waker>,
    owned: Option<Owned>,
}

/// What an operation keeps alive.
pub(super) struct Owned {
    /// The file or socket it works on.
    #[expect(dead_code, reason = "held so that it stays open")]
    pub(super) descriptor: Option<Rc<Descriptor>>,
    /// The memory it works on.
    pub(super) payload: Payload,
}

/// Names one operation, for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key {
    index: u32,
    generation: u32,
}

/// What the kernel said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Completion {
    /// The system call's result, or a negative error number.
    pub(super) result: i32,
    /// The completion's flags.
    pub(super) flags: u32,
}

/// What a holder gets when its operation is done: its memory too, unless the kernel still uses that.
pub(super) struct Finished {
    pub(super) result: i32,
    pub(super) payload: Option<Payload>,
}

/// What follows from a completion, to be done after the borrow of the slots has ended.
#[derive(Default)]
pub(super) struct Aftermath {
    /// Who waits for it.
    pub(super) waker: Option<Waker>,
    /// What an orphaned operation lets go, with its result.
    pub(super) released: Option<(Owned, Completion)>,
}

impl Key {
    /// The number the kernel carries for us.
    pub(super) fn user_data(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The key within a number the kernel gave back.
    pub(super) fn from_user_data(user_data: u64) -> Key {
        Key { index: user_data as u32, generation: (user_data >> 32) as u32 }
    }
}

impl Slots {
    /// A slot for an operation that is about to start.
    pub(super) fn insert(&mut self, owned: Owned) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::unused());
            u32::try_from(self.slots.len() - 1).expect("operations are far fewer than four billion")
        });
        let slot = &mut self.slots[index as usize];
        slot.in_kernel = true;
        slot.is_held = true;
        slot.owned = Some(owned);
        self.in_kernel_count += 1;
        Key { index, generation: slot.generation }
    }

    /// Operations whose last completion has not come.
    pub(super) fn in_kernel_count(&self) -> usize {
        self.in_kernel_count
    }

    /// The payload of an operation that the kernel has, to complete it with what the completion brought.
    pub(super) fn payload_mut(&mut self, key: Key) -> &mut Payload {
        &mut self.slot(key).owned.as_mut().expect("an operation in the kernel owns something").payload
    }

    /// Records a completion. `more` says that another will follow; a notification only tells that the kernel is
    /// done with the memory.
    pub(super) fn complete(
        &mut self,
        key: Key,
        completion: Completion,
        more: bool,
        is_notification: bool,
    ) -> Aftermath {
        let slot = self.slot(key);
        assert!(slot.in_kernel, "{key:?} completed after its last completion");
        let mut aftermath = Aftermath::default();
        if !is_notification {
            slot.completion = Some(completion);
            aftermath.waker = slot.waker.take();
        }
        if more {
            return aftermath;
        }
        slot.in_kernel = false;
        let is_held = slot.is_held;
        self.in_kernel_count -= 1;
        if !is_held {
            let last = slot_completion(self.slot(key), completion);
            aftermath.released = self.release(key).map(|owned| (owned, last));
        }
        aftermath
    }

    /// What became of an operation, or `waker` is woken when that is known.
    pub(super) fn poll(&mut self, key: Key, waker: &Waker) -> Poll<(Finished, Option<Owned>)> {
        let slot = self.slot(key);
        assert!(slot.is_held, "{key:?} is polled after its end");
        let Some(completion) = slot.completion else {
            match &slot.waker {
                Some(present) if present.will_wake(waker) => {}
                _ => slot.waker = Some(waker.clone()),
            }
            return Poll::Pending;
        };
        slot.is_held = false;
        if slot.in_kernel {
            return Poll::Ready((Finished { result: completion.result, payload: None }, None));
        }
        let mut owned = self.release(key).expect("a slot that was polled owns something");
        let payload = std::mem::replace(&mut owned.payload, Payload::Nothing);
        Poll::Ready((Finished { result: completion.result, payload: Some(payload) }, Some(owned)))
    }

    /// The holder is gone: the operation goes on without it.
    pub(super) fn orphan(&mut self, key: Key) -> Aftermath {
        let slot = self.slot(key);
        assert!(slot.is_held, "{key:?} is let go twice");
        slot.is_held = false;
        let waker = slot.waker.take();
        if slot.in_kernel {
            return Aftermath { waker, released: None };
        }
        let completion = slot.completion.expect("an ended operation has a result");
        Aftermath { waker, released: self.release(key).map(|owned| (owned, completion)) }
    }

    /// Takes everything the kernel still uses, to be leaked: for a ring that cannot be drained.
    pub(super) fn take_all(&mut self) -> Vec<Owned> {
        self.slots.iter_mut().filter_map(|slot| slot.owned.take()).collect()
    }

    fn slot(&mut self, key: Key) -> &mut Slot {
        let slot = &mut self.slots[key.index as usize];
        assert_eq!(slot.generation, key.generation, "slot {} belongs to another operation now", key.index);
        slot
    }

    fn release(&mut self, key: Key) -> Option<Owned> {
        let slot = self.slot(key);
        let owned = slot.owned.take();
        *slot = Slot { generation: slot.generation.wrapping_add(1), ..Slot::unused() };
        self.free.push(key.index);
        owned
    }
}

/// The result proper: that of the first completion where there were two.
fn slot_completion(slot: &Slot, last: Completion) -> Completion {
    slot.completion.unwrap_or(last)
}

impl Slot {
    fn unused() -> Slot {
        Slot { generation: 0, in_kernel: false, is_held: false, completion: None, waker: None, owned: None }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::buffer::Arena;

    #[derive(Default)]
    struct CountedWakes(AtomicUsize);

    impl Wake for CountedWakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn with_buffer(arena: &Arena) -> Owned {
        Owned { descriptor: None, payload: Payload::Buffer(arena.allocate(4096).unwrap()) }
    }

    const DONE: Completion = Completion { result: 7, flags: 0 };

    #[test]
    fn an_orphans_buffer_is_kept_until_its_last_completion() {
        let arena = Arena::unregistered(1 << 20);
        let mut slots = Slots::default();
        let key = slots.insert(with_buffer(&arena));
        drop(slots.orphan(key));
        assert_eq!(arena.used_bytes(), 4096, "the kernel may still write there");
        drop(slots.complete(key, DONE, false, false));
        assert_eq!((arena.used_bytes(), slots.in_kernel_count()), (0, 0));
    }

    #[test]
    fn of_two_completions_the_first_answers_and_the_second_frees() {
        let arena = Arena::unregistered(1 << 20);
        let mut slots = Slots::default();
        let wakes = Arc::new(CountedWakes::default());
        let waker = Waker::from(wakes.clone());
        let key = slots.insert(with_buffer(&arena));
        assert!(slots.poll(key, &waker).is_pending());
        slots.complete(key, DONE, true, false).waker.unwrap().wake();
        let Poll::Ready((finished, owned)) = slots.poll(key, &waker) else { panic!("the result is there") };
        assert_eq!((finished.result, finished.payload.is_none(), owned.is_none()), (7, true, true));
        assert_eq!(arena.used_bytes(), 4096, "the kernel has not said that it is done with the memory");
        let aftermath = slots.complete(key, Completion { result: 0, flags: 8 }, false, true);
        assert!(aftermath.waker.is_none());
        drop(aftermath);
        assert_eq!((arena.used_bytes(), wakes.0.load(Ordering::Relaxed)), (0, 1));
    }

    #[test]
    fn both_completions_before_the_first_poll_give_the_first_result_and_the_memory() {
        let arena = Arena::unregistered(1 << 20);
        let mut slots = Slots::default();
        let waker = Waker::from(Arc::new(CountedWakes::default()));
        let key = slots.insert(with_buffer(&arena));
        drop(slots.complete(key, DONE, true, false));
        drop(slots.complete(key, Completion { result: 0, flags: 8 }, false, true));
        let Poll::Ready((finished, _)) = slots.poll(key, &waker) else { panic!("the result is there") };
        assert_eq!((finished.result, matches!(finished.payload, Some(Payload::Buffer(_)))), (7, true));
    }

    #[test]
    #[should_panic(expected = "belongs to another operation now")]
    fn a_late_completion_never_reaches_the_slots_next_operation() {
        let arena = Arena::unregistered(1 << 20);
        let mut slots = Slots::default();
        let first = slots.insert(with_buffer(&arena));
        drop(slots.orphan(first));
        drop(slots.complete(first, DONE, false, false));
        let second = slots.insert(with_buffer(&arena));
        assert_ne!(first, second);
        slots.complete(first, DONE, false, false);
    }

    #[test]
    fn a_key_survives_its_way_through_the_kernel() {
        let key = Key { index: 17, generation: 0xfeed_beef };
        assert_eq!(Key::from_user_data(key.user_data()), key);
    }
}
