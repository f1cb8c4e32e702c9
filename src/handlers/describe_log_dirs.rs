//! DescribeLogDirs: the data directory, how large each log in it is, and how much room is left (KIP-113, KIP-827).

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::ids::{PartitionIndex, TopicPartition};
use ringlog_core::metadata::{MetadataImage, TopicImage};
use ringlog_net::connection::Outcome;
use ringlog_net::protocol::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};
use ringlog_net::protocol::{DecodeError, Decoder};
use ringlog_runtime::environment::{DiskFailure, Environment};

use crate::broker::message::{Answer, Call};
use crate::broker::shard::Shard;
use crate::handlers::{Request, push_to_owner};

/// A size that is not known.
const UNKNOWN_BYTES: i64 = -1;

/// Answers one DescribeLogDirs request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = DescribeLogDirsRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let image = shard.image();
    let partitions = partitions(&image, &asked);
    let directory = &shard.config.log_dir;
    let shown = std::path::absolute(directory).unwrap_or_else(|_| directory.clone());
    let Measured { sizes, disk_failed } = measure(&shard, &partitions).await;
    let error = if disk_failed { ErrorCode::KafkaStorageError } else { ErrorCode::None };
    let result = DescribeLogDirsResult {
        error_code: error.number(),
        log_dir: &shown.to_string_lossy(),
        topics: if disk_failed { Vec::new() } else { topics(&image, &sizes) },
        total_bytes: known(shard.env.total_bytes(directory).await),
        usable_bytes: known(shard.env.free_bytes(directory).await),
        is_cordoned: false,
    };
    let response = DescribeLogDirsResponse { results: vec![result], ..DescribeLogDirsResponse::default() };
    Ok(request.respond(&shard, &response).await)
}

/// The partitions asked for, as far as they exist; null asks for all.
fn partitions(image: &MetadataImage, asked: &DescribeLogDirsRequest<'_>) -> BTreeSet<TopicPartition> {
    let all = |topic: &TopicImage| -> Vec<TopicPartition> {
        let id = topic.id;
        topic
            .partitions
            .iter()
            .map(|partition| TopicPartition { topic: id, partition: partition.index })
            .collect()
    };
    let Some(topics) = &asked.topics else {
        return image.topics().flat_map(|topic| all(topic)).collect();
    };
    let named = topics.iter().filter_map(|asked| Some((image.topic(asked.topic)?, &asked.partitions)));
    named
        .flat_map(|(topic, indexes)| {
            let indexes = indexes.iter().map(|index| PartitionIndex(*index));
            let present = indexes.filter(|index| topic.partition(*index).is_some());
            present.map(|partition| TopicPartition { topic: topic.id, partition })
        })
        .collect()
}

struct Measured {
    sizes: BTreeMap<TopicPartition, u64>,
    disk_failed: bool,
}

async fn measure<E: Environment>(shard: &Rc<Shard<E>>, partitions: &BTreeSet<TopicPartition>) -> Measured {
    let mut by_owner = Vec::new();
    for partition in partitions {
        push_to_owner(&mut by_owner, shard.owner_of(partition), *partition);
    }
    let calls: Vec<_> = by_owner
        .into_iter()
        .map(|(owner, partitions)| shard.call(owner, Call::MeasureLogs(partitions)))
        .collect();
    let mut measured = Measured { sizes: BTreeMap::new(), disk_failed: shard.store.failure().is_some() };
    for call in calls {
        let Answer::LogsMeasured { sizes, disk_failed } = call.await else {
            unreachable!("a measurement is answered as one")
        };
        measured.sizes.extend(sizes);
        measured.disk_failed |= disk_failed;
    }
    measured
}

fn topics<'i>(
    image: &'i MetadataImage,
    sizes: &BTreeMap<TopicPartition, u64>,
) -> Vec<DescribeLogDirsTopic<'i>> {
    let mut by_name: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for (id, size) in sizes {
        // In the same image it was asked by.
        let Some(topic) = image.topic_by_id(id.topic) else { continue };
        by_name.entry(&topic.name).or_default().push(DescribeLogDirsPartition {
            partition_index: id.partition.0,
            partition_size: i64::try_from(*size).unwrap_or(i64::MAX),
            // A leader lags behind nobody.
            offset_lag: 0,
            is_future_key: false,
        });
    }
    by_name.into_iter().map(|(name, partitions)| DescribeLogDirsTopic { name, partitions }).collect()
}

fn known(bytes: Result<u64, DiskFailure>) -> i64 {
    bytes.map_or(UNKNOWN_BYTES, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX))
}
