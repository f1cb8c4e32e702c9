//! How fast a Kafka broker is, Ringlog or another, measured so that the numbers mean something.
//!
//! Reading order:
//! - [`command_line`]: what can be asked
//! - [`limits`]: every bound
//! - [`result`]: what is written down; [`latency`]: histograms

pub mod command_line;
pub mod latency;
pub mod limits;
pub mod result;
