//! The machine a comparison was made on.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// What of a machine shapes a figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Host {
    /// When, in milliseconds since 1970.
    pub began_unix_ms: i64,
    /// The revision of the source, with `-dirty` if it was changed; `unknown` outside a checkout.
    pub revision: String,
    /// `uname -r`.
    pub kernel: String,
    /// The processor's name.
    pub processor: String,
    /// Cores of the machine.
    pub cores: usize,
    /// Memory.
    pub memory_bytes: u64,
    /// The data directories' file system and device.
    pub file_system: String,
    /// Processes that wanted a core in the minute before.
    pub load_before: f64,
}

impl Host {
    /// Looks at it.
    pub fn look(data: &Path, began_unix_ms: i64) -> Host {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let info = read("/proc/cpuinfo");
        let value = |text: &str| text.split_once(':').map(|(_, value)| value.trim().to_owned());
        let memory = read("/proc/meminfo");
        let kilobytes = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        Host {
            began_unix_ms,
            revision: revision(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            processor: info
                .lines()
                .find(|line| line.starts_with("model name"))
                .and_then(value)
                .unwrap_or_else(|| "unknown".to_owned()),
            cores: info.lines().filter(|line| line.starts_with("processor")).count(),
            memory_bytes: kilobytes.unwrap_or(0_u64) * 1024,
            file_system: first_line("df", &["--output=fstype,source", &data.display().to_string()], 1),
            load_before: read("/proc/loadavg")
                .split_whitespace()
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(0.0),
        }
    }
}

fn revision() -> String {
    match first_line("git", &["describe", "--always", "--dirty", "--abbrev=12"], 0) {
        empty if empty.is_empty() => "unknown".to_owned(),
        revision => revision,
    }
}

/// A line of what a program prints, its blanks made one; empty if it cannot be had.
fn first_line(program: &str, arguments: &[&str], line: usize) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else { return String::new() };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.lines().nth(line).unwrap_or_default().split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cores_memory_and_a_kernel() {
        let host = Host::look(Path::new("."), 7);
        assert!(host.cores > 0 && host.memory_bytes > 1 << 20 && !host.kernel.is_empty(), "{host:?}");
        assert!(!host.file_system.is_empty() && host.began_unix_ms == 7, "{host:?}");
    }

    #[test]
    fn a_program_that_is_not_there_says_nothing() {
        assert_eq!(first_line("no-such-program-here", &[], 0), "");
    }
}
