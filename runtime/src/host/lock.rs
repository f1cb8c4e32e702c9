//! One broker per data directory: a lock on `DIR/.lock` that ends with the process, however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::problem::HostProblem;

/// The right to a data directory, as long as this lives.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

/// Takes the right to a data directory.
///
/// # Errors
/// [`HostProblem::DirectoryInUse`] if another process (or another lock of this one) has it.
pub fn lock_directory(path: &Path) -> Result<DirectoryLock, HostProblem> {
    let lock_path = path.join(".lock");
    let unusable = |error| HostProblem::DirectoryUnusable { path: path.to_owned(), error };
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&lock_path);
    let mut file = opened.map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&lock_path).ok().and_then(|text| text.trim().parse().ok());
            return Err(HostProblem::DirectoryInUse { path: path.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(unusable(error)),
    }
    // The number is for people (and the message above); the lock is what counts.
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    match written {
        // A full disk: nobody is told the number.
        Err(error) if error.kind() == ErrorKind::StorageFull => {}
        written => written.map_err(unusable)?,
    }
    Ok(DirectoryLock { _file: file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_broker_on_a_directory_is_refused_until_the_first_ends() {
        let directory = tempfile::tempdir().unwrap();
        let first = lock_directory(directory.path()).unwrap();
        let refused = lock_directory(directory.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("(process {})", std::process::id())), "{refused}");
        drop(first);
        lock_directory(directory.path()).unwrap();
    }
}
