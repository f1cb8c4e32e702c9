//! How much room a disk has.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// With fewer inodes left, a file system has no room for files, however many bytes are free.
const FREE_INODES_MIN: u64 = 256;

/// How many bytes the file system of a directory has for this user; none if it can hardly hold another file.
///
/// # Errors
/// What the system says.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    file_system_of(path).map(|status| usable_bytes(&status))
}

fn usable_bytes(status: &libc::statvfs) -> u64 {
    // File systems that make inodes as they need them say that they have none at all.
    let counts_inodes = status.f_files > 0;
    match counts_inodes && status.f_favail < FREE_INODES_MIN.min(status.f_files / 10) {
        true => 0,
        false => status.f_bavail * status.f_frsize,
    }
}

/// How many bytes it has, free or not.
///
/// # Errors
/// What the system says.
pub(crate) fn total_bytes(path: &Path) -> io::Result<u64> {
    file_system_of(path).map(|status| status.f_blocks * status.f_frsize)
}

fn file_system_of(path: &Path) -> io::Result<libc::statvfs> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all-zero bytes are a valid `statvfs`.
    let mut status: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with a zero; the kernel writes into the struct behind the pointer.
    if unsafe { libc::statvfs(path.as_ptr(), &mut status) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_inodes_left_has_no_room() {
        let here = file_system_of(Path::new("/")).expect("it says");
        let of = |f_files, f_favail| {
            let mut status = here;
            (status.f_bavail, status.f_frsize) = (100, 4096);
            (status.f_files, status.f_favail) = (f_files, f_favail);
            usable_bytes(&status)
        };
        assert_eq!(of(1_000_000, 256), 409_600);
        assert_eq!(of(1_000_000, 255), 0);
        assert_eq!(of(100, 10), 409_600, "a small one is not refused for being small");
        assert_eq!(of(100, 9), 0);
        assert_eq!(of(0, 0), 409_600, "some make inodes as they need them");
    }
}
