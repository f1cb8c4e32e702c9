//! What clients are told by a broker whose disk is full, fails, or became read-only (C14, and this broker's own).

use std::time::Duration;

use ringlog_net::protocol::create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse};
use ringlog_net::protocol::delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
use ringlog_net::protocol::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use ringlog_runtime::memory::{DiskOperation, MemoryWorld, Options};

use crate::groups::{commit, fetch_offsets, find_coordinator, offset, until_loaded};
use crate::harness::{Broker, Client, TOPIC, batch, sequenced, with_broker_in};

const KAFKA_STORAGE_ERROR: i16 = 56;
const NOT_COORDINATOR: i16 = 16;

fn world() -> MemoryWorld {
    MemoryWorld::new(7, Options::quiet())
}

/// Somebody else takes all that is free.
fn fill(world: &MemoryWorld) {
    let used: u64 = world.disk().files().iter().map(|(_, length)| length).sum();
    world.disk().set_bytes_max(used);
}

fn make_room(world: &MemoryWorld) {
    world.disk().set_bytes_max(1 << 40);
}

/// A full disk is noticed when something is written.
async fn until_refused(broker: &Broker, client: &mut Client) -> usize {
    for taken in 0..100 {
        if client.produce(0, &batch(&["filler"])).await.0 == KAFKA_STORAGE_ERROR {
            return taken;
        }
        broker.world().sleep(Duration::from_millis(50)).await;
    }
    panic!("a full disk is noticed")
}

async fn until_taken(broker: &Broker, client: &mut Client) -> Duration {
    let began = broker.world().now();
    while client.produce(0, &batch(&["again"])).await.0 != 0 {
        broker.world().sleep(Duration::from_millis(50)).await;
    }
    broker.world().now().since(began)
}

/// Error of the topic's first partition, its leader, and its replicas that are offline.
async fn metadata(client: &mut Client) -> (i16, i32, Vec<i32>) {
    let topics = Some(vec![MetadataRequestTopic { name: Some(TOPIC), ..MetadataRequestTopic::default() }]);
    let response = client.call(&MetadataRequest { topics, ..MetadataRequest::default() }, 12).await;
    let partition = response.read(MetadataResponse::decode).topics.remove(0).partitions.remove(0);
    (partition.error_code, partition.leader_id, partition.offline_replicas)
}

async fn create(client: &mut Client, name: &str) -> (i16, Option<String>) {
    let topic =
        CreatableTopic { name, num_partitions: 1, replication_factor: 1, ..CreatableTopic::default() };
    let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
    let response = client.call(&request, 7).await;
    let created = response.read(CreateTopicsResponse::decode).topics.remove(0);
    (created.error_code, created.error_message.map(str::to_owned))
}

async fn delete(client: &mut Client, name: &str) -> i16 {
    let request =
        DeleteTopicsRequest { topic_names: vec![name], timeout_ms: 10_000, ..DeleteTopicsRequest::default() };
    client.call(&request, 5).await.read(DeleteTopicsResponse::decode).responses[0].error_code
}

#[test]
fn a_full_disk_refuses_records_and_everything_else_goes_on_until_there_is_room_without_a_restart() {
    let world = world();
    with_broker_in(&world, "", async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        assert_eq!(find_coordinator(&mut client).await.0, 0);
        until_loaded(&mut client).await;
        assert_eq!(client.produce(0, &batch(&["kept"])).await, (0, 0));
        fill(&world);
        let taken = until_refused(&broker, &mut client).await;
        // Whatever shard it is that noticed, the other has looked too.
        broker.world().sleep(Duration::from_millis(200)).await;
        for partition in [0, 1] {
            assert_eq!(client.produce(partition, &batch(&["refused"])).await.0, KAFKA_STORAGE_ERROR);
        }
        let (error, high_watermark, records) = client.fetch(0, 0).await;
        assert_eq!((error, high_watermark), (0, 1 + taken as i64), "what was taken is read");
        assert!(!records.is_empty());
        assert_eq!(metadata(&mut client).await, (0, 1, vec![]), "no replica is offline");
        for committed in 1..200 {
            assert_eq!(commit(&mut client, vec![offset(0, committed, None)]).await, [0]);
        }
        assert_eq!(fetch_offsets(&mut client, &[0]).await, [(199, String::new())]);
        make_room(&world);
        assert!(until_taken(&broker, &mut client).await < Duration::from_secs(5));
        assert_eq!(client.fetch(0, 0).await.1, 2 + taken as i64, "what was refused is not there");
    });
}

#[test]
fn a_full_disk_is_told_by_readiness_and_metrics_and_readers_are_still_sent_here() {
    let world = world();
    with_broker_in(&world, "", async |broker| {
        let mut client = broker.with_topic(4, &[]).await;
        assert_eq!(broker.metric("ringlog_disk_full").await, Some(0.0));
        assert!(broker.metric("ringlog_disk_reserve_bytes").await > Some(0.0));
        fill(&world);
        until_refused(&broker, &mut client).await;
        broker.world().sleep(Duration::from_millis(200)).await;
        assert_eq!(broker.metric("ringlog_disk_full").await, Some(2.0));
        let refused = broker.metric("ringlog_disk_full_refused_batches_total").await;
        client.produce(0, &batch(&["refused"])).await;
        let refused_later = broker.metric("ringlog_disk_full_refused_batches_total").await;
        assert_eq!(refused_later, refused.map(|count| count + 1.0));
        assert_eq!(broker.metric("ringlog_disk_failed").await, Some(0.0));
        assert_eq!(broker.page("/health").await.0, 200);
        let told = broker.page("/ready").await;
        assert_eq!(told, (200, "ready to be read; the disk is full and records are refused\n".to_owned()));
        make_room(&world);
        broker.world().sleep(Duration::from_secs(5)).await;
        assert_eq!(broker.page("/ready").await, (200, "ready\n".to_owned()));
        assert_eq!(broker.metric("ringlog_disk_full").await, Some(0.0));
    });
}

#[test]
fn no_topic_is_made_on_a_full_disk_and_one_can_be_deleted() {
    let world = world();
    with_broker_in(&world, "", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        assert_eq!(client.produce(0, &batch(&["going"])).await, (0, 0));
        fill(&world);
        until_refused(&broker, &mut client).await;
        broker.world().sleep(Duration::from_millis(200)).await;
        let (error, message) = create(&mut client, "another").await;
        assert_eq!((error, message.as_deref()), (KAFKA_STORAGE_ERROR, Some("the broker's disk is full")));
        assert_eq!(delete(&mut client, TOPIC).await, 0);
        broker.world().sleep(Duration::from_secs(5)).await;
        let left = world.disk().files().into_iter().filter(|(path, _)| path.contains("/topic-0")).count();
        assert_eq!(left, 0, "its files are gone");
        make_room(&world);
        broker.world().sleep(Duration::from_secs(5)).await;
        assert_eq!(create(&mut client, TOPIC).await.0, 0);
        assert_eq!(client.produce(0, &batch(&["anew"])).await, (0, 0));
    });
}

#[test]
fn a_retry_after_a_full_disk_is_appended_once() {
    let world = world();
    with_broker_in(&world, "", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        assert_eq!(client.produce(0, &sequenced(5, 0, 0, &["first"])).await, (0, 0));
        fill(&world);
        until_refused(&broker, &mut client).await;
        let before = client.fetch(0, 0).await.1;
        let second = sequenced(5, 0, 1, &["second"]);
        assert_eq!(client.produce(0, &second).await.0, KAFKA_STORAGE_ERROR);
        make_room(&world);
        broker.world().sleep(Duration::from_secs(5)).await;
        assert_eq!(client.produce(0, &second).await, (0, before), "a refusal says nothing was appended");
        assert_eq!(client.produce(0, &second).await, (0, before), "and the next one that it was");
        assert_eq!(client.fetch(0, 0).await.1, before + 1);
    });
}

#[test]
fn what_was_sent_behind_a_refused_batch_is_not_taken_before_it() {
    let world = world();
    with_broker_in(&world, "", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        fill(&world);
        until_refused(&broker, &mut client).await;
        let before = client.fetch(0, 0).await.1;
        let (first, second) = (sequenced(5, 0, 0, &["a", "b"]), sequenced(5, 0, 2, &["c"]));
        assert_eq!(client.produce(0, &first).await.0, KAFKA_STORAGE_ERROR);
        make_room(&world);
        broker.world().sleep(Duration::from_secs(5)).await;
        assert_eq!(client.produce(0, &second).await.0, KAFKA_STORAGE_ERROR, "it was under way meanwhile");
        assert_eq!(client.produce(0, &first).await, (0, before));
        assert_eq!(client.produce(0, &second).await, (0, before + 2));
    });
}

#[test]
fn c14_a_failed_disk_is_written_no_more_and_read_on() {
    for operation in [DiskOperation::Write, DiskOperation::Sync] {
        let world = world();
        with_broker_in(&world, "", async |broker| {
            let mut client = broker.with_topic(4, &[]).await;
            assert_eq!(find_coordinator(&mut client).await.0, 0);
            until_loaded(&mut client).await;
            assert_eq!(client.produce(0, &batch(&["kept"])).await, (0, 0));
            world.disk().fail(operation, 1);
            while client.produce(0, &batch(&["more"])).await.0 == 0 {
                broker.world().sleep(Duration::from_millis(20)).await;
            }
            broker.world().sleep(Duration::from_secs(1)).await;
            for partition in 0..4 {
                let refused = client.produce(partition, &batch(&["late"])).await.0;
                assert_eq!(
                    refused, KAFKA_STORAGE_ERROR,
                    "{operation:?}: the whole directory, on every shard"
                );
            }
            let (error, high_watermark, records) = client.fetch(0, 0).await;
            assert_eq!(error, 0, "{operation:?}: what was acknowledged is read");
            assert!(high_watermark >= 1 && !records.is_empty());
            assert_eq!(
                metadata(&mut client).await,
                (0, 1, vec![1]),
                "led, so that it can be read, and offline"
            );
            assert_eq!(commit(&mut client, vec![offset(0, 1, None)]).await, [NOT_COORDINATOR]);
            assert_eq!(create(&mut client, "another").await.0, KAFKA_STORAGE_ERROR);
            assert_eq!(broker.page("/ready").await.0, 503);
            let mutations = world.disk().mutations();
            broker.world().sleep(Duration::from_secs(60)).await;
            assert_eq!(world.disk().mutations(), mutations, "{operation:?}: nothing is tried again");
        });
    }
}

#[test]
fn a_disk_that_became_read_only_is_a_failed_one() {
    let world = world();
    with_broker_in(&world, "", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        assert_eq!(client.produce(0, &batch(&["kept"])).await, (0, 0));
        world.disk().set_read_only(true);
        assert_eq!(client.produce(0, &batch(&["lost"])).await.0, KAFKA_STORAGE_ERROR);
        world.disk().set_read_only(false);
        assert_eq!(
            client.produce(0, &batch(&["late"])).await.0,
            KAFKA_STORAGE_ERROR,
            "it is not trusted again"
        );
        let (error, high_watermark, _) = client.fetch(0, 0).await;
        assert_eq!((error, high_watermark), (0, 1), "nothing that was not acknowledged is shown");
    });
}

#[test]
fn a_metadata_log_that_cannot_be_written_fails_the_directory() {
    let world = world();
    with_broker_in(&world, "", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        assert_eq!(client.produce(0, &batch(&["kept"])).await, (0, 0));
        broker.world().sleep(Duration::from_secs(5)).await;
        world.disk().fail(DiskOperation::Write, 1);
        assert_eq!(create(&mut client, "another").await.0, KAFKA_STORAGE_ERROR);
        broker.world().sleep(Duration::from_secs(1)).await;
        assert_eq!(client.produce(0, &batch(&["late"])).await.0, KAFKA_STORAGE_ERROR);
        assert_eq!(client.fetch(0, 0).await.0, 0);
    });
}
