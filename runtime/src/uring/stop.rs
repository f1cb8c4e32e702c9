//! Being asked to stop: SIGTERM and SIGINT become the completion of a future.
//!
//! ```text
//!   first signal ──handler──► eventfd ──POLL_ADD on the data ring──► stop_requested() completes
//!   second signal ─handler──► a message, and the process ends at once
//! ```
//!
//! Always true: the handler calls only what a signal handler may call (write, _exit) and touches only atomics.

use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use io_uring::opcode;

use super::descriptor::{CloseOn, Descriptor};
use super::driver::{Driver, owned};
use super::operation::OnDrop;
use super::payload::Payload;

/// What a process that was told twice says before it ends.
const IMPATIENT: &[u8] = b"ringlog: second signal: ending at once, without a clean shutdown\n";

/// As shells report a process that a signal ended.
const IMPATIENT_EXIT: i32 = 130;

static STOP_EVENTFD: AtomicI32 = AtomicI32::new(-1);
static SIGNALS_SEEN: AtomicU32 = AtomicU32::new(0);

/// Completes once a stop signal has come, now or earlier.
pub(super) async fn requested(driver: Rc<Driver>) {
    let eventfd = take_over_signals().and_then(|eventfd| eventfd.try_clone());
    let eventfd = eventfd.expect("a process with room for its rings has room for one eventfd");
    let descriptor = Descriptor::new(&driver, eventfd, CloseOn::Shard);
    loop {
        let entry = descriptor.entry(|fd| opcode::PollAdd::new(fd, libc::POLLIN as u32).build());
        // SAFETY: the entry holds no address.
        let raised = unsafe { driver.start(&descriptor, entry, Payload::Nothing, OnDrop::Cancel) };
        if raised.await.result >= 0 {
            return;
        }
    }
}

/// Once per process.
fn take_over_signals() -> io::Result<&'static OwnedFd> {
    static EVENTFD: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(eventfd) = EVENTFD.get() {
        return Ok(eventfd);
    }
    // SAFETY: touches no memory; the result is checked and owned by nobody else.
    let made = unsafe { owned(libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC))? };
    let eventfd = EVENTFD.get_or_init(|| made);
    // The handler's own duplicate is never closed: a signal may come at any time.
    STOP_EVENTFD.store(eventfd.try_clone()?.into_raw_fd(), Ordering::Release);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        handle(signal)?;
    }
    // A terminal that goes stops the broker in order, unless it was started to outlive it (`nohup`).
    if !is_ignored(libc::SIGHUP)? {
        handle(libc::SIGHUP)?;
    }
    Ok(eventfd)
}

fn is_ignored(signal: i32) -> io::Result<bool> {
    // SAFETY: all-zero bytes are a valid `sigaction`.
    let mut known: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action the call only writes the known one, which outlives it.
    match unsafe { libc::sigaction(signal, std::ptr::null(), &mut known) } {
        0 => Ok(known.sa_sigaction == libc::SIG_IGN),
        _ => Err(io::Error::last_os_error()),
    }
}

fn handle(signal: i32) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid `sigaction`: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the handler has the signature that these flags ask for and is safe to run at any point.
    match unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn on_signal(_signal: i32) {
    if SIGNALS_SEEN.fetch_add(1, Ordering::AcqRel) > 0 {
        // SAFETY: a static message to standard error; both calls may be made in a signal handler.
        unsafe {
            libc::write(libc::STDERR_FILENO, IMPATIENT.as_ptr().cast(), IMPATIENT.len());
            libc::_exit(IMPATIENT_EXIT);
        }
    }
    let one = 1u64.to_ne_bytes();
    // SAFETY: eight readable bytes; `write` may be called in a signal handler and `errno` is put back.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        libc::write(STOP_EVENTFD.load(Ordering::Acquire), one.as_ptr().cast(), one.len());
        *errno = before;
    }
}
