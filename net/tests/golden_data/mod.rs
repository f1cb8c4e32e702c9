//! Reads the golden bytes of `tests/golden/data`; its README describes the files.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::PathBuf;

use ringlog_net::protocol::{ApiKey, MessageKind};

/// One message as Kafka writes it.
pub struct Golden {
    pub api: ApiKey,
    pub kind: MessageKind,
    pub version: i16,
    pub body: Vec<u8>,
    /// The same with tagged fields nobody knows; empty if the version is not flexible.
    pub tagged: Vec<u8>,
}

/// The headers of one request and its response as Kafka writes them.
pub struct GoldenHeader {
    pub api: ApiKey,
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: Option<String>,
    pub request: Vec<u8>,
    pub tagged: Vec<u8>,
    pub response: Vec<u8>,
}

/// A record batch, and the records Kafka reads from it.
pub struct GoldenBatch {
    pub name: String,
    pub bytes: Vec<u8>,
    pub records: Vec<GoldenRecord>,
}

#[derive(PartialEq, Eq, Debug)]
pub struct GoldenRecord {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

struct Rows {
    bytes: Vec<u8>,
    position: usize,
}

impl Rows {
    fn open(name: &str) -> Rows {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/data").join(name);
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Rows { bytes, position: 0 }
    }

    fn is_at_end(&self) -> bool {
        self.position == self.bytes.len()
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.bytes[self.position..][..N].try_into().unwrap();
        self.position += N;
        taken
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take())
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take())
    }

    fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take())
    }

    fn maybe(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.i32()).ok()?;
        let block = self.bytes[self.position..][..length].to_vec();
        self.position += length;
        Some(block)
    }

    fn block(&mut self) -> Vec<u8> {
        self.maybe().expect("this block is never absent")
    }
}

/// Every message of an API.
pub fn messages_of(api: ApiKey) -> Vec<Golden> {
    let mut rows = Rows::open(&format!("{}.bin", api.name()));
    let mut messages = Vec::new();
    while !rows.is_at_end() {
        assert_eq!(rows.i16(), api as i16);
        let kind = if rows.take() == [0u8] { MessageKind::Request } else { MessageKind::Response };
        messages.push(Golden { api, kind, version: rows.i16(), body: rows.block(), tagged: rows.block() });
    }
    messages
}

/// Every message there is.
pub fn messages() -> Vec<Golden> {
    ApiKey::ALL.iter().flat_map(|api| messages_of(*api)).collect()
}

pub fn headers() -> Vec<GoldenHeader> {
    let mut rows = Rows::open("headers.bin");
    let mut headers = Vec::new();
    while !rows.is_at_end() {
        headers.push(GoldenHeader {
            api: ApiKey::from_wire(rows.i16()).expect("an API the codec knows"),
            version: rows.i16(),
            correlation_id: rows.i32(),
            client_id: rows.maybe().map(|bytes| String::from_utf8(bytes).unwrap()),
            request: rows.block(),
            tagged: rows.block(),
            response: rows.block(),
        });
    }
    headers
}

pub fn batches() -> Vec<GoldenBatch> {
    let mut rows = Rows::open("batches.bin");
    let mut batches = Vec::new();
    while !rows.is_at_end() {
        let name = String::from_utf8(rows.block()).unwrap();
        let bytes = rows.block();
        let records = (0..rows.i32()).map(|_| golden_record(&mut rows)).collect();
        batches.push(GoldenBatch { name, bytes, records });
    }
    batches
}

fn golden_record(rows: &mut Rows) -> GoldenRecord {
    GoldenRecord {
        offset: rows.i64(),
        timestamp: rows.i64(),
        key: rows.maybe(),
        value: rows.maybe(),
        headers: (0..rows.i32()).map(|_| (rows.block(), rows.maybe())).collect(),
    }
}
