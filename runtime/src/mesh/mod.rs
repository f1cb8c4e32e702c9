//! The mesh: how shards of one process send each other messages.
//!
//! ```text
//!              to shard 0   to shard 1   to shard 2
//!   shard 0      ring         ring         ring         one bounded single-producer single-consumer ring
//!   shard 1      ring         ring         ring         per ordered pair, the own shard included
//!   shard 2      ring         ring         ring
//! ```
//!
//! Reading order:
//! - [`ring`](mod@ring): the queue of one pair
//! - [`doorplate`]: the sign by which a sleeping shard is known
//! - [`mailbox`]: a shard's end of all its rings

pub mod doorplate;
pub mod mailbox;
pub mod ring;

pub use doorplate::Doorplate;
pub use mailbox::{Bell, Inbox, MailboxEnds, MeshMailbox, mesh};
pub use ring::{Consumer, Producer, ring};
