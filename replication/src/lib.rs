//! How the replicas of a partition agree: who leads, what is committed, when a producer may be told.
//!
//! Pure: inputs and time come in, effects go out; the shard executes them. Today a partition has one replica,
//! its leader; followers join the same [`leader::PartitionLeader`] through [`leader::PartitionLeader::follower_fetched`].
//!
//! Reading order:
//! - [`leader`]: a partition's leader: high watermark and the producers that wait for it
//! - [`pending_acks`]: who waits, in offset order
#![forbid(unsafe_code)]

pub mod leader;
pub mod pending_acks;
