//! The whole broker in memory, in one thread, in virtual time, from a seed: what it promised its clients must
//! hold through power losses, slow and failing disks, cut and silent links, and jumping clocks.
//!
//! Reading order:
//! - [`history`]: what clients did and saw; [`checker`]: which promises that breaks
//! - [`planted`]: mistakes made on purpose, which must be found

pub mod checker;
pub mod history;
pub mod planted;
