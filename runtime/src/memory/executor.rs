//! Tasks in one thread: who is ready, who runs next, and what happens when.
//!
//! ```text
//!   wake ──► ready set ──the seed picks one──► poll
//!   schedule(at, event) ──► agenda ──nothing ready: the clock jumps to the first──► event runs, wakes tasks
//! ```
//!
//! Always true: no task is polled while another is; an event runs with nothing borrowed; a task that ended or
//! was stopped is never polled again, whoever still holds its waker.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use ringlog_core::ids::ShardIndex;

use super::random::Random;
use crate::environment::TaskClass;

/// Whom a task or event belongs to: a crash takes the shards' and leaves the clients'.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    /// A shard of the process under test.
    Shard(ShardIndex, TaskClass),
    /// A client: another machine.
    Client,
}

type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;
type Event = Box<dyn FnOnce()>;

/// Where an event stands in the agenda: when, and in which order among those of one instant.
pub(super) type EventKey = (u64, u64);

#[derive(Default)]
pub(super) struct Executor {
    tasks: RefCell<BTreeMap<u64, Task>>,
    agenda: RefCell<BTreeMap<EventKey, (Owner, Event)>>,
    ready: Arc<Mutex<ReadySet>>,
    last_number: Cell<u64>,
}

struct Task {
    owner: Owner,
    spawned_at: &'static Location<'static>,
    future: Option<TaskFuture>,
    waker: Arc<TaskWaker>,
}

#[derive(Default)]
struct ReadySet {
    entries: Vec<ReadyEntry>,
    last_turn: u64,
}

struct ReadyEntry {
    waker: Arc<TaskWaker>,
    turn: u64,
}

/// Wakers may be dropped and woken from anywhere, hence the lock and the counted pointer.
pub(super) struct TaskWaker {
    /// The task's number.
    pub task: u64,
    is_queued: AtomicBool,
    ready: Arc<Mutex<ReadySet>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            let mut ready = self.ready.lock().expect("nothing panics while it holds the ready set");
            ready.last_turn += 1;
            let turn = ready.last_turn;
            ready.entries.push(ReadyEntry { waker: self.clone(), turn });
        }
    }
}

/// A ready task taken from the ready set.
pub(super) enum Turn {
    Of(u64),
    Nobody,
}

impl Executor {
    fn next_number(&self) -> u64 {
        self.last_number.set(self.last_number.get() + 1);
        self.last_number.get()
    }

    /// A task number and its waker, ready to run at once.
    pub fn new_waker(&self) -> Arc<TaskWaker> {
        let is_queued = AtomicBool::new(false);
        let waker = Arc::new(TaskWaker { task: self.next_number(), is_queued, ready: self.ready.clone() });
        waker.wake_by_ref();
        waker
    }

    pub fn spawn(
        &self,
        owner: Owner,
        spawned_at: &'static Location<'static>,
        future: impl Future<Output = ()> + 'static,
    ) {
        let waker = self.new_waker();
        let number = waker.task;
        let task = Task { owner, spawned_at, future: Some(Box::pin(future)), waker };
        self.tasks.borrow_mut().insert(number, task);
    }

    /// Lets the random numbers choose whose turn it is.
    pub fn choose(&self, random: &mut Random) -> Turn {
        let mut ready = self.ready.lock().expect("nothing panics while it holds the ready set");
        if ready.entries.is_empty() {
            return Turn::Nobody;
        }
        let index = random.index(ready.entries.len());
        let chosen = ready.entries.swap_remove(index).waker;
        chosen.is_queued.store(false, Ordering::Release);
        Turn::Of(chosen.task)
    }

    /// A turn number: every task that is ready now became so at or before it.
    pub fn current_turn(&self) -> u64 {
        self.ready.lock().expect("nothing panics while it holds the ready set").last_turn
    }

    /// Whether some task has been waiting for its turn since `turn` or longer.
    pub fn has_waiting_since(&self, turn: u64) -> bool {
        let ready = self.ready.lock().expect("nothing panics while it holds the ready set");
        ready.entries.iter().any(|entry| entry.turn <= turn)
    }

    /// Whose task it is; `None` if it ended, or is the main future.
    pub fn owner_of(&self, number: u64) -> Option<Owner> {
        self.tasks.borrow().get(&number).map(|task| task.owner)
    }

    /// Takes a task's turn away until `at`.
    pub fn postpone(&self, number: u64, owner: Owner, at: u64) {
        let Some(waker) = self.tasks.borrow().get(&number).map(|task| task.waker.clone()) else { return };
        self.schedule(at, owner, move || waker.wake());
    }

    /// Polls a task; one that ended or was stopped in the meantime is passed over.
    pub fn poll(&self, number: u64) {
        let Some((mut future, waker)) = self.take_out(number) else { return };
        let outcome = future.as_mut().poll(&mut Context::from_waker(&waker));
        let ended = match (outcome, self.tasks.borrow_mut().get_mut(&number)) {
            (Poll::Pending, Some(task)) => {
                task.future = Some(future);
                None
            }
            _ => Some(future),
        };
        if ended.is_some() {
            self.tasks.borrow_mut().remove(&number);
        }
        drop(ended);
    }

    fn take_out(&self, number: u64) -> Option<(TaskFuture, Waker)> {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(&number)?;
        let future = task.future.take().expect("a task is not polled while it is polled");
        Some((future, Waker::from(task.waker.clone())))
    }

    pub fn schedule(&self, at: u64, owner: Owner, event: impl FnOnce() + 'static) -> EventKey {
        let key = (at, self.next_number());
        self.agenda.borrow_mut().insert(key, (owner, Box::new(event)));
        key
    }

    pub fn cancel(&self, key: EventKey) {
        let event = self.agenda.borrow_mut().remove(&key);
        drop(event);
    }

    /// When the first event is due.
    pub fn next_event_at(&self) -> Option<u64> {
        self.agenda.borrow().first_key_value().map(|((at, _), _)| *at)
    }

    /// Runs the first event due at or before `now`; tells which, or that there is none.
    pub fn run_event(&self, now: u64) -> Option<EventKey> {
        let key = *self.agenda.borrow().first_key_value().filter(|((at, _), _)| *at <= now)?.0;
        let (_, event) = self.agenda.borrow_mut().remove(&key)?;
        event();
        Some(key)
    }

    /// Stops every task and forgets every event whose owner `is_stopped` names.
    pub fn stop(&self, is_stopped: impl Fn(Owner) -> bool) {
        let numbers: Vec<u64> = self.numbers_of(&is_stopped);
        let tasks: Vec<Option<Task>> =
            numbers.iter().map(|number| self.tasks.borrow_mut().remove(number)).collect();
        let keys: Vec<EventKey> = self
            .agenda
            .borrow()
            .iter()
            .filter(|(_, (owner, _))| is_stopped(*owner))
            .map(|(key, _)| *key)
            .collect();
        let events: Vec<_> = keys.iter().map(|key| self.agenda.borrow_mut().remove(key)).collect();
        self.ready
            .lock()
            .expect("nothing panics while it holds the ready set")
            .entries
            .retain(|entry| !numbers.contains(&entry.waker.task));
        // Dropped last and with nothing borrowed: what they hold may call back, to cancel a timer, say.
        drop((tasks, events));
    }

    fn numbers_of(&self, is_of: impl Fn(Owner) -> bool) -> Vec<u64> {
        let tasks = self.tasks.borrow();
        tasks.iter().filter(|(_, task)| is_of(task.owner)).map(|(number, _)| *number).collect()
    }

    /// What is alive, one task a line, for a panic message.
    pub fn dump(&self) -> String {
        let tasks = self.tasks.borrow();
        let lines = tasks.iter().map(|(number, task)| {
            format!("  task {number} of {:?}, spawned at {}\n", task.owner, task.spawned_at)
        });
        lines.collect()
    }
}
