//! Starting the shards: one pinned thread, executor, ring and arena per core.
//!
//! ```text
//!   run_shards ──► thread per core: pin, ring, arena ──► all made? ──► each: main(environment, mailbox)
//!        ▲                                   └─ one failed: none starts            │
//!        └────────────── every main has ended, every ring is drained ◄─────────────┘
//! ```
//!
//! Always true: no shard's main runs before every ring exists, so a bell always has a ring to reach; a shard's
//! ring is drained before its executor goes.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use ringlog_core::ids::ShardIndex;

use super::driver::{Driver, Neighbour};
use super::environment::UringEnvironment;
use super::features::Feature;
use super::pump::{NEVER, host};
use super::readiness::Readiness;
use crate::buffer::Arena;
use crate::environment::TaskClass;
use crate::mesh::{Doorplate, MailboxEnds, MeshMailbox, mesh};

/// The executor's own rings carry nothing.
const EXECUTOR_RING_DEPTH: usize = 32;

/// The least the executor takes; nothing of ours uses it.
const EXECUTOR_IO_BYTES: usize = 64 * 1024;

/// How to run the shards.
#[derive(Clone, Debug)]
pub struct ShardsConfig {
    /// The cores to run on, by the system's numbers, one shard each.
    pub cores: Vec<usize>,
    /// How long an idle shard polls before it sleeps. The largest latency lever there is; zero on a shared host,
    /// [`Duration::MAX`] to never sleep.
    pub idle_spin: Duration,
    /// The bound of each shard's I/O memory.
    pub arena_bytes_max: usize,
    /// Messages each ordered pair of shards may have under way.
    pub mesh_capacity: usize,
    /// Send large replies without a copy. Gains on network cards; loopback copies anyway and pays extra.
    pub zero_copy_sends: bool,
    /// Features to do without, to test the fallbacks.
    pub pretend_absent: Vec<Feature>,
}

impl Default for ShardsConfig {
    /// All cores this process may use.
    fn default() -> ShardsConfig {
        ShardsConfig {
            cores: usable_cores(),
            idle_spin: Duration::ZERO,
            arena_bytes_max: 1 << 30,
            mesh_capacity: 1024,
            zero_copy_sends: false,
            pretend_absent: Vec::new(),
        }
    }
}

/// The cores this process may use, in order.
pub fn usable_cores() -> Vec<usize> {
    // SAFETY: all-zero bytes are the empty set of cores.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes a set of the given size into the place behind the pointer.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
    if result != 0 {
        return vec![0];
    }
    // SAFETY: every number asked for lies within the set.
    (0..libc::CPU_SETSIZE as usize).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect()
}

/// Why the shards did not start.
#[derive(Debug)]
pub struct StartFailure {
    /// The shard that failed.
    pub shard: ShardIndex,
    /// What it tried.
    pub step: &'static str,
    /// What the system said.
    pub error: io::Error,
}

impl fmt::Display for StartFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "shard {} cannot {}: {}", self.shard, self.step, self.error)
    }
}

impl std::error::Error for StartFailure {}

/// What a shard's thread tells the one that started it.
enum News {
    Ready(ShardIndex, Neighbour),
    Failed(StartFailure),
    Ended,
    Panicked(Box<dyn Any + Send>),
}

/// What each thread gets to start with.
struct Start<M> {
    shard: ShardIndex,
    core: usize,
    config: Arc<ShardsConfig>,
    doorplates: Arc<[Doorplate]>,
    ends: MailboxEnds<M>,
    news: Sender<News>,
    go: Receiver<Arc<[Neighbour]>>,
}

/// Runs `main` on one pinned executor per core and returns when every shard's has ended. Tasks still running on
/// a shard when its main ends do not go on.
///
/// # Errors
/// If any shard's ring or executor cannot be made; then no `main` was run.
///
/// # Panics
/// If a shard panics, with its panic; other shards are abandoned as they are.
pub fn run_shards<M, F, T>(config: ShardsConfig, main: F) -> Result<(), StartFailure>
where
    M: Send + 'static,
    F: Fn(UringEnvironment, MeshMailbox<M>) -> T + Clone + Send + 'static,
    T: Future<Output = ()> + 'static,
{
    assert!(!config.cores.is_empty(), "shards need at least one core");
    let shard_count = u16::try_from(config.cores.len()).expect("a machine has fewer than 65,536 cores");
    let config = Arc::new(config);
    let doorplates: Arc<[Doorplate]> = (0..shard_count).map(|_| Doorplate::default()).collect();
    let ends = mesh::<M>(shard_count, config.mesh_capacity, doorplates.clone());
    let (news, heard) = channel();
    let mut starters = Vec::new();
    for (index, ends) in ends.into_iter().enumerate() {
        let (starter, go) = channel();
        let shard = ShardIndex(index as u16);
        let (config, doorplates, news) = (config.clone(), doorplates.clone(), news.clone());
        let start = Start { shard, core: config.cores[index], config, doorplates, ends, news, go };
        let main = main.clone();
        let thread = thread::Builder::new().name(format!("shard-{index}"));
        let spawned = thread.spawn(move || run_thread(start, main));
        spawned.map_err(|error| StartFailure { shard, step: "start its thread", error })?;
        starters.push(starter);
    }
    drop(news);
    start_all(&starters, &heard)?;
    wait_for_all(&heard, shard_count);
    Ok(())
}

/// Waits until every shard has its ring, then lets all go. Dropping the starters makes the threads end.
fn start_all(starters: &[Sender<Arc<[Neighbour]>>], heard: &Receiver<News>) -> Result<(), StartFailure> {
    let mut neighbours = Vec::new();
    for _ in starters {
        match heard.recv().expect("a thread tells its news before it ends") {
            News::Ready(shard, neighbour) => neighbours.push((shard, neighbour)),
            News::Failed(failure) => return Err(failure),
            News::Panicked(panic) => resume_unwind(panic),
            News::Ended => unreachable!("no shard ends before it was let go"),
        }
    }
    neighbours.sort_by_key(|(shard, _)| *shard);
    let neighbours: Arc<[Neighbour]> = neighbours.into_iter().map(|(_, neighbour)| neighbour).collect();
    for starter in starters {
        // A thread that does not listen any more has panicked, which is the next news.
        let _ = starter.send(neighbours.clone());
    }
    Ok(())
}

fn wait_for_all(heard: &Receiver<News>, shard_count: u16) {
    for _ in 0..shard_count {
        match heard.recv().expect("a thread tells its news before it ends") {
            News::Ended => {}
            News::Panicked(panic) => resume_unwind(panic),
            News::Ready(..) | News::Failed(_) => unreachable!("every shard was ready"),
        }
    }
}

fn run_thread<M, F, T>(start: Start<M>, main: F)
where
    M: Send + 'static,
    F: Fn(UringEnvironment, MeshMailbox<M>) -> T + 'static,
    T: Future<Output = ()> + 'static,
{
    let news = start.news.clone();
    let shard = start.shard;
    let told = match catch_unwind(AssertUnwindSafe(|| run_shard(start, main))) {
        Ok(Ok(())) => News::Ended,
        Ok(Err((step, error))) => News::Failed(StartFailure { shard, step, error }),
        Err(panic) => News::Panicked(panic),
    };
    // Nobody listens after another shard's failure.
    let _ = news.send(told);
}

fn run_shard<M, F, T>(start: Start<M>, main: F) -> Result<(), (&'static str, io::Error)>
where
    M: Send + 'static,
    F: Fn(UringEnvironment, MeshMailbox<M>) -> T + 'static,
    T: Future<Output = ()> + 'static,
{
    pin_to(start.core).map_err(|error| ("be pinned to its core", error))?;
    let arena = Arena::in_slabs(start.config.arena_bytes_max);
    let mut absent = start.config.pretend_absent.clone();
    if !start.config.zero_copy_sends {
        absent.push(Feature::ZeroCopySend);
    }
    let driver = Driver::new(start.shard, arena, start.doorplates.clone(), &absent)
        .map_err(|error| ("make its ring", error))?;
    let executor = build_executor()?;
    let neighbour = driver.as_neighbour().map_err(|error| ("make its ring known", error))?;
    // The news and the go may both come to nothing if another shard failed to start.
    if start.news.send(News::Ready(start.shard, neighbour)).is_err() {
        return Ok(());
    }
    let Ok(neighbours) = start.go.recv() else { return Ok(()) };
    let shard_count = neighbours.len() as u16;
    driver.meet(neighbours);
    let mailbox = start.ends.open(driver.clone());
    driver.add_inbox(mailbox.inbox());
    let outcome = Rc::new(RefCell::new(None));
    let told = outcome.clone();
    let (shard, idle_spin) = (start.shard, start.config.idle_spin);
    let readiness = Readiness::default();
    let (living, tracking) = (driver.clone(), readiness.clone());
    let life = async move {
        let ended = live(shard, shard_count, living, tracking, |env| main(env, mailbox)).await;
        *told.borrow_mut() = Some(ended);
    };
    let ended = outcome.clone();
    host(&executor, driver, readiness, idle_spin, life, move || ended.borrow().is_some());
    outcome.take().expect("a shard is hosted until it has ended")
}

/// The life of a shard, inside its executor.
async fn live<T: Future<Output = ()> + 'static>(
    shard: ShardIndex,
    shard_count: u16,
    driver: Rc<Driver>,
    readiness: Readiness,
    main: impl FnOnce(UringEnvironment) -> T,
) -> Result<(), (&'static str, io::Error)> {
    let env = UringEnvironment::new(shard, shard_count, driver.clone(), readiness)
        .map_err(|error| ("make its environment", error))?;
    env.run(TaskClass::Network, main(env.clone())).await;
    driver.shut_down();
    Ok(())
}

/// The executor's making may fail by panic where the kernel refuses it a ring.
fn build_executor() -> Result<LocalExecutor, (&'static str, io::Error)> {
    let builder = LocalExecutorBuilder::new(Placement::Unbound)
        .ring_depth(EXECUTOR_RING_DEPTH)
        .io_memory(EXECUTOR_IO_BYTES)
        .preempt_timer(NEVER);
    builder.make().map_err(|error| ("make its executor", io::Error::other(error.to_string())))
}

fn pin_to(core: usize) -> io::Result<()> {
    // SAFETY: all-zero bytes are the empty set of cores.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the number lies within the set.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the kernel reads a set of the given size behind the pointer.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
