//! C2, C12: what is too old or too much goes, segment by segment, and consumers below the log's start are told.

use std::time::Duration;

use ringlog_net::protocol::fetch::{FetchRequest, FetchResponse};
use ringlog_net::protocol::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use ringlog_net::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use ringlog_runtime::memory::{MemoryWorld, Options};

use crate::harness::{
    Broker, Client, TOPIC, batch_at, beside, fetch_request, records_of, with_broker, with_broker_in,
};

const NONE: i16 = 0;
const OFFSET_OUT_OF_RANGE: i16 = 1;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

const BROKER: i8 = 4;
const FOR_ALL_BROKERS: &str = "";

/// When the memory world's wall clock begins.
const WORLD_BEGINS_MS: i64 = 1_767_225_600_000;

/// Looks every second.
const EVERY_SECOND: &str = "log.retention.check.interval.ms=1000";

fn now(broker: &Broker) -> i64 {
    WORLD_BEGINS_MS + (broker.world().now().0 / 1_000_000) as i64
}

async fn seconds(broker: &Broker, seconds: u64) {
    broker.world().sleep(Duration::from_secs(seconds)).await;
}

async fn list_offset(client: &mut Client, timestamp: i64) -> i64 {
    let partitions = vec![ListOffsetsPartition { timestamp, ..ListOffsetsPartition::default() }];
    let topics = vec![ListOffsetsTopic { name: TOPIC, partitions }];
    let response = client.call(&ListOffsetsRequest { topics, ..ListOffsetsRequest::default() }, 11).await;
    response.read(ListOffsetsResponse::decode).topics[0].partitions[0].offset
}

/// The first and the next offset of the log.
async fn ends(client: &mut Client) -> (i64, i64) {
    (list_offset(client, EARLIEST).await, list_offset(client, LATEST).await)
}

async fn alter(client: &mut Client, resource_type: i8, resource_name: &str, name: &str, value: &str) {
    let configs = vec![AlterableConfig { name, config_operation: 0, value: Some(value) }];
    let resources = vec![AlterConfigsResource { resource_type, resource_name, configs }];
    let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
    let response = client.call(&request, 1).await;
    let altered = response.read(IncrementalAlterConfigsResponse::decode);
    assert_eq!(altered.responses[0].error_code, NONE, "{:?}", altered.responses[0].error_message);
}

/// Produces one record for each age in milliseconds; with `segment.ms=1` and ages that fall, one segment each.
async fn produce_aged(broker: &Broker, client: &mut Client, ages_ms: &[i64]) {
    for age_ms in ages_ms {
        assert_eq!(client.produce(0, &batch_at(now(broker) - age_ms, &["x"])).await.0, NONE);
    }
}

#[test]
fn c2_segments_whose_youngest_record_is_too_old_go_and_the_rest_stays() {
    with_broker(EVERY_SECOND, async |broker| {
        let mut client = broker.with_topic(1, &[("retention.ms", "60000"), ("segment.ms", "1")]).await;
        produce_aged(&broker, &mut client, &[90_000, 80_000, 30_000, 20_000]).await;
        seconds(&broker, 2).await;
        assert_eq!(ends(&mut client).await, (2, 4));
        assert_eq!(client.fetch(0, 1).await.0, OFFSET_OUT_OF_RANGE);
        assert_eq!(client.fetch(0, 2).await.0, NONE);
        seconds(&broker, 30).await;
        assert_eq!(ends(&mut client).await, (3, 4));
        assert_eq!(list_offset(&mut client, 0).await, 3, "by time: the first that is left");
        assert_eq!(list_offset(&mut client, MAX_TIMESTAMP).await, 3);
    });
}

#[test]
fn c2_an_idle_partition_becomes_empty_and_goes_on_with_the_next_offset() {
    with_broker(EVERY_SECOND, async |broker| {
        let mut client = broker.with_topic(1, &[("retention.ms", "5000")]).await;
        produce_aged(&broker, &mut client, &[0, 0, 0]).await;
        seconds(&broker, 4).await;
        assert_eq!(ends(&mut client).await, (0, 3));
        seconds(&broker, 3).await;
        assert_eq!(ends(&mut client).await, (3, 3));
        assert_eq!(client.fetch(0, 0).await.0, OFFSET_OUT_OF_RANGE);
        assert_eq!(client.fetch(0, 3).await, (NONE, 3, Vec::new()));
        assert_eq!(list_offset(&mut client, EARLIEST_LOCAL).await, 3);
        for nothing in [0, MAX_TIMESTAMP, LATEST_TIERED, EARLIEST_PENDING_UPLOAD] {
            assert_eq!(list_offset(&mut client, nothing).await, -1, "{nothing}");
        }
        assert_eq!(client.produce(0, &batch_at(now(&broker), &["next"])).await, (NONE, 3));
        assert_eq!(ends(&mut client).await, (3, 4));
    });
}

#[test]
fn c2_a_record_of_the_future_keeps_its_segment_and_those_behind_it() {
    with_broker(EVERY_SECOND, async |broker| {
        let mut client = broker.with_topic(1, &[("retention.ms", "1000"), ("segment.ms", "1")]).await;
        produce_aged(&broker, &mut client, &[90_000, -600_000, 90_000, 80_000]).await;
        seconds(&broker, 10).await;
        assert_eq!(ends(&mut client).await, (1, 4));
        seconds(&broker, 600).await;
        assert_eq!(ends(&mut client).await, (4, 4));
    });
}

#[test]
fn c2_records_without_timestamps_age_from_their_last_write() {
    with_broker(EVERY_SECOND, async |broker| {
        let mut client = broker.with_topic(1, &[("retention.ms", "5000")]).await;
        assert_eq!(client.produce(0, &batch_at(-1, &["x"])).await.0, NONE);
        seconds(&broker, 4).await;
        assert_eq!(ends(&mut client).await, (0, 1));
        seconds(&broker, 3).await;
        assert_eq!(ends(&mut client).await, (1, 1));
    });
}

#[test]
fn c2_size_retention_keeps_at_least_the_bytes_asked_for() {
    with_broker(EVERY_SECOND, async |broker| {
        let configs = [("retention.ms", "-1"), ("segment.ms", "1")];
        let mut client = broker.with_topic(1, &configs).await;
        produce_aged(&broker, &mut client, &[50_000, 40_000, 30_000, 20_000]).await;
        seconds(&broker, 3).await;
        assert_eq!(ends(&mut client).await, (0, 4), "-1 keeps everything");
        let one = batch_at(0, &["x"]).len();
        alter(&mut client, 2, TOPIC, "retention.bytes", &(2 * one + 1).to_string()).await;
        seconds(&broker, 3).await;
        assert_eq!(ends(&mut client).await, (1, 4));
        alter(&mut client, 2, TOPIC, "retention.bytes", &(2 * one).to_string()).await;
        seconds(&broker, 3).await;
        assert_eq!(ends(&mut client).await, (2, 4));
        alter(&mut client, 2, TOPIC, "retention.bytes", "0").await;
        seconds(&broker, 3).await;
        assert_eq!(ends(&mut client).await, (4, 4));
    });
}

#[test]
fn c12_only_a_policy_that_deletes_deletes_and_a_changed_one_acts_at_the_next_look() {
    for (policy, expected) in [("", 0), ("compact", 0), ("delete", 1), ("compact,delete", 1)] {
        with_broker(EVERY_SECOND, async |broker| {
            let configs = [("retention.ms", "1000"), ("cleanup.policy", policy)];
            let mut client = broker.with_topic(1, &configs).await;
            let keyed = ringlog_core::record_batch::BatchBuilder::new()
                .record_with(ringlog_core::time::Timestamp(now(&broker)), Some(b"key"), Some(b"x"), &[])
                .build();
            assert_eq!(client.produce(0, &keyed).await.0, NONE);
            seconds(&broker, 5).await;
            assert_eq!(ends(&mut client).await, (expected, 1), "{policy:?}");
            alter(&mut client, 2, TOPIC, "cleanup.policy", "delete").await;
            seconds(&broker, 3).await;
            assert_eq!(ends(&mut client).await, (1, 1), "{policy:?}, then delete");
        });
    }
}

#[test]
fn c2_limits_changed_for_every_broker_act_on_topics_without_their_own() {
    with_broker(EVERY_SECOND, async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        produce_aged(&broker, &mut client, &[60_000]).await;
        seconds(&broker, 3).await;
        assert_eq!(ends(&mut client).await, (0, 1));
        alter(&mut client, BROKER, FOR_ALL_BROKERS, "log.retention.ms", "30000").await;
        seconds(&broker, 3).await;
        assert_eq!(ends(&mut client).await, (1, 1));
    });
}

#[test]
fn c2_the_first_look_comes_after_half_a_minute_and_the_next_ones_as_configured() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[("retention.ms", "1000")]).await;
        produce_aged(&broker, &mut client, &[0]).await;
        seconds(&broker, 28).await;
        assert_eq!(ends(&mut client).await, (0, 1));
        seconds(&broker, 3).await;
        assert_eq!(ends(&mut client).await, (1, 1));
        produce_aged(&broker, &mut client, &[0]).await;
        seconds(&broker, 295).await;
        assert_eq!(ends(&mut client).await, (1, 2));
        seconds(&broker, 5).await;
        assert_eq!(ends(&mut client).await, (2, 2));
    });
}

#[test]
fn f9_a_fetch_that_waits_at_the_end_goes_on_waiting_when_the_log_becomes_empty() {
    with_broker(EVERY_SECOND, async |broker| {
        let mut client = broker.with_topic(1, &[("retention.ms", "2000")]).await;
        produce_aged(&broker, &mut client, &[0]).await;
        let mut waiting = broker.connect();
        let fetched = beside(&broker, async move {
            let request = FetchRequest { max_wait_ms: 60_000, ..fetch_request(&[(0, 1)]) };
            let response = waiting.call(&request, 12).await;
            let fetched = response.read(FetchResponse::decode);
            let data = &fetched.responses[0].partitions[0];
            assert_eq!((data.error_code, data.log_start_offset, data.high_watermark), (NONE, 1, 2));
            assert!(!records_of(data).is_empty());
        });
        seconds(&broker, 6).await;
        assert_eq!(ends(&mut client).await, (1, 1));
        assert!(!fetched.get());
        produce_aged(&broker, &mut client, &[0]).await;
        seconds(&broker, 1).await;
        assert!(fetched.get());
    });
}

#[test]
fn c2_what_went_is_counted_and_does_not_come_back_after_a_crash() {
    let world = MemoryWorld::new(7, Options::quiet());
    with_broker_in(&world, EVERY_SECOND, async |broker| {
        let mut client = broker.with_topic(1, &[("retention.ms", "60000"), ("segment.ms", "1")]).await;
        produce_aged(&broker, &mut client, &[90_000, 80_000, 10_000]).await;
        seconds(&broker, 2).await;
        assert_eq!(ends(&mut client).await, (2, 3));
        let age = async |name: &str| broker.metric(&format!("{name}{{shard=\"0\",reason=\"age\"}}")).await;
        let other = async |name: &str| broker.metric(&format!("{name}{{shard=\"1\",reason=\"age\"}}")).await;
        let sum = async |name: &str| age(name).await.unwrap() + other(name).await.unwrap();
        assert_eq!(sum("ringlog_retention_segments_total").await, 2.0);
        let bytes = 2 * batch_at(0, &["x"]).len();
        assert_eq!(sum("ringlog_retention_segment_bytes_total").await, bytes as f64);
    });
    world.crash();
    with_broker_in(&world, "", async |broker| {
        let mut client = broker.connect();
        assert_eq!(ends(&mut client).await, (2, 3));
        assert_eq!(client.fetch(0, 1).await.0, OFFSET_OUT_OF_RANGE);
        assert_eq!(client.fetch(0, 2).await.1, 3);
    });
}
