//! What the broker is asked here, each as one function of a connection.

use std::fmt;

use ringlog::client::records::each_record;
use ringlog::client::{ClientFailure, Connection};
use ringlog_core::error_code::ErrorCode;
use ringlog_core::record_batch::BatchFault;
use ringlog_net::protocol::Records;
use ringlog_net::protocol::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use ringlog_net::protocol::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use ringlog_net::protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse};
use ringlog_net::protocol::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use ringlog_net::protocol::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use ringlog_net::protocol::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ringlog_net::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use ringlog_net::protocol::metadata::{MetadataRequest, MetadataResponse};
use ringlog_net::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use ringlog_net::protocol::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestTopic, OffsetFetchResponse};
use ringlog_net::protocol::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};

/// The newest versions that name topics by name.
const PRODUCE_VERSION_MAX: i16 = 12;
const FETCH_VERSION_MAX: i16 = 12;
const COMMIT_VERSION_MAX: i16 = 9;
/// The newest version that asks of one group.
const COMMITTED_VERSION_MAX: i16 = 7;

const ALL_REPLICAS: i16 = -1;
const TIMEOUT_MS: i32 = 30_000;
const CONSUMER: i32 = -1;
const EARLIEST: i64 = -2;
const FETCH_BYTES: i32 = 64 << 20;

/// Why a question has no good answer.
#[derive(Debug)]
pub enum Failure {
    /// The connection broke: the broker was killed, or died.
    Lost(ClientFailure),
    /// It answered with an error.
    Refused {
        /// What.
        what: String,
        /// Kafka's number for it.
        code: i16,
    },
    /// It served a batch that cannot be read.
    Damaged(BatchFault),
}

impl From<ClientFailure> for Failure {
    fn from(failure: ClientFailure) -> Failure {
        Failure::Lost(failure)
    }
}

impl From<BatchFault> for Failure {
    fn from(fault: BatchFault) -> Failure {
        Failure::Damaged(fault)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Lost(failure) => write!(formatter, "{failure}"),
            Failure::Refused { what, code } => write!(formatter, "{what}: error {code}"),
            Failure::Damaged(fault) => write!(formatter, "a damaged batch: {fault}"),
        }
    }
}

impl Failure {
    /// Whether it passes by itself: the broker has just begun, or the topic has just been made.
    pub fn is_passing(&self) -> bool {
        let passing = [
            ErrorCode::LeaderNotAvailable,
            ErrorCode::NotLeaderOrFollower,
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::CoordinatorNotAvailable,
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::NotCoordinator,
        ];
        matches!(self, Failure::Refused { code, .. } if passing.iter().any(|passing| *passing as i16 == *code))
    }
}

fn check(what: impl Fn() -> String, code: i16) -> Result<(), Failure> {
    if code == 0 { Ok(()) } else { Err(Failure::Refused { what: what(), code }) }
}

/// A batch for a partition.
pub struct Batch<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The batch.
    pub bytes: Vec<u8>,
}

/// Produces, and waits until all of it is acknowledged; base offsets in the order of the batches, or what came instead.
///
/// # Errors
/// [`Failure::Lost`].
pub fn produce(
    connection: &mut Connection,
    batches: &[Batch<'_>],
) -> Result<Vec<Result<i64, Failure>>, Failure> {
    let topic_data = batches.iter().map(|batch| TopicProduceData {
        name: batch.topic,
        partition_data: vec![PartitionProduceData { index: batch.partition, records: Some(&batch.bytes) }],
        ..TopicProduceData::default()
    });
    let request = ProduceRequest {
        acks: ALL_REPLICAS,
        timeout_ms: TIMEOUT_MS,
        topic_data: topic_data.collect(),
        ..ProduceRequest::default()
    };
    let answer = connection.ask_up_to(PRODUCE_VERSION_MAX, &request)?;
    let response = answer.read(ProduceResponse::decode)?;
    let one = |batch: &Batch<'_>| {
        let topics = response.responses.iter().filter(|topic| topic.name == batch.topic);
        let mut partitions = topics.flat_map(|topic| &topic.partition_responses);
        let found = partitions.find(|partition| partition.index == batch.partition);
        let what = || format!("produce to {} {}", batch.topic, batch.partition);
        let partition = found.ok_or_else(|| Failure::Refused { what: what() + ": no answer", code: -1 })?;
        check(what, partition.error_code).map(|()| partition.base_offset)
    };
    Ok(batches.iter().map(one).collect())
}

/// A producer's id and epoch.
///
/// # Errors
/// [`Failure`].
pub fn producer_identity(connection: &mut Connection) -> Result<(i64, i16), Failure> {
    let request =
        InitProducerIdRequest { transaction_timeout_ms: TIMEOUT_MS, ..InitProducerIdRequest::default() };
    let answer = connection.ask(&request)?;
    let response = answer.read(InitProducerIdResponse::decode)?;
    check(|| "a producer's id".to_owned(), response.error_code)?;
    Ok((response.producer_id, response.producer_epoch))
}

/// Makes a topic whose segments close after some kilobytes.
///
/// # Errors
/// [`Failure`].
pub fn create_topic(connection: &mut Connection, name: &str, partitions: i32) -> Result<(), Failure> {
    let config = |name, value| CreatableTopicConfig { name, value: Some(value) };
    let topic = CreatableTopic {
        name,
        num_partitions: partitions,
        replication_factor: 1,
        // An index closes its segment: at 8 entries.
        configs: vec![config("segment.index.bytes", "64"), config("index.interval.bytes", "2000")],
        ..CreatableTopic::default()
    };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS, ..CreateTopicsRequest::default() };
    let answer = connection.ask(&request)?;
    let response = answer.read(CreateTopicsResponse::decode)?;
    response.topics.iter().try_for_each(|topic| check(|| format!("create {name}"), topic.error_code))
}

/// Deletes a topic.
///
/// # Errors
/// [`Failure`].
pub fn delete_topic(connection: &mut Connection, name: &str) -> Result<(), Failure> {
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name: Some(name), ..DeleteTopicState::default() }],
        topic_names: vec![name],
        timeout_ms: TIMEOUT_MS,
    };
    let answer = connection.ask(&request)?;
    let response = answer.read(DeleteTopicsResponse::decode)?;
    response.responses.iter().try_for_each(|topic| check(|| format!("delete {name}"), topic.error_code))
}

/// The names of all topics but the broker's own.
///
/// # Errors
/// [`Failure`].
pub fn topics(connection: &mut Connection) -> Result<Vec<String>, Failure> {
    let request =
        MetadataRequest { topics: None, allow_auto_topic_creation: false, ..MetadataRequest::default() };
    let answer = connection.ask(&request)?;
    let response = answer.read(MetadataResponse::decode)?;
    let names = response.topics.iter().filter(|topic| !topic.is_internal);
    Ok(names.filter_map(|topic| topic.name).map(str::to_owned).collect())
}

/// Deletes records before an offset.
///
/// # Errors
/// [`Failure`].
pub fn delete_records(
    connection: &mut Connection,
    topic: &str,
    partition: i32,
    before: i64,
) -> Result<(), Failure> {
    let partitions = vec![DeleteRecordsPartition { partition_index: partition, offset: before }];
    let request = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic { name: topic, partitions }],
        timeout_ms: TIMEOUT_MS,
    };
    let answer = connection.ask(&request)?;
    let response = answer.read(DeleteRecordsResponse::decode)?;
    let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.try_for_each(|partition| check(|| format!("delete records of {topic}"), partition.error_code))
}

/// Where the logs of a topic's partitions begin.
///
/// # Errors
/// [`Failure`].
pub fn log_starts(connection: &mut Connection, topic: &str, partitions: i32) -> Result<Vec<i64>, Failure> {
    let earliest = |index| ListOffsetsPartition {
        partition_index: index,
        timestamp: EARLIEST,
        ..ListOffsetsPartition::default()
    };
    let request = ListOffsetsRequest {
        replica_id: CONSUMER,
        topics: vec![ListOffsetsTopic { name: topic, partitions: (0..partitions).map(earliest).collect() }],
        timeout_ms: TIMEOUT_MS,
        ..ListOffsetsRequest::default()
    };
    let answer = connection.ask(&request)?;
    let response = answer.read(ListOffsetsResponse::decode)?;
    let mut starts = vec![-1; partitions as usize];
    for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
        check(|| format!("where {topic} begins"), partition.error_code)?;
        starts[partition.partition_index as usize] = partition.offset;
    }
    Ok(starts)
}

/// Reads all partitions of a topic to their ends, from these offsets on, and gives each record to `take` with its
/// partition and offset. Returns where they end.
///
/// # Errors
/// [`Failure`], or what `take` says.
pub fn read_to_the_ends<E: From<Failure>>(
    connection: &mut Connection,
    topic: &str,
    starts: &[i64],
    mut take: impl FnMut(i32, i64, &[u8]) -> Result<(), E>,
) -> Result<Vec<i64>, E> {
    let mut next = starts.to_vec();
    let mut unread: Vec<i32> = (0..starts.len() as i32).collect();
    while !unread.is_empty() {
        let answer = fetch(connection, topic, &unread, &next).map_err(E::from)?;
        let response = answer.read(FetchResponse::decode).map_err(Failure::from)?;
        check(|| format!("fetch {topic}"), response.error_code)?;
        for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
            let index = partition.partition_index;
            check(|| format!("fetch {topic} {index}"), partition.error_code)?;
            let place = &mut next[index as usize];
            let records = match &partition.records {
                Some(Records::Borrowed(bytes)) => *bytes,
                _ => &[],
            };
            *place = each_record(records, *place, |record| {
                take(index, record.offset, record.value.unwrap_or_default()).map_err(Taken::Refused)?;
                Ok(std::ops::ControlFlow::Continue(()))
            })
            .map_err(Taken::into_inner)?;
            if *place >= partition.high_watermark {
                unread.retain(|unread| *unread != index);
            }
        }
    }
    Ok(next)
}

/// Why reading records stopped.
enum Taken<E> {
    Refused(E),
    Damaged(BatchFault),
}

impl<E> From<BatchFault> for Taken<E> {
    fn from(fault: BatchFault) -> Taken<E> {
        Taken::Damaged(fault)
    }
}

impl<E: From<Failure>> Taken<E> {
    fn into_inner(self) -> E {
        match self {
            Taken::Refused(words) => words,
            Taken::Damaged(fault) => E::from(Failure::Damaged(fault)),
        }
    }
}

fn fetch(
    connection: &mut Connection,
    topic: &str,
    partitions: &[i32],
    from: &[i64],
) -> Result<ringlog::client::Answer, Failure> {
    let partitions = partitions.iter().map(|index| FetchPartition {
        partition: *index,
        fetch_offset: from[*index as usize],
        partition_max_bytes: FETCH_BYTES,
        ..FetchPartition::default()
    });
    let request = FetchRequest {
        replica_id: CONSUMER,
        max_bytes: FETCH_BYTES,
        topics: vec![FetchTopic { topic, partitions: partitions.collect(), ..FetchTopic::default() }],
        ..FetchRequest::default()
    };
    Ok(connection.ask_up_to(FETCH_VERSION_MAX, &request)?)
}

/// Makes sure that somebody coordinates the group.
///
/// # Errors
/// [`Failure`].
pub fn find_coordinator(connection: &mut Connection, group: &str) -> Result<(), Failure> {
    let request =
        FindCoordinatorRequest { coordinator_keys: vec![group], ..FindCoordinatorRequest::default() };
    let answer = connection.ask(&request)?;
    let response = answer.read(FindCoordinatorResponse::decode)?;
    response
        .coordinators
        .iter()
        .try_for_each(|found| check(|| format!("coordinator of {group}"), found.error_code))
}

/// Commits offsets of a group that has no members: partition and offset.
///
/// # Errors
/// [`Failure`].
pub fn commit(
    connection: &mut Connection,
    group: &str,
    topic: &str,
    offsets: &[(i32, i64)],
) -> Result<(), Failure> {
    let partitions = offsets.iter().map(|(partition, offset)| OffsetCommitRequestPartition {
        partition_index: *partition,
        committed_offset: *offset,
        ..OffsetCommitRequestPartition::default()
    });
    let request = OffsetCommitRequest {
        group_id: group,
        topics: vec![OffsetCommitRequestTopic {
            name: topic,
            partitions: partitions.collect(),
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    };
    let answer = connection.ask_up_to(COMMIT_VERSION_MAX, &request)?;
    let response = answer.read(OffsetCommitResponse::decode)?;
    let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.try_for_each(|partition| check(|| format!("commit of {group}"), partition.error_code))
}

/// What a group committed for a partition; -1 for nothing.
///
/// # Errors
/// [`Failure`].
pub fn committed(
    connection: &mut Connection,
    group: &str,
    topic: &str,
    partition: i32,
) -> Result<i64, Failure> {
    let asked = OffsetFetchRequestTopic { name: topic, partition_indexes: vec![partition] };
    let request =
        OffsetFetchRequest { group_id: group, topics: Some(vec![asked]), ..OffsetFetchRequest::default() };
    let answer = connection.ask_up_to(COMMITTED_VERSION_MAX, &request)?;
    let response = answer.read(OffsetFetchResponse::decode)?;
    check(|| format!("offsets of {group}"), response.error_code)?;
    let found = response.topics.iter().flat_map(|topic| &topic.partitions).next();
    let found =
        found.ok_or_else(|| Failure::Refused { what: format!("offsets of {group}: no answer"), code: -1 })?;
    check(|| format!("offset of {group}"), found.error_code)?;
    Ok(found.committed_offset)
}
