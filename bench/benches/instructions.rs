//! The steps of the way for a machine that counts instructions: counts repeat where times do not.
//!
//! ```text
//!   instructions list            the names of the steps
//!   instructions STEP COUNT      does one step so many times, and nothing else that depends on the number
//! ```
//!
//! `perf-scripts/instructions.py` runs it twice under valgrind, once with twice the count: the difference is the step's own.
//! With any other arguments, as cargo calls it, every step is done once.

use std::hint::black_box;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;

use ringlog::broker::metrics::counts::ShardCounts;
use ringlog::broker::metrics::requests::RequestsUnderWay;
use ringlog_core::checksum;
use ringlog_core::compression::Codec;
use ringlog_core::ids::{LeaderEpoch, Offset};
use ringlog_core::record_batch::{BatchRules, BatchValidator};
use ringlog_core::time::Instant;
use ringlog_net::connection::{Observer, Passage};
use ringlog_net::protocol::{ApiKey, RequestHeader, encode_response_frame};
use ringlog_runtime::buffer::Arena;

#[path = "inputs/batches.rs"]
mod batches;
#[path = "inputs/frames.rs"]
mod frames;
use batches::{NOW, batch};
use frames::{RECORDS_BYTES, decode, fetch_in_session, fetched, frame, log_slice, produce};

/// A step: makes its inputs, then does it so many times.
type Step = fn(u32);

const STEPS: [(&str, Step); 9] = [
    ("decode produce, 1 partition of 1 KiB", |count| decode_produce(1, count)),
    ("decode produce, 64 partitions of 1 KiB", |count| decode_produce(64, count)),
    ("decode fetch, nothing new in the session", decode_fetch),
    ("encode fetch response, 64 partitions", encode_fetch),
    ("validate 1 record of 1 KiB", |count| validate(1, 1024, count)),
    ("validate 64 records of 1 KiB", |count| validate(64, 1024, count)),
    ("validate 640 records of 100 B", |count| validate(640, 100, count)),
    ("CRC-32C of 64 KiB", crc),
    ("count one request", count_request),
];

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    match given[..] {
        ["list"] => STEPS.iter().for_each(|(name, _)| println!("{name}")),
        [name, count] if !name.starts_with('-') => {
            let step = STEPS.iter().find(|(step, _)| *step == name);
            let (Some((_, step)), Ok(count)) = (step, count.parse()) else {
                eprintln!("{name} {count}: no such step, or no such number");
                return ExitCode::from(2);
            };
            step(count);
        }
        _ => STEPS.iter().for_each(|(_, step)| step(1)),
    }
    ExitCode::SUCCESS
}

fn decode_produce(partitions: i32, count: u32) {
    let records = vec![7; RECORDS_BYTES];
    decode_often(&frame(&Arena::unregistered(64 << 20), 9, &produce(partitions, &records)), count);
}

fn decode_fetch(count: u32) {
    decode_often(&frame(&Arena::unregistered(64 << 20), 16, &fetch_in_session()), count);
}

fn decode_often(frame: &[u8], count: u32) {
    for _ in 0..count {
        black_box(decode(black_box(frame)));
    }
}

fn encode_fetch(count: u32) {
    let arena = Arena::unregistered(64 << 20);
    let response = fetched(64, &log_slice(&arena, 64 << 10));
    for _ in 0..count {
        let frame = encode_response_frame(&arena, ApiKey::Fetch, 16, 1, black_box(&response));
        black_box(frame).expect("room");
    }
}

fn validate(record_count: usize, record_bytes: usize, count: u32) {
    let bytes = batch(Codec::None, record_count, record_bytes);
    let (mut validator, rules) = (BatchValidator::new(), BatchRules::default());
    for _ in 0..count {
        let valid = validator.validate(black_box(&bytes), &rules, NOW).expect("a good batch");
        black_box(valid.assign(Offset(1_000_000), LeaderEpoch(3)).header().crc());
    }
}

fn crc(count: u32) {
    let bytes = vec![7; 64 << 10];
    for _ in 0..count {
        black_box(checksum::crc32c(black_box(&bytes)));
    }
}

fn count_request(count: u32) {
    let counts = Rc::new(ShardCounts::new(None));
    let connection = Rc::new(RequestsUnderWay::new(counts, SocketAddr::from(([127, 0, 0, 1], 40_000))));
    let header = RequestHeader {
        api_key: ApiKey::Produce as i16,
        api_version: 9,
        correlation_id: 1,
        client_id: Some("producer-1"),
    };
    let (received, answered) = (Instant(1_000_000), Instant(1_100_000));
    for _ in 0..count {
        let progress = connection.begin(ApiKey::Produce, black_box(&header), 1_100);
        progress.handed_over(received);
        connection.answered(&Passage { received, turn: received, answered, reply_bytes: 60 });
        connection.sent(answered);
    }
}
