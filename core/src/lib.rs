//! The words of a Kafka broker, and what it decides. Pure: no I/O, no clock, no random source, no async, no
//! unsafe code. Time and randomness are arguments; decisions come back as values.
//!
//! Reading order:
//! - [`ids`]: a type for every identity; [`time`]: the two clocks as values
//! - [`checksum`] and [`compression`]: what is computed over bytes
//! - [`record_batch`]: batches of records, from a client's bytes to what a log stores
//! - [`producer_state`] and [`leader_epochs`]: what a log remembers of who wrote to it
//! - [`error_code`], [`refusal`]: why a client is told no, and with which code of Kafka's; [`limits`]: every bound
//! - [`config`]: every key, what was given, what it means for broker and topics
//! - [`metadata`]: topics, partitions and brokers, and the records that change them
//! - [`group`]: consumer groups and the offsets they commit
//! - [`kraft`]: the metadata log of a Kafka cluster, to take it over
//! - [`fetch_session`]: incremental fetches (KIP-227)
//! - [`latency`]: how long things took
#![forbid(unsafe_code)]

pub mod checksum;
pub mod compression;
pub mod config;
pub mod error_code;
pub mod fetch_session;
pub mod group;
pub mod ids;
pub mod kraft;
pub mod latency;
pub mod leader_epochs;
pub mod limits;
pub mod metadata;
pub mod producer_state;
pub mod record_batch;
pub mod refusal;
pub mod time;
mod unsigned_varint;
