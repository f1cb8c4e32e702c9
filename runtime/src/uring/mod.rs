//! The environment on the rings: a glommio executor hosts each shard's tasks, a ring of our own carries its I/O.
//!
//! Reading order:
//! - [`shards`](run_shards): one pinned executor, ring and arena per core
//! - [`environment`](UringEnvironment): what the broker sees of it
//! - `driver`, `slots`, `operation`, `payload`: operations, and the memory they own until the kernel is done
//! - `pump`, `readiness`: who turns the ring, and when the thread sleeps
//! - `descriptor`, `file`, `socket`, `receive_buffers`: files and sockets on the ring
//! - `blocking`: what the ring does not do
//! - `clock`, `timers`, `random`, `stop`: time, chance, and the end
//! - [`features`](Feature): what a host may lack

mod blocking;
pub(crate) mod clock;
mod descriptor;
pub(crate) mod driver;
mod environment;
pub(crate) mod features;
mod file;
mod operation;
mod payload;
mod pump;
mod random;
mod readiness;
mod receive_buffers;
mod shards;
mod slots;
mod socket;
mod stop;
mod timers;

pub use clock::{now, wall_clock};
pub use environment::UringEnvironment;
pub use features::{Feature, UnknownFeature};
pub use file::UringFile;
pub use shards::{ShardsConfig, StartFailure, run_shards, usable_cores};
pub use socket::{UringAccepted, UringConnection, UringListener};
