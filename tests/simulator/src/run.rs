//! One run of one seed: a program, its clients, crashes, healing, judgement.
//!
//! ```text
//!   start ─► clients busy ─► crash | kill | stop ─► start ... ─► heal ─► clients finish ─► read all ─► check
//! ```
//!
//! Always true: everything about a run follows from its seed; the number of shards may change at every start.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog_runtime::environment::Environment;
use ringlog_runtime::memory::{Faults, MemoryWorld, MountFails, Options, PerMillion, Random, WorldHandle};

use crate::administrator;
use crate::broker::SCRUB_PERIOD;
use crate::checker::{self, Violation};
use crate::configurer;
use crate::fetcher;
use crate::group::{self, Group};
use crate::history::{History, Promise, Reported};
use crate::keeper;
use crate::log;
use crate::member::Member;
use crate::planted::Bug;
use crate::producer::Producer;
use crate::rot::{Rot, RottenBlock};
use crate::session;
use crate::shortener;
use crate::workload::{Versions, Workload};

/// Where the broker listens in its world.
pub const ADDRESS: &str = "127.0.0.1:9092";
/// Where its data lies.
pub const FIRST_DISK: &str = "/data";
/// Where its data lies, too, in a world with a second disk: one of four.
pub const SECOND_DISK: &str = "/data2";

const SHARDS_MAX: u64 = 3;
const LIVES_MAX: u64 = 8;
const PRODUCERS_MAX: u64 = 4;
const BATCHES_MAX: u64 = 100;
const BATCHES_PER_REQUEST_MAX: u64 = 4;
const RETENTION_BYTES_MAX: u64 = 1 << 16;
/// Longer than the time between two looks of the broker's retention.
const RETENTION_SETTLES: Duration = Duration::from_secs(1);
const FLEETING_LIVES_MAX: u64 = 3;
const DELETIONS_MAX: u64 = 24;
const CONFIG_CHANGES_MAX: u64 = 6;
const MEMBERS_MAX: u64 = 4;
const KEPT_TIMES_MAX: u64 = 20;
/// By when, after the healing, every group must be at rest: longer than clients wait on a silent connection.
const GROUPS_SETTLE: Duration = Duration::from_secs(90);
/// Virtual time in which a healed program must have served everybody.
const LIFE_NS_MAX: u64 = 200_000_000_000;
const MUTATIONS_TO_CRASH_MAX: u64 = 300;
const WRITES_TO_CRASH_MAX: u64 = 150;
const LIFETIME_US_MAX: u64 = 5_000_000;
/// How often a life begins on a disk that will be full, and how much room it has.
const DISK_FILLS: PerMillion = PerMillion(100_000);
const ROOM_BYTES_MAX: u64 = 1 << 20;
/// How long it is full, or has room, where somebody else fills it again and again.
const FILLING_US_MAX: u64 = 1 << 20;
/// How many blocks rot in a run, and the time between two of them.
const ROTTEN_BLOCKS_MAX: u64 = 6;
const ROT_PAUSE_US_MAX: u64 = 2_000_000;

/// Something that serves Kafka clients in a world: the broker, or a stand-in to test the simulator with.
pub trait Program {
    /// Starts it with so many shards, a mistake planted below it.
    fn start(&self, world: &MemoryWorld, shard_count: u16, bug: Bug) -> Running;

    /// Whether it does all that clients may ask: a stand-in need not delete topics, keep fetch sessions or take
    /// more than one partition in a request.
    fn does_everything(&self) -> bool {
        true
    }
}

/// A program that was started.
#[derive(Clone, Default)]
pub struct Running {
    stop_asked: Rc<Cell<bool>>,
    ended: Rc<Cell<bool>>,
}

impl Running {
    /// Completes when the program shall stop.
    pub fn stop_asked<E: Environment>(&self, environment: E) -> impl Future<Output = ()> + use<E> {
        let stop_asked = self.stop_asked.clone();
        async move {
            while !stop_asked.get() {
                environment.sleep_until(environment.now() + Duration::from_millis(10)).await;
            }
        }
    }

    /// To be called by the program when it has ended.
    pub fn note_end(&self) {
        self.ended.set(true);
    }

    async fn stop(&self, world: &MemoryWorld) {
        self.stop_asked.set(true);
        let deadline = world.now() + Duration::from_secs(60);
        while !self.ended.get() && world.now() < deadline {
            world.sleep(Duration::from_millis(10)).await;
        }
    }
}

/// What came of a seed.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Its options, expanded.
    pub options: String,
    /// How each life of the program ended.
    pub lives: Vec<String>,
    /// Promises broken.
    pub violations: Vec<Violation>,
    /// Hash of all that happened.
    pub trace_hash: u64,
    /// Records acknowledged.
    pub acknowledged_records: usize,
    /// Records in the final logs.
    pub final_records: usize,
    /// Records that retention or a client deleted.
    pub retired_records: usize,
    /// Deletions of records that were granted.
    pub deletions_granted: usize,
    /// Changes of configurations that were granted.
    pub config_changes: usize,
    /// Assignments that members were given.
    pub assignments: usize,
    /// Commits of offsets that were granted.
    pub commits_granted: usize,
    /// Topics deleted.
    pub topics_deleted: usize,
    /// Blocks of the medium that rotted.
    pub blocks_rotted: usize,
    /// Changes made to the disk.
    pub disk_changes: u64,
    /// Virtual time passed.
    pub virtual_time: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "seed {}: {} violations", self.seed, self.violations.len())?;
        for violation in self.violations.iter().take(10) {
            writeln!(formatter, "  {violation}")?;
        }
        writeln!(formatter, "  lives: {}", self.lives.join(", "))?;
        writeln!(formatter, "  options: {}", self.options)?;
        write!(
            formatter,
            "  replay: RINGLOG_SEED={} cargo test -p ringlog-simulator --test broker",
            self.seed
        )
    }
}

/// Runs one seed.
///
/// # Panics
/// If the run deadlocks, does not end, or the program panics; the seed is then printed.
pub fn run(program: &impl Program, seed: u64, bug: Bug) -> Report {
    log::listen();
    // Of a run before that did not come to its end.
    drop(log::take_reports_of_damage());
    let mut random = Random::from_seed(seed).fork(3);
    let mut options = Options::from_seed(seed);
    options.limits.run_virtual_ns_max = LIFE_NS_MAX;
    let world = MemoryWorld::new(seed, options);
    let has_two_disks = Random::from_seed(seed).fork(13).below(4) == 0 || bug.shows_on_a_failing_disk();
    if program.does_everything() && has_two_disks {
        world.disk().mount(SECOND_DISK, world.options().limits.disk_bytes_max);
    }
    let workload = start_clients(program, &world, &mut random);
    let groups = start_groups(program, &world, &workload, &mut random);
    let rot = start_rot(program, &world, &workload, Random::from_seed(seed).fork(14));
    let mut lives = Vec::new();
    for _ in 0..random.between(1..=LIVES_MAX) {
        lives.push(live_and_end(program, &world, bug, &mut random));
    }
    world.set_faults(Faults::default());
    workload.history.borrow_mut().last_start();
    let reports = log::take_reports_of_damage();
    program.start(&world, random.between(1..=SHARDS_MAX) as u16, bug);
    world.run_until(finish(&world, &workload, &groups));
    let last_reports = world.run_until(find_damage(&world, &rot));
    let mut history = workload.history.borrow_mut();
    note_unfound(&world, &mut history, &last_reports);
    for (path, _) in world.disk().files().iter().filter(|(path, _)| administrator::is_of_fleeting_topic(path))
    {
        history.left_on_disk(path.clone());
    }
    reports.into_iter().for_each(|report| history.damage_reported(Reported::AmongFaults, report));
    last_reports.into_iter().for_each(|report| history.damage_reported(Reported::AtLast, report));
    Report {
        seed,
        options: world.options().to_string(),
        lives,
        violations: checker::check(&history),
        trace_hash: world.trace_hash(),
        acknowledged_records: history.acknowledged_records(),
        final_records: history.partitions().iter().map(|number| history.final_log(*number).len()).sum(),
        retired_records: history.retired_records(),
        deletions_granted: history.starts.deletions_granted(),
        config_changes: history.configs.changes_granted(),
        assignments: history.groups.assignments().len(),
        commits_granted: history.groups.commits_granted(),
        topics_deleted: history.topics_deleted(),
        blocks_rotted: history.rotten().len(),
        disk_changes: world.disk().mutations(),
        virtual_time: Duration::from_nanos(world.now().0),
    }
}

fn start_clients(program: &impl Program, world: &MemoryWorld, random: &mut Random) -> Workload {
    let address: SocketAddr = ADDRESS.parse().expect("an address");
    let partitions = random.between(1..=4) as i32;
    let mut workload = Workload::new(world.handle(), address, partitions, Versions::choose(random));
    if program.does_everything() {
        workload.batches_per_request_max = random.between(1..=BATCHES_PER_REQUEST_MAX);
        workload.retention_bytes = random.coin().then(|| often_small(RETENTION_BYTES_MAX, random));
    }
    for _ in 0..random.between(1..=PRODUCERS_MAX) {
        let promise = match random.below(8) {
            0 => Promise::Unanswered,
            1..=3 => Promise::Plain,
            _ => Promise::Idempotent,
        };
        let batches = random.between(1..=BATCHES_MAX) as usize;
        let producer = Producer::new(&workload, promise, batches, random.fork(4));
        let creator = workload.clone();
        world.spawn(async move {
            creator.create_topic().await;
            producer.run().await;
        });
    }
    if program.does_everything() && random.coin() {
        let times = random.between(1..=FLEETING_LIVES_MAX);
        world.spawn(administrator::make_and_delete(workload.clone(), times, random.fork(7)));
    }
    if program.does_everything() && random.coin() {
        workload.is_shortened = true;
        let times = random.between(1..=DELETIONS_MAX);
        world.spawn(shortener::shorten(workload.clone(), times, random.fork(9)));
    }
    if program.does_everything() && random.coin() {
        let changes = random.between(1..=CONFIG_CHANGES_MAX);
        world.spawn(configurer::configure(workload.clone(), changes, random.fork(10)));
    }
    if program.does_everything() && random.coin() {
        world.spawn(session::follow(workload.clone(), random.fork(8)));
    }
    for partition in 0..partitions {
        if random.coin() {
            world.spawn(fetcher::follow(workload.clone(), partition, random.fork(5)));
        }
    }
    workload
}

/// Groups that read the topic: some with members, all with somebody who looks after them.
fn start_groups(
    program: &impl Program,
    world: &MemoryWorld,
    workload: &Workload,
    random: &mut Random,
) -> Vec<Group> {
    if !program.does_everything() || random.coin() {
        return Vec::new();
    }
    let count = random.between(1..=group::NAMES.len() as u64) as usize;
    let groups: Vec<Group> = (0..count).map(|number| Group::new(workload.clone(), number, random)).collect();
    for group in &groups {
        for _ in 0..random.between(0..=MEMBERS_MAX) {
            let member = Member::new(group.clone(), random.fork(11));
            let creator = workload.clone();
            world.spawn(async move {
                creator.create_topic().await;
                member.run().await;
            });
        }
        let times = random.between(1..=KEPT_TIMES_MAX);
        world.spawn(keeper::keep(group.clone(), times, random.fork(12)));
    }
    groups
}

/// In half of the runs the medium ages.
fn start_rot(
    program: &impl Program,
    world: &MemoryWorld,
    workload: &Workload,
    mut random: Random,
) -> Option<Rot> {
    if !program.does_everything() || random.coin() {
        return None;
    }
    let times = random.between(1..=ROTTEN_BLOCKS_MAX);
    let rot = Rot::new(workload, random);
    world.spawn(rot.clone().spread(times, ROT_PAUSE_US_MAX));
    Some(rot)
}

/// One life of the program, from start to a violent or an orderly end.
fn live_and_end(program: &impl Program, world: &MemoryWorld, bug: Bug, random: &mut Random) -> String {
    let shard_count = random.between(1..=SHARDS_MAX) as u16;
    let room = random.happens(DISK_FILLS).then(|| often_small(ROOM_BYTES_MAX, random));
    if let Some(room) = room {
        world.disk().set_bytes_max(world.disk().used_bytes(FIRST_DISK) + room);
    }
    let is_over = Rc::new(Cell::new(false));
    let mishap = world.disk().is_mount(SECOND_DISK).then(|| harm_second_disk(world, bug, &is_over, random));
    let fills_again = room.is_some() && random.coin();
    if fills_again {
        world.spawn(fill_again_and_again(world.handle(), is_over.clone(), random.fork(9)));
    }
    let running = program.start(world, shard_count, bug);
    let lifetime = Duration::from_micros(often_small(LIFETIME_US_MAX, random));
    let end = match random.below(8) {
        0 => {
            world.run_until(world.sleep(lifetime));
            world.kill();
            format!("{shard_count} shards, killed after {lifetime:?}")
        }
        1 => {
            world.run_until(world.sleep(lifetime));
            world.run_until(running.stop(world));
            world.kill();
            format!("{shard_count} shards, stopped after {lifetime:?}")
        }
        2 | 3 => {
            world.run_until(world.sleep(lifetime));
            world.crash();
            format!("{shard_count} shards, power lost after {lifetime:?}")
        }
        4 | 5 => {
            let mutations = often_small(MUTATIONS_TO_CRASH_MAX, random);
            world.set_crash_after(mutations);
            live_until_crash(world);
            format!("{shard_count} shards, power lost at change {mutations} of the disk")
        }
        _ => {
            let writes = often_small(WRITES_TO_CRASH_MAX, random);
            world.set_crash_after_writes(writes);
            live_until_crash(world);
            format!("{shard_count} shards, power lost at write {writes}")
        }
    };
    is_over.set(true);
    world.disk().set_bytes_max(world.options().limits.disk_bytes_max);
    if world.disk().is_mount(SECOND_DISK) {
        world.disk().set_mount_fails(SECOND_DISK, MountFails::Nothing);
        world.disk().mount(SECOND_DISK, world.options().limits.disk_bytes_max);
    }
    let end = match room {
        Some(room) if fills_again => format!("{end}, with room for {room} bytes and then more or less"),
        Some(room) => format!("{end}, with room for {room} bytes"),
        None => end,
    };
    let end = format!("{end}{}", mishap.unwrap_or_default());
    tracing::info!(at = ?Duration::from_nanos(world.now().0), "{end}");
    end
}

/// What happens to the second disk in a life, in words: often nothing; it is not there, it fails, or it fills up.
fn harm_second_disk(world: &MemoryWorld, bug: Bug, is_over: &Rc<Cell<bool>>, random: &mut Random) -> String {
    match random.below(if bug.shows_on_a_failing_disk() { 2 } else { 6 }) {
        0 => {
            world.disk().set_mount_fails(SECOND_DISK, MountFails::Everything);
            ", without its second disk".to_owned()
        }
        1 => {
            let after = Duration::from_micros(often_small(LIFETIME_US_MAX, random));
            let fails = if random.coin() { MountFails::Changes } else { MountFails::Everything };
            let (handle, is_over) = (world.handle(), is_over.clone());
            world.spawn(async move {
                handle.sleep(after).await;
                if !is_over.get() {
                    handle.disk().set_mount_fails(SECOND_DISK, fails);
                }
            });
            format!(", its second disk failing after {after:?}")
        }
        2 => {
            let room = often_small(ROOM_BYTES_MAX, random);
            world.disk().mount(SECOND_DISK, world.disk().used_bytes(SECOND_DISK) + room);
            format!(", with room for {room} bytes on its second disk")
        }
        _ => String::new(),
    }
}

/// Somebody else gives back what they hold of the disk, and takes it again, until the life is over.
async fn fill_again_and_again(world: WorldHandle, is_over: Rc<Cell<bool>>, mut random: Random) {
    let mut is_full = true;
    loop {
        world.sleep(Duration::from_micros(often_small(FILLING_US_MAX, &mut random))).await;
        if is_over.get() {
            return;
        }
        is_full = !is_full;
        let used = world.disk().used_bytes(FIRST_DISK);
        let room = if is_full { often_small(ROOM_BYTES_MAX, &mut random) } else { ROOM_BYTES_MAX * 64 };
        world.disk().set_bytes_max(used + room);
    }
}

/// Lives until the crash that was ordered; until one without order if it does not come.
fn live_until_crash(world: &MemoryWorld) {
    let patience = Duration::from_micros(LIFETIME_US_MAX);
    if world.run_until_or_crash(world.sleep(patience)).is_ok() {
        world.crash();
    }
}

/// A number up to `max`, each power of two as likely as the next: the moments of start-up and of heavy traffic
/// are short.
fn often_small(max: u64, random: &mut Random) -> u64 {
    let bound = random.between(1..=u64::from(max.ilog2()) + 1);
    random.between(1..=(1 << bound).min(max))
}

/// Another block rots that nobody reads any more, and the scrubber has its time to find it; what was reported since the last start.
async fn find_damage(world: &MemoryWorld, rot: &Option<Rot>) -> Vec<String> {
    if let Some(rot) = rot {
        rot.end();
        // A round that found more to read than the one before comes by a little later.
        world.sleep(SCRUB_PERIOD * 5 / 4).await;
    }
    log::take_reports_of_damage()
}

/// Notes damaged blocks that are there and that the scrubber did not report.
fn note_unfound(world: &MemoryWorld, history: &mut History, reports: &[String]) {
    let is_there = |block: &&RottenBlock| world.disk().read(&block.path).is_some();
    let is_found = |block: &RottenBlock| reports.iter().any(|report| block.is_told_by(report));
    let unfound = history.rotten().iter().filter(is_there).filter(|block| !is_found(block));
    for block in unfound.cloned().collect::<Vec<_>>() {
        history.damage_not_found(block);
    }
}

/// Waits until all is written, reads everything, and waits until every fetcher has seen it too and every group is at rest.
async fn finish(world: &MemoryWorld, workload: &Workload, groups: &[Group]) {
    let settled_by = world.now() + GROUPS_SETTLE;
    groups.iter().for_each(Group::calm);
    while !workload.is_done() {
        world.sleep(Duration::from_millis(100)).await;
    }
    if workload.retention_bytes.is_some() {
        world.sleep(RETENTION_SETTLES).await;
    }
    fetcher::read_everything(workload).await;
    workload.note_ends();
    while !workload.is_all_read() {
        world.sleep(Duration::from_millis(100)).await;
    }
    for group in groups {
        while !group.is_settled() && world.now() < settled_by {
            world.sleep(Duration::from_millis(100)).await;
        }
        if !group.is_settled() {
            workload.history.borrow_mut().groups.not_settled(group.number, group.places());
        }
        keeper::read_at_last(group).await;
    }
}
