//! Any history of a store leaves what a model of it says: a row of batches per partition.
//!
//! ```text
//!   history ─► life: open, compare ─► step ─► step ─► ... ─► ended in order | killed | power lost | power lost within a step
//!              life: open, compare ─► ...                                    with another number of shards each
//! ```
//!
//! A history that fails is shrunk: fewer lives, fewer steps, smaller batches. What is left becomes a test with a name.
//! `PROPTEST_CASES` says how many histories to try.

mod support;

use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use ringlog_core::ids::Offset;
use ringlog_core::record_batch::BatchHeader;
use ringlog_core::time::Timestamp;
use ringlog_runtime::environment::Environment;
use ringlog_runtime::memory::{MemoryWorld, Options, PowerLoss, Random};
use support::planted::Bug;
use support::{Session, Setup};

const PARTITIONS: i32 = 3;

/// One thing done to a store. Places are parts of 65,536 of what a log holds at that moment.
#[derive(Clone, Debug)]
enum Step {
    Append {
        partition: i32,
        gap: i64,
        records: i64,
        value_bytes: usize,
    },
    Roll {
        partition: i32,
    },
    Read {
        partition: i32,
        place: u16,
        bytes_max: usize,
    },
    ReadByTime {
        partition: i32,
        place: u16,
    },
    DeleteRecords {
        partition: i32,
        place: u16,
    },
    /// Gives up segments by a limit drawn from this number.
    Retire {
        partition: i32,
        limit: u64,
    },
    MakeAnew {
        partition: i32,
    },
    WaitUntilPromised {
        partition: i32,
    },
    Checkpoint,
    LetTimePass {
        ms: u64,
    },
}

/// How a life ends.
#[derive(Clone, Debug)]
enum End {
    InOrder,
    Killed,
    PowerLost(PowerLoss),
    /// At this change of the disk, if it comes to it.
    PowerLostAt(u64),
}

#[derive(Clone, Debug)]
struct Life {
    shard_count: u16,
    steps: Vec<Step>,
    end: End,
}

fn steps() -> impl Strategy<Value = Step> {
    let partition = 0..PARTITIONS;
    let gap = prop_oneof![9 => Just(0), 1 => 1..9_i64];
    let value_bytes = prop_oneof![6 => 0..900_usize, 1 => 6_000..14_000_usize];
    prop_oneof![
        12 => (partition.clone(), gap, 1..5_i64, value_bytes).prop_map(|(partition, gap, records, value_bytes)| {
            Step::Append { partition, gap, records, value_bytes }
        }),
        1 => partition.clone().prop_map(|partition| Step::Roll { partition }),
        3 => (partition.clone(), any::<u16>(), 1..30_000_usize).prop_map(|(partition, place, bytes_max)| {
            Step::Read { partition, place, bytes_max }
        }),
        2 => (partition.clone(), any::<u16>()).prop_map(|(partition, place)| Step::ReadByTime { partition, place }),
        1 => (partition.clone(), any::<u16>()).prop_map(|(partition, place)| Step::DeleteRecords { partition, place }),
        1 => (partition.clone(), any::<u64>()).prop_map(|(partition, limit)| Step::Retire { partition, limit }),
        1 => partition.clone().prop_map(|partition| Step::MakeAnew { partition }),
        2 => partition.prop_map(|partition| Step::WaitUntilPromised { partition }),
        1 => Just(Step::Checkpoint),
        1 => (1..100_u64).prop_map(|ms| Step::LetTimePass { ms }),
    ]
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::InOrder),
        Just(End::Killed),
        proptest::sample::select(PowerLoss::ALL.to_vec()).prop_map(End::PowerLost),
        (1..200_u64).prop_map(End::PowerLostAt),
    ]
}

fn histories() -> impl Strategy<Value = Vec<Life>> {
    let life = (1..4_u16, prop::collection::vec(steps(), 0..40), ends());
    let life = life.prop_map(|(shard_count, steps, end)| Life { shard_count, steps, end });
    prop::collection::vec(life, 1..5)
}

/// Lives through a history; panics where the store is not what the model says.
fn live_through(history: &[Life], bug: Bug) {
    let mut world = MemoryWorld::new(1, Options::quiet());
    let mut setup = Setup { bug, leaves_gaps: true, ..Setup::tiny(PARTITIONS, 1) };
    for (number, life) in history.iter().enumerate() {
        setup.shard_count = life.shard_count;
        if let End::PowerLostAt(change) = life.end {
            world.set_crash_after(change);
        }
        let ran = world.run_until_or_crash(async {
            let mut session = setup.open(&world).await;
            for (salt, step) in life.steps.iter().enumerate() {
                take(&setup, &mut session, step, salt as u64).await;
            }
            if matches!(life.end, End::InOrder) {
                for store in &session.stores {
                    store.close().await.expect("closed");
                }
            }
        });
        match life.end {
            _ if ran.is_err() => {}
            End::InOrder | End::Killed => world.kill(),
            // Of another seed each time: no two lives draw the same.
            End::PowerLost(loss) => world = world.after_power_loss(2 + number as u64, loss),
            End::PowerLostAt(_) => world.crash(),
        }
    }
    world.run_until(async { drop(setup.open(&world).await) });
}

async fn take(setup: &Setup, session: &mut Session, step: &Step, salt: u64) {
    match *step {
        Step::Append { partition, gap, records, value_bytes } => {
            setup.append_after_gap(session, partition, gap, records, value_bytes, salt).await;
        }
        Step::Roll { partition } => session.logs[&partition].roll(),
        Step::Read { partition, place, bytes_max } => {
            let log = &session.logs[&partition];
            let from = place_of(place, log.log_start_offset(), log.log_end_offset());
            setup.read_at(log, partition, from, bytes_max).await;
        }
        Step::ReadByTime { partition, place } => read_by_time(setup, session, partition, place).await,
        Step::DeleteRecords { partition, place } => {
            let log = &session.logs[&partition];
            let to =
                place_of(place, log.log_start_offset(), log.durable_end_offset().max(log.log_start_offset()));
            setup.delete_to(session, partition, to).await;
        }
        Step::Retire { partition, limit } => {
            setup.retire_somewhere(session, partition, &mut Random::from_seed(limit)).await;
        }
        Step::MakeAnew { partition } => setup.make_anew(session, partition).await,
        Step::WaitUntilPromised { partition } => setup.wait_until_promised(session, partition).await,
        Step::Checkpoint => {
            for store in &session.stores {
                store.checkpoint().await.expect("written");
            }
        }
        Step::LetTimePass { ms } => {
            let until = session.env.now() + std::time::Duration::from_millis(ms);
            session.env.sleep_until(until).await;
        }
    }
}

/// The offset at a part of a range, its end included.
fn place_of(place: u16, start: Offset, end: Offset) -> i64 {
    start.0 + (((end.0 - start.0 + 1) as u64 * u64::from(place)) >> 16) as i64
}

/// Looks for the first record that is not older than some time; a record's time is 1,000 and its offset.
async fn read_by_time(setup: &Setup, session: &Session, partition: i32, place: u16) {
    let log = &session.logs[&partition];
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    let timestamp = Timestamp(1_000 + place_of(place, Offset(0), end));
    let found = log.offset_for_timestamp(timestamp, end).await.expect("readable");
    let expected = {
        let model = setup.model.borrow();
        let headers = model.get(&partition).map_or(&[][..], |log| &log.batches).iter();
        let headers = headers.map(|batch| BatchHeader::parse(&batch.bytes).expect("a batch of the model"));
        let offsets = headers.flat_map(|header| header.base_offset().0..header.next_offset().0);
        let mut offsets = offsets.filter(|offset| *offset >= start.0 && 1_000 + offset >= timestamp.0);
        offsets.next()
    };
    assert_eq!(found.map(|found| found.offset.0), expected, "partition {partition} from {timestamp:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_leaves_what_the_model_says(history in histories()) {
        live_through(&history, Bug::None);
    }
}

/// Few in a debug build, unless the environment says how many.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").is_ok();
    if asked || !cfg!(debug_assertions) { ProptestConfig::default().cases } else { 64 }
}

/// The smallest history that shows a planted mistake.
fn smallest_that_shows(bug: Bug) -> Vec<Life> {
    let config = ProptestConfig {
        cases: 1_000,
        max_shrink_iters: 50_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRunner::deterministic().new_rng());
    let outcome = runner.run(&histories(), |history| {
        live_through(&history, bug);
        Ok(())
    });
    match outcome {
        Err(TestError::Fail(_, history)) => history,
        other => panic!("{bug:?} is not found: {other:?}"),
    }
}

#[test]
fn a_history_that_fails_is_shrunk_to_what_matters() {
    let history = smallest_that_shows(Bug::AcknowledgeBeforeSync);
    let steps: usize = history.iter().map(|life| life.steps.len()).sum();
    assert!(history.len() <= 3 && steps <= 20, "{steps} steps are left: {history:#?}");
}
