//! Why the broker cannot run here, each with the remedy for that very cause.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::check::KernelVersion;

/// Why the broker cannot run on this host.
#[derive(Debug)]
pub enum HostProblem {
    /// The kernel lacks what the rings need.
    KernelTooOld {
        /// What runs here.
        found: KernelVersion,
    },
    /// io_uring is switched off by `kernel.io_uring_disabled`.
    DisabledBySysctl {
        /// 1: only for a group and for privileged processes; 2: for all.
        level: u8,
    },
    /// io_uring is not switched off, and yet refused: a seccomp profile.
    BlockedBySeccomp {
        /// What the system said.
        error: io::Error,
    },
    /// A ring cannot be made for another reason.
    NoRing {
        /// What the system said.
        error: io::Error,
    },
    /// The data directory cannot be written.
    DirectoryUnusable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The data directory's file system has no direct I/O.
    NoDirectIo {
        /// Which directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another process runs on the data directory.
    DirectoryInUse {
        /// Which.
        path: PathBuf,
        /// The other process, if it wrote its number.
        holder: Option<u32>,
    },
}

impl fmt::Display for HostProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostProblem::KernelTooOld { found } => write!(
                formatter,
                "Linux {found} is too old: 6.1 or newer is needed. Remedy: a newer kernel (Debian 12 has 6.1)"
            ),
            HostProblem::DisabledBySysctl { level: 1 } => write!(
                formatter,
                "io_uring is switched off for ordinary users (kernel.io_uring_disabled = 1). Remedy: add this user to \
                 the group in kernel.io_uring_group, or `sysctl -w kernel.io_uring_disabled=0`"
            ),
            HostProblem::DisabledBySysctl { level } => write!(
                formatter,
                "io_uring is switched off on this host (kernel.io_uring_disabled = {level}). Remedy: \
                 `sysctl -w kernel.io_uring_disabled=0`, and in /etc/sysctl.d to keep it"
            ),
            HostProblem::BlockedBySeccomp { error } => write!(
                formatter,
                "io_uring is blocked by a seccomp profile ({error}), as container engines do by default. Remedy: a \
                 profile that also allows io_uring_setup, io_uring_enter and io_uring_register (docker: \
                 `--security-opt seccomp=PROFILE.json`; Kubernetes: seccompProfile of type Localhost)"
            ),
            HostProblem::NoRing { error } => write!(
                formatter,
                "no io_uring can be made: {error}. Remedy: look at the limits of open files and memory of this process"
            ),
            HostProblem::DirectoryUnusable { path, error } => write!(
                formatter,
                "the data directory {} cannot be written: {error}. Remedy: make it writable for this user, or choose \
                 another one",
                path.display()
            ),
            HostProblem::NoDirectIo { path, error } => write!(
                formatter,
                "the file system of the data directory {} has no direct I/O (O_DIRECT: {error}). Remedy: a data \
                 directory on ext4 or xfs",
                path.display()
            ),
            HostProblem::DirectoryInUse { path, holder } => {
                let holder = holder.map(|process| format!(" (process {process})")).unwrap_or_default();
                write!(
                    formatter,
                    "the data directory {} is in use by another broker{holder}. Remedy: stop that one, or choose \
                     another directory",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for HostProblem {}

/// Tells apart who refuses a ring, by what the system said and how it is set.
pub(super) fn why_no_ring(
    error: io::Error,
    disabled_level: Option<u8>,
    kernel: KernelVersion,
) -> HostProblem {
    match (error.raw_os_error(), disabled_level) {
        (Some(libc::EPERM), Some(level @ 1..)) => HostProblem::DisabledBySysctl { level },
        (Some(libc::EPERM | libc::EACCES | libc::ENOSYS), _) => HostProblem::BlockedBySeccomp { error },
        (Some(libc::EINVAL), _) => HostProblem::KernelTooOld { found: kernel },
        _ => HostProblem::NoRing { error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: KernelVersion = KernelVersion { major: 6, minor: 8 };

    fn message(errno: i32, level: Option<u8>) -> String {
        why_no_ring(io::Error::from_raw_os_error(errno), level, KERNEL).to_string()
    }

    #[test]
    fn a_sysctl_and_a_seccomp_profile_are_told_apart() {
        assert!(message(libc::EPERM, Some(2)).contains("sysctl -w kernel.io_uring_disabled=0"));
        assert!(message(libc::EPERM, Some(1)).contains("kernel.io_uring_group"));
        for (errno, level) in [(libc::EPERM, Some(0)), (libc::EPERM, None), (libc::ENOSYS, Some(0))] {
            assert!(message(errno, level).contains("--security-opt seccomp="), "{errno} {level:?}");
        }
    }

    #[test]
    fn other_refusals_keep_what_the_system_said() {
        assert!(message(libc::EINVAL, Some(0)).contains("6.1 or newer"));
        assert!(message(libc::EMFILE, Some(0)).contains("Too many open files"));
    }
}
