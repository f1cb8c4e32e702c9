//! The rules of classic groups and of their offsets, one test a rule, against the coordinator alone: time is
//! a number, the log a list of records.
//!
//!   G1..G16  groups: who is in, which generation, what tools see
//!   O1..O8   offsets: who may commit, what is read, what expires
//!
//! G1 is tested where the hash is.

mod bounds;
mod generations;
mod harness;
mod offsets;
mod queries;
mod sessions;
mod static_members;
