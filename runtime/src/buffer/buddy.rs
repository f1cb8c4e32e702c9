//! Which parts of one slab are free: power-of-two blocks that split and join again.
//!
//! ```text
//!   node 1   [            whole slab, order 9             ]
//!   2, 3     [      order 8       ][       order 8        ]
//!   ...
//!   512..    [p0][p1][p2] ...                       [p511]   pages, order 0
//! ```
//!
//! Always true: `largest[node]` is one more than the order of the largest free block below the node, zero if
//! there is none; two free buddies are always joined, so a slab without blocks is one free block again.

/// The smallest block: a page.
pub(super) const PAGE_BYTES: usize = 4096;
/// Pages in a slab are two to this power.
pub(super) const SLAB_ORDER: u8 = 9;
/// Bytes of a slab: the size of a huge page.
pub(super) const SLAB_BYTES: usize = PAGE_BYTES << SLAB_ORDER;

const PAGES: usize = 1 << SLAB_ORDER;

/// The free blocks of one slab.
pub(super) struct Buddy {
    largest: Box<[u8; 2 * PAGES]>,
}

impl Buddy {
    /// A slab in which everything is free.
    pub(super) fn new() -> Buddy {
        let mut largest = Box::new([0; 2 * PAGES]);
        for (node, entry) in largest.iter_mut().enumerate().skip(1) {
            *entry = SLAB_ORDER - node.ilog2() as u8 + 1;
        }
        Buddy { largest }
    }

    /// Whether a block of this order can be had.
    pub(super) fn has_room(&self, order: u8) -> bool {
        self.largest[1] > order
    }

    /// Whether no block is handed out.
    pub(super) fn is_empty(&self) -> bool {
        self.largest[1] == SLAB_ORDER + 1
    }

    /// Takes a block of `1 << order` pages and says its first page. Descends into the fuller half that still
    /// has room, so large blocks stay whole for as long as possible.
    pub(super) fn take(&mut self, order: u8) -> Option<usize> {
        if !self.has_room(order) {
            return None;
        }
        let mut node = 1;
        for _ in order..SLAB_ORDER {
            let (left, right) = (self.largest[2 * node], self.largest[2 * node + 1]);
            let takes_left = left > order && (right <= order || left <= right);
            node = 2 * node + usize::from(!takes_left);
        }
        self.largest[node] = 0;
        self.update_above(node, order);
        Some((node << order) - PAGES)
    }

    /// Takes a block back.
    ///
    /// # Panics
    /// If no such block is handed out.
    pub(super) fn give_back(&mut self, page: usize, order: u8) {
        let node = (page + PAGES) >> order;
        assert_eq!(self.largest[node], 0, "block at page {page} of order {order} is not handed out");
        self.largest[node] = order + 1;
        self.update_above(node, order);
    }

    fn update_above(&mut self, node: usize, order: u8) {
        let (mut node, mut order) = (node, order);
        while node > 1 {
            let whole = order + 1;
            let (this, buddy) = (self.largest[node], self.largest[node ^ 1]);
            node /= 2;
            order += 1;
            self.largest[node] = if this == whole && buddy == whole { order + 1 } else { this.max(buddy) };
        }
    }
}

/// The order of the smallest block that holds `bytes`.
pub(super) fn order_for(bytes: usize) -> u8 {
    bytes.div_ceil(PAGE_BYTES).next_power_of_two().ilog2() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_buddies_join_to_the_whole_slab_again() {
        let mut buddy = Buddy::new();
        let pages: Vec<usize> = (0..PAGES).map(|_| buddy.take(0).unwrap()).collect();
        assert_eq!(buddy.take(0), None);
        for page in pages {
            buddy.give_back(page, 0);
        }
        assert!(buddy.is_empty());
        assert_eq!(buddy.take(SLAB_ORDER), Some(0));
    }

    #[test]
    fn small_blocks_are_taken_where_the_slab_is_already_broken() {
        let mut buddy = Buddy::new();
        buddy.take(0).unwrap();
        buddy.take(4).unwrap();
        buddy.take(0).unwrap();
        assert!(buddy.has_room(SLAB_ORDER - 1), "one half is still whole");
    }

    #[test]
    #[should_panic(expected = "not handed out")]
    fn a_block_given_back_twice_is_noticed() {
        let mut buddy = Buddy::new();
        let page = buddy.take(3).unwrap();
        buddy.give_back(page, 3);
        buddy.give_back(page, 3);
    }

    #[test]
    fn a_size_gets_the_smallest_order_that_holds_it() {
        assert_eq!([1, 4096, 4097, 65536, 1 << 20].map(order_for), [0, 0, 1, 4, 8]);
    }
}
