//! Cuts a connection's byte stream into request frames.
//!
//! ```text
//!   stream   [length: 4][.... length bytes ....][length: 4][..
//!   received ──────── one buffer ───────────┤├── the next ──
//!   frame          └── a slice, if whole; else gathered in a buffer that grows with what has come
//! ```
//!
//! Always true: a frame's announced length reserves at most [`FRAME_RESERVE_BYTES`]; beyond that memory grows
//! with the bytes received, so a sender pays for what it makes us hold.

use std::fmt;
use std::io;

use ringlog_runtime::buffer::{BufMut, Slice};
use ringlog_runtime::environment::{Connection, Environment};

use crate::activity::Activity;

/// What an announced frame may reserve before its bytes have come.
pub const FRAME_RESERVE_BYTES: usize = 64 * 1024;

/// How much faster the reservation grows than the bytes received.
const FRAME_GROWTH: usize = 4;

/// How long to wait for I/O memory before asking again.
const MEMORY_RETRY: std::time::Duration = std::time::Duration::from_millis(5);

/// Why no further frame can be read from a connection; it must be closed.
#[derive(Debug)]
pub enum FrameError {
    /// The announced length is zero, negative or above the bound: no request is so short or so long.
    Length {
        /// As announced.
        announced_bytes: i32,
        /// The bound that holds for this connection now.
        bytes_max: usize,
    },
    /// The stream ended inside a frame.
    Truncated {
        /// Bytes of the frame that had come.
        received_bytes: usize,
    },
    /// The socket failed.
    Io(io::Error),
}

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Length { announced_bytes, bytes_max } => {
                write!(formatter, "a frame of {announced_bytes} bytes, where 1 to {bytes_max} are allowed")
            }
            FrameError::Truncated { received_bytes } => {
                write!(formatter, "the stream ended {received_bytes} bytes into a frame")
            }
            FrameError::Io(error) => write!(formatter, "the socket failed: {error}"),
        }
    }
}

/// Reads frames from one connection.
pub struct FrameReader<E: Environment> {
    env: E,
    connection: E::Connection,
    activity: Activity,
    unread: Option<Slice>,
}

impl<E: Environment> FrameReader<E> {
    /// Reads from the start of a connection; `activity` is told of frames that come in parts.
    pub fn new(env: E, connection: E::Connection, activity: Activity) -> FrameReader<E> {
        FrameReader { env, connection, activity, unread: None }
    }

    /// The next frame without its length, or `None` at a clean end of the stream.
    ///
    /// # Errors
    /// [`FrameError`]; the connection is of no further use then.
    pub async fn next(&mut self, frame_bytes_max: usize) -> Result<Option<Slice>, FrameError> {
        let Some(frame_bytes) = self.announced_length(frame_bytes_max).await? else { return Ok(None) };
        if self.unread_bytes() >= frame_bytes {
            return Ok(Some(self.take(frame_bytes)));
        }
        self.activity.frame_began(self.env.now());
        let frame = self.gather(frame_bytes).await;
        self.activity.frame_ended();
        frame.map(Some)
    }

    async fn announced_length(&mut self, bytes_max: usize) -> Result<Option<usize>, FrameError> {
        while self.unread_bytes() < 4 {
            let rest = self.unread.take();
            let received = self.connection.receive().await.map_err(FrameError::Io)?;
            if received.is_empty() {
                return match rest {
                    None => Ok(None),
                    Some(rest) => Err(FrameError::Truncated { received_bytes: rest.len() }),
                };
            }
            self.unread = Some(self.joined(rest, received).await);
        }
        let prefix = self.take(4);
        let announced_bytes = i32::from_be_bytes(prefix[..].try_into().expect("four bytes were taken"));
        match usize::try_from(announced_bytes) {
            Ok(frame_bytes) if (1..=bytes_max).contains(&frame_bytes) => Ok(Some(frame_bytes)),
            _ => Err(FrameError::Length { announced_bytes, bytes_max }),
        }
    }

    /// Collects a frame of which some bytes are still to come.
    async fn gather(&mut self, frame_bytes: usize) -> Result<Slice, FrameError> {
        let mut buffer = self.allocate(frame_bytes.min(FRAME_RESERVE_BYTES)).await;
        if let Some(start) = self.unread.take() {
            buffer.extend_from_slice(&start);
        }
        while buffer.len() < frame_bytes {
            if buffer.remaining() == 0 {
                let mut larger = self.allocate(frame_bytes.min(buffer.capacity() * FRAME_GROWTH)).await;
                larger.extend_from_slice(buffer.as_slice());
                buffer = larger;
            }
            let before = buffer.len();
            buffer = self.connection.receive_into(buffer).await.map_err(FrameError::Io)?;
            if buffer.len() == before {
                return Err(FrameError::Truncated { received_bytes: before });
            }
            self.activity.frame_grew(buffer.len() - before);
        }
        self.unread = Some(buffer.freeze());
        Ok(self.take(frame_bytes))
    }

    fn unread_bytes(&self) -> usize {
        self.unread.as_ref().map_or(0, |unread| unread.len())
    }

    fn take(&mut self, count: usize) -> Slice {
        let unread = self.unread.take().expect("the caller saw that many unread bytes");
        let taken = unread.slice(0..count);
        if unread.len() > count {
            self.unread = Some(unread.slice(count..unread.len()));
        }
        taken
    }

    /// A length prefix split over two receives: rare, so it may copy.
    async fn joined(&self, rest: Option<Slice>, received: BufMut) -> Slice {
        let Some(rest) = rest else { return received.freeze() };
        let mut whole = self.allocate(rest.len() + received.len()).await;
        whole.extend_from_slice(&rest);
        whole.extend_from_slice(received.as_slice());
        whole.freeze()
    }

    /// Waits until there is memory: that is how a full broker slows its senders down.
    async fn allocate(&self, bytes: usize) -> BufMut {
        loop {
            match self.env.arena().allocate(bytes) {
                Ok(buffer) => return buffer,
                Err(_) => self.env.sleep_until(self.env.now() + MEMORY_RETRY).await,
            }
        }
    }
}
