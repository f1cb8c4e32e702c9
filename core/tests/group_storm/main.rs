//! Storms over a coordinator, by seed: hundreds of members join, leave, die, are silent, start again and
//! commit, answers get lost, time jumps, and the coordinator is lost and rebuilt from as much of its log as
//! was committed.
//!
//! ```text
//!   clients ──► coordinator ──► log ──► committed up to somewhere      a crash keeps at least that much
//!      ▲             │ answers: at once, or once the log is committed so far
//!      └─────────────┘
//! ```
//!
//! Always true, and checked: every request is answered once and in bearable time; an assignment of a
//! generation is the same for all who hear of it, and no partition has two owners in it; generations only
//! grow; a commit that was acknowledged is there until it may go; what a coordinator rebuilt from the log
//! says is what the living one says; bounds hold. Left in peace, every group comes to rest with all its
//! members; left alone, it becomes empty.
//!
//! `RINGLOG_GROUP_SEEDS` says how many seeds, `RINGLOG_GROUP_SEED` runs one.

mod broker;
mod clients;
mod storm;

use storm::Storm;

const SEEDS: u64 = 250;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn groups_survive_storms() {
    if let Some(seed) = number("RINGLOG_GROUP_SEED") {
        Storm::new(seed).run();
        return;
    }
    let mut seen = storm::Seen::default();
    for seed in 0..number("RINGLOG_GROUP_SEEDS").unwrap_or(SEEDS) {
        let outcome = std::panic::catch_unwind(|| Storm::new(seed).run());
        match outcome {
            Ok(storm) => seen.add(&storm),
            Err(_) => panic!("seed {seed} fails: RINGLOG_GROUP_SEED={seed} runs it alone"),
        }
    }
    println!("{seen:?}");
    seen.assert_all_happened();
}
