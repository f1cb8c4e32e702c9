//! A client that has the broker delete records from the front of logs.
//!
//! ```text
//!   end? ──► DeleteRecords up to somewhere ──► granted: what lies below is asked for, and must not be there
//!                                         └──► no answer: it may still be done, so ask again much later
//! ```
//!
//! Always true: what it asks for lies within the log as it was told; what it is told goes into the history with what was
//! known when it asked.

use std::io;

use ringlog_net::protocol::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use ringlog_runtime::memory::Random;

use crate::client::Client;
use crate::fetcher::{end_of, fetch};
use crate::workload::{NO_ERROR, OFFSET_OUT_OF_RANGE, RETRY_AFTER, UNCLEAR_FOR, Workload};

/// Stands for the end of the log.
const TO_THE_END: i64 = -1;
/// How far beyond the end of the log is beyond what anybody writes in a run.
const FAR: i64 = 1 << 40;
const PAUSES_MAX: u64 = 10;
/// What most deletions take at most, so that something is left.
const FEW: u64 = 10;

/// What is asked of a log.
#[derive(Clone, Copy)]
enum Wish {
    UpTo(i64),
    ToTheEnd,
    BeyondTheEnd,
}

/// Deletes so many times.
pub fn shorten(workload: Workload, times: u64, random: Random) -> impl Future<Output = ()> {
    workload.begin();
    delete_now_and_then(workload, times, random)
}

async fn delete_now_and_then(workload: Workload, times: u64, mut random: Random) {
    for _ in 0..times {
        workload.world.sleep(RETRY_AFTER * random.below(PAUSES_MAX) as u32).await;
        let partition = random.below(workload.topic.partitions as u64) as i32;
        let end = end_at_last(&workload, partition).await;
        let wish = match random.below(8) {
            0 => Wish::BeyondTheEnd,
            1 => Wish::ToTheEnd,
            2 | 3 => Wish::UpTo(random.between(0..=end as u64) as i64),
            _ => {
                let start = workload.history.borrow().starts.floor(workload.number_of(partition));
                Wish::UpTo((start + random.below(FEW) as i64).min(end))
            }
        };
        delete(&workload, partition, end, wish).await;
    }
    workload.end();
}

/// Where a log ends, however long it takes to be told.
async fn end_at_last(workload: &Workload, partition: i32) -> i64 {
    loop {
        let mut client = Client::connect(&workload.world, workload.address);
        match end_of(workload, &mut client, partition).await {
            Ok(end) => return end,
            Err(_) => workload.world.sleep(RETRY_AFTER).await,
        }
    }
}

/// Asks until it is answered with yes or no.
async fn delete(workload: &Workload, partition: i32, end: i64, wish: Wish) {
    let number = workload.number_of(partition);
    let (offset, at_least, at_most) = match wish {
        Wish::UpTo(offset) => (offset, offset, offset),
        Wish::ToTheEnd => (TO_THE_END, end, i64::MAX),
        Wish::BeyondTheEnd => (end + FAR, end + FAR, 0),
    };
    let asked = workload.history.borrow_mut().starts.deletion_asked(number, at_least, at_most);
    loop {
        match try_delete(workload, partition, offset).await {
            Ok((NO_ERROR, low_watermark)) => {
                let starts = &mut workload.history.borrow_mut().starts;
                starts.deletion_granted(asked, low_watermark);
                if let Wish::ToTheEnd = wish {
                    starts.deletion_bounded(asked, low_watermark);
                }
                break;
            }
            Ok((OFFSET_OUT_OF_RANGE, _)) => {
                if let Wish::UpTo(offset) = wish {
                    workload.history.borrow_mut().starts.deletion_refused_within(number, end, offset);
                }
                return;
            }
            // Not now: the shard is starting or its disk failed.
            Ok(_) => workload.world.sleep(RETRY_AFTER).await,
            Err(_) => workload.world.sleep(UNCLEAR_FOR).await,
        }
    }
    look_below(workload, partition).await;
}

/// Asks once for what was just deleted.
async fn look_below(workload: &Workload, partition: i32) {
    let start = workload.history.borrow().starts.floor(workload.number_of(partition));
    if start > 0 {
        let mut client = Client::connect(&workload.world, workload.address);
        // The history notes it if something is found there; not to be answered is no answer.
        let _ = fetch(workload, &mut client, partition, start - 1, i32::MAX).await;
    }
}

/// The error code and the low watermark that come back.
async fn try_delete(workload: &Workload, partition: i32, offset: i64) -> io::Result<(i16, i64)> {
    let version = workload.versions.delete_records;
    let partitions = vec![DeleteRecordsPartition { partition_index: partition, offset }];
    let topic = DeleteRecordsTopic { name: workload.topic.name, partitions };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 10_000 };
    let answer = Client::connect(&workload.world, workload.address).call(&request, version).await?;
    let response = answer.read(DeleteRecordsResponse::decode);
    let result = &response.topics[0].partitions[0];
    Ok((result.error_code, result.low_watermark))
}
