//! Ringlog, a Kafka broker: how it is put together.
//!
//! Reading order:
//! - [`broker`]: the broker, generic over its environment
//! - [`handlers`]: one file per API
//! - [`command_line`], [`start`]: from arguments to a running process
//! - [`commands`]: everything else the program can do, through [`client`], a small client of any Kafka broker
#![forbid(unsafe_code)]

pub mod broker;
pub mod client;
pub mod command_line;
pub mod commands;
pub mod handlers;
pub mod start;
