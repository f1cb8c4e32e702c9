//! Why bytes of `__consumer_offsets` are no record.

use std::fmt;

/// What is wrong with a key or a value, and with which field of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordFault {
    /// A field needs more bytes than are left.
    EndsEarly {
        /// Which.
        field: &'static str,
        /// Bytes it needs; of a list, the least it could.
        needed_bytes: usize,
        /// Bytes left.
        left_bytes: usize,
    },
    /// Null in a field that is never null.
    Null {
        /// Which.
        field: &'static str,
    },
    /// A text that is longer than Kafka allows one to be.
    TextTooLong {
        /// Which.
        field: &'static str,
        /// Its length in bytes.
        bytes: usize,
    },
    /// A text that is not UTF-8.
    NotText {
        /// Which.
        field: &'static str,
    },
    /// A variable-length number of more than 32 bits.
    NumberTooLong {
        /// The field that it is a part of.
        field: &'static str,
    },
    /// Tags ascend; this one is repeated or out of order.
    TagOutOfOrder {
        /// The tag.
        tag: u32,
    },
    /// A tagged field whose size is not that of its value.
    TagSize {
        /// The tag.
        tag: u32,
        /// The size.
        bytes: usize,
    },
    /// A version of a value that its type of key does not have.
    ValueVersion {
        /// The version.
        version: i16,
        /// The newest there is.
        version_max: i16,
    },
    /// Bytes behind the last field.
    BytesLeft {
        /// How many.
        bytes: usize,
    },
}

impl fmt::Display for RecordFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordFault::EndsEarly { field, needed_bytes, left_bytes } => {
                write!(formatter, "{field} needs {needed_bytes} bytes where {left_bytes} are left")
            }
            RecordFault::Null { field } => write!(formatter, "{field} is null"),
            RecordFault::TextTooLong { field, bytes } => write!(formatter, "{field} has {bytes} bytes"),
            RecordFault::NotText { field } => write!(formatter, "{field} is not UTF-8"),
            RecordFault::NumberTooLong { field } => {
                write!(formatter, "a variable-length number of {field} has more than 32 bits")
            }
            RecordFault::TagOutOfOrder { tag } => write!(formatter, "tag {tag} is repeated or out of order"),
            RecordFault::TagSize { tag, bytes } => {
                write!(formatter, "tag {tag} has {bytes} bytes, which its value does not take")
            }
            RecordFault::ValueVersion { version, version_max } => {
                write!(formatter, "the value has version {version}, known are 0 to {version_max}")
            }
            RecordFault::BytesLeft { bytes } => write!(formatter, "{bytes} bytes follow the last field"),
        }
    }
}

impl std::error::Error for RecordFault {}
