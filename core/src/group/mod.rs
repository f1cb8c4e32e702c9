//! Consumer groups by the classic protocol, and the offsets they commit: the coordinator as a pure machine.
//!
//! ```text
//!   Request, Moment ──► handle ──► Decision { records, replies }
//!                         │            │ appended to __consumer_offsets, committed, then the replies leave
//!                         ▼ replay     ▼
//!                     GroupCoordinator ◄── replay ── GroupRecord     (after a start)
//! ```
//!
//! Always true: what a record carries is changed by `replay` only; a coordinator rebuilt from its records has the
//! same generations and offsets. One coordinator stands for one partition of `__consumer_offsets`.
//!
//! Reading order:
//! - [`message`]: what is asked and answered; [`decision`]: what comes of it
//! - [`record`]: what is written; [`record_bytes`]: as which bytes; [`settings`]: what an operator may say
//! - [`coordinator`]: the groups of one partition; `dispatch`: which group a request goes to;
//!   [`partition_hash`]: which partition a group belongs to
//! - `classic_group`: one group; `roster`, `member` and `ballot`: who is in it and which assignor they agree on
//! - `join`, `rebalance`, `sync`, `session`: how a generation comes about and ends
//! - `commit`, `offsets`, `expiry`, `subscription`: how far groups have read; `queries`: what tools ask
//! - `turn`: one decision while it is made; `deadlines`: what is waited for; `weight` and
//!   `bounds`: what is counted, and what is said when it is too much

mod ballot;
mod bounds;
mod classic_group;
mod commit;
pub mod coordinator;
mod deadlines;
pub mod decision;
mod dispatch;
mod expiry;
mod join;
mod member;
pub mod message;
mod offsets;
pub mod partition_hash;
mod queries;
mod rebalance;
pub mod record;
pub mod record_bytes;
mod roster;
mod session;
pub mod settings;
mod subscription;
mod sync;
mod turn;
mod weight;

pub use coordinator::GroupCoordinator;
pub use partition_hash::partition_of_group;
pub use weight::Weight;
