//! Fetching by partition: without a session, without a group, one leader at a time.

use std::collections::BTreeMap;

use ringlog_net::protocol::Records;
use ringlog_net::protocol::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData};

use crate::client::cluster::{Cluster, Target};
use crate::client::connection::Answer;
use crate::client::failure::ClientFailure;
use crate::client::limits::{FETCH_BYTES, FETCH_PARTITION_BYTES};
use crate::client::offsets::PartitionName;

/// Later versions name topics by id.
const FETCH_BY_NAME_VERSION_MAX: i16 = 12;

/// Not a follower.
const CONSUMER: i32 = -1;

/// A leader's answer.
pub struct Fetched {
    answer: Answer,
}

/// What came of one partition.
pub struct FetchedPartition<'a> {
    /// Which.
    pub name: PartitionName,
    /// Kafka's number of what went wrong; 0 if nothing did.
    pub error_code: i16,
    /// Whole batches, the last perhaps cut off.
    pub batches: &'a [u8],
}

impl Fetched {
    /// Partition by partition.
    ///
    /// # Errors
    /// [`ClientFailure`].
    pub fn partitions(&self) -> Result<Vec<FetchedPartition<'_>>, ClientFailure> {
        let response = self.answer.read(FetchResponse::decode)?;
        ClientFailure::check(response.error_code, || "the fetch".to_owned(), None)?;
        let mut partitions = Vec::new();
        for topic in response.responses {
            let of_topic = topic.partitions.into_iter().map(|data| fetched_partition(topic.topic, data));
            partitions.extend(of_topic);
        }
        Ok(partitions)
    }
}

fn fetched_partition<'a>(topic: &str, data: PartitionData<'a>) -> FetchedPartition<'a> {
    let batches = match data.records {
        Some(Records::Borrowed(bytes)) => bytes,
        Some(Records::Slices(_)) | None => &[],
    };
    let name = PartitionName { topic: topic.to_owned(), partition: data.partition_index };
    FetchedPartition { name, error_code: data.error_code, batches }
}

/// Asks a leader for records from these positions; it may wait `wait_ms` for the first.
///
/// # Errors
/// [`ClientFailure`].
pub fn fetch(
    cluster: &mut Cluster,
    leader: i32,
    positions: &BTreeMap<PartitionName, i64>,
    wait_ms: i32,
) -> Result<Fetched, ClientFailure> {
    let mut topics: BTreeMap<&str, Vec<FetchPartition>> = BTreeMap::new();
    for (name, offset) in positions {
        let wanted = FetchPartition {
            partition: name.partition,
            fetch_offset: *offset,
            partition_max_bytes: FETCH_PARTITION_BYTES,
            ..FetchPartition::default()
        };
        topics.entry(&name.topic).or_default().push(wanted);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| FetchTopic {
        topic,
        partitions,
        ..FetchTopic::default()
    });
    let request = FetchRequest {
        replica_id: CONSUMER,
        max_wait_ms: wait_ms,
        min_bytes: 1,
        max_bytes: FETCH_BYTES,
        topics: topics.collect(),
        ..FetchRequest::default()
    };
    let answer = cluster.ask_up_to(Target::Broker(leader), FETCH_BY_NAME_VERSION_MAX, &request)?;
    Ok(Fetched { answer })
}
