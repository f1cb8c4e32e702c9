//! A connection to one broker: requests out, answers in, one at a time, in versions that both sides know.
//!
//! ```text
//!   connect ──► ApiVersions, version 0 ──► ask(request) ──► the newest common version ──► Answer ── read ──► response
//! ```
//!
//! Always true: after a failure in the middle of an exchange the connection is not used again, because the next bytes
//! could be anything; an answer's memory grows with the bytes that came, never by what its length announces.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use ringlog_net::protocol::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ringlog_net::protocol::{
    ApiKey, DecodeError, Decoder, Message, VersionRange, decode_response, encode_request_frame,
};
use ringlog_runtime::buffer::Arena;

use crate::client::address::Address;
use crate::client::failure::ClientFailure;
use crate::client::limits::{ANSWER_BYTES_MAX, REQUEST_BYTES_MAX};

/// What we call ourselves.
const CLIENT_ID: &str = "ringlog-cli";

/// What is read at once.
const READ_BYTES: usize = 64 << 10;

/// An open connection.
pub struct Connection {
    address: Address,
    stream: TcpStream,
    served: BTreeMap<i16, VersionRange>,
    arena: Arena,
    correlation_id: i32,
}

/// An answer whose header was read.
pub struct Answer {
    address: Address,
    api: ApiKey,
    version: i16,
    frame: Vec<u8>,
}

impl Answer {
    /// The version it is in.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// The body, borrowed from this.
    ///
    /// # Errors
    /// [`ClientFailure::Garbled`].
    pub fn read<'a, R>(
        &'a self,
        decode: impl FnOnce(&mut Decoder<'a>, i16) -> Result<R, DecodeError>,
    ) -> Result<R, ClientFailure> {
        let garbled = |error: DecodeError| self.garbled(error.to_string());
        let (_, mut body) = decode_response(&self.frame, self.api, self.version).map_err(garbled)?;
        decode(&mut body, self.version).map_err(garbled)
    }

    fn garbled(&self, reason: String) -> ClientFailure {
        ClientFailure::Garbled { address: self.address.clone(), api: self.api, reason }
    }
}

impl Connection {
    /// Connects and asks what the broker serves. No single wait lasts longer than `timeout`.
    ///
    /// # Errors
    /// [`ClientFailure::Unreachable`], or whatever asking can fail with.
    pub fn open(address: &Address, timeout: Duration) -> Result<Connection, ClientFailure> {
        let stream = connect(address, timeout)
            .map_err(|error| ClientFailure::Unreachable { tried: vec![(address.clone(), error)] })?;
        let mut connection = Connection {
            address: address.clone(),
            stream,
            served: BTreeMap::new(),
            arena: Arena::unregistered(REQUEST_BYTES_MAX),
            correlation_id: 0,
        };
        connection.learn_versions()?;
        Ok(connection)
    }

    /// Whose.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What the broker serves: API numbers, known to this program or not, and their versions.
    pub fn served(&self) -> &BTreeMap<i16, VersionRange> {
        &self.served
    }

    /// Asks in the newest common version.
    ///
    /// # Errors
    /// Whatever can go wrong on the way; a refusal inside the answer is an answer.
    pub fn ask<M: Message>(&mut self, request: &M) -> Result<Answer, ClientFailure> {
        self.ask_up_to(i16::MAX, request)
    }

    /// As [`Connection::ask`], in a version not above `version_max`: where newer ones ask for more than we have.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub fn ask_up_to<M: Message>(&mut self, version_max: i16, request: &M) -> Result<Answer, ClientFailure> {
        let version = self.common_version::<M>(version_max)?;
        self.exchange(version, request)
    }

    /// Sends a request that is not answered: a produce that asks for no acknowledgement.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub fn tell_up_to<M: Message>(&mut self, version_max: i16, request: &M) -> Result<(), ClientFailure> {
        let version = self.common_version::<M>(version_max)?;
        self.send(version, request).map_err(|error| self.lost(M::API_KEY, error))
    }

    fn common_version<M: Message>(&self, version_max: i16) -> Result<i16, ClientFailure> {
        let known = VersionRange { first: M::VERSIONS.first, last: M::VERSIONS.last.min(version_max) };
        let served = self.served.get(&(M::API_KEY as i16)).copied();
        let common = served.map(|served| served.last.min(known.last));
        match (served, common) {
            (Some(served), Some(version)) if version >= known.first.max(served.first) => Ok(version),
            _ => Err(ClientFailure::NotServed {
                address: self.address.clone(),
                api: M::API_KEY,
                known,
                served,
            }),
        }
    }

    /// Version 0 is understood by every broker there is.
    fn learn_versions(&mut self) -> Result<(), ClientFailure> {
        let answer = self.exchange(0, &ApiVersionsRequest::default())?;
        let response = answer.read(ApiVersionsResponse::decode)?;
        ClientFailure::check(response.error_code, || format!("broker {}", self.address), None)?;
        let ranges = response.api_keys.iter();
        self.served = ranges
            .map(|api| (api.api_key, VersionRange { first: api.min_version, last: api.max_version }))
            .collect();
        Ok(())
    }

    fn exchange<M: Message>(&mut self, version: i16, request: &M) -> Result<Answer, ClientFailure> {
        let sent = self.send(version, request);
        let frame =
            sent.and_then(|()| read_frame(&mut self.stream)).map_err(|error| self.lost(M::API_KEY, error))?;
        let answer = Answer { address: self.address.clone(), api: M::API_KEY, version, frame };
        let (correlation_id, _) = decode_response(&answer.frame, M::API_KEY, version)
            .map_err(|error| answer.garbled(error.to_string()))?;
        if correlation_id != self.correlation_id {
            return Err(
                answer.garbled(format!("it answers request {correlation_id}, not {}", self.correlation_id))
            );
        }
        Ok(answer)
    }

    fn send<M: Message>(&mut self, version: i16, request: &M) -> io::Result<()> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let frame = encode_request_frame(&self.arena, version, self.correlation_id, Some(CLIENT_ID), request)
            .map_err(io::Error::other)?;
        frame.iter().try_for_each(|segment| self.stream.write_all(segment))
    }

    fn lost(&self, api: ApiKey, error: io::Error) -> ClientFailure {
        ClientFailure::Lost { address: self.address.clone(), api, error }
    }
}

/// The first of the host's addresses that answers.
fn connect(address: &Address, timeout: Duration) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in (address.host.as_str(), address.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// A frame without its length.
fn read_frame(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let length = usize::try_from(i32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if length > ANSWER_BYTES_MAX {
        let reason = format!("an answer of {length} bytes is announced, at most {ANSWER_BYTES_MAX} are read");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    let mut frame = Vec::with_capacity(length.min(READ_BYTES));
    stream.take(length as u64).read_to_end(&mut frame)?;
    match frame.len() == length {
        true => Ok(frame),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use ringlog_net::protocol::list_groups::ListGroupsRequest;
    use ringlog_net::protocol::metadata::MetadataRequest;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    /// A broker that answers each of its connections with these bytes, whatever it is asked.
    fn broker_that_says(answers: Vec<Vec<u8>>) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                read_frame(&mut stream).unwrap();
                stream.write_all(&answer).unwrap();
            }
        });
        Address { host: "127.0.0.1".to_owned(), port }
    }

    fn failure_of(answer: &[u8]) -> String {
        let address = broker_that_says(vec![answer.to_vec()]);
        match Connection::open(&address, TIMEOUT) {
            Ok(_) => panic!("{answer:?} was taken for an answer"),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn a_broker_that_is_no_broker_is_found_out() {
        let web_server = failure_of(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        assert!(web_server.contains("bytes is announced"), "{web_server}");
        let silent = failure_of(b"");
        assert!(silent.contains("closed the connection"), "{silent}");
        let short = failure_of(&[0, 0, 0, 9, 0, 0, 0, 1, 0]);
        assert!(short.contains("closed the connection"), "{short}");
        let foreign = failure_of(&[0, 0, 0, 10, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0]);
        assert!(foreign.contains("answers request 7, not 1"), "{foreign}");
        let torn = failure_of(&[0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 9]);
        assert!(torn.contains("9 elements announced"), "{torn}");
    }

    #[test]
    fn an_api_that_is_not_served_is_named_before_anything_is_sent() {
        // Given a broker that has Metadata in versions 0 to 1 and nothing else.
        let answer = [0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 3, 0, 0, 0, 1];
        let mut connection = Connection::open(&broker_that_says(vec![answer.to_vec()]), TIMEOUT).unwrap();
        let refusal =
            connection.ask(&ListGroupsRequest::default()).err().expect("it is not served").to_string();
        assert!(refusal.contains("does not serve ListGroups"), "{refusal}");
        assert_eq!(connection.common_version::<MetadataRequest<'_>>(9).ok(), Some(1));
        assert_eq!(connection.common_version::<MetadataRequest<'_>>(0).ok(), Some(0));
    }

    #[test]
    fn where_nobody_listens_the_failure_says_how_to_go_on() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = Address { host: "127.0.0.1".to_owned(), port };
        let failure = Connection::open(&address, TIMEOUT).err().expect("nobody listens").to_string();
        assert!(failure.contains(&address.to_string()) && failure.contains("ringlog start"), "{failure}");
    }
}
