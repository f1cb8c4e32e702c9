//! Buffers lent to the kernel, of which a receive takes one when bytes come: an idle connection holds none.
//!
//! ```text
//!   ring of offers  [addr, len, id][addr, len, id]...   tail grows as we offer; the kernel takes from its head
//!   lent[id]        the buffer behind each offer
//! ```
//!
//! Always true: each id is offered at most once; a buffer whose id came back in a completion is ours alone.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

use crate::buffer::{Arena, BufMut, Mapping};

/// The group's number in its ring: there is one.
pub(super) const GROUP: u16 = 0;

/// Offers open at a time. More connections than that may receive in one turn; the rest waits for the next.
const OFFER_COUNT: u16 = 32;

/// The size of one buffer: most requests fit, larger ones are gathered by the reader of frames.
pub(super) const RECEIVE_BYTES: usize = 16 * 1024;

/// The buffers lent to one ring's kernel side.
pub(super) struct ReceiveBuffers {
    offers: Mapping,
    tail: u16,
    lent: Vec<Option<BufMut>>,
    missing: Vec<u16>,
}

impl ReceiveBuffers {
    /// Tells the ring where offers will be; none is made yet.
    pub(super) fn register(ring: &IoUring) -> io::Result<ReceiveBuffers> {
        let bytes = usize::from(OFFER_COUNT) * size_of::<BufRingEntry>();
        let offers = Mapping::new(bytes).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the mapping is page-aligned, long enough, and lives in this struct, which the driver drops after
        // the ring.
        unsafe {
            let address = offers.start().as_ptr() as u64;
            ring.submitter().register_buf_ring_with_flags(address, OFFER_COUNT, GROUP, 0)?;
        }
        let lent = (0..OFFER_COUNT).map(|_| None).collect();
        Ok(ReceiveBuffers { offers, tail: 0, lent, missing: (0..OFFER_COUNT).collect() })
    }

    /// Offers a buffer for every one taken, as far as the arena has memory.
    pub(super) fn refill(&mut self, arena: &Arena) {
        while let Some(id) = self.missing.pop() {
            match arena.allocate(RECEIVE_BYTES) {
                Ok(buffer) => self.offer(id, buffer),
                Err(_) => {
                    self.missing.push(id);
                    return;
                }
            }
        }
    }

    /// The buffer the kernel chose, with `length` received bytes in it.
    pub(super) fn take(&mut self, id: u16, length: usize) -> BufMut {
        let mut buffer =
            self.lent[usize::from(id)].take().expect("the kernel chose a buffer that was offered");
        buffer.set_len(length);
        self.missing.push(id);
        buffer
    }

    fn offer(&mut self, id: u16, mut buffer: BufMut) {
        let memory = buffer.as_full_mut_slice();
        let (address, length) = (memory.as_mut_ptr() as u64, memory.len() as u32);
        let entries = self.offers.start().as_ptr().cast::<BufRingEntry>();
        let place = usize::from(self.tail & (OFFER_COUNT - 1));
        // SAFETY: `place` lies within the mapping; the kernel does not read it before the tail moves past it. The
        // fields are set one by one, since the first entry's spare field is the tail itself.
        unsafe {
            let entry = &mut *entries.add(place);
            entry.set_addr(address);
            entry.set_len(length);
            entry.set_bid(id);
        }
        self.lent[usize::from(id)] = Some(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail's field lies within the mapping, is aligned, and from our side is written only here.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(entries).cast_mut()) };
        // Release: the kernel sees the entry once it sees the tail.
        tail.store(self.tail, Ordering::Release);
    }
}
