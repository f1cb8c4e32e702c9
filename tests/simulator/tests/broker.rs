//! The broker in the simulator: whatever crashes, tears, delays or fails, what it acknowledged is there.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ringlog_simulator::broker::Broker;
use ringlog_simulator::planted::Bug;
use ringlog_simulator::run::{run, seeds};

/// How many seeds run without being asked for more.
const SEEDS: u64 = 1_000;

#[test]
fn the_broker_keeps_its_promises() {
    let broker = Broker::tiny();
    let (mut acknowledged, mut found) = (0, 0);
    let seeds = seeds(SEEDS);
    for seed in seeds.clone() {
        let report = run(&broker, seed, Bug::None);
        assert!(report.violations.is_empty(), "{report}");
        acknowledged += report.acknowledged_records;
        found += report.final_records;
    }
    let is_busy = seeds.end - seeds.start < 100 || acknowledged > 10_000;
    assert!(is_busy && found >= acknowledged, "{acknowledged} acknowledged, {found} found");
}

#[test]
fn the_same_seed_gives_the_same_run_of_the_broker() {
    let broker = Broker::tiny();
    for seed in 0..10 {
        let (first, second) = (run(&broker, seed, Bug::None), run(&broker, seed, Bug::None));
        assert_eq!(format!("{first:?}"), format!("{second:?}"));
    }
}

/// Looks for a seed in which a mistake shows: as a broken promise, or to the broker's own assertions.
fn is_found_within(seeds: u64, bug: Bug) -> bool {
    let broker = Broker::tiny();
    (0..seeds).any(|seed| {
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&broker, seed, bug)));
        !outcome.is_ok_and(|report| report.violations.is_empty())
    })
}

#[test]
fn a_broker_that_acknowledges_before_the_sync_is_found() {
    assert!(is_found_within(50, Bug::AcknowledgeBeforeSync));
}

#[test]
fn a_broker_that_forgets_to_sync_files_is_found() {
    assert!(is_found_within(200, Bug::ForgetFileSync));
}

#[test]
fn a_broker_that_forgets_to_sync_directories_is_found() {
    assert!(is_found_within(200, Bug::ForgetDirectorySync));
}
