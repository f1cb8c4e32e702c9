//! How much room a disk has.

use std::io;
use std::path::Path;

/// How many bytes the file system of a directory has for this user.
///
/// # Errors
/// What the system says.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    crate::uring::free_bytes(path)
}
