//! Whole frames: length, header and body as the segments that go to the socket.
//!
//! Always true: the arena is asked once, for exactly the bytes that are written; record slices of the log are
//! sent as they are.

use ringlog_runtime::buffer::{Arena, ArenaFull, Slice};

use crate::protocol::api_key::ApiKey;
use crate::protocol::header::{self, RequestHeader};
use crate::protocol::message::{Message, MessageKind};
use crate::wire::decoder::{DecodeError, Decoder};
use crate::wire::encoder::{Counter, Writer, Written, interleave};

/// A response's segments, one behind the other, and the errors in it.
#[derive(Debug)]
pub struct ResponseFrame {
    /// What goes to the socket.
    pub segments: Vec<Slice>,
    /// Every error code in the response that is not zero.
    pub error_codes: Vec<i16>,
}

/// A response as the segments to send, one behind the other.
///
/// # Panics
/// If the message is not a response of this API.
pub fn encode_response_frame<M: Message>(
    arena: &Arena,
    api_key: ApiKey,
    version: i16,
    correlation_id: i32,
    message: &M,
) -> Result<Vec<Slice>, ArenaFull> {
    encode_response(arena, api_key, version, correlation_id, message).map(|frame| frame.segments)
}

/// As [`encode_response_frame`], for whoever counts errors.
///
/// # Panics
/// If the message is not a response of this API.
pub fn encode_response<M: Message>(
    arena: &Arena,
    api_key: ApiKey,
    version: i16,
    correlation_id: i32,
    message: &M,
) -> Result<ResponseFrame, ArenaFull> {
    assert_eq!((M::API_KEY, M::KIND), (api_key, MessageKind::Response), "a response of the API asked for");
    let mut head = Counter::default();
    header::write_response_header(api_key, version, correlation_id, &mut head);
    encode_frame(arena, head, version, message, |writer| {
        header::write_response_header(api_key, version, correlation_id, writer);
    })
}

/// A request as the segments to send, one behind the other. The header's API key is the message's.
///
/// # Panics
/// If the message is not a request.
pub fn encode_request_frame<M: Message>(
    arena: &Arena,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    message: &M,
) -> Result<Vec<Slice>, ArenaFull> {
    assert_eq!(M::KIND, MessageKind::Request, "a request goes to a broker");
    let api_key = M::API_KEY as i16;
    let request = RequestHeader { api_key, api_version: version, correlation_id, client_id };
    let mut head = Counter::default();
    request.write(M::API_KEY, &mut head);
    encode_frame(arena, head, version, message, |writer| request.write(M::API_KEY, writer))
        .map(|frame| frame.segments)
}

/// A response's correlation id, and the decoder of its body.
pub fn decode_response(
    frame: &[u8],
    api_key: ApiKey,
    version: i16,
) -> Result<(i32, Decoder<'_>), DecodeError> {
    let (correlation_id, body) = header::decode_response_header(frame, api_key, version)?;
    Ok((correlation_id, Decoder::at(frame, body)))
}

/// The body alone, in one vector: for tests and for stored messages.
pub fn encode_body<M: Message>(message: &M, version: i16) -> Vec<u8> {
    let mut bytes = vec![0; message.count(version).buffered_bytes];
    let mut writer = Writer::new(&mut bytes);
    message.encode(&mut writer, version);
    let shared = writer.finish().shared;
    let mut written = 0;
    let mut body = Vec::new();
    for (position, records) in &shared {
        body.extend_from_slice(&bytes[written..*position]);
        body.extend_from_slice(records);
        written = *position;
    }
    body.extend_from_slice(&bytes[written..]);
    body
}

fn encode_frame<M: Message>(
    arena: &Arena,
    head: Counter,
    version: i16,
    message: &M,
    write_head: impl FnOnce(&mut Writer<'_>),
) -> Result<ResponseFrame, ArenaFull> {
    const LENGTH_BYTES: usize = 4;
    let body = message.count(version);
    let total_bytes = head.total_bytes() + body.total_bytes();
    // A frame's length has 31 bits: there will never be memory for a longer one.
    let length = i32::try_from(total_bytes).map_err(|_| ArenaFull { requested_bytes: total_bytes })?;
    let buffered_bytes = LENGTH_BYTES + head.buffered_bytes + body.buffered_bytes;
    let mut buffer = arena.allocate(buffered_bytes)?;
    buffer.set_len(buffered_bytes);
    let (prefix, rest) = buffer.as_mut_slice().split_at_mut(LENGTH_BYTES);
    prefix.copy_from_slice(&length.to_be_bytes());
    let mut writer = Writer::new(rest);
    write_head(&mut writer);
    message.encode(&mut writer, version);
    let Written { shared, error_codes } = writer.finish();
    let shared = shared.into_iter().map(|(position, records)| (LENGTH_BYTES + position, records)).collect();
    Ok(ResponseFrame { segments: interleave(buffer, shared), error_codes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::api_versions::ApiVersionsResponse;
    use crate::protocol::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
    use crate::protocol::header::decode_request_header;
    use crate::protocol::metadata::MetadataRequest;
    use crate::wire::field::Records;

    fn log_slice(arena: &Arena, bytes: &[u8]) -> Slice {
        let mut buffer = arena.allocate(bytes.len()).unwrap();
        buffer.extend_from_slice(bytes);
        buffer.freeze()
    }

    #[test]
    fn record_slices_of_a_fetch_response_are_sent_where_they_lie() {
        let arena = Arena::unregistered(1 << 20);
        let records = log_slice(&arena, b"batch one, batch two");
        let address = records.as_ptr();
        let parts = vec![records.slice(0..9), records.slice(9..20)];
        let data = PartitionData { records: Some(Records::Slices(parts)), ..PartitionData::default() };
        let topic = FetchableTopicResponse { topic: "t", partitions: vec![data], ..Default::default() };
        let response = FetchResponse { responses: vec![topic], ..FetchResponse::default() };

        let segments = encode_response_frame(&arena, ApiKey::Fetch, 12, 7, &response).unwrap();

        assert_eq!(segments.len(), 4, "head, two record slices, tail");
        assert_eq!((segments[1].as_ptr(), &*segments[2]), (address, &b", batch two"[..]));
        let frame = segments.iter().flat_map(|segment| segment.to_vec()).collect::<Vec<_>>();
        assert_eq!(frame.len() as i32 - 4, i32::from_be_bytes(*frame.first_chunk().unwrap()));
        let (correlation_id, mut body) = decode_response(&frame[4..], ApiKey::Fetch, 12).unwrap();
        assert_eq!((correlation_id, FetchResponse::decode(&mut body, 12).unwrap()), (7, response));
        assert_eq!(body.remaining(), 0);
    }

    #[test]
    fn w2_the_header_of_an_api_versions_response_is_always_the_oldest() {
        let arena = Arena::unregistered(1 << 20);
        for version in 0..=4 {
            let response = ApiVersionsResponse { error_code: 0x0102, ..ApiVersionsResponse::default() };
            let frame = encode_response_frame(&arena, ApiKey::ApiVersions, version, 0x7777_7777, &response);
            let frame = frame.unwrap().concat_bytes();
            assert_eq!(frame[4..10], [0x77, 0x77, 0x77, 0x77, 1, 2], "version {version}");
        }
    }

    #[test]
    fn every_error_code_of_a_response_is_told_and_nothing_else_is_taken_for_one() {
        let arena = Arena::unregistered(1 << 20);
        let data = |error_code| PartitionData { error_code, high_watermark: 7, ..PartitionData::default() };
        let partitions = vec![data(0), data(1), data(3), data(1)];
        let topic = FetchableTopicResponse { topic: "t", partitions, ..Default::default() };
        let response = FetchResponse { session_id: 9, responses: vec![topic], ..FetchResponse::default() };
        let frame = encode_response(&arena, ApiKey::Fetch, 12, 5, &response).unwrap();
        assert_eq!(frame.error_codes, [1, 3, 1]);
        // A version without a code of its own for the whole response tells none.
        let refused = FetchResponse { error_code: 70, ..FetchResponse::default() };
        assert!(encode_response(&arena, ApiKey::Fetch, 6, 5, &refused).unwrap().error_codes.is_empty());
        assert_eq!(encode_response(&arena, ApiKey::Fetch, 7, 5, &refused).unwrap().error_codes, [70]);
    }

    trait Concat {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl Concat for Vec<Slice> {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|segment| segment.to_vec()).collect()
        }
    }

    #[test]
    fn a_request_frame_reads_back_as_it_was_asked() {
        let arena = Arena::unregistered(1 << 20);
        let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
        for version in 1..=13 {
            let frame =
                encode_request_frame(&arena, version, -5, Some("ülü"), &request).unwrap().concat_bytes();
            let (header, body) = decode_request_header(&frame[4..]).unwrap();
            let expected = RequestHeader {
                api_key: 3,
                api_version: version,
                correlation_id: -5,
                client_id: Some("ülü"),
            };
            assert_eq!(header, expected);
            let mut decoder = Decoder::at(&frame[4..], body);
            assert_eq!(MetadataRequest::decode(&mut decoder, version).unwrap(), request, "version {version}");
        }
    }

    #[test]
    fn an_arena_without_room_refuses_the_whole_frame() {
        let arena = Arena::unregistered(0);
        let response = ApiVersionsResponse::default();
        assert!(encode_response_frame(&arena, ApiKey::ApiVersions, 0, 0, &response).is_err());
    }
}
