//! Byte streams in memory: bounded, late by a random delay, delivered in pieces, cut, reset or gone silent.
//!
//! ```text
//!   client end ──send──► [pieces under way] ──delay──► [arrived] ──receive──► shard's end
//!              ◄─receive── [arrived] ◄──delay── [pieces under way] ◄──send──
//! ```
//!
//! Always true: bytes of one direction arrive in the order sent, none twice; under way and arrived together
//! never exceed the socket buffer, so who does not receive holds up who sends.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use super::executor::Owner;
use super::trace::Step;
use super::world::World;
use crate::buffer::{Arena, ArenaFull, BufMut, Slice};
use crate::environment::{Connection, ListenFailure, Listener};

const RECEIVE_BYTES_MAX: usize = 16 << 10;
const FIRST_CHOSEN_PORT: u16 = 40_000;

/// Who listens and which streams exist.
#[derive(Default)]
pub(super) struct Network {
    listeners: BTreeMap<SocketAddr, Vec<Rc<Backlog>>>,
    unadopted: BTreeMap<u64, Rc<Stream>>,
    streams: Vec<Weak<Stream>>,
    abandoned: Arc<Mutex<Vec<u64>>>,
    last_number: u64,
    ports_chosen: u16,
}

struct Backlog {
    number: u64,
    connections: RefCell<VecDeque<u64>>,
    waiting: RefCell<Vec<Waker>>,
}

/// One connection: a pipe in each direction.
struct Stream {
    number: u64,
    client_address: SocketAddr,
    server_address: SocketAddr,
    to_server: RefCell<Pipe>,
    to_client: RefCell<Pipe>,
    broken: Cell<Option<io::ErrorKind>>,
}

#[derive(Default)]
struct Pipe {
    under_way_bytes: usize,
    arrived: VecDeque<u8>,
    last_arrival_ns: u64,
    has_ended: bool,
    is_unread: bool,
    is_silent: bool,
    waiting: Vec<Waker>,
}

impl Pipe {
    /// Its reader went away: what comes now is dropped.
    fn end(&mut self) {
        self.has_ended = true;
        self.is_unread = true;
        self.arrived.clear();
        self.wake_all();
    }

    fn wake_all(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|waiting| waiting.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }
}

impl Stream {
    fn pipe_from(&self, side: Side) -> &RefCell<Pipe> {
        match side {
            Side::Client => &self.to_server,
            Side::Server => &self.to_client,
        }
    }

    fn break_with(&self, kind: io::ErrorKind) {
        if self.broken.get().is_none() {
            self.broken.set(Some(kind));
        }
        self.to_server.borrow_mut().wake_all();
        self.to_client.borrow_mut().wake_all();
    }
}

/// Opens a client's end.
pub(super) fn connect(world: &Rc<World>, server_address: SocketAddr) -> MemoryConnection {
    let mut network = world.network.borrow_mut();
    network.last_number += 1;
    let number = network.last_number;
    let port = FIRST_CHOSEN_PORT.wrapping_add(number as u16).max(1024);
    let stream = Rc::new(Stream {
        number,
        client_address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
        server_address,
        to_server: RefCell::default(),
        to_client: RefCell::default(),
        broken: Cell::new(None),
    });
    match network.listening(world, server_address) {
        Some(backlog) => {
            backlog.connections.borrow_mut().push_back(number);
            backlog.waiting.borrow_mut().drain(..).for_each(Waker::wake);
            network.unadopted.insert(number, stream.clone());
            network.streams.retain(|stream| stream.strong_count() > 0);
            network.streams.push(Rc::downgrade(&stream));
        }
        None => stream.broken.set(Some(io::ErrorKind::ConnectionRefused)),
    }
    MemoryConnection::new(world, stream, Side::Client, world.client_arena.clone())
}

impl Network {
    /// A listener with room, chosen by the seed where several shards share the address.
    fn listening(&self, world: &World, address: SocketAddr) -> Option<Rc<Backlog>> {
        let room = |backlog: &&Rc<Backlog>| {
            backlog.connections.borrow().len() < world.options.limits.listen_backlog_max
        };
        let candidates: Vec<&Rc<Backlog>> = self.listeners.get(&address)?.iter().filter(room).collect();
        if candidates.is_empty() {
            return None;
        }
        let index = world.random.borrow_mut().index(candidates.len());
        Some(candidates[index].clone())
    }

    fn listen(&mut self, mut address: SocketAddr) -> (SocketAddr, Rc<Backlog>) {
        if address.port() == 0 {
            self.ports_chosen += 1;
            address.set_port(20_000 + self.ports_chosen);
        }
        self.last_number += 1;
        let backlog = Rc::new(Backlog {
            number: self.last_number,
            connections: RefCell::default(),
            waiting: RefCell::default(),
        });
        self.listeners.entry(address).or_default().push(backlog.clone());
        (address, backlog)
    }
}

/// Every connection of a process ends with it, and nobody listens any more.
pub(super) fn reset_all(world: &World) {
    let mut network = world.network.borrow_mut();
    network.listeners.clear();
    let unadopted = std::mem::take(&mut network.unadopted);
    let streams = std::mem::take(&mut network.streams);
    drop(network);
    for stream in streams.iter().filter_map(Weak::upgrade) {
        stream.break_with(io::ErrorKind::ConnectionReset);
    }
    drop(unadopted);
}

/// Resets connections that were accepted and then dropped by whoever was to adopt them.
pub(super) fn close_abandoned(world: &World) {
    let mut network = world.network.borrow_mut();
    let numbers = std::mem::take(&mut *network.abandoned.lock().expect("nothing panics while it holds this"));
    let streams: Vec<_> = numbers.iter().filter_map(|number| network.unadopted.remove(number)).collect();
    drop(network);
    for stream in streams {
        stream.break_with(io::ErrorKind::ConnectionReset);
    }
}

/// Binds and listens for a shard.
pub(super) fn listen(world: &Rc<World>, address: SocketAddr) -> Result<MemoryListener, ListenFailure> {
    let (address, backlog) = world.network.borrow_mut().listen(address);
    Ok(MemoryListener { world: world.clone(), address, backlog })
}

/// Takes an accepted connection over.
pub(super) fn adopt(world: &Rc<World>, accepted: &MemoryAccepted, arena: Arena) -> MemoryConnection {
    let adopted = world.network.borrow_mut().unadopted.remove(&accepted.number);
    // A crash forgets connections nobody had adopted yet; who still holds one finds it reset.
    let stream = adopted.unwrap_or_else(|| {
        Rc::new(Stream {
            number: accepted.number,
            client_address: accepted.client_address,
            server_address: accepted.client_address,
            to_server: RefCell::default(),
            to_client: RefCell::default(),
            broken: Cell::new(Some(io::ErrorKind::ConnectionReset)),
        })
    });
    MemoryConnection::new(world, stream, Side::Server, arena)
}

/// A listening socket of a world.
pub struct MemoryListener {
    world: Rc<World>,
    address: SocketAddr,
    backlog: Rc<Backlog>,
}

/// A connection that may still move to another shard. Dropped without being adopted, it is reset.
#[derive(Debug)]
pub struct MemoryAccepted {
    number: u64,
    client_address: SocketAddr,
    abandoned: Arc<Mutex<Vec<u64>>>,
}

impl Drop for MemoryAccepted {
    fn drop(&mut self) {
        self.abandoned.lock().expect("nothing panics while it holds this").push(self.number);
    }
}

impl Listener for MemoryListener {
    type Accepted = MemoryAccepted;

    fn local_address(&self) -> SocketAddr {
        self.address
    }

    fn accept(&self) -> impl Future<Output = Result<MemoryAccepted, io::Error>> {
        poll_fn(|context| {
            let Some(number) = self.backlog.connections.borrow_mut().pop_front() else {
                let mut waiting = self.backlog.waiting.borrow_mut();
                if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                    waiting.push(context.waker().clone());
                }
                return Poll::Pending;
            };
            let network = self.world.network.borrow();
            let client_address = match network.unadopted.get(&number) {
                Some(stream) => stream.client_address,
                None => return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            };
            let abandoned = network.abandoned.clone();
            Poll::Ready(Ok(MemoryAccepted { number, client_address, abandoned }))
        })
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        let mut network = self.world.network.borrow_mut();
        if let Some(backlogs) = network.listeners.get_mut(&self.address) {
            backlogs.retain(|backlog| backlog.number != self.backlog.number);
            if backlogs.is_empty() {
                network.listeners.remove(&self.address);
            }
        }
        let numbers: Vec<u64> = self.backlog.connections.borrow_mut().drain(..).collect();
        let streams: Vec<_> = numbers.iter().filter_map(|number| network.unadopted.remove(number)).collect();
        drop(network);
        streams.iter().for_each(|stream| stream.break_with(io::ErrorKind::ConnectionReset));
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Client,
    Server,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// One end of a byte stream.
#[derive(Clone)]
pub struct MemoryConnection {
    end: Rc<End>,
}

struct End {
    world: Rc<World>,
    stream: Rc<Stream>,
    side: Side,
    arena: Arena,
    is_closed: Cell<bool>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.close();
    }
}

impl End {
    fn outgoing(&self) -> &RefCell<Pipe> {
        self.stream.pipe_from(self.side)
    }

    fn incoming(&self) -> &RefCell<Pipe> {
        self.stream.pipe_from(self.side.other())
    }

    /// The peer reads what is under way, then the end; this end reads the end at once.
    fn close(&self) {
        if self.is_closed.replace(true) {
            return;
        }
        self.incoming().borrow_mut().end();
        let mut outgoing = self.outgoing().borrow_mut();
        outgoing.wake_all();
        if outgoing.is_silent {
            return;
        }
        let arrival_ns = outgoing.last_arrival_ns.max(self.world.clock.now());
        let (stream, side) = (self.stream.clone(), self.side);
        self.world.executor.schedule(arrival_ns, Owner::Client, move || {
            let mut pipe = stream.pipe_from(side).borrow_mut();
            pipe.has_ended = true;
            pipe.wake_all();
        });
    }

    fn failure(&self) -> Option<io::Error> {
        self.stream.broken.get().map(io::Error::from)
    }

    /// Waits for room, then puts the first piece of `bytes` on its way; returns its length.
    async fn send_piece(&self, bytes: &[u8]) -> io::Result<usize> {
        let room = poll_fn(|context| {
            if let Some(error) = self.failure() {
                return Poll::Ready(Err(error));
            }
            let mut pipe = self.outgoing().borrow_mut();
            if self.is_closed.get() || pipe.is_unread {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let used = pipe.under_way_bytes + pipe.arrived.len();
            match self.world.options.limits.socket_buffer_bytes_max.saturating_sub(used) {
                0 => {
                    pipe.wait(context.waker());
                    Poll::Pending
                }
                room => Poll::Ready(Ok(room)),
            }
        })
        .await?;
        self.meet_faults()?;
        Ok(self.depart(&bytes[..self.piece_length(bytes.len().min(room))]))
    }

    fn meet_faults(&self) -> io::Result<()> {
        let faults = self.world.faults();
        let mut random = self.world.random.borrow_mut();
        if random.happens(faults.network_reset) {
            drop(random);
            self.stream.break_with(io::ErrorKind::ConnectionReset);
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if random.happens(faults.network_half_open) {
            self.outgoing().borrow_mut().is_silent = true;
        }
        Ok(())
    }

    fn piece_length(&self, length: usize) -> usize {
        let mut random = self.world.random.borrow_mut();
        match random.happens(self.world.faults().network_split) {
            true => random.between(1..=length as u64) as usize,
            false => length,
        }
    }

    fn depart(&self, piece: &[u8]) -> usize {
        let world = &self.world;
        world.trace.note_bytes(Step::Sent, self.stream.number, piece);
        let delay_ns = world.random.borrow_mut().between(0..=world.faults().network_delay_ns_max);
        let mut pipe = self.outgoing().borrow_mut();
        pipe.under_way_bytes += piece.len();
        if pipe.is_silent {
            return piece.len();
        }
        pipe.last_arrival_ns = pipe.last_arrival_ns.max(world.clock.now() + delay_ns);
        let (stream, side, bytes) = (self.stream.clone(), self.side, piece.to_vec());
        world.executor.schedule(pipe.last_arrival_ns, Owner::Client, move || {
            let mut pipe = stream.pipe_from(side).borrow_mut();
            pipe.under_way_bytes -= bytes.len();
            if !pipe.is_unread {
                pipe.arrived.extend(bytes);
            }
            pipe.wake_all();
        });
        piece.len()
    }

    /// How many bytes have come; zero is the end of the stream.
    async fn arrived(&self) -> io::Result<usize> {
        poll_fn(|context| {
            let mut pipe = self.incoming().borrow_mut();
            if !pipe.arrived.is_empty() {
                return Poll::Ready(Ok(pipe.arrived.len()));
            }
            if let Some(error) = self.failure() {
                return Poll::Ready(Err(error));
            }
            if pipe.has_ended {
                return Poll::Ready(Ok(0));
            }
            pipe.wait(context.waker());
            Poll::Pending
        })
        .await
    }

    fn take_into(&self, buffer: &mut BufMut, arrived: usize) {
        assert!(buffer.remaining() > 0, "a receive needs room");
        let count = if arrived == 0 { 0 } else { self.piece_length(arrived.min(buffer.remaining())) };
        let mut pipe = self.incoming().borrow_mut();
        let bytes: Vec<u8> = pipe.arrived.drain(..count).collect();
        pipe.wake_all();
        drop(pipe);
        self.world.trace.note_bytes(Step::Received, self.stream.number, &bytes);
        buffer.extend_from_slice(&bytes);
    }
}

impl MemoryConnection {
    fn new(world: &Rc<World>, stream: Rc<Stream>, side: Side, arena: Arena) -> MemoryConnection {
        let is_closed = Cell::new(false);
        MemoryConnection { end: Rc::new(End { world: world.clone(), stream, side, arena, is_closed }) }
    }

    /// Cuts the connection: both ends see a reset.
    pub fn reset(&self) {
        self.end.stream.break_with(io::ErrorKind::ConnectionReset);
    }

    /// What this end sends from now on vanishes, and nobody is told.
    pub fn go_silent(&self) {
        self.end.outgoing().borrow_mut().is_silent = true;
    }
}

impl Connection for MemoryConnection {
    fn peer_address(&self) -> SocketAddr {
        match self.end.side {
            Side::Client => self.end.stream.server_address,
            Side::Server => self.end.stream.client_address,
        }
    }

    async fn receive(&self) -> Result<BufMut, io::Error> {
        // Room is found only after bytes have come: an idle connection holds no memory.
        let arrived = self.end.arrived().await?;
        let full = |full: ArenaFull| io::Error::new(io::ErrorKind::OutOfMemory, full);
        let mut buffer = self.end.arena.allocate(RECEIVE_BYTES_MAX).map_err(full)?;
        self.end.take_into(&mut buffer, arrived);
        Ok(buffer)
    }

    async fn receive_into(&self, mut buffer: BufMut) -> Result<BufMut, io::Error> {
        let arrived = self.end.arrived().await?;
        self.end.take_into(&mut buffer, arrived);
        Ok(buffer)
    }

    async fn send(&self, slices: Vec<Slice>) -> Result<(), io::Error> {
        for slice in slices {
            let mut sent = 0;
            while sent < slice.len() {
                sent += self.end.send_piece(&slice[sent..]).await?;
            }
        }
        Ok(())
    }

    fn shutdown(&self) {
        self.end.close();
    }
}
