//! Why a measurement did not happen, and who is to blame.

use std::fmt;

use ringlog::client::ClientFailure;
use ringlog_core::error_code::ErrorCode;

/// Why there is no result.
#[derive(Debug)]
pub enum BenchFailure {
    /// What was asked for makes no sense.
    Arguments(String),
    /// The broker refused, was silent, or answered what cannot be.
    Broker(String),
    /// The broker could not be asked.
    Client(ClientFailure),
    /// This machine: its rings, its disk, its files.
    Host(String),
}

/// What a broker's error code is called.
pub fn error_name(code: i16) -> &'static str {
    ErrorCode::from_number(code).map_or("an unknown error", ErrorCode::name)
}

impl fmt::Display for BenchFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BenchFailure::Arguments(words) => write!(formatter, "the command line: {words}"),
            BenchFailure::Broker(words) => write!(formatter, "the broker: {words}"),
            BenchFailure::Client(failure) => write!(formatter, "the broker: {failure}"),
            BenchFailure::Host(words) => write!(formatter, "this machine: {words}"),
        }
    }
}

impl std::error::Error for BenchFailure {}

impl From<ClientFailure> for BenchFailure {
    fn from(failure: ClientFailure) -> BenchFailure {
        BenchFailure::Client(failure)
    }
}
