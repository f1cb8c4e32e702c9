//! What the host says of itself, as it says it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringlog_runtime::host::{self, HostNeeds, HostProblem, HostReport};
use ringlog_runtime::uring::usable_cores;

use crate::commands::doctor::mounts::{Mount, mount_of};

/// The measurement is a sample: it may take this long and not longer.
const MEASURE_TIME_MAX: Duration = Duration::from_secs(5);

/// Everything that is judged.
#[derive(Debug)]
pub struct Readings {
    /// Where the data lies, or the nearest directory above that exists.
    pub directory: PathBuf,
    /// Kernel, io_uring, direct I/O, limits; or what keeps a broker from running.
    pub host: Result<HostReport, HostProblem>,
    /// The data directory's file system.
    pub mount: Option<Mount>,
    /// Times of synced writes in order of size; `None` if none were asked for.
    pub synced_writes: Option<io::Result<Vec<Duration>>>,
    /// `/sys/kernel/mm/transparent_hugepage/enabled`.
    pub huge_pages: Option<String>,
    /// The clock source in use.
    pub clock_source: Option<String>,
    /// The distinct CPU frequency governors in use.
    pub governors: Vec<String>,
    /// Cores this process may use.
    pub core_count: usize,
    /// `MemAvailable` in bytes.
    pub memory_available_bytes: Option<u64>,
}

impl Readings {
    /// Asks the host.
    pub fn take(data_dir: &Path, writes: usize) -> Readings {
        let directory = existing(data_dir);
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let synced_writes =
            (writes > 0).then(|| host::time_synced_writes(&directory, writes, MEASURE_TIME_MAX));
        Readings {
            host: host::check(&directory, &HostNeeds::default()),
            mount: fs::canonicalize(&directory).ok().and_then(|path| mount_of(&path, &mountinfo)),
            synced_writes,
            huge_pages: line_of("/sys/kernel/mm/transparent_hugepage/enabled"),
            clock_source: line_of("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            governors: governors(),
            core_count: usable_cores().len(),
            memory_available_bytes: memory_available(),
            directory,
        }
    }
}

/// The directory, or the nearest one above it that exists.
fn existing(data_dir: &Path) -> PathBuf {
    let absolute = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    match absolute.ancestors().find(|path| path.is_dir()) {
        Some(path) if path == absolute => data_dir.to_owned(),
        Some(path) => path.to_owned(),
        None => PathBuf::from("/"),
    }
}

fn line_of(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn governors() -> Vec<String> {
    let Ok(cores) = fs::read_dir("/sys/devices/system/cpu") else { return Vec::new() };
    let paths = cores.filter_map(Result::ok).map(|core| core.path().join("cpufreq/scaling_governor"));
    let mut governors: Vec<String> =
        paths.filter_map(|path| fs::read_to_string(path).ok()).map(|text| text.trim().to_owned()).collect();
    governors.sort_unstable();
    governors.dedup();
    governors
}

fn memory_available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_does_not_exist_is_judged_by_the_one_above_it() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(existing(&directory.path().join("not/yet")), directory.path());
        assert_eq!(existing(directory.path()), directory.path());
    }
}
