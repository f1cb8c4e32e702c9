//! Ringlog, a Kafka broker: how it is put together.
//!
//! Reading order:
//! - [`broker`]: the broker, generic over its environment
//! - [`handlers`]: one file per API
//! - [`command_line`], [`start`]: from arguments to a running process
#![forbid(unsafe_code)]

pub mod broker;
pub mod command_line;
pub mod handlers;
pub mod start;
