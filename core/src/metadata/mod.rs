//! What the cluster is: its topics, partitions and brokers, and how that changes.
//!
//! ```text
//!  command ──► decide ──► Decision { records, reply }                    (pure, touches nothing)
//!                                          │ appended to the metadata log
//!                                          ▼
//!              MetadataImage ◄── replay ── MetadataRecord                (the only way anything changes)
//!                    │ one Arc to every shard
//! ```
//!
//! Always true: the image is a function of the records and nothing else; leader, standby and recovery replay the
//! same way. An image never changes: a shard keeps using the one it has until it is given the next.
//!
//! Reading order:
//! - [`record`]: what is written; [`image`]: what the records add up to
//! - [`controller`]: what decides; [`create_partitions`], [`alter_configs`]: parts of it
//! - [`features`]: what clients may rely on
//! - [`placement`]: leaders and replicas, where there is one broker
//! - [`topic_name`]: which names are allowed; [`shared_map`]: how images share what did not change

pub mod alter_configs;
pub mod controller;
pub mod create_partitions;
pub mod features;
pub mod image;
pub mod placement;
pub mod record;
pub mod shared_map;
pub mod topic_name;

pub use alter_configs::{AlterConfigs, ConfigResource};
pub use controller::{
    Command, CommandReply, CreateTopic, CreatedTopic, CreationRules, Decision, DeletedTopic, LastStop,
    Registration, TopicSelector, decide,
};
pub use create_partitions::CreatePartitions;
pub use image::{BrokerImage, MetadataImage, PartitionImage, ReplayFault, TopicImage};
pub use record::{ListenerRecord, MetadataRecord};
