//! Writes the fields of a key or a value. The encodings are those of `reader`.

use super::TEXT_BYTES_MAX;

/// A key or a value that grows.
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Begins with a key's type or a value's version.
    pub fn versioned(version: i16) -> Writer {
        Writer { bytes: version.to_be_bytes().to_vec() }
    }

    pub fn i32(&mut self, number: i32) {
        self.bytes.extend_from_slice(&number.to_be_bytes());
    }

    pub fn i64(&mut self, number: i64) {
        self.bytes.extend_from_slice(&number.to_be_bytes());
    }

    /// A text with a 16-bit length. What does not fit is cut off: requests carry no longer text, and a name made
    /// of such a one must not bring a broker down.
    pub fn text(&mut self, text: &str) {
        let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
        self.bytes.extend_from_slice(&(text.len() as i16).to_be_bytes());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// The same; -1 is null.
    pub fn nullable_text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.bytes.extend_from_slice(&(-1i16).to_be_bytes()),
        }
    }

    /// A text whose length is an unsigned varint.
    pub fn short_text(&mut self, text: &str) {
        let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
        self.unsigned_varint(text.len() as u32 + 1);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Bytes with a 32-bit length; they came in one request, which is smaller.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.i32(bytes.len() as i32);
        self.bytes.extend_from_slice(bytes);
    }

    /// The end of a part of a flexible version.
    pub fn no_tags(&mut self) {
        self.unsigned_varint(0);
    }

    /// The end of a part of a flexible version with one tagged field.
    pub fn only_tag(&mut self, tag: u32, bytes: &[u8]) {
        self.unsigned_varint(1);
        self.unsigned_varint(tag);
        self.unsigned_varint(bytes.len() as u32);
        self.bytes.extend_from_slice(bytes);
    }

    fn unsigned_varint(&mut self, mut number: u32) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
