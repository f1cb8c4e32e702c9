//! Where the bytes are on disk: one journal per shard, one directory of segments per partition.
//!
//! ```text
//!   append ──► tail chunks (memory) ──► journal: one stable write per commit ──► durable
//!                     │                                                            │
//!                     └── write-behind ──► segments ──► checkpoint frees the journal
//! ```
//!
//! Reading order:
//! - [`config`], [`failure`]: how large things are, and what can go wrong
//! - [`format`](mod@format): every file byte by byte (see `docs/on-disk-format.md`)
//! - [`retention`]: which segments a log may give up
//! - [`log`]: one partition's log; [`store`]: all logs of a shard, their journal and checkpoints
//! - [`recovery`]: what a start makes of the files it finds
//! - [`verify`](mod@verify): whether they are whole, found out by reading alone
//! - [`import`]: logs that Kafka wrote, taken over
#![forbid(unsafe_code)]

pub mod config;
mod disk;
pub mod failure;
pub mod format;
pub mod import;
pub mod log;
pub mod metadata_log;
pub mod recovery;
pub mod retention;
mod signal;
pub mod store;
pub mod verify;

pub use config::{Durability, LogConfig, StoreConfig};
pub use failure::{AppendError, Damage, ReadError, RetireError, StoreFailure};
pub use log::read::{AtLeastOne, ReadPlan, ReadRecords};
pub use log::{LogIdentity, PartitionLog, RetiredSegment, SegmentSummary, TimestampOffset};
pub use recovery::{
    Recovered, Standing, Unclaimed, count_logs, recover, recover_claimed, settle_unclaimed, survey,
};
pub use retention::{Retention, RetirementReason};
pub use store::space::give_back;
pub use store::statistics::StoreStatistics;
pub use store::{DurableAdvance, LogStore};
