//! How fast a Kafka broker is, Ringlog or another, measured so that the numbers mean something.
//!
//! Reading order:
//! - [`command_line`]: what can be asked; [`commands`]: a file each
//! - [`plan`]: when what is due; [`filler`], [`payload`], [`template`]: records that cost nothing to make and can be known again
//! - [`session`], [`lane`], [`drive`]: a run that sends; [`ledger`]: what was sent
//! - [`follower`], [`consumer`], [`reread`], [`verifier`]: reading along, reading back, judging
//! - [`latency`], [`meter`], [`cpu`], [`progress`]: what is noted; [`result`], [`outcome`]: what is written down
//! - [`setup`], [`shard`], [`line`](mod@line), [`signal`]: how a broker is reached
//! - [`member`]: a member of a group
//! - [`scenario`], [`compare`], [`report`]: two brokers in turn, what shall be reached, what came out
//! - [`failure`], [`limits`]: who is to blame; every bound

pub mod command_line;
pub mod commands;
pub mod compare;
pub mod consumer;
pub mod cpu;
pub mod drive;
pub mod failure;
pub mod filler;
pub mod follower;
pub mod lane;
pub mod latency;
pub mod ledger;
pub mod limits;
pub mod line;
pub mod member;
pub mod meter;
pub mod outcome;
pub mod payload;
pub mod plan;
pub mod progress;
pub mod report;
pub mod reread;
pub mod result;
pub mod scenario;
pub mod session;
pub mod setup;
pub mod shard;
pub mod signal;
pub mod template;
pub mod verifier;
