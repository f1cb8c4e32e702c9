//! A world: one thread in which a whole broker and its clients live in virtual time, every choice drawn from
//! one seed.
//!
//! ```text
//!   MemoryWorld ─ environment(shard) ─► broker tasks ─┐
//!        │       spawn, connect      ─► client tasks ─┤► executor ─ one turn after the other
//!        │                                            │
//!        └ crash() stops the broker's tasks, resets its connections, loses power
//! ```
//!
//! Always true: the same seed, options and program give the same trace hash; time passes only here.

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::Location;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringlog_core::ids::ShardIndex;
use ringlog_core::time::Instant;

use super::clock::{self, Clock};
use super::disk::{Disk, DiskOperation, MountFails, PowerLoss};
use super::environment::MemoryEnvironment;
use super::executor::{Executor, Owner, Turn};
use super::faults::{Faults, Options};
use super::mailbox::{self, MemoryMailbox};
use super::network::{self, MemoryConnection, Network};
use super::random::Random;
use super::trace::{Step, Trace};
use crate::buffer::Arena;

/// The program's whole world. Dropping it stops every task in it.
pub struct MemoryWorld {
    state: Rc<World>,
}

/// What all handles into one world share.
pub(super) struct World {
    pub seed: u64,
    pub options: Options,
    pub random: RefCell<Random>,
    pub trace: Trace,
    pub clock: Clock,
    pub executor: Executor,
    pub disk: RefCell<Disk>,
    pub network: RefCell<Network>,
    pub client_arena: Arena,
    pub crash_plan: CrashPlan,
    /// Failures ordered by tests: this operation, after this many more of its kind.
    pub ordered_failures: RefCell<Vec<(DiskOperation, u64)>>,
    shard_seed: u64,
    incarnation: Cell<u64>,
    stalled_until: RefCell<BTreeMap<ShardIndex, u64>>,
    faults: RefCell<Faults>,
}

/// Counts what changes the disk, and stops the world at a chosen count.
#[derive(Default)]
pub(super) struct CrashPlan {
    mutations: Cell<u64>,
    writes: Cell<u64>,
    crash_at: Cell<Option<CrashAt>>,
    is_due: Cell<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CrashAt {
    Mutation(u64),
    Write(u64),
}

impl CrashPlan {
    pub fn count(&self, operation: DiskOperation) {
        if !operation.is_mutation() {
            return;
        }
        self.mutations.set(self.mutations.get() + 1);
        self.writes.set(self.writes.get() + u64::from(operation == DiskOperation::Write));
        let (mutation, write) = (CrashAt::Mutation(self.mutations.get()), CrashAt::Write(self.writes.get()));
        if self.crash_at.get().is_some_and(|at| at == mutation || at == write) {
            self.crash_at.set(None);
            self.is_due.set(true);
        }
    }
}

/// The power went, at the point asked for by [`MemoryWorld::set_crash_after`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crashed;

impl fmt::Display for Crashed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the world crashed at the point asked for")
    }
}

impl std::error::Error for Crashed {}

impl MemoryWorld {
    /// A world with an empty disk, nobody in it yet.
    pub fn new(seed: u64, options: impl Into<Options>) -> MemoryWorld {
        let options = options.into();
        let mut random = Random::from_seed(seed);
        let shard_seed = random.fork(1).next_u64();
        let clock = Clock::new(&options.faults, random.fork(2));
        let state = World {
            seed,
            trace: Trace::new(seed),
            clock,
            executor: Executor::default(),
            disk: RefCell::new(Disk::new(options.limits.disk_bytes_max)),
            network: RefCell::new(Network::default()),
            client_arena: Arena::unregistered(options.limits.arena_bytes_max),
            crash_plan: CrashPlan::default(),
            ordered_failures: RefCell::default(),
            shard_seed,
            incarnation: Cell::new(0),
            stalled_until: RefCell::default(),
            faults: RefCell::new(options.faults.clone()),
            random: RefCell::new(random),
            options,
        };
        MemoryWorld { state: Rc::new(state) }
    }

    /// The seed it was made from.
    pub fn seed(&self) -> u64 {
        self.state.seed
    }

    /// Its options, expanded.
    pub fn options(&self) -> &Options {
        &self.state.options
    }

    /// A new environment for a shard. It is dead after the next crash: its operations never complete.
    pub fn environment(&self, shard: u16, shard_count: u16) -> MemoryEnvironment {
        assert!(shard < shard_count, "shard {shard} of {shard_count}");
        let incarnation = self.state.incarnation.get();
        let seed = self.state.shard_seed ^ (incarnation << 16) ^ u64::from(shard);
        MemoryEnvironment::new(self.state.clone(), ShardIndex(shard), shard_count, Random::from_seed(seed))
    }

    /// The mailboxes of all shards, by shard.
    pub fn mesh<M: Send + 'static>(&self, shard_count: u16) -> Vec<MemoryMailbox<M>> {
        mailbox::mesh(&self.state, shard_count)
    }

    /// Opens a client's connection. Where nobody listens, its operations fail with `ConnectionRefused`.
    pub fn connect(&self, address: SocketAddr) -> MemoryConnection {
        network::connect(&self.state, address)
    }

    /// Starts a client's task. It lives on when the broker crashes.
    #[track_caller]
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.state.executor.spawn(Owner::Client, Location::caller(), task);
    }

    /// Waits in virtual time, as a client.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + use<> {
        clock::sleep_until(&self.state, Owner::Client, self.now() + duration)
    }

    /// The monotonic clock.
    pub fn now(&self) -> Instant {
        Instant(self.state.clock.now())
    }

    /// Random bits for the program that drives the world.
    pub fn random(&self) -> u64 {
        self.state.random.borrow_mut().next_u64()
    }

    /// A handle that client tasks can keep.
    pub fn handle(&self) -> WorldHandle {
        WorldHandle { state: self.state.clone() }
    }

    /// Hash of everything that happened so far.
    pub fn trace_hash(&self) -> u64 {
        self.state.trace.hash()
    }

    /// Runs everybody until `main` ends.
    ///
    /// # Panics
    /// With the seed, if nothing can happen any more while `main` waits, if the run takes longer than the
    /// options allow, or at a crash point set before.
    pub fn run_until<T>(&self, main: impl Future<Output = T>) -> T {
        match self.run_until_or_crash(main) {
            Ok(value) => value,
            Err(Crashed) => panic!("seed {}: {Crashed}, in a run that expects none", self.state.seed),
        }
    }

    /// Runs everybody until `main` ends or the crash point is reached; the crash has then happened.
    ///
    /// # Panics
    /// As [`MemoryWorld::run_until`].
    pub fn run_until_or_crash<T>(&self, main: impl Future<Output = T>) -> Result<T, Crashed> {
        self.run_watched(main, || ())
    }

    /// As [`MemoryWorld::run_until_or_crash`], and calls `watch` whenever changes to the disk were begun: with them under way.
    /// [`MemoryWorld::after_power_loss`] tells what the power may leave then.
    ///
    /// # Panics
    /// As [`MemoryWorld::run_until`].
    pub fn run_watched<T>(
        &self,
        main: impl Future<Output = T>,
        mut watch: impl FnMut(),
    ) -> Result<T, Crashed> {
        let mut watched = self.state.crash_plan.mutations.get();
        let mut main = pin!(main);
        let waker = self.state.executor.new_waker();
        let main_number = waker.task;
        let waker = Waker::from(waker);
        let started_at = self.state.clock.now();
        for _ in 0..self.state.options.limits.run_steps_max {
            if self.state.crash_plan.is_due.replace(false) {
                self.crash();
                return Err(Crashed);
            }
            self.expect_time_left(started_at);
            match self.next_turn() {
                number if number == main_number => {
                    if let Poll::Ready(value) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                        return Ok(value);
                    }
                }
                number => self.state.executor.poll(number),
            }
            network::close_abandoned(&self.state);
            let begun = self.state.crash_plan.mutations.get();
            if std::mem::replace(&mut watched, begun) != begun {
                watch();
            }
        }
        self.give_up("the run took more steps than the options allow")
    }

    /// Runs what is due, moves the clock when nobody is ready, and says whose turn it is.
    fn next_turn(&self) -> u64 {
        let state = &self.state;
        loop {
            while let Some((_, number)) = state.executor.run_event(state.clock.now()) {
                state.trace.note(Step::Event, number);
            }
            let turn = state.executor.choose(&mut state.random.borrow_mut());
            match (turn, state.executor.next_event_at()) {
                (Turn::Of(number), _) if state.postpones(number) => {}
                (Turn::Of(number), _) => {
                    // A step takes time: without it a busy task would keep every timer from firing.
                    let step_ns = state.random.borrow_mut().between(50..=1_000);
                    state.clock.advance_to(state.clock.now() + step_ns);
                    state.trace.note(Step::Polled, number);
                    return number;
                }
                (Turn::Nobody, Some(at)) => state.clock.advance_to(at),
                (Turn::Nobody, None) => self.give_up("nothing is ready and no timer runs: a deadlock"),
            }
        }
    }

    fn expect_time_left(&self, started_at: u64) {
        if self.state.clock.now() - started_at > self.state.options.limits.run_virtual_ns_max {
            self.give_up("the run took more virtual time than the options allow");
        }
    }

    fn give_up(&self, problem: &str) -> ! {
        let World { seed, options, executor, .. } = &*self.state;
        panic!("seed {seed}: {problem}\n{options}\nalive:\n{}", executor.dump());
    }

    /// The power goes and comes back: the shards' tasks are dropped, their connections reset, and each write and
    /// directory change that was not stable is lost, kept or torn.
    pub fn crash(&self) {
        self.stop_process();
        self.state.disk.borrow_mut().lose_power(PowerLoss::Sectors, &mut self.state.random.borrow_mut());
    }

    /// The process is killed, the machine stays on: tasks and connections go, and what was written without
    /// being synced stays as it was, to be lost by a later crash.
    pub fn kill(&self) {
        self.stop_process();
        self.state.disk.borrow_mut().interrupt_writes(&mut self.state.random.borrow_mut());
    }

    /// Another world, in which the power went just now: its disk is what an outcome leaves of this one's, drawn from the other
    /// seed. This one goes on.
    pub fn after_power_loss(&self, seed: u64, loss: PowerLoss) -> MemoryWorld {
        let (other, mut disk) = self.twin(seed);
        disk.lose_power(loss, &mut other.state.random.borrow_mut());
        *other.state.disk.borrow_mut() = disk;
        other
    }

    /// Another world, in which the process was killed just now and the power stayed. This one goes on.
    pub fn after_kill(&self, seed: u64) -> MemoryWorld {
        let (other, mut disk) = self.twin(seed);
        disk.interrupt_writes(&mut other.state.random.borrow_mut());
        *other.state.disk.borrow_mut() = disk;
        other
    }

    fn twin(&self, seed: u64) -> (MemoryWorld, Disk) {
        let other = MemoryWorld::new(seed, self.state.options.clone());
        other.state.clock.advance_to(self.state.clock.now());
        (other, self.state.disk.borrow().clone())
    }

    fn stop_process(&self) {
        let state = &self.state;
        state.trace.note(Step::Crash, state.crash_plan.mutations.get());
        state.incarnation.set(state.incarnation.get() + 1);
        state.crash_plan.crash_at.set(None);
        state.crash_plan.is_due.set(false);
        state.stalled_until.borrow_mut().clear();
        state.executor.stop(|owner| matches!(owner, Owner::Shard(..)));
        network::reset_all(state);
    }

    /// Makes the `mutations`-th change to the disk from now on the moment the power goes, with that operation
    /// under way.
    pub fn set_crash_after(&self, mutations: u64) {
        assert!(mutations > 0, "the first change is number 1");
        let plan = &self.state.crash_plan;
        plan.crash_at.set(Some(CrashAt::Mutation(plan.mutations.get() + mutations)));
    }

    /// As [`MemoryWorld::set_crash_after`], counting writes alone: they are what can tear.
    pub fn set_crash_after_writes(&self, writes: u64) {
        assert!(writes > 0, "the first write is number 1");
        let plan = &self.state.crash_plan;
        plan.crash_at.set(Some(CrashAt::Write(plan.writes.get() + writes)));
    }

    /// From now on other things go wrong, or nothing: to heal a world before asking what survived.
    pub fn set_faults(&self, faults: Faults) {
        *self.state.faults.borrow_mut() = faults;
    }

    /// The disk, to look at and to damage.
    pub fn disk(&self) -> DiskView<'_> {
        DiskView { state: &self.state }
    }
}

impl Drop for MemoryWorld {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the world that failed had seed {} and {}", self.state.seed, self.state.options);
        }
        // Tasks hold handles to the world that holds them: the circle is cut here.
        self.state.executor.stop(|_| true);
    }
}

impl World {
    pub fn incarnation(&self) -> u64 {
        self.incarnation.get()
    }

    /// What goes wrong now: as the options say, or as [`MemoryWorld::set_faults`] said since.
    pub fn faults(&self) -> Ref<'_, Faults> {
        self.faults.borrow()
    }

    /// Whether a task's shard is stalled, or stalls now; its turn then comes when the stall ends.
    fn postpones(&self, number: u64) -> bool {
        let Some(owner @ Owner::Shard(shard, _)) = self.executor.owner_of(number) else { return false };
        let mut random = self.random.borrow_mut();
        let mut stalled_until = self.stalled_until.borrow_mut();
        let end_ns = stalled_until.entry(shard).or_default();
        let faults = self.faults();
        if *end_ns <= self.clock.now() && random.happens(faults.shard_stall) {
            *end_ns = self.clock.now() + random.between(1..=faults.shard_stall_ns_max);
        }
        if *end_ns <= self.clock.now() {
            return false;
        }
        self.executor.postpone(number, owner, *end_ns);
        true
    }
}

/// A client task's handle to its world.
#[derive(Clone)]
pub struct WorldHandle {
    state: Rc<World>,
}

impl WorldHandle {
    /// Opens a connection; see [`MemoryWorld::connect`].
    pub fn connect(&self, address: SocketAddr) -> MemoryConnection {
        network::connect(&self.state, address)
    }

    /// Waits in virtual time.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + use<> {
        clock::sleep_until(&self.state, Owner::Client, self.now() + duration)
    }

    /// The monotonic clock.
    pub fn now(&self) -> Instant {
        Instant(self.state.clock.now())
    }

    /// Random bits.
    pub fn random(&self) -> u64 {
        self.state.random.borrow_mut().next_u64()
    }

    /// I/O memory for what clients send.
    pub fn arena(&self) -> &Arena {
        &self.state.client_arena
    }

    /// The disk, to look at and to damage.
    pub fn disk(&self) -> DiskView<'_> {
        DiskView { state: &self.state }
    }

    /// Starts a client's task.
    #[track_caller]
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.state.executor.spawn(Owner::Client, Location::caller(), task);
    }
}

/// The disk seen from outside the program: for tests that look at it or damage it.
pub struct DiskView<'a> {
    state: &'a World,
}

impl DiskView<'_> {
    /// Every file: full path and length, sorted by path.
    pub fn files(&self) -> Vec<(String, u64)> {
        self.state.disk.borrow().files()
    }

    /// A file's whole content as a reader sees it now; `None` if it does not exist.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let disk = self.state.disk.borrow();
        let file = disk.find_file(path.as_ref()).ok()?;
        Some(disk.bytes(file).to_vec())
    }

    /// Flips the bits of `mask` in one byte, on the medium.
    ///
    /// # Panics
    /// If the file does not exist.
    pub fn corrupt(&self, path: impl AsRef<Path>, position: u64, mask: u8) {
        let file = self.existing(path.as_ref());
        self.state.disk.borrow_mut().corrupt(file, position, mask);
    }

    /// From now on a block of a file cannot be read, whatever is written to it: every read that meets it fails with EIO. A file
    /// that takes its name has blocks of its own.
    ///
    /// # Panics
    /// If the file does not exist.
    pub fn set_unreadable(&self, path: impl AsRef<Path>, block: u64) {
        let file = self.existing(path.as_ref());
        self.state.disk.borrow_mut().set_unreadable(file, block);
    }

    /// Cuts or extends a file, on the medium.
    ///
    /// # Panics
    /// If the file does not exist.
    pub fn truncate(&self, path: impl AsRef<Path>, length: u64) {
        let file = self.existing(path.as_ref());
        self.state.disk.borrow_mut().force_length(file, length);
    }

    fn existing(&self, path: &Path) -> u64 {
        match self.state.disk.borrow().find_file(path) {
            Ok(file) => file,
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }

    /// Changes to the disk begun so far: writes, syncs, lengths, names.
    pub fn mutations(&self) -> u64 {
        self.state.crash_plan.mutations.get()
    }

    /// Makes the `nth` operation of this kind from now on fail with EIO; 1 is the next.
    pub fn fail(&self, operation: DiskOperation, nth: u64) {
        assert!(nth > 0, "the next operation is number 1");
        self.state.ordered_failures.borrow_mut().push((operation, nth));
    }

    /// Whether a failure that was asked for has not come yet.
    pub fn has_ordered_failure(&self) -> bool {
        !self.state.ordered_failures.borrow().is_empty()
    }

    /// No failure that was asked for comes any more.
    pub fn forget_ordered_failures(&self) {
        self.state.ordered_failures.borrow_mut().clear();
    }

    /// Makes the disk this large; writes beyond it fail with ENOSPC.
    pub fn set_bytes_max(&self, bytes_max: u64) {
        self.state.disk.borrow_mut().set_bytes_max(bytes_max);
    }

    /// Makes a directory a file system of its own, with room for so many bytes: of files made from now on. Again: changes its size.
    pub fn mount(&self, path: impl AsRef<Path>, bytes_max: u64) {
        self.state.disk.borrow_mut().mount(path.as_ref(), bytes_max);
    }

    /// Whether a directory is a file system of its own.
    pub fn is_mount(&self, path: impl AsRef<Path>) -> bool {
        self.state.disk.borrow().is_mount(path.as_ref())
    }

    /// From now on a file system that was mounted fails so.
    pub fn set_mount_fails(&self, path: impl AsRef<Path>, fails: MountFails) {
        self.state.disk.borrow_mut().set_mount_fails(path.as_ref(), fails);
    }

    /// Bytes of all files on the file system of a path.
    pub fn used_bytes(&self, path: impl AsRef<Path>) -> u64 {
        self.state.disk.borrow().used_bytes(path.as_ref())
    }

    /// From now on every change fails with EROFS, or no longer does.
    pub fn set_read_only(&self, read_only: bool) {
        self.state.disk.borrow_mut().set_read_only(read_only);
    }
}
