//! Kafka's record batches, format version 2: read, judged, given their place in a log, written.
//!
//! ```text
//!   bytes --split_first--> RawBatch --validate--> ValidBatch --assign--> AssignedBatch --> log
//!                          cut out    judged                 placed
//! ```
//!
//! Reading order:
//! - [`header`]: the 61 bytes before the records; [`raw`]: a batch cut out of a row of batches
//! - [`records`]: the records inside
//! - [`rules`] and [`validate`]: what is allowed, and the two doors; [`fault`]: every way to be wrong
//! - [`assign`]: what may be appended; [`builder`]: making batches
//!
//! Always true: a log takes only [`AssignedBatch`], so "was the checksum verified?" is never asked again. Bytes
//! from outside never cause a panic, nor memory beyond the bounds of the rules.

pub mod assign;
pub mod builder;
pub mod fault;
pub mod header;
pub mod raw;
pub mod records;
pub mod rules;
pub mod validate;
mod varint;

pub use assign::{AssignedBatch, ValidBatch};
pub use builder::BatchBuilder;
pub use fault::{BatchFault, Counted, FaultKind, RecordError, RecordErrors, RecordFault, RecordShape};
pub use header::{Attributes, BatchHeader, HEADER_BYTES, MAGIC, TimestampType};
pub use raw::RawBatch;
pub use records::{HeaderRef, Headers, RecordIter, RecordRef, Records};
pub use rules::{BatchRules, TargetCompression, ValidationDepth};
pub use validate::{BatchValidator, validate, validate_stored};
