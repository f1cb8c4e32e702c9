//! The rules of the wire that a decoder must keep, one test each.

use ringlog_net::protocol::api_versions::ApiVersionsRequest;
use ringlog_net::protocol::fetch::FetchRequest;
use ringlog_net::protocol::metadata::{MetadataRequest, MetadataResponse, MetadataResponseTopic};
use ringlog_net::protocol::offset_commit::OffsetCommitRequest;
use ringlog_net::protocol::produce::ProduceRequest;
use ringlog_net::protocol::{
    ApiKey, DecodeError, DecodeFault, Decoder, Message, Uuid, decode_request_header, encode_body,
};

fn metadata(version: i16, body: &[u8]) -> Result<(MetadataRequest<'_>, usize), DecodeError> {
    let mut decoder = Decoder::new(body);
    MetadataRequest::decode(&mut decoder, version).map(|request| (request, decoder.remaining()))
}

/// A fetch request of version 12 that ends in these tagged fields.
fn fetch_with_tags(tags: &[u8]) -> Vec<u8> {
    let mut body = encode_body(&FetchRequest::default(), 12);
    assert_eq!(body.pop(), Some(0), "no tagged fields of its own");
    body.extend_from_slice(tags);
    body
}

fn fetch_fault(tags: &[u8]) -> DecodeFault {
    FetchRequest::decode(&mut Decoder::new(&fetch_with_tags(tags)), 12).unwrap_err().fault
}

#[test]
fn w1_the_header_of_an_unknown_api_versions_version_is_read_so_that_it_can_be_answered() {
    // Version 99, correlation id 7, client "c", no tagged fields, then a body nobody knows.
    let frame = [0, 18, 0, 99, 0, 0, 0, 7, 0, 1, b'c', 0, 0xde, 0xad];
    let (header, body) = decode_request_header(&frame).unwrap();
    assert_eq!((header.api_version, header.correlation_id, body), (99, 7, 12));
    let error = ApiVersionsRequest::decode(&mut Decoder::at(&frame, body), 99).unwrap_err();
    assert_eq!(error.fault, DecodeFault::UnsupportedVersion { api_key: 18, version: 99 });
}

#[test]
fn w3_the_client_id_keeps_its_old_encoding_in_flexible_headers() {
    let frame = [0, 3, 0, 12, 0, 0, 0, 1, 0, 2, b'm', b'e', 0];
    let (header, body) = decode_request_header(&frame).unwrap();
    assert_eq!((header.client_id, body), (Some("me"), 13));
    let absent = [0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0];
    assert_eq!(decode_request_header(&absent).unwrap().0.client_id, None);
}

#[test]
fn w4_the_handshake_and_offset_delete_never_become_flexible() {
    for api in [ApiKey::SaslHandshake, ApiKey::OffsetDelete] {
        for version in [0, 1, 2, i16::MAX - 1] {
            assert_eq!((api.request_header_version(version), api.response_header_version(version)), (1, 0));
        }
    }
}

#[test]
fn w4_an_unknown_api_is_refused_before_the_rest_of_its_header_is_read() {
    for api_key in [-1i16, 4, 7, 999] {
        let error = decode_request_header(&api_key.to_be_bytes()).unwrap_err();
        assert_eq!(error, DecodeError { fault: DecodeFault::UnknownApi { api_key }, position: 0 });
    }
}

/// An OffsetCommit of version 8 without topics, by a member whose id has so many bytes.
fn commit_of_member(bytes: usize) -> Result<usize, DecodeFault> {
    let member_id = "a".repeat(bytes);
    let mut body = vec![2, b'g', 0, 0, 0, 1];
    let mut length = bytes as u32 + 1;
    while length >= 0x80 {
        body.push(length as u8 | 0x80);
        length >>= 7;
    }
    body.push(length as u8);
    body.extend_from_slice(member_id.as_bytes());
    body.extend_from_slice(&[0, 1, 0]);
    let request = OffsetCommitRequest::decode(&mut Decoder::new(&body), 8);
    request.map(|request| request.member_id.len()).map_err(|error| error.fault)
}

#[test]
fn text_is_no_longer_in_the_new_encodings_than_the_old_ones_could_hold() {
    assert_eq!(commit_of_member(32_767), Ok(32_767));
    assert_eq!(commit_of_member(32_768), Err(DecodeFault::TextTooLong { bytes: 32_768 }));
}

#[test]
fn w8_produce_below_version_3_is_not_decodable() {
    for version in 0..3 {
        let error = ProduceRequest::decode(&mut Decoder::new(&[0; 64]), version).unwrap_err();
        assert_eq!(error.fault, DecodeFault::UnsupportedVersion { api_key: 0, version });
    }
}

#[test]
fn w11_null_is_refused_where_the_version_does_not_allow_it() {
    let null = (-1i32).to_be_bytes();
    let refused = DecodeError { fault: DecodeFault::NullNotAllowed, position: 0 };
    assert_eq!(metadata(0, &null), Err(refused));
    assert_eq!(metadata(1, &null).unwrap().0.topics, None);
    // A topic without a name: allowed from version 10, where it may have an id.
    let nameless = [2, 0, 0, 0, 0, 0];
    assert_eq!(metadata(9, &nameless), Err(DecodeError { fault: DecodeFault::NullNotAllowed, position: 1 }));
}

#[test]
fn w11_every_negative_length_means_null_in_old_encodings() {
    for length in [-1i32, -2, i32::MIN] {
        assert_eq!(metadata(1, &length.to_be_bytes()).unwrap().0.topics, None, "{length}");
    }
}

#[test]
fn w12_a_repeated_tag_is_refused_known_or_not() {
    assert_eq!(fetch_fault(&[2, 0, 2, 2, b'a', 0, 2, 2, b'b']), DecodeFault::TagOutOfOrder { tag: 0 });
    assert_eq!(fetch_fault(&[2, 90, 0, 90, 0]), DecodeFault::TagOutOfOrder { tag: 90 });
}

#[test]
fn w12_tags_ascend() {
    assert_eq!(fetch_fault(&[2, 90, 0, 0, 2, 2, b'a']), DecodeFault::TagOutOfOrder { tag: 0 });
    let body = fetch_with_tags(&[2, 0, 2, 2, b'a', 90, 1, 0xff]);
    let request = FetchRequest::decode(&mut Decoder::new(&body), 12).unwrap();
    assert_eq!(request.cluster_id, Some("a"));
}

#[test]
fn w12_a_tag_of_a_later_version_is_skipped_in_an_earlier_one() {
    // Tag 1, the replica's state, is known from version 15; in version 12 its bytes may be anything.
    let body = fetch_with_tags(&[1, 1, 3, 0xff, 0xff, 0xff]);
    assert!(FetchRequest::decode(&mut Decoder::new(&body), 12).is_ok());
}

#[test]
fn a_tagged_field_may_be_neither_longer_nor_shorter_than_its_value() {
    assert_eq!(fetch_fault(&[1, 0, 3, 2, b'a', 9]), DecodeFault::TaggedFieldTooLong { surplus: 1 });
    assert_eq!(fetch_fault(&[1, 0, 1, 2, b'a']), DecodeFault::Truncated { needed: 1, remaining: 0 });
}

#[test]
fn more_tagged_fields_than_the_frame_can_hold_are_refused_at_their_count() {
    assert_eq!(
        fetch_fault(&[0xff, 0xff, 3, 1, 0]),
        DecodeFault::CountTooLarge { count: 65_535, remaining: 2 }
    );
}

#[test]
fn variable_length_numbers_above_32_bits_are_refused() {
    for bytes in [[0xff, 0xff, 0xff, 0xff, 0x1f], [0x80, 0x80, 0x80, 0x80, 0x80]] {
        let error = Decoder::new(&bytes).unsigned_varint().unwrap_err();
        assert_eq!(error, DecodeError { fault: DecodeFault::BadVarint, position: 0 });
    }
    assert_eq!(Decoder::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).unsigned_varint(), Ok(u32::MAX));
}

#[test]
fn text_that_is_not_utf8_is_refused_at_its_first_bad_byte() {
    let error = metadata(1, &[0, 0, 0, 1, 0, 3, b'a', 0xc3, 0x28]).unwrap_err();
    assert_eq!(error, DecodeError { fault: DecodeFault::NotUtf8, position: 7 });
}

#[test]
fn bytes_behind_a_body_are_left_unread_as_kafka_leaves_them() {
    let (request, remaining) = metadata(4, &[0, 0, 0, 0, 1, 9, 9, 9]).unwrap();
    assert_eq!((request.topics, remaining), (Some(Vec::new()), 3));
}

#[test]
fn w16_an_id_of_zeros_says_that_there_is_none() {
    let request = MetadataRequest { topics: Some(vec![Default::default()]), ..Default::default() };
    let body = encode_body(&request, 12);
    let (read, _) = metadata(12, &body).unwrap();
    assert!(read.topics.unwrap()[0].topic_id.is_zero());
    assert!(Uuid::ZERO.is_zero() && !Uuid([1; 16]).is_zero());
}

#[test]
fn a_null_that_an_old_version_cannot_say_is_written_as_empty() {
    let topic = MetadataResponseTopic { name: None, ..Default::default() };
    let response = MetadataResponse { topics: vec![topic], ..Default::default() };
    for version in MetadataResponse::VERSIONS.first..=MetadataResponse::VERSIONS.last {
        let body = encode_body(&response, version);
        let read = MetadataResponse::decode(&mut Decoder::new(&body), version).unwrap();
        assert_eq!(read.topics[0].name, if version < 12 { Some("") } else { None }, "version {version}");
    }
}

#[test]
fn text_longer_than_readers_take_is_cut_between_two_characters() {
    let long = "ü".repeat(20_000);
    let topic = MetadataResponseTopic { name: Some(&long), ..Default::default() };
    let response = MetadataResponse { topics: vec![topic], ..Default::default() };
    for version in [8, 9] {
        let body = encode_body(&response, version);
        let read = MetadataResponse::decode(&mut Decoder::new(&body), version).unwrap();
        assert_eq!(read.topics[0].name.map(str::len), Some(32_766), "version {version}");
    }
}
