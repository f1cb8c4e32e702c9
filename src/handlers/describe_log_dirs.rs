//! DescribeLogDirs: the data directories, how large each log in them is, and how much room is left (KIP-113, KIP-827).
//!
//! As in Kafka, one that is offline is told with KAFKA_STORAGE_ERROR and without its logs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
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

use crate::broker::directories::Directory;
use crate::broker::message::{Answer, Call, LogSize};
use crate::broker::shard::Shard;
use crate::handlers::{Request, push_to_owner};

/// A size that is not known.
const UNKNOWN_BYTES: i64 = -1;

/// Answers one DescribeLogDirs request.
pub async fn handle<E: Environment>(shard: Rc<Shard<E>>, request: Request) -> Result<Outcome, DecodeError> {
    let asked = DescribeLogDirsRequest::decode(&mut Decoder::new(&request.body), request.version)?;
    let image = shard.image();
    let partitions = partitions(&image, &asked);
    let measured = measure(&shard, &partitions).await;
    let shown: Vec<_> = shard.directories.iter().map(|directory| shown(&directory.path)).collect();
    let mut results = Vec::with_capacity(shown.len());
    for ((directory, log_dir), measured) in shard.directories.iter().zip(&shown).zip(&measured) {
        let is_offline = measured.is_offline;
        let error = if is_offline { ErrorCode::KafkaStorageError } else { ErrorCode::None };
        results.push(DescribeLogDirsResult {
            error_code: error.number(),
            log_dir,
            topics: if is_offline { Vec::new() } else { topics(&image, &measured.sizes) },
            total_bytes: known(shard.env.total_bytes(&directory.path).await),
            usable_bytes: known(shard.env.free_bytes(&directory.path).await),
            is_cordoned: false,
        });
    }
    let response = DescribeLogDirsResponse { results, ..DescribeLogDirsResponse::default() };
    Ok(request.respond(&shard, &response).await)
}

fn shown(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
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

/// What lies in a directory.
struct Measured {
    sizes: BTreeMap<TopicPartition, u64>,
    is_offline: bool,
}

async fn measure<E: Environment>(
    shard: &Rc<Shard<E>>,
    partitions: &BTreeSet<TopicPartition>,
) -> Vec<Measured> {
    let mut by_owner = Vec::new();
    for partition in partitions {
        push_to_owner(&mut by_owner, shard.owner_of(partition), *partition);
    }
    let calls: Vec<_> = by_owner
        .into_iter()
        .map(|(owner, partitions)| shard.call(owner, Call::MeasureLogs(partitions)))
        .collect();
    let empty =
        |directory: &Directory<E>| Measured { sizes: BTreeMap::new(), is_offline: directory.is_offline() };
    let mut measured: Vec<Measured> = shard.directories.iter().map(empty).collect();
    for call in calls {
        let Answer::LogsMeasured { sizes, offline } = call.await else {
            unreachable!("a measurement is answered as one")
        };
        for LogSize { id, directory, bytes } in sizes {
            measured[usize::from(directory.0)].sizes.insert(id, bytes);
        }
        measured.iter_mut().zip(offline).for_each(|(measured, offline)| measured.is_offline |= offline);
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
