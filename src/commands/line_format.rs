//! How a line becomes a record, and Kafka's names for it.
//!
//! ```text
//!   tenant:42,trace:7 \t order-17 : {"total": 3}
//!   └── headers ────┘    └ key ─┘   └── value ─┘
//! ```

use crate::commands::arguments::unescaped;

/// How lines are taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineFormat {
    /// What stands between key and value; without it a line is all value.
    pub key_separator: Option<Vec<u8>>,
    /// A key or value that stands for none.
    pub null_marker: Option<Vec<u8>>,
    /// Whether lines begin with headers.
    pub parse_headers: bool,
    /// What stands behind the headers.
    pub headers_delimiter: Vec<u8>,
    /// What stands between two headers.
    pub headers_separator: Vec<u8>,
    /// What stands between a header's name and its value.
    pub header_name_separator: Vec<u8>,
    /// Whether a line without its separator is all value rather than wrong.
    pub ignore_error: bool,
}

impl Default for LineFormat {
    fn default() -> LineFormat {
        LineFormat {
            key_separator: None,
            null_marker: None,
            parse_headers: false,
            headers_delimiter: b"\t".to_vec(),
            headers_separator: b",".to_vec(),
            header_name_separator: b":".to_vec(),
            ignore_error: false,
        }
    }
}

/// A header's name and value.
pub type LineHeader<'a> = (&'a [u8], &'a [u8]);

/// A line taken apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LineRecord<'a> {
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Vec<LineHeader<'a>>,
}

impl LineFormat {
    /// Sets what Kafka's line reader calls a property.
    ///
    /// # Errors
    /// That there is no such property.
    pub fn set_property(&mut self, key: &str, value: &str) -> Result<(), String> {
        let is_true = value.eq_ignore_ascii_case("true");
        match key {
            "parse.key" if is_true => {
                self.key_separator.get_or_insert_with(|| b"\t".to_vec());
            }
            "parse.key" => self.key_separator = None,
            "key.separator" => self.key_separator = Some(unescaped(value)),
            "parse.headers" => self.parse_headers = is_true,
            "headers.delimiter" => self.headers_delimiter = unescaped(value),
            "headers.separator" => self.headers_separator = unescaped(value),
            "headers.key.separator" => self.header_name_separator = unescaped(value),
            "null.marker" => self.null_marker = Some(value.as_bytes().to_vec()),
            "ignore.error" => self.ignore_error = is_true,
            _ => {
                return Err(format!(
                    "there is no property {key}; there are parse.key, key.separator, parse.headers, headers.delimiter, \
                     headers.separator, headers.key.separator, null.marker and ignore.error"
                ));
            }
        }
        Ok(())
    }

    /// Whether lines can be taken apart at all.
    ///
    /// # Errors
    /// Which separator is empty.
    pub fn check(&self) -> Result<(), String> {
        let separators = [
            ("key separator", self.key_separator.as_deref().unwrap_or(b":")),
            ("headers' delimiter", &self.headers_delimiter),
            ("headers' separator", &self.headers_separator),
            ("separator of a header's name", &self.header_name_separator),
        ];
        match separators.iter().find(|(_, text)| text.is_empty()) {
            Some((name, _)) => Err(format!("the {name} is empty: write the text that stands there")),
            None => Ok(()),
        }
    }

    /// Takes a line apart.
    ///
    /// # Errors
    /// What is missing in it.
    pub fn parse<'a>(&self, line: &'a [u8]) -> Result<LineRecord<'a>, String> {
        let mut record = LineRecord::default();
        let mut rest = line;
        if self.parse_headers {
            match split_once(rest, &self.headers_delimiter) {
                Some((headers, behind)) => {
                    record.headers = self.headers(headers)?;
                    rest = behind;
                }
                None if self.ignore_error => {}
                None => return Err(missing("headers", &self.headers_delimiter)),
            }
        }
        if let Some(separator) = &self.key_separator {
            match split_once(rest, separator) {
                Some((key, value)) => {
                    record.key = self.unless_null(key);
                    rest = value;
                }
                None if self.ignore_error => {}
                None => return Err(missing("a key", separator)),
            }
        }
        record.value = self.unless_null(rest);
        Ok(record)
    }

    fn headers<'a>(&self, text: &'a [u8]) -> Result<Vec<LineHeader<'a>>, String> {
        let mut headers = Vec::new();
        let mut rest = Some(text).filter(|text| !text.is_empty() && self.unless_null(text).is_some());
        while let Some(text) = rest {
            let (header, behind) = match split_once(text, &self.headers_separator) {
                Some((header, behind)) => (header, Some(behind)),
                None => (text, None),
            };
            let pair = split_once(header, &self.header_name_separator);
            headers.push(pair.ok_or_else(|| missing("a header's name", &self.header_name_separator))?);
            rest = behind;
        }
        Ok(headers)
    }

    fn unless_null<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        (self.null_marker.as_deref() != Some(text)).then_some(text)
    }
}

fn missing(what: &str, separator: &[u8]) -> String {
    format!("{:?}, which ends {what}, is not in it", String::from_utf8_lossy(separator))
}

fn split_once<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(separator.len()).position(|window| window == separator)?;
    Some((&text[..at], &text[at + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_all_value_unless_something_else_is_said() {
        let record = LineFormat::default().parse(b"a:b\tc").unwrap();
        assert_eq!(record, LineRecord { value: Some(b"a:b\tc"), ..LineRecord::default() });
    }

    #[test]
    fn headers_key_and_value_are_told_apart() {
        let mut format = LineFormat::default();
        for (key, value) in [("parse.headers", "true"), ("key.separator", "::"), ("null.marker", "NULL")] {
            format.set_property(key, value).unwrap();
        }
        let record = format.parse(b"h1:v1,h2:v:2\tkey::va::lue").unwrap();
        assert_eq!(record.headers, [(&b"h1"[..], &b"v1"[..]), (b"h2", b"v:2")]);
        assert_eq!((record.key, record.value), (Some(&b"key"[..]), Some(&b"va::lue"[..])));
        let record = format.parse(b"NULL\tNULL::NULL").unwrap();
        assert_eq!(record, LineRecord::default());
        assert_eq!(
            format.parse(b"\t::").unwrap(),
            LineRecord { key: Some(b""), value: Some(b""), headers: vec![] }
        );
    }

    #[test]
    fn what_is_missing_in_a_line_is_named_or_ignored_if_asked_for() {
        let mut format = LineFormat { key_separator: Some(b":".to_vec()), ..LineFormat::default() };
        assert_eq!(format.parse(b"value").unwrap_err(), "\":\", which ends a key, is not in it");
        format.set_property("ignore.error", "true").unwrap();
        assert_eq!(format.parse(b"value").unwrap().value, Some(&b"value"[..]));
        format.set_property("key.separator", "").unwrap();
        assert!(format.check().unwrap_err().contains("key separator is empty"));
        assert!(format.set_property("parse.kye", "true").unwrap_err().contains("parse.key, key.separator"));
    }
}
