//! What a synced write costs here: the price of a commit, measured before a broker runs.
//!
//! ```text
//!   a file of written zeros ──► one block after the other, O_DIRECT | O_DSYNC ──► how long each took
//! ```
//!
//! Always true: blocks are written over, as the journal does, so no write changes the file system's own records; the file
//! is removed whatever happens.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use crate::buffer::{Arena, BufMut, DIRECT_ALIGNMENT};
use crate::uring::clock::now;

/// Blocks that are written in turn.
const BLOCKS: usize = 64;

/// Times synced writes of one block each, at most `count` and not for much longer than `time_max`; in order of size.
///
/// # Errors
/// What the system says; a file system without direct I/O refuses.
pub fn time_synced_writes(directory: &Path, count: usize, time_max: Duration) -> io::Result<Vec<Duration>> {
    let path = directory.join(format!(".synced-writes-check-{}", std::process::id()));
    let timed = time_writes(&path, count, time_max);
    let removed = fs::remove_file(&path);
    let timed = timed?;
    removed?;
    Ok(timed)
}

fn time_writes(path: &Path, count: usize, time_max: Duration) -> io::Result<Vec<Duration>> {
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(libc::O_DIRECT | libc::O_DSYNC)
        .open(path)?;
    let arena = Arena::unregistered(2 * BLOCKS * DIRECT_ALIGNMENT);
    let mut zeros = arena.allocate(BLOCKS * DIRECT_ALIGNMENT).map_err(io::Error::other)?;
    zeros.as_full_mut_slice().fill(0);
    file.write_all_at(zeros.as_full_mut_slice(), 0)?;
    let mut block = arena.allocate(DIRECT_ALIGNMENT).map_err(io::Error::other)?;
    let mut times = Vec::with_capacity(count);
    let started = now();
    for index in 0..count {
        times.push(time_write(&file, &mut block, index)?);
        if now().since(started) > time_max {
            break;
        }
    }
    times.sort_unstable();
    Ok(times)
}

fn time_write(file: &File, block: &mut BufMut, index: usize) -> io::Result<Duration> {
    block.as_full_mut_slice().fill(index as u8);
    let position = (index % BLOCKS * DIRECT_ALIGNMENT) as u64;
    let before = now();
    file.write_all_at(block.as_full_mut_slice(), position)?;
    Ok(now().since(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_timed_and_nothing_is_left_behind() {
        // A file system that has direct I/O: the one the tests were built on.
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let times = time_synced_writes(directory.path(), 100, Duration::from_secs(60)).unwrap();
        assert_eq!(times.len(), 100);
        assert!(times.is_sorted() && times[0] > Duration::ZERO, "{times:?}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        let times = time_synced_writes(directory.path(), 1_000_000, Duration::ZERO).unwrap();
        assert_eq!(times.len(), 1, "the time is up after the first");
        assert!(time_synced_writes(Path::new("/nowhere"), 1, Duration::ZERO).is_err());
    }
}
