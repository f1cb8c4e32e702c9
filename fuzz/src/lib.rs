//! What hostile bytes can do: bounded, seeded fuzzing on the stable toolchain.
//!
//! ```text
//!   golden bytes ──► corpus ──pick, mutate──► target ──► a panic, a broken promise, too much memory? reported
//!                      ▲                        │
//!                      └──── what was accepted ─┘        (bounded; so mutations build on mutations)
//! ```
//!
//! ```sh
//! cargo test --release -p ringlog-fuzz                                    # a bounded run, the same every time
//! RINGLOG_FUZZ_ITERATIONS=5000000 RINGLOG_FUZZ_SEED=7 cargo test --release -p ringlog-fuzz
//! ```
//!
//! Always true: the same seed and number of iterations try the same inputs; a failure prints the input.
//!
//! Reading order:
//! - [`mutator`]: how inputs are changed
//! - [`campaign`]: the loop, its bounds and its report
//! - [`allocation`]: how much memory a target asked for
//!
//! The targets are the tests of this crate.

pub mod allocation;
pub mod campaign;
pub mod mutator;
