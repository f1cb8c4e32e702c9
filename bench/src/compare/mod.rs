//! `ringlog-bench run`: two brokers on the same machine, measured in turn.
//!
//! ```text
//!   scenario ─► start both ─► warm both up ─► pair 1: ours, theirs ─► pair 2: ours, theirs ─► ... ─► stop both
//!                                                      │
//!                       prepare ─► (cold: restart) ─► this program, as a process of its own ─► result.json, usage.csv
//! ```
//!
//! Always true: a measurement is a command of this program that can be given again by hand; one that did not count is kept
//! and marked void; what was measured so far is on disk, whatever happens next. The broker whose turn it is not stays up and
//! idle.
//!
//! Reading order: [`session`] for the run as a whole, [`turn`] for one measurement, [`launcher`] and [`broker`] for the brokers,
//! [`usage`] for what they use, [`record`] for what is written down, [`host`] for the machine.

pub mod broker;
pub mod host;
pub mod launcher;
pub mod record;
pub mod session;
pub mod turn;
pub mod usage;
