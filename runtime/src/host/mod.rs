//! Is this host able to run the broker? Asked once at start, so that each lack is one clear message.
//!
//! Reading order:
//! - [`check`]: kernel, io_uring, direct I/O on the data directory
//! - [`problem`]: each way it can fail, with its remedy
//! - [`lock`]: one broker per data directory
//! - [`record_lock`]: the lock that a Kafka broker holds; [`space`]: room on a disk
//! - [`limits`]: what the process may hold
//! - [`synced_writes`]: what a commit will cost

mod check;
mod limits;
mod lock;
mod problem;
mod record_lock;
mod space;
mod synced_writes;

pub use check::{HostNeeds, HostReport, KernelVersion, check, check_directory};
pub use limits::{memory_lock_limit, raise_open_files};
pub use lock::{DirectoryLock, lock_directory};
pub use problem::HostProblem;
pub use record_lock::{RecordLock, RecordLocking, lock_record};
pub use space::free_bytes;
pub(crate) use space::total_bytes;
pub use synced_writes::time_synced_writes;
