//! Every way a batch can be wrong, and what kind of answer each deserves.

use std::fmt;

use crate::compression::CompressionFault;
use crate::time::Timestamp;

/// How many faulty records one refusal lists; the rest are counted. A batch of a hundred thousand keyless
/// records must not become a response of ten megabytes.
pub const RECORD_ERRORS_MAX: usize = 128;

/// Why a batch is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BatchFault {
    /// There is no whole batch where one should be.
    NoBatch,
    /// The bytes end before the batch does.
    Truncated {
        /// How many bytes the batch (or its header) takes.
        needed_bytes: usize,
        /// How many there are.
        found_bytes: usize,
    },
    /// The length field is too small for a header.
    Length {
        /// What it says.
        batch_length: i32,
    },
    /// Not a batch of format version 2.
    Magic {
        /// The version it claims.
        magic: i8,
    },
    /// More than the one batch allowed per partition and request.
    MoreThanOneBatch,
    /// The checksum does not match the bytes.
    Checksum {
        /// The one in the header.
        stored: u32,
        /// The one of the bytes.
        computed: u32,
    },
    /// Attributes name a codec that does not exist.
    UnknownCompression {
        /// Its number.
        id: u8,
    },
    /// The compressed records cannot be opened.
    Compression(CompressionFault),
    /// More records, or more headers, than a batch may have.
    TooMany {
        /// Which.
        what: Counted,
        /// How many are allowed.
        count_max: usize,
    },
    /// zstd from a client whose request version may not use it (KIP-110).
    ZstdNotAllowed,
    /// A producer's batch must begin at offset 0: the broker assigns the offsets.
    BaseOffset {
        /// Where it begins.
        base_offset: i64,
    },
    /// Offsets, their range and the record count do not fit together.
    OffsetRange {
        /// The first offset.
        base_offset: i64,
        /// The last offset, relative to the first.
        last_offset_delta: i32,
        /// How many records the header promises.
        record_count: i32,
    },
    /// Only brokers write control batches.
    ControlBatch,
    /// A producer id without a sequence number.
    Sequence {
        /// The sequence number given.
        base_sequence: i32,
    },
    /// Larger than the topic's `max.message.bytes`.
    TooLarge {
        /// The batch's size.
        size_bytes: usize,
        /// The largest allowed.
        size_bytes_max: usize,
    },
    /// Larger than a whole segment of the log.
    LargerThanSegment {
        /// The batch's size.
        size_bytes: usize,
        /// The segment's.
        segment_bytes: usize,
    },
    /// A record's bytes cannot be read.
    Record {
        /// Which record, from zero.
        index: i32,
        /// What is wrong with it.
        shape: RecordShape,
    },
    /// Bytes follow the last record.
    BytesAfterRecords {
        /// How many.
        bytes: usize,
    },
    /// Records that can be read, and are refused one by one (KIP-467).
    Records(RecordErrors),
}

/// Which of Kafka's answers a fault deserves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaultKind {
    /// CORRUPT_MESSAGE: damaged on the way; sending it again may help.
    Corrupt,
    /// INVALID_RECORD: whole, and wrong.
    InvalidRecord,
    /// INVALID_TIMESTAMP.
    InvalidTimestamp,
    /// MESSAGE_TOO_LARGE: producers split the batch and try again.
    MessageTooLarge,
    /// RECORD_LIST_TOO_LARGE.
    RecordListTooLarge,
    /// UNSUPPORTED_COMPRESSION_TYPE.
    UnsupportedCompression,
}

impl BatchFault {
    /// The kind of answer this fault deserves.
    pub fn kind(&self) -> FaultKind {
        match self {
            BatchFault::Truncated { .. } | BatchFault::Length { .. } | BatchFault::Checksum { .. } => {
                FaultKind::Corrupt
            }
            // Formats 0 and 1 existed and are no longer taken; any other number is damage.
            BatchFault::Magic { magic: 0 | 1 } => FaultKind::InvalidRecord,
            BatchFault::Magic { .. } => FaultKind::Corrupt,
            BatchFault::NoBatch
            | BatchFault::MoreThanOneBatch
            | BatchFault::BaseOffset { .. }
            | BatchFault::OffsetRange { .. }
            | BatchFault::ControlBatch
            | BatchFault::Sequence { .. }
            | BatchFault::Record { .. }
            | BatchFault::BytesAfterRecords { .. }
            | BatchFault::Compression(CompressionFault::Unreadable { .. }) => FaultKind::InvalidRecord,
            BatchFault::UnknownCompression { .. } | BatchFault::ZstdNotAllowed => {
                FaultKind::UnsupportedCompression
            }
            BatchFault::TooLarge { .. }
            | BatchFault::TooMany { .. }
            | BatchFault::Compression(CompressionFault::OutputTooLarge { .. }) => FaultKind::MessageTooLarge,
            BatchFault::LargerThanSegment { .. } => FaultKind::RecordListTooLarge,
            BatchFault::Records(errors) => errors.kind(),
        }
    }

    /// The refused records one by one, where the fault names any (for `record_errors` of Produce 8 and later).
    pub fn record_errors(&self) -> &[RecordError] {
        match self {
            BatchFault::Records(errors) => errors.listed(),
            _ => &[],
        }
    }
}

impl fmt::Display for BatchFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BatchFault::NoBatch => write!(formatter, "there is no record batch"),
            BatchFault::Truncated { needed_bytes, found_bytes } => {
                write!(formatter, "the record batch needs {needed_bytes} bytes and {found_bytes} are there")
            }
            BatchFault::Length { batch_length } => {
                write!(formatter, "a batch length of {batch_length} is smaller than a header")
            }
            BatchFault::Magic { magic } => {
                write!(formatter, "record batch format {magic}, only 2 is accepted")
            }
            BatchFault::MoreThanOneBatch => write!(formatter, "more than one record batch for the partition"),
            BatchFault::Checksum { stored, computed } => {
                write!(formatter, "the checksum says {stored:#010x}, the bytes give {computed:#010x}")
            }
            BatchFault::UnknownCompression { id } => write!(formatter, "there is no compression codec {id}"),
            BatchFault::Compression(fault) => fault.fmt(formatter),
            BatchFault::TooMany { what, count_max } => {
                let what = if *what == Counted::Records { "records" } else { "record headers" };
                write!(formatter, "a batch may have {count_max} {what}")
            }
            BatchFault::ZstdNotAllowed => write!(formatter, "zstd needs Produce version 7 or later"),
            BatchFault::BaseOffset { base_offset } => {
                write!(formatter, "a producer's batch begins at offset 0, not at {base_offset}")
            }
            BatchFault::OffsetRange { base_offset, last_offset_delta, record_count } => write!(
                formatter,
                "base offset {base_offset}, last offset delta {last_offset_delta} and {record_count} records do \
                 not fit together"
            ),
            BatchFault::ControlBatch => write!(formatter, "clients may not write control batches"),
            BatchFault::Sequence { base_sequence } => {
                write!(formatter, "a producer id goes with a sequence number, not with {base_sequence}")
            }
            BatchFault::TooLarge { size_bytes, size_bytes_max } => {
                write!(formatter, "the batch has {size_bytes} bytes, the topic allows {size_bytes_max}")
            }
            BatchFault::LargerThanSegment { size_bytes, segment_bytes } => {
                write!(formatter, "the batch has {size_bytes} bytes, a segment of its log {segment_bytes}")
            }
            BatchFault::Record { index, shape } => write!(formatter, "record {index}: {shape}"),
            BatchFault::BytesAfterRecords { bytes } => {
                write!(formatter, "{bytes} bytes follow the last record of the batch")
            }
            BatchFault::Records(errors) => errors.fmt(formatter),
        }
    }
}

impl std::error::Error for BatchFault {}

impl From<CompressionFault> for BatchFault {
    fn from(fault: CompressionFault) -> BatchFault {
        BatchFault::Compression(fault)
    }
}

/// What a batch may have only so many of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// Records.
    Records,
    /// Headers of all its records together.
    Headers,
}

/// Why a record's bytes cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordShape {
    /// A field goes on past the end of the record, or the record past the end of the batch.
    EndsEarly,
    /// A variable-length number of more bytes than its type holds.
    NumberTooLong,
    /// The record's length is not what its fields take.
    LengthMismatch,
    /// A header count that is negative or larger than the rest of the record.
    HeaderCount,
    /// A header without a name.
    HeaderWithoutKey,
}

impl fmt::Display for RecordShape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            RecordShape::EndsEarly => "its bytes end early",
            RecordShape::NumberTooLong => "a variable-length number is too long",
            RecordShape::LengthMismatch => "its length is not that of its fields",
            RecordShape::HeaderCount => "the header count is impossible",
            RecordShape::HeaderWithoutKey => "a header has no key",
        })
    }
}

/// One refused record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordError {
    /// Its place in the batch, from zero.
    pub index: i32,
    /// Why.
    pub reason: RecordFault,
}

impl RecordError {
    /// The words for the client.
    pub fn message(&self) -> String {
        self.reason.to_string()
    }
}

/// Why a record that can be read is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordFault {
    /// A compacted topic keeps the latest record of each key, so each needs one.
    KeyMissing,
    /// The offset delta is not the record's place in the batch.
    OffsetDelta {
        /// What it is.
        found: i32,
    },
    /// Older or newer than the topic allows.
    TimestampOutOfRange {
        /// The record's timestamp.
        timestamp: Timestamp,
        /// The oldest allowed.
        earliest: Timestamp,
        /// The newest allowed.
        latest: Timestamp,
    },
    /// Only brokers stamp with log-append time.
    TimestampType,
}

impl RecordFault {
    fn kind(self) -> FaultKind {
        match self {
            RecordFault::KeyMissing | RecordFault::OffsetDelta { .. } => FaultKind::InvalidRecord,
            RecordFault::TimestampOutOfRange { .. } | RecordFault::TimestampType => {
                FaultKind::InvalidTimestamp
            }
        }
    }
}

impl fmt::Display for RecordFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordFault::KeyMissing => write!(formatter, "a record of a compacted topic needs a key"),
            RecordFault::OffsetDelta { found } => {
                write!(formatter, "offset delta {found} is not the record's place in the batch")
            }
            RecordFault::TimestampOutOfRange { timestamp, earliest, latest } => {
                write!(formatter, "timestamp {} is not between {} and {}", timestamp.0, earliest.0, latest.0)
            }
            RecordFault::TimestampType => write!(formatter, "a producer may not stamp with log-append time"),
        }
    }
}

/// The refused records of a batch: the first [`RECORD_ERRORS_MAX`] by name, all by number.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecordErrors {
    listed: Vec<RecordError>,
    count: usize,
    timestamp_among_them: bool,
}

impl RecordErrors {
    /// The first of them.
    pub fn listed(&self) -> &[RecordError] {
        &self.listed
    }

    /// How many records are wrong.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Kafka answers INVALID_TIMESTAMP if any record's timestamp is wrong, INVALID_RECORD otherwise.
    pub fn kind(&self) -> FaultKind {
        if self.timestamp_among_them { FaultKind::InvalidTimestamp } else { FaultKind::InvalidRecord }
    }

    /// Notes one more.
    pub(super) fn push(&mut self, index: i32, reason: RecordFault) {
        self.count += 1;
        self.timestamp_among_them |= reason.kind() == FaultKind::InvalidTimestamp;
        if self.listed.len() < RECORD_ERRORS_MAX {
            self.listed.push(RecordError { index, reason });
        }
    }

    /// `Ok` if nothing was noted.
    pub(super) fn into_result(self) -> Result<(), BatchFault> {
        if self.count == 0 { Ok(()) } else { Err(BatchFault::Records(self)) }
    }
}

impl fmt::Display for RecordErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} records are refused", self.count)?;
        if let Some(first) = self.listed.first() {
            write!(formatter, ", the first is record {}: {}", first.index, first.reason)?;
        }
        Ok(())
    }
}
