//! How a shard runs: buffers and their arena, the environment seam, and its implementations.
//!
//! Reading order:
//! - [`environment`]: everything the broker may ask of the world
//! - [`buffer`]: the I/O memory that operations own while they run
//! - [`memory`]: the environment in one thread and virtual time, from a seed

pub mod buffer;
pub mod environment;
pub mod memory;
