//! Fuzz targets for what comes from a socket: whole request frames, request bodies, response bodies.
//!
//! Promises checked for every input: no panic; memory within the frame's budget; what is accepted is written and
//! read back as the same message, and written again as the same bytes.

#[path = "../../net/tests/golden_data/mod.rs"]
mod golden_data;

use golden_data::{Golden, headers, messages};
use ringlog_fuzz::allocation::{CountingAllocator, allocated_bytes};
use ringlog_fuzz::campaign::{Campaign, Outcome};
use ringlog_net::protocol::{AnyRequest, AnyResponse, ApiKey, Decoder, MessageKind, decode_request_header};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const ITERATIONS: usize = 60_000;

fn assert_memory(before: usize, frame: &[u8]) {
    let allocated = allocated_bytes() - before;
    let bound = (20 * frame.len()).clamp(64 << 10, 64 << 20);
    assert!(allocated <= bound, "{allocated} bytes allocated for a frame of {}", frame.len());
}

fn request_body(api: ApiKey, version: i16, frame: &[u8], body: usize) -> Outcome {
    let before = allocated_bytes();
    let decoded = AnyRequest::decode(api, &mut Decoder::at(frame, body), version);
    assert_memory(before, frame);
    let Ok(request) = decoded else { return Outcome::Refused };
    let encoded = request.encode_body(version);
    let again =
        AnyRequest::decode(api, &mut Decoder::new(&encoded), version).expect("what we wrote can be read");
    assert_eq!(again, request);
    assert_eq!(again.encode_body(version), encoded);
    Outcome::Accepted
}

fn response_body(api: ApiKey, version: i16, frame: &[u8]) -> Outcome {
    let before = allocated_bytes();
    let decoded = AnyResponse::decode(api, &mut Decoder::new(frame), version);
    assert_memory(before, frame);
    let Ok(response) = decoded else { return Outcome::Refused };
    let encoded = response.encode_body(version);
    let again =
        AnyResponse::decode(api, &mut Decoder::new(&encoded), version).expect("what we wrote can be read");
    assert_eq!(again, response);
    assert_eq!(again.encode_body(version), encoded);
    Outcome::Accepted
}

fn bodies(kind: MessageKind) -> Vec<((ApiKey, i16), Vec<u8>)> {
    let of_kind = messages().into_iter().filter(|golden| golden.kind == kind);
    let both = |golden: Golden| {
        let context = (golden.api, golden.version);
        [(context, golden.body), (context, golden.tagged)]
    };
    of_kind.flat_map(both).collect()
}

#[test]
fn changed_request_frames_are_read_or_refused() {
    let headers = headers();
    let frames = messages().into_iter().filter(|golden| golden.kind == MessageKind::Request).map(|golden| {
        let header =
            headers.iter().find(|header| (header.api, header.version) == (golden.api, golden.version));
        let head = &header.expect("every version has a header").tagged;
        ((), [head.as_slice(), &golden.body].concat())
    });
    let tally = Campaign::from_environment(ITERATIONS).run(frames.collect(), |(), frame| {
        let Ok((header, body)) = decode_request_header(frame) else { return Outcome::Refused };
        let api = ApiKey::from_wire(header.api_key).expect("a header is only read for a known API");
        request_body(api, header.api_version, frame, body)
    });
    assert!(tally.accepted > 0 && tally.refused > 0, "{tally:?}");
}

#[test]
fn changed_request_bodies_are_read_or_refused() {
    let tally = Campaign::from_environment(ITERATIONS)
        .run(bodies(MessageKind::Request), |(api, version), body| request_body(api, version, body, 0));
    assert!(tally.accepted > 0 && tally.refused > 0, "{tally:?}");
}

#[test]
fn changed_response_bodies_are_read_or_refused() {
    let tally = Campaign::from_environment(ITERATIONS)
        .run(bodies(MessageKind::Response), |(api, version), body| response_body(api, version, body));
    assert!(tally.accepted > 0 && tally.refused > 0, "{tally:?}");
}
