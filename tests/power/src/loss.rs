//! What a disk may be left with when the power goes at some moment.
//!
//! ```text
//!   write  write  flush  write  write  write ⚡
//!   └─ covered: stable ┘ └ each lost, whole, or torn by sectors ┘
//! ```
//!
//! Always true: what a flush covered that was answered before the moment is there. Of the rest anything goes, in any order: a write
//! that is lost while a later one is there is a write that the disk had not got to.

use ringlog_runtime::memory::{PerMillion, Random};

use crate::medium::{Change, SECTOR_BYTES};

/// Flushes that a disk which lies about them has forgotten.
const FORGOTTEN_FLUSHES: usize = 4;

/// What is left.
#[derive(Debug)]
pub struct Loss {
    /// Changes before this one are stable.
    pub stable: usize,
    /// Of the later writes those of which something is left.
    pub fates: Vec<(usize, Fate)>,
}

/// How a write survived.
#[derive(Clone, Debug)]
pub enum Fate {
    /// All of it.
    Whole,
    /// Some sectors of it.
    Torn(Sectors),
}

/// Some of a row of sectors.
#[derive(Clone, Debug)]
pub enum Sectors {
    /// The first ones.
    First(usize),
    /// Any, by a seed.
    Any(u64),
}

/// So many times in a hundred.
pub fn percent(of: u32) -> PerMillion {
    PerMillion(of * 10_000)
}

impl Sectors {
    /// Whether this one is there.
    pub fn holds(&self, sector: usize) -> bool {
        match self {
            Sectors::First(count) => sector < *count,
            Sectors::Any(seed) => Random::from_seed(seed.wrapping_add(sector as u64)).coin(),
        }
    }

    fn draw(bytes: usize, random: &mut Random) -> Sectors {
        match random.happens(percent(50)) {
            true => Sectors::First(random.index(bytes.div_ceil(SECTOR_BYTES))),
            false => Sectors::Any(random.next_u64()),
        }
    }

    /// The seed by which the first sectors are there or not as told.
    #[cfg(test)]
    pub fn of(there: &[bool]) -> Sectors {
        let holds =
            |seed: &u64| (0..there.len()).all(|sector| Sectors::Any(*seed).holds(sector) == there[sector]);
        Sectors::Any((0..).find(holds).expect("some seed does"))
    }
}

/// Whether a disk does what it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Honesty {
    /// What a flush covered is stable.
    Honest,
    /// It may have forgotten the last few flushes, though it answered them.
    Lies,
}

impl Loss {
    /// Draws what is left when power goes while the change at `moment` is under way.
    pub fn draw(changes: &[Change], moment: usize, honesty: Honesty, random: &mut Random) -> Loss {
        let stable = stable_before(changes, moment, honesty);
        let end = changes.len().min(moment + 1);
        let writes: Vec<(usize, usize)> = (stable..end)
            .filter_map(|index| match &changes[index] {
                Change::Write { bytes, .. } => Some((index, bytes.len())),
                Change::Flush { .. } => None,
            })
            .collect();
        Loss { stable, fates: draw_fates(&writes, random) }
    }
}

/// How many of the changes are stable when power goes at `moment`.
fn stable_before(changes: &[Change], moment: usize, honesty: Honesty) -> usize {
    let flushes = changes[..moment].iter().rev().filter_map(|change| match change {
        Change::Flush { covers } => Some(*covers),
        Change::Write { .. } => None,
    });
    let forgotten = if honesty == Honesty::Lies { FORGOTTEN_FLUSHES } else { 0 };
    flushes.skip(forgotten).max().unwrap_or(0)
}

fn draw_fates(writes: &[(usize, usize)], random: &mut Random) -> Vec<(usize, Fate)> {
    let count = writes.len();
    let whole = |&(index, _): &(usize, usize)| (index, Fate::Whole);
    let torn = |&(index, bytes): &(usize, usize), random: &mut Random| {
        (index, Fate::Torn(Sectors::draw(bytes, random)))
    };
    if count == 0 {
        return Vec::new();
    }
    match random.index(6) {
        // Nothing that was not flushed.
        0 => Vec::new(),
        // Everything, the last one torn.
        1 => {
            let (last, before) = writes.split_last().expect("there is one");
            before.iter().map(whole).chain([torn(last, random)]).collect()
        }
        // The first ones, as if the disk worked in order.
        2 => {
            let cut = random.index(count);
            writes[..cut].iter().map(whole).chain([torn(&writes[cut], random)]).collect()
        }
        // The last ones, as if it worked backwards.
        3 => writes[random.index(count)..].iter().map(whole).collect(),
        // Each on its own: mostly there, mostly lost, or half and half.
        _ => {
            let there = [10, 50, 90][random.index(3)];
            let mut fates = Vec::new();
            for write in writes {
                if random.happens(percent(there)) {
                    let fate = if random.happens(percent(20)) { torn(write, random) } else { whole(write) };
                    fates.push(fate);
                }
            }
            fates
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> Vec<Change> {
        let write = |at| Change::Write { at, bytes: vec![1; 1024].into_boxed_slice() };
        vec![write(0), write(1024), Change::Flush { covers: 1 }, write(2048), write(4096)]
    }

    #[test]
    fn what_a_flush_covered_is_stable_and_every_other_write_may_be_lost_whole_or_torn() {
        let (history, mut random) = (history(), Random::from_seed(1));
        let (mut lost, mut kept, mut torn) = ([false; 5], [false; 5], [false; 5]);
        for _ in 0..1000 {
            let loss = Loss::draw(&history, 4, Honesty::Honest, &mut random);
            assert_eq!(loss.stable, 1, "the write under way when the flush came is not covered");
            for index in [1, 3, 4] {
                match loss.fates.iter().find(|(kept, _)| *kept == index) {
                    None => lost[index] = true,
                    Some((_, Fate::Whole)) => kept[index] = true,
                    Some((_, Fate::Torn(_))) => torn[index] = true,
                }
            }
            assert!(loss.fates.iter().all(|(index, _)| [1, 3, 4].contains(index)));
        }
        let open = [false, true, false, true, true];
        assert_eq!((lost, kept, torn), (open, open, open));
    }

    #[test]
    fn a_flush_that_is_under_way_covers_nothing_yet() {
        let loss = Loss::draw(&history(), 2, Honesty::Honest, &mut Random::from_seed(1));
        assert_eq!(loss.stable, 0);
    }

    #[test]
    fn a_disk_that_lies_has_forgotten_a_flush() {
        for seed in 0..20 {
            let loss = Loss::draw(&history(), 4, Honesty::Lies, &mut Random::from_seed(seed));
            assert_eq!(loss.stable, 0);
        }
    }
}
