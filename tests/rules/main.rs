//! Kafka's rules, one test each, against the whole broker in memory: real bytes in, real bytes out.
//!
//! The letters are those of the rule list: W wire and connection, P produce, F fetch, L offsets, G groups, O their offsets,
//! A administration, C cleaning, R replicas; without a letter: what is this broker's own.

mod harness;

mod admin;
mod configs;
mod delete_records;
mod directories;
mod disks;
mod fetch;
mod groups;
mod memory;
mod metrics;
mod offsets;
mod partitions;
mod produce;
mod retention;
mod topics;
mod wire;
