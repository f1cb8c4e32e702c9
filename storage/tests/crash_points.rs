//! A loss of power at every single change of the disk, with many of the outcomes it may legally have.
//!
//! ```text
//!   workload ──► change under way ──► outcomes ──► recover ──► recover: the same files ──► power lost ──► judge
//!                        │               └─ one change in eight: power lost at every change recovery makes ──► judge
//!                        └─ killed ──► started, works on ──► power lost: what the first life had left in the page cache ──► judge
//! ```
//!
//! A point is one disk that was left, started from and judged: every promised batch byte for byte and in order, nothing that
//! was never sent, where logs begin, epochs, producers, deleted logs. `RINGLOG_CRASH_POINTS` says how many points to try,
//! `RINGLOG_SEED` tries those of one workload.

mod support;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ringlog_runtime::memory::{MemoryWorld, Options, PowerLoss, Random, seeds};
use ringlog_storage::recover;
use ringlog_storage::verify::{Finding, Level};
use support::in_map::findings;
use support::planted::Bug;
use support::{DATA_DIR, Model, Setup};

/// How many points are tried without being asked for more, and then only those of one change in so many.
const POINTS: u64 = 1_500;
const CHANGES_BETWEEN: u64 = 16;
/// Outcomes of every change that are drawn, so tried once more beside all of them.
const DRAWN_AGAIN: [PowerLoss; 2] = [PowerLoss::Sectors, PowerLoss::Blocks];

/// Where a run is, told when it fails.
#[derive(Clone, Copy)]
struct Point {
    seed: u64,
    life: u64,
    change: u64,
    loss: PowerLoss,
    /// Whether the process was killed at the change, and the power went in its next life.
    is_killed: bool,
    change_of_recovery: Option<u64>,
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Point { seed, life, change, loss, is_killed, change_of_recovery } = self;
        let killed = if *is_killed { " killed, and later" } else { "" };
        write!(
            formatter,
            "RINGLOG_SEED={seed}, life {life}, change {change} of the disk,{killed} lost: {loss:?}"
        )?;
        match change_of_recovery {
            Some(change) => write!(formatter, ", again at change {change} of the recovery"),
            None => Ok(()),
        }
    }
}

impl Point {
    /// Another stream of chance for each point.
    fn random(&self) -> u64 {
        let inner = self.change_of_recovery.map_or(0, |change| change + 1);
        let killed = u64::from(self.is_killed) << 63;
        killed ^ (self.seed << 40) ^ (self.life << 36) ^ (self.change << 16) ^ (inner << 4) ^ self.loss as u64
    }
}

/// Tells the point if the test fails at it.
struct Told(Point);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed at {}", self.0);
        }
    }
}

/// How many points are to be tried, and were.
struct Count {
    wanted: u64,
    tried: AtomicU64,
    /// Points are tried at one change in so many.
    every: u64,
}

impl Count {
    fn is_reached(&self) -> bool {
        self.tried.load(Ordering::Relaxed) >= self.wanted
    }
}

/// One workload, its sizes drawn from its seed.
struct Workload<'c> {
    seed: u64,
    setup: Setup,
    count: &'c Count,
}

impl Workload<'_> {
    fn new(seed: u64, bug: Bug, count: &Count) -> Workload<'_> {
        let setup = Setup {
            bug,
            leaves_gaps: seed % 4 == 3,
            deletes_records: seed.is_multiple_of(2),
            retires: seed.is_multiple_of(3),
            ..Setup::tiny(2 + (seed % 2) as i32, 1)
        };
        Workload { seed, setup, count }
    }

    /// Two lives with another number of shards each, and points at every change of both: the second one begins with a recovery
    /// that is watched too.
    fn run(mut self) {
        let mut random = Random::from_seed(self.seed);
        let world = MemoryWorld::new(self.seed, Options::quiet());
        for life in 0..2 {
            self.setup.shard_count = 1 + ((self.seed / 2 + life) % 3) as u16;
            let (setup, mut change) = (self.setup.clone(), 0);
            let ended = world.run_watched(live(&setup, &world, &mut random), || {
                if change % self.count.every == 0 && !self.count.is_reached() {
                    let at = Point { seed: self.seed, life, change, ..FIRST };
                    let points = try_change(&setup, &world, at);
                    self.count.tried.fetch_add(points, Ordering::Relaxed);
                }
                change += 1;
            });
            ended.expect("nobody asked for a crash");
            match random.below(3) {
                0 => world.kill(),
                _ => world.crash(),
            }
        }
    }
}

const FIRST: Point = Point {
    seed: 0,
    life: 0,
    change: 0,
    loss: PowerLoss::Sectors,
    is_killed: false,
    change_of_recovery: None,
};

/// Opens, works, makes a topic anew, and closes in order or not at all.
async fn live(setup: &Setup, world: &MemoryWorld, random: &mut Random) {
    let mut session = setup.open(world).await;
    setup.work(&session, random, 12).await;
    setup.wait_until_all_promised(&session).await;
    session.stores[random.index(session.stores.len())].checkpoint().await.expect("written");
    setup.work(&session, random, 4).await;
    setup.make_anew(&mut session, 0).await;
    setup.work(&session, random, 7).await;
    if random.coin() {
        for store in &session.stores {
            store.close().await.expect("closed");
        }
    }
}

/// A world of the point's outcome, and the model as it is now.
fn leave(setup: &Setup, world: &MemoryWorld, point: Point) -> (Setup, MemoryWorld) {
    (next_setup(setup, point), world.after_power_loss(point.random(), point.loss))
}

/// What the next start works with: a model of its own, and perhaps another number of shards.
fn next_setup(setup: &Setup, point: Point) -> Setup {
    let model = Model::new(setup.model.borrow().clone().into());
    Setup { model, shard_count: 1 + (point.random() % 3) as u16, ..setup.clone() }
}

/// All points of one change. How many.
fn try_change(setup: &Setup, world: &MemoryWorld, at: Point) -> u64 {
    let mut points = 0;
    for (index, loss) in PowerLoss::ALL.into_iter().chain(DRAWN_AGAIN).enumerate() {
        // Drawn outcomes come twice, from another stream each.
        let point = Point { loss, change: at.change + ((index as u64) << 12), ..at };
        let _told = Told(point);
        let (setup, left) = leave(setup, world, point);
        let watched = at.change.is_multiple_of(8) && index < 2;
        points += if watched { try_recovery(&setup, &left, point) } else { expect_same_twice(&setup, &left) };
        left.crash();
        left.run_until(async { drop(setup.open(&left).await) });
        points += 1;
    }
    points + try_kill(setup, world, at)
}

/// The points of a process that is killed at a change: the next one reads what the first had not made stable, goes by it and
/// works on. Then the power goes.
fn try_kill(setup: &Setup, world: &MemoryWorld, at: Point) -> u64 {
    let killed = Point { is_killed: true, ..at };
    let _told = Told(killed);
    let (setup, left) = (next_setup(setup, killed), world.after_kill(killed.random()));
    let mut random = Random::from_seed(killed.random());
    left.run_until(async {
        let session = setup.open(&left).await;
        setup.work(&session, &mut random, 3).await;
        setup.wait_until_all_promised(&session).await;
    });
    for loss in PowerLoss::ALL {
        let point = Point { loss, ..killed };
        let _told = Told(point);
        let (setup, left) = leave(&setup, &left, point);
        left.run_until(async {
            let session = setup.open(&left).await;
            assert_eq!(session.recovered.lost_checksums().count(), 0, "a checksum file is gone");
            for store in &session.stores {
                store.close().await.expect("closed");
            }
        });
        expect_nothing_damaged(&left);
    }
    PowerLoss::ALL.len() as u64
}

/// Every file of a closed directory is whole, the helping ones too. (Whose deletion was cut short nobody here brings to its end:
/// a checkpoint may still know it.)
fn expect_nothing_damaged(world: &MemoryWorld) {
    let disk = world.disk();
    let files = disk.files().into_iter().map(|(path, _)| (path.clone(), disk.read(&path).expect("listed")));
    let is_of_a_file = |finding: &Finding| finding.reason != "the directory is gone";
    let damaged = findings(&files.collect()).into_iter().filter(|finding| finding.level == Level::Damage);
    let damaged: Vec<String> = damaged.filter(is_of_a_file).map(|finding| format!("{finding:?}")).collect();
    assert!(damaged.is_empty(), "{damaged:#?}");
}

/// Recovers twice: the second time leaves every log as it is.
fn expect_same_twice(setup: &Setup, world: &MemoryWorld) -> u64 {
    let env = setup.environment(world, 0);
    let data_dir = Path::new(DATA_DIR);
    let recovered = world.run_until(recover(&env, data_dir, &setup.config)).expect("recovers");
    assert_eq!(recovered.damaged().count(), 0, "what the power took is not damage");
    let before = logs_on(world);
    let again = world.run_until(recover(&env, data_dir, &setup.config)).expect("recovers");
    assert_eq!(again.repairs().count(), 0, "nothing to repair after a recovery");
    assert!(before == logs_on(world), "a second recovery changed a log");
    0
}

/// The files of all logs.
fn logs_on(world: &MemoryWorld) -> Vec<(String, Vec<u8>)> {
    let disk = world.disk();
    let of_logs = disk.files().into_iter().filter(|(path, _)| path.contains("/topic-"));
    of_logs.map(|(path, _)| (path.clone(), disk.read(&path).expect("listed"))).collect()
}

/// The points within a recovery.
fn try_recovery(setup: &Setup, world: &MemoryWorld, point: Point) -> u64 {
    let env = setup.environment(world, 0);
    let (mut points, mut random) = (0, Random::from_seed(point.random()));
    let recovery = recover(&env, Path::new(DATA_DIR), &setup.config);
    let ended = world.run_watched(recovery, || {
        let loss = PowerLoss::ALL[random.index(PowerLoss::ALL.len())];
        let point = Point { loss, change_of_recovery: Some(points), ..point };
        let _told = Told(point);
        let (setup, left) = leave(setup, world, point);
        left.run_until(async { drop(setup.open(&left).await) });
        points += 1;
    });
    ended.expect("nobody asked for a crash").expect("recovers");
    points
}

/// How many points to try, at one change in how many: what the environment says, or few.
fn count() -> Count {
    let (wanted, every) = match std::env::var("RINGLOG_CRASH_POINTS") {
        Ok(text) => (text.parse().unwrap_or_else(|_| panic!("RINGLOG_CRASH_POINTS={text} is no number")), 1),
        Err(_) => (POINTS, CHANGES_BETWEEN),
    };
    Count { wanted, every, tried: AtomicU64::new(0) }
}

#[test]
fn what_was_promised_survives_a_loss_of_power_at_every_change_of_the_disk() {
    let (asked, count) = (seeds(u64::MAX), count());
    let next = AtomicU64::new(asked.start);
    let work = || {
        while !count.is_reached() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !asked.contains(&seed) {
                return;
            }
            Workload::new(seed, Bug::None, &count).run();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let workloads = next.into_inner().min(asked.end) - asked.start;
    let tried = count.tried.into_inner();
    println!("{tried} crash points of {workloads} workloads");
    assert!(tried >= count.wanted.min(100 * workloads), "only {tried} points");
}
