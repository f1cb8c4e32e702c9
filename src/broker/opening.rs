//! What shard 0 hands to every shard once the data directory is recovered.

use std::sync::Arc;

use ringlog_core::metadata::MetadataImage;
use ringlog_storage::Recovered;

/// The state a broker starts from. One per broker, shared by all shards.
pub struct Opening {
    /// What lies in the partition directories.
    pub recovered: Arc<Recovered>,
    /// The topics there are.
    pub image: Arc<MetadataImage>,
}
