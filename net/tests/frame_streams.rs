//! The reader of frames against a model of it: any stream of bytes, in any pieces, ends in the same frames and the
//! same verdict.

use proptest::collection::vec;
use proptest::prelude::*;
use ringlog_net::activity::Activity;
use ringlog_net::frame::{FrameError, FrameReader};
use ringlog_runtime::environment::{Connection, Environment, Listener};
use ringlog_runtime::memory::{Faults, MemoryWorld, PerMillion};

const BYTES_MAX: usize = 300_000;

/// What reading a stream comes to.
#[derive(PartialEq, Eq, Debug)]
enum Verdict {
    End,
    Length(i32),
    Truncated,
}

/// Cuts the stream with all of it at hand.
fn cut(mut stream: &[u8]) -> (Vec<Vec<u8>>, Verdict) {
    let mut frames = Vec::new();
    loop {
        let Some((prefix, rest)) = stream.split_first_chunk() else {
            return (frames, if stream.is_empty() { Verdict::End } else { Verdict::Truncated });
        };
        let announced = i32::from_be_bytes(*prefix);
        match usize::try_from(announced) {
            Ok(bytes @ 1..=BYTES_MAX) if bytes <= rest.len() => {
                frames.push(rest[..bytes].to_vec());
                stream = &rest[bytes..];
            }
            Ok(1..=BYTES_MAX) => return (frames, Verdict::Truncated),
            _ => return (frames, Verdict::Length(announced)),
        }
    }
}

/// Sends the stream, ends it, and reads it at the other end.
fn read(stream: &[u8], seed: u64, faults: Faults) -> (Vec<Vec<u8>>, Verdict) {
    let world = MemoryWorld::new(seed, faults);
    let env = world.environment(0, 1);
    let (handle, stream) = (world.handle(), stream.to_vec());
    world.run_until(async move {
        let listener = env.listen("127.0.0.1:9092".parse().expect("an address")).await.expect("it is free");
        let client = handle.connect(listener.local_address());
        let connection = env.adopt(listener.accept().await.expect("one is waiting"));
        let arena = handle.arena().clone();
        handle.spawn(async move {
            for piece in stream.chunks(1 << 20) {
                let mut buffer = arena.allocate(piece.len()).expect("memory");
                buffer.extend_from_slice(piece);
                // A reader that has given up takes no more.
                let _ = client.send(vec![buffer.freeze()]).await;
            }
            client.shutdown();
        });
        let mut reader = FrameReader::new(env.clone(), connection, Activity::new(env.now()));
        let mut frames = Vec::new();
        loop {
            let verdict = match reader.next(BYTES_MAX).await {
                Ok(Some(frame)) => {
                    frames.push(frame.to_vec());
                    continue;
                }
                Ok(None) => Verdict::End,
                Err(FrameError::Length { announced_bytes, .. }) => Verdict::Length(announced_bytes),
                Err(FrameError::Truncated { .. }) => Verdict::Truncated,
                Err(FrameError::Io(error)) => panic!("no fault was ordered: {error}"),
            };
            return (frames, verdict);
        }
    })
}

/// A length and bytes that mostly fit it.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![
        8 => 1..200i32,
        2 => 60_000..300_001i32,
        1 => Just(0),
        1 => any::<i32>(),
    ];
    (length, -3..4i32).prop_map(|(length, surplus)| {
        let bytes = length.saturating_add(if length % 5 == 0 { surplus } else { 0 }).clamp(0, 300_000);
        let body = (0..bytes).map(|index| (index % 251) as u8);
        length.to_be_bytes().into_iter().chain(body).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_stream_in_pieces_is_cut_as_the_whole_is(
        parts in vec(part(), 0..6),
        cut_off in 0..6usize,
        seed in any::<u64>(),
        is_split in any::<bool>(),
    ) {
        let mut stream = parts.concat();
        stream.truncate(stream.len().saturating_sub(cut_off));
        let network_split = if is_split { PerMillion(200_000) } else { PerMillion::NEVER };
        let faults = Faults { network_split, ..Faults::default() };
        prop_assert_eq!(read(&stream, seed, faults), cut(&stream));
    }

    #[test]
    fn any_few_bytes_are_a_frame_or_a_verdict(stream in vec(prop_oneof![Just(0u8), any::<u8>()], 0..12)) {
        prop_assert_eq!(read(&stream, 1, Faults::default()), cut(&stream));
    }
}
