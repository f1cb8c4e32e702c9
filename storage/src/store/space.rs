//! Room on the disk: how much is left, what a shard does when there is too little, and the reserve that lets it go on.
//!
//! ```text
//!   free bytes   ──────────────► below the minimum, or an operation found no room: short
//!                                  │  clients' batches are refused; everything that was taken goes on
//!                                  │  an operation without room ──► a piece of the reserve is given back ──► again
//!                                  │                                 none left ──► again every tenth of a second
//!   enough again, reserve whole ◄──┘  a quarter above the minimum, so that it does not change to and fro
//! ```
//!
//! The reserve is a file beside the journal, allocated and never written. What is taken up already has its place: the
//! journal is written over, not grown. The reserve is for what must follow: segments of what the journal holds,
//! checkpoints, offsets that groups commit, and the checkpoints and notes it takes to delete anything.
//!
//! Always true: an operation that found no room changed nothing that anybody counts on, and is tried again with the
//! same bytes at the same place, or from its beginning. A failed sync is never tried again, full disk or not.
//!
//! The disk is looked at only while something is written, or while there is too little: an idle shard does nothing.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::select;
use ringlog_core::ids::ShardIndex;
use ringlog_core::time::Instant;
use ringlog_runtime::environment::{DiskFailure, Environment, File, OpenMode};

use crate::config::StoreConfig;
use crate::format::names::{journal_directory, journal_root, reserve_file};
use crate::signal::Signal;
use crate::store::StoreShared;

/// The minimum is never more than this part of the file system, the reserves of all shards never more than half of that.
const FREE_PART_MAX: u64 = 10;

/// The reserve is given back in so many pieces.
const RESERVE_PIECES: u64 = 8;

/// A reserve smaller than this is given back at a start as a whole.
const PIECE_AT_START_MIN: u64 = 64 << 10;

/// How long an operation without room waits before it is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// How long operations of a store that closes wait for room before it ends without having closed in order.
const CLOSING_PATIENCE: Duration = Duration::from_secs(5);

/// The space of one shard.
pub(crate) struct Space<E: Environment> {
    reserve: E::File,
    /// How large the reserve shall be, and how large it is.
    reserve_bytes: u64,
    held_bytes: Cell<u64>,
    is_resizing: Cell<bool>,
    /// Below it there is too little.
    free_bytes_min: u64,
    /// As it was at the last look, less what was taken since.
    free_bytes: Cell<u64>,
    is_short: Cell<bool>,
    /// Whether an operation may wait for room: not before the store is open.
    may_wait: Cell<bool>,
    closing_until: Cell<Option<Instant>>,
    /// Something was written since the last look.
    was_used: Cell<bool>,
    /// The watcher has a reason to look now, or all is over.
    watcher: Signal,
    /// There is more room than there was, too little has become enough, or enough too little.
    changed: Signal,
}

impl<E: Environment> Space<E> {
    /// Looks how much there is, and makes the reserve if there is enough for it.
    pub async fn open(env: &E, data_dir: &Path, config: &StoreConfig) -> Result<Space<E>, DiskFailure> {
        let total_bytes = env.total_bytes(data_dir).await?;
        let part = total_bytes / FREE_PART_MAX;
        let reserve_path = reserve_file(&journal_directory(data_dir, env.shard().0));
        let reserve = env.open(&reserve_path, OpenMode::BufferedWrite).await?;
        let held_bytes = reserve.length().await?;
        let space = Space {
            reserve,
            reserve_bytes: config.reserve_bytes.min(part / 2 / u64::from(env.shard_count())),
            held_bytes: Cell::new(held_bytes),
            is_resizing: Cell::new(false),
            free_bytes_min: config.free_bytes_min.min(part),
            free_bytes: Cell::new(0),
            is_short: Cell::new(true),
            may_wait: Cell::new(false),
            closing_until: Cell::new(None),
            was_used: Cell::new(false),
            watcher: Signal::default(),
            changed: Signal::default(),
        };
        if held_bytes > space.reserve_bytes {
            // The size was changed.
            space.resize(space.reserve_bytes).await?;
        }
        let free_bytes = env.free_bytes(data_dir).await?;
        if space.is_enough(free_bytes, space.free_bytes_min) {
            space.refill().await?;
        }
        if space.is_short() {
            space.tell_short(env.shard(), "there is little when the broker starts");
        }
        Ok(space)
    }

    /// Whether there is too little room to take batches of clients.
    pub fn is_short(&self) -> bool {
        self.is_short.get()
    }

    /// The reserve as it is.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes.get()
    }

    /// Below so many free bytes there is too little.
    pub fn free_bytes_min(&self) -> u64 {
        self.free_bytes_min
    }

    /// From now on an operation without room waits for some.
    pub fn begin_waiting(&self) {
        self.may_wait.set(true);
    }

    /// Something is to be written.
    pub fn note_use(&self) {
        if !self.was_used.replace(true) {
            self.watcher.notify();
        }
    }

    /// Files grew by so much: looks at once if that may have been too much.
    pub fn took(&self, bytes: u64) {
        self.free_bytes.set(self.free_bytes.get().saturating_sub(bytes));
        if !self.is_short() && self.free_bytes.get() < self.free_bytes_min {
            self.watcher.notify();
        }
    }

    /// An operation found no room.
    pub fn ran_out(&self, shard: ShardIndex, failure: &DiskFailure) {
        self.free_bytes.set(0);
        if !self.is_short() {
            self.become_short(shard, &failure.to_string());
            self.watcher.notify();
        }
    }

    fn become_short(&self, shard: ShardIndex, reason: &str) {
        self.is_short.set(true);
        self.tell_short(shard, reason);
        self.changed.notify();
    }

    /// Wakes whoever waits for room, to look whether all is over.
    pub fn notify(&self) {
        self.watcher.notify();
        self.changed.notify();
    }

    /// Completes when there is too little and was enough, or the other way round.
    pub async fn until_changed(&self, was_short: bool) {
        self.changed.when(|| self.is_short() != was_short).await;
    }

    /// Gives a piece of the reserve back.
    async fn give_piece(&self) -> Result<Given, DiskFailure> {
        let held = self.held_bytes();
        if self.is_resizing.get() {
            return Ok(Given::Soon);
        }
        if held == 0 {
            return Ok(Given::Nothing);
        }
        let piece = (self.reserve_bytes / RESERVE_PIECES).max(1);
        self.resize(held.saturating_sub(piece)).await?;
        Ok(Given::Piece)
    }

    async fn resize(&self, length: u64) -> Result<(), DiskFailure> {
        self.is_resizing.set(true);
        let resized = match length < self.held_bytes() {
            true => self.reserve.truncate(length).await,
            false => self.reserve.allocate(length).await,
        };
        if resized.is_ok() {
            self.held_bytes.set(length);
        }
        self.is_resizing.set(false);
        resized
    }

    fn is_enough(&self, free_bytes: u64, wanted: u64) -> bool {
        free_bytes >= wanted + self.reserve_bytes.saturating_sub(self.held_bytes())
    }

    /// Makes the reserve whole; from then on there is enough. Without room for it there is not.
    async fn refill(&self) -> Result<(), DiskFailure> {
        let held = self.held_bytes();
        if held < self.reserve_bytes {
            match self.resize(self.reserve_bytes).await {
                // What it got of it shall be somebody's.
                Err(failure) if failure.is_out_of_space() => return self.reserve.truncate(held).await,
                resized => resized?,
            }
        }
        self.is_short.set(false);
        Ok(())
    }

    /// Once for the broker, not once for every core: they see the same disk.
    fn tell_short(&self, shard: ShardIndex, reason: &str) {
        let (free_bytes, free_bytes_min) = (self.free_bytes.get(), self.free_bytes_min);
        match shard.0 {
            0 => tracing::warn!(
                free_bytes,
                free_bytes_min,
                reason,
                "the disk is full: batches of clients are refused until there is room; reading and committing offsets go on"
            ),
            shard => tracing::debug!(shard, free_bytes, free_bytes_min, reason, "the disk is full"),
        }
    }

    fn tell_enough(&self, shard: ShardIndex) {
        let free_bytes = self.free_bytes.get();
        match shard.0 {
            0 => tracing::info!(free_bytes, "the disk has room again: batches of clients are taken"),
            shard => tracing::debug!(shard, free_bytes, "the disk has room again"),
        }
    }
}

/// What the reserve gave back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Given {
    Piece,
    /// Another task is giving one back.
    Soon,
    Nothing,
}

/// What to do when the reserve is spent and there still is no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WhenSpent {
    /// Wait: it must be done.
    Wait,
    /// Give up: others must not wait for it.
    GiveUp,
}

impl<E: Environment> StoreShared<E> {
    /// Does something that may need room, again and again while there is none.
    ///
    /// # Errors
    /// Any other failure; the want of room itself if the reserve is spent and waiting is not allowed.
    pub async fn with_room<T>(
        &self,
        when_spent: WhenSpent,
        mut operation: impl AsyncFnMut() -> Result<T, DiskFailure>,
    ) -> Result<T, DiskFailure> {
        loop {
            match operation().await {
                Err(failure) if failure.is_out_of_space() => self.make_disk_room(when_spent, failure).await?,
                done => return done,
            }
        }
    }

    /// After an operation found no room: makes some, or waits for a while.
    ///
    /// # Errors
    /// It is not to be tried again.
    pub async fn make_disk_room(
        &self,
        when_spent: WhenSpent,
        failure: DiskFailure,
    ) -> Result<(), DiskFailure> {
        let space = &self.space;
        space.ran_out(self.env.shard(), &failure);
        if self.failure().is_some() {
            return Err(failure);
        }
        let given = match space.give_piece().await {
            // A file system that needs room to give room back.
            Err(failure) if failure.is_out_of_space() => Given::Nothing,
            given => given?,
        };
        let may_wait = when_spent == WhenSpent::Wait && space.may_wait.get() && !self.lost_patience();
        match given {
            Given::Piece => return Ok(()),
            Given::Nothing if !may_wait => return Err(failure),
            Given::Soon | Given::Nothing => {}
        }
        self.env.sleep_until(self.env.now() + RETRY_AFTER).await;
        Ok(())
    }

    fn lost_patience(&self) -> bool {
        if !self.is_closing() {
            return false;
        }
        let now = self.env.now();
        let until = self.space.closing_until.get().unwrap_or(now + CLOSING_PATIENCE);
        self.space.closing_until.set(Some(until));
        now >= until
    }
}

/// Looks at the disk until the store is closed or fails.
pub(crate) async fn run<E: Environment>(store: Rc<StoreShared<E>>) {
    let space = &store.space;
    while !store.is_over() {
        space.watcher.when(|| space.was_used.get() || space.is_short() || store.is_over()).await;
        space.was_used.set(false);
        if let Err(failure) = look(&store).await {
            store.fail(failure);
        }
        let next = store.env.now() + store.config.space_look_interval;
        let is_urgent = || {
            let seems_short = space.free_bytes.get() < space.free_bytes_min;
            store.is_over() || (seems_short && !space.is_short())
        };
        let urgent = std::pin::pin!(space.watcher.when(is_urgent));
        select(urgent, std::pin::pin!(store.env.sleep_until(next))).await;
    }
}

async fn look<E: Environment>(store: &Rc<StoreShared<E>>) -> Result<(), DiskFailure> {
    let (space, shard) = (&store.space, store.env.shard());
    // A file system that does not say how much is free says nothing: what was known holds.
    let Ok(free_bytes) = store.env.free_bytes(&store.data_dir).await else { return Ok(()) };
    if store.is_over() {
        return Ok(());
    }
    space.free_bytes.set(free_bytes);
    let resume_bytes = space.free_bytes_min + space.free_bytes_min / 4;
    if !space.is_short() && free_bytes < space.free_bytes_min {
        space.become_short(shard, "less is free than ringlog.disk.free.min.bytes");
    } else if space.is_short() && !space.is_resizing.get() && space.is_enough(free_bytes, resume_bytes) {
        space.refill().await?;
        if !space.is_short() {
            space.tell_enough(shard);
            space.changed.notify();
        }
    }
    Ok(())
}

/// Gives a part of all shards' reserves back, for what a start must write and found no room for; false if there is
/// none. The start begins anew then: cut short anywhere, it comes to the same.
///
/// # Errors
/// The disk refuses.
pub async fn give_back<E: Environment>(env: &E, data_dir: &Path) -> Result<bool, DiskFailure> {
    let mut has_given = false;
    for path in reserves(env, data_dir).await? {
        let reserve = env.open(&path, OpenMode::BufferedWrite).await?;
        let length = reserve.length().await?;
        if length > 0 {
            reserve.truncate(if length > PIECE_AT_START_MIN { length / 2 } else { 0 }).await?;
            has_given = true;
        }
    }
    Ok(has_given)
}

async fn reserves<E: Environment>(env: &E, data_dir: &Path) -> Result<Vec<PathBuf>, DiskFailure> {
    let mut found = Vec::new();
    let root = journal_root(data_dir);
    let shards = match env.list_directory(&root).await {
        Ok(shards) => shards,
        Err(failure) if failure.is_not_found() => return Ok(found),
        Err(failure) => return Err(failure),
    };
    for shard in shards {
        let path = reserve_file(&root.join(&shard.name));
        match env.open(&path, OpenMode::BufferedRead).await {
            Ok(_) => found.push(path),
            Err(failure) if failure.is_not_found() => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(found)
}
