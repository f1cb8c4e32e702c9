//! Where cold readers will go on, and the blocks read for them ahead of time.
//!
//! Always true: a window holds what was in the file below `limit` when it was read, and bytes below a limit
//! never change, so a window can be old but never wrong.

use std::cell::RefCell;
use std::collections::VecDeque;

use ringlog_core::ids::{Offset, TopicPartition};
use ringlog_core::record_batch::HEADER_BYTES;
use ringlog_runtime::buffer::Slice;

/// Readers whose next position is remembered.
const READERS_MAX: usize = 256;

/// A segment of a partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Place {
    pub partition: TopicPartition,
    pub segment: Offset,
}

/// Blocks of a segment file in memory.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    start: u64,
    slice: Slice,
}

impl Window {
    /// What was read from `start` on; nothing at or above `limit` is looked at.
    pub fn new(start: u64, slice: Slice, limit: u64) -> Window {
        let length = (slice.len() as u64).min(limit.saturating_sub(start)) as usize;
        Window { start, slice: slice.slice(0..length) }
    }

    pub fn end(&self) -> u64 {
        self.start + self.slice.len() as u64
    }

    /// Everything from `position` on: nothing if it lies outside.
    pub fn bytes_from(&self, position: u64) -> &[u8] {
        let skip = usize::try_from(position.saturating_sub(self.start)).unwrap_or(usize::MAX);
        if position < self.start { &[] } else { self.slice.get(skip..).unwrap_or(&[]) }
    }

    /// The bytes `from..to`.
    pub fn slice(&self, from: u64, to: u64) -> Slice {
        self.slice.slice((from - self.start) as usize..(to - self.start) as usize)
    }
}

/// A read-ahead under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Permit {
    place: Place,
    position: u64,
}

/// All readers of a shard.
pub(crate) struct ReadAhead {
    readers: RefCell<VecDeque<(Place, Offset, u64)>>,
    windows: RefCell<VecDeque<(Place, Window)>>,
    under_way: RefCell<Vec<Permit>>,
    windows_max: usize,
}

impl ReadAhead {
    pub fn new(windows_max: usize) -> ReadAhead {
        ReadAhead {
            readers: RefCell::default(),
            windows: RefCell::default(),
            under_way: RefCell::default(),
            windows_max,
        }
    }

    /// Where a reader that asks for `from` left off, if one did.
    pub fn continued(&self, place: Place, from: Offset) -> Option<u64> {
        let mut readers = self.readers.borrow_mut();
        let index = readers.iter().position(|(at, next, _)| *at == place && *next == from)?;
        readers.remove(index).map(|(_, _, position)| position)
    }

    /// A reader will go on at `position` with `next`.
    pub fn note(&self, place: Place, next: Offset, position: u64) {
        let mut readers = self.readers.borrow_mut();
        readers.retain(|(at, offset, _)| (*at, *offset) != (place, next));
        if readers.len() == READERS_MAX {
            readers.pop_front();
        }
        readers.push_back((place, next, position));
    }

    /// A kept window with at least a header from `position` on.
    pub fn window(&self, place: Place, position: u64) -> Option<Window> {
        let windows = self.windows.borrow();
        let fits = |(at, window): &&(Place, Window)| {
            *at == place && window.bytes_from(position).len() >= HEADER_BYTES
        };
        windows.iter().filter(fits).max_by_key(|(_, window)| window.end()).map(|(_, window)| window.clone())
    }

    /// Keeps a window; the oldest goes if there are too many.
    pub fn keep(&self, place: Place, window: Window) {
        let mut windows = self.windows.borrow_mut();
        windows.retain(|(at, kept)| *at != place || kept.start != window.start);
        windows.push_back((place, window));
        while windows.len() > self.windows_max {
            windows.pop_front();
        }
    }

    /// Begins to read ahead at `position`, unless that is done or under way or too much is.
    pub fn begin(&self, place: Place, position: u64) -> Option<Permit> {
        let permit = Permit { place, position };
        let mut under_way = self.under_way.borrow_mut();
        let is_superfluous = under_way.contains(&permit) || under_way.len() >= self.windows_max;
        if is_superfluous || self.window(place, position).is_some_and(|window| window.start == position) {
            return None;
        }
        under_way.push(permit);
        Some(permit)
    }

    /// The read-ahead is over.
    pub fn end(&self, permit: Permit) {
        self.under_way.borrow_mut().retain(|other| *other != permit);
    }

    /// Gives all kept windows up: their memory is needed.
    pub fn give_up_windows(&self) {
        self.windows.borrow_mut().clear();
    }

    /// Forgets a partition.
    pub fn forget(&self, partition: TopicPartition) {
        self.readers.borrow_mut().retain(|(place, _, _)| place.partition != partition);
        self.windows.borrow_mut().retain(|(place, _)| place.partition != partition);
    }
}
