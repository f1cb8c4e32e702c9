//! An open file or socket, known to the shard's ring by its place in the table of registered files.
//!
//! ```text
//!   connection, file ──┐
//!   slot of an op  ────┼──► Descriptor ──last one lets go──► place freed, descriptor closed
//!   slot of an op  ────┘
//! ```
//!
//! Always true: every operation's slot holds its descriptor, so the number is closed (and may be given to another
//! file) only after the last operation on it ended.

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::Fd;

use super::driver::Driver;

/// An open file or socket of this shard.
pub(super) struct Descriptor {
    driver: Rc<Driver>,
    /// Shared with blocking calls under way on other threads.
    raw: Option<Arc<OwnedFd>>,
    registered: Option<u32>,
    close: CloseOn,
}

/// Which thread closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CloseOn {
    /// This one: closing a socket takes no time.
    Shard,
    /// A worker of the kernel: closing the last descriptor of a removed file frees its blocks.
    Worker,
}

impl Descriptor {
    /// Makes a file or socket known to the ring, as far as the table has room.
    pub(super) fn new(driver: &Rc<Driver>, raw: OwnedFd, close: CloseOn) -> Rc<Descriptor> {
        let registered = driver.register_file(raw.as_raw_fd());
        Rc::new(Descriptor { driver: driver.clone(), raw: Some(Arc::new(raw)), registered, close })
    }

    /// The ring it is registered with.
    pub(super) fn driver(&self) -> &Rc<Driver> {
        &self.driver
    }

    /// The descriptor for blocking calls; it stays open while they hold it.
    pub(super) fn shared(&self) -> Arc<OwnedFd> {
        self.raw.clone().expect("open until dropped")
    }

    /// The number, for calls that never wait.
    pub(super) fn as_raw(&self) -> RawFd {
        self.raw.as_ref().expect("open until dropped").as_raw_fd()
    }

    /// Builds an operation on this descriptor.
    pub(super) fn entry(&self, build: impl FnOnce(Fd) -> Entry) -> Entry {
        match self.registered {
            Some(index) => build(Fd(index as i32)).flags(Flags::FIXED_FILE),
            None => build(Fd(self.as_raw())),
        }
    }

    /// Ends both directions of a socket: operations under way return.
    pub(super) fn shut_down(&self) {
        // SAFETY: the descriptor is open; shutdown touches no memory. A socket already closed by its peer says
        // ENOTCONN, which is as good.
        unsafe { libc::shutdown(self.as_raw(), libc::SHUT_RDWR) };
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if let Some(index) = self.registered {
            self.driver.unregister_file(index);
        }
        let raw = self.raw.take().expect("dropped once");
        // A blocking call that still holds it closes it when it ends.
        if let Some(raw) = Arc::into_inner(raw)
            && self.close == CloseOn::Worker
        {
            self.driver.close_on_worker(raw.into_raw_fd());
        }
    }
}
