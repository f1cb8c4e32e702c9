//! Virtual time: a monotonic clock that only the world moves, a wall clock that may jump and drift, and sleep.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ringlog_core::time::{Instant, Timestamp};

use super::executor::{EventKey, Owner};
use super::faults::Faults;
use super::random::Random;
use super::world::World;

/// Where the wall clock starts: 2026-01-01 00:00:00 UTC.
const WALL_CLOCK_START_MS: i64 = 1_767_225_600_000;

/// Both clocks of a world.
pub(super) struct Clock {
    now_ns: Cell<u64>,
    wall_offset_ms: Cell<i64>,
    drift_ppm: i64,
    random: RefCell<Random>,
}

impl Clock {
    pub fn new(faults: &Faults, mut random: Random) -> Clock {
        let range = faults.wall_clock_drift_ppm_max;
        let drift_ppm = random.between(0..=2 * range) as i64 - range as i64;
        Clock { now_ns: Cell::new(1), wall_offset_ms: Cell::new(0), drift_ppm, random: RefCell::new(random) }
    }

    pub fn now(&self) -> u64 {
        self.now_ns.get()
    }

    pub fn advance_to(&self, now_ns: u64) {
        assert!(now_ns >= self.now_ns.get(), "from {} back to {now_ns}", self.now_ns.get());
        self.now_ns.set(now_ns);
    }

    pub fn wall(&self, faults: &Faults) -> Timestamp {
        let mut random = self.random.borrow_mut();
        if random.happens(faults.wall_clock_jump) {
            let range = faults.wall_clock_jump_ms_max;
            let jump_ms = random.between(0..=2 * range) as i64 - range as i64;
            self.wall_offset_ms.set(jump_ms);
        }
        drop(random);
        self.wall_at(self.now_ns.get())
    }

    /// What the wall clock, as it stands now, says of a moment of the monotonic clock.
    pub fn wall_at(&self, now_ns: u64) -> Timestamp {
        let passed_ms = (now_ns / 1_000_000) as i64;
        let drift_ms = passed_ms * self.drift_ppm / 1_000_000;
        Timestamp(WALL_CLOCK_START_MS + passed_ms + drift_ms + self.wall_offset_ms.get())
    }
}

/// A timer; dropping it cancels it.
struct Sleep {
    world: Rc<World>,
    owner: Owner,
    deadline: Instant,
    timer: Option<(EventKey, Rc<RefCell<Option<Waker>>>)>,
}

pub(super) fn sleep_until(
    world: &Rc<World>,
    owner: Owner,
    deadline: Instant,
) -> impl Future<Output = ()> + use<> {
    let mut at = deadline;
    let faults = world.faults();
    let mut random = world.random.borrow_mut();
    if random.happens(faults.timer_late) {
        at.0 = at.0.saturating_add(random.between(0..=faults.timer_late_ns_max));
    }
    Sleep { world: world.clone(), owner, deadline: at, timer: None }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.world.clock.now() >= self.deadline.0 {
            return Poll::Ready(());
        }
        if let Some((_, waker)) = &self.timer {
            *waker.borrow_mut() = Some(context.waker().clone());
            return Poll::Pending;
        }
        let waiting = Rc::new(RefCell::new(Some(context.waker().clone())));
        let to_wake = waiting.clone();
        let key = self.world.executor.schedule(self.deadline.0, self.owner, move || {
            if let Some(waker) = to_wake.borrow_mut().take() {
                waker.wake();
            }
        });
        self.timer = Some((key, waiting));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((key, _)) = self.timer.take() {
            self.world.executor.cancel(key);
        }
    }
}
