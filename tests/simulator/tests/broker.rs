//! The broker in the simulator: whatever crashes, tears, delays or fails, what it acknowledged is there.

use std::process::Command;

use ringlog_runtime::memory::seeds;
use ringlog_simulator::broker::Broker;
use ringlog_simulator::campaign::run_seeds;
use ringlog_simulator::planted::Bug;
use ringlog_simulator::run::run;

/// How many seeds run without being asked for more.
const SEEDS: u64 = 100;
/// How many seeds look for a mistake before what they found is looked at.
const SEEDS_AT_ONCE: usize = 50;

#[test]
fn the_broker_keeps_its_promises() {
    let summary = run_seeds(&Broker::tiny(), seeds(SEEDS), Bug::None, 10);
    println!("{summary}");
    assert!(summary.failures.is_empty(), "{summary}");
    let is_much = |count: usize, per_hundred: u64| count as u64 * 100 > per_hundred * summary.seeds;
    let is_busy = is_much(summary.acknowledged_records, 10_000) && is_much(summary.topics_deleted, 50);
    let is_busy = is_busy && is_much(summary.retired_records, 1_000);
    let is_busy = is_busy && is_much(summary.deletions_granted, 100) && is_much(summary.config_changes, 100);
    let is_busy = is_busy && is_much(summary.assignments, 200) && is_much(summary.commits_granted, 200);
    let is_busy = is_busy && is_much(summary.blocks_rotted, 30);
    let is_busy = is_busy || summary.seeds < 100;
    assert!(
        is_busy && summary.final_records + summary.retired_records >= summary.acknowledged_records,
        "{summary}"
    );
}

/// Prints what another process compares.
#[test]
fn some_seeds_leave_their_traces_to_compare() {
    println!("\n{}", traces());
}

fn traces() -> String {
    let broker = Broker::tiny();
    let traces =
        (0..8).map(|seed| format!("seed {seed} left {:016x}", run(&broker, seed, Bug::None).trace_hash));
    traces.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_same_seed_does_the_same_in_another_process() {
    // Addresses, hash keys and threads differ from process to process: no run may depend on them.
    let other = Command::new(std::env::current_exe().expect("this test is a file"))
        .args(["--exact", "some_seeds_leave_their_traces_to_compare", "--nocapture", "--test-threads=1"])
        .output()
        .expect("it runs again");
    let printed = String::from_utf8(other.stdout).expect("text");
    assert!(printed.contains(&traces()), "here:\n{}\nthere:\n{printed}", traces());
}

/// Looks for a seed in which a mistake shows: as a broken promise, or to the broker's own assertions.
#[track_caller]
fn expect_found(bug: Bug, seeds: u64) {
    let summary = run_seeds(&Broker::tiny(), 0..seeds, bug, 1);
    println!("{bug:?} is found by {:?}", summary.failures.keys());
    assert!(!summary.failures.is_empty(), "{bug:?} is not found by {seeds} seeds");
}

/// As [`expect_found`], as a violation of this very rule. That can take hundreds of seeds, so a debug build is content
/// with any sign of the mistake.
#[track_caller]
fn expect_found_as(rule: &str, bug: Bug, seeds: u64) {
    if cfg!(debug_assertions) {
        return expect_found(bug, seeds);
    }
    for first in (0..seeds).step_by(SEEDS_AT_ONCE) {
        let some = first..first + SEEDS_AT_ONCE as u64;
        let summary = run_seeds(&Broker::tiny(), some, bug, SEEDS_AT_ONCE);
        let found = summary.failures.iter().find(|(_, message)| message.contains(rule));
        if let Some((seed, _)) = found {
            return println!("{bug:?} is found by {seed} as {rule}");
        }
    }
    panic!("{bug:?} is not found as {rule} by {seeds} seeds");
}

#[test]
fn a_broker_that_acknowledges_before_the_sync_is_found() {
    expect_found(Bug::AcknowledgeBeforeSync, 50);
}

#[test]
fn a_broker_that_forgets_to_sync_files_is_found() {
    expect_found(Bug::ForgetFileSync, 200);
}

#[test]
fn a_broker_that_forgets_to_sync_directories_is_found() {
    expect_found(Bug::ForgetDirectorySync, 200);
}

#[test]
fn a_broker_that_loses_some_directory_syncs_is_found() {
    expect_found(Bug::LoseDirectorySyncs, 200);
}

#[test]
fn a_broker_that_believes_torn_commits_is_found() {
    expect_found(Bug::BelieveTornCommits, 1_000);
}

#[test]
fn a_broker_that_forgets_producers_is_found() {
    expect_found(Bug::ForgetProducers, 200);
}

#[test]
fn a_broker_that_swaps_requests_of_one_connection_is_found() {
    expect_found(Bug::SwapRequests, 200);
}

#[test]
fn a_broker_that_forgets_deletions_of_records_is_found() {
    expect_found_as("StartWentBack", Bug::ForgetDeletions, 2_000);
}

#[test]
fn a_broker_that_forgets_changes_of_configurations_is_found() {
    expect_found_as("ConfigLost", Bug::ForgetConfigChanges, 1_000);
}

#[test]
fn a_broker_that_grants_changes_of_configurations_and_makes_none_is_found() {
    expect_found_as("ConfigLost", Bug::GrantConfigsInVain, 100);
}

#[test]
fn a_broker_that_forgets_commits_of_offsets_is_found() {
    expect_found_as("Commit", Bug::ForgetGroups, 2_000);
}

#[test]
fn a_broker_that_forgets_generations_is_found() {
    expect_found_as("GenerationWentBack", Bug::ForgetGroups, 2_000);
}

#[test]
fn a_broker_that_answers_reads_of_a_failed_disk_as_empty_is_found() {
    expect_found_as("EndBelowAcknowledged", Bug::AnswerFailedAsEmpty, 500);
}

#[test]
fn a_broker_that_gives_one_partition_to_two_members_is_found() {
    expect_found_as("DoubleOwner", Bug::GiveToTwo, 100);
}

#[test]
fn a_broker_that_deletes_a_record_more_than_it_was_asked_to_is_found() {
    expect_found_as("DeletedTooMuch", Bug::DeleteOneMore, 200);
}

#[test]
fn a_broker_that_tells_how_large_a_batch_may_be_and_takes_larger_ones_is_found() {
    expect_found_as("ConfigNotFollowed", Bug::IgnoreBatchSizes, 200);
}

#[test]
fn a_broker_whose_scrubber_passes_over_segments_is_found() {
    expect_found_as("DamageNotFound", Bug::ScrubHalf, 100);
}

#[test]
fn a_broker_that_compares_no_block_with_its_checksum_is_found() {
    expect_found_as("DamageServed", Bug::IgnoreChecksums, 4_000);
}
