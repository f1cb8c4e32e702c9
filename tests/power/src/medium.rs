//! What a disk holds, what was written to it in which order, and what is left of that when the power goes.
//!
//! ```text
//!   settled bytes ◄─ pages written since the power came ◄─ the row of changes: write, write, flush, write, ...
//!                                                                    │
//!                                        loss: up to here stable, of these some ──► pages at the next power on
//! ```
//!
//! Always true: a read gives what was written last; changes stand in the order in which the disk did them. A flush makes
//! stable what had been answered when it arrived, and nothing that was under way.

use rustc_hash::FxHashMap;

use crate::loss::{Fate, Loss};

/// What a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;

const PAGE_BYTES: usize = 4096;

type Pages = FxHashMap<usize, Box<[u8; PAGE_BYTES]>>;

/// One thing that was done to the disk.
#[derive(Debug)]
pub enum Change {
    /// Bytes were written.
    Write {
        /// From here on.
        at: usize,
        /// These.
        bytes: Box<[u8]>,
    },
    /// The disk was told to make stable what it had answered.
    Flush {
        /// All changes before this one.
        covers: usize,
    },
}

/// A disk.
pub struct Medium {
    settled: Vec<u8>,
    settled_changes: usize,
    pages: Pages,
    pages_at_power_on: Pages,
    changes: Vec<Change>,
    answered: usize,
}

impl Medium {
    /// A disk full of zeros.
    pub fn blank(size_bytes: usize) -> Medium {
        Medium::holding(vec![0; size_bytes])
    }

    /// A disk that holds this.
    pub fn holding(bytes: Vec<u8>) -> Medium {
        assert_eq!(bytes.len() % PAGE_BYTES, 0, "a disk is a row of pages");
        Medium {
            settled: bytes,
            settled_changes: 0,
            pages: Pages::default(),
            pages_at_power_on: Pages::default(),
            changes: Vec::new(),
            answered: 0,
        }
    }

    /// Its size.
    pub fn size_bytes(&self) -> usize {
        self.settled.len()
    }

    /// What it holds.
    pub fn read(&self, at: usize, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length);
        for piece in pieces(at, length) {
            match self.pages.get(&piece.page) {
                Some(page) => bytes.extend_from_slice(&page[piece.from..piece.to]),
                None => {
                    let start = piece.page * PAGE_BYTES;
                    bytes.extend_from_slice(&self.settled[start + piece.from..start + piece.to]);
                }
            }
        }
        bytes
    }

    /// Writes, and remembers it.
    pub fn write(&mut self, at: usize, bytes: Box<[u8]>) {
        self.put(at, &bytes);
        self.changes.push(Change::Write { at, bytes });
    }

    /// All changes so far are answered: a flush that comes from now on covers them.
    pub fn answer(&mut self) {
        self.answered = self.changes.len();
    }

    /// What a flush that comes now covers.
    pub fn answered(&self) -> usize {
        self.answered
    }

    /// Remembers a flush that is done.
    pub fn flush(&mut self, covers: usize) {
        self.changes.push(Change::Flush { covers });
    }

    /// How many changes there were: what a client knows now, it knows after so many.
    pub fn position(&self) -> usize {
        self.changes.len()
    }

    /// The changes since the power came.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What it held when the power came.
    pub fn at_power_on(&self) -> Vec<u8> {
        let mut bytes = self.settled.clone();
        for (page, held) in &self.pages_at_power_on {
            bytes[page * PAGE_BYTES..(page + 1) * PAGE_BYTES].copy_from_slice(&held[..]);
        }
        bytes
    }

    /// All it holds, and no changes: nobody will ask what would be left of them.
    pub fn settle(&mut self) -> &[u8] {
        for (page, bytes) in self.pages.drain() {
            self.settled[page * PAGE_BYTES..(page + 1) * PAGE_BYTES].copy_from_slice(&bytes[..]);
        }
        self.pages_at_power_on.clear();
        self.changes.clear();
        (self.answered, self.settled_changes) = (0, 0);
        &self.settled
    }

    /// Takes the changes out. What they wrote is there.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.answered = 0;
        std::mem::take(&mut self.changes)
    }

    /// Becomes what another disk that began with the same bytes is after this loss. Losses come in the order of time.
    pub fn become_survivor(&mut self, changes: &[Change], loss: &Loss) {
        assert!(
            self.settled_changes <= loss.stable,
            "{} were settled, {} are stable",
            self.settled_changes,
            loss.stable
        );
        self.pages.clear();
        for change in &changes[self.settled_changes..loss.stable] {
            if let Change::Write { at, bytes } = change {
                self.settled[*at..*at + bytes.len()].copy_from_slice(bytes);
            }
        }
        self.settled_changes = loss.stable;
        self.keep(changes, &loss.fates);
    }

    /// Loses its own power.
    pub fn lose_power(&mut self, loss: &Loss) {
        let changes = std::mem::take(&mut self.changes);
        self.pages = self.pages_at_power_on.clone();
        for change in &changes[..loss.stable] {
            if let Change::Write { at, bytes } = change {
                self.put(*at, bytes);
            }
        }
        self.keep(&changes, &loss.fates);
    }

    fn keep(&mut self, changes: &[Change], fates: &[(usize, Fate)]) {
        for (index, fate) in fates {
            let Change::Write { at, bytes } = &changes[*index] else { continue };
            match fate {
                Fate::Whole => self.put(*at, bytes),
                Fate::Torn(sectors) => {
                    for (sector, piece) in bytes.chunks(SECTOR_BYTES).enumerate() {
                        if sectors.holds(sector) {
                            self.put(at + sector * SECTOR_BYTES, piece);
                        }
                    }
                }
            }
        }
        self.pages_at_power_on = self.pages.clone();
        self.changes.clear();
        self.answered = 0;
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        let mut rest = bytes;
        for piece in pieces(at, bytes.len()) {
            let (now, later) = rest.split_at(piece.to - piece.from);
            let settled = &self.settled[piece.page * PAGE_BYTES..(piece.page + 1) * PAGE_BYTES];
            let page = self.pages.entry(piece.page).or_insert_with(|| {
                let mut page = Box::new([0; PAGE_BYTES]);
                page.copy_from_slice(settled);
                page
            });
            page[piece.from..piece.to].copy_from_slice(now);
            rest = later;
        }
    }
}

/// A stretch of one page.
struct Piece {
    page: usize,
    from: usize,
    to: usize,
}

fn pieces(at: usize, length: usize) -> impl Iterator<Item = Piece> {
    let end = at + length;
    (at / PAGE_BYTES..end.div_ceil(PAGE_BYTES)).map(move |page| {
        let start = page * PAGE_BYTES;
        Piece { page, from: at.max(start) - start, to: end.min(start + PAGE_BYTES) - start }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Sectors;

    fn filled(length: usize, with: u8) -> Box<[u8]> {
        vec![with; length].into_boxed_slice()
    }

    #[test]
    fn a_read_gives_what_was_written_last_across_pages() {
        let mut medium = Medium::blank(4 * PAGE_BYTES);
        medium.write(PAGE_BYTES - 512, filled(1024, 1));
        medium.write(PAGE_BYTES, filled(512, 2));
        let read = medium.read(PAGE_BYTES - 1024, 2048);
        assert_eq!(read.chunks(512).map(|sector| sector[0]).collect::<Vec<_>>(), [0, 1, 2, 0]);
        assert_eq!(medium.position(), 2);
    }

    #[test]
    fn a_flush_covers_what_was_answered_when_it_came() {
        let mut medium = Medium::blank(PAGE_BYTES);
        medium.write(0, filled(512, 1));
        medium.answer();
        let covers = medium.answered();
        medium.write(512, filled(512, 2));
        medium.flush(covers);
        assert!(matches!(medium.changes()[2], Change::Flush { covers: 1 }));
    }

    #[test]
    fn the_survivor_holds_what_was_stable_and_what_fate_left() {
        let mut medium = Medium::blank(2 * PAGE_BYTES);
        for with in 1..=4 {
            medium.write(0, filled(1024, with));
        }
        let changes = medium.take_changes();
        let mut survivor = Medium::blank(2 * PAGE_BYTES);
        let torn = Fate::Torn(Sectors::of(&[false, true]));
        survivor.become_survivor(&changes, &Loss { stable: 2, fates: vec![(3, torn)] });
        assert_eq!((survivor.read(0, 1)[0], survivor.read(512, 1)[0]), (2, 4));
        // A later moment, from the same disk.
        survivor.write(0, filled(512, 9));
        survivor.become_survivor(&changes, &Loss { stable: 3, fates: Vec::new() });
        assert_eq!((survivor.read(0, 1)[0], survivor.read(512, 1)[0]), (3, 3));
    }

    #[test]
    fn power_that_goes_a_second_time_leaves_what_the_first_loss_had_left() {
        let mut medium = Medium::holding(filled(PAGE_BYTES, 1).into_vec());
        let written = [Change::Write { at: 0, bytes: filled(512, 2) }];
        medium.become_survivor(&written, &Loss { stable: 0, fates: vec![(0, Fate::Whole)] });
        medium.write(512, filled(512, 3));
        medium.write(1024, filled(512, 4));
        medium.lose_power(&Loss { stable: 1, fates: Vec::new() });
        assert_eq!([0, 512, 1024].map(|at| medium.read(at, 1)[0]), [2, 3, 1]);
        assert_eq!(medium.position(), 0);
    }
}
