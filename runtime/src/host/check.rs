//! Trying, at start, what the broker will need: a try says more than a version number.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::limits::{memory_lock_limit, raise_open_files};
use super::problem::{HostProblem, why_no_ring};
use crate::buffer::{Arena, DIRECT_ALIGNMENT};
use crate::uring::Feature;
use crate::uring::driver::build_ring;

/// The oldest kernel served.
const KERNEL_MIN: KernelVersion = KernelVersion { major: 6, minor: 1 };

/// What the broker wants of its host.
#[derive(Clone, Debug, Default)]
pub struct HostNeeds {
    /// Features to do without, to test the fallbacks.
    pub pretend_absent: Vec<Feature>,
}

/// What the host offers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostReport {
    /// The kernel.
    pub kernel: KernelVersion,
    /// Features it lacks, for which a slower way is used.
    pub absent: Vec<Feature>,
    /// Descriptors this process may have open, after raising the limit as far as allowed.
    pub open_files_max: u64,
    /// Bytes this process may pin; `None` without a limit.
    pub memory_lock_bytes: Option<u64>,
}

/// A kernel's version, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct KernelVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

impl fmt::Display for HostReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Linux {}, {} open files", self.kernel, self.open_files_max)?;
        if let Some(bytes) = self.memory_lock_bytes {
            write!(formatter, ", {} KiB of locked memory", bytes / 1024)?;
        }
        if !self.absent.is_empty() {
            let names: Vec<&str> = self.absent.iter().map(|feature| feature.name()).collect();
            write!(formatter, ", without {}", names.join(", "))?;
        }
        Ok(())
    }
}

/// Whether the broker can run here with its data in `data_dir`, which exists. Raises the limit of open files.
///
/// # Errors
/// The first [`HostProblem`] met.
pub fn check(data_dir: &Path, needs: &HostNeeds) -> Result<HostReport, HostProblem> {
    let kernel = running_kernel();
    let ring = build_ring().map_err(|error| why_no_ring(error, disabled_level(), kernel))?;
    if kernel < KERNEL_MIN {
        return Err(HostProblem::KernelTooOld { found: kernel });
    }
    let absent = absent_features(&ring, needs);
    drop(ring);
    check_directory(data_dir)?;
    Ok(HostReport {
        kernel,
        absent,
        open_files_max: raise_open_files(),
        memory_lock_bytes: memory_lock_limit(),
    })
}

fn absent_features(ring: &io_uring::IoUring, needs: &HostNeeds) -> Vec<Feature> {
    let mut probe = io_uring::Probe::new();
    let has_probe = ring.submitter().register_probe(&mut probe).is_ok();
    let offers = |feature| match feature {
        Feature::RegisteredFiles => ring.submitter().register_files_sparse(1).is_ok(),
        Feature::RegisteredBuffers => ring.submitter().register_buffers_sparse(1).is_ok(),
        // As old as the oldest kernel served; the driver tries it when it starts.
        Feature::ProvidedBuffers => true,
        Feature::RingMessages => has_probe && probe.is_supported(io_uring::opcode::MsgRingData::CODE),
        Feature::ZeroCopySend => has_probe && probe.is_supported(io_uring::opcode::SendZc::CODE),
    };
    let is_absent = |feature: &Feature| needs.pretend_absent.contains(feature) || !offers(*feature);
    Feature::ALL.into_iter().filter(is_absent).collect()
}

/// `kernel.io_uring_disabled`, where the kernel (6.6) has it.
fn disabled_level() -> Option<u8> {
    fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

fn running_kernel() -> KernelVersion {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // Without /proc the rings themselves, tried before this is looked at, say enough.
    parse_release(&release).unwrap_or(KERNEL_MIN)
}

fn parse_release(release: &str) -> Option<KernelVersion> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some(KernelVersion { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
}

/// Writes and reads back one block past the page cache, in a file of its own that is removed again.
///
/// # Errors
/// [`HostProblem::NoDirectIo`] or [`HostProblem::DirectoryUnusable`].
pub fn check_directory(data_dir: &Path) -> Result<(), HostProblem> {
    let path = data_dir.join(format!(".direct-io-check-{}", std::process::id()));
    let tried = try_direct(&path);
    let removed = fs::remove_file(&path);
    match (tried, removed) {
        (Ok(()), Ok(())) => Ok(()),
        // There is no room to try it. The broker has a reserve for that, which a start gives back.
        (Err(error), _) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
        (Err(error), _) if error.raw_os_error() == Some(libc::EINVAL) => {
            Err(HostProblem::NoDirectIo { path: data_dir.to_owned(), error })
        }
        (Err(error), _) | (Ok(()), Err(error)) => {
            Err(HostProblem::DirectoryUnusable { path: data_dir.to_owned(), error })
        }
    }
}

fn try_direct(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file =
        options.read(true).write(true).create(true).truncate(true).custom_flags(libc::O_DIRECT).open(path)?;
    let arena = Arena::unregistered(2 * DIRECT_ALIGNMENT);
    let block = || arena.allocate(DIRECT_ALIGNMENT).map_err(io::Error::other);
    let (mut written, mut read) = (block()?, block()?);
    written.as_full_mut_slice().fill(0x5a);
    file.write_all_at(written.as_full_mut_slice(), 0)?;
    file.read_exact_at(read.as_full_mut_slice(), 0)?;
    if read.as_full_mut_slice() != written.as_full_mut_slice() {
        return Err(io::Error::other("a block read back differs from what was written"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions_are_read_from_what_distributions_make_of_them() {
        let version = |major, minor| Some(KernelVersion { major, minor });
        assert_eq!(parse_release("6.1.0-13-amd64\n"), version(6, 1));
        assert_eq!(parse_release("5.15-generic"), version(5, 15));
        assert_eq!(parse_release("unknown"), None);
        assert!(KernelVersion { major: 6, minor: 10 } > KERNEL_MIN);
    }

    #[test]
    fn a_directory_that_is_not_there_is_told_by_name() {
        let problem = check_directory(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(problem.to_string().contains("/nowhere/at/all cannot be written"), "{problem}");
    }
}
