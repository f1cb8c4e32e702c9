//! A connection of an environment that makes a mistake with what clients send.
//!
//! ```text
//!   client ──bytes──► received ──whole frames──► spoiled ──► ready ──► broker
//! ```
//!
//! Always true: frames are neither lost nor made; those that no mistake concerns arrive as they were sent.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use ringlog_runtime::buffer::{Arena, BufMut, Slice};
use ringlog_runtime::environment::Connection;
use ringlog_runtime::memory::MemoryConnection;

use super::Bug;
use super::frame::{
    delete_one_more, empty_if_failed, fetch_in, forget_producer, give_to_two, only_check_configs,
    shrink_batches, swap_neighbours,
};

const RECEIVE_BYTES_MAX: usize = 16 << 10;

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
    /// Correlation ids of fetches without an answer.
    fetches: BTreeSet<i32>,
}

impl PlantedConnection {
    pub(super) fn new(sound: MemoryConnection, arena: Arena, bug: Bug) -> PlantedConnection {
        PlantedConnection { sound, arena, bug, inbox: Rc::default() }
    }

    fn is_sound(&self) -> bool {
        !matches!(
            self.bug,
            Bug::ForgetProducers
                | Bug::SwapRequests
                | Bug::GrantConfigsInVain
                | Bug::GiveToTwo
                | Bug::DeleteOneMore
                | Bug::IgnoreBatchSizes
                | Bug::AnswerFailedAsEmpty
        )
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
        if self.bug != Bug::AnswerFailedAsEmpty {
            return self.sound.send(slices).await;
        }
        let mut bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter()).copied().collect();
        drop(slices);
        self.inbox.borrow_mut().answer_as_empty(&mut bytes);
        for piece in bytes.chunks(RECEIVE_BYTES_MAX) {
            let mut buffer = self.arena.allocate(piece.len()).map_err(io::Error::other)?;
            buffer.extend_from_slice(piece);
            self.sound.send(vec![buffer.freeze()]).await?;
        }
        Ok(())
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
            Bug::GiveToTwo => frames.iter_mut().for_each(|frame| give_to_two(frame)),
            Bug::DeleteOneMore => frames.iter_mut().for_each(delete_one_more),
            Bug::IgnoreBatchSizes => frames.iter_mut().for_each(shrink_batches),
            Bug::AnswerFailedAsEmpty => {
                self.fetches.extend(frames.iter().filter_map(|frame| fetch_in(frame)))
            }
            Bug::GrantConfigsInVain => frames.iter_mut().for_each(|frame| only_check_configs(frame)),
            _ => {}
        }
        for frame in frames {
            self.ready.extend_from_slice(&(frame.len() as u32).to_be_bytes());
            self.ready.extend_from_slice(&frame);
        }
    }

    /// Spoils answers to fetches, in whole frames behind each other.
    fn answer_as_empty(&mut self, mut bytes: &mut [u8]) {
        while let Some(length) = bytes.first_chunk().map(|length| u32::from_be_bytes(*length) as usize)
            && bytes.len() >= 4 + length
        {
            let (frame, rest) = bytes.split_at_mut(4 + length);
            let correlation_id = i32::from_be_bytes(frame[4..8].try_into().expect("four bytes"));
            if self.fetches.remove(&correlation_id) {
                empty_if_failed(&mut frame[8..]);
            }
            bytes = rest;
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
