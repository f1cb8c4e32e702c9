//! What one file holds: what a power loss leaves, what readers see, and the changes between the two.
//!
//! ```text
//!   durable   [old old old old]            after a power loss, plus any part of the pending changes
//!   pending        {new} {length} {new}    completed, not synced, in order of completion
//!   volatile  [old new new old new]        what reads return now
//! ```
//!
//! Always true: applying every pending change to `durable`, in order, gives `volatile`, unless a sync failed:
//! then what it dropped is visible until the power goes and never again.

use super::power::{Fate, PowerLoss};
use crate::environment::WriteSync;
use crate::memory::random::Random;

/// A file's content in both planes.
#[derive(Clone, Default)]
pub(super) struct Content {
    durable: Vec<u8>,
    volatile: Vec<u8>,
    pending: Vec<Pending>,
    /// When it was last changed, by the world's monotonic clock.
    pub modified_ns: u64,
}

#[derive(Clone)]
struct Pending {
    sequence: u64,
    change: Change,
}

#[derive(Clone)]
enum Change {
    Write { position: u64, bytes: Vec<u8> },
    SetLength(u64),
}

impl Content {
    pub fn length(&self) -> u64 {
        self.volatile.len() as u64
    }

    pub fn bytes(&self) -> &[u8] {
        &self.volatile
    }

    /// Copies what lies from `position` on into `target`; returns how many bytes there were.
    pub fn read(&self, position: u64, target: &mut [u8]) -> usize {
        let start = usize::try_from(position).unwrap_or(usize::MAX).min(self.volatile.len());
        let count = target.len().min(self.volatile.len() - start);
        target[..count].copy_from_slice(&self.volatile[start..start + count]);
        count
    }

    /// A write completes.
    pub fn write(&mut self, sequence: u64, position: u64, bytes: Vec<u8>, sync: WriteSync) {
        overwrite(&mut self.volatile, position, &bytes);
        match sync {
            WriteSync::Later => {
                self.pending.push(Pending { sequence, change: Change::Write { position, bytes } });
            }
            WriteSync::BeforeCompletion => {
                self.make_lengths_durable();
                self.forget_pending_writes(position, position + bytes.len() as u64);
                overwrite(&mut self.durable, position, &bytes);
            }
        }
    }

    /// A write fails: any part of it may be visible, and any part of that may survive.
    pub fn fail_write(&mut self, sequence: u64, position: u64, bytes: &[u8], random: &mut Random) {
        let fate = PowerLoss::Sectors.fate_of_write(random);
        for (part_position, part) in surviving_parts(fate, position, bytes, random) {
            self.write(sequence, part_position, part.to_vec(), WriteSync::Later);
        }
    }

    /// A truncation or extension completes.
    pub fn set_length(&mut self, sequence: u64, length: u64) {
        resize(&mut self.volatile, length);
        self.pending.push(Pending { sequence, change: Change::SetLength(length) });
    }

    /// Makes everything that had completed at `sequence` stable.
    pub fn sync_to(&mut self, sequence: u64) {
        for change in self.take_pending_to(sequence) {
            apply(&mut self.durable, &change);
        }
    }

    /// A sync fails: each change it covered became stable or never will, and the system considers all of them
    /// clean from now on.
    pub fn fail_sync_to(&mut self, sequence: u64, random: &mut Random) {
        for change in self.take_pending_to(sequence) {
            if random.coin() {
                apply(&mut self.durable, &change);
            }
        }
    }

    /// The power goes: what was stable stays, each other change is lost, kept or torn on its own.
    pub fn lose_power(&mut self, loss: PowerLoss, random: &mut Random) {
        for pending in std::mem::take(&mut self.pending) {
            match pending.change {
                Change::SetLength(_) if loss.keeps_length(random) => {
                    apply(&mut self.durable, &pending.change)
                }
                Change::SetLength(_) => {}
                Change::Write { position, bytes } => self.keep_some_of(position, &bytes, loss, random),
            }
        }
        self.volatile.clone_from(&self.durable);
    }

    /// A write that had not completed when the power went.
    pub fn interrupt_write(&mut self, position: u64, bytes: &[u8], random: &mut Random) {
        self.pending
            .push(Pending { sequence: u64::MAX, change: Change::Write { position, bytes: bytes.to_vec() } });
        // A later write to the same place may have been the one to reach the device first.
        let last = self.pending.len() - 1;
        let place = random.index(self.pending.len());
        self.pending.swap(place, last);
    }

    /// Changes one stored byte in both planes: damage of the medium.
    pub fn corrupt(&mut self, position: u64, mask: u8) {
        for plane in [&mut self.durable, &mut self.volatile] {
            if let Some(byte) = plane.get_mut(position as usize) {
                *byte ^= mask;
            }
        }
    }

    /// Cuts or extends both planes: damage done from outside.
    pub fn force_length(&mut self, length: u64) {
        self.sync_to(u64::MAX);
        resize(&mut self.volatile, length);
        resize(&mut self.durable, length);
    }

    fn take_pending_to(&mut self, sequence: u64) -> Vec<Change> {
        let count = self.pending.partition_point(|pending| pending.sequence <= sequence);
        self.pending.drain(..count).map(|pending| pending.change).collect()
    }

    /// The file's length is metadata needed to read a stable write back, and file systems journal metadata in
    /// order: every change of length before it becomes stable too.
    fn make_lengths_durable(&mut self) {
        let mut kept: Vec<Pending> = Vec::with_capacity(self.pending.len());
        for pending in std::mem::take(&mut self.pending) {
            let Change::SetLength(length) = pending.change else {
                kept.push(pending);
                continue;
            };
            resize(&mut self.durable, length);
            for earlier in &mut kept {
                if let Change::Write { position, bytes } = &mut earlier.change {
                    bytes.truncate(usize::try_from(length.saturating_sub(*position)).unwrap_or(usize::MAX));
                }
            }
        }
        self.pending = kept;
    }

    /// A stable write supersedes what was pending in its range.
    fn forget_pending_writes(&mut self, start: u64, end: u64) {
        let mut kept = Vec::with_capacity(self.pending.len());
        for Pending { sequence, change } in std::mem::take(&mut self.pending) {
            let Change::Write { position, bytes } = &change else {
                kept.push(Pending { sequence, change });
                continue;
            };
            let write_end = position + bytes.len() as u64;
            for part in [(*position, write_end.min(start)), ((*position).max(end), write_end)] {
                if part.0 < part.1 {
                    let bytes = bytes[(part.0 - position) as usize..(part.1 - position) as usize].to_vec();
                    kept.push(Pending { sequence, change: Change::Write { position: part.0, bytes } });
                }
            }
        }
        self.pending = kept;
    }

    fn keep_some_of(&mut self, position: u64, bytes: &[u8], loss: PowerLoss, random: &mut Random) {
        let fate = loss.fate_of_write(random);
        for (part_position, part) in surviving_parts(fate, position, bytes, random) {
            overwrite(&mut self.durable, part_position, part);
        }
        // The new length may have been journaled although the data was not written: it then reads as zeros.
        let end = position + bytes.len() as u64;
        if fate != Fate::Whole && end > self.durable.len() as u64 && loss.keeps_length_without_bytes(random) {
            resize(&mut self.durable, end);
        }
    }
}

/// The parts of a write that reach the medium: units of a sector or a block, aligned in the file.
fn surviving_parts<'a>(
    fate: Fate,
    position: u64,
    bytes: &'a [u8],
    random: &mut Random,
) -> Vec<(u64, &'a [u8])> {
    match fate {
        Fate::Lost => Vec::new(),
        Fate::Whole => vec![(position, bytes)],
        Fate::Torn { unit_bytes } => units(position, bytes, unit_bytes).filter(|_| random.coin()).collect(),
    }
}

fn units(position: u64, bytes: &[u8], unit_bytes: u64) -> impl Iterator<Item = (u64, &[u8])> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let start = position + done as u64;
        let unit_end = (start / unit_bytes + 1) * unit_bytes;
        let count = (bytes.len() - done).min((unit_end - start) as usize);
        let part = &bytes[done..done + count];
        done += count;
        (count > 0).then_some((start, part))
    })
}

fn apply(plane: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { position, bytes } => overwrite(plane, *position, bytes),
        Change::SetLength(length) => resize(plane, *length),
    }
}

fn overwrite(plane: &mut Vec<u8>, position: u64, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let start = position as usize;
    let end = start + bytes.len();
    if plane.len() < end {
        plane.resize(end, 0);
    }
    plane[start..end].copy_from_slice(bytes);
}

fn resize(plane: &mut Vec<u8>, length: u64) {
    plane.resize(usize::try_from(length).expect("a file in memory fits the address space"), 0);
}
