//! What readings of a host mean for a broker, and what to do about it. Pure: nothing is looked at here.

use std::time::Duration;

use ringlog_core::limits::Limits;
use serde::Serialize;

use crate::commands::doctor::readings::Readings;

/// Fewer open files are soon too few: each segment and each connection takes one.
const OPEN_FILES_MIN: u64 = 65_536;

/// Slower commits than this are felt by everybody who waits for one.
const SYNCED_WRITE_SLOW: Duration = Duration::from_millis(2);

/// No flash and no protected cache is as fast: somebody answers before it is stable.
const SYNCED_WRITE_UNBELIEVABLE: Duration = Duration::from_micros(8);

/// How good something is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Good,
    /// It could not be found out, or it says nothing here.
    Unknown,
    /// A broker runs, and would run better otherwise.
    Advice,
    /// A broker cannot run.
    Problem,
}

impl Level {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Level::Good => "good",
            Level::Unknown => "unknown",
            Level::Advice => "advice",
            Level::Problem => "PROBLEM",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What.
    pub subject: &'static str,
    /// How good it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do.
    pub advice: Option<String>,
}

impl Finding {
    fn good(subject: &'static str, found: impl Into<String>) -> Finding {
        Finding { subject, level: Level::Good, found: found.into(), advice: None }
    }

    fn unknown(subject: &'static str, found: impl Into<String>) -> Finding {
        Finding { subject, level: Level::Unknown, found: found.into(), advice: None }
    }

    fn advice(subject: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { subject, level: Level::Advice, found: found.into(), advice: Some(advice.into()) }
    }

    fn problem(subject: &'static str, found: impl Into<String>, advice: Option<String>) -> Finding {
        Finding { subject, level: Level::Problem, found: found.into(), advice }
    }
}

/// All findings, in the order a reader asks.
pub fn findings_of(readings: &Readings) -> Vec<Finding> {
    let mut findings = host(readings);
    findings.push(file_system(readings));
    findings.extend(synced_writes(readings));
    findings.push(memory(readings.core_count, readings.memory_available_bytes));
    findings.push(huge_pages(readings.huge_pages.as_deref()));
    findings.push(clock_source(readings.clock_source.as_deref()));
    findings.push(governors(&readings.governors));
    findings
}

/// What is different for another directory of the same host.
pub fn findings_of_directory(readings: &Readings) -> Vec<Finding> {
    let mut findings = match &readings.host {
        Ok(_) => vec![direct_io()],
        Err(_) => host(readings),
    };
    findings.push(file_system(readings));
    findings.extend(synced_writes(readings));
    findings
}

fn direct_io() -> Finding {
    Finding::good("direct I/O", "the data directory takes it")
}

/// Kernel, io_uring, direct I/O and limits; if a broker cannot run, why.
fn host(readings: &Readings) -> Vec<Finding> {
    let report = match &readings.host {
        Ok(report) => report,
        Err(problem) => {
            let words = problem.to_string();
            let (found, remedy) = match words.split_once("Remedy: ") {
                Some((found, remedy)) => (found.trim().to_owned(), Some(remedy.to_owned())),
                None => (words, None),
            };
            return vec![Finding::problem("host", found, remedy)];
        }
    };
    let absent: Vec<&str> = report.absent.iter().map(|feature| feature.name()).collect();
    let rings = match absent.is_empty() {
        true => Finding::good("io_uring", "every feature that is used"),
        false => Finding::advice(
            "io_uring",
            format!("works, without {}", absent.join(", ")),
            "A slower way is used instead; a newer kernel has them.",
        ),
    };
    vec![
        Finding::good("kernel", format!("Linux {}", report.kernel)),
        rings,
        direct_io(),
        locked_memory(report.memory_lock_bytes, readings.core_count),
        open_files(report.open_files_max),
    ]
}

fn locked_memory(limit_bytes: Option<u64>, core_count: usize) -> Finding {
    let wanted = Limits::production().memory.arena_bytes_max as u64 * core_count as u64;
    match limit_bytes {
        None => Finding::good("locked memory", "no limit"),
        Some(bytes) if bytes >= wanted => Finding::good("locked memory", format!("up to {}", size(bytes))),
        Some(bytes) => Finding::advice(
            "locked memory",
            format!("up to {}; {core_count} cores register up to {}", size(bytes), size(wanted)),
            "Raise it (`ulimit -l unlimited`, LimitMEMLOCK=infinity for systemd): beyond it, I/O memory is not \
             registered, which costs time with every operation.",
        ),
    }
}

fn open_files(open_files_max: u64) -> Finding {
    let found = format!("up to {open_files_max}");
    match open_files_max >= OPEN_FILES_MIN {
        true => Finding::good("open files", found),
        false => Finding::advice(
            "open files",
            found,
            format!("Raise it to {OPEN_FILES_MIN} or more (`ulimit -n`, LimitNOFILE= for systemd)."),
        ),
    }
}

fn file_system(readings: &Readings) -> Finding {
    const SUBJECT: &str = "file system";
    let Some(mount) = &readings.mount else { return Finding::unknown(SUBJECT, "cannot be found out") };
    let found = format!("{} on {}", mount.kind, mount.source);
    let has = |option: &str| mount.options.split(',').any(|set| set == option);
    match mount.kind.as_str() {
        "ext4" | "xfs" if has("nobarrier") || has("barrier=0") => Finding::advice(
            SUBJECT,
            format!("{found}, mounted without barriers"),
            "Without barriers a synced write may still be lost with the power: remove that option.",
        ),
        "ext4" | "xfs" => Finding::good(SUBJECT, found),
        "tmpfs" | "ramfs" => Finding::advice(
            SUBJECT,
            found,
            "This is memory: nothing in it survives a restart of the host. Use ext4 or xfs on a device.",
        ),
        "nfs" | "nfs4" | "cifs" | "smb3" | "ceph" | "fuse" | "9p" | "virtiofs" => Finding::advice(
            SUBJECT,
            found,
            "A network between broker and device makes commits slow and their promises somebody else's. Use ext4 or xfs on \
             a local device.",
        ),
        _ => Finding::advice(SUBJECT, found, "ext4 and xfs are what Ringlog is tested on."),
    }
}

fn synced_writes(readings: &Readings) -> Option<Finding> {
    const SUBJECT: &str = "synced write";
    let times = match readings.synced_writes.as_ref()? {
        Ok(times) => times,
        Err(error) => return Some(Finding::unknown(SUBJECT, format!("cannot be measured: {error}"))),
    };
    let (median, p99) = (quantile(times, 50)?, quantile(times, 99)?);
    let found = format!("median {median:.0?}, p99 {p99:.0?} ({} writes of 4 KiB)", times.len());
    Some(if median < SYNCED_WRITE_UNBELIEVABLE {
        Finding::advice(
            SUBJECT,
            found,
            "Too fast to be true for a device: make sure that whoever answers (a hypervisor, a controller) keeps what it \
             acknowledged when the power fails.",
        )
    } else if median > SYNCED_WRITE_SLOW {
        Finding::advice(
            SUBJECT,
            found,
            "Every commit waits for one: a device with power-loss protection answers in tens of microseconds. Many \
             producers at once share a commit; `ringlog.durability=relaxed` waits for none and promises less.",
        )
    } else {
        Finding::good(SUBJECT, found)
    })
}

/// The time that `percent` of all are not above.
fn quantile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let last = sorted.len().checked_sub(1)?;
    Some(sorted[last * percent / 100])
}

fn memory(core_count: usize, available_bytes: Option<u64>) -> Finding {
    const SUBJECT: &str = "memory";
    let Some(available) = available_bytes else { return Finding::unknown(SUBJECT, "cannot be found out") };
    let wanted = Limits::production().memory.arena_bytes_max as u64 * core_count as u64;
    let found = format!("{} available to {core_count} cores", size(available));
    match available >= wanted {
        true => Finding::good(SUBJECT, found),
        false => Finding::advice(
            SUBJECT,
            found,
            format!(
                "Cores may take {} of I/O memory together: lower ringlog.memory.bytes, or give fewer cores (--cores).",
                size(wanted)
            ),
        ),
    }
}

/// `always [madvise] never`: the one in brackets holds.
fn huge_pages(setting: Option<&str>) -> Finding {
    const SUBJECT: &str = "huge pages";
    let chosen = setting.and_then(|text| Some(text.split_once('[')?.1.split_once(']')?.0));
    match chosen {
        Some(chosen @ ("always" | "madvise")) => Finding::good(SUBJECT, chosen),
        Some(chosen) => Finding::advice(
            SUBJECT,
            chosen,
            "I/O memory asks for them: `echo madvise > /sys/kernel/mm/transparent_hugepage/enabled`.",
        ),
        None => Finding::unknown(SUBJECT, "this kernel does not tell"),
    }
}

fn clock_source(source: Option<&str>) -> Finding {
    const SUBJECT: &str = "clock source";
    match source {
        Some(source @ ("tsc" | "kvm-clock" | "arch_sys_counter" | "hyperv_clocksource_tsc_page")) => {
            Finding::good(SUBJECT, source)
        }
        Some(source) => Finding::advice(
            SUBJECT,
            source,
            "Reading it costs a system call or more, thousands of times a second: use tsc where the host has a stable one \
             (clocksource=tsc).",
        ),
        None => Finding::unknown(SUBJECT, "this kernel does not tell"),
    }
}

fn governors(governors: &[String]) -> Finding {
    const SUBJECT: &str = "CPU governor";
    match governors {
        [] => Finding::unknown(SUBJECT, "not in this system's hands, as in a virtual machine"),
        [only] if only == "performance" => Finding::good(SUBJECT, only),
        mixed => Finding::advice(
            SUBJECT,
            mixed.join(", "),
            "A core that slows down when idle is slow when the next request comes: `cpupower frequency-set -g performance`.",
        ),
    }
}

fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use ringlog_runtime::host::{HostProblem, HostReport, KernelVersion};
    use ringlog_runtime::uring::Feature;

    use super::*;
    use crate::commands::doctor::mounts::Mount;

    fn mount(kind: &str, options: &str) -> Option<Mount> {
        Some(Mount { kind: kind.to_owned(), source: "/dev/x".to_owned(), options: options.to_owned() })
    }

    fn fit() -> Readings {
        Readings {
            directory: PathBuf::from("data"),
            host: Ok(HostReport {
                kernel: KernelVersion { major: 6, minor: 12 },
                absent: Vec::new(),
                open_files_max: 1 << 20,
                memory_lock_bytes: None,
            }),
            mount: mount("ext4", "rw"),
            synced_writes: Some(Ok(vec![Duration::from_micros(50); 100])),
            huge_pages: Some("always [madvise] never".to_owned()),
            clock_source: Some("tsc".to_owned()),
            governors: vec!["performance".to_owned()],
            core_count: 2,
            memory_available_bytes: Some(64 << 30),
        }
    }

    fn level(readings: &Readings, subject: &str) -> Level {
        let findings = findings_of(readings);
        findings.iter().find(|finding| finding.subject == subject).expect("it is looked at").level
    }

    #[test]
    fn a_fit_host_gets_no_advice() {
        for finding in findings_of(&fit()) {
            assert_eq!((finding.level, finding.advice), (Level::Good, None), "{}", finding.subject);
        }
    }

    #[test]
    fn everything_that_could_be_better_is_advice_and_nothing_else_changes() {
        type Spoil = fn(&mut Readings);
        let spoils: [(&str, Spoil); 11] = [
            ("file system", |readings| readings.mount = mount("tmpfs", "rw")),
            ("file system", |readings| readings.mount = mount("nfs4", "rw")),
            ("file system", |readings| readings.mount = mount("xfs", "rw,nobarrier")),
            ("synced write", |readings| readings.synced_writes = Some(Ok(vec![Duration::from_millis(9); 9]))),
            ("synced write", |readings| readings.synced_writes = Some(Ok(vec![Duration::from_micros(1)]))),
            ("memory", |readings| readings.memory_available_bytes = Some(1 << 20)),
            ("huge pages", |readings| readings.huge_pages = Some("always madvise [never]".to_owned())),
            ("clock source", |readings| readings.clock_source = Some("hpet".to_owned())),
            ("CPU governor", |readings| readings.governors = vec!["performance".into(), "powersave".into()]),
            ("locked memory", |readings| readings.host.as_mut().unwrap().memory_lock_bytes = Some(8 << 20)),
            ("io_uring", |readings| readings.host.as_mut().unwrap().absent = vec![Feature::ZeroCopySend]),
        ];
        for (subject, spoil) in spoils {
            let mut readings = fit();
            spoil(&mut readings);
            for finding in findings_of(&readings) {
                let expected = if finding.subject == subject { Level::Advice } else { Level::Good };
                assert_eq!(finding.level, expected, "{subject} spoiled: {finding:?}");
                assert_eq!(finding.advice.is_some(), expected == Level::Advice, "{finding:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_found_out_is_unknown() {
        let mut readings = fit();
        readings.mount = None;
        readings.governors = Vec::new();
        readings.clock_source = None;
        readings.synced_writes = Some(Err(std::io::Error::other("no")));
        for subject in ["file system", "CPU governor", "clock source", "synced write"] {
            assert_eq!(level(&readings, subject), Level::Unknown, "{subject}");
        }
        readings.synced_writes = None;
        assert!(findings_of(&readings).iter().all(|finding| finding.subject != "synced write"));
    }

    #[test]
    fn what_keeps_a_broker_from_running_comes_first_with_its_remedy() {
        let host = Err(HostProblem::KernelTooOld { found: KernelVersion { major: 5, minor: 10 } });
        let findings = findings_of(&Readings { host, ..fit() });
        assert_eq!((findings[0].level, findings[0].subject), (Level::Problem, "host"));
        assert!(findings[0].found.contains("5.10 is too old"), "{:?}", findings[0]);
        assert!(findings[0].advice.as_ref().is_some_and(|advice| advice.contains("newer kernel")));
    }

    #[test]
    fn sizes_are_told_in_the_largest_unit_that_fits() {
        assert_eq!([size(100), size(8 << 20), size(3 << 29)], ["100 bytes", "8.0 MiB", "1.5 GiB"]);
    }
}
