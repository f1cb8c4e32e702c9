//! A Kafka client as small as can be: the broker's own codec over a connection of the memory network.
//!
//! ```text
//!   send(request) ─► [length][key version correlation id][body] ─► broker
//!   receive()     ◄─ [length][correlation id][body]             ◄─
//! ```
//!
//! Always true: answers are handed out in the order of the requests, and each carries its request's correlation
//! id; a broker that answers otherwise is reported, not borne.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::{Either, select};
use ringlog_net::protocol::{ApiKey, DecodeError, Decoder, Message, decode_response, encode_request_frame};
use ringlog_runtime::environment::Connection;
use ringlog_runtime::memory::{MemoryConnection, WorldHandle};

/// How long a client waits for an answer before it takes the connection for dead.
const PATIENCE: Duration = Duration::from_secs(30);

/// What clients call themselves.
const CLIENT_ID: &str = "simulated";

/// A connection with requests under way.
///
/// A task of its own receives: a client that only reads when it does not write would hold up a broker that
/// answers early, and so itself.
pub struct Client {
    world: WorldHandle,
    connection: MemoryConnection,
    inbox: Rc<RefCell<Inbox>>,
    expected: VecDeque<Expected>,
    next_correlation_id: i32,
}

/// What has come and was not yet asked for.
#[derive(Default)]
struct Inbox {
    bytes: Vec<u8>,
    end: Option<io::ErrorKind>,
    waiting: Option<Waker>,
}

impl Inbox {
    fn take_frame(&mut self) -> Option<Vec<u8>> {
        let length = i32::from_be_bytes(*self.bytes.first_chunk()?);
        let length = usize::try_from(length).expect("the broker announces no negative length");
        (self.bytes.len() >= 4 + length).then(|| self.bytes.drain(..4 + length).skip(4).collect())
    }
}

/// An answer that is owed.
struct Expected {
    correlation_id: i32,
    api_key: ApiKey,
    version: i16,
}

/// A response frame.
pub struct Response {
    frame: Vec<u8>,
    api_key: ApiKey,
    version: i16,
}

impl Response {
    /// Reads the body with a message's decoder.
    ///
    /// # Panics
    /// If the broker's answer cannot be read in the version asked for.
    pub fn read<'a, T>(&'a self, decode: impl FnOnce(&mut Decoder<'a>, i16) -> Result<T, DecodeError>) -> T {
        let Response { frame, api_key, version } = self;
        let read = |(_, mut body)| decode(&mut body, *version);
        match decode_response(frame, *api_key, *version).and_then(read) {
            Ok(message) => message,
            Err(error) => panic!("{api_key:?} {version} cannot be read: {error}: {}", frame.escape_ascii()),
        }
    }
}

impl Client {
    /// Connects; if nobody listens, the first request fails.
    pub fn connect(world: &WorldHandle, address: SocketAddr) -> Client {
        let connection = world.connect(address);
        let inbox = Rc::default();
        world.spawn(fill(connection.clone(), Rc::clone(&inbox)));
        Client { world: world.clone(), connection, inbox, expected: VecDeque::new(), next_correlation_id: 1 }
    }

    /// Answers owed.
    pub fn in_flight(&self) -> usize {
        self.expected.len()
    }

    /// Sends a request whose answer will be received later.
    pub async fn send<M: Message>(&mut self, request: &M, version: i16) -> io::Result<()> {
        let correlation_id = self.transmit(request, version).await?;
        self.expected.push_back(Expected { correlation_id, api_key: M::API_KEY, version });
        Ok(())
    }

    /// Sends a request that is never answered.
    pub async fn send_unanswered<M: Message>(&mut self, request: &M, version: i16) -> io::Result<()> {
        self.transmit(request, version).await.map(|_| ())
    }

    async fn transmit<M: Message>(&mut self, request: &M, version: i16) -> io::Result<i32> {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let frame =
            encode_request_frame(self.world.arena(), version, correlation_id, Some(CLIENT_ID), request)
                .map_err(io::Error::other)?;
        self.in_time(self.connection.send(frame)).await?;
        Ok(correlation_id)
    }

    /// The next answer.
    pub async fn receive(&mut self) -> io::Result<Response> {
        let expected = self.expected.pop_front().expect("only what was asked is received");
        let frame = self.in_time(poll_fn(|context| self.poll_frame(context))).await?;
        let Expected { correlation_id, api_key, version } = expected;
        let (found, _) = decode_response(&frame, api_key, version).expect("a response has a header");
        assert_eq!(found, correlation_id, "answers come in the order of the requests");
        Ok(Response { frame, api_key, version })
    }

    /// Asks and waits for the answer.
    pub async fn call<M: Message>(&mut self, request: &M, version: i16) -> io::Result<Response> {
        self.send(request, version).await?;
        self.receive().await
    }

    fn poll_frame(&self, context: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        let mut inbox = self.inbox.borrow_mut();
        match (inbox.take_frame(), inbox.end) {
            (Some(frame), _) => Poll::Ready(Ok(frame)),
            (None, Some(kind)) => Poll::Ready(Err(kind.into())),
            (None, None) => {
                inbox.waiting = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    async fn in_time<T>(&self, operation: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let operation = pin!(operation);
        let patience = pin!(self.world.sleep(PATIENCE));
        match select(operation, patience).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.shutdown();
    }
}

/// Receives until the connection ends.
async fn fill(connection: MemoryConnection, inbox: Rc<RefCell<Inbox>>) {
    loop {
        let piece = connection.receive().await;
        let mut inbox = inbox.borrow_mut();
        match piece {
            Ok(piece) if piece.is_empty() => inbox.end = Some(io::ErrorKind::UnexpectedEof),
            Ok(piece) => inbox.bytes.extend_from_slice(piece.as_slice()),
            Err(error) => inbox.end = Some(error.kind()),
        }
        if let Some(waker) = inbox.waiting.take() {
            waker.wake();
        }
        if inbox.end.is_some() {
            return;
        }
    }
}
