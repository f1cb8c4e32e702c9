//! The metadata log of a Kafka cluster (KRaft), read: what a broker that takes over Kafka's data directory must know.
//!
//! ```text
//!   NNN-EEE.checkpoint ──► batches ──► frames ──► KraftRecord ──┐
//!   NNN.log, the segments behind it ──► the same ───────────────┴──► KraftImage ──► MetadataRecords of our own
//! ```
//!
//! Reading order:
//! - [`record`]: one record, from its frame; [`reader`]: the words of a frame
//! - [`image`]: what the records add up to
//! - [`log`]: records out of the batches of a snapshot and of segments
//! - [`takeover`]: the same cluster in our own records, and what of it has no place here
//!
//! Always true: bytes from a file never cause a panic; a length is compared with the bytes that are left before anything is
//! reserved for it. Records nobody needs are passed over; one that is needed, in a version that is not known, is refused:
//! a guess would lose a topic.

pub mod image;
pub mod log;
mod reader;
pub mod record;
pub mod takeover;

pub use image::{KraftImage, KraftPartition, KraftTopic};
pub use log::KraftReplay;
pub use record::{KraftFault, KraftRecord};
pub use takeover::{Refused, Successor, Takeover, take_over};
