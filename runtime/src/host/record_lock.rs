//! The lock that a Kafka broker holds on its directory: a record lock (POSIX) on a file, which ends with the process.
//!
//! Such a lock and the one this broker uses ([`lock_directory`](super::lock_directory)) know nothing of each other.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::path::Path;

/// The whole of a file, as long as this lives. It is lost when this process closes the file anywhere else.
#[derive(Debug)]
pub struct RecordLock {
    _file: File,
}

/// What came of asking for the lock.
#[derive(Debug)]
pub enum RecordLocking {
    /// It is ours.
    Held(RecordLock),
    /// Nobody has it, and it cannot be had: the file is there to be read only.
    Free,
    /// Another process has it.
    Taken,
}

/// Takes the record lock of a file that is there.
///
/// # Errors
/// What the system says.
pub fn lock_record(path: &Path) -> io::Result<RecordLocking> {
    match OpenOptions::new().write(true).open(path) {
        Ok(file) => take(file),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EROFS | libc::EACCES | libc::EPERM)) => {
            ask(&File::open(path)?)
        }
        Err(error) => Err(error),
    }
}

fn take(file: File) -> io::Result<RecordLocking> {
    let mut lock = whole_file();
    match control(&file, libc::F_SETLK, &mut lock) {
        Ok(()) => Ok(RecordLocking::Held(RecordLock { _file: file })),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EACCES | libc::EAGAIN)) => {
            Ok(RecordLocking::Taken)
        }
        Err(error) => Err(error),
    }
}

fn ask(file: &File) -> io::Result<RecordLocking> {
    let mut lock = whole_file();
    control(file, libc::F_GETLK, &mut lock)?;
    let is_free = lock.l_type == libc::F_UNLCK as libc::c_short;
    Ok(if is_free { RecordLocking::Free } else { RecordLocking::Taken })
}

fn whole_file() -> libc::flock {
    // SAFETY: all-zero bytes are a valid `flock`: from the start to the end of the file.
    let mut lock: libc::flock = unsafe { mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock
}

fn control(file: &File, operation: libc::c_int, lock: &mut libc::flock) -> io::Result<()> {
    // SAFETY: the descriptor is open, and both operations read and write the struct behind the pointer.
    match unsafe { libc::fcntl(file.as_raw_fd(), operation, lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lock of an open file: to record locks it is another process's.
    fn lock_as_another(file: &File) {
        control(file, libc::F_OFD_SETLK, &mut whole_file()).unwrap();
    }

    #[test]
    fn a_lock_of_another_is_seen_and_a_free_one_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".lock");
        assert_eq!(lock_record(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let other = File::create(&path).unwrap();
        lock_as_another(&other);
        assert!(matches!(lock_record(&path).unwrap(), RecordLocking::Taken));
        assert!(matches!(ask(&File::open(&path).unwrap()).unwrap(), RecordLocking::Taken));
        drop(other);
        assert!(matches!(ask(&File::open(&path).unwrap()).unwrap(), RecordLocking::Free));
        let held = lock_record(&path).unwrap();
        assert!(matches!(held, RecordLocking::Held(_)));
        let other = File::options().write(true).open(&path).unwrap();
        control(&other, libc::F_OFD_SETLK, &mut whole_file()).unwrap_err();
        drop(held);
    }
}
