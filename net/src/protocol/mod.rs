//! Kafka's messages: each written down once, read and written in every version.
//!
//! Reading order:
//! - [`notation`]: how a message is written down; then any API's module, say [`produce`]
//! - [`message`]: what all messages have in common
//! - [`api_key`]: the APIs by number, and their messages as one type
//! - [`header`], [`framing`]: what stands around a message on the wire

#[macro_use]
mod notation;

pub mod api_key;
pub mod framing;
pub mod header;
pub mod message;

pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod api_versions;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_topic_partitions;
pub mod elect_leaders;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod sasl_authenticate;
pub mod sasl_handshake;
pub mod sync_group;

pub use api_key::{AnyRequest, AnyResponse, ApiKey};
pub use framing::{
    ResponseFrame, decode_response, encode_body, encode_request_frame, encode_response, encode_response_frame,
};
pub use header::{RequestHeader, decode_request_header};
pub use message::{Message, MessageKind, VersionRange};

pub use crate::wire::decoder::{DecodeError, DecodeFault, Decoder};
pub use crate::wire::encoder::{Counter, Writer};
pub use crate::wire::field::{Records, Uuid};

/// What the notation expands to stands on these.
mod prelude {
    pub(crate) use super::api_key::ApiKey;
    pub(crate) use super::message::{Message, MessageKind, VersionRange, message_shape, write_tagged};
    pub(crate) use crate::wire::decoder::{DecodeError, DecodeFault, Decoder};
    pub(crate) use crate::wire::encoder::{Counter, Sink, Writer};
    pub(crate) use crate::wire::field::{Nullable, Records, Shape, Uuid, Wire};
}
