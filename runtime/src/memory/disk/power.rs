//! What a loss of power takes: which of the outcomes that are legal for what was not stable.
//!
//! Always true: what an operation promised to be stable stays, whichever outcome is taken.

use crate::memory::random::Random;

/// A device writes a sector whole or not at all, and many devices a block.
const SECTOR_BYTES: u64 = 512;
const BLOCK_BYTES: u64 = 4096;

/// Which outcome: most are drawn change by change, the extremes are there to be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PowerLoss {
    /// Each change on its own is lost, kept, or torn by sectors.
    Sectors,
    /// Each change on its own is lost, kept, or torn by blocks.
    Blocks,
    /// Everything is lost that may be.
    Everything,
    /// Nothing is lost.
    Nothing,
    /// Names and lengths are kept, and no byte.
    Bytes,
    /// Bytes are kept, and no name.
    Names,
}

/// What becomes of one write that was not stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Lost,
    Whole,
    Torn { unit_bytes: u64 },
}

impl PowerLoss {
    /// Every outcome, the two kinds that are drawn first.
    pub const ALL: [PowerLoss; 6] = [
        PowerLoss::Sectors,
        PowerLoss::Blocks,
        PowerLoss::Everything,
        PowerLoss::Nothing,
        PowerLoss::Bytes,
        PowerLoss::Names,
    ];

    pub(super) fn fate_of_write(self, random: &mut Random) -> Fate {
        let unit_bytes = match self {
            PowerLoss::Sectors => SECTOR_BYTES,
            PowerLoss::Blocks => BLOCK_BYTES,
            PowerLoss::Everything | PowerLoss::Bytes => return Fate::Lost,
            PowerLoss::Nothing | PowerLoss::Names => return Fate::Whole,
        };
        match random.below(3) {
            0 => Fate::Lost,
            1 => Fate::Whole,
            _ => Fate::Torn { unit_bytes },
        }
    }

    pub(super) fn keeps_length(self, random: &mut Random) -> bool {
        match self {
            PowerLoss::Sectors | PowerLoss::Blocks => random.coin(),
            PowerLoss::Everything => false,
            PowerLoss::Nothing | PowerLoss::Bytes | PowerLoss::Names => true,
        }
    }

    /// Whether a file is longer by a write of which not all bytes are there.
    pub(super) fn keeps_length_without_bytes(self, random: &mut Random) -> bool {
        match self {
            PowerLoss::Sectors | PowerLoss::Blocks => random.below(4) == 0,
            PowerLoss::Bytes => true,
            PowerLoss::Everything | PowerLoss::Nothing | PowerLoss::Names => false,
        }
    }

    pub(super) fn loses_name(self, random: &mut Random) -> bool {
        match self {
            PowerLoss::Sectors | PowerLoss::Blocks => random.coin(),
            PowerLoss::Everything | PowerLoss::Names => true,
            PowerLoss::Nothing | PowerLoss::Bytes => false,
        }
    }
}
