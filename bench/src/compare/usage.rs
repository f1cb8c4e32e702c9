//! What a broker and the device under it use, looked at ten times a second while something is measured.
//!
//! ```text
//!   /proc/PID/stat  /proc/diskstats  /proc/stat  ──►  Sample  ──►  usage.csv, and the difference over the measured part
//! ```

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ringlog::client::cluster::pause;
use ringlog_runtime::uring::wall_clock;

use crate::compare::record::Usage;
use crate::cpu;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// The kernel counts in sectors of this size, whatever the device's own are.
const SECTOR_BYTES: u64 = 512;

/// One look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sample {
    unix_ms: i64,
    cpu_seconds: f64,
    resident_bytes: u64,
    device: Device,
    stolen_seconds: f64,
}

/// What a device has done since the machine started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Device {
    writes: u64,
    bytes_written: u64,
    flushes: u64,
}

/// A thread that looks.
pub struct Sampler {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sample>>,
}

/// What it saw.
pub struct Samples(Vec<Sample>);

impl Sampler {
    /// Looks at a process, and at the device that holds `data`.
    pub fn begin(pid: u32, data: &Path) -> Sampler {
        let ends = Arc::new(AtomicBool::new(false));
        let ended = ends.clone();
        let number = fs::metadata(data).map_or(0, |metadata| metadata.dev());
        let thread = thread::spawn(move || {
            let mut samples = vec![look(pid, number)];
            while !ended.load(Ordering::Relaxed) {
                pause(LOOK);
                samples.push(look(pid, number));
            }
            samples
        });
        Sampler { ends, thread }
    }

    /// No more of it.
    pub fn end(self) -> Samples {
        self.ends.store(true, Ordering::Relaxed);
        Samples(self.thread.join().expect("looking does not panic"))
    }
}

impl Samples {
    /// All of it, as a table.
    pub fn to_csv(&self) -> String {
        let mut text =
            "unix_ms,cpu_seconds,resident_bytes,device_writes,device_bytes_written,device_flushes,stolen_seconds\n"
                .to_owned();
        for sample in &self.0 {
            let _ = writeln!(
                text,
                "{},{:.2},{},{},{},{},{:.2}",
                sample.unix_ms,
                sample.cpu_seconds,
                sample.resident_bytes,
                sample.device.writes,
                sample.device.bytes_written,
                sample.device.flushes,
                sample.stolen_seconds
            );
        }
        text
    }

    /// What was used between two moments of the wall clock.
    pub fn between(&self, from_unix_ms: i64, to_unix_ms: i64) -> Usage {
        let at_or_before = |time: i64| {
            let found = self.0.iter().rev().find(|sample| sample.unix_ms <= time);
            found.or(self.0.first()).copied().unwrap_or_default()
        };
        let (from, to) = (at_or_before(from_unix_ms), at_or_before(to_unix_ms));
        let within = self.0.iter().filter(|sample| (from.unix_ms..=to.unix_ms).contains(&sample.unix_ms));
        Usage {
            seconds: (to.unix_ms - from.unix_ms) as f64 / 1e3,
            cpu_seconds: to.cpu_seconds - from.cpu_seconds,
            resident_bytes: to.resident_bytes,
            resident_bytes_max: within.map(|sample| sample.resident_bytes).max().unwrap_or(0),
            device_writes: to.device.writes.saturating_sub(from.device.writes),
            device_bytes_written: to.device.bytes_written.saturating_sub(from.device.bytes_written),
            device_flushes: to.device.flushes.saturating_sub(from.device.flushes),
            stolen_seconds: to.stolen_seconds - from.stolen_seconds,
        }
    }
}

fn look(pid: u32, device: u64) -> Sample {
    let (cpu_seconds, resident_bytes) = cpu::of_process(&pid.to_string()).unwrap_or_default();
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    Sample {
        unix_ms: wall_clock().0,
        cpu_seconds,
        resident_bytes,
        device: device_in(&read("/proc/diskstats"), device).unwrap_or_default(),
        stolen_seconds: stolen_in(&read("/proc/stat")).unwrap_or(0.0),
    }
}

/// Documentation/admin-guide/iostats.rst: after major, minor and name come reads, ..., writes (field 5), ..., sectors written
/// (7), ..., flushes (16, from Linux 5.5 on).
fn device_in(diskstats: &str, number: u64) -> Option<Device> {
    let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xf_ff00));
    let wanted = [major.to_string(), minor.to_string()];
    let mut lines = diskstats.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let fields = lines.find(|fields| fields.len() > 13 && fields[..2] == wanted)?;
    let field = |number: usize| fields.get(number + 2).and_then(|field| field.parse::<u64>().ok());
    Some(Device {
        writes: field(5)?,
        bytes_written: field(7)? * SECTOR_BYTES,
        flushes: field(16).unwrap_or(0),
    })
}

/// The eighth number of the first line, in hundredths of a second of all cores.
fn stolen_in(stat: &str) -> Option<f64> {
    let ticks: f64 = stat.lines().next()?.split_whitespace().nth(8)?.parse().ok()?;
    Some(ticks / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read_by_their_fields() {
        let diskstats = "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n \
                         254       1 vda 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27\n";
        let number = (254 << 8) | 1;
        let expected = Device { writes: 15, bytes_written: 17 * 512, flushes: 26 };
        assert_eq!(device_in(diskstats, number), Some(expected));
        assert_eq!(device_in(diskstats, 3), None);
        assert_eq!(stolen_in("cpu  1 2 3 4 5 6 7 850 9 10\ncpu0 0 0 0 0 0 0 0 0\n"), Some(8.5));
    }

    #[test]
    fn usage_is_the_difference_over_the_measured_part_alone() {
        let sample = |unix_ms: i64, cpu_seconds: f64, resident_bytes: u64| Sample {
            unix_ms,
            cpu_seconds,
            resident_bytes,
            device: Device { writes: unix_ms as u64, ..Device::default() },
            stolen_seconds: 0.0,
        };
        let samples =
            Samples(vec![sample(0, 1.0, 5), sample(100, 2.0, 9), sample(200, 4.0, 7), sample(300, 9.0, 99)]);
        let usage = samples.between(120, 210);
        assert_eq!((usage.seconds, usage.cpu_seconds, usage.device_writes), (0.1, 2.0, 100));
        assert_eq!((usage.resident_bytes, usage.resident_bytes_max), (7, 9));
        assert_eq!(samples.to_csv().lines().count(), 5);
    }

    #[test]
    fn a_process_is_looked_at_until_it_is_said_to_end() {
        let sampler = Sampler::begin(std::process::id(), Path::new("."));
        pause(Duration::from_millis(250));
        let samples = sampler.end();
        assert!(samples.0.len() >= 2 && samples.0[0].resident_bytes > 0);
    }
}
