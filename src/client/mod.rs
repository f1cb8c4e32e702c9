//! A blocking client of any Kafka broker, for the command line: one question at a time, each with a time limit.
//!
//! ```text
//!   bootstrap addresses ──► Cluster ── metadata ──► leader or coordinator ──► Connection ── request ──► Answer
//! ```
//!
//! Reading order:
//! - [`address`]: where brokers are reached
//! - [`connection`]: one broker, in versions that both sides know
//! - [`cluster`]: who leads what; [`metadata`]: what the cluster says of itself
//! - [`coordinator`]: how far a group has read; [`groups`]: what groups are doing
//! - [`offsets`]: where partitions begin and end
//! - [`fetch`] and [`records`], [`produce`] and [`partitioner`]: records out and in
//! - [`failure`]: everything that can go wrong, with what to do next
//!
//! Always true: no answer is larger than [`limits::ANSWER_BYTES_MAX`]; no wait lasts longer than the time limit given.
//! It shares the codec with the broker and nothing else: no ring, no shard, no environment.

pub mod address;
pub mod cluster;
pub mod connection;
pub mod coordinator;
pub mod failure;
pub mod fetch;
pub mod groups;
pub mod limits;
pub mod metadata;
pub mod offsets;
pub mod partitioner;
pub mod produce;
pub mod records;

pub use address::Address;
pub use cluster::{Cluster, ClusterOptions};
pub use connection::{Answer, Connection};
pub use failure::ClientFailure;
