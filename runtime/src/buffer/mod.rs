//! I/O memory: the buffers that operations own while they run.
//!
//! ```text
//!   BufMut  unique, writable ──freeze──► Slice  counted, read-only, any part of a buffer
//!   AppendBuf  one writer appends ──────► Slice  of what is already written
//! ```
//!
//! Always true: memory behind a [`Slice`] never changes while the slice lives; a buffer returns to its arena
//! only when its last holder (task, kernel operation or cache) lets go; bytes handed out were initialised once,
//! so reading a recycled buffer shows old bytes, never undefined ones.

mod buddy;
mod ready_slabs;
mod slabs;

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use buddy::{PAGE_BYTES, order_for};
pub(crate) use slabs::Mapping;
pub(crate) use slabs::SlabChanges;
use slabs::{Place, Slabs};

/// Addresses, positions and lengths of direct file I/O are multiples of this many bytes.
pub const DIRECT_ALIGNMENT: usize = 4096;

/// A shard's I/O memory. Cloning gives another handle to the same arena.
#[derive(Clone)]
pub struct Arena {
    shared: Arc<ArenaShared>,
}

struct ArenaShared {
    bytes_max: usize,
    bytes_used: AtomicUsize,
    /// Where blocks of 4 KiB to 1 MiB come from; without slabs, from the system's allocator.
    slabs: Option<Slabs>,
}

/// The largest block cut from a slab; larger ones get a mapping of their own.
const SLAB_BLOCK_BYTES_MAX: usize = 1 << 20;

/// The arena's bound is reached: the caller should wait or refuse.
#[derive(Debug, PartialEq, Eq)]
pub struct ArenaFull {
    /// What was asked for, in bytes.
    pub requested_bytes: usize,
}

impl fmt::Display for ArenaFull {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no I/O memory left for {} bytes", self.requested_bytes)
    }
}

impl std::error::Error for ArenaFull {}

impl Arena {
    /// An arena of at most `bytes_max` bytes, on ordinary memory.
    pub fn unregistered(bytes_max: usize) -> Arena {
        Arena { shared: Arc::new(ArenaShared { bytes_max, bytes_used: AtomicUsize::new(0), slabs: None }) }
    }

    /// An arena of at most `bytes_max` bytes that grows and gives back by slabs of huge-page size, owned by this
    /// thread. Its slabs can be registered with the owner's ring.
    pub fn in_slabs(bytes_max: usize) -> Arena {
        let slabs = Some(Slabs::new(bytes_max));
        Arena { shared: Arc::new(ArenaShared { bytes_max, bytes_used: AtomicUsize::new(0), slabs }) }
    }

    /// A buffer with room for at least `capacity` bytes, aligned for direct I/O from 4 KiB up. Its content is
    /// arbitrary and its length zero.
    pub fn allocate(&self, capacity: usize) -> Result<BufMut, ArenaFull> {
        Ok(BufMut { block: Block::new(&self.shared, capacity)?, length: 0 })
    }

    /// A buffer that one writer fills while readers hold slices of what is already there.
    pub fn allocate_append(&self, capacity: usize) -> Result<AppendBuf, ArenaFull> {
        Ok(AppendBuf { block: Arc::new(Block::new(&self.shared, capacity)?), length: 0 })
    }

    /// Bytes handed out now.
    pub fn used_bytes(&self) -> usize {
        self.shared.bytes_used.load(Ordering::Relaxed)
    }

    /// The bound in bytes.
    pub fn bytes_max(&self) -> usize {
        self.shared.bytes_max
    }

    /// Bytes held from the system in slabs, handed out or not.
    pub fn slab_bytes(&self) -> usize {
        self.shared.slabs.as_ref().map_or(0, Slabs::mapped_count) * buddy::SLAB_BYTES
    }

    /// The length a ring's table of registered buffers needs, and from now on changes to register.
    pub(crate) fn registration_table_length(&self) -> usize {
        self.shared.slabs.as_ref().map_or(0, Slabs::table_length)
    }

    /// From now on [`Arena::take_slab_changes`] tells of slabs to register.
    pub(crate) fn begin_registration(&self) {
        if let Some(slabs) = &self.shared.slabs {
            slabs.begin_registration();
        }
    }

    /// Registration was refused: stay with what is registered.
    pub(crate) fn end_registration(&self) {
        if let Some(slabs) = &self.shared.slabs {
            slabs.end_registration();
        }
    }

    /// Slabs that came or went since the last call.
    pub(crate) fn take_slab_changes(&self) -> Option<SlabChanges> {
        self.shared.slabs.as_ref().and_then(Slabs::take_changes)
    }

    /// The owner's ring knows this slab now.
    pub(crate) fn mark_slab_registered(&self, index: usize) {
        self.shared.slabs.as_ref().expect("only slabs are registered").mark_registered(index);
    }

    /// The owner's ring has forgotten this slab.
    pub(crate) fn unmap_slab(&self, index: usize) {
        self.shared.slabs.as_ref().expect("only slabs are registered").unmap_retired(index);
    }
}

struct Block {
    memory: NonNull<u8>,
    capacity: usize,
    origin: Origin,
    home: Arc<ArenaShared>,
}

enum Origin {
    /// The system's allocator.
    Allocator,
    /// A part of a slab.
    Slab(Place),
    /// A mapping of its own, unmapped with the block.
    Mapping { _mapping: Mapping },
}

// SAFETY: a block is plain memory; `BufMut` gives unique access and `Slice` read-only access to it, and it may
// be given back from any thread.
unsafe impl Send for Block {}
// SAFETY: as above: shared access only ever reads bytes that no writer touches any more.
unsafe impl Sync for Block {}

impl Block {
    fn new(home: &Arc<ArenaShared>, capacity: usize) -> Result<Block, ArenaFull> {
        let capacity = capacity.max(64).next_multiple_of(if capacity >= DIRECT_ALIGNMENT {
            DIRECT_ALIGNMENT
        } else {
            64
        });
        let full = ArenaFull { requested_bytes: capacity };
        let charged = home.charged_bytes(capacity);
        let before = home.bytes_used.fetch_add(charged, Ordering::Relaxed);
        let found = if before + charged > home.bytes_max { None } else { home.find(capacity) };
        let Some((memory, origin)) = found else {
            home.bytes_used.fetch_sub(charged, Ordering::Relaxed);
            return Err(full);
        };
        Ok(Block { memory, capacity, origin, home: home.clone() })
    }

    /// The place of this block in the table of registered buffers of the ring that owns `arena`, if it has one.
    fn registered_index(&self, arena: &Arena) -> Option<u16> {
        let Origin::Slab(place) = self.origin else { return None };
        if !Arc::ptr_eq(&self.home, &arena.shared) {
            return None;
        }
        self.home.slabs.as_ref().and_then(|slabs| slabs.registered_index(place))
    }
}

impl ArenaShared {
    /// What a block counts against the bound: the whole power of two where it is cut from a slab.
    fn charged_bytes(&self, capacity: usize) -> usize {
        if self.is_from_slab(capacity) { PAGE_BYTES << order_for(capacity) } else { capacity }
    }

    fn is_from_slab(&self, capacity: usize) -> bool {
        self.slabs.is_some() && (PAGE_BYTES..=SLAB_BLOCK_BYTES_MAX).contains(&capacity)
    }

    fn find(&self, capacity: usize) -> Option<(NonNull<u8>, Origin)> {
        match &self.slabs {
            Some(slabs) if self.is_from_slab(capacity) => {
                slabs.take(order_for(capacity)).map(|(memory, place)| (memory, Origin::Slab(place)))
            }
            Some(_) if capacity > SLAB_BLOCK_BYTES_MAX => {
                let mapping = Mapping::new(capacity)?;
                Some((mapping.start(), Origin::Mapping { _mapping: mapping }))
            }
            _ => Some((allocate_zeroed(capacity), Origin::Allocator)),
        }
    }
}

fn allocate_zeroed(capacity: usize) -> NonNull<u8> {
    let layout = layout(capacity);
    // SAFETY: the layout's size is at least 64 bytes.
    let memory = unsafe { alloc_zeroed(layout) };
    let Some(memory) = NonNull::new(memory) else { handle_alloc_error(layout) };
    memory
}

fn layout(capacity: usize) -> Layout {
    let alignment = if capacity >= DIRECT_ALIGNMENT { DIRECT_ALIGNMENT } else { 64 };
    Layout::from_size_align(capacity, alignment).expect("a buffer is far smaller than the address space")
}

impl Drop for Block {
    fn drop(&mut self) {
        match self.origin {
            // SAFETY: allocated by `allocate_zeroed` with this same layout and freed once, here.
            Origin::Allocator => unsafe { dealloc(self.memory.as_ptr(), layout(self.capacity)) },
            Origin::Slab(place) => {
                let slabs = self.home.slabs.as_ref().expect("a block of a slab has slabs at home");
                // SAFETY: `take` gave us this place; the block's holders are gone, since it is being dropped.
                unsafe { slabs.give_back(self.memory, place) }
            }
            Origin::Mapping { .. } => {}
        }
        // After giving back, so that whoever sees the bytes free also finds the memory.
        self.home.bytes_used.fetch_sub(self.home.charged_bytes(self.capacity), Ordering::Release);
    }
}

/// A unique, writable buffer: `len` bytes in use of a fixed capacity.
pub struct BufMut {
    block: Block,
    length: usize,
}

impl BufMut {
    /// Bytes in use.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether no byte is in use.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes it can hold.
    pub fn capacity(&self) -> usize {
        self.block.capacity
    }

    /// Bytes still free.
    pub fn remaining(&self) -> usize {
        self.block.capacity - self.length
    }

    /// Sets how many bytes are in use; bytes newly in use keep whatever content they had.
    ///
    /// # Panics
    /// If `length` is more than the capacity.
    pub fn set_len(&mut self, length: usize) {
        assert!(length <= self.block.capacity, "length {length} of a buffer of {}", self.block.capacity);
        self.length = length;
    }

    /// The bytes in use.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: all `capacity` bytes are initialised and uniquely ours; `length` is within them.
        unsafe { std::slice::from_raw_parts(self.block.memory.as_ptr(), self.length) }
    }

    /// The bytes in use, to change.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let length = self.length;
        &mut self.as_full_mut_slice()[..length]
    }

    /// All bytes of the capacity, in use or not, to change.
    pub fn as_full_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: all `capacity` bytes are initialised and uniquely ours.
        unsafe { std::slice::from_raw_parts_mut(self.block.memory.as_ptr(), self.block.capacity) }
    }

    /// This buffer's index in the table of registered buffers of the ring that owns `arena`.
    pub(crate) fn registered_index(&self, arena: &Arena) -> Option<u16> {
        self.block.registered_index(arena)
    }

    /// Appends bytes.
    ///
    /// # Panics
    /// If they do not fit in [`BufMut::remaining`].
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let start = self.length;
        self.set_len(start + bytes.len());
        self.as_mut_slice()[start..].copy_from_slice(bytes);
    }

    /// Appends zeros until `len` is a multiple of `alignment`.
    ///
    /// # Panics
    /// If they do not fit in [`BufMut::remaining`].
    pub fn pad_to_multiple_of(&mut self, alignment: usize) {
        let start = self.length;
        self.set_len(start.next_multiple_of(alignment));
        self.as_mut_slice()[start..].fill(0);
    }

    /// Gives up writing: from here on the bytes in use are shared and unchanging.
    pub fn freeze(self) -> Slice {
        let end = self.length;
        Slice { block: Arc::new(self.block), start: 0, end }
    }
}

impl fmt::Debug for BufMut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BufMut({} of {} bytes)", self.length, self.block.capacity)
    }
}

/// A counted view of a part of a buffer that no longer changes. Cheap to clone, may cross shards.
#[derive(Clone)]
pub struct Slice {
    block: Arc<Block>,
    start: usize,
    end: usize,
}

impl Slice {
    /// A view of a part of this view.
    ///
    /// # Panics
    /// If the range reaches beyond this view.
    pub fn slice(&self, range: Range<usize>) -> Slice {
        assert!(
            range.start <= range.end && range.end <= self.len(),
            "{range:?} of a slice of {} bytes",
            self.len()
        );
        Slice { block: self.block.clone(), start: self.start + range.start, end: self.start + range.end }
    }

    /// The view of a reference into this view's bytes, as a decoder borrowing from it returns them.
    ///
    /// # Panics
    /// If `part` does not lie within this view.
    pub fn slice_of(&self, part: &[u8]) -> Slice {
        if part.is_empty() {
            return self.slice(0..0);
        }
        let start = (part.as_ptr() as usize)
            .checked_sub(self.as_ptr() as usize)
            .expect("the part lies within the slice it was borrowed from");
        self.slice(start..start + part.len())
    }
}

impl Slice {
    /// This view's index in the table of registered buffers of the ring that owns `arena`.
    pub(crate) fn registered_index(&self, arena: &Arena) -> Option<u16> {
        self.block.registered_index(arena)
    }
}

impl Deref for Slice {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `start..end` was written before this slice was made and is never written while it lives.
        unsafe {
            std::slice::from_raw_parts(self.block.memory.as_ptr().add(self.start), self.end - self.start)
        }
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Slice({} bytes)", self.len())
    }
}

/// A buffer that one writer appends to while readers hold slices of what is already there.
pub struct AppendBuf {
    block: Arc<Block>,
    length: usize,
}

impl AppendBuf {
    /// Bytes appended so far.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes it can hold.
    pub fn capacity(&self) -> usize {
        self.block.capacity
    }

    /// Bytes still free.
    pub fn remaining(&self) -> usize {
        self.block.capacity - self.length
    }

    /// Appends bytes; they never change again.
    ///
    /// # Panics
    /// If they do not fit in [`AppendBuf::remaining`].
    pub fn append(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.remaining(), "{} bytes into {} free", bytes.len(), self.remaining());
        // SAFETY: the target lies within the block; slices only cover bytes below `length`, so nobody reads it,
        // and `&mut self` makes this the only writer.
        unsafe {
            self.block.memory.as_ptr().add(self.length).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        self.length += bytes.len();
    }

    /// A view of bytes already appended.
    ///
    /// # Panics
    /// If the range reaches beyond [`AppendBuf::len`].
    pub fn slice(&self, range: Range<usize>) -> Slice {
        assert!(
            range.start <= range.end && range.end <= self.length,
            "{range:?} of {} bytes appended",
            self.length
        );
        Slice { block: self.block.clone(), start: range.start, end: range.end }
    }
}

impl fmt::Debug for AppendBuf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AppendBuf({} of {} bytes)", self.length, self.block.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_keeps_its_bytes_while_the_writer_goes_on() {
        let arena = Arena::unregistered(1 << 20);
        let mut buffer = arena.allocate_append(4096).unwrap();
        buffer.append(b"first");
        let first = buffer.slice(0..5);
        buffer.append(b"second");
        drop(buffer.slice(5..11));
        drop(buffer);
        assert_eq!(&*first, b"first");
    }

    #[test]
    fn memory_comes_home_when_the_last_holder_lets_go() {
        let arena = Arena::unregistered(8192);
        let mut buffer = arena.allocate(8192).unwrap();
        buffer.extend_from_slice(b"abc");
        assert_eq!(arena.allocate(1).unwrap_err(), ArenaFull { requested_bytes: 64 });
        let slice = buffer.freeze();
        let part = slice.slice(1..3);
        drop(slice);
        assert_eq!((&*part, arena.used_bytes()), (&b"bc"[..], 8192));
        drop(part);
        assert_eq!(arena.used_bytes(), 0);
    }

    #[test]
    fn a_borrowed_part_becomes_a_slice_of_its_own() {
        let arena = Arena::unregistered(8192);
        let mut buffer = arena.allocate(16).unwrap();
        buffer.extend_from_slice(b"head:body");
        let frame = buffer.freeze();
        let body = frame.slice_of(&frame[5..]);
        assert_eq!(&*body, b"body");
    }
}
