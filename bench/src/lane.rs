//! A connection that sends records: what is due goes out, as many requests at once as are allowed, answers come in order.
//!
//! ```text
//!   pacer ── due ──► queue ──► sender ── frames ──► broker ── answers ──► receiver ──► meters, ledger
//!                      ▲          in flight < max ◄──────────────────────────┘
//!                      '- waits here; the wait is part of the latency
//! ```
//!
//! In a closed loop there is no queue: whenever there is room, the next request goes out.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use ringlog_core::time::Instant;
use ringlog_net::activity::Activity;
use ringlog_net::frame::FrameReader;
use ringlog_net::protocol::produce::ProduceResponse;
use ringlog_net::protocol::{ApiKey, decode_response};
use ringlog_runtime::buffer::Slice;
use ringlog_runtime::environment::{Connection, Environment, TaskClass};
use ringlog_runtime::uring::{UringConnection, UringEnvironment};

use crate::failure::error_name;
use crate::limits::ANSWER_BYTES_MAX;
use crate::session::Session;
use crate::signal::Signal;
use crate::template::Stamp;

/// What leaves in one system call.
const SEND_BYTES: usize = 1 << 20;

/// One connection to one leader.
pub struct Lane {
    session: Rc<Session>,
    connection: UringConnection,
    address: SocketAddr,
    producer: u32,
    in_flight_max: usize,
    /// The version of Produce.
    version: i16,
    source: RefCell<Source>,
    in_flight: RefCell<VecDeque<Sent>>,
    /// Since when nothing but ourselves holds a request up.
    free_since: Cell<Instant>,
    signal: Signal,
    correlation_id: Cell<i32>,
}

/// Where requests come from.
pub enum Source {
    /// A plan: what is due and to which partition.
    Planned(VecDeque<Due>),
    /// A closed loop over these partitions.
    Endless {
        /// What this connection's broker leads.
        partitions: Vec<i32>,
        /// Requests so far.
        turn: usize,
    },
}

/// A request that is due.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// Since when.
    pub at: Instant,
    /// Where it goes.
    pub partition: i32,
}

/// A request that left.
struct Sent {
    due: Due,
    first_sequence: u64,
    correlation_id: i32,
}

/// What a lane is made of.
pub struct LaneParts {
    /// The connection.
    pub connection: UringConnection,
    /// Whose it is.
    pub address: SocketAddr,
    /// Which producer sends here.
    pub producer: u32,
    /// Requests under way at once.
    pub in_flight_max: usize,
    /// The version of Produce.
    pub version: i16,
    /// Where requests come from.
    pub source: Source,
}

impl Lane {
    /// Starts its tasks.
    pub fn start(session: &Rc<Session>, parts: LaneParts) -> Rc<Lane> {
        let lane = Rc::new(Lane {
            session: session.clone(),
            connection: parts.connection,
            address: parts.address,
            producer: parts.producer,
            in_flight_max: parts.in_flight_max,
            version: parts.version,
            source: RefCell::new(parts.source),
            in_flight: RefCell::default(),
            free_since: Cell::new(session.now()),
            signal: Signal::default(),
            correlation_id: Cell::new(0),
        });
        session.env.spawn(TaskClass::Network, lane.clone().send_all());
        if session.acknowledged {
            session.env.spawn(TaskClass::Network, lane.clone().receive_all());
        }
        lane
    }

    /// A request is due.
    pub fn push(&self, due: Due) {
        if let Source::Planned(queue) = &mut *self.source.borrow_mut() {
            queue.push_back(due);
            self.session.backlog_changed(1);
        }
        self.signal.ring();
    }

    /// Lets the sender look whether there is still something to do.
    pub fn wake(&self) {
        self.signal.ring();
    }

    /// Since when the oldest request waits.
    pub fn oldest_due(&self) -> Option<Instant> {
        match &*self.source.borrow() {
            Source::Planned(queue) => queue.front().map(|due| due.at),
            Source::Endless { .. } => None,
        }
    }

    async fn send_all(self: Rc<Lane>) {
        loop {
            let frames = self.take_frames().await;
            if frames.is_empty() {
                self.signal.wait().await;
                continue;
            }
            let requests = frames.len() as u64;
            let sent = self.connection.send(frames).await;
            self.free_since.set(self.session.now());
            if let Err(error) = sent {
                return self.session.broker_failed(self.address, &format!("broke a connection: {error}"));
            }
            if !self.session.acknowledged {
                self.handed_over(requests);
            }
        }
    }

    /// What may leave now.
    async fn take_frames(&self) -> Vec<Slice> {
        let (mut frames, mut bytes) = (Vec::new(), 0);
        while bytes < SEND_BYTES && self.session.goes_on() {
            let room = self.in_flight.borrow().len() < self.in_flight_max;
            let Some(due) = room.then(|| self.next_due()).flatten() else { break };
            self.note_lateness(due);
            let frame = self.frame(due).await;
            bytes += frame.len();
            frames.push(frame);
        }
        frames
    }

    /// What was due while this lane could have sent it is late by our own doing.
    fn note_lateness(&self, due: Due) {
        if due.at >= self.free_since.get() {
            let late = self.session.now().since(due.at).as_nanos() as u64;
            self.session.pacing.borrow_mut().note(late, self.session.measured.get().holds(due.at));
        }
    }

    fn next_due(&self) -> Option<Due> {
        match &mut *self.source.borrow_mut() {
            Source::Planned(queue) => {
                let due = queue.pop_front()?;
                self.session.backlog_changed(-1);
                Some(due)
            }
            Source::Endless { .. } if self.session.sending_ended.get() => None,
            Source::Endless { partitions, turn } => {
                *turn += 1;
                Some(Due { at: self.session.now(), partition: partitions[*turn % partitions.len()] })
            }
        }
    }

    /// Writes a request and notes that it is on its way.
    async fn frame(&self, due: Due) -> Slice {
        let session = &self.session;
        let correlation_id = self.correlation_id.get().wrapping_add(1);
        self.correlation_id.set(correlation_id);
        let template = &session.templates[correlation_id as u32 as usize % session.templates.len()];
        let records = template.records() as u64;
        let first_sequence = session.ledger.borrow_mut().sent(self.producer, due.partition, records);
        let stamp = Stamp {
            correlation_id,
            partition: due.partition,
            producer: self.producer,
            sequence: first_sequence,
            planned_ns: due.at.0,
            timestamp_ms: session.env.wall_clock().0,
            identity: session.identities.get(self.producer as usize).copied(),
        };
        self.in_flight.borrow_mut().push_back(Sent { due, first_sequence, correlation_id });
        session.in_flight.set(session.in_flight.get() + 1);
        let mut buffer = loop {
            match session.env.arena().allocate(template.frame_bytes()) {
                Ok(buffer) => break buffer,
                Err(_) => session.env.yield_now().await,
            }
        };
        buffer.set_len(template.frame_bytes());
        template.write(&stamp, buffer.as_mut_slice());
        buffer.freeze()
    }

    /// Without acknowledgements, what was handed over is all that is known.
    fn handed_over(&self, requests: u64) {
        for _ in 0..requests {
            let Some(sent) = self.take_sent() else { return };
            self.forget(&sent);
            self.note_publish(&sent);
        }
    }

    async fn receive_all(self: Rc<Lane>) {
        let env = self.session.env.clone();
        let mut reader: FrameReader<UringEnvironment> =
            FrameReader::new(env.clone(), self.connection.clone(), Activity::new(env.now()));
        loop {
            match reader.next(ANSWER_BYTES_MAX).await {
                Ok(Some(frame)) => {
                    if let Err(what) = self.answer(&frame) {
                        return self.session.broker_failed(self.address, &what);
                    }
                    self.signal.ring();
                }
                Ok(None) => return self.session.broker_failed(self.address, "closed a connection"),
                Err(error) => {
                    return self.session.broker_failed(self.address, &format!("broke a connection: {error}"));
                }
            }
        }
    }

    fn answer(&self, frame: &[u8]) -> Result<(), String> {
        let garbled = |error| format!("answered what cannot be read: {error}");
        let (correlation_id, mut body) =
            decode_response(frame, ApiKey::Produce, self.version).map_err(garbled)?;
        let response = ProduceResponse::decode(&mut body, self.version).map_err(garbled)?;
        let sent = self.take_sent().ok_or("answered a request that was not sent")?;
        if sent.correlation_id != correlation_id {
            return Err(format!("answered request {correlation_id} instead of {}", sent.correlation_id));
        }
        let answers = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        let answer = answers.into_iter().find(|answer| answer.index == sent.due.partition);
        let answer = answer.ok_or("answered for another partition")?;
        if answer.error_code == 0 {
            self.note_publish(&sent);
            return Ok(());
        }
        self.forget(&sent);
        self.session.count_refusal();
        let name = error_name(answer.error_code);
        let words = answer.error_message.unwrap_or_default();
        Err(format!("refused a batch for partition {}: {name} {words}", sent.due.partition))
    }

    fn take_sent(&self) -> Option<Sent> {
        let was_full = self.in_flight.borrow().len() >= self.in_flight_max;
        let sent = self.in_flight.borrow_mut().pop_front()?;
        if was_full {
            self.free_since.set(self.session.now());
        }
        self.session.in_flight.set(self.session.in_flight.get() - 1);
        Some(sent)
    }

    /// Nobody will say what became of it.
    fn forget(&self, sent: &Sent) {
        let end = sent.first_sequence + self.session.templates[0].records() as u64;
        let mut ledger = self.session.ledger.borrow_mut();
        ledger.unacknowledged(self.producer, sent.due.partition, sent.first_sequence..end);
    }

    /// The run ends: what has not been answered was not acknowledged.
    pub fn forget_all(&self) {
        while let Some(sent) = self.take_sent() {
            self.forget(&sent);
        }
    }

    fn note_publish(&self, sent: &Sent) {
        let now = self.session.now();
        let latency = now.since(sent.due.at).as_nanos() as u64;
        self.session.publish.borrow_mut().note(latency, self.session.measured.get().holds(sent.due.at));
        self.session.count_request(self.session.templates[0].records() as u64, now);
    }
}
