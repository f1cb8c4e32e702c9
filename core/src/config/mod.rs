//! What can be configured, what was configured, and what that means for a broker and each topic.
//!
//! ```text
//!  server.properties ─ properties ─► entries with line numbers ─┐
//!  flags ───────────────────────────────────────────────────────┴─► BrokerConfig ─► defaults of topics
//!                                                                        │                │
//!  overrides of a topic ─────────────────────────────────────────────────┴──► TopicConfig ◄
//!                                    keys: one table says name, type, range, default and meaning of each
//! ```
//!
//! Always true: whatever is read, checked, described to clients or printed in `docs/configuration.md` comes from
//! the table in [`keys`]; a value that got into a [`BrokerConfig`] or [`TopicConfig`] has passed its key's check.
//!
//! Reading order:
//! - [`keys`]: the table; [`kind`]: types and ranges of values
//! - [`properties`]: the syntax of Java properties files
//! - [`broker`], [`topic`]: typed values; [`describe`]: rows for DescribeConfigs; [`alter`]: what changes make of them

pub mod alter;
pub mod broker;
pub mod describe;
pub mod keys;
pub mod kind;
pub mod properties;
pub mod topic;

#[cfg(test)]
mod documentation;

pub use alter::{ConfigChange, ConfigOperation};
pub use broker::{BrokerConfig, ConfigError, ConfigNote, ListenerConfig};
pub use describe::{ConfigRow, ConfigSource};
pub use keys::{ConfigKey, Effect, Scope};
pub use kind::{Check, ConfigKind};
pub use topic::{CleanupPolicy, CompressionType, Durability, TimestampType, TopicConfig};
