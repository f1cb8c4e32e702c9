//! The simulator itself, tried on the smallest server: it finds nothing where nothing is wrong, finds each
//! planted mistake, and does the same thing for the same seed.

mod reference;

use reference::{Flaw, Reference};
use ringlog_simulator::campaign::run_seeds;
use ringlog_simulator::planted::Bug;
use ringlog_simulator::run::run;

#[test]
fn a_sound_program_breaks_no_promise() {
    let summary = run_seeds(&Reference(Flaw::None), 0..100, Bug::None, 1);
    assert!(summary.failures.is_empty() && summary.acknowledged_records > 10_000, "{summary}");
    assert!(summary.final_records >= summary.acknowledged_records, "{summary}");
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
    !run_seeds(&Reference(flaw), 0..seeds, bug, 1).failures.is_empty()
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
