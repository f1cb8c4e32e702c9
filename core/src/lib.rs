//! The words of a Kafka broker, and what it decides. Pure: no I/O, no clock, no random source, no async, no
//! unsafe code. Time and randomness are arguments; decisions come back as values.
//!
//! Reading order:
//! - [`ids`]: a type for every identity; [`time`]: the two clocks as values
#![forbid(unsafe_code)]

pub mod ids;
pub mod time;
