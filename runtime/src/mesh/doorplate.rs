//! A shard's "asleep" sign, by which others know whether a message needs a bell as well.
//!
//! ```text
//!   sender                               receiver
//!   1. message into the queue            1. sign := asleep
//!   2. full fence                        2. full fence
//!   3. sign = asleep? ring the bell      3. queue empty? sleep, else sign := awake and go on
//! ```
//!
//! Always true: a message is seen by the receiver's step 3, or the sender's step 3 sees the sign. Each side writes
//! one place and then reads the other's; release and acquire alone would let both reads pass both writes (each
//! write still waiting in its core's store buffer) and the message would lie there unseen. The two full fences
//! have one order: whichever comes second sees the write before the other.

use std::sync::atomic::{AtomicBool, Ordering, fence};

/// The sign of one shard; on a cache line of its own, since all others read it.
#[repr(align(128))]
#[derive(Default)]
pub struct Doorplate {
    asleep: AtomicBool,
}

impl Doorplate {
    /// Hangs the sign out if the shard may sleep: `has_messages` is asked after the sign can be seen.
    pub fn try_sleep(&self, has_messages: impl FnOnce() -> bool) -> bool {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if has_messages() {
            self.wake();
            return false;
        }
        true
    }

    /// Takes the sign in.
    pub fn wake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// After putting a message into a queue of this shard: whether its bell must be rung. Of several senders one
    /// rings.
    pub fn needs_bell(&self) -> bool {
        fence(Ordering::SeqCst);
        self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::mesh::ring;

    #[test]
    fn a_message_that_came_first_keeps_the_shard_awake() {
        let plate = Doorplate::default();
        assert!(!plate.try_sleep(|| true));
        assert!(!plate.needs_bell());
    }

    #[test]
    fn one_of_two_senders_rings() {
        let plate = Doorplate::default();
        assert!(plate.try_sleep(|| false));
        assert_eq!((plate.needs_bell(), plate.needs_bell()), (true, false));
    }

    #[test]
    fn a_receiver_that_sleeps_between_all_messages_misses_none() {
        const COUNT: u64 = 50_000;
        let plate = Arc::new(Doorplate::default());
        let (mut producer, mut consumer) = ring(4);
        let sender_plate = plate.clone();
        let receiver = std::thread::current();
        let sender = std::thread::spawn(move || {
            for number in 0..COUNT {
                while producer.push(number).is_err() {
                    std::thread::yield_now();
                }
                if sender_plate.needs_bell() {
                    receiver.unpark();
                }
            }
        });
        let mut expected = 0;
        while expected < COUNT {
            while let Some(number) = consumer.pop() {
                assert_eq!(number, expected);
                expected += 1;
            }
            if expected < COUNT && plate.try_sleep(|| !consumer.is_empty()) {
                std::thread::park();
                plate.wake();
            }
        }
        sender.join().unwrap();
    }
}
