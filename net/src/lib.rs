//! What the bytes on the wire mean: frames, the codec, connections.
//!
//! Reading order:
//! - [`frame`]: cuts a byte stream into request frames
//! - [`connection`]: serves one connection, replies in request order
//! - [`protocol`]: Kafka's messages, read and written in every version; [`wire`]: the fields they are made of
//! - [`activity`]: tells idle and stalled connections from busy ones

pub mod activity;
pub mod connection;
pub mod frame;
pub mod protocol;
pub mod wire;
