//! A shard's view of its world, and the life of a disk operation there: submitted, late, done.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::path::Path;
use std::rc::Rc;
use std::task::Poll;

use ringlog_core::ids::ShardIndex;
use ringlog_core::time::{Instant, Timestamp};

use super::clock;
use super::completion;
use super::disk::{DiskOperation, IfAbsent, error_rate};
use super::executor::Owner;
use super::file::MemoryFile;
use super::mailbox::MemoryMailbox;
use super::network::{self, MemoryAccepted, MemoryConnection, MemoryListener};
use super::random::Random;
use super::trace::Step;
use super::world::World;
use crate::buffer::Arena;
use crate::environment::{DirectoryEntry, DiskFailure, Environment, ListenFailure, OpenMode, TaskClass};

/// A shard of the process that lives in a memory world.
#[derive(Clone)]
pub struct MemoryEnvironment {
    shard: Rc<Shard>,
}

struct Shard {
    world: Rc<World>,
    index: ShardIndex,
    count: u16,
    incarnation: u64,
    arena: Arena,
    random: RefCell<Random>,
}

impl MemoryEnvironment {
    pub(super) fn new(world: Rc<World>, index: ShardIndex, count: u16, random: Random) -> MemoryEnvironment {
        let arena = Arena::unregistered(world.options.limits.arena_bytes_max);
        let incarnation = world.incarnation();
        let random = RefCell::new(random);
        MemoryEnvironment { shard: Rc::new(Shard { world, index, count, incarnation, arena, random }) }
    }

    pub(super) fn world(&self) -> &Rc<World> {
        &self.shard.world
    }

    /// Whether the process it belonged to has crashed.
    pub(super) fn is_dead(&self) -> bool {
        self.shard.incarnation != self.shard.world.incarnation()
    }

    fn owner(&self, class: TaskClass) -> Owner {
        Owner::Shard(self.shard.index, class)
    }

    /// Submits a disk operation: it takes effect after a random delay, whether or not anybody still waits, or
    /// fails as the faults have it, or never happens because the process dies first.
    pub(super) async fn disk<T: 'static>(
        &self,
        operation: DiskOperation,
        path: &Path,
        position: Option<u64>,
        run: impl FnOnce(&World, Outcome) -> io::Result<T> + 'static,
    ) -> Result<T, DiskFailure> {
        if self.is_dead() {
            return std::future::pending().await;
        }
        let world = self.shard.world.clone();
        world.crash_plan.count(operation);
        let outcome = choose_outcome(&world, operation, path);
        let done_at = world.clock.now() + disk_delay_ns(&world);
        let (completer, completion) = completion::pair();
        let (event_world, owner) = (world.clone(), self.owner(TaskClass::Storage));
        world.executor.schedule(done_at, owner, move || completer.complete(run(&event_world, outcome)));
        drop(world);
        let path = path.to_owned();
        completion.await.map_err(|error| DiskFailure { operation: operation.verb(), path, position, error })
    }

    async fn simple<T: 'static>(
        &self,
        operation: DiskOperation,
        path: &Path,
        run: impl FnOnce(&World) -> io::Result<T> + 'static,
    ) -> Result<T, DiskFailure> {
        let run = move |world: &World, outcome: Outcome| {
            outcome.check()?;
            world.trace.note(Step::DiskOther, operation as u64);
            run(world)
        };
        self.disk(operation, path, None, run).await
    }
}

/// What the faults decided for an operation when it was submitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Success,
    Failure,
}

impl Outcome {
    pub fn check(self) -> io::Result<()> {
        match self {
            Outcome::Success => Ok(()),
            Outcome::Failure => Err(io::Error::from_raw_os_error(libc::EIO)),
        }
    }
}

fn choose_outcome(world: &World, operation: DiskOperation, path: &Path) -> Outcome {
    let mut is_ordered = false;
    world.ordered_failures.borrow_mut().retain_mut(|(kind, countdown)| {
        *countdown -= u64::from(*kind == operation);
        is_ordered |= *countdown == 0;
        *countdown > 0
    });
    let rate = error_rate(operation, &world.faults());
    let is_lost = world.disk.borrow().mount_fails(path, operation);
    if is_ordered || is_lost || world.random.borrow_mut().happens(rate) {
        world.trace.note(Step::DiskFault, operation as u64);
        return Outcome::Failure;
    }
    Outcome::Success
}

fn disk_delay_ns(world: &World) -> u64 {
    let faults = world.faults();
    let mut random = world.random.borrow_mut();
    match random.happens(faults.disk_slow) {
        true => random.between(0..=faults.disk_slow_delay_ns_max),
        false => random.between(0..=faults.disk_delay_ns_max),
    }
}

impl Environment for MemoryEnvironment {
    type File = MemoryFile;
    type Listener = MemoryListener;
    type Accepted = MemoryAccepted;
    type Connection = MemoryConnection;
    type Mailbox<M: Send + 'static> = MemoryMailbox<M>;

    fn shard(&self) -> ShardIndex {
        self.shard.index
    }

    fn shard_count(&self) -> u16 {
        self.shard.count
    }

    fn now(&self) -> Instant {
        Instant(self.shard.world.clock.now())
    }

    fn wall_clock(&self) -> Timestamp {
        self.shard.world.clock.wall(&self.shard.world.faults())
    }

    fn random(&self) -> u64 {
        self.shard.random.borrow_mut().next_u64()
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + 'static {
        clock::sleep_until(&self.shard.world, self.owner(TaskClass::Network), deadline)
    }

    fn yield_now(&self) -> impl Future<Output = ()> + 'static {
        let world = self.shard.world.clone();
        let mut yielded_at = None;
        poll_fn(move |context| {
            let turn = *yielded_at.get_or_insert_with(|| world.executor.current_turn());
            if world.executor.has_waiting_since(turn) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
    }

    #[track_caller]
    fn spawn(&self, class: TaskClass, task: impl Future<Output = ()> + 'static) {
        if !self.is_dead() {
            self.shard.world.executor.spawn(self.owner(class), Location::caller(), task);
        }
    }

    fn arena(&self) -> &Arena {
        &self.shard.arena
    }

    async fn open(&self, path: &Path, mode: OpenMode) -> Result<MemoryFile, DiskFailure> {
        let if_absent = match mode {
            OpenMode::DirectWrite | OpenMode::BufferedWrite => IfAbsent::Create,
            OpenMode::DirectRead | OpenMode::BufferedRead => IfAbsent::Fail,
        };
        let wanted = path.to_owned();
        let file = self
            .simple(DiskOperation::Open, path, move |world| world.disk.borrow_mut().open(&wanted, if_absent))
            .await?;
        Ok(MemoryFile::new(self.clone(), file, path, mode))
    }

    async fn create_directory(&self, path: &Path) -> Result<(), DiskFailure> {
        let wanted = path.to_owned();
        let run = move |world: &World| world.disk.borrow_mut().create_directory(&wanted);
        self.simple(DiskOperation::CreateDirectory, path, run).await
    }

    async fn list_directory(&self, path: &Path) -> Result<Vec<DirectoryEntry>, DiskFailure> {
        let wanted = path.to_owned();
        let run = move |world: &World| world.disk.borrow().list(&wanted);
        self.simple(DiskOperation::ListDirectory, path, run).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskFailure> {
        let (source, target) = (from.to_owned(), to.to_owned());
        let run = move |world: &World| world.disk.borrow_mut().rename(&source, &target);
        self.simple(DiskOperation::Rename, from, run).await
    }

    async fn remove_file(&self, path: &Path) -> Result<(), DiskFailure> {
        let wanted = path.to_owned();
        let run = move |world: &World| world.disk.borrow_mut().remove_file(&wanted);
        self.simple(DiskOperation::Remove, path, run).await
    }

    async fn remove_directory(&self, path: &Path) -> Result<(), DiskFailure> {
        let wanted = path.to_owned();
        let run = move |world: &World| world.disk.borrow_mut().remove_directory(&wanted);
        self.simple(DiskOperation::Remove, path, run).await
    }

    async fn sync_directory(&self, path: &Path) -> Result<(), DiskFailure> {
        let wanted = path.to_owned();
        let submitted_at = self.shard.world.disk.borrow_mut().next_sequence();
        let run = move |world: &World| world.disk.borrow_mut().sync_directory(&wanted, submitted_at);
        self.simple(DiskOperation::SyncDirectory, path, run).await
    }

    async fn modified_at(&self, path: &Path) -> Result<Timestamp, DiskFailure> {
        let wanted = path.to_owned();
        let run = move |world: &World| {
            let disk = world.disk.borrow();
            disk.find_file(&wanted).map(|file| world.clock.wall_at(disk.modified_ns(file)))
        };
        self.simple(DiskOperation::ListDirectory, path, run).await
    }

    async fn free_bytes(&self, path: &Path) -> Result<u64, DiskFailure> {
        Ok(self.shard.world.disk.borrow().free_bytes(path))
    }

    async fn total_bytes(&self, path: &Path) -> Result<u64, DiskFailure> {
        Ok(self.shard.world.disk.borrow().total_bytes(path))
    }

    async fn listen(&self, address: SocketAddr) -> Result<MemoryListener, ListenFailure> {
        network::listen(&self.shard.world, address)
    }

    fn adopt(&self, accepted: MemoryAccepted) -> MemoryConnection {
        network::adopt(&self.shard.world, &accepted, self.shard.arena.clone())
    }
}
