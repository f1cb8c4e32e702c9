//! Simulated fetchers: they follow a partition while it is written, and read all of it in the end.

use std::io;

use ringlog_core::compression::DecompressionBudget;
use ringlog_core::record_batch::RawBatch;
use ringlog_net::protocol::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use ringlog_net::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use ringlog_runtime::memory::Random;

use crate::client::Client;
use crate::history::FetcherNumber;
use crate::workload::{CORRUPT_MESSAGE, NO_ERROR, OFFSET_OUT_OF_RANGE, RETRY_AFTER, Workload};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// How long the broker shall wait for records.
pub(crate) const WAIT_MS_MAX: i32 = 500;

/// A record as it came, with its offset.
pub(crate) type Fetched = (i64, Vec<u8>);

/// What a fetch brought.
#[derive(Default)]
pub(crate) struct Records {
    records: Vec<Fetched>,
    /// The bytes of their batches.
    bytes: usize,
}

/// Reads a partition from its beginning to its last end, across crashes.
pub fn follow(workload: Workload, partition: i32, random: Random) -> impl Future<Output = ()> {
    let fetcher = workload.new_fetcher();
    read_on(workload, fetcher, partition, random)
}

async fn read_on(workload: Workload, fetcher: FetcherNumber, partition: i32, mut random: Random) {
    let number = workload.number_of(partition);
    let mut next_offset = 0;
    while !workload.is_read(partition, next_offset) {
        let mut client = Client::connect(&workload.world, workload.address);
        while !workload.is_read(partition, next_offset) {
            if workload.may_begin_later() && random.coin() {
                let Ok(start) = start_of(&workload, &mut client, partition).await else { break };
                workload.history.borrow_mut().log_start_looked_at(fetcher, number, start);
            }
            let bytes_max = random.between(1..=100_000) as i32;
            let fetched = match fetch(&workload, &mut client, partition, next_offset, bytes_max).await {
                Ok(fetched) => fetched,
                Err(error) if is_out_of_range(&error) => {
                    match skip_what_is_gone(&workload, &mut client, fetcher, partition, next_offset).await {
                        Ok(start) => next_offset = start,
                        Err(_) => break,
                    }
                    continue;
                }
                Err(error) if is_damaged(&error) => {
                    let Some(next) = skip_what_is_damaged(&workload, partition, next_offset) else { break };
                    next_offset = next;
                    continue;
                }
                Err(_) => break,
            };
            let mut history = workload.history.borrow_mut();
            for (offset, value) in fetched.records {
                history.read(fetcher, number, offset, &value);
                next_offset = offset + 1;
            }
        }
        workload.world.sleep(RETRY_AFTER).await;
    }
    workload.end_reading();
}

/// Finds out where a log begins whose records from `next_offset` on are gone, and notes it.
///
/// # Errors
/// It does not begin later: what it said before is not so any more.
pub(crate) async fn skip_what_is_gone(
    workload: &Workload,
    client: &mut Client,
    fetcher: FetcherNumber,
    partition: i32,
    next_offset: i64,
) -> io::Result<i64> {
    let start = start_of(workload, client, partition).await?;
    if start <= next_offset {
        return Err(io::Error::other(format!("{next_offset} is gone, the log begins at {start}")));
    }
    workload.history.borrow_mut().log_start_seen(fetcher, workload.number_of(partition), start);
    Ok(start)
}

/// Where to go on behind records that are refused as damaged, if they may be.
pub(crate) fn skip_what_is_damaged(workload: &Workload, partition: i32, next_offset: i64) -> Option<i64> {
    workload.history.borrow_mut().refused(workload.number_of(partition), next_offset)
}

/// Reads every partition from beginning to end and notes it as what is left.
pub async fn read_everything(workload: &Workload) {
    for partition in 0..workload.topic.partitions {
        let mut next_offset = 0;
        while !read_rest(workload, partition, &mut next_offset).await.unwrap_or(false) {
            workload.world.sleep(RETRY_AFTER).await;
        }
    }
}

/// Reads on from `next_offset`; tells whether the end was reached.
async fn read_rest(workload: &Workload, partition: i32, next_offset: &mut i64) -> io::Result<bool> {
    let mut client = Client::connect(&workload.world, workload.address);
    let number = workload.number_of(partition);
    if workload.may_begin_later() {
        // From the begin at every attempt: it may move while it is read.
        *next_offset = start_of(workload, &mut client, partition).await?;
        workload.history.borrow_mut().final_reading_begins(number, *next_offset, workload.retention_bytes);
    }
    let end_offset = end_of(workload, &mut client, partition).await?;
    while *next_offset < end_offset {
        let fetched = match fetch(workload, &mut client, partition, *next_offset, i32::MAX).await {
            Err(error) if is_damaged(&error) => {
                let next = skip_what_is_damaged(workload, partition, *next_offset);
                *next_offset = next.ok_or(error)?;
                continue;
            }
            fetched => fetched?,
        };
        let mut history = workload.history.borrow_mut();
        history.final_bytes(number, fetched.bytes);
        for (offset, value) in fetched.records {
            history.final_record(number, offset, &value);
            *next_offset = offset + 1;
        }
    }
    Ok(true)
}

/// Where a log begins.
pub(crate) async fn start_of(workload: &Workload, client: &mut Client, partition: i32) -> io::Result<i64> {
    let number = workload.number_of(partition);
    let floor = workload.history.borrow().starts.floor(number);
    let start = offset_of(workload, client, partition, EARLIEST).await?;
    workload.history.borrow_mut().starts.told(number, floor, start);
    Ok(start)
}

/// Where a log ends.
pub(crate) async fn end_of(workload: &Workload, client: &mut Client, partition: i32) -> io::Result<i64> {
    offset_of(workload, client, partition, LATEST).await
}

async fn offset_of(workload: &Workload, client: &mut Client, index: i32, timestamp: i64) -> io::Result<i64> {
    let version = workload.versions.list_offsets;
    let partition = ListOffsetsPartition { partition_index: index, timestamp, ..Default::default() };
    let topic = ListOffsetsTopic { name: workload.topic.name, partitions: vec![partition] };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    let answer = client.call(&request, version).await?;
    let response = answer.read(ListOffsetsResponse::decode);
    let found = &response.topics[0].partitions[0];
    expect_success(found.error_code)?;
    Ok(found.offset)
}

/// Fetches from a place on: what is there, or out of range.
pub(crate) async fn fetch(
    workload: &Workload,
    client: &mut Client,
    partition: i32,
    fetch_offset: i64,
    bytes_max: i32,
) -> io::Result<Records> {
    let version = workload.versions.fetch;
    let wanted = FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: bytes_max,
        ..FetchPartition::default()
    };
    let topic = FetchTopic { topic: workload.topic.name, partitions: vec![wanted], ..FetchTopic::default() };
    let request = FetchRequest {
        max_wait_ms: WAIT_MS_MAX,
        min_bytes: 1,
        max_bytes: bytes_max,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    let number = workload.number_of(partition);
    let floor = workload.history.borrow().starts.floor(number);
    let acknowledged = workload.history.borrow().acknowledged_end(number);
    let answer = client.call(&request, version).await?;
    let response = answer.read(FetchResponse::decode);
    expect_success(response.error_code)?;
    let mut fetched = Records::default();
    for answer in response.responses.iter().flat_map(|topic| &topic.partitions) {
        expect_success(answer.error_code)?;
        workload.history.borrow_mut().starts.read(number, floor, fetch_offset);
        workload.history.borrow_mut().end_told(number, acknowledged, answer.high_watermark);
        let bytes: Vec<u8> =
            answer.records.iter().flat_map(|records| records.parts()).flatten().copied().collect();
        fetched.bytes += bytes.len();
        unpack(&bytes, fetch_offset, &mut fetched.records);
    }
    Ok(fetched)
}

/// The records at or after `from`, out of whole batches whose checksums hold.
///
/// # Panics
/// If the broker serves damaged bytes: that must never happen, whatever the disk does.
pub(crate) fn unpack(mut bytes: &[u8], from: i64, records: &mut Vec<Fetched>) {
    while !bytes.is_empty() {
        let (batch, rest) = RawBatch::split_first(bytes).expect("the broker serves whole batches");
        batch.verify_checksum().expect("the broker serves no damaged batch");
        let base_offset = batch.header().base_offset().0;
        let mut budget = DecompressionBudget::default();
        let decoded = batch.records(&mut budget).expect("a batch that was accepted can be opened");
        for record in decoded.iter() {
            let record = record.expect("a record that was accepted can be read");
            let offset = base_offset + i64::from(record.offset_delta);
            if offset >= from {
                records.push((offset, record.value.unwrap_or_default().to_vec()));
            }
        }
        bytes = rest;
    }
}

/// What the broker answered instead of success.
#[derive(Clone, Copy, Debug)]
struct ErrorCode(i16);

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "the broker answered with error {}", self.0)
    }
}

impl std::error::Error for ErrorCode {}

pub(crate) fn expect_success(code: i16) -> io::Result<()> {
    match code {
        NO_ERROR => Ok(()),
        code => Err(io::Error::other(ErrorCode(code))),
    }
}

/// Whether the broker said that there is no such offset.
pub(crate) fn is_out_of_range(error: &io::Error) -> bool {
    says(error, OFFSET_OUT_OF_RANGE)
}

/// Whether the broker said that the records are damaged.
pub(crate) fn is_damaged(error: &io::Error) -> bool {
    says(error, CORRUPT_MESSAGE)
}

fn says(error: &io::Error, expected: i16) -> bool {
    let code = error.get_ref().and_then(|error| error.downcast_ref::<ErrorCode>());
    code.is_some_and(|code| code.0 == expected)
}
