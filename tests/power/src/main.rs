//! Power is taken from the real broker on a real ext4 file system, again and again.
//!
//! ```text
//!   broker ─► ext4 ─► loop device ─► a file of a FUSE file system of ours: each write and flush, in order, in memory
//!                                        │
//!        for thousands of moments:  what a disk may be left with ─► the same way up: mounted, a broker started, judged
//! ```
//!
//! Reading order:
//! - [`medium`], [`loss`]: a disk, and what may be left of what was written to it
//! - [`device`], [`file_system`]: that disk as the kernel sees it, and ext4 on it
//! - [`ledger`], [`workload`]: what clients did, and what they were told at which write
//! - [`trial`], [`judge`]: one loss of power, and what must hold after it
//! - [`broker`], [`questions`]
//!
//! Needs root, /dev/fuse, loop devices and ext4. Where they are not to be had it says so and ends with 3.

mod broker;
mod device;
mod file_system;
mod judge;
mod ledger;
mod loss;
mod medium;
mod questions;
mod trial;
mod workload;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::{Parser, ValueEnum};
use ringlog_runtime::memory::Random;

use crate::broker::Recipe;
use crate::device::{Device, Pace};
use crate::judge::Violation;
use crate::loss::{Honesty, percent};
use crate::medium::{Change, Medium};
use crate::trial::{Bench, History, Tried};

/// Large enough for the journals and what is written; every image is made in memory of this size.
const DISK_BYTES: usize = 256 << 20;
/// Images of one recorded history.
const IMAGES_PER_HISTORY_MAX: usize = 400;
/// Set in the process that has mounts of its own.
const ALONE: &str = "RINGLOG_POWER_ALONE";
const CANNOT_BE_TRIED: u8 = 3;

/// Takes the power from a broker, and looks whether what was acknowledged is there.
#[derive(Parser, Debug)]
struct CommandLine {
    /// The broker's program
    #[arg(long, default_value = "target/release/ringlog")]
    binary: PathBuf,
    /// How many images to start a broker on
    #[arg(long, default_value_t = 100)]
    images: usize,
    /// What is drawn follows from it; what threads do when does not
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Images that are tried at the same time
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Try a mistake that must be found: succeeds if acknowledged records are lost
    #[arg(long)]
    planted: Option<Planted>,
    /// Keep images with a fault in this folder
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// Mistakes made on purpose.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Planted {
    /// The disk forgets flushes that it has answered
    LyingDisk,
    /// The broker acknowledges what only its memory holds
    RelaxedBroker,
}

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    if std::env::var_os(ALONE).is_none() {
        return leave_to_a_process_with_mounts_of_its_own();
    }
    let folder = tempfile::tempdir().expect("a folder for mounts and logs");
    let run = Run { command_line, folder: folder.path().to_owned() };
    match run.all() {
        Ok(outcome) => run.report(&outcome),
        Err(Ending::CannotBeTried(words)) => {
            println!("power: cannot be tried here: {words}");
            ExitCode::from(CANNOT_BE_TRIED)
        }
        Err(Ending::Failed(words)) => {
            println!("power: {words}");
            ExitCode::FAILURE
        }
    }
}

/// Nobody else sees what is mounted there, and nothing stays mounted when it ends, however it ends.
fn leave_to_a_process_with_mounts_of_its_own() -> ExitCode {
    let program = std::env::current_exe().expect("a program knows where it is");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]).arg(program).args(std::env::args_os().skip(1));
    let error = command.env(ALONE, "1").exec();
    println!("power: cannot be tried here: unshare: {error}");
    ExitCode::from(CANNOT_BE_TRIED)
}

enum Ending {
    CannotBeTried(String),
    Failed(String),
}

struct Run {
    command_line: CommandLine,
    folder: PathBuf,
}

/// What all trials came to.
#[derive(Default)]
struct Outcome {
    tried: Tried,
    histories: usize,
    changes: usize,
    flushes: usize,
    written_bytes: usize,
    lost: usize,
    wrong: usize,
}

impl Run {
    fn all(&self) -> Result<Outcome, Ending> {
        let outcome = Mutex::new(Outcome::default());
        let mut random = Random::from_seed(self.command_line.seed);
        let mut left = self.command_line.images;
        while left > 0 && !self.is_decided(&outcome) {
            let history = self.record(random.next_u64())?;
            let images = left.min(IMAGES_PER_HISTORY_MAX);
            left -= images;
            let moments = draw_moments(&history.changes, images, &mut random);
            {
                let mut outcome = outcome.lock().expect("nobody panics with it");
                outcome.histories += 1;
                outcome.changes += history.changes.len();
                for change in &history.changes {
                    match change {
                        Change::Write { bytes, .. } => outcome.written_bytes += bytes.len(),
                        Change::Flush { .. } => outcome.flushes += 1,
                    }
                }
            }
            self.try_all(&history, &moments, &outcome)?;
            self.tell_progress(&outcome);
        }
        Ok(outcome.into_inner().expect("nobody panics with it"))
    }

    fn recipe(&self) -> Recipe {
        let is_relaxed = self.command_line.planted == Some(Planted::RelaxedBroker);
        Recipe { binary: self.command_line.binary.clone(), is_relaxed }
    }

    fn honesty(&self) -> Honesty {
        let lies = self.command_line.planted == Some(Planted::LyingDisk);
        if lies { Honesty::Lies } else { Honesty::Honest }
    }

    /// A planted mistake is found, and no more need be tried.
    fn is_decided(&self, outcome: &Mutex<Outcome>) -> bool {
        self.command_line.planted.is_some() && outcome.lock().expect("nobody panics with it").lost > 0
    }

    fn record(&self, seed: u64) -> Result<History, Ending> {
        let folder = self.folder.join("recorder");
        let medium = Medium::blank(DISK_BYTES);
        let device =
            Device::serve(medium, &folder.join("device"), Pace::Slow).map_err(Ending::CannotBeTried)?;
        file_system::make(device.file()).map_err(Ending::CannotBeTried)?;
        let before = device.medium().settle().to_vec();
        // A planted mistake shows in the first.
        let lives = if self.command_line.planted.is_some() { 1 } else { workload::LIVES.len() };
        let recorded = workload::record(&self.recipe(), &device, &folder, seed, lives);
        let ledger = recorded.map_err(|words| Ending::Failed(format!("while the power stayed: {words}")))?;
        let changes = device.medium().take_changes();
        Ok(History { before, changes, ledger })
    }

    /// Tries the moments, in as many threads as wanted, each its share in the order of time.
    fn try_all(&self, history: &History, moments: &[usize], outcome: &Mutex<Outcome>) -> Result<(), Ending> {
        let is_broken = AtomicBool::new(false);
        let share = moments.len().div_ceil(self.command_line.jobs.max(1)).max(1);
        let work = |(number, moments): (usize, &[usize])| {
            let bench = self.bench(history, number)?;
            for moment in moments {
                if self.is_decided(outcome) || is_broken.load(Ordering::Relaxed) {
                    break;
                }
                self.try_one(&bench, history, *moment, outcome)?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> =
                moments.chunks(share).enumerate().map(|one| scope.spawn(move || work(one))).collect();
            threads.into_iter().try_for_each(|thread| {
                let worked = thread.join().expect("a trial does not panic");
                is_broken.fetch_or(worked.is_err(), Ordering::Relaxed);
                worked
            })
        })
    }

    fn bench(&self, history: &History, number: usize) -> Result<Bench, Ending> {
        let folder = self.folder.join(format!("bench-{number}"));
        let medium = Medium::holding(history.before.clone());
        let device =
            Device::serve(medium, &folder.join("device"), Pace::AtOnce).map_err(Ending::CannotBeTried)?;
        Ok(Bench { recipe: self.recipe(), device, folder, honesty: self.honesty() })
    }

    fn try_one(
        &self,
        bench: &Bench,
        history: &History,
        moment: usize,
        outcome: &Mutex<Outcome>,
    ) -> Result<(), Ending> {
        let mut random = Random::from_seed(self.command_line.seed ^ moment as u64);
        let mut tried = Tried::default();
        let found = bench.try_moment(history, moment, &mut random, &mut tried).err();
        let mut outcome = outcome.lock().expect("nobody panics with it");
        outcome.tried.images += tried.images;
        outcome.tried.second_losses += tried.second_losses;
        outcome.tried.repaired += tried.repaired;
        let Some(violation) = found else { return Ok(()) };
        match violation {
            Violation::Lost(_) => outcome.lost += 1,
            Violation::Wrong(_) => outcome.wrong += 1,
        }
        if self.command_line.planted.is_none() {
            println!("FAILED  power lost at change {moment} of {}: {violation:#?}", history.changes.len());
            if let Some(keep) = &self.command_line.keep {
                let kept = keep.join(format!("change-{moment}.img"));
                bench.keep_image(&kept).map_err(Ending::Failed)?;
                println!("        the image is {}", kept.display());
            }
        }
        Ok(())
    }

    fn tell_progress(&self, outcome: &Mutex<Outcome>) {
        let outcome = outcome.lock().expect("nobody panics with it");
        println!("power: {} images so far", outcome.tried.images);
    }

    fn report(&self, outcome: &Outcome) -> ExitCode {
        let Outcome { tried, histories, changes, flushes, written_bytes, lost, wrong } = outcome;
        println!(
            "power: {} images, {} of them of a second loss during recovery and {} with a file system that e2fsck mended, from \
             {histories} histories with {changes} changes of the disk, {flushes} of them flushes, {} MiB: {lost} lost something \
             acknowledged, {wrong} were wrong in another way",
            tried.images,
            tried.second_losses,
            tried.repaired,
            written_bytes >> 20
        );
        let as_it_should = match self.command_line.planted {
            None => lost + wrong == 0,
            Some(_) => *lost > 0,
        };
        if as_it_should { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Moments in the order of time: any, and half of them beside a flush.
fn draw_moments(changes: &[Change], count: usize, random: &mut Random) -> Vec<usize> {
    let flushes: Vec<usize> =
        (0..changes.len()).filter(|index| matches!(changes[*index], Change::Flush { .. })).collect();
    let mut draw = || match flushes.len() {
        count if count > 0 && random.happens(percent(50)) => {
            let beside = flushes[random.index(count)] + random.index(4);
            beside.saturating_sub(1).min(changes.len() - 1)
        }
        _ => random.index(changes.len()),
    };
    let mut moments: Vec<usize> = (0..count).map(|_| draw()).collect();
    moments.sort_unstable();
    moments
}
