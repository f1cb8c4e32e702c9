//! Reads Kafka's wire format out of a frame and borrows from it.
//!
//! ```text
//!   frame  [........................................]
//!                    ^ position            ^ end of the frame, or of the tagged field being read
//! ```
//!
//! Always true: no read goes past the end; no memory is reserved for a count the remaining bytes cannot hold;
//! what one frame expands to stays below its [`memory budget`](Decoder::new); nothing here recurses on input.

use std::fmt;

/// Memory any frame may expand to, however small it is.
const MEMORY_BYTES_MIN: usize = 64 << 10;
/// Memory that one byte of a frame may expand to. The worst honest element is an empty old-style string
/// (2 bytes) in a metadata request's topic list, 40 bytes in memory.
const MEMORY_BYTES_PER_FRAME_BYTE: usize = 20;
/// Memory a frame may expand to, however large it is.
const MEMORY_BYTES_MAX: usize = 64 << 20;

/// Why bytes were refused, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeError {
    /// What was wrong.
    pub fault: DecodeFault,
    /// At which byte of the frame (the first byte after the frame's length is byte 0).
    pub position: usize,
}

/// The longest text. Old encodings count its bytes in 16 bits with a sign; newer ones could hold more, but Kafka takes
/// no more from them either, so nobody who keeps or repeats a text meets one that an old encoding cannot hold.
pub const TEXT_BYTES_MAX: usize = i16::MAX as usize;

/// What was wrong with bytes that were refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeFault {
    /// The value needs more bytes than remain.
    Truncated {
        /// Bytes needed from here.
        needed: usize,
        /// Bytes left.
        remaining: usize,
    },
    /// A list announces more elements than the remaining bytes can hold.
    CountTooLarge {
        /// Elements announced.
        count: usize,
        /// Bytes left.
        remaining: usize,
    },
    /// The frame would expand to more memory than its size allows.
    TooMuchMemory {
        /// Bytes of memory asked for.
        requested: usize,
        /// Bytes of the budget left.
        budget: usize,
    },
    /// Null where this version does not allow it.
    NullNotAllowed,
    /// Text that is not UTF-8.
    NotUtf8,
    /// Text longer than Kafka's encodings hold.
    TextTooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// A variable-length number longer than five bytes or larger than 32 bits.
    BadVarint,
    /// Tags must ascend, so this one is repeated or out of order.
    TagOutOfOrder {
        /// The tag.
        tag: u32,
    },
    /// A tagged field is longer than its value.
    TaggedFieldTooLong {
        /// Bytes left over.
        surplus: usize,
    },
    /// The API key is not one this codec knows.
    UnknownApi {
        /// The key.
        api_key: i16,
    },
    /// The version is outside the range this codec knows.
    UnsupportedVersion {
        /// The API's key.
        api_key: i16,
        /// The version.
        version: i16,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            DecodeFault::Truncated { needed, remaining } => {
                write!(formatter, "{needed} bytes needed where {remaining} remain")
            }
            DecodeFault::CountTooLarge { count, remaining } => {
                write!(formatter, "{count} elements announced where {remaining} bytes remain")
            }
            DecodeFault::TooMuchMemory { requested, budget } => {
                write!(
                    formatter,
                    "would take {requested} bytes of memory where {budget} are left for this frame"
                )
            }
            DecodeFault::NullNotAllowed => formatter.write_str("null where this version does not allow it"),
            DecodeFault::TextTooLong { bytes } => {
                write!(formatter, "text of {bytes} bytes, more than {TEXT_BYTES_MAX}")
            }
            DecodeFault::NotUtf8 => formatter.write_str("text that is not UTF-8"),
            DecodeFault::BadVarint => formatter.write_str("a variable-length number above 32 bits"),
            DecodeFault::TagOutOfOrder { tag } => write!(formatter, "tag {tag} is repeated or out of order"),
            DecodeFault::TaggedFieldTooLong { surplus } => {
                write!(formatter, "a tagged field has {surplus} bytes behind its value")
            }
            DecodeFault::UnknownApi { api_key } => write!(formatter, "unknown API key {api_key}"),
            DecodeFault::UnsupportedVersion { api_key, version } => {
                write!(formatter, "version {version} of API key {api_key} is not supported")
            }
        }?;
        write!(formatter, " (at byte {})", self.position)
    }
}

impl std::error::Error for DecodeError {}

/// Reads one frame from front to back.
pub struct Decoder<'a> {
    bytes: &'a [u8],
    position: usize,
    memory_budget: usize,
}

impl<'a> Decoder<'a> {
    /// A decoder of a whole frame (without its length prefix) that may expand to some twenty times its size in
    /// memory, at least 64 KiB and at most 64 MiB.
    pub fn new(frame: &'a [u8]) -> Decoder<'a> {
        Decoder::at(frame, 0)
    }

    /// The same, starting at a position: a request's body behind its header.
    pub fn at(frame: &'a [u8], position: usize) -> Decoder<'a> {
        let budget = frame.len().saturating_mul(MEMORY_BYTES_PER_FRAME_BYTE);
        Decoder::with_memory_budget(frame, position, budget.clamp(MEMORY_BYTES_MIN, MEMORY_BYTES_MAX))
    }

    /// The same, with an explicit bound on the memory that lists may take.
    ///
    /// # Panics
    /// If `position` lies beyond the frame.
    pub fn with_memory_budget(frame: &'a [u8], position: usize, memory_budget: usize) -> Decoder<'a> {
        assert!(position <= frame.len(), "position {position} of a frame of {} bytes", frame.len());
        Decoder { bytes: frame, position, memory_budget }
    }

    /// The next byte to be read.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// An error at the current position.
    #[cold]
    pub fn refuse(&self, fault: DecodeFault) -> DecodeError {
        DecodeError { fault, position: self.position }
    }

    /// The next `count` bytes.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some(taken) = self.bytes[self.position..].get(..count) else {
            return Err(self.refuse(DecodeFault::Truncated { needed: count, remaining: self.remaining() }));
        };
        self.position += count;
        Ok(taken)
    }

    /// The next `N` bytes, as a big-endian number wants them.
    #[inline]
    pub fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some(taken) = self.bytes[self.position..].first_chunk::<N>() else {
            return Err(self.refuse(DecodeFault::Truncated { needed: N, remaining: self.remaining() }));
        };
        self.position += N;
        Ok(*taken)
    }

    /// An unsigned number of seven bits a byte, low bits first.
    #[inline]
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let start = self.position;
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take_array()?;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError { fault: DecodeFault::BadVarint, position: start })
    }

    /// A flexible length: one more than the length, zero for null.
    #[inline]
    pub fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok(self.unsigned_varint()?.checked_sub(1).map(|length| length as usize))
    }

    /// Text of a known length.
    #[inline]
    pub fn text(&mut self, length: usize) -> Result<&'a str, DecodeError> {
        if length > TEXT_BYTES_MAX {
            return Err(self.refuse(DecodeFault::TextTooLong { bytes: length }));
        }
        let start = self.position;
        std::str::from_utf8(self.take(length)?).map_err(|error| DecodeError {
            fault: DecodeFault::NotUtf8,
            position: start + error.valid_up_to(),
        })
    }

    /// Room for a list, once it is certain that the list can be there and the frame may take the memory.
    #[inline]
    pub fn list<T>(&mut self, count: usize, element_bytes_min: usize) -> Result<Vec<T>, DecodeError> {
        let remaining = self.remaining();
        if count.checked_mul(element_bytes_min.max(1)).is_none_or(|bytes| bytes > remaining) {
            return Err(self.refuse(DecodeFault::CountTooLarge { count, remaining }));
        }
        let requested = count.saturating_mul(size_of::<T>());
        let Some(budget) = self.memory_budget.checked_sub(requested) else {
            return Err(self.refuse(DecodeFault::TooMuchMemory { requested, budget: self.memory_budget }));
        };
        self.memory_budget = budget;
        Ok(Vec::with_capacity(count))
    }

    /// How many tagged fields follow.
    #[inline]
    pub fn tag_count(&mut self) -> Result<u32, DecodeError> {
        let count = self.unsigned_varint()?;
        let remaining = self.remaining();
        if count as usize > remaining / 2 {
            return Err(self.refuse(DecodeFault::CountTooLarge { count: count as usize, remaining }));
        }
        Ok(count)
    }

    /// The next tagged field's tag and size; `previous` keeps the order.
    pub fn tag(&mut self, previous: &mut Option<u32>) -> Result<(u32, usize), DecodeError> {
        let start = self.position;
        let tag = self.unsigned_varint()?;
        if previous.is_some_and(|previous| previous >= tag) {
            return Err(DecodeError { fault: DecodeFault::TagOutOfOrder { tag }, position: start });
        }
        *previous = Some(tag);
        let size = self.unsigned_varint()? as usize;
        if size > self.remaining() {
            return Err(self.refuse(DecodeFault::Truncated { needed: size, remaining: self.remaining() }));
        }
        Ok((tag, size))
    }

    /// Reads a value that must fill exactly the next `size` bytes, as [`Decoder::tag`] announced them.
    pub fn sized<T>(
        &mut self,
        size: usize,
        read: impl FnOnce(&mut Decoder<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let whole = self.bytes;
        let end = self.position + size;
        self.bytes = &whole[..end];
        let value = read(self)?;
        self.bytes = whole;
        match end - self.position {
            0 => Ok(value),
            surplus => Err(self.refuse(DecodeFault::TaggedFieldTooLong { surplus })),
        }
    }

    /// Skips all tagged fields of a part that knows none.
    pub fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        let mut previous = None;
        for _ in 0..self.tag_count()? {
            let (_, size) = self.tag(&mut previous)?;
            self.take(size)?;
        }
        Ok(())
    }
}
