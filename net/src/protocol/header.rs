//! What stands before every request and response.
//!
//! ```text
//!   request   [api key i16][version i16][correlation id i32][client id: old nullable string][tags, flexible only]
//!   response  [correlation id i32][tags, flexible only, never for ApiVersions]
//! ```
//!
//! Always true: the header's version follows from API key and version alone, which therefore are read first; the
//! client id keeps its old encoding in every header, so that a broker can read it before it knows the rest.
//! Header v0, without a client id, belonged to one API that Kafka 4 no longer has; it is never used.

use crate::protocol::api_key::ApiKey;
use crate::wire::decoder::{DecodeError, DecodeFault, Decoder};
use crate::wire::encoder::Sink;
use crate::wire::field::{Nullable, Shape, Wire};

const OLD: Shape = Shape { version: 0, flexible: false, nullable: true };

/// What a client says before the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestHeader<'a> {
    /// Which API, as sent; [`ApiKey::from_wire`] tells whether the codec knows it.
    pub api_key: i16,
    /// Which version of it, as sent.
    pub api_version: i16,
    /// Returned with the response.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<&'a str>,
}

/// Reads a request's header; the body starts at the returned position of the frame.
///
/// An unknown API is refused, as its header's version is unknown. An unsupported *version* of a known API is not:
/// its header is read as the nearest known version's, and ApiVersions must be answered whatever its version.
pub fn decode_request_header(frame: &[u8]) -> Result<(RequestHeader<'_>, usize), DecodeError> {
    let mut decoder = Decoder::new(frame);
    let api_key = i16::read(&mut decoder, OLD)?;
    let Some(known) = ApiKey::from_wire(api_key) else {
        return Err(DecodeError { fault: DecodeFault::UnknownApi { api_key }, position: 0 });
    };
    let api_version = i16::read(&mut decoder, OLD)?;
    let correlation_id = i32::read(&mut decoder, OLD)?;
    let client_id = <&str>::read_nullable(&mut decoder, OLD)?;
    if known.request_header_version(api_version) >= 2 {
        decoder.skip_tagged_fields()?;
    }
    Ok((RequestHeader { api_key, api_version, correlation_id, client_id }, decoder.position()))
}

impl RequestHeader<'_> {
    /// Writes the header as a client does.
    pub fn write<S: Sink>(&self, api_key: ApiKey, sink: &mut S) {
        self.api_key.write(sink, OLD);
        self.api_version.write(sink, OLD);
        self.correlation_id.write(sink, OLD);
        <&str>::write_nullable(self.client_id.as_ref(), sink, OLD);
        if api_key.request_header_version(self.api_version) >= 2 {
            sink.put_unsigned_varint(0);
        }
    }
}

/// Reads a response's header: its correlation id, and where the body starts.
pub fn decode_response_header(
    frame: &[u8],
    api_key: ApiKey,
    version: i16,
) -> Result<(i32, usize), DecodeError> {
    let mut decoder = Decoder::new(frame);
    let correlation_id = i32::read(&mut decoder, OLD)?;
    if api_key.response_header_version(version) >= 1 {
        decoder.skip_tagged_fields()?;
    }
    Ok((correlation_id, decoder.position()))
}

/// Writes a response's header.
pub fn write_response_header<S: Sink>(api_key: ApiKey, version: i16, correlation_id: i32, sink: &mut S) {
    correlation_id.write(sink, OLD);
    if api_key.response_header_version(version) >= 1 {
        sink.put_unsigned_varint(0);
    }
}
