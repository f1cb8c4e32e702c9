//! One file per API: from a decoded request to a response.
//!
//! ```text
//!   header ──► served? ──► handler ──► response frame
//!                 └─ no: the connection closes, except for ApiVersions, which tells what is served (KIP-511)
//! ```
//!
//! [`SERVED`] is what ApiVersions advertises and what is accepted: nothing else, and nothing unfinished.

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
pub mod operations;
pub mod produce;
pub mod sync_group;

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringlog_core::ids::{ShardIndex, TopicId};
use ringlog_net::connection::{Outcome, Reply};
use ringlog_net::protocol::{ApiKey, DecodeError, Message, RequestHeader, Uuid, encode_response};
use ringlog_runtime::buffer::Slice;
use ringlog_runtime::environment::Environment;

use crate::broker::metrics::requests::Progress;
use crate::broker::shard::Shard;

/// An API served, with its first and last version as advertised.
pub struct Served {
    /// Which.
    pub api_key: ApiKey,
    /// First version advertised.
    pub version_min: i16,
    /// Last version advertised and accepted.
    pub version_max: i16,
}

const fn served(api_key: ApiKey, version_min: i16, version_max: i16) -> Served {
    Served { api_key, version_min, version_max }
}

/// Everything this broker serves, by API key.
pub const SERVED: &[Served] = &[
    // Advertised from 0 and refused below 3: librdkafka compresses only if it sees version 0 (KAFKA-18659).
    served(ApiKey::Produce, 0, 13),
    // 18 is for followers.
    served(ApiKey::Fetch, 4, 17),
    served(ApiKey::ListOffsets, 1, 11),
    served(ApiKey::Metadata, 0, 13),
    served(ApiKey::OffsetCommit, 2, 10),
    served(ApiKey::OffsetFetch, 1, 10),
    served(ApiKey::FindCoordinator, 0, 6),
    served(ApiKey::JoinGroup, 0, 9),
    served(ApiKey::Heartbeat, 0, 4),
    served(ApiKey::LeaveGroup, 0, 5),
    served(ApiKey::SyncGroup, 0, 5),
    served(ApiKey::DescribeGroups, 0, 6),
    served(ApiKey::ListGroups, 0, 5),
    served(ApiKey::ApiVersions, 0, 4),
    served(ApiKey::CreateTopics, 2, 7),
    served(ApiKey::DeleteTopics, 1, 6),
    served(ApiKey::DeleteRecords, 0, 2),
    served(ApiKey::InitProducerId, 0, 5),
    served(ApiKey::OffsetForLeaderEpoch, 2, 4),
    served(ApiKey::DescribeConfigs, 1, 4),
    served(ApiKey::AlterConfigs, 0, 2),
    served(ApiKey::DescribeLogDirs, 1, 5),
    served(ApiKey::CreatePartitions, 0, 3),
    served(ApiKey::DeleteGroups, 0, 2),
    served(ApiKey::ElectLeaders, 0, 2),
    served(ApiKey::IncrementalAlterConfigs, 0, 1),
    served(ApiKey::AlterPartitionReassignments, 0, 1),
    served(ApiKey::ListPartitionReassignments, 0, 0),
    served(ApiKey::OffsetDelete, 0, 0),
    served(ApiKey::DescribeCluster, 0, 2),
    served(ApiKey::ListConfigResources, 0, 1),
    served(ApiKey::DescribeTopicPartitions, 0, 0),
];

/// The first Produce version whose record batches are accepted.
const PRODUCE_VERSION_MIN: i16 = 3;

/// "Authorized operations were not asked for" (KIP-430).
pub const AUTHORIZED_OPERATIONS_NOT_ASKED: i32 = i32::MIN;

/// How long to wait for I/O memory before asking again.
const MEMORY_RETRY: Duration = Duration::from_millis(5);

/// A request, its body not yet decoded.
pub struct Request {
    /// Which API.
    pub api_key: ApiKey,
    /// In which version.
    pub version: i16,
    /// To be repeated in the response.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<Box<str>>,
    /// The bytes behind the header.
    pub body: Slice,
    /// Who sent it.
    pub peer: SocketAddr,
    /// By which of the broker's listeners it came.
    pub listener: usize,
    /// By which a handler says what it waits for.
    pub progress: Progress,
}

impl Request {
    /// A request as it came from `peer`.
    pub fn new(
        api_key: ApiKey,
        header: &RequestHeader<'_>,
        body: Slice,
        peer: SocketAddr,
        listener: usize,
        progress: Progress,
    ) -> Request {
        Request {
            api_key,
            version: header.api_version,
            correlation_id: header.correlation_id,
            client_id: header.client_id.map(Box::from),
            body,
            peer,
            listener,
            progress,
        }
    }

    /// Where the client is, as Java prints an address.
    pub fn client_host(&self) -> Arc<str> {
        format!("/{}", self.peer.ip()).into()
    }

    /// The response frame for this request. While there is no memory for it the storage gives up what it caches; one that can never
    /// leave, or for which others hold the memory too long, closes the connection.
    pub async fn respond<E: Environment>(&self, shard: &Shard<E>, response: &impl Message) -> Outcome {
        self.respond_in_version(shard, self.version, response).await
    }

    /// As [`Request::respond`], in another version: for the one API that answers what it cannot read (W1).
    pub async fn respond_in_version<E: Environment>(
        &self,
        shard: &Shard<E>,
        version: i16,
        response: &impl Message,
    ) -> Outcome {
        let mut waits_since = None;
        loop {
            match encode_response(shard.env.arena(), self.api_key, version, self.correlation_id, response) {
                Ok(frame) => {
                    self.count_errors(shard, &frame.error_codes);
                    return Outcome::Send(frame.segments);
                }
                Err(full) if full.requested_bytes > response_bytes_max(shard) => {
                    tracing::warn!(
                        peer = %self.peer, api = ?self.api_key, bytes = full.requested_bytes,
                        "connection closed: a response would be larger than all memory for responses"
                    );
                    return Outcome::Close;
                }
                Err(full) => {
                    let now = shard.env.now();
                    if now.since(*waits_since.get_or_insert(now))
                        >= shard.limits.network.reply_memory_wait_max
                    {
                        tracing::warn!(
                            peer = %self.peer, api = ?self.api_key, bytes = full.requested_bytes,
                            "connection closed: there is no memory for a response"
                        );
                        return Outcome::Close;
                    }
                    shard.counts.reply_memory_waits.one();
                    shard.directories.make_memory_for(full.requested_bytes);
                    shard.env.sleep_until(now + MEMORY_RETRY).await;
                }
            }
        }
    }
}

impl Request {
    fn count_errors<E: Environment>(&self, shard: &Shard<E>, error_codes: &[i16]) {
        if !error_codes.is_empty() {
            shard.counts.apis.update(self.api_key, |count| {
                for code in error_codes {
                    *count.errors.entry(*code).or_default() += 1;
                }
            });
        }
    }
}

/// The largest response that may leave: a small request can ask for a large thing many times. The rest of the memory is for
/// requests, look-ups and batches on their way to files: caches are given up for a response, those are not.
fn response_bytes_max<E: Environment>(shard: &Shard<E>) -> usize {
    // A frame's length has 31 bits.
    (shard.env.arena().bytes_max() / 8 * 7).min(i32::MAX as usize)
}

/// Starts a request: its eager part is done when this returns. `None` if it cannot be answered at all.
pub fn start<E: Environment>(shard: &Rc<Shard<E>>, request: Request) -> Option<Reply> {
    if !is_served(&request) {
        if request.api_key == ApiKey::ApiVersions {
            return Some(Box::pin(api_versions::refuse_version(shard.clone(), request)));
        }
        tracing::info!(
            peer = %request.peer, api = ?request.api_key, version = request.version,
            "connection closed: this version is not served"
        );
        return None;
    }
    let shard = shard.clone();
    match request.api_key {
        ApiKey::Produce => produce::start(shard, request),
        ApiKey::Fetch => later(fetch::handle(shard, request)),
        ApiKey::ListOffsets => later(list_offsets::handle(shard, request)),
        ApiKey::Metadata => later(metadata::handle(shard, request)),
        ApiKey::ApiVersions => later(api_versions::handle(shard, request)),
        ApiKey::CreateTopics => later(create_topics::handle(shard, request)),
        ApiKey::DeleteTopics => later(delete_topics::handle(shard, request)),
        ApiKey::DeleteRecords => later(delete_records::handle(shard, request)),
        ApiKey::InitProducerId => later(init_producer_id::handle(shard, request)),
        ApiKey::OffsetForLeaderEpoch => later(offset_for_leader_epoch::handle(shard, request)),
        ApiKey::DescribeConfigs => later(describe_configs::handle(shard, request)),
        ApiKey::AlterConfigs => later(alter_configs::handle(shard, request)),
        ApiKey::CreatePartitions => later(create_partitions::handle(shard, request)),
        ApiKey::IncrementalAlterConfigs => later(incremental_alter_configs::handle(shard, request)),
        ApiKey::DescribeLogDirs => later(describe_log_dirs::handle(shard, request)),
        ApiKey::ElectLeaders => later(elect_leaders::handle(shard, request)),
        ApiKey::AlterPartitionReassignments => later(alter_partition_reassignments::handle(shard, request)),
        ApiKey::ListPartitionReassignments => later(list_partition_reassignments::handle(shard, request)),
        ApiKey::ListConfigResources => later(list_config_resources::handle(shard, request)),
        ApiKey::DescribeTopicPartitions => later(describe_topic_partitions::handle(shard, request)),
        ApiKey::DescribeCluster => later(describe_cluster::handle(shard, request)),
        ApiKey::OffsetCommit => later(offset_commit::handle(shard, request)),
        ApiKey::OffsetFetch => later(offset_fetch::handle(shard, request)),
        ApiKey::FindCoordinator => later(find_coordinator::handle(shard, request)),
        ApiKey::JoinGroup => later(join_group::handle(shard, request)),
        ApiKey::Heartbeat => later(heartbeat::handle(shard, request)),
        ApiKey::LeaveGroup => later(leave_group::handle(shard, request)),
        ApiKey::SyncGroup => later(sync_group::handle(shard, request)),
        ApiKey::DescribeGroups => later(describe_groups::handle(shard, request)),
        ApiKey::ListGroups => later(list_groups::handle(shard, request)),
        ApiKey::DeleteGroups => later(delete_groups::handle(shard, request)),
        ApiKey::OffsetDelete => later(offset_delete::handle(shard, request)),
        _ => unreachable!("every API in SERVED has a handler"),
    }
}

fn is_served(request: &Request) -> bool {
    let version_min = |served: &Served| match served.api_key {
        ApiKey::Produce => PRODUCE_VERSION_MIN,
        _ => served.version_min,
    };
    SERVED.iter().any(|served| {
        served.api_key == request.api_key
            && (version_min(served)..=served.version_max).contains(&request.version)
    })
}

/// A handler runs when its turn to reply has come; a body that cannot be decoded closes the connection.
fn later(handler: impl Future<Output = Result<Outcome, DecodeError>> + 'static) -> Option<Reply> {
    Some(Box::pin(async move {
        handler.await.unwrap_or_else(|error| {
            tracing::info!(%error, "connection closed: a request body cannot be decoded");
            Outcome::Close
        })
    }))
}

/// Adds an item to the list of the shard that owns it. There are as many lists as shards: few.
fn push_to_owner<T>(by_owner: &mut Vec<(ShardIndex, Vec<T>)>, owner: ShardIndex, item: T) {
    match by_owner.iter_mut().find(|(shard, _)| *shard == owner) {
        Some((_, items)) => items.push(item),
        None => by_owner.push((owner, vec![item])),
    }
}

fn topic_id(id: Uuid) -> TopicId {
    TopicId(id.0)
}

fn uuid(id: TopicId) -> Uuid {
    Uuid(id.0)
}
