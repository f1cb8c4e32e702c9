//! The shard's data ring: takes operations, submits them together, brings completions to those who wait.
//!
//! ```text
//!   Operation ──start──► slot + submission queue ──submit, rest: one system call──► kernel
//!   waiting task ◄──wake── slot ◄──reap: completion queue──────────────────────────┘
//! ```
//!
//! Always true: only this shard's thread touches the ring. No borrow of the inner state lives while foreign code
//! runs: wakers are woken and buffers let go after it has ended, since both may come back here. Before the ring
//! goes, every operation has seen its last completion.

use std::cell::{OnceCell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::{Arc, Once};
use std::task::{Poll, Waker};
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode};
use ringlog_core::ids::ShardIndex;

use super::clock;
use super::descriptor::Descriptor;
use super::features::Feature;
use super::operation::{OnDrop, Operation};
use super::payload::Payload;
use super::receive_buffers::ReceiveBuffers;
use super::slots::{Aftermath, Completion, Finished, Key, Owned, Slots};
use super::timers::Timers;
use crate::buffer::{Arena, BufMut};
use crate::environment::RingStatistics;
use crate::mesh::{Bell, Doorplate, Inbox};

/// Operations submitted with one system call.
const SUBMISSION_ENTRIES: u32 = 512;

/// Completions held between two turns; the kernel keeps what is beyond that until the next turn.
const COMPLETION_ENTRIES: u32 = 4096;

/// The most files in the table of registered files; those beyond go by their descriptor.
const REGISTERED_FILES_MAX: u64 = 16 * 1024;

/// How long the end of a ring waits for cancelled operations before it asks again.
const DRAIN_STEP: Duration = Duration::from_millis(100);

/// The longest single sleep of a shard for which no timer waits.
const SLEEP_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The slot part of a number that belongs to no slot; what it is stands in the other part.
const NO_SLOT: u64 = u32::MAX as u64;
/// The shard's eventfd was raised.
const RAISED: u64 = 3 << 48 | NO_SLOT;
/// Nobody waits for this one.
const UNWATCHED: u64 = NO_SLOT;
/// A message from another shard's ring.
const NUDGED: u64 = 1 << 32 | NO_SLOT;
/// A message to another shard's ring; the shard is added to the upper part.
const NUDGE_TO_FIRST: u64 = 2 << 32 | NO_SLOT;

/// How another shard of this process is woken.
pub(super) struct Neighbour {
    /// Its ring, for messages.
    pub(super) ring: Arc<OwnedFd>,
    /// Its eventfd, where messages cannot be used.
    pub(super) eventfd: Arc<OwnedFd>,
}

/// How a thread without a ring wakes a shard: after putting something where the shard looks for it.
pub(super) struct ShardBell {
    eventfd: Arc<OwnedFd>,
    doorplates: Arc<[Doorplate]>,
    shard: ShardIndex,
}

impl ShardBell {
    /// Wakes the shard if it sleeps.
    pub(super) fn ring_if_asleep(&self) {
        if self.doorplates[usize::from(self.shard.0)].needs_bell() {
            raise(&self.eventfd);
        }
    }
}

/// The data ring of one shard.
pub(super) struct Driver {
    core: RefCell<Core>,
    arena: Arena,
    timers: Rc<Timers>,
    /// Polled by the ring, from its first turn to its last.
    eventfd: Arc<OwnedFd>,
    neighbours: OnceCell<Arc<[Neighbour]>>,
    doorplates: Arc<[Doorplate]>,
    shard: ShardIndex,
    inboxes: RefCell<Vec<Rc<dyn Inbox>>>,
    aftermaths: RefCell<Vec<Aftermath>>,
    absent: Vec<Feature>,
}

struct Core {
    // Declared first, so dropped first: the kernel lets go of what follows.
    ring: IoUring,
    receive: Option<ReceiveBuffers>,
    slots: Slots,
    /// Entries for which the submission queue had no room; as many as slots at most.
    backlog: VecDeque<Entry>,
    files: FileTable,
    /// The eventfd was raised, and is no longer polled.
    raised: bool,
    phase: Phase,
    statistics: RingStatistics,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Closed,
}

/// Which places of the table of registered files are free.
#[derive(Default)]
struct FileTable {
    free: Vec<u32>,
}

impl Driver {
    /// Makes the ring of this thread's shard.
    pub(super) fn new(
        shard: ShardIndex,
        arena: Arena,
        doorplates: Arc<[Doorplate]>,
        pretend_absent: &[Feature],
    ) -> io::Result<Rc<Driver>> {
        let ring = build_ring()?;
        let eventfd = Arc::new(new_eventfd()?);
        let mut absent = pretend_absent.to_vec();
        let files = register_file_table(&ring, &mut absent);
        let receive = register_receive_buffers(&ring, &mut absent);
        register_buffer_table(&ring, &arena, &mut absent);
        let mut core = Core {
            ring,
            receive,
            slots: Slots::default(),
            backlog: VecDeque::new(),
            files,
            raised: false,
            phase: Phase::Open,
            statistics: RingStatistics::default(),
        };
        core.push(watch(&eventfd));
        let driver = Driver {
            core: RefCell::new(core),
            arena,
            timers: Rc::default(),
            eventfd,
            neighbours: OnceCell::new(),
            doorplates,
            shard,
            inboxes: RefCell::new(Vec::new()),
            aftermaths: RefCell::new(Vec::new()),
            absent,
        };
        Ok(Rc::new(driver))
    }

    /// How other shards wake this one. The ring is a duplicate, so its number stays this ring's until the last
    /// neighbour has gone.
    pub(super) fn as_neighbour(&self) -> io::Result<Neighbour> {
        let raw = self.core.borrow().ring.as_raw_fd();
        // SAFETY: `raw` is the open ring; the result is checked and owned by nobody else.
        let ring = unsafe { owned(libc::fcntl(raw, libc::F_DUPFD_CLOEXEC, 0))? };
        Ok(Neighbour { ring: Arc::new(ring), eventfd: self.eventfd.clone() })
    }

    /// How other threads of this process wake the shard.
    pub(super) fn bell_for_threads(&self) -> ShardBell {
        let (eventfd, doorplates) = (self.eventfd.clone(), self.doorplates.clone());
        ShardBell { eventfd, doorplates, shard: self.shard }
    }

    /// Tells of the other shards' rings, once all are made.
    pub(super) fn meet(&self, neighbours: Arc<[Neighbour]>) {
        assert!(self.neighbours.set(neighbours).is_ok(), "a shard meets its neighbours once");
    }

    /// Delivers into this mailbox from now on.
    pub(super) fn add_inbox(&self, inbox: Rc<dyn Inbox>) {
        self.inboxes.borrow_mut().push(inbox);
    }

    /// The shard's timers.
    pub(super) fn timers(&self) -> &Rc<Timers> {
        &self.timers
    }

    /// The shard's memory.
    pub(super) fn arena(&self) -> &Arena {
        &self.arena
    }

    /// What the ring has done so far.
    pub(super) fn statistics(&self) -> RingStatistics {
        self.core.borrow().statistics
    }

    /// Whether this host (or a test's pretence) lacks a feature.
    pub(super) fn lacks(&self, feature: Feature) -> bool {
        self.absent.contains(&feature)
    }

    /// Starts an operation on a file or socket.
    ///
    /// # Safety
    /// Every address in `entry` lies in memory that `payload` keeps in place and, where the kernel writes, keeps
    /// unshared; or it is null.
    pub(super) unsafe fn start(
        self: &Rc<Self>,
        descriptor: &Rc<Descriptor>,
        entry: Entry,
        payload: Payload,
        on_drop: OnDrop,
    ) -> Operation {
        let mut core = self.core.borrow_mut();
        let key = core.slots.insert(Owned { descriptor: Some(descriptor.clone()), payload });
        if core.phase == Phase::Closed {
            let refused = Completion { result: -libc::ECANCELED, flags: 0 };
            core.slots.complete(key, refused, false, false);
        } else {
            core.push(entry.user_data(key.user_data()));
        }
        drop(core);
        Operation::new(self.clone(), key, on_drop)
    }

    /// What became of an operation.
    pub(super) fn poll(&self, key: Key, waker: &Waker) -> Poll<Finished> {
        let polled = self.core.borrow_mut().slots.poll(key, waker);
        // The file may let go here, which may come back to this driver: after the borrow.
        polled.map(|(finished, _owned)| finished)
    }

    /// An operation's future is gone.
    pub(super) fn orphan(&self, key: Key, on_drop: OnDrop) {
        let mut core = self.core.borrow_mut();
        let aftermath = core.slots.orphan(key);
        if on_drop == OnDrop::Cancel && aftermath.released.is_none() && core.phase == Phase::Open {
            let cancel = opcode::AsyncCancel::new(key.user_data()).build().user_data(UNWATCHED);
            core.push(cancel);
        }
        drop(core);
        finish(aftermath);
    }

    /// Closes a descriptor on a worker thread of the kernel.
    pub(super) fn close_on_worker(&self, raw: RawFd) {
        let mut core = self.core.borrow_mut();
        if core.phase == Phase::Closed {
            drop(core);
            // SAFETY: the caller gave up the descriptor, which is open.
            unsafe { libc::close(raw) };
            return;
        }
        core.push(opcode::Close::new(Fd(raw)).build().flags(Flags::ASYNC).user_data(UNWATCHED));
    }

    /// A place in the table of registered files, if there is one.
    pub(super) fn register_file(&self, raw: RawFd) -> Option<u32> {
        let mut core = self.core.borrow_mut();
        let index = core.files.free.pop()?;
        match core.ring.submitter().register_files_update(index, &[raw]) {
            Ok(_) => Some(index),
            Err(_) => {
                core.files.free.push(index);
                None
            }
        }
    }

    /// Gives a place in the table of registered files back.
    pub(super) fn unregister_file(&self, index: u32) {
        let mut core = self.core.borrow_mut();
        if core.phase == Phase::Closed {
            return;
        }
        let forgotten = core.ring.submitter().register_files_update(index, &[-1]);
        forgotten.expect("a ring forgets a file it knows");
        core.files.free.push(index);
    }

    /// Gives the kernel what is queued and lets it run its deferred work, if there is either.
    pub(super) fn submit(&self) {
        self.settle_arena();
        self.core.borrow_mut().submit();
    }

    /// Brings what has completed to its waiters. True if anything had.
    pub(super) fn reap(&self) -> bool {
        let mut aftermaths = std::mem::take(&mut *self.aftermaths.borrow_mut());
        let mut core = self.core.borrow_mut();
        core.statistics.turns += 1;
        let mut failed_nudges = Vec::new();
        let reaped = core.reap(&mut aftermaths, &mut failed_nudges);
        if std::mem::take(&mut core.raised) {
            lower(&self.eventfd);
            core.push(watch(&self.eventfd));
        }
        if let Some(receive) = &mut core.receive {
            receive.refill(&self.arena);
        }
        drop(core);
        aftermaths.drain(..).for_each(finish);
        *self.aftermaths.borrow_mut() = aftermaths;
        for shard in failed_nudges {
            self.ring_by_eventfd(shard);
        }
        reaped
    }

    /// Wakes those who wait for messages that have come, or for a time that has.
    pub(super) fn deliver(&self) -> bool {
        let inboxes = self.inboxes.borrow();
        // Every inbox is asked, whatever the others say.
        let woken = inboxes.iter().filter(|inbox| inbox.deliver()).count();
        self.timers.wake_due() || woken > 0
    }

    /// Gives the kernel what is queued and sleeps until there is something to do. Must be called with no task
    /// ready. False if there was something to do already.
    pub(super) fn rest(&self) -> bool {
        self.settle_arena();
        let plate = &self.doorplates[usize::from(self.shard.0)];
        if !plate.try_sleep(|| self.deliver() || self.has_completions()) {
            self.core.borrow_mut().submit();
            return false;
        }
        let deadline = self.timers.next_deadline();
        let longest = deadline.map_or(SLEEP_MAX, |deadline| deadline.since(clock::now()).min(SLEEP_MAX));
        self.core.borrow_mut().rest(longest);
        plate.wake();
        true
    }

    fn has_completions(&self) -> bool {
        self.core.borrow_mut().has_completions()
    }

    /// Whether the ring takes no more operations.
    pub(super) fn is_closed(&self) -> bool {
        self.core.borrow().phase == Phase::Closed
    }

    /// Ends the ring: refuses new operations, cancels those under way and waits for the last completion of each.
    pub(super) fn shut_down(&self) {
        self.doorplates[usize::from(self.shard.0)].wake();
        self.core.borrow_mut().phase = Phase::Closed;
        self.inboxes.borrow_mut().clear();
        loop {
            let mut aftermaths = Vec::new();
            let mut core = self.core.borrow_mut();
            let in_kernel = core.slots.in_kernel_count() > 0 || core.has_queued();
            if in_kernel {
                core.push(opcode::AsyncCancel2::new(CancelBuilder::any()).build().user_data(UNWATCHED));
                core.refill_submissions();
                core.submit_and_wait(DRAIN_STEP);
                core.reap(&mut aftermaths, &mut Vec::new());
            }
            drop(core);
            aftermaths.drain(..).for_each(finish);
            if !in_kernel {
                return;
            }
        }
    }

    fn settle_arena(&self) {
        let Some(changes) = self.arena.take_slab_changes() else { return };
        let core = self.core.borrow();
        for index in changes.unregister {
            let nothing = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
            // SAFETY: an empty entry names no memory.
            let forgotten =
                unsafe { core.ring.submitter().register_buffers_update(index as u32, &[nothing], None) };
            forgotten.expect("a ring forgets memory it knows");
            self.arena.unmap_slab(index);
        }
        for (index, start, length) in changes.register {
            let memory = libc::iovec { iov_base: start.cast(), iov_len: length };
            // SAFETY: the slab stays mapped until it was unregistered above.
            match unsafe { core.ring.submitter().register_buffers_update(index as u32, &[memory], None) } {
                Ok(()) => self.arena.mark_slab_registered(index),
                Err(error) => {
                    self.arena.end_registration();
                    warn_unregistered(&error);
                    return;
                }
            }
        }
    }

    fn ring_by_eventfd(&self, shard: ShardIndex) {
        let neighbours = self.neighbours.get().expect("a bell rings between shards that have met");
        raise(&neighbours[usize::from(shard.0)].eventfd);
    }
}

impl Bell for Driver {
    fn ring(&self, shard: ShardIndex) {
        self.core.borrow_mut().statistics.wakes_sent += 1;
        if self.lacks(Feature::RingMessages) {
            return self.ring_by_eventfd(shard);
        }
        let neighbours = self.neighbours.get().expect("a bell rings between shards that have met");
        let target = Fd(neighbours[usize::from(shard.0)].ring.as_raw_fd());
        let message = opcode::MsgRingData::new(target, 0, NUDGED, None)
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(NUDGE_TO_FIRST + (u64::from(shard.0) << 32));
        let mut core = self.core.borrow_mut();
        if core.phase == Phase::Closed {
            drop(core);
            return self.ring_by_eventfd(shard);
        }
        core.push(message);
    }
}

impl Core {
    fn push(&mut self, entry: Entry) {
        self.statistics.submitted += 1;
        // SAFETY: `start` vouches for entries with addresses: their slot keeps the memory. Others have none.
        if !self.backlog.is_empty() || unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.backlog.push_back(entry);
        }
    }

    fn has_queued(&mut self) -> bool {
        !self.backlog.is_empty() || !self.ring.submission().is_empty()
    }

    /// The kernel's deferred work is left out: a sleep begins with it, and the flag for it can stand where there
    /// is none (see [`Core::submit`]).
    fn has_completions(&mut self) -> bool {
        self.ring.submission().cq_overflow() || !self.ring.completion().is_empty()
    }

    fn refill_submissions(&mut self) {
        let mut submission = self.ring.submission();
        while let Some(entry) = self.backlog.front() {
            // SAFETY: as in `push`.
            if unsafe { submission.push(entry) }.is_err() {
                return;
            }
            self.backlog.pop_front();
        }
    }

    /// Gives queued entries to the kernel and lets it run its deferred work.
    ///
    /// The kernel is asked once to run deferred work, whatever its flag says afterwards. Another core adds work and
    /// raises the flag in two steps (`io_req_local_work_add`); where this thread runs the work between them, the
    /// flag stands with nothing behind it until there is work again: waiting for it to go down would be for ever.
    fn submit(&mut self) {
        let mut asked = false;
        loop {
            self.refill_submissions();
            let submission = self.ring.submission();
            let has_queued = !submission.is_empty();
            let is_asked = !asked && (submission.taskrun() || submission.cq_overflow());
            drop(submission);
            if !has_queued && !is_asked {
                return;
            }
            asked = true;
            // Room must be made before the kernel can complete more.
            if !self.enter() || !self.ring.completion().is_empty() {
                return;
            }
        }
    }

    fn enter(&mut self) -> bool {
        self.statistics.enters += 1;
        entered(self.ring.submit())
    }

    /// Gives queued entries to the kernel and waits for a completion, for so long at most.
    fn rest(&mut self, longest: Duration) {
        self.refill_submissions();
        // What had no room must not wait for what has.
        if !self.backlog.is_empty() || longest.is_zero() {
            return self.submit();
        }
        self.statistics.sleeps += 1;
        self.submit_and_wait(longest);
    }

    fn submit_and_wait(&mut self, step: Duration) {
        self.statistics.enters += 1;
        let limit = Timespec::new().sec(step.as_secs()).nsec(step.subsec_nanos());
        let arguments = SubmitArgs::new().timespec(&limit);
        entered(self.ring.submitter().submit_with_args(1, &arguments));
    }

    fn reap(&mut self, aftermaths: &mut Vec<Aftermath>, failed_nudges: &mut Vec<ShardIndex>) -> bool {
        let Core { ring, receive, slots, raised, statistics, .. } = self;
        let mut any = false;
        for entry in ring.completion() {
            any = true;
            statistics.completed += 1;
            let user_data = entry.user_data();
            if user_data == RAISED {
                *raised = true;
                continue;
            }
            if user_data & NO_SLOT == NO_SLOT {
                failed_nudges.extend(failed_nudge(user_data));
                continue;
            }
            let key = Key::from_user_data(user_data);
            let completion = Completion { result: entry.result(), flags: entry.flags() };
            if let Some(id) = cqueue::buffer_select(completion.flags) {
                let receive = receive.as_mut().expect("buffers are chosen only where some are offered");
                let length = usize::try_from(completion.result).unwrap_or(0);
                *slots.payload_mut(key) = Payload::Buffer(receive.take(id, length));
            }
            let (more, notification) = (cqueue::more(completion.flags), cqueue::notif(completion.flags));
            aftermaths.push(slots.complete(key, completion, more, notification));
        }
        any
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shut_down();
        let leaked = self.core.borrow_mut().slots.take_all();
        assert!(leaked.is_empty(), "a drained ring holds no memory");
    }
}

/// A message to a shard whose own completion comes only if it failed.
fn failed_nudge(user_data: u64) -> Option<ShardIndex> {
    let shard = (user_data >> 32).checked_sub(NUDGE_TO_FIRST >> 32)?;
    Some(ShardIndex(shard as u16))
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Lets go of what an operation held and wakes its waiter: foreign code, so no borrow is alive here.
fn finish(aftermath: Aftermath) {
    wake(aftermath.waker);
    let Some((owned, completion)) = aftermath.released else { return };
    if matches!(owned.payload, Payload::Peer(_)) && completion.result >= 0 {
        // SAFETY: an accept whose future is gone made this descriptor; nobody else knows it.
        drop(unsafe { OwnedFd::from_raw_fd(completion.result) });
    }
}

/// Whether the kernel took the call. Refusals that pass by themselves are tried again with the next turn.
fn entered(result: io::Result<usize>) -> bool {
    match result {
        Ok(_) => true,
        Err(error) => match error.raw_os_error() {
            Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ETIME) => false,
            _ => panic!("the ring refuses to go on: {error}"),
        },
    }
}

/// A ring in the mode all rings of this process use.
pub(crate) fn build_ring() -> io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_cqsize(COMPLETION_ENTRIES)
        .build(SUBMISSION_ENTRIES)
}

fn register_file_table(ring: &IoUring, absent: &mut Vec<Feature>) -> FileTable {
    if absent.contains(&Feature::RegisteredFiles) {
        return FileTable::default();
    }
    let length = open_files_max().min(REGISTERED_FILES_MAX) as u32;
    match ring.submitter().register_files_sparse(length) {
        Ok(()) => FileTable { free: (0..length).rev().collect() },
        Err(_) => {
            absent.push(Feature::RegisteredFiles);
            FileTable::default()
        }
    }
}

fn register_receive_buffers(ring: &IoUring, absent: &mut Vec<Feature>) -> Option<ReceiveBuffers> {
    if absent.contains(&Feature::ProvidedBuffers) {
        return None;
    }
    let registered = ReceiveBuffers::register(ring).ok();
    if registered.is_none() {
        absent.push(Feature::ProvidedBuffers);
    }
    registered
}

fn register_buffer_table(ring: &IoUring, arena: &Arena, absent: &mut Vec<Feature>) {
    let length = arena.registration_table_length();
    if length == 0 || absent.contains(&Feature::RegisteredBuffers) {
        return;
    }
    match ring.submitter().register_buffers_sparse(length as u32) {
        Ok(()) => arena.begin_registration(),
        Err(_) => absent.push(Feature::RegisteredBuffers),
    }
}

fn open_files_max() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes the limit into the struct behind the pointer.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } {
        0 => limit.rlim_cur,
        _ => 0,
    }
}

fn new_eventfd() -> io::Result<OwnedFd> {
    // SAFETY: touches no memory; the result is checked and owned by nobody else.
    unsafe { owned(libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)) }
}

/// A poll for the eventfd being raised.
fn watch(eventfd: &OwnedFd) -> Entry {
    opcode::PollAdd::new(Fd(eventfd.as_raw_fd()), libc::POLLIN as u32).build().user_data(RAISED)
}

/// Sets an eventfd back to zero, so that the next poll waits.
fn lower(eventfd: &OwnedFd) {
    let mut count = [0; 8];
    // SAFETY: eight writable bytes, read from an open eventfd that never blocks.
    unsafe { libc::read(eventfd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
}

/// Raises an eventfd; one that is already at its highest is raised enough.
fn raise(eventfd: &OwnedFd) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: eight readable bytes, written to an open eventfd.
    unsafe { libc::write(eventfd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

/// Takes a descriptor that a system call just made.
///
/// # Safety
/// `raw` is an open descriptor that nobody owns, or -1 with the error set.
pub(super) unsafe fn owned(raw: RawFd) -> io::Result<OwnedFd> {
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as the caller vouches.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn warn_unregistered(error: &io::Error) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            %error,
            "I/O memory cannot be registered with the kernel (RLIMIT_MEMLOCK); going on with unregistered memory, \
             which costs CPU per large write. Remedy: `ulimit -l unlimited`, LimitMEMLOCK=infinity in the systemd \
             unit, or --ulimit memlock=-1 for a container"
        );
    });
}

impl BufMut {
    /// Where the kernel may write next, and how much.
    pub(super) fn free_space(&mut self) -> (*mut u8, u32) {
        let start = self.len();
        let free = &mut self.as_full_mut_slice()[start..];
        (free.as_mut_ptr(), u32::try_from(free.len()).unwrap_or(1 << 30))
    }
}
