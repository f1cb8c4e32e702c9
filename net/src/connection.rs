//! Serves one connection: requests are taken as they come, replies leave in the order of the requests.
//!
//! ```text
//!   socket ──► FrameReader ──► Service::call ──► pipeline [reply][reply][reply] ──► writer ──► socket
//!                  ▲                                │ bounded
//!                  └──── waits while it is full ────┘
//! ```
//!
//! Always true: replies leave in request order (W9). A request's eager part, what `Service::call` does before it
//! returns, happens in arrival order and does not wait for earlier replies: that is how produce is pipelined. The
//! rest of a request runs when its turn to reply has come, so a request sees the effects of those before it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ringlog_core::time::Instant;
use ringlog_runtime::buffer::Slice;
use ringlog_runtime::environment::{Connection, Environment, TaskClass};
use smallvec::SmallVec;

use crate::activity::Activity;
use crate::frame::{FrameError, FrameReader};

/// How much of a reply is offered to the socket at once: the grain at which a stalled reader is noticed.
const SEND_BYTES: usize = 1024 * 1024;

/// Most slices in one send: the kernel takes 1,024.
const SEND_SLICES: usize = 512;

/// What a request comes to.
pub enum Outcome {
    /// A response frame.
    Send(Vec<Slice>),
    /// Nothing is sent (acks=0).
    Silence,
    /// The connection must be closed: the client cannot be told otherwise.
    Close,
}

/// A request under way.
pub type Reply = Pin<Box<dyn Future<Output = Outcome>>>;

/// Answers the requests of one connection.
pub trait Service {
    /// The largest frame accepted now.
    fn frame_bytes_max(&self) -> usize;
    /// Starts a request. `None` closes the connection once earlier replies
    /// are sent: the frame is no request that could be answered.
    fn call(&mut self, frame: Slice) -> Option<Reply>;
    /// Who is told what becomes of the requests that [`Service::call`] started.
    fn observer(&self) -> Rc<dyn Observer>;
}

/// Counts what passes through a connection. Requests are told in the order they came; those of a connection that
/// ends before its replies are never told.
pub trait Observer {
    /// The oldest request under way is answered, and its reply goes to the socket now.
    fn answered(&self, passage: &Passage);
    /// The socket took all replies told before, or the connection failed.
    fn sent(&self, now: Instant);
}

/// A request's way through a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passage {
    /// Its frame was whole.
    pub received: Instant,
    /// The reply before it was out of its way.
    pub turn: Instant,
    /// Its reply was ready.
    pub answered: Instant,
    /// Its reply's size.
    pub reply_bytes: usize,
}

/// How much of one connection may be worked on at a time. One request always may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InFlight {
    /// Requests taken and not yet answered.
    pub requests_max: usize,
    /// Bytes of their frames.
    pub bytes_max: usize,
}

/// Why serving a connection ended.
#[derive(Debug)]
pub enum Ended {
    /// The client closed its side.
    ByClient,
    /// The byte stream could not be cut into frames.
    Frame(FrameError),
    /// The service refused to go on.
    ByService,
}

/// Serves a connection until either side ends it, then sends the replies still owed and closes. Returns after that:
/// for as long as replies are owed or on their way, the connection is there to be counted and watched.
pub async fn serve<E: Environment>(
    env: &E,
    connection: E::Connection,
    activity: Activity,
    mut service: impl Service,
    in_flight: InFlight,
) -> Ended {
    let pipeline = Pipeline::new(in_flight);
    let writer = ReplyWriter {
        env: env.clone(),
        connection: connection.clone(),
        activity: activity.clone(),
        observer: service.observer(),
        last_answered: env.now(),
    };
    let writer = writer.run(pipeline.clone());
    env.spawn(TaskClass::Network, writer);
    let mut reader = FrameReader::new(env.clone(), connection, activity.clone());
    let ended = loop {
        if !pipeline.has_room().await {
            break Ended::ByService;
        }
        match reader.next(service.frame_bytes_max()).await {
            Ok(Some(frame)) => {
                let (frame_bytes, received) = (frame.len(), env.now());
                let Some(future) = service.call(frame) else { break Ended::ByService };
                activity.request_began(received);
                pipeline.push(RequestUnderWay { future, frame_bytes, received });
            }
            Ok(None) => break Ended::ByClient,
            Err(error) => break Ended::Frame(error),
        }
    };
    // What was received and is no request holds no memory while replies are on their way.
    drop(reader);
    pipeline.end();
    pipeline.until_abandoned().await;
    ended
}

/// Brings replies to the socket, in order.
struct ReplyWriter<E: Environment> {
    env: E,
    connection: E::Connection,
    activity: Activity,
    observer: Rc<dyn Observer>,
    last_answered: Instant,
}

impl<E: Environment> ReplyWriter<E> {
    async fn run(mut self, pipeline: Pipeline) {
        while let Some(ready) = pipeline.next_ready().await {
            self.tell(&ready.answered);
            let sent = self.send_in_parts(ready.slices).await;
            self.observer.sent(self.env.now());
            if !sent || ready.close {
                break;
            }
        }
        self.connection.shutdown();
        pipeline.abandon();
    }

    fn tell(&mut self, answered: &[Answered]) {
        let now = self.env.now();
        for Answered { received, reply_bytes } in answered {
            let turn = self.last_answered.max(*received);
            let passage = Passage { received: *received, turn, answered: now, reply_bytes: *reply_bytes };
            self.observer.answered(&passage);
            self.activity.request_ended(now);
        }
        self.last_answered = now;
    }

    /// Offers slices in parts, so that progress can be seen. Whether the client took all of them.
    async fn send_in_parts(&self, slices: Vec<Slice>) -> bool {
        let mut part = Vec::new();
        let mut part_bytes = 0;
        let mut rest = slices.into_iter().peekable();
        while let Some(slice) = rest.next() {
            part_bytes += slice.len();
            part.push(slice);
            if part_bytes < SEND_BYTES && part.len() < SEND_SLICES && rest.peek().is_some() {
                continue;
            }
            self.activity.send_began(self.env.now());
            let sent = self.connection.send(std::mem::take(&mut part)).await;
            self.activity.send_ended();
            part_bytes = 0;
            if sent.is_err() {
                return false;
            }
        }
        true
    }
}

/// Replies in request order, between the reading and the writing task of one connection.
#[derive(Clone)]
struct Pipeline {
    state: Rc<RefCell<PipelineState>>,
}

struct PipelineState {
    replies: VecDeque<RequestUnderWay>,
    frame_bytes: usize,
    bound: InFlight,
    reading: Reading,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

struct RequestUnderWay {
    future: Reply,
    frame_bytes: usize,
    received: Instant,
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Reading {
    /// More requests may come.
    Open,
    /// No more requests; those taken are still answered.
    Ended,
    /// The writer is done or gave up: nothing can be answered any more.
    Abandoned,
}

/// Replies ready to leave, one behind the other.
struct Ready {
    slices: Vec<Slice>,
    answered: SmallVec<[Answered; 4]>,
    close: bool,
}

struct Answered {
    received: Instant,
    reply_bytes: usize,
}

impl Pipeline {
    fn new(bound: InFlight) -> Pipeline {
        Pipeline {
            state: Rc::new(RefCell::new(PipelineState {
                replies: VecDeque::new(),
                frame_bytes: 0,
                bound,
                reading: Reading::Open,
                reader: None,
                writer: None,
            })),
        }
    }

    /// Waits for room for one more request; false if none will ever be answered again.
    async fn has_room(&self) -> bool {
        poll_fn(|context| {
            let mut state = self.state.borrow_mut();
            if state.reading == Reading::Abandoned {
                return Poll::Ready(false);
            }
            let under =
                state.replies.len() < state.bound.requests_max && state.frame_bytes < state.bound.bytes_max;
            if under || state.replies.is_empty() {
                return Poll::Ready(true);
            }
            state.reader = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn push(&self, request: RequestUnderWay) {
        let mut state = self.state.borrow_mut();
        state.frame_bytes += request.frame_bytes;
        state.replies.push_back(request);
        wake(&mut state.writer);
    }

    fn end(&self) {
        let mut state = self.state.borrow_mut();
        if state.reading == Reading::Open {
            state.reading = Reading::Ended;
        }
        wake(&mut state.writer);
    }

    /// Waits until the writer is done, with all replies or for good.
    async fn until_abandoned(&self) {
        poll_fn(|context| {
            let mut state = self.state.borrow_mut();
            if state.reading == Reading::Abandoned {
                return Poll::Ready(());
            }
            state.reader = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn abandon(&self) {
        let dropped = {
            let mut state = self.state.borrow_mut();
            state.reading = Reading::Abandoned;
            wake(&mut state.reader);
            std::mem::take(&mut state.replies)
        };
        // Outside the borrow: dropping a reply may run anything.
        drop(dropped);
    }

    /// Waits until the oldest reply is ready and takes it with those behind it that are ready too; `None` when
    /// all is answered and no more will come.
    async fn next_ready(&self) -> Option<Ready> {
        poll_fn(|context| self.poll_ready(context)).await
    }

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Option<Ready>> {
        let mut ready = Ready { slices: Vec::new(), answered: SmallVec::new(), close: false };
        let mut ready_bytes = 0;
        while !ready.close && ready_bytes < SEND_BYTES {
            // The reply is taken out while it is polled: it may reach this pipeline again.
            let Some(mut request) = self.state.borrow_mut().replies.pop_front() else { break };
            match request.future.as_mut().poll(context) {
                Poll::Pending => {
                    self.state.borrow_mut().replies.push_front(request);
                    break;
                }
                Poll::Ready(outcome) => {
                    self.state.borrow_mut().frame_bytes -= request.frame_bytes;
                    let mut reply_bytes = 0;
                    match outcome {
                        Outcome::Send(slices) => {
                            reply_bytes = slices.iter().map(|slice| slice.len()).sum::<usize>();
                            ready.slices.extend(slices);
                        }
                        Outcome::Silence => {}
                        Outcome::Close => ready.close = true,
                    }
                    ready_bytes += reply_bytes;
                    ready.answered.push(Answered { received: request.received, reply_bytes });
                }
            }
        }
        let mut state = self.state.borrow_mut();
        if !ready.answered.is_empty() {
            wake(&mut state.reader);
            return Poll::Ready(Some(ready));
        }
        if state.replies.is_empty() && state.reading != Reading::Open {
            return Poll::Ready(None);
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
