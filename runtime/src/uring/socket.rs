//! Sockets on the ring: accept on one shard, use on any.
//!
//! Always true: a connection waiting for bytes holds no receive buffer; a receive or send whose future is dropped
//! ends the connection, since bytes may already have moved; an accept whose future is dropped goes on, and the
//! next accept gets its connection.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use io_uring::opcode;
use io_uring::squeue::Flags;

use super::clock;
use super::descriptor::{CloseOn, Descriptor};
use super::driver::{Driver, owned};
use super::features::Feature;
use super::file::{Remaining, Repeats, to_result};
use super::operation::{OnDrop, Operation};
use super::payload::{Payload, PeerAddress, Vectors};
use super::receive_buffers::{GROUP, RECEIVE_BYTES};
use crate::buffer::{BufMut, Slice};
use crate::environment::{Connection, ListenFailure, Listener};

/// Connections the kernel completes before we accept them.
const BACKLOG: i32 = 1024;

/// Most slices in one send: the kernel's bound.
const VECTORS_MAX: usize = 1024;

/// A send of one slice from this size on may leave without a copy, where that is on.
const ZERO_COPY_BYTES_MIN: usize = 32 * 1024;

/// How long to wait for I/O memory before asking again: a full shard slows its senders down by not reading.
const MEMORY_RETRY: Duration = Duration::from_millis(5);

/// A listening socket of this shard.
pub struct UringListener {
    descriptor: Rc<Descriptor>,
    local_address: SocketAddr,
    accepting: RefCell<Option<Operation>>,
}

/// A connection on its way to the shard that will use it.
pub struct UringAccepted {
    raw: OwnedFd,
    peer: SocketAddr,
}

/// A connection of this shard. Clones share it.
#[derive(Clone)]
pub struct UringConnection {
    shared: Rc<Shared>,
}

struct Shared {
    descriptor: Rc<Descriptor>,
    peer: SocketAddr,
    is_sending: Cell<bool>,
    is_receiving: Cell<bool>,
}

impl UringAccepted {
    /// A connection that this process made, for whoever is a client: used like one that was accepted.
    ///
    /// # Errors
    /// If the stream is not connected any more.
    pub fn connected(stream: TcpStream) -> io::Result<UringAccepted> {
        let peer = stream.peer_addr()?;
        Ok(UringAccepted { raw: OwnedFd::from(stream), peer })
    }
}

impl UringListener {
    pub(super) fn bind(driver: &Rc<Driver>, address: SocketAddr) -> Result<UringListener, ListenFailure> {
        let listen = || {
            let raw = listening_socket(&address)?;
            let local_address = TcpListener::from(raw.try_clone()?).local_addr()?;
            let descriptor = Descriptor::new(driver, raw, CloseOn::Shard);
            Ok(UringListener { descriptor, local_address, accepting: RefCell::new(None) })
        };
        listen().map_err(|error| ListenFailure { address, error })
    }

    fn start_accept(&self) -> Operation {
        let mut peer = PeerAddress::new();
        let (storage, length) = ((&raw mut peer.storage).cast(), &raw mut peer.length);
        let entry = self
            .descriptor
            .entry(|fd| opcode::Accept::new(fd, storage, length).flags(libc::SOCK_CLOEXEC).build());
        // SAFETY: the entry writes into the boxed address, which the slot owns.
        unsafe {
            self.descriptor.driver().start(&self.descriptor, entry, Payload::Peer(peer), OnDrop::Cancel)
        }
    }
}

impl Listener for UringListener {
    type Accepted = UringAccepted;

    fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    async fn accept(&self) -> Result<UringAccepted, io::Error> {
        loop {
            let finished = poll_fn(|context| {
                let mut accepting = self.accepting.borrow_mut();
                let operation = accepting.get_or_insert_with(|| self.start_accept());
                let finished = std::task::ready!(Pin::new(operation).poll(context));
                *accepting = None;
                Poll::Ready(finished)
            })
            .await;
            match to_result(finished.result) {
                Ok(raw) => {
                    // SAFETY: accept made this descriptor; nobody else knows it.
                    let raw = unsafe { OwnedFd::from_raw_fd(raw as i32) };
                    let Some(Payload::Peer(peer)) = finished.payload else {
                        unreachable!("an accept has one completion, which gives its address back")
                    };
                    // A peer whose address is not the internet's cannot be: the listener is bound to one.
                    let peer = peer.to_address().unwrap_or(self.local_address);
                    return Ok(UringAccepted { raw, peer });
                }
                Err(error) if is_the_peers_fault(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Errors of one connection that was given up before it was accepted: the listener is well.
fn is_the_peers_fault(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    matches!(
        code,
        Some(libc::EINTR | libc::ECONNABORTED | libc::EPROTO | libc::ENETDOWN | libc::EHOSTUNREACH)
    )
}

fn listening_socket(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: touches no memory; the result is checked and owned by nobody else.
    let raw = unsafe { owned(libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0))? };
    // A broker that restarts takes its port back at once, though old connections linger.
    set_option(&raw, libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    bind(&raw, address)?;
    // SAFETY: the socket is open and bound; no memory is touched.
    if unsafe { libc::listen(raw.as_raw_fd(), BACKLOG) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(raw)
}

fn bind(raw: &OwnedFd, address: &SocketAddr) -> io::Result<()> {
    let result = match address {
        SocketAddr::V4(address) => {
            let name = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: the pointer and length name one `sockaddr_in`.
            unsafe { libc::bind(raw.as_raw_fd(), (&raw const name).cast(), size_of_val(&name) as u32) }
        }
        SocketAddr::V6(address) => {
            let name = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            // SAFETY: the pointer and length name one `sockaddr_in6`.
            unsafe { libc::bind(raw.as_raw_fd(), (&raw const name).cast(), size_of_val(&name) as u32) }
        }
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn set_option(raw: &OwnedFd, level: i32, option: i32) -> io::Result<()> {
    let on: i32 = 1;
    // SAFETY: the pointer and length name one integer, which the kernel reads.
    let result = unsafe {
        libc::setsockopt(raw.as_raw_fd(), level, option, (&raw const on).cast(), size_of_val(&on) as u32)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl UringConnection {
    pub(super) fn adopt(driver: &Rc<Driver>, accepted: UringAccepted) -> UringConnection {
        // A socket that will not send at once is slow, not wrong.
        let _ = set_option(&accepted.raw, libc::IPPROTO_TCP, libc::TCP_NODELAY);
        let shared = Shared {
            descriptor: Descriptor::new(driver, accepted.raw, CloseOn::Shard),
            peer: accepted.peer,
            is_sending: Cell::new(false),
            is_receiving: Cell::new(false),
        };
        UringConnection { shared: Rc::new(shared) }
    }

    /// Lets the kernel choose a buffer when bytes come. `None` if it had none left.
    async fn receive_chosen(&self) -> io::Result<Option<BufMut>> {
        let descriptor = &self.shared.descriptor;
        let entry = descriptor.entry(|fd| {
            let receive = opcode::Recv::new(fd, std::ptr::null_mut(), RECEIVE_BYTES as u32).buf_group(GROUP);
            receive.build().flags(Flags::BUFFER_SELECT)
        });
        // SAFETY: the entry holds no address: the kernel writes into a buffer lent to it.
        let receive =
            unsafe { descriptor.driver().start(descriptor, entry, Payload::Nothing, OnDrop::Complete) };
        let finished = receive.await;
        match (to_result(finished.result), finished.payload) {
            (Ok(_), Some(Payload::Buffer(buffer))) => Ok(Some(buffer)),
            (Ok(0), _) => Ok(Some(self.allocate(1).await)),
            (Ok(length), _) => panic!("{length} bytes were received without a buffer"),
            (Err(error), _) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(None),
            (Err(error), _) => Err(error),
        }
    }

    /// Waits until there is something to receive, then takes a buffer for it.
    async fn receive_when_ready(&self) -> io::Result<BufMut> {
        let descriptor = &self.shared.descriptor;
        let entry = descriptor.entry(|fd| opcode::PollAdd::new(fd, libc::POLLIN as u32).build());
        // SAFETY: the entry holds no address.
        let readable =
            unsafe { descriptor.driver().start(descriptor, entry, Payload::Nothing, OnDrop::Complete) };
        to_result(readable.await.result)?;
        let buffer = self.allocate(RECEIVE_BYTES).await;
        let (result, buffer) = self.receive_once(buffer).await;
        result.map(|()| buffer)
    }

    async fn receive_once(&self, mut buffer: BufMut) -> (io::Result<()>, BufMut) {
        let descriptor = &self.shared.descriptor;
        let (memory, length) = buffer.free_space();
        let entry = descriptor.entry(|fd| opcode::Recv::new(fd, memory, length).build());
        // SAFETY: the entry writes into the free space of the buffer, which the slot owns.
        let receive = unsafe {
            descriptor.driver().start(descriptor, entry, Payload::Buffer(buffer), OnDrop::Complete)
        };
        let finished = receive.await;
        let Some(Payload::Buffer(mut buffer)) = finished.payload else {
            unreachable!("a receive has one completion, which gives its buffer back")
        };
        let received = to_result(finished.result).map(|received| buffer.set_len(buffer.len() + received));
        (received, buffer)
    }

    async fn allocate(&self, bytes: usize) -> BufMut {
        let driver = self.shared.descriptor.driver();
        loop {
            match driver.arena().allocate(bytes) {
                Ok(buffer) => return buffer,
                Err(_) => driver.timers().sleep_until(clock::now() + MEMORY_RETRY).await,
            }
        }
    }

    async fn send_once(&self, slices: &[Slice]) -> io::Result<usize> {
        let descriptor = &self.shared.descriptor;
        let driver = descriptor.driver();
        let flags = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        let (entry, payload) = match slices {
            [slice] => {
                let (memory, length) = (slice.as_ptr(), u32::try_from(slice.len()).unwrap_or(1 << 30));
                let entry = descriptor.entry(|fd| {
                    if slice.len() >= ZERO_COPY_BYTES_MIN && !driver.lacks(Feature::ZeroCopySend) {
                        let index = slice.registered_index(driver.arena());
                        return opcode::SendZc::new(fd, memory, length).buf_index(index).flags(flags).build();
                    }
                    opcode::Send::new(fd, memory, length).flags(flags).build()
                });
                (entry, Payload::Slice(slice.clone()))
            }
            _ => {
                let vectors = Vectors::new(slices[..slices.len().min(VECTORS_MAX)].to_vec());
                let message = vectors.message();
                let entry =
                    descriptor.entry(|fd| opcode::SendMsg::new(fd, message).flags(flags as u32).build());
                (entry, Payload::Vectors(vectors))
            }
        };
        // SAFETY: the entry reads the slices, which never change, through a description; the slot owns both.
        let send = unsafe { driver.start(descriptor, entry, payload, OnDrop::Complete) };
        to_result(send.await.result)
    }
}

impl Connection for UringConnection {
    fn peer_address(&self) -> SocketAddr {
        self.shared.peer
    }

    async fn receive(&self) -> Result<BufMut, io::Error> {
        let guard = Moving::begin(&self.shared, &self.shared.is_receiving, "receive");
        let mut repeats = Repeats::default();
        loop {
            let provided = !self.shared.descriptor.driver().lacks(Feature::ProvidedBuffers);
            let chosen = if provided { self.receive_chosen().await } else { Ok(None) };
            let received = match chosen {
                Ok(Some(buffer)) => Ok(buffer),
                Ok(None) => self.receive_when_ready().await,
                Err(error) => Err(error),
            };
            match received {
                Err(error) if repeats.allow(&error) => {}
                received => {
                    guard.end();
                    return received;
                }
            }
        }
    }

    async fn receive_into(&self, mut buffer: BufMut) -> Result<BufMut, io::Error> {
        assert!(buffer.remaining() > 0, "a receive into a full buffer looks like the end of the stream");
        let guard = Moving::begin(&self.shared, &self.shared.is_receiving, "receive");
        let mut repeats = Repeats::default();
        loop {
            let (result, returned) = self.receive_once(buffer).await;
            buffer = returned;
            match result {
                Err(error) if repeats.allow(&error) => {}
                result => {
                    guard.end();
                    return result.map(|()| buffer);
                }
            }
        }
    }

    async fn send(&self, slices: Vec<Slice>) -> Result<(), io::Error> {
        let guard = Moving::begin(&self.shared, &self.shared.is_sending, "send");
        let mut left = Remaining::new(slices);
        let mut repeats = Repeats::default();
        while !left.is_empty() {
            match self.send_once(left.slices()).await {
                Err(error) if repeats.allow(&error) => {}
                // The stream now ends somewhere in the middle: the guard closes it.
                Err(error) => return Err(error),
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => left.advance(sent),
            }
        }
        guard.end();
        Ok(())
    }

    fn shutdown(&self) {
        self.shared.descriptor.shut_down();
    }
}

/// Bytes are moving in one direction. If this goes before they have all moved, so does the connection.
struct Moving<'a> {
    shared: &'a Shared,
    flag: &'a Cell<bool>,
    is_over: Cell<bool>,
}

impl<'a> Moving<'a> {
    fn begin(shared: &'a Shared, flag: &'a Cell<bool>, what: &str) -> Moving<'a> {
        assert!(!flag.replace(true), "two {what}s at once on the connection with {}", shared.peer);
        Moving { shared, flag, is_over: Cell::new(false) }
    }

    fn end(&self) {
        self.is_over.set(true);
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.flag.set(false);
        if !self.is_over.get() {
            self.shared.descriptor.shut_down();
        }
    }
}
