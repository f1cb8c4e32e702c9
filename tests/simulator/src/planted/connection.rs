//! A connection of an environment that makes a mistake with what clients send.
//!
//! ```text
//!   client ──bytes──► received ──whole frames──► spoiled ──► ready ──► broker
//! ```
//!
//! Always true: frames are neither lost nor made; those that no mistake concerns arrive as they were sent.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;

use ringlog_core::checksum::crc32c;
use ringlog_net::protocol::produce::ProduceRequest;
use ringlog_net::protocol::{ApiKey, Decoder, decode_request_header};
use ringlog_runtime::buffer::{Arena, BufMut, Slice};
use ringlog_runtime::environment::Connection;
use ringlog_runtime::memory::MemoryConnection;

use super::Bug;

const RECEIVE_BYTES_MAX: usize = 16 << 10;
/// In a frame without its length: behind API key and version.
const CORRELATION_ID: Range<usize> = 4..8;
/// In a record batch: its checksum, what the checksum covers, and producer id, epoch and sequence.
const BATCH_CHECKSUM: Range<usize> = 17..21;
const BATCH_PRODUCER: Range<usize> = 43..57;

/// A connection; clones share it.
#[derive(Clone)]
pub struct PlantedConnection {
    sound: MemoryConnection,
    arena: Arena,
    bug: Bug,
    inbox: Rc<RefCell<Inbox>>,
}

#[derive(Default)]
struct Inbox {
    received: Vec<u8>,
    ready: Vec<u8>,
}

impl PlantedConnection {
    pub(super) fn new(sound: MemoryConnection, arena: Arena, bug: Bug) -> PlantedConnection {
        PlantedConnection { sound, arena, bug, inbox: Rc::default() }
    }

    fn is_sound(&self) -> bool {
        !matches!(self.bug, Bug::ForgetProducers | Bug::SwapRequests)
    }

    /// Waits until a spoiled frame, or a part of it, is ready; tells whether the stream goes on.
    async fn goes_on(&self) -> Result<bool, io::Error> {
        while self.inbox.borrow().ready.is_empty() {
            let piece = self.sound.receive().await?;
            if piece.is_empty() {
                return Ok(false);
            }
            self.inbox.borrow_mut().take_in(piece.as_slice(), self.bug);
        }
        Ok(true)
    }
}

impl Connection for PlantedConnection {
    fn peer_address(&self) -> SocketAddr {
        self.sound.peer_address()
    }

    async fn receive(&self) -> Result<BufMut, io::Error> {
        if self.is_sound() {
            return self.sound.receive().await;
        }
        self.goes_on().await?;
        let mut buffer = self.arena.allocate(RECEIVE_BYTES_MAX).map_err(io::Error::other)?;
        self.inbox.borrow_mut().hand_out(&mut buffer);
        Ok(buffer)
    }

    async fn receive_into(&self, mut buffer: BufMut) -> Result<BufMut, io::Error> {
        if self.is_sound() {
            return self.sound.receive_into(buffer).await;
        }
        self.goes_on().await?;
        self.inbox.borrow_mut().hand_out(&mut buffer);
        Ok(buffer)
    }

    async fn send(&self, slices: Vec<Slice>) -> Result<(), io::Error> {
        self.sound.send(slices).await
    }

    fn shutdown(&self) {
        self.sound.shutdown();
    }
}

impl Inbox {
    fn take_in(&mut self, bytes: &[u8], bug: Bug) {
        self.received.extend_from_slice(bytes);
        let mut frames: Vec<Vec<u8>> = std::iter::from_fn(|| self.take_frame()).collect();
        match bug {
            Bug::ForgetProducers => frames.iter_mut().for_each(|frame| forget_producer(frame)),
            Bug::SwapRequests => swap_neighbours(&mut frames),
            _ => {}
        }
        for frame in frames {
            self.ready.extend_from_slice(&(frame.len() as u32).to_be_bytes());
            self.ready.extend_from_slice(&frame);
        }
    }

    /// A whole frame without its length.
    fn take_frame(&mut self) -> Option<Vec<u8>> {
        let length = u32::from_be_bytes(*self.received.first_chunk()?) as usize;
        (self.received.len() >= 4 + length).then(|| self.received.drain(..4 + length).skip(4).collect())
    }

    fn hand_out(&mut self, buffer: &mut BufMut) {
        let count = self.ready.len().min(buffer.remaining());
        buffer.extend_from_slice(&self.ready[..count]);
        self.ready.drain(..count);
    }
}

/// Where the batches lie in a produce request; nowhere in any other frame.
fn batches_in(frame: &[u8]) -> Vec<Range<usize>> {
    let Ok((header, body)) = decode_request_header(frame) else { return Vec::new() };
    if ApiKey::from_wire(header.api_key) != Some(ApiKey::Produce) {
        return Vec::new();
    }
    let decoder = &mut Decoder::new(&frame[body..]);
    let Ok(request) = ProduceRequest::decode(decoder, header.api_version) else { return Vec::new() };
    let partitions = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    let place = |records: &[u8]| {
        let start = records.as_ptr() as usize - frame.as_ptr() as usize;
        start..start + records.len()
    };
    partitions.filter_map(|partition| partition.records).map(place).collect()
}

/// Makes the batches of a produce request such of no idempotent producer.
fn forget_producer(frame: &mut [u8]) {
    for range in batches_in(frame) {
        let batch = &mut frame[range];
        let is_whole = batch.len() > BATCH_PRODUCER.end;
        // One that was damaged on purpose stays damaged.
        if !is_whole || batch[BATCH_CHECKSUM] != crc32c(&batch[BATCH_CHECKSUM.end..]).to_be_bytes() {
            continue;
        }
        batch[BATCH_PRODUCER].fill(0xff);
        let checksum = crc32c(&batch[BATCH_CHECKSUM.end..]);
        batch[BATCH_CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Makes produce requests that arrived together change places, two by two. Correlation ids stay where they are:
/// the answers come as a client expects them.
fn swap_neighbours(frames: &mut [Vec<u8>]) {
    for pair in
        frames.chunks_exact_mut(2).filter(|pair| pair.iter().all(|frame| !batches_in(frame).is_empty()))
    {
        let ids = [0, 1].map(|index: usize| pair[index][CORRELATION_ID].to_vec());
        pair.swap(0, 1);
        for (frame, id) in pair.iter_mut().zip(ids) {
            frame[CORRELATION_ID].copy_from_slice(&id);
        }
    }
}
