//! The environment in memory: a deterministic world in one thread and virtual time.
//!
//! Reading order:
//! - [`world`](MemoryWorld): makes environments, runs them, crashes them
//! - `executor`, `clock`, `completion`, `random`, `trace`: turns, time and the record of both
//! - [`faults`], [`seeds`]: what may go wrong and how large things are; which seeds a test runs
//! - `environment`, `file`, `disk`: a shard's view, and what a power loss leaves of its files
//! - `network`, `mailbox`: byte streams to clients, messages between shards

mod clock;
mod completion;
mod disk;
mod environment;
mod executor;
pub mod faults;
mod file;
mod mailbox;
mod network;
pub mod random;
mod seeds;
mod trace;
mod world;

pub use disk::{DiskOperation, MountFails, PowerLoss};
pub use environment::MemoryEnvironment;
pub use faults::{Faults, Limits, Options};
pub use file::MemoryFile;
pub use mailbox::MemoryMailbox;
pub use network::{MemoryAccepted, MemoryConnection, MemoryListener};
pub use random::{PerMillion, Random};
pub use seeds::seeds;
pub use world::{Crashed, DiskView, MemoryWorld, WorldHandle};
