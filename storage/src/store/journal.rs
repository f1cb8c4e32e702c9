//! A shard's journal: what waits is packed, written with one stable write, and told.
//!
//! ```text
//!   logs with queued batches ──pack──► commit ──one write, stable when it completes──► logs: committed
//!                    ▲                                            │
//!                    └──────── what came meanwhile ◄──────────────┘        no timer; one commit in flight
//!
//!   relaxed logs with queued batches ──a while after the first──► due: packed behind those, first in every second commit
//!   durable ends of batches written to their segments directly ──► notes: in the next commit, or a while later in one of their own
//!
//!   00000001.journal [c1 c2 c3 .. ]   00000002.journal [c9 c10 | old c4 c5 ]   00000003.journal (free)
//! ```
//!
//! Always true: commit n + 1 is submitted after commit n completed, so a missing commit with a later one behind
//! it was damaged, not torn. A file is written over only when both kept checkpoints are past its last commit.
//! A failed write fences the store: nothing after it is told, nothing is tried again. On a full disk the ring stays as
//! long as it is: commits need no new room.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ringlog_core::ids::Offset;
use ringlog_runtime::buffer::{DIRECT_ALIGNMENT, Slice};
use ringlog_runtime::environment::{DiskFailure, Environment, File, OpenMode, TaskClass, WriteSync};

use crate::config::StoreConfig;
use crate::disk::{BLOCK, buffer, parent, remove_file_if_present};
use crate::format::commit::{
    CommitEntry, CommitPlace, ENTRY_BYTES, EntryKind, HEADER_BYTES, padded_bytes, write_commit,
};
use crate::format::names::{journal_directory, journal_file, parse_journal_file};
use crate::log::LogShared;
use crate::signal::Signal;
use crate::store::space::WhenSpent;
use crate::store::{StoreShared, passed_segments};

/// Notes of durable ends that ride along in one commit at most.
const NOTES_MAX: usize = 32;
/// One write of zeros while a file is made.
const ZEROS_BYTES: usize = 256 << 10;

/// The last commit that is stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct JournalMark {
    pub sequence: u64,
    pub checksum: u32,
}

/// Logs with batches to commit, oldest first.
type Queue = RefCell<VecDeque<Rc<LogShared>>>;

struct RingFile<F> {
    file: F,
    length: u64,
    /// The last commit in it; zero if it holds none of this generation.
    last_sequence: u64,
}

struct Ring<F> {
    files: Vec<RingFile<F>>,
    current: usize,
    position: u64,
    committed: JournalMark,
    /// Commits up to here are in segments, by both kept checkpoints.
    freed_sequence: u64,
    bytes_since_checkpoint: u64,
    next_number: u32,
}

/// A shard's journal.
pub(crate) struct Journal<E: Environment> {
    directory: PathBuf,
    generation: u64,
    ring: RefCell<Ring<E::File>>,
    queue: Queue,
    /// Logs with batches to commit that nobody waits for, and those of them whose time has come.
    unhurried: RefCell<Vec<Rc<LogShared>>>,
    due: Queue,
    /// Whether the next commit begins with these: every second does, so that neither has to wait for ever.
    is_due_first: Cell<bool>,
    /// Such a log or a note came, or all is over.
    unhurried_work: Signal,
    /// Logs that are durable further than the journal says.
    notes: RefCell<VecDeque<Rc<LogShared>>>,
    /// Whether notes are there that have waited long enough for a commit of others.
    are_notes_due: Cell<bool>,
    /// Something was queued, or all is over.
    work: Signal,
    /// Files became free, or all is over.
    space: Signal,
    is_committing: Cell<bool>,
    is_starving: Cell<bool>,
    is_making_file: Cell<bool>,
}

/// A commit about to be written.
struct PackedCommit {
    entries: Vec<CommitEntry>,
    payload: Vec<Slice>,
    logs: Vec<CommittedLog>,
}

/// What a commit holds of one log.
struct CommittedLog {
    log: Rc<LogShared>,
    /// Every batch queued up to here.
    end_offset: Offset,
    /// Where the log begins, if that changed.
    log_start_offset: Option<Offset>,
}

impl PackedCommit {
    fn payload_bytes(&self) -> usize {
        self.payload.iter().map(|slice| slice.len()).sum()
    }

    fn padded_bytes(&self) -> usize {
        padded_bytes(self.entries.len(), self.payload_bytes())
    }
}

impl<E: Environment> Journal<E> {
    /// Begins a new generation in the files there are; makes the first one if there is none.
    pub async fn open(env: &E, data_dir: &Path, config: &StoreConfig) -> Result<Journal<E>, DiskFailure> {
        let directory = journal_directory(data_dir, env.shard().0);
        env.create_directory(&directory).await?;
        let root = parent(&directory);
        env.sync_directory(root).await?;
        env.sync_directory(parent(root)).await?;
        let (mut files, mut next_number, mut total) = (Vec::new(), 1, 0);
        for entry in env.list_directory(&directory).await? {
            let Some(number) = parse_journal_file(&entry.name) else { continue };
            next_number = next_number.max(number + 1);
            let length = entry.length / BLOCK * BLOCK;
            let path = journal_file(&directory, number);
            // Too short: a start ended while it made this file. Too many: the sizes were changed.
            if length < config.commit_bytes_max as u64 || total + length > config.journal_bytes_max {
                env.remove_file(&path).await?;
                continue;
            }
            total += length;
            let file = env.open(&path, OpenMode::DirectWrite).await?;
            files.push(RingFile { file, length, last_sequence: 0 });
        }
        if files.is_empty() {
            let path = journal_file(&directory, next_number);
            let file = make_file(env, &path, config.journal_first_file_bytes).await?;
            files.push(RingFile { file, length: config.journal_first_file_bytes, last_sequence: 0 });
            next_number += 1;
        }
        env.sync_directory(&directory).await?;
        let ring = Ring {
            files,
            current: 0,
            position: 0,
            committed: JournalMark::default(),
            freed_sequence: 0,
            bytes_since_checkpoint: 0,
            next_number,
        };
        Ok(Journal {
            directory,
            generation: env.random(),
            ring: RefCell::new(ring),
            queue: RefCell::default(),
            unhurried: RefCell::default(),
            due: RefCell::default(),
            is_due_first: Cell::new(false),
            unhurried_work: Signal::default(),
            notes: RefCell::default(),
            are_notes_due: Cell::new(false),
            work: Signal::default(),
            space: Signal::default(),
            is_committing: Cell::new(false),
            is_starving: Cell::new(false),
            is_making_file: Cell::new(false),
        })
    }

    /// Which life of the journal this is.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The last commit that is stable.
    pub fn committed(&self) -> JournalMark {
        self.ring.borrow().committed
    }

    /// Puts a log into the queue of those with batches to commit.
    pub fn enqueue(&self, log: &Rc<LogShared>) {
        self.queue.borrow_mut().push_back(log.clone());
        self.work.notify();
    }

    /// Puts a log among those with batches to commit that nobody waits for.
    pub fn enqueue_unhurried(&self, log: &Rc<LogShared>) {
        self.unhurried.borrow_mut().push(log.clone());
        self.unhurried_work.notify();
    }

    /// Their time has come: they are in the next commits, as far as others leave room.
    pub fn hurry(&self) {
        self.due.borrow_mut().extend(self.unhurried.borrow_mut().drain(..));
        self.work.notify();
    }

    fn has_queued(&self) -> bool {
        !self.queue.borrow().is_empty() || !self.due.borrow().is_empty() || self.are_notes_due.get()
    }

    fn has_unhurried(&self) -> bool {
        !self.unhurried.borrow().is_empty() || !self.notes.borrow().is_empty()
    }

    /// The next log to pack, and where it came from.
    fn next_queued(&self, is_due_first: bool) -> Option<(Rc<LogShared>, &Queue)> {
        let queues = if is_due_first { [&self.due, &self.queue] } else { [&self.queue, &self.due] };
        queues.into_iter().find_map(|queue| Some((queue.borrow_mut().pop_front()?, queue)))
    }

    /// Lets the next commit note how far a log is durable: one of others, or a while later one for this alone. Until then
    /// nothing on the disk tells damage there from a torn tail.
    pub fn note_durable_end(&self, log: &Rc<LogShared>) {
        self.notes.borrow_mut().push_back(log.clone());
        self.unhurried_work.notify();
    }

    /// The notes there are wait for no commit of others any more.
    fn let_notes_fall_due(&self) {
        self.are_notes_due.set(!self.notes.borrow().is_empty());
        self.work.notify();
    }

    /// Whether nothing waits and nothing is being written.
    pub fn is_idle(&self) -> bool {
        !self.has_queued() && self.unhurried.borrow().is_empty() && !self.is_committing.get()
    }

    /// Whether a checkpoint should free files: enough was written since the last, or a commit waits for room.
    pub fn wants_checkpoint(&self, config: &StoreConfig) -> bool {
        self.is_starving.get() || self.ring.borrow().bytes_since_checkpoint > config.journal_bytes_max / 4
    }

    /// Whether a commit waits for room.
    pub fn is_starving(&self) -> bool {
        self.is_starving.get()
    }

    /// All files together.
    pub fn file_bytes(&self) -> u64 {
        self.ring.borrow().files.iter().map(|file| file.length).sum()
    }

    /// The rest of the current file and every free one.
    pub fn free_bytes(&self) -> u64 {
        let ring = self.ring.borrow();
        let free = ring
            .files
            .iter()
            .enumerate()
            .filter(|(index, file)| *index != ring.current && file.last_sequence <= ring.freed_sequence);
        let rest = ring.files[ring.current].length - ring.position;
        rest + free.map(|(_, file)| file.length).sum::<u64>()
    }

    /// A checkpoint begins: from here on it is counted anew.
    pub fn checkpoint_begins(&self) {
        self.ring.borrow_mut().bytes_since_checkpoint = 0;
    }

    /// Both kept checkpoints are past `sequence`.
    pub fn free_up_to(&self, sequence: u64) {
        self.ring.borrow_mut().freed_sequence = sequence;
        self.space.notify();
    }

    /// Wakes the commit loop to look whether all is over.
    pub fn notify(&self) {
        self.work.notify();
        self.unhurried_work.notify();
        self.space.notify();
    }

    /// Where a commit of so many bytes goes; `None` if no file is free.
    fn place(&self, bytes: u64) -> Option<(E::File, u64)> {
        let mut ring = self.ring.borrow_mut();
        if ring.files[ring.current].length - ring.position < bytes {
            let freed = ring.freed_sequence;
            let is_free = |index: &usize| ring.files[*index].last_sequence <= freed;
            let others = (1..=ring.files.len()).map(|step| (ring.current + step) % ring.files.len());
            let next = others.filter(|index| ring.files[*index].length >= bytes).find(is_free)?;
            (ring.current, ring.position) = (next, 0);
        }
        Some((ring.files[ring.current].file.clone(), ring.position))
    }

    fn has_file_ahead(&self) -> bool {
        let ring = self.ring.borrow();
        let is_free = |(index, file): (usize, &RingFile<E::File>)| {
            index != ring.current && file.last_sequence <= ring.freed_sequence
        };
        ring.files.iter().enumerate().any(is_free)
    }

    fn committed_at(&self, mark: JournalMark, bytes: u64) {
        let mut ring = self.ring.borrow_mut();
        let current = ring.current;
        ring.files[current].last_sequence = mark.sequence;
        ring.position += bytes;
        ring.bytes_since_checkpoint += bytes;
        ring.committed = mark;
    }
}

/// The shard's commit loop: runs until the store is closed or fails.
pub(crate) async fn run<E: Environment>(store: Rc<StoreShared<E>>) {
    let journal = &store.journal;
    loop {
        journal.work.when(|| journal.has_queued() || store.is_over()).await;
        if store.is_over() {
            return;
        }
        journal.is_committing.set(true);
        let commit = pack(&store);
        if !commit.entries.is_empty() {
            if let Err(failure) = write(&store, &commit).await {
                store.fail(failure);
                return;
            }
            for CommittedLog { log, end_offset, log_start_offset } in &commit.logs {
                log.state.borrow_mut().journal_committed(*end_offset);
                if let Some(log_start_offset) = log_start_offset {
                    log.state.borrow_mut().log_start_committed(*log_start_offset);
                    passed_segments::remove_soon(&store, log);
                }
                store.progressed(log);
            }
            store.evict_if_crowded();
        }
        journal.is_committing.set(false);
        store.housekeeping.notify();
    }
}

/// Commits what nobody waits for, notes included, a while after the first of it came: together, so that it costs one write.
pub(crate) async fn run_unhurried<E: Environment>(store: Rc<StoreShared<E>>) {
    let journal = &store.journal;
    loop {
        journal.unhurried_work.when(|| journal.has_unhurried() || store.is_over()).await;
        if store.is_over() {
            return;
        }
        store.env.sleep_until(store.env.now() + store.config.relaxed_commit_interval).await;
        journal.hurry();
        journal.let_notes_fall_due();
    }
}

/// Takes what waits, oldest log of each queue first, as much as fits one commit. Logs with much to say are sent to write it
/// to their segments themselves.
fn pack<E: Environment>(store: &Rc<StoreShared<E>>) -> PackedCommit {
    let mut commit = PackedCommit { entries: Vec::new(), payload: Vec::new(), logs: Vec::new() };
    let mut bytes = HEADER_BYTES + NOTES_MAX * ENTRY_BYTES;
    let is_due_first = store.journal.is_due_first.replace(!store.journal.is_due_first.get());
    while let Some((log, queue)) = store.journal.next_queued(is_due_first) {
        store.hand_over_if_large(&log);
        let mut state = log.state.borrow_mut();
        let (mut end_offset, mut log_start_offset) = (None, None);
        let durable_end_offset = state.stable_end_offset;
        while let Some(batch) = state.queued.pop_front_if(|batch| {
            bytes + ENTRY_BYTES + batch.entry.length as usize <= store.config.commit_bytes_max
        }) {
            bytes += ENTRY_BYTES + batch.entry.length as usize;
            state.queued_bytes -= batch.entry.length as usize;
            commit.entries.push(CommitEntry { durable_end_offset, ..batch.entry });
            commit.payload.extend(batch.parts);
            end_offset = Some(batch.end_offset);
            if batch.entry.kind == EntryKind::LogStart {
                log_start_offset = log_start_offset.max(Some(batch.entry.base_offset));
            }
        }
        let is_full = !state.queued.is_empty();
        state.is_in_journal_queue = is_full;
        drop(state);
        if let Some(end_offset) = end_offset {
            commit.logs.push(CommittedLog { log: log.clone(), end_offset, log_start_offset });
        }
        if is_full {
            queue.borrow_mut().push_front(log);
            break;
        }
    }
    if !commit.entries.is_empty() || store.journal.are_notes_due.get() {
        add_notes(store, &mut commit);
    }
    commit
}

fn add_notes<E: Environment>(store: &StoreShared<E>, commit: &mut PackedCommit) {
    let mut notes = store.journal.notes.borrow_mut();
    let count = notes.len().min(NOTES_MAX);
    for log in notes.drain(..count) {
        let mut state = log.state.borrow_mut();
        (state.note_wanted, state.is_note_queued) = (false, false);
        let active = state.active();
        commit.entries.push(CommitEntry {
            partition: state.partition,
            kind: EntryKind::DurableEnd,
            base_offset: state.stable_end_offset,
            previous_end_offset: state.stable_end_offset,
            segment_base_offset: active.base_offset(),
            durable_end_offset: state.stable_end_offset,
            position: 0,
            length: 0,
        });
    }
    if notes.is_empty() {
        store.journal.are_notes_due.set(false);
    }
}

async fn write<E: Environment>(store: &Rc<StoreShared<E>>, commit: &PackedCommit) -> Result<(), DiskFailure> {
    let (env, journal) = (&store.env, &store.journal);
    let bytes = commit.padded_bytes();
    let began = env.now();
    let Some((file, position)) = wait_for_place(store, bytes as u64).await else {
        // The store failed while the commit waited: nobody is told anything.
        return std::future::pending().await;
    };
    let mut target = buffer(env, bytes).await;
    target.set_len(bytes);
    let before = journal.committed();
    let place = CommitPlace {
        shard: env.shard().0,
        generation: journal.generation,
        sequence: before.sequence + 1,
        previous_checksum: before.checksum,
    };
    let payload = commit.payload.iter().map(|slice| &**slice);
    let checksum = write_commit(place, &commit.entries, payload, target.as_mut_slice());
    // A crash here, before, or while this is written: the commit does not verify, and nothing in it was told.
    // Only a file system that never writes in place finds no room here; the same bytes then go to the same place again.
    let bytes_of_commit = target.freeze();
    let write =
        async || file.write_at(position, vec![bytes_of_commit.clone()], WriteSync::BeforeCompletion).await;
    store.with_room(WhenSpent::Wait, write).await?;
    // A crash here: the commit verifies and is replayed; telling too little is allowed.
    journal.committed_at(JournalMark { sequence: place.sequence, checksum }, bytes as u64);
    store.counts.committed(bytes, commit.entries.len(), env.now().since(began));
    Ok(())
}

async fn wait_for_place<E: Environment>(store: &Rc<StoreShared<E>>, bytes: u64) -> Option<(E::File, u64)> {
    let journal = &store.journal;
    loop {
        if !journal.has_file_ahead() {
            make_file_ahead(store);
        }
        if let Some(place) = journal.place(bytes) {
            journal.is_starving.set(false);
            return Some(place);
        }
        if !journal.is_starving.replace(true) {
            store.counts.starved();
        }
        store.housekeeping.notify();
        let has_place = || journal.place(bytes).is_some() || store.failure().is_some();
        journal.space.when(has_place).await;
        if store.failure().is_some() {
            return None;
        }
    }
}

/// Makes another file in the background, if the bound allows one.
fn make_file_ahead<E: Environment>(store: &Rc<StoreShared<E>>) {
    let journal = &store.journal;
    let number = {
        let mut ring = journal.ring.borrow_mut();
        let total: u64 = ring.files.iter().map(|file| file.length).sum();
        let is_too_much = total + store.config.journal_file_bytes > store.config.journal_bytes_max;
        if is_too_much || store.space.is_short() || journal.is_making_file.replace(true) {
            return;
        }
        ring.next_number += 1;
        ring.next_number - 1
    };
    let store = store.clone();
    store.clone().env.spawn(TaskClass::Storage, async move {
        let path = journal_file(&store.journal.directory, number);
        match make_file(&store.env, &path, store.config.journal_file_bytes).await {
            Ok(file) => {
                let length = store.config.journal_file_bytes;
                store.space.took(length);
                store.journal.ring.borrow_mut().files.push(RingFile { file, length, last_sequence: 0 });
                store.journal.is_making_file.set(false);
                store.journal.space.notify();
            }
            Err(failure) if failure.is_out_of_space() => {
                // The ring goes on with the files it has.
                store.space.ran_out(store.env.shard(), &failure);
                if let Err(failure) = remove_file_if_present(&store.env, &path).await {
                    store.fail(failure);
                }
                store.journal.is_making_file.set(false);
            }
            Err(failure) => store.fail(failure),
        }
    });
}

/// Makes a file of zeros that were really written: overwriting it later changes no metadata, which is what makes
/// a commit one device write. A crash here leaves a shorter file, which the next start uses or removes.
async fn make_file<E: Environment>(env: &E, path: &Path, length: u64) -> Result<E::File, DiskFailure> {
    let file = env.open(path, OpenMode::DirectWrite).await?;
    let piece = ZEROS_BYTES.min(length as usize);
    let mut zeros = buffer(env, piece).await;
    zeros.pad_to_multiple_of(DIRECT_ALIGNMENT);
    zeros.set_len(piece);
    zeros.as_mut_slice().fill(0);
    let zeros = zeros.freeze();
    let mut position = 0;
    while position < length {
        let count = zeros.len().min((length - position) as usize);
        file.write_at(position, vec![zeros.slice(0..count)], WriteSync::Later).await?;
        position += count as u64;
        env.yield_now().await;
    }
    file.sync().await?;
    env.sync_directory(parent(path)).await?;
    Ok(file)
}
