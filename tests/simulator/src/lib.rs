//! The whole broker in memory, in one thread, in virtual time, from a seed: what it promised its clients must
//! hold through power losses, slow and failing disks, cut and silent links, and jumping clocks.
//!
//! Reading order:
//! - [`run`]: one seed from the first start to the verdict; [`campaign`]: many seeds on every core
//! - [`workload`], [`producer`], [`fetcher`], [`session`], [`administrator`], [`shortener`], [`configurer`], [`client`]: who talks to the broker, and how
//! - [`group`], [`member`], [`keeper`]: who is in a consumer group, and who looks after it
//! - [`log`]: what the broker says; [`history`] with [`log_starts`], [`config_history`] and [`group_history`]: what clients
//!   did and saw; [`checker`]: which promises that breaks
//! - [`rot`]: a medium that ages
//! - [`broker`]: the broker as a program to run
//! - [`planted`]: mistakes made on purpose, which must be found

pub mod administrator;
pub mod broker;
pub mod campaign;
pub mod checker;
pub mod client;
pub mod config_history;
pub mod configurer;
pub mod fetcher;
pub mod group;
pub mod group_history;
pub mod history;
pub mod keeper;
pub mod log;
pub mod log_starts;
pub mod member;
pub mod planted;
pub mod producer;
pub mod rot;
pub mod run;
pub mod session;
pub mod shortener;
pub mod workload;
