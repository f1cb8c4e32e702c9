//! How a record is printed: as Kafka's console consumer does, or as a JSON object a line.
//!
//! ```text
//!   CreateTime:1795768200250 | Partition:0 | Offset:17 | trace:7,tenant:42 | order-17 | {"total": 3}      (| is a tab)
//! ```

use std::io::{self, Write};

use ringlog_core::record_batch::TimestampType;
use serde::Serialize;

use crate::client::offsets::PartitionName;
use crate::client::records::FetchedRecord;
use crate::commands::arguments::unescaped;

/// What of a record is printed, and what stands between.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordFormat {
    /// The timestamp and whose clock it is.
    pub timestamp: bool,
    /// The partition.
    pub partition: bool,
    /// The offset.
    pub offset: bool,
    /// The headers.
    pub headers: bool,
    /// The key.
    pub key: bool,
    /// The value.
    pub value: bool,
    /// What stands behind everything but the value.
    pub separator: Vec<u8>,
    /// What stands between headers.
    pub headers_separator: Vec<u8>,
    /// What ends a record.
    pub line_separator: Vec<u8>,
    /// What stands for a key or value that is not there.
    pub null_literal: Vec<u8>,
}

impl Default for RecordFormat {
    fn default() -> RecordFormat {
        RecordFormat {
            timestamp: false,
            partition: false,
            offset: false,
            headers: false,
            key: false,
            value: true,
            separator: b"\t".to_vec(),
            headers_separator: b",".to_vec(),
            line_separator: b"\n".to_vec(),
            null_literal: b"null".to_vec(),
        }
    }
}

impl RecordFormat {
    /// Sets what Kafka's formatter calls a property.
    ///
    /// # Errors
    /// That there is no such property.
    pub fn set_property(&mut self, key: &str, value: &str) -> Result<(), String> {
        let is_true = value.eq_ignore_ascii_case("true");
        match key {
            "print.timestamp" => self.timestamp = is_true,
            "print.partition" => self.partition = is_true,
            "print.offset" => self.offset = is_true,
            "print.headers" => self.headers = is_true,
            "print.key" => self.key = is_true,
            "print.value" => self.value = is_true,
            "key.separator" => self.separator = unescaped(value),
            "headers.separator" => self.headers_separator = unescaped(value),
            "line.separator" => self.line_separator = unescaped(value),
            "null.literal" => self.null_literal = value.as_bytes().to_vec(),
            _ => {
                return Err(format!(
                    "there is no property {key}; there are print.timestamp, print.partition, print.offset, \
                     print.headers, print.key, print.value, key.separator, headers.separator, line.separator and \
                     null.literal"
                ));
            }
        }
        Ok(())
    }

    /// Writes a record as a line, its bytes as they are.
    ///
    /// # Errors
    /// What the sink says.
    pub fn write_line(
        &self,
        name: &PartitionName,
        record: &FetchedRecord<'_>,
        sink: &mut dyn Write,
    ) -> io::Result<()> {
        if self.timestamp {
            write!(sink, "{}:{}", clock_name(record), record.timestamp)?;
            self.end_column(self.partition || self.offset || self.headers || self.key || self.value, sink)?;
        }
        if self.partition {
            write!(sink, "Partition:{}", name.partition)?;
            self.end_column(self.offset || self.headers || self.key || self.value, sink)?;
        }
        if self.offset {
            write!(sink, "Offset:{}", record.offset)?;
            self.end_column(self.headers || self.key || self.value, sink)?;
        }
        if self.headers {
            self.write_headers(record, sink)?;
            self.end_column(self.key || self.value, sink)?;
        }
        if self.key {
            sink.write_all(record.key.unwrap_or(&self.null_literal))?;
            self.end_column(self.value, sink)?;
        }
        if self.value {
            sink.write_all(record.value.unwrap_or(&self.null_literal))?;
        }
        sink.write_all(&self.line_separator)
    }

    fn end_column(&self, another_follows: bool, sink: &mut dyn Write) -> io::Result<()> {
        if another_follows { sink.write_all(&self.separator) } else { Ok(()) }
    }

    fn write_headers(&self, record: &FetchedRecord<'_>, sink: &mut dyn Write) -> io::Result<()> {
        if record.headers.is_empty() {
            return sink.write_all(b"NO_HEADERS");
        }
        for (index, header) in record.headers.iter().enumerate() {
            if index > 0 {
                sink.write_all(&self.headers_separator)?;
            }
            sink.write_all(header.key)?;
            sink.write_all(b":")?;
            sink.write_all(header.value.unwrap_or(&self.null_literal))?;
        }
        Ok(())
    }
}

fn clock_name(record: &FetchedRecord<'_>) -> &'static str {
    match record.timestamp_type {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

/// A record as a JSON object. What is not UTF-8 is there in base 64, under another name.
#[derive(Serialize)]
pub struct JsonRecord<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    timestamp_type: &'static str,
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    headers: Vec<JsonHeader<'a>>,
}

#[derive(Serialize)]
struct JsonHeader<'a> {
    name: String,
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

impl<'a> JsonRecord<'a> {
    /// The record of a partition.
    pub fn new(name: &'a PartitionName, record: &FetchedRecord<'a>) -> JsonRecord<'a> {
        let (key, key_base64) = text_or_base64(record.key);
        let (value, value_base64) = text_or_base64(record.value);
        let headers = record.headers.iter().map(|header| {
            let (value, value_base64) = text_or_base64(header.value);
            JsonHeader { name: String::from_utf8_lossy(header.key).into_owned(), value, value_base64 }
        });
        JsonRecord {
            topic: &name.topic,
            partition: name.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            timestamp_type: clock_name(record),
            key,
            key_base64,
            value,
            value_base64,
            headers: headers.collect(),
        }
    }
}

/// Both are none for no bytes at all.
fn text_or_base64(bytes: Option<&[u8]>) -> (Option<&str>, Option<String>) {
    match bytes.map(std::str::from_utf8) {
        Some(Ok(text)) => (Some(text), None),
        Some(Err(_)) => (None, bytes.map(base64)),
        None => (None, None),
    }
}

/// Base 64 with the usual alphabet and padding (RFC 4648).
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let number = (0..3)
            .fold(0, |number, index| number << 8 | u32::from(three.get(index).copied().unwrap_or_default()));
        for place in 0..4 {
            let digit = (number >> (18 - 6 * place)) as usize & 0x3f;
            text.push(if place <= three.len() { char::from(ALPHABET[digit]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use ringlog_core::record_batch::Headers;

    use super::*;

    fn name() -> PartitionName {
        PartitionName { topic: "t".to_owned(), partition: 3 }
    }

    fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> FetchedRecord<'a> {
        let timestamp_type = TimestampType::CreateTime;
        FetchedRecord { offset: 17, timestamp: 99, timestamp_type, key, value, headers: Headers::default() }
    }

    fn line(format: &RecordFormat, record: &FetchedRecord<'_>) -> String {
        let mut bytes = Vec::new();
        format.write_line(&name(), record, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_holds_what_was_asked_for_in_kafkas_order() {
        let mut format = RecordFormat::default();
        assert_eq!(line(&format, &record(Some(b"k"), Some(b"v"))), "v\n");
        for key in ["print.key", "print.headers", "print.offset", "print.partition", "print.timestamp"] {
            format.set_property(key, "true").unwrap();
        }
        format.set_property("key.separator", "|").unwrap();
        let expected = "CreateTime:99|Partition:3|Offset:17|NO_HEADERS|null|v\n";
        assert_eq!(line(&format, &record(None, Some(b"v"))), expected);
        format.set_property("print.value", "false").unwrap();
        assert_eq!(
            line(&format, &record(Some(b"k"), None)),
            "CreateTime:99|Partition:3|Offset:17|NO_HEADERS|k\n"
        );
        assert!(format.set_property("print.epoch", "true").unwrap_err().contains("print.offset"));
    }

    #[test]
    fn json_holds_text_as_text_and_other_bytes_in_base_64() {
        let name = name();
        let json = |key, value| serde_json::to_value(JsonRecord::new(&name, &record(key, value))).unwrap();
        let object = json(Some(b"k\n"), Some(b"\xff\x00"));
        assert_eq!((&object["key"], &object["offset"]), (&"k\n".into(), &17.into()));
        assert_eq!((&object["value"], &object["value_base64"]), (&serde_json::Value::Null, &"/wA=".into()));
        let object = json(None, None);
        assert!(object["key"].is_null() && object.get("key_base64").is_none());
    }

    #[test]
    fn base_64_is_that_of_the_standard() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
