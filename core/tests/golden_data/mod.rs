//! Reads the golden records of groups that Kafka's own classes wrote; `tests/golden/README.md` describes the files.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::PathBuf;

/// A record of `__consumer_offsets` as Kafka writes it.
pub struct GoldenRecord {
    pub key_type: i16,
    /// -1 for a tombstone.
    pub version: i16,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
    /// The value with tagged fields nobody knows, if its version is flexible.
    pub tagged: Option<Vec<u8>>,
    /// Key and value of what Kafka 4.3 writes for the same state; `None` for types that are not ours.
    pub written: Option<(Vec<u8>, Option<Vec<u8>>)>,
}

impl GoldenRecord {
    pub fn label(&self) -> String {
        format!("type {} version {}, key {:02x?}", self.key_type, self.version, self.key)
    }
}

struct Rows<'a> {
    rest: &'a [u8],
}

impl Rows<'_> {
    fn i16(&mut self) -> i16 {
        let (taken, rest) = self.rest.split_first_chunk().unwrap();
        self.rest = rest;
        i16::from_be_bytes(*taken)
    }

    fn maybe(&mut self) -> Option<Vec<u8>> {
        let (length, rest) = self.rest.split_first_chunk().unwrap();
        self.rest = rest;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        let (block, rest) = rest.split_at(length);
        self.rest = rest;
        Some(block.to_vec())
    }

    fn record(&mut self) -> GoldenRecord {
        GoldenRecord {
            key_type: self.i16(),
            version: self.i16(),
            key: self.maybe().expect("every record has a key"),
            value: self.maybe(),
            tagged: self.maybe(),
            written: {
                let (key, value) = (self.maybe(), self.maybe());
                key.map(|key| (key, value))
            },
        }
    }
}

/// A golden file.
pub fn file(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden_data").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every golden record.
pub fn records() -> Vec<GoldenRecord> {
    let bytes = file("group_records.bin");
    let mut rows = Rows { rest: &bytes };
    let mut records = Vec::new();
    while !rows.rest.is_empty() {
        records.push(rows.record());
    }
    records
}
