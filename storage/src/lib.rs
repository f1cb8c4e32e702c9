//! Where the bytes are on disk.
//!
//! Reading order:
//! - [`metadata_log`]: the controller's records
#![forbid(unsafe_code)]

pub mod metadata_log;
