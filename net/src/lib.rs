//! What the bytes on the wire mean: frames, the codec, connections.
//!
//! Reading order:
//! - [`frame`]: cuts a byte stream into request frames
//! - [`connection`]: serves one connection, replies in request order
//! - [`activity`]: tells idle and stalled connections from busy ones

pub mod activity;
pub mod connection;
pub mod frame;
