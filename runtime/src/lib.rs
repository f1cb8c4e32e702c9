//! How a shard runs: buffers and their arena, the environment seam, and its implementations.
//!
//! Reading order:
//! - [`environment`]: everything the broker may ask of the world
//! - [`buffer`]: the I/O memory that operations own while they run
//! - [`mesh`]: messages between the shards of a process
//! - [`uring`]: the environment on the rings
//! - [`memory`]: the environment in one thread and virtual time, from a seed
//! - [`host`]: whether this machine can run it

pub mod buffer;
pub mod environment;
pub mod host;
pub mod memory;
pub mod mesh;
pub mod uring;
