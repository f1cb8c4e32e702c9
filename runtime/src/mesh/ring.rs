//! A bounded queue between two threads: one pushes, one pops.
//!
//! ```text
//!   head (consumer writes)        tail (producer writes)
//!         ▼                             ▼
//!   [    ][ m3 ][ m4 ][ m5 ][ m6 ][    ][    ][    ]      indices only grow; place = index & mask
//! ```
//!
//! Always true: `head <= tail <= head + capacity`; places from head to tail hold messages and belong to the
//! consumer, all others belong to the producer. Each end keeps a copy of the other's index and looks at the
//! shared one only when the copy says full or empty, so a busy queue moves few cache lines.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// On a cache line of its own (two, since processors fetch them in pairs).
#[repr(align(128))]
struct Padded<T>(T);

struct Shared<M> {
    head: Padded<AtomicUsize>,
    tail: Padded<AtomicUsize>,
    places: Box<[UnsafeCell<MaybeUninit<M>>]>,
}

// SAFETY: the two ends agree through `head` and `tail` on who may touch a place, and messages are `Send`.
unsafe impl<M: Send> Send for Shared<M> {}
// SAFETY: as above; the shared indices are atomic.
unsafe impl<M: Send> Sync for Shared<M> {}

/// The end that pushes. There is one: it can be moved to another thread, not cloned.
pub struct Producer<M> {
    shared: Arc<Shared<M>>,
    tail: usize,
    head_seen: usize,
}

/// The end that pops. There is one: it can be moved to another thread, not cloned.
pub struct Consumer<M> {
    shared: Arc<Shared<M>>,
    head: usize,
    tail_seen: usize,
}

/// A queue of at least `capacity` messages (rounded up to a power of two).
pub fn ring<M: Send>(capacity: usize) -> (Producer<M>, Consumer<M>) {
    let capacity = capacity.max(1).next_power_of_two();
    let shared = Arc::new(Shared {
        head: Padded(AtomicUsize::new(0)),
        tail: Padded(AtomicUsize::new(0)),
        places: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
    });
    let producer = Producer { shared: shared.clone(), tail: 0, head_seen: 0 };
    (producer, Consumer { shared, head: 0, tail_seen: 0 })
}

impl<M> Shared<M> {
    fn place(&self, index: usize) -> *mut MaybeUninit<M> {
        self.places[index & (self.places.len() - 1)].get()
    }
}

impl<M: Send> Producer<M> {
    /// Puts a message in, or gives it back if there is no room.
    pub fn push(&mut self, message: M) -> Result<(), M> {
        let capacity = self.shared.places.len();
        if self.tail.wrapping_sub(self.head_seen) == capacity {
            // Acquire: the consumer's move out of the place happens before our move in.
            self.head_seen = self.shared.head.0.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) == capacity {
                return Err(message);
            }
        }
        // SAFETY: the place is not between head and tail, so it is the producer's, and `&mut self` is the only one.
        unsafe { (*self.shared.place(self.tail)).write(message) };
        self.tail = self.tail.wrapping_add(1);
        // Release: the consumer sees the message once it sees the index.
        self.shared.tail.0.store(self.tail, Ordering::Release);
        Ok(())
    }
}

impl<M: Send> Consumer<M> {
    /// Takes the oldest message.
    pub fn pop(&mut self) -> Option<M> {
        if self.is_empty() {
            return None;
        }
        // SAFETY: the place is between head and tail, so it holds a message and is ours; head moves past it now,
        // so it is read once.
        let message = unsafe { (*self.shared.place(self.head)).assume_init_read() };
        self.head = self.head.wrapping_add(1);
        // Release: the producer may write the place only after our read.
        self.shared.head.0.store(self.head, Ordering::Release);
        Some(message)
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&mut self) -> bool {
        if self.head == self.tail_seen {
            // Acquire: pairs with the producer's release of the index.
            self.tail_seen = self.shared.tail.0.load(Ordering::Acquire);
        }
        self.head == self.tail_seen
    }
}

impl<M> Drop for Shared<M> {
    fn drop(&mut self) {
        let (head, tail) = (*self.head.0.get_mut(), *self.tail.0.get_mut());
        let mut index = head;
        while index != tail {
            // SAFETY: both ends are gone; places from head to tail hold messages that nobody took.
            unsafe { (*self.place(index)).assume_init_drop() };
            index = index.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_gives_the_message_back_and_takes_it_after_a_pop() {
        let (mut producer, mut consumer) = ring(2);
        assert_eq!((producer.push(1), producer.push(2), producer.push(3)), (Ok(()), Ok(()), Err(3)));
        assert_eq!(consumer.pop(), Some(1));
        assert_eq!(producer.push(3), Ok(()));
        assert_eq!([consumer.pop(), consumer.pop(), consumer.pop()], [Some(2), Some(3), None]);
    }

    #[test]
    fn messages_left_in_the_queue_are_dropped_with_it() {
        let message = Arc::new(());
        let (mut producer, mut consumer) = ring(4);
        for _ in 0..3 {
            producer.push(message.clone()).unwrap();
        }
        drop(consumer.pop());
        drop((producer, consumer));
        assert_eq!(Arc::strong_count(&message), 1);
    }

    #[test]
    fn messages_cross_threads_in_order_and_none_is_lost() {
        const COUNT: u64 = 200_000;
        let (mut producer, mut consumer) = ring(8);
        let sender = std::thread::spawn(move || {
            for number in 0..COUNT {
                let mut message = Box::new(number);
                while let Err(back) = producer.push(message) {
                    message = back;
                    std::thread::yield_now();
                }
            }
        });
        let mut expected = 0;
        while expected < COUNT {
            match consumer.pop() {
                Some(message) => {
                    assert_eq!(*message, expected);
                    expected += 1;
                }
                None => std::thread::yield_now(),
            }
        }
        sender.join().unwrap();
        assert!(consumer.pop().is_none());
    }
}
