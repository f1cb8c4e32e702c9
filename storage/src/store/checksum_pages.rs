//! Checksums of blocks as they were read from their files, in pages: so many bytes of them, the longest unused given up first.
//!
//! Always true: a checksum of a whole block never changes, so a page can be short of new ones but never wrong.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use ringlog_core::ids::TopicPartition;

use crate::store::read_ahead::Place;

/// Checksums of a page: those of 4 MiB of a segment.
pub(crate) const PAGE_CHECKSUMS: u64 = 1024;

/// Files that do not hold what they should and were told of.
const DISTRUSTED_MAX: usize = 256;

/// A page, and when it was last used.
type Kept = (Rc<Vec<u32>>, u64);

/// All of a shard.
pub(crate) struct ChecksumPages {
    pages: RefCell<BTreeMap<(Place, u64), Kept>>,
    distrusted: RefCell<VecDeque<Place>>,
    uses: Cell<u64>,
    bytes: Cell<usize>,
    bytes_max: usize,
}

impl ChecksumPages {
    pub fn new(bytes_max: usize) -> ChecksumPages {
        ChecksumPages {
            pages: RefCell::default(),
            distrusted: RefCell::default(),
            uses: Cell::new(0),
            bytes: Cell::new(0),
            bytes_max,
        }
    }

    /// A page kept that has at least so many checksums.
    pub fn get(&self, place: Place, page: u64, count_min: usize) -> Option<Rc<Vec<u32>>> {
        self.uses.set(self.uses.get() + 1);
        let mut pages = self.pages.borrow_mut();
        let (checksums, used) = pages.get_mut(&(place, page))?;
        *used = self.uses.get();
        (checksums.len() >= count_min).then(|| checksums.clone())
    }

    /// Keeps a page.
    pub fn put(&self, place: Place, page: u64, checksums: Rc<Vec<u32>>) {
        let bytes = |checksums: &Vec<u32>| checksums.len() * size_of::<u32>();
        let mut pages = self.pages.borrow_mut();
        let mut held = self.bytes.get() + bytes(&checksums);
        if let Some((old, _)) = pages.insert((place, page), (checksums, self.uses.get())) {
            held -= bytes(&old);
        }
        while held > self.bytes_max {
            let oldest = pages.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            let (old, _) = oldest.and_then(|key| pages.remove(&key)).expect("bytes are held by pages");
            held -= bytes(&old);
        }
        self.bytes.set(held);
    }

    /// What the pages kept take.
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Whether a segment's file is not to be asked.
    pub fn is_distrusted(&self, place: Place) -> bool {
        self.distrusted.borrow().contains(&place)
    }

    /// A segment's file is not to be asked any more; false if that was known.
    pub fn distrust(&self, place: Place) -> bool {
        if self.is_distrusted(place) {
            return false;
        }
        let mut distrusted = self.distrusted.borrow_mut();
        if distrusted.len() == DISTRUSTED_MAX {
            distrusted.pop_front();
        }
        distrusted.push_back(place);
        true
    }

    /// A segment's file was made anew.
    pub fn trust(&self, place: Place) {
        self.forget_if(|other| *other == place);
    }

    /// Forgets a partition.
    pub fn forget(&self, partition: TopicPartition) {
        self.forget_if(|place| place.partition == partition);
    }

    fn forget_if(&self, is_meant: impl Fn(&Place) -> bool) {
        self.distrusted.borrow_mut().retain(|place| !is_meant(place));
        let mut freed = 0;
        self.pages.borrow_mut().retain(|(place, _), (checksums, _)| {
            let stays = !is_meant(place);
            freed += if stays { 0 } else { checksums.len() * size_of::<u32>() };
            stays
        });
        self.bytes.set(self.bytes.get() - freed);
    }
}
