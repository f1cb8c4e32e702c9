//! The memory an operation works on, kept in its slot while the kernel may touch it.
//!
//! Always true: every address given to the kernel lies behind one more allocation (arena block, box), so moving
//! the payload into and within the slot table moves no byte that the kernel knows.

use std::net::SocketAddr;

use crate::buffer::{BufMut, Slice};

/// What an operation owns besides its file.
pub(super) enum Payload {
    /// No memory.
    Nothing,
    /// The target of a read or receive.
    Buffer(BufMut),
    /// The source of a write or send of one part.
    Slice(#[expect(dead_code, reason = "held for the kernel, which reads it")] Slice),
    /// The source of a write or send of several parts.
    Vectors(#[expect(dead_code, reason = "held for the kernel, which reads it")] Box<Vectors>),
    /// Where accept puts the peer's address; an accepted socket nobody took is closed.
    Peer(Box<PeerAddress>),
}

/// Several slices as the kernel wants them described.
pub(super) struct Vectors {
    message: libc::msghdr,
    vectors: Vec<libc::iovec>,
    /// What `vectors` points to; held, never read here.
    _slices: Vec<Slice>,
}

impl Vectors {
    /// Describes slices; the description points into the slices, which it owns.
    pub(super) fn new(slices: Vec<Slice>) -> Box<Vectors> {
        let vectors: Vec<libc::iovec> = slices
            .iter()
            .map(|slice| libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: slice.len() })
            .collect();
        // SAFETY: all-zero bytes are a valid `msghdr`: null pointers and zero lengths.
        let message = unsafe { std::mem::zeroed() };
        let mut description = Box::new(Vectors { message, vectors, _slices: slices });
        description.message.msg_iov = description.vectors.as_mut_ptr();
        description.message.msg_iovlen = description.vectors.len() as _;
        description
    }

    /// For a vectored write.
    pub(super) fn vectors(&self) -> (*const libc::iovec, u32) {
        (self.vectors.as_ptr(), self.vectors.len() as u32)
    }

    /// For a message on a socket.
    pub(super) fn message(&self) -> *const libc::msghdr {
        &raw const self.message
    }
}

/// Room for the address of an accepted connection's other end.
pub(super) struct PeerAddress {
    pub(super) storage: libc::sockaddr_storage,
    pub(super) length: libc::socklen_t,
}

impl PeerAddress {
    pub(super) fn new() -> Box<PeerAddress> {
        // SAFETY: all-zero bytes are a valid `sockaddr_storage` of no family.
        let storage = unsafe { std::mem::zeroed() };
        Box::new(PeerAddress { storage, length: size_of::<libc::sockaddr_storage>() as libc::socklen_t })
    }

    /// The address the kernel wrote; `None` for a family that is not the internet's.
    pub(super) fn to_address(&self) -> Option<SocketAddr> {
        match i32::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that the storage holds a `sockaddr_in`, which is smaller.
                let address = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in>() };
                let ip = u32::from_be(address.sin_addr.s_addr);
                Some(SocketAddr::from((ip.to_be_bytes(), u16::from_be(address.sin_port))))
            }
            libc::AF_INET6 => {
                // SAFETY: the family says that the storage holds a `sockaddr_in6`, which is smaller.
                let address = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in6>() };
                Some(SocketAddr::from((address.sin6_addr.s6_addr, u16::from_be(address.sin6_port))))
            }
            _ => None,
        }
    }
}
