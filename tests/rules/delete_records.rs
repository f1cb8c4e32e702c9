//! C11: records deleted from the front of a partition.

use ringlog_net::protocol::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use ringlog_net::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use ringlog_runtime::memory::{MemoryWorld, Options};

use crate::harness::{Broker, Client, TOPIC, batch, batch_at, with_broker, with_broker_in};

const NONE: i16 = 0;
const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const POLICY_VIOLATION: i16 = 44;

const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;

/// Error code and low watermark of each partition.
async fn delete(client: &mut Client, partitions: &[(i32, i64)]) -> Vec<(i16, i64)> {
    let partitions = partitions.iter();
    let partitions =
        partitions.map(|&(partition_index, offset)| DeleteRecordsPartition { partition_index, offset });
    let topics = vec![DeleteRecordsTopic { name: TOPIC, partitions: partitions.collect() }];
    let response = client.call(&DeleteRecordsRequest { topics, timeout_ms: 1_000 }, 2).await;
    let deleted = response.read(DeleteRecordsResponse::decode);
    let results = deleted.topics[0].partitions.iter();
    results.map(|partition| (partition.error_code, partition.low_watermark)).collect()
}

async fn list_offset(client: &mut Client, timestamp: i64) -> i64 {
    let partitions = vec![ListOffsetsPartition { timestamp, ..ListOffsetsPartition::default() }];
    let topics = vec![ListOffsetsTopic { name: TOPIC, partitions }];
    let response = client.call(&ListOffsetsRequest { topics, ..ListOffsetsRequest::default() }, 7).await;
    response.read(ListOffsetsResponse::decode).topics[0].partitions[0].offset
}

/// A topic of one partition with batches of three records at offsets 0, 3 and 6, each a second younger.
async fn nine_records(broker: &Broker) -> Client {
    let mut client = broker.with_topic(1, &[]).await;
    for base in [0, 3, 6] {
        let batch = batch_at(1_000 * (base + 1), &["a", "b", "c"]);
        assert_eq!(client.produce(0, &batch).await, (NONE, base));
    }
    client
}

#[test]
fn c11_minus_one_deletes_up_to_the_high_watermark() {
    with_broker("", async |broker| {
        let mut client = nine_records(&broker).await;
        assert_eq!(delete(&mut client, &[(0, -1)]).await, [(NONE, 9)]);
        assert_eq!(list_offset(&mut client, EARLIEST).await, 9);
        assert_eq!(client.fetch(0, 9).await, (NONE, 9, Vec::new()));
        assert_eq!(client.produce(0, &batch(&["next"])).await, (NONE, 9));
    });
}

#[test]
fn c11_a_start_within_a_batch_is_allowed_and_the_batch_is_fetched_whole() {
    with_broker("", async |broker| {
        let mut client = nine_records(&broker).await;
        assert_eq!(delete(&mut client, &[(0, 4)]).await, [(NONE, 4)]);
        assert_eq!(list_offset(&mut client, EARLIEST).await, 4);
        assert_eq!(client.fetch(0, 3).await.0, OFFSET_OUT_OF_RANGE);
        let (error, _, records) = client.fetch(0, 4).await;
        assert_eq!((error, &records[..8]), (NONE, &3_i64.to_be_bytes()[..]), "the batch begins before");
    });
}

#[test]
fn c11_offsets_by_time_are_those_that_are_left() {
    with_broker("", async |broker| {
        let mut client = nine_records(&broker).await;
        assert_eq!(list_offset(&mut client, 0).await, 0);
        assert_eq!(delete(&mut client, &[(0, 4)]).await, [(NONE, 4)]);
        assert_eq!(list_offset(&mut client, 0).await, 4);
        assert_eq!(list_offset(&mut client, 4_001).await, 6);
        assert_eq!(list_offset(&mut client, MAX_TIMESTAMP).await, 6);
        assert_eq!(delete(&mut client, &[(0, 9)]).await, [(NONE, 9)]);
        assert_eq!(list_offset(&mut client, 0).await, -1);
        assert_eq!(list_offset(&mut client, MAX_TIMESTAMP).await, -1);
    });
}

#[test]
fn c11_the_largest_timestamp_is_looked_for_among_what_is_left() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        for timestamp in [9_000, 2_000, 3_000, 1_000] {
            assert_eq!(client.produce(0, &batch_at(timestamp, &["a", "b"])).await.0, NONE);
        }
        assert_eq!(list_offset(&mut client, MAX_TIMESTAMP).await, 0);
        for (before, expected) in [(1, 1), (2, 4), (5, 5), (6, 6), (7, 7), (8, -1)] {
            assert_eq!(delete(&mut client, &[(0, before)]).await, [(NONE, before)]);
            assert_eq!(list_offset(&mut client, MAX_TIMESTAMP).await, expected, "from {before} on");
        }
    });
}

#[test]
fn c11_the_log_start_only_grows() {
    with_broker("", async |broker| {
        let mut client = nine_records(&broker).await;
        assert_eq!(delete(&mut client, &[(0, 5)]).await, [(NONE, 5)]);
        assert_eq!(delete(&mut client, &[(0, 2)]).await, [(NONE, 5)]);
        assert_eq!(list_offset(&mut client, EARLIEST).await, 5);
    });
}

#[test]
fn c11_what_is_not_there_cannot_be_deleted() {
    with_broker("", async |broker| {
        let mut client = nine_records(&broker).await;
        let asked = [(0, 10), (0, -2), (7, 0), (-1, 0), (0, 9)];
        let out_of_range = (OFFSET_OUT_OF_RANGE, -1);
        let unknown = (UNKNOWN_TOPIC_OR_PARTITION, -1);
        assert_eq!(
            delete(&mut client, &asked).await,
            [out_of_range, out_of_range, unknown, unknown, (NONE, 9)]
        );
    });
}

#[test]
fn c11_records_of_a_topic_that_is_only_compacted_stay() {
    for (policy, expected) in [
        ("compact", (POLICY_VIOLATION, -1)),
        ("compact,delete", (NONE, 0)),
        ("delete", (NONE, 0)),
        ("", (NONE, 0)),
    ] {
        with_broker("", async |broker| {
            let mut client = broker.with_topic(1, &[("cleanup.policy", policy)]).await;
            assert_eq!(delete(&mut client, &[(0, -1)]).await, [expected], "{policy}");
        });
    }
}

#[test]
fn c11_every_partition_is_answered_in_its_place_whichever_shard_owns_it() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(6, &[]).await;
        for partition in 0..6 {
            for _ in 0..=partition {
                assert_eq!(client.produce(partition, &batch(&["x"])).await.0, NONE);
            }
        }
        let asked: Vec<_> = (0..6).rev().map(|partition| (partition, -1)).collect();
        let expected: Vec<_> = (1..=6).rev().map(|low_watermark| (NONE, low_watermark)).collect();
        assert_eq!(delete(&mut client, &asked).await, expected);
    });
}

#[test]
fn c11_what_was_deleted_stays_deleted_after_a_crash() {
    let world = MemoryWorld::new(7, Options::quiet());
    with_broker_in(&world, "", async |broker| {
        let mut client = nine_records(&broker).await;
        assert_eq!(delete(&mut client, &[(0, 4)]).await, [(NONE, 4)]);
    });
    world.crash();
    with_broker_in(&world, "", async |broker| {
        let mut client = broker.connect();
        assert_eq!(list_offset(&mut client, EARLIEST).await, 4);
        assert_eq!(client.fetch(0, 3).await.0, OFFSET_OUT_OF_RANGE);
        assert_eq!(client.fetch(0, 4).await.1, 9);
    });
}
