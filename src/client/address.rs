//! Where a broker is reached: `host:port`, with brackets around an IPv6 address.

use std::fmt;
use std::str::FromStr;

/// The port brokers listen on unless told otherwise.
const DEFAULT_PORT: u16 = 9092;

/// A host and a port, not yet looked up.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let wrong = || format!("{text:?} is no address: write HOST or HOST:PORT, for example 127.0.0.1:9092");
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(wrong)?,
            None => text.split_at(text.rfind(':').unwrap_or(text.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| wrong())?,
            None if port.is_empty() => DEFAULT_PORT,
            None => return Err(wrong()),
        };
        let is_bare_ipv6 = host.contains(':') && !text.starts_with('[');
        if host.is_empty() || port == 0 || is_bare_ipv6 {
            return Err(wrong());
        }
        Ok(Address { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(formatter, "[{}]:{}", self.host, self.port),
            false => write!(formatter, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_it_is_written() {
        for text in ["127.0.0.1:9092", "broker.example:1", "[::1]:9093"] {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("localhost".parse::<Address>().unwrap().to_string(), "localhost:9092");
        assert_eq!("[fe80::1]".parse::<Address>().unwrap().to_string(), "[fe80::1]:9092");
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for text in
            ["", ":9092", "host:", "host:x", "host:70000", "host:0", "[::1", "[::1]9092", "::1", "::1:92"]
        {
            let refusal = text.parse::<Address>().unwrap_err();
            assert!(refusal.contains("for example 127.0.0.1:9092"), "{text}: {refusal}");
        }
    }
}
