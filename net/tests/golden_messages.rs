//! Our codec against the bytes Kafka's own classes write, for every API, version and direction.

mod golden_data;

use golden_data::{Golden, headers, messages};
use ringlog_net::protocol::header::decode_response_header;
use ringlog_net::protocol::{
    AnyRequest, AnyResponse, ApiKey, Counter, DecodeError, Decoder, MessageKind, RequestHeader, Writer,
    decode_request_header,
};

/// Decodes a body and says: what was left unread, and what we write for it.
fn decode_and_encode(golden: &Golden, body: &[u8]) -> Result<(usize, Vec<u8>), DecodeError> {
    let mut decoder = Decoder::new(body);
    let encoded = match golden.kind {
        MessageKind::Request => {
            AnyRequest::decode(golden.api, &mut decoder, golden.version)?.encode_body(golden.version)
        }
        MessageKind::Response => {
            AnyResponse::decode(golden.api, &mut decoder, golden.version)?.encode_body(golden.version)
        }
    };
    Ok((decoder.remaining(), encoded))
}

fn label(golden: &Golden, index: usize) -> String {
    format!("{:?} {:?} version {} (row {index})", golden.api, golden.kind, golden.version)
}

#[test]
fn every_message_kafka_writes_is_read_to_its_end_and_written_back_the_same() {
    for (index, golden) in messages().iter().enumerate() {
        let (remaining, encoded) = decode_and_encode(golden, &golden.body)
            .unwrap_or_else(|error| panic!("{}: {error}", label(golden, index)));
        assert_eq!(remaining, 0, "{}", label(golden, index));
        assert_eq!(encoded, golden.body, "{}", label(golden, index));
    }
}

#[test]
fn w12_tagged_fields_nobody_knows_are_skipped_and_change_nothing() {
    let tagged = messages().into_iter().filter(|golden| !golden.tagged.is_empty()).collect::<Vec<_>>();
    assert!(tagged.len() > 500, "only {} messages carry unknown tags", tagged.len());
    for (index, golden) in tagged.iter().enumerate() {
        assert_ne!(golden.tagged, golden.body);
        let (remaining, encoded) = decode_and_encode(golden, &golden.tagged)
            .unwrap_or_else(|error| panic!("{}: {error}", label(golden, index)));
        assert_eq!((remaining, encoded), (0, golden.body.clone()), "{}", label(golden, index));
    }
}

#[test]
fn golden_bytes_cover_every_version_of_every_message() {
    let messages = messages();
    for api in ApiKey::ALL {
        for version in api.versions().first..=api.versions().last {
            for kind in [MessageKind::Request, MessageKind::Response] {
                let count = messages
                    .iter()
                    .filter(|golden| (golden.api, golden.kind, golden.version) == (*api, kind, version))
                    .count();
                assert_eq!(count, 7, "{api:?} {kind:?} version {version}");
            }
        }
        let beyond =
            messages.iter().find(|golden| golden.api == *api && !api.versions().contains(golden.version));
        assert!(beyond.is_none(), "Kafka has a version of {api:?} that we do not know");
    }
}

#[test]
fn w3_w4_request_headers_are_kafkas_whatever_the_api_and_version() {
    for golden in headers() {
        let expected = RequestHeader {
            api_key: golden.api as i16,
            api_version: golden.version,
            correlation_id: golden.correlation_id,
            client_id: golden.client_id.as_deref(),
        };
        assert_eq!(decode_request_header(&golden.request), Ok((expected, golden.request.len())));
        assert_eq!(decode_request_header(&golden.tagged), Ok((expected, golden.tagged.len())));
        let mut counter = Counter::default();
        expected.write(golden.api, &mut counter);
        let mut written = vec![0; counter.total_bytes()];
        let mut writer = Writer::new(&mut written);
        expected.write(golden.api, &mut writer);
        writer.finish();
        assert_eq!(written, golden.request, "{:?} version {}", golden.api, golden.version);
    }
}

#[test]
fn w2_w4_response_headers_are_kafkas_whatever_the_api_and_version() {
    for golden in headers() {
        let read = decode_response_header(&golden.response, golden.api, golden.version);
        assert_eq!(
            read,
            Ok((golden.correlation_id, golden.response.len())),
            "{:?} {}",
            golden.api,
            golden.version
        );
    }
}
