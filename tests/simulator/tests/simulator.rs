//! The simulator itself, tried on the smallest server: it finds nothing where nothing is wrong, finds each
//! planted mistake, and does the same thing for the same seed.

mod reference;

use std::panic::{AssertUnwindSafe, catch_unwind};

use reference::{Flaw, Reference};
use ringlog_simulator::planted::Bug;
use ringlog_simulator::run::{run, seeds};

#[test]
fn a_sound_program_breaks_no_promise() {
    let (mut acknowledged, mut found) = (0, 0);
    let seeds = seeds(100);
    for seed in seeds.clone() {
        let report = run(&Reference(Flaw::None), seed, Bug::None);
        assert!(report.violations.is_empty(), "{report}");
        acknowledged += report.acknowledged_records;
        found += report.final_records;
    }
    let is_busy = seeds.end - seeds.start < 100 || acknowledged > 10_000;
    assert!(is_busy && found >= acknowledged, "{acknowledged} acknowledged, {found} found");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..10 {
        let first = run(&Reference(Flaw::None), seed, Bug::None);
        let second = run(&Reference(Flaw::None), seed, Bug::None);
        assert_eq!(format!("{first:?}"), format!("{second:?}"));
    }
}

/// Looks for a seed in which a mistake shows: as a broken promise, or to the simulator's own assertions.
fn is_found_within(seeds: u64, flaw: Flaw, bug: Bug) -> bool {
    (0..seeds).any(|seed| {
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&Reference(flaw), seed, bug)));
        !outcome.is_ok_and(|report| report.violations.is_empty())
    })
}

#[test]
fn acknowledging_before_the_sync_is_found() {
    assert!(is_found_within(20, Flaw::None, Bug::AcknowledgeBeforeSync));
}

#[test]
fn forgetting_to_sync_directories_is_found() {
    assert!(is_found_within(20, Flaw::None, Bug::ForgetDirectorySync));
}

#[test]
fn believing_torn_tails_is_found() {
    assert!(is_found_within(500, Flaw::BelievesTornTails, Bug::None));
}

#[test]
fn appending_a_retried_batch_again_is_found() {
    assert!(is_found_within(20, Flaw::ForgetsSequences, Bug::None));
}

#[test]
fn showing_what_is_not_stable_is_found() {
    assert!(is_found_within(500, Flaw::ShowsUnstable, Bug::None));
}
