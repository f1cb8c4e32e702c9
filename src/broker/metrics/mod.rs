//! What the broker tells of itself: metrics, health, slow requests.
//!
//! ```text
//!   whoever does something ──► ShardCounts (an addition)          each shard, no locks
//!   GET /metrics ──► server ──Tell──► every shard: Samples ──► summed ──► text
//! ```
//!
//! Always true: decisions do not count, their callers do; a count costs an addition on the shard's own memory; a
//! question to the shards is answered in the admin queue, behind requests.
//!
//! Reading order:
//! - [`families`]: every metric by name, with what it means; [`samples`]: values under these names; [`text`]: how they
//!   are written
//! - [`counts`], [`requests`]: what is counted where it happens; [`slow_requests`]: the log of those that took long
//! - [`telling`]: what one shard says of itself; [`process`]: what the system says of the process;
//!   [`group_lag`]: how far consumer groups are behind
//! - [`http`], [`server`]: who asks, and over what

pub mod counts;
pub mod families;
pub mod group_lag;
pub mod http;
pub mod process;
pub mod requests;
pub mod samples;
pub mod server;
pub mod slow_requests;
pub mod telling;
pub mod text;
