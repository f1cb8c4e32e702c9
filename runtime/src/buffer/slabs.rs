//! A shard's slabs: memory in huge-page pieces that come when needed and go when empty.
//!
//! ```text
//!   take ──► slab with room, else a new one ────────┐                     ┌─► registered with the shard's ring
//!                                                   ├─► changes, for the pump
//!   give back ──► slab empty, and one is spare ─────┘                     └─► unregistered, then unmapped
//!   give back on another thread ──► return stack ──► taken home by the owner
//! ```
//!
//! Always true: a slab is unmapped only while no block of it is handed out and no ring knows it; the memory of a
//! block is touched by nobody but its holder; a freed block's first bytes carry it home (its holder is gone).

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::buddy::{Buddy, PAGE_BYTES, SLAB_BYTES, SLAB_ORDER};
use super::ready_slabs::ReadySlabs;

/// Empty slabs kept for the next burst: giving back and mapping again costs tens of microseconds.
const SPARE_SLABS: usize = 1;

/// Most slabs of an arena: what a ring's table of registered buffers holds.
const SLABS_MAX: usize = 1 << 14;

/// The slabs of one arena.
pub(super) struct Slabs {
    inner: Mutex<Inner>,
    returned: ReturnStack,
    ready: ReadySlabs,
    owner: usize,
    /// Set where the pump has something to register or unregister.
    changed: AtomicBool,
    registered: Box<[AtomicBool]>,
}

struct Inner {
    slabs: Vec<Option<Slab>>,
    /// Per order, no slab before this one has room.
    first_with_room: [usize; SLAB_ORDER as usize + 1],
    empty_count: usize,
    registration: Registration,
    to_register: Vec<usize>,
    retired: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Registration {
    Off,
    On,
}

struct Slab {
    memory: Mapping,
    buddy: Buddy,
    retired: bool,
}

/// What the owner of a ring should do to its table of registered buffers.
#[derive(Default)]
pub(crate) struct SlabChanges {
    /// Slabs to register: index in the table, first byte, length.
    pub(crate) register: Vec<(usize, *mut u8, usize)>,
    /// Slabs to unregister.
    pub(crate) unregister: Vec<usize>,
}

/// A block of a slab.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) slab: u16,
    pub(super) order: u8,
}

impl Slabs {
    /// Slabs for at most `bytes_max` bytes, owned by this thread.
    pub(super) fn new(bytes_max: usize) -> Slabs {
        let slab_count_max = bytes_max.div_ceil(SLAB_BYTES).clamp(1, SLABS_MAX);
        Slabs {
            inner: Mutex::new(Inner {
                slabs: (0..slab_count_max).map(|_| None).collect(),
                first_with_room: [0; SLAB_ORDER as usize + 1],
                empty_count: 0,
                registration: Registration::Off,
                to_register: Vec::new(),
                retired: Vec::new(),
            }),
            returned: ReturnStack::new(),
            ready: ReadySlabs::start(),
            owner: thread_identity(),
            changed: AtomicBool::new(false),
            registered: (0..slab_count_max).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// A block of `1 << order` pages, from a slab with room or a new slab; `None` at the bound or when the
    /// system has no memory.
    pub(super) fn take(&self, order: u8) -> Option<(NonNull<u8>, Place)> {
        let mut inner = self.lock();
        self.take_home(&mut inner);
        let index = match inner.slab_with_room(order) {
            Some(index) => index,
            None => self.grow(&mut inner)?,
        };
        inner.first_with_room[usize::from(order)] = index;
        let slab = inner.slabs[index].as_mut().expect("a slab with room is mapped");
        let was_empty = slab.buddy.is_empty();
        let page = slab.buddy.take(order).expect("the slab has room");
        // SAFETY: `page` lies within the slab, so the result is within its mapping.
        let memory = unsafe { slab.memory.start.add(page * PAGE_BYTES) };
        inner.empty_count -= usize::from(was_empty);
        Some((memory, Place { slab: index as u16, order }))
    }

    /// Takes a block back, from any thread.
    ///
    /// # Safety
    /// `memory` and `place` came from one `take` of these slabs and nobody uses the memory any more.
    pub(super) unsafe fn give_back(&self, memory: NonNull<u8>, place: Place) {
        if thread_identity() == self.owner {
            let mut inner = self.lock();
            self.free(&mut inner, memory, place);
        } else {
            // SAFETY: the caller vouches that the block is unused, and it is at least a page.
            unsafe { self.returned.push(memory, place) };
        }
    }

    /// Slabs mapped now.
    pub(super) fn mapped_count(&self) -> usize {
        let mut inner = self.lock();
        self.take_home(&mut inner);
        inner.slabs.iter().flatten().count()
    }

    /// The table index of a slab that the owner's ring knows.
    pub(super) fn registered_index(&self, place: Place) -> Option<u16> {
        self.registered[usize::from(place.slab)].load(Ordering::Relaxed).then_some(place.slab)
    }

    /// How long a table of registered buffers must be to hold all slabs.
    pub(super) fn table_length(&self) -> usize {
        self.registered.len()
    }

    /// From now on slabs are meant to be registered: those there are and those to come.
    pub(super) fn begin_registration(&self) {
        let mut inner = self.lock();
        inner.registration = Registration::On;
        inner.to_register = (0..inner.slabs.len()).filter(|index| inner.slabs[*index].is_some()).collect();
        self.changed.store(true, Ordering::Relaxed);
    }

    /// No further slab is to be registered.
    pub(super) fn end_registration(&self) {
        let mut inner = self.lock();
        inner.registration = Registration::Off;
        inner.to_register.clear();
    }

    /// What changed since the last call; the owner calls it with each turn of its ring.
    pub(super) fn take_changes(&self) -> Option<SlabChanges> {
        if !self.changed.load(Ordering::Relaxed) && self.returned.is_empty() {
            return None;
        }
        let mut inner = self.lock();
        self.take_home(&mut inner);
        self.changed.store(false, Ordering::Relaxed);
        let unregister = std::mem::take(&mut inner.retired);
        let wanted = std::mem::take(&mut inner.to_register);
        let register = wanted.into_iter().filter_map(|index| {
            let slab = inner.slabs[index].as_ref().filter(|slab| !slab.retired)?;
            Some((index, slab.memory.start.as_ptr(), SLAB_BYTES))
        });
        Some(SlabChanges { register: register.collect(), unregister })
    }

    /// The ring knows this slab now.
    pub(super) fn mark_registered(&self, index: usize) {
        self.registered[index].store(true, Ordering::Relaxed);
    }

    /// The ring has forgotten this retired slab: its memory goes back to the system.
    pub(super) fn unmap_retired(&self, index: usize) {
        let mut inner = self.lock();
        self.registered[index].store(false, Ordering::Relaxed);
        let slab = inner.slabs[index].take().expect("a retired slab stays mapped until here");
        assert!(slab.retired && slab.buddy.is_empty(), "slab {index} is unmapped while in use");
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grow(&self, inner: &mut Inner) -> Option<usize> {
        let index = inner.slabs.iter().position(Option::is_none)?;
        let memory = self.ready.take().or_else(|| Mapping::new_huge(SLAB_BYTES))?;
        inner.slabs[index] = Some(Slab { memory, buddy: Buddy::new(), retired: false });
        inner.empty_count += 1;
        inner.slab_gained_room(index);
        if inner.registration == Registration::On {
            inner.to_register.push(index);
            self.changed.store(true, Ordering::Relaxed);
        }
        Some(index)
    }

    fn take_home(&self, inner: &mut Inner) {
        if self.returned.is_empty() {
            return;
        }
        self.returned.drain(|memory, place| self.free(inner, memory, place));
    }

    fn free(&self, inner: &mut Inner, memory: NonNull<u8>, place: Place) {
        let index = usize::from(place.slab);
        let slab = inner.slabs[index].as_mut().expect("a slab stays mapped while a block of it is out");
        let page = (memory.as_ptr() as usize - slab.memory.start.as_ptr() as usize) / PAGE_BYTES;
        slab.buddy.give_back(page, place.order);
        let is_empty = slab.buddy.is_empty();
        inner.slab_gained_room(index);
        if is_empty {
            inner.empty_count += 1;
            if inner.empty_count > SPARE_SLABS {
                self.retire(inner, index);
            }
        }
    }

    /// An empty slab goes; one that a ring knows waits until the ring has forgotten it.
    fn retire(&self, inner: &mut Inner, index: usize) {
        inner.empty_count -= 1;
        if !self.registered[index].load(Ordering::Relaxed) {
            inner.slabs[index] = None;
            return;
        }
        inner.slabs[index].as_mut().expect("the slab is mapped").retired = true;
        inner.retired.push(index);
        self.changed.store(true, Ordering::Relaxed);
    }
}

impl Inner {
    fn slab_with_room(&self, order: u8) -> Option<usize> {
        let start = self.first_with_room[usize::from(order)];
        (start..self.slabs.len()).find(|index| {
            self.slabs[*index].as_ref().is_some_and(|slab| !slab.retired && slab.buddy.has_room(order))
        })
    }

    fn slab_gained_room(&mut self, index: usize) {
        for first in &mut self.first_with_room {
            *first = index.min(*first);
        }
    }
}

/// An anonymous mapping, unmapped when dropped.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping is plain memory with one owner; nothing in it is tied to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Zeroed memory; `None` if the system has none.
    pub(crate) fn new(length: usize) -> Option<Mapping> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new private mapping at an address of the kernel's choosing touches no existing memory.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        NonNull::new(start.cast()).map(|start| Mapping { start, length })
    }

    /// Its first byte.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// As [`Mapping::new`], aligned to its own (power-of-two) length and backed by huge pages where the host
    /// gives them.
    pub(super) fn new_huge(length: usize) -> Option<Mapping> {
        let roomy = Mapping::new(2 * length)?;
        let address = roomy.start.as_ptr() as usize;
        let front = address.next_multiple_of(length) - address;
        std::mem::forget(roomy);
        // SAFETY: both ends lie within the mapping just made, which nobody else knows; the middle stays mapped
        // and is advised, which changes no content.
        unsafe {
            let start = (address as *mut u8).add(front);
            if front > 0 {
                libc::munmap(address as *mut libc::c_void, front);
            }
            libc::munmap(start.add(length).cast(), length - front);
            libc::madvise(start.cast(), length, libc::MADV_HUGEPAGE);
            NonNull::new(start).map(|start| Mapping { start, length })
        }
    }

    /// Makes the kernel give every page now, by using it. (Asked to by `madvise`, the kernel would hold a lock
    /// meanwhile that other threads need to map and unmap.)
    pub(super) fn touch(&mut self) {
        for position in (0..self.length).step_by(PAGE_BYTES) {
            // SAFETY: within the mapping, whose bytes are zero and which nobody else uses.
            unsafe { self.start.as_ptr().add(position).write_volatile(0) };
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this mapping's own range, unmapped once; its owner has dropped all uses of it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// Freed blocks on their way home: any thread pushes, the owner takes all at once (so no ABA problem).
struct ReturnStack {
    head: AtomicPtr<Returned>,
}

/// Lives in the first bytes of a freed block.
struct Returned {
    next: *mut Returned,
    place: Place,
}

impl ReturnStack {
    fn new() -> ReturnStack {
        ReturnStack { head: AtomicPtr::new(ptr::null_mut()) }
    }

    fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// # Safety
    /// Nobody uses the block any more; it is at least a page long and page-aligned.
    unsafe fn push(&self, memory: NonNull<u8>, place: Place) {
        let returned = memory.as_ptr().cast::<Returned>();
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: the block is ours, large enough and aligned; it is not yet visible to the owner.
            unsafe { returned.write(Returned { next: head, place }) };
            // Release: the owner must see the written link, and all that the last holder did before.
            match self.head.compare_exchange_weak(head, returned, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(current) => head = current,
            }
        }
    }

    fn drain(&self, mut free: impl FnMut(NonNull<u8>, Place)) {
        let mut next = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        while let Some(memory) = NonNull::new(next) {
            // SAFETY: pushed by `push`, published by its release, and taken off the stack by us alone.
            let returned = unsafe { memory.as_ptr().read() };
            next = returned.next;
            free(memory.cast(), returned.place);
        }
    }
}

/// A number that no other living thread has.
fn thread_identity() -> usize {
    thread_local! {
        static NUMBER: usize = {
            static NEXT: AtomicUsize = AtomicUsize::new(1);
            NEXT.fetch_add(1, Ordering::Relaxed)
        };
    }
    // A thread that is being torn down owns no arena any more: it returns blocks as a stranger.
    NUMBER.try_with(|number| *number).unwrap_or(0)
}
