//! Writes Kafka's wire format: first counted, then written into one buffer, with record bytes left where they are.
//!
//! ```text
//!   [length header body..][records of partition 0][body..][records of partition 1][body..]
//!    └─ one buffer ──────┘ └─ the log's own slice ┘ └─ the same buffer, sliced ──┘
//! ```
//!
//! Always true: [`Counter`] and [`Writer`] see the same calls, so the buffer is filled to its last byte; a
//! record slice is never copied.

use ringlog_runtime::buffer::{BufMut, Slice};

use super::field::Records;

/// Where encoded bytes go.
pub trait Sink {
    /// Bytes to write.
    fn put(&mut self, bytes: &[u8]);
    /// Record bytes, whose length was put already.
    fn put_records(&mut self, records: &Records<'_>);
    /// What was put just now was an error code.
    #[inline]
    fn note_error_code(&mut self, _code: i16) {}

    /// An unsigned number of seven bits a byte, low bits first.
    #[inline]
    fn put_unsigned_varint(&mut self, mut value: u32) {
        let mut bytes = [0; 5];
        let mut count = 0;
        while value >= 0x80 {
            bytes[count] = value as u8 | 0x80;
            value >>= 7;
            count += 1;
        }
        bytes[count] = value as u8;
        self.put(&bytes[..=count]);
    }
}

/// Counts what a [`Writer`] would write.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counter {
    /// Bytes that go through the buffer.
    pub buffered_bytes: usize,
    /// Record bytes that stay where they are.
    pub shared_bytes: usize,
}

impl Counter {
    /// All bytes.
    pub fn total_bytes(&self) -> usize {
        self.buffered_bytes + self.shared_bytes
    }
}

impl Sink for Counter {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.buffered_bytes += bytes.len();
    }

    fn put_records(&mut self, records: &Records<'_>) {
        match records {
            Records::Borrowed(bytes) => self.buffered_bytes += bytes.len(),
            Records::Slices(_) => self.shared_bytes += records.len(),
        }
    }
}

/// Writes into a buffer of exactly the counted size.
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    position: usize,
    /// Record slices and the positions in the buffer they belong before.
    shared: Vec<(usize, Slice)>,
    /// Every error code written that is not zero.
    error_codes: Vec<i16>,
}

/// What a [`Writer`] did besides filling its buffer.
pub struct Written {
    /// Record slices and the positions in the buffer they belong before.
    pub shared: Vec<(usize, Slice)>,
    /// Every error code written that is not zero.
    pub error_codes: Vec<i16>,
}

impl<'b> Writer<'b> {
    /// A writer that fills `buffer`.
    pub fn new(buffer: &'b mut [u8]) -> Writer<'b> {
        Writer { buffer, position: 0, shared: Vec::new(), error_codes: Vec::new() }
    }

    /// Ends writing.
    ///
    /// # Panics
    /// If the buffer was not filled exactly, that is, if counting and writing disagree.
    pub fn finish(self) -> Written {
        assert_eq!(self.position, self.buffer.len(), "bytes written and bytes counted");
        Written { shared: self.shared, error_codes: self.error_codes }
    }
}

impl Sink for Writer<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let end = self.position + bytes.len();
        self.buffer[self.position..end].copy_from_slice(bytes);
        self.position = end;
    }

    fn put_records(&mut self, records: &Records<'_>) {
        match records {
            Records::Borrowed(bytes) => self.put(bytes),
            Records::Slices(slices) => {
                let filled = slices.iter().filter(|slice| !slice.is_empty());
                self.shared.extend(filled.map(|slice| (self.position, slice.clone())));
            }
        }
    }

    #[inline]
    fn note_error_code(&mut self, code: i16) {
        if code != 0 {
            self.error_codes.push(code);
        }
    }
}

/// Lays the buffer's parts and the record slices one behind the other, as they go to the socket.
pub fn interleave(buffer: BufMut, shared: Vec<(usize, Slice)>) -> Vec<Slice> {
    let buffer = buffer.freeze();
    let mut segments = Vec::with_capacity(2 * shared.len() + 1);
    let mut written = 0;
    for (position, records) in shared {
        if position > written {
            segments.push(buffer.slice(written..position));
            written = position;
        }
        segments.push(records);
    }
    if written < buffer.len() {
        segments.push(buffer.slice(written..buffer.len()));
    }
    segments
}
