//! One image: power is lost, the disk is mounted, a broker starts on it, and is judged; perhaps the power is lost again.
//!
//! ```text
//!   changes, moment, fates ─► image ─► mount ─► start ─► judge ─► stop ─► check
//!                               ▲                                  │
//!                               └── power lost while it recovered ◄┘
//! ```

use std::path::{Path, PathBuf};

use ringlog_runtime::memory::Random;

use crate::broker::Recipe;
use crate::device::Device;
use crate::file_system::{self, Mounted};
use crate::judge::{Violation, judge};
use crate::ledger::Ledger;
use crate::loss::{Honesty, Loss, percent};
use crate::medium::Change;

/// A recorded history.
pub struct History {
    /// What the disk held before.
    pub before: Vec<u8>,
    /// What was done to it.
    pub changes: Vec<Change>,
    /// What clients know.
    pub ledger: Ledger,
}

/// Where and how trials are made.
pub struct Bench {
    /// The broker.
    pub recipe: Recipe,
    /// Where images are served.
    pub device: Device,
    /// A folder of its own.
    pub folder: PathBuf,
    /// Whether the disk kept what its flushes covered.
    pub honesty: Honesty,
}

/// What a trial did.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tried {
    /// Images that were mounted and started on.
    pub images: usize,
    /// Images that were left by a loss during recovery.
    pub second_losses: usize,
    /// Images whose file system was mended before it could be mounted.
    pub repaired: usize,
}

impl Bench {
    /// Takes the power at the change number `moment`.
    ///
    /// # Errors
    /// What is wrong with what was left.
    pub fn try_moment(
        &self,
        history: &History,
        moment: usize,
        random: &mut Random,
        tried: &mut Tried,
    ) -> Result<(), Violation> {
        let loss = Loss::draw(&history.changes, moment, self.honesty, random);
        self.device.medium().become_survivor(&history.changes, &loss);
        let mut ledger = history.ledger.seen_at(moment);
        tried.images += 1;
        let ends_again = random.happens(percent(15));
        let changes = self.try_image(&mut ledger, random, ends_again, tried)?;
        if ends_again && self.honesty == Honesty::Honest {
            let moment = random.index(changes.max(1));
            let mut medium = self.device.medium();
            let loss = Loss::draw(medium.changes(), moment, self.honesty, random);
            medium.lose_power(&loss);
            drop(medium);
            tried.images += 1;
            tried.second_losses += 1;
            self.try_image(&mut ledger.seen_at(moment), random, false, tried)?;
        }
        Ok(())
    }

    /// Mounts, starts, judges. Returns how many changes there were until the process ended.
    fn try_image(
        &self,
        ledger: &mut Ledger,
        random: &mut Random,
        power_goes: bool,
        tried: &mut Tried,
    ) -> Result<usize, Violation> {
        let mounted =
            Mounted::mount(self.device.file(), &self.folder.join("mounted")).map_err(Violation::Wrong)?;
        tried.repaired += usize::from(mounted.was_repaired());
        let cores = 1 + usize::from(random.happens(percent(20)));
        let broker = self.recipe.start(mounted.folder(), &self.folder, cores).map_err(Violation::Wrong)?;
        let judged = judge(&broker, &self.device, ledger);
        judged.map_err(|violation| violation.with(&broker.words()))?;
        let stops = !power_goes && random.happens(percent(20));
        let words = if stops { broker.stop() } else { broker.kill() }.map_err(Violation::Wrong)?;
        let changes = self.device.medium().position();
        if let Some(line) = words.lines().find(|line| line.contains("ERROR") || line.contains("WARN")) {
            return Err(Violation::Wrong(format!("the broker's log says: {line}")));
        }
        if stops && random.happens(percent(30)) {
            self.recipe.verify(mounted.folder()).map_err(Violation::Wrong)?;
        }
        mounted.unmount().map_err(Violation::Wrong)?;
        if stops && random.happens(percent(30)) {
            file_system::check(self.device.file()).map_err(Violation::Wrong)?;
        }
        Ok(changes)
    }

    /// Keeps the image that a moment leaves, for somebody to look at.
    pub fn keep_image(&self, path: &Path) -> Result<(), String> {
        let medium = self.device.medium();
        let bytes = medium.at_power_on();
        let written =
            path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, bytes));
        written.map_err(|error| format!("{}: {error}", path.display()))
    }
}

impl Violation {
    fn with(self, words: &str) -> Violation {
        let more = |said: String| format!("{said}\nthe broker's log:\n{words}");
        match self {
            Violation::Lost(said) => Violation::Lost(more(said)),
            Violation::Wrong(said) => Violation::Wrong(more(said)),
        }
    }
}
