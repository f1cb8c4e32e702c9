//! What a sender of broken frames can do to the decoder: nothing but be refused, within a bound of memory.
//!
//! Every truncation and single-byte changes of every golden request and header are decoded while a counting
//! allocator watches.

mod golden_data;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use golden_data::{headers, messages};
use ringlog_net::protocol::{
    AnyRequest, AnyResponse, ApiKey, DecodeFault, Decoder, MessageKind, decode_request_header,
};

/// Counts what a thread allocates, never mind what it gives back.
struct CountingAllocator;

thread_local! {
    static ALLOCATED_BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of it.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED_BYTES.try_with(|bytes| bytes.set(bytes.get() + layout.size()));
        // SAFETY: the caller keeps `alloc`'s contract, which is this call's too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract, and the memory came from `System`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// What a frame of this size may make the decoder allocate: its budget, and some for what is not a list.
fn memory_bound(frame_bytes: usize) -> usize {
    (20 * frame_bytes).clamp(64 << 10, 64 << 20)
}

/// Decodes, and returns whether it was accepted and what was allocated for it.
fn decode(api: ApiKey, kind: MessageKind, version: i16, bytes: &[u8]) -> (bool, usize) {
    let before = ALLOCATED_BYTES.get();
    let mut decoder = Decoder::new(bytes);
    let accepted = match kind {
        MessageKind::Request => black_box(AnyRequest::decode(api, &mut decoder, version)).is_ok(),
        MessageKind::Response => black_box(AnyResponse::decode(api, &mut decoder, version)).is_ok(),
    };
    (accepted, ALLOCATED_BYTES.get() - before)
}

#[track_caller]
fn assert_bounded(api: ApiKey, kind: MessageKind, version: i16, bytes: &[u8]) -> bool {
    let (accepted, allocated) = decode(api, kind, version, bytes);
    let bound = memory_bound(bytes.len());
    assert!(
        allocated <= bound,
        "{api:?} {kind:?} {version}: {allocated} bytes for a frame of {}",
        bytes.len()
    );
    accepted
}

/// The values a byte of a frame is changed to: all of them in small frames; in larger ones every bit flipped and
/// those that mean most as lengths and counts; in the largest, whose long texts and lists are mostly alike, three.
fn changes_of(byte: u8, frame_bytes: usize) -> Vec<u8> {
    match frame_bytes {
        0..=64 => (0..=255).collect(),
        65..=400 => {
            let flips = (0..8).map(|bit| byte ^ (1 << bit));
            flips.chain([0, 1, 0x7f, 0x80, 0xff, byte.wrapping_add(1), byte.wrapping_sub(1)]).collect()
        }
        _ => vec![byte ^ 1, byte ^ 0x80, 0xff],
    }
}

#[test]
fn every_truncation_of_every_message_is_refused_or_read_within_the_memory_bound() {
    let mut refused = 0u64;
    for golden in messages() {
        for bytes in [&golden.body, &golden.tagged] {
            for length in 0..bytes.len() {
                let accepted = assert_bounded(golden.api, golden.kind, golden.version, &bytes[..length]);
                assert!(!accepted, "{:?} {:?} {} cut to {length}", golden.api, golden.kind, golden.version);
                refused += 1;
            }
        }
    }
    assert!(refused > 500_000, "only {refused} truncations");
}

#[test]
fn every_single_byte_change_of_every_request_is_refused_or_read_within_the_memory_bound() {
    let (mut accepted, mut refused) = (0u64, 0u64);
    for golden in messages().iter().filter(|golden| golden.kind == MessageKind::Request) {
        for bytes in [&golden.body, &golden.tagged] {
            let mut changed = bytes.clone();
            for position in 0..bytes.len() {
                for value in changes_of(bytes[position], bytes.len()) {
                    changed[position] = value;
                    match assert_bounded(golden.api, golden.kind, golden.version, &changed) {
                        true => accepted += 1,
                        false => refused += 1,
                    }
                }
                changed[position] = bytes[position];
            }
        }
    }
    assert!(accepted > 100_000 && refused > 100_000, "{accepted} accepted, {refused} refused");
}

#[test]
fn every_truncation_and_single_byte_change_of_every_header_is_refused_or_read() {
    for golden in headers() {
        for length in 0..golden.tagged.len() {
            assert!(decode_request_header(&golden.tagged[..length]).is_err());
        }
        let mut changed = golden.tagged.clone();
        for position in 0..changed.len() {
            for value in 0..=255 {
                changed[position] = value;
                if let Ok((_, body)) = black_box(decode_request_header(&changed)) {
                    assert!(body <= changed.len());
                }
            }
            changed[position] = golden.tagged[position];
        }
    }
}

#[test]
fn w11_a_count_the_rest_of_the_frame_cannot_hold_is_refused_before_anything_is_allocated() {
    for count in [1i32, 1000, i32::MAX] {
        let (accepted, allocated) = decode(ApiKey::Metadata, MessageKind::Request, 1, &count.to_be_bytes());
        assert_eq!((accepted, allocated), (false, 0), "a count of {count} in four bytes");
    }
    let compact = [0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3];
    let (accepted, allocated) = decode(ApiKey::Metadata, MessageKind::Request, 12, &compact);
    assert_eq!((accepted, allocated), (false, 0), "a count of 2^32 - 2 in eight bytes");
}

#[test]
fn w11_a_length_beyond_the_frame_is_refused_and_says_where() {
    // Produce 3: a transactional id of 500 bytes in a frame that has four more.
    let error =
        AnyRequest::decode(ApiKey::Produce, &mut Decoder::new(&[1, 0xf4, 1, 2, 3, 4]), 3).unwrap_err();
    assert_eq!(error.position, 2);
    assert_eq!(error.fault, DecodeFault::Truncated { needed: 500, remaining: 4 });
    assert_eq!(error.to_string(), "500 bytes needed where 4 remain (at byte 2)");
}

#[test]
fn a_frame_full_of_the_smallest_elements_stays_within_its_memory_budget() {
    for megabytes in [1usize, 8, 40] {
        let count = megabytes << 19;
        let mut body = (count as i32).to_be_bytes().to_vec();
        body.resize(4 + 2 * count, 0);
        assert_bounded(ApiKey::Metadata, MessageKind::Request, 1, &body);
    }
}

#[test]
fn lists_inside_lists_share_one_memory_budget() {
    // Each empty text takes two bytes, and no list alone is over the bound of 64 MiB.
    let mut body = vec![0xff, 0xff, 0, 1, 0, 0, 0, 0];
    let topics = 400_000u32;
    body.extend(topics.to_be_bytes());
    for _ in 0..topics {
        body.extend([0, 0, 0, 0, 0, 7]);
        body.resize(body.len() + 7 * 8, 0);
    }
    let (accepted, allocated) = decode(ApiKey::Produce, MessageKind::Request, 3, &body);
    assert!(!accepted, "96 MB were not refused");
    assert!(allocated <= memory_bound(body.len()), "{allocated} bytes allocated");
}
