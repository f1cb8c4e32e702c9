//! The shapes bytes take on Kafka's wire, below any message.
//!
//! ```text
//!   frame bytes ──Decoder──► &'a str, &'a [u8], Vec<part>     borrowed, every length checked, memory budgeted
//!   value ──Counter──► exact size ──Writer──► one buffer + untouched record slices
//! ```
//!
//! Always true: decoding never allocates for a length or count before comparing it with the bytes that remain;
//! a value written takes exactly the bytes that were counted for it.
//!
//! Reading order:
//! - [`decoder`]: reads, refuses, remembers where
//! - [`encoder`]: counts, writes, and keeps record bytes apart
//! - [`field`]: how each type of field looks in old and in flexible encoding

pub mod decoder;
pub mod encoder;
pub mod field;
