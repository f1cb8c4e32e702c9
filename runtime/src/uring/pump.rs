//! The pump: the task that turns the data ring, and the doorbell that wakes it.
//!
//! ```text
//!   turn ──something happened──► let the woken run ──► turn
//!     └──nothing for idle_spin──► hang out the sign, enable the eventfd, look once more, sleep
//!
//!   eventfd of the data ring ──POLL_ADD──linked──► SEND one byte ──► socket pair ──► a task of the executor reads
//!                          (a small second ring)                                     it and wakes the pump
//! ```
//!
//! The executor parks in its own ring and knows nothing of ours: the byte is what it waits for.
//!
//! Always true: the pump sleeps only after a look at the ring that came after the eventfd was enabled, and with
//! the bell armed; so what happens before the look is seen, and what happens after it rings. The bell stays armed
//! when the pump is woken by a task of its own shard, and the eventfd is off while the pump is awake, so a busy
//! shard pays nothing for it.
//!
//! The executor's stream loses its poll on the socket now and then (seen about once in 45,000 sleeps, with glommio
//! 0.9: the byte lies unread and none of the executor's rings polls for it). A watch therefore looks at a sleeping
//! shard every [`WATCH`]; where it finds a byte that nobody heard, the bell is made anew.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::AsyncReadExt;
use glommio::net::UnixStream;
use io_uring::squeue::Flags;
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};

use super::clock;
use super::driver::Driver;

static BYTE: [u8; 1] = [1];

/// How long a bell may stay unheard. Two hundred looks a second cost about a third of a percent of a core.
const WATCH: Duration = Duration::from_millis(5);

/// The doorbell of one shard.
pub(super) struct Doorbell {
    ring: IoUring,
    sender: OwnedFd,
    receiver: RawFd,
    hearer: glommio::Task<()>,
    state: Rc<BellState>,
}

#[derive(Default)]
struct BellState {
    armed: Cell<bool>,
    rang: Cell<bool>,
    pump: Cell<Option<Waker>>,
    /// The watch woke the pump: the bell may be unheard.
    suspect: Cell<bool>,
}

impl Doorbell {
    /// Makes the bell and starts the task that hears it. Must be called inside the executor.
    pub(super) fn new(driver: &Rc<Driver>) -> io::Result<Doorbell> {
        let ring = IoUring::builder().build(8)?;
        let state = Rc::new(BellState::default());
        let (sender, receiver, hearer) = connect(driver, &state)?;
        glommio::spawn_local(keep_watch(driver.clone(), state.clone())).detach();
        Ok(Doorbell { ring, sender, receiver, hearer, state })
    }

    /// After the watch woke the pump: if the bell rang and nobody hears it, a new one takes its place.
    fn renew_if_unheard(&mut self, driver: &Rc<Driver>) {
        if !self.state.suspect.replace(false) || !has_unread_byte(self.receiver) {
            return;
        }
        // The byte is there, so the bell's own ring has nothing under way that names the old sockets.
        let Ok((sender, receiver, hearer)) = connect(driver, &self.state) else { return };
        tracing::debug!("a doorbell rang unheard and was made anew");
        drop(std::mem::replace(&mut self.hearer, hearer));
        (self.sender, self.receiver) = (sender, receiver);
        lower(driver);
        self.state.armed.set(false);
    }

    /// From now on the bell rings once when the eventfd is raised, also if it already is.
    fn arm(&mut self, driver: &Driver) {
        if self.state.armed.replace(true) {
            return;
        }
        if let Some(failed) = self.ring.completion().next() {
            panic!("the doorbell failed: {}", io::Error::from_raw_os_error(-failed.result()));
        }
        let poll = opcode::PollAdd::new(Fd(driver.eventfd()), libc::POLLIN as u32)
            .build()
            .flags(Flags::IO_LINK | Flags::SKIP_SUCCESS);
        let send = opcode::Send::new(Fd(self.sender.as_raw_fd()), BYTE.as_ptr(), 1)
            .build()
            .flags(Flags::SKIP_SUCCESS);
        // SAFETY: the byte is static; both descriptors live as long as this bell and its driver.
        let pushed = unsafe { self.ring.submission().push_multiple(&[poll, send]) };
        pushed.expect("the bell's ring is empty when the bell is armed");
        while !self.ring.submission().is_empty() {
            match self.ring.submit() {
                Ok(_) => {}
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) => {}
                Err(error) => panic!("the doorbell cannot be armed: {error}"),
            }
        }
    }
}

/// The bell's wire, and the task that listens at its end.
fn connect(driver: &Rc<Driver>, state: &Rc<BellState>) -> io::Result<(OwnedFd, RawFd, glommio::Task<()>)> {
    let (sender, receiver) = StdUnixStream::pair()?;
    let raw = receiver.into_raw_fd();
    // SAFETY: the descriptor was just made and is given up here, so the stream is its only owner.
    let receiver = unsafe { UnixStream::from_raw_fd(raw) };
    let hearer = glommio::spawn_local(hear(receiver, driver.clone(), state.clone()));
    Ok((sender.into(), raw, hearer))
}

/// Looks after a sleeping shard now and then.
async fn keep_watch(driver: Rc<Driver>, state: Rc<BellState>) {
    loop {
        glommio::timer::sleep(WATCH).await;
        if driver.wake_if_there_is_work() {
            state.suspect.set(true);
        }
    }
}

/// Whether a byte waits in the socket; it stays there.
fn has_unread_byte(receiver: RawFd) -> bool {
    let mut byte = 0u8;
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: one writable byte; the descriptor is open for as long as its hearer, which the bell owns.
    unsafe { libc::recv(receiver, (&raw mut byte).cast(), 1, flags) == 1 }
}

async fn hear(mut receiver: UnixStream, driver: Rc<Driver>, state: Rc<BellState>) {
    let mut byte = [0; 8];
    while let Ok(1..) = receiver.read(&mut byte).await {
        lower(&driver);
        state.armed.set(false);
        state.rang.set(true);
        if let Some(pump) = state.pump.take() {
            pump.wake();
        }
    }
}

/// Sets the eventfd back to zero, so that the next poll waits.
fn lower(driver: &Driver) {
    let mut count = [0; 8];
    // SAFETY: eight writable bytes, read from an open eventfd that never blocks.
    unsafe { libc::read(driver.eventfd(), count.as_mut_ptr().cast(), count.len()) };
}

/// Turns the ring for as long as the shard lives.
pub(super) async fn pump(driver: Rc<Driver>, mut bell: Doorbell, idle_spin: Duration) {
    let mut last_active = clock::now();
    loop {
        if driver.turn() | driver.deliver() {
            last_active = clock::now();
            glommio::executor().yield_task_queue_now().await;
            continue;
        }
        // Whoever is ready may queue more: let them before the system call that a sleep costs.
        glommio::executor().yield_task_queue_now().await;
        if clock::now().since(last_active) < idle_spin {
            continue;
        }
        if driver.try_sleep() {
            bell.arm(&driver);
            sleep(&driver, &bell).await;
            driver.wake_up();
            bell.renew_if_unheard(&driver);
        }
    }
}

/// Until the bell rings or a task of this shard queues an operation.
async fn sleep(driver: &Driver, bell: &Doorbell) {
    poll_fn(|context| {
        if bell.state.rang.replace(false) || driver.has_work() || driver.poll_queued(context).is_ready() {
            return Poll::Ready(());
        }
        bell.state.pump.set(Some(context.waker().clone()));
        Poll::Pending
    })
    .await;
    bell.state.pump.set(None);
}
