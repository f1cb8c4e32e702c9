//! `ringlog-bench disk`: what a directory can do for a broker that writes.
//!
//! ```text
//!   size (4 KiB .. 1 MiB) x depth x synced or not x growing, allocated, written     one cell each, a part of the time each
//! ```
//!
//! All writes are direct, in order, through the ring a broker uses. A growing or allocated file ends its cell when it is
//! [`FILE_BYTES`] long; a written one is written over again.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use ringlog_core::time::Instant;
use ringlog_runtime::buffer::Slice;
use ringlog_runtime::environment::{DiskFailure, Environment, File, OpenMode, TaskClass, WriteSync};
use ringlog_runtime::uring::{UringEnvironment, UringFile, wall_clock};

use crate::command_line::{DiskArguments, OwnArguments};
use crate::failure::BenchFailure;
use crate::filler::Filler;
use crate::latency::Recorder;
use crate::outcome::{Outcome, blank};
use crate::progress::Progress;
use crate::result::{BenchResult, DiskCell, DiskReport, DiskSpace, Verdict};
use crate::shard::on_shard;
use crate::signal::Signal;

/// The file that is written.
const FILE_BYTES: u64 = 256 << 20;

/// What must be free, so that the measurement does not fill the disk.
const FREE_BYTES_MIN: u64 = 4 * FILE_BYTES;

/// All of it takes about this long.
const TOTAL: Duration = Duration::from_secs(60);
const TOTAL_QUICK: Duration = Duration::from_secs(10);

const SIZES: [usize; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
const SIZES_QUICK: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];
const DEPTHS: [usize; 3] = [1, 4, 16];
const DEPTHS_QUICK: [usize; 2] = [1, 4];
const SPACES: [DiskSpace; 3] = [DiskSpace::Growing, DiskSpace::Allocated, DiskSpace::Written];

/// The name of the file.
const NAME: &str = "ringlog-bench-disk.tmp";

/// A combination that is measured.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Combination {
    write_bytes: usize,
    depth: usize,
    synced: bool,
    space: DiskSpace,
}

/// Runs it.
///
/// # Errors
/// [`BenchFailure::Host`] if the directory cannot be written.
pub fn run(arguments: &DiskArguments) -> Result<Outcome, BenchFailure> {
    let mut result = blank("disk", arguments);
    result.times.started_unix_ms = wall_clock().0;
    result.times.measured_from_unix_ms = result.times.started_unix_ms;
    let combinations = combinations(arguments.quick);
    let total = if arguments.quick { TOTAL_QUICK } else { TOTAL };
    let each = total / combinations.len() as u32;
    let (folder, quiet) = (arguments.data_dir.clone(), arguments.own.quiet);
    let cells = on_shard(&arguments.own, move |env| measure_all(env, folder, combinations, each, quiet))??;
    let report =
        DiskReport { data_dir: arguments.data_dir.display().to_string(), advice: advice(&cells), cells };
    result.times.measured_to_unix_ms = wall_clock().0;
    result.times.ended_unix_ms = result.times.measured_to_unix_ms;
    result.times.measured_seconds =
        (result.times.measured_to_unix_ms - result.times.measured_from_unix_ms) as f64 / 1e3;
    result.disk = Some(report);
    result.verified = true;
    result.verdict = Verdict::Kept;
    result.verdict_words = "every write succeeded".to_owned();
    Ok(Outcome { result, logs: Vec::new(), own: arguments.own.clone() })
}

/// Ten seconds of it, for a run that wants to know its disk.
///
/// # Errors
/// [`BenchFailure::Host`] if the directory cannot be written.
pub fn quick(folder: &Path, own: OwnArguments) -> Result<BenchResult, BenchFailure> {
    run(&DiskArguments { data_dir: folder.to_owned(), quick: true, own }).map(|outcome| outcome.result)
}

fn combinations(quick: bool) -> Vec<Combination> {
    let (sizes, depths): (&[usize], &[usize]) =
        if quick { (&SIZES_QUICK, &DEPTHS_QUICK) } else { (&SIZES, &DEPTHS) };
    let mut combinations = Vec::new();
    for space in SPACES {
        for synced in [true, false] {
            for &depth in depths {
                for &write_bytes in sizes {
                    combinations.push(Combination { write_bytes, depth, synced, space });
                }
            }
        }
    }
    combinations
}

async fn measure_all(
    env: UringEnvironment,
    folder: PathBuf,
    combinations: Vec<Combination>,
    each: Duration,
    quiet: bool,
) -> Result<Vec<DiskCell>, BenchFailure> {
    let path = folder.join(NAME);
    let measured = measure_each(&env, &folder, &path, &combinations, each, quiet).await;
    // Whatever happened, the file shall not stay; where it was never made there is nothing to remove.
    let removed = env.remove_file(&path).await;
    let cells = measured.map_err(|failure| BenchFailure::Host(failure.to_string()))?;
    removed.map_err(|failure| BenchFailure::Host(failure.to_string()))?;
    Ok(cells)
}

async fn measure_each(
    env: &UringEnvironment,
    folder: &Path,
    path: &Path,
    combinations: &[Combination],
    each: Duration,
    quiet: bool,
) -> Result<Vec<DiskCell>, DiskFailure> {
    let free = env.free_bytes(folder).await?;
    if free < FREE_BYTES_MIN {
        let words = format!("{} MiB are free, {} MiB are needed", free >> 20, FREE_BYTES_MIN >> 20);
        let error = std::io::Error::new(std::io::ErrorKind::StorageFull, words);
        return Err(DiskFailure { operation: "measure", path: folder.to_owned(), position: None, error });
    }
    let progress = Progress::new(quiet);
    let filler = Filler::new();
    let mut cells = Vec::new();
    let mut prepared = None;
    for (index, combination) in combinations.iter().enumerate() {
        let file = env.open(path, OpenMode::DirectWrite).await?;
        // Growing and allocated space is used up by each cell, written space is not.
        if combination.space != DiskSpace::Written || prepared != Some(DiskSpace::Written) {
            prepare(env, &file, combination.space, &filler).await?;
            prepared = Some(combination.space);
        }
        let cell = measure(env, &file, combination, each, &filler).await?;
        progress.say(&format!("{} of {}  {}", index + 1, combinations.len(), line_of(&cell)));
        cells.push(cell);
    }
    Ok(cells)
}

async fn prepare(
    env: &UringEnvironment,
    file: &UringFile,
    space: DiskSpace,
    filler: &Filler,
) -> Result<(), DiskFailure> {
    file.truncate(0).await?;
    if space == DiskSpace::Growing {
        return file.sync().await;
    }
    file.allocate(FILE_BYTES).await?;
    if space == DiskSpace::Written {
        let slice = block(env, 1 << 20, filler);
        for position in (0..FILE_BYTES).step_by(slice.len()) {
            file.write_at(position, vec![slice.clone()], WriteSync::Later).await?;
        }
    }
    file.sync().await
}

/// Bytes to write.
fn block(env: &UringEnvironment, bytes: usize, filler: &Filler) -> Slice {
    let mut buffer = env.arena().allocate(bytes).expect("a shard that does nothing else has memory");
    buffer.extend_from_slice(filler.part(0, bytes).expect("no block is longer than a value may be"));
    buffer.freeze()
}

/// What the writers of a cell share.
struct Writing {
    file: UringFile,
    combination: Combination,
    slice: Slice,
    until: Instant,
    next: Cell<u64>,
    left: Cell<usize>,
    ended: Signal,
    recorder: RefCell<Recorder>,
    failure: RefCell<Option<DiskFailure>>,
}

async fn measure(
    env: &UringEnvironment,
    file: &UringFile,
    combination: &Combination,
    each: Duration,
    filler: &Filler,
) -> Result<DiskCell, DiskFailure> {
    let began = env.now();
    let writing = Rc::new(Writing {
        file: file.clone(),
        combination: *combination,
        slice: block(env, combination.write_bytes, filler),
        until: began + each,
        next: Cell::new(0),
        left: Cell::new(combination.depth),
        ended: Signal::default(),
        recorder: RefCell::default(),
        failure: RefCell::default(),
    });
    for _ in 0..combination.depth {
        env.spawn(TaskClass::Network, write(env.clone(), writing.clone()));
    }
    while writing.left.get() > 0 {
        writing.ended.wait().await;
    }
    if let Some(failure) = writing.failure.borrow_mut().take() {
        return Err(failure);
    }
    let seconds = env.now().since(began).as_secs_f64();
    let recorder = writing.recorder.borrow();
    Ok(DiskCell {
        write_bytes: combination.write_bytes,
        depth: combination.depth,
        synced: combination.synced,
        space: combination.space,
        writes: recorder.samples(),
        megabytes_per_second: recorder.samples() as f64 * combination.write_bytes as f64 / 1e6 / seconds,
        latency: recorder.summary().expect("every writer writes once at least"),
    })
}

async fn write(env: UringEnvironment, writing: Rc<Writing>) {
    let sync = match writing.combination.synced {
        true => WriteSync::BeforeCompletion,
        false => WriteSync::Later,
    };
    loop {
        let position = writing.next.get();
        let bytes = writing.combination.write_bytes as u64;
        let at_end = position + bytes > FILE_BYTES;
        if at_end && writing.combination.space != DiskSpace::Written {
            break;
        }
        let position = if at_end { 0 } else { position };
        writing.next.set(position + bytes);
        let began = env.now();
        if let Err(failure) = writing.file.write_at(position, vec![writing.slice.clone()], sync).await {
            writing.failure.borrow_mut().get_or_insert(failure);
            break;
        }
        let now = env.now();
        writing.recorder.borrow_mut().record_ns(now.since(began).as_nanos() as u64);
        if now >= writing.until || writing.failure.borrow().is_some() {
            break;
        }
    }
    writing.left.set(writing.left.get() - 1);
    writing.ended.ring();
}

/// A cell in a line.
pub fn line_of(cell: &DiskCell) -> String {
    let space = match cell.space {
        DiskSpace::Growing => "growing",
        DiskSpace::Allocated => "allocated",
        DiskSpace::Written => "written",
    };
    format!(
        "{:>5} KiB x {:>2}  {:<8}  {space:<9}  p50 {:>8.0} us  p99 {:>8.0} us  {:>8.1} MB/s",
        cell.write_bytes >> 10,
        cell.depth,
        if cell.synced { "synced" } else { "unsynced" },
        cell.latency.p50_us,
        cell.latency.p99_us,
        cell.megabytes_per_second
    )
}

/// The report for a person.
pub fn text_of(report: &DiskReport) -> String {
    let mut text = String::new();
    for cell in &report.cells {
        let _ = writeln!(text, "{}", line_of(cell));
    }
    for words in &report.advice {
        let _ = writeln!(text, "- {words}");
    }
    text
}

/// A synced write above this makes durable acknowledgements slow whatever the broker does.
const SLOW_SYNC_US: f64 = 2000.0;

/// A synced write below this is one of a device that keeps its cache when the power goes, or has none that matters.
const FAST_SYNC_US: f64 = 200.0;

/// What is no difference between two kinds of space.
const SAME: f64 = 1.3;

fn advice(cells: &[DiskCell]) -> Vec<String> {
    let mut advice = Vec::new();
    let find = |synced, space, depth, write_bytes| {
        cells.iter().find(|cell| {
            (cell.synced, cell.space, cell.depth, cell.write_bytes) == (synced, space, depth, write_bytes)
        })
    };
    if let Some(cell) = find(true, DiskSpace::Written, 1, 4096) {
        let p50 = cell.latency.p50_us;
        advice.push(match p50 {
            us if us > SLOW_SYNC_US => format!(
                "A synced 4 KiB write takes {us:.0} us: every durable acknowledgement waits that long at least. Use a \
                 device with power-loss protection, or accept `ringlog.durability=relaxed` where losing the last \
                 moments is fine."
            ),
            us if us < FAST_SYNC_US => {
                format!("A synced 4 KiB write takes {us:.0} us: durable acknowledgements are cheap here.")
            }
            us => format!("A synced 4 KiB write takes {us:.0} us, the floor of a durable acknowledgement."),
        });
        if cell.latency.p99_us > 10.0 * p50 {
            let p99 = cell.latency.p99_us;
            advice.push(format!(
                "Its p99 is {p99:.0} us: something else uses the disk, or its own upkeep shows."
            ));
        }
        if let Some(growing) = find(true, DiskSpace::Growing, 1, 4096) {
            let ratio = growing.latency.p50_us / p50;
            advice.push(match ratio > SAME {
                true => format!(
                    "Synced writes into a growing file take {ratio:.1} times as long as over written space: \
                                 a journal that is written in place is worth it."
                ),
                false => "Synced writes cost the same into a growing file as over written space.".to_owned(),
            });
        }
    }
    let best = |synced| {
        let speeds = cells.iter().filter(|cell| cell.synced == synced).map(|cell| cell.megabytes_per_second);
        speeds.fold(0.0, f64::max)
    };
    advice.push(format!("At most {:.0} MB/s synced, {:.0} MB/s unsynced.", best(true), best(false)));
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(synced: bool, space: DiskSpace, p50_us: u64) -> DiskCell {
        let mut recorder = Recorder::new();
        recorder.record_ns(p50_us * 1000);
        let latency = recorder.summary().unwrap();
        DiskCell {
            write_bytes: 4096,
            depth: 1,
            synced,
            space,
            writes: 1,
            megabytes_per_second: 10.0,
            latency,
        }
    }

    #[test]
    fn advice_follows_from_what_was_measured() {
        let slow = advice(&[cell(true, DiskSpace::Written, 5000), cell(true, DiskSpace::Growing, 20_000)]);
        assert!(slow[0].contains("power-loss") && slow[1].contains("4.0 times"), "{slow:?}");
        let fast = advice(&[cell(true, DiskSpace::Written, 50), cell(true, DiskSpace::Growing, 51)]);
        assert!(fast[0].contains("cheap") && fast[1].contains("the same"), "{fast:?}");
    }

    #[test]
    fn every_combination_is_tried_once() {
        for (quick, count) in [(true, 36), (false, 90)] {
            let all = combinations(quick);
            assert_eq!(all.len(), count);
            for (index, one) in all.iter().enumerate() {
                assert!(!all[..index].contains(one), "{one:?}");
            }
        }
    }
}
