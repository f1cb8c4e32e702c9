//! What the system says of this process, where there is a `/proc`.

use std::path::Path;

use ringlog_core::time::Timestamp;
use ringlog_runtime::environment::{Environment, File, OpenMode};

use crate::broker::metrics::families::{
    PROCESS_CPU_SECONDS, PROCESS_OPEN_FDS, PROCESS_RESIDENT_BYTES, PROCESS_START_SECONDS, PROCESS_THREADS,
    PROCESS_VIRTUAL_BYTES,
};
use crate::broker::metrics::samples::{Samples, Value};

/// The unit of CPU time in `/proc`: the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// More than the kernel writes into one of these files.
const FILE_BYTES_MAX: usize = 4096;

/// Adds what there is; what cannot be read is left out.
pub async fn add_process<E: Environment>(env: &E, started: Timestamp, samples: &mut Samples) {
    samples.add(&PROCESS_START_SECONDS, [], Value::Number(started.0 as f64 / 1e3));
    if let Some(ticks) = read(env, "/proc/self/stat").await.as_deref().and_then(cpu_ticks) {
        samples.add(&PROCESS_CPU_SECONDS, [], Value::Number(ticks as f64 / TICKS_PER_SECOND));
    }
    if let Some(status) = read(env, "/proc/self/status").await {
        for (family, name, unit) in [
            (&PROCESS_RESIDENT_BYTES, "VmRSS:", 1024),
            (&PROCESS_VIRTUAL_BYTES, "VmSize:", 1024),
            (&PROCESS_THREADS, "Threads:", 1),
        ] {
            if let Some(number) = status_number(&status, name) {
                samples.add(family, [], number.saturating_mul(unit));
            }
        }
    }
    if let Ok(descriptors) = env.list_directory(Path::new("/proc/self/fd")).await {
        samples.add(&PROCESS_OPEN_FDS, [], descriptors.len());
    }
}

async fn read<E: Environment>(env: &E, path: &str) -> Option<String> {
    let file = env.open(Path::new(path), OpenMode::BufferedRead).await.ok()?;
    let buffer = env.arena().allocate(FILE_BYTES_MAX).ok()?;
    let read = file.read_at(0, buffer).await.ok()?;
    Some(String::from_utf8_lossy(read.as_slice()).into_owned())
}

/// User and system time. The second field is the program's name in parentheses and may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

/// The number behind a name.
fn status_number(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_blanks_and_parentheses() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 31 0 0 20 0 3 0 5000 9 8";
        assert_eq!(cpu_ticks(stat), Some(281));
        for damaged in ["", "7 (a", "7 (a) S 1", "7 (a) S 1 7 7 0 -1 4194560 100 0 0 0 x 31"] {
            assert_eq!(cpu_ticks(damaged), None, "{damaged}");
        }
    }

    #[test]
    fn memory_is_found_by_its_name() {
        let status = "Name:\tringlog\nVmSize:\t  204800 kB\nVmRSS:\t  5120 kB\nThreads:\t3\n";
        assert_eq!(status_number(status, "VmRSS:"), Some(5120));
        assert_eq!(status_number(status, "Threads:"), Some(3));
        assert_eq!(status_number(status, "VmSwap:"), None);
    }
}
