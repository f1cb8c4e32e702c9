//! What the broker tells of itself: counts after things happened, health, and clients that do not behave.

use std::time::Duration;

use ringlog_net::protocol::fetch::FetchRequest;
use ringlog_net::protocol::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ringlog_runtime::environment::Connection;
use ringlog_runtime::memory::{DiskOperation, MemoryWorld, Options, PerMillion};

use crate::harness::{
    TOPIC, batch, beside, fetch_request, sequenced, with_broker, with_broker_in, with_starting_broker,
};

#[test]
fn what_was_produced_and_fetched_is_counted() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        let (first, second) = (batch(&["a", "b", "c"]), batch(&["d", "e"]));
        assert_eq!(client.produce(0, &first).await.0, 0);
        assert_eq!(client.produce(1, &second).await.0, 0);
        let fetched_bytes = client.fetch(0, 1).await.2.len();
        client.fetch(1, 0).await;

        let metric = async |name: &str| broker.metric(name).await.unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(metric("ringlog_produced_batches_total").await, 2.0);
        assert_eq!(metric("ringlog_produced_records_total").await, 5.0);
        assert_eq!(metric("ringlog_produced_bytes_total").await, (first.len() + second.len()) as f64);
        assert_eq!(metric("ringlog_fetched_records_total").await, 4.0, "from offset 1 to 3, from 0 to 2");
        assert_eq!(metric("ringlog_fetched_bytes_total").await, (fetched_bytes + second.len()) as f64);
        assert_eq!(metric("ringlog_requests_total{api=\"Produce\"}").await, 2.0);
        assert_eq!(metric("ringlog_request_duration_seconds_count{api=\"Fetch\"}").await, 2.0);
        assert!(metric("ringlog_request_bytes_total{api=\"Produce\"}").await > first.len() as f64);
        let partition = format!("{{topic=\"{TOPIC}\",partition=\"0\"}}");
        for (name, value) in [("log_start_offset", 0.0), ("high_watermark", 3.0), ("log_end_offset", 3.0)] {
            assert_eq!(metric(&format!("ringlog_partition_{name}{partition}")).await, value, "{name}");
        }
        assert_eq!(metric(&format!("ringlog_partition_log_bytes{partition}")).await, first.len() as f64);
        assert_eq!((metric("ringlog_topics").await, metric("ringlog_partitions").await), (1.0, 2.0));
        assert_eq!(metric("ringlog_journal_commits_total").await, 2.0);
        assert_eq!(metric("ringlog_journal_commit_duration_seconds_count").await, 2.0);
        assert_eq!((metric("ringlog_shards").await, metric("ringlog_shards_silent").await), (2.0, 0.0));
        assert_eq!(metric("ringlog_requests_in_flight").await, 0.0);
    });
}

#[test]
fn a_batch_sent_twice_counts_as_a_duplicate_and_a_refused_one_as_an_error() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let ask = InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
        let producer_id = client.call(&ask, 4).await.read(InitProducerIdResponse::decode).producer_id;
        let records = sequenced(producer_id, 0, 0, &["a", "b"]);
        client.produce(0, &records).await;
        client.produce(0, &records).await;
        assert_eq!(client.produce(0, &sequenced(producer_id, 0, 9, &["c"])).await.0, 45);
        assert_eq!(client.produce(7, &records).await.0, 3);
        assert_eq!(client.fetch(0, 99).await.0, 1);

        let error = async |api: &str, error: &str| {
            let sample = format!("ringlog_request_errors_total{{api=\"{api}\",error=\"{error}\"}}");
            broker.metric(&sample).await
        };
        assert_eq!(broker.metric("ringlog_produced_records_total").await, Some(2.0));
        assert_eq!(broker.metric("ringlog_produced_duplicate_batches_total").await, Some(1.0));
        assert_eq!(broker.metric("ringlog_produced_refused_batches_total").await, Some(1.0));
        assert_eq!(error("Produce", "OUT_OF_ORDER_SEQUENCE_NUMBER").await, Some(1.0));
        assert_eq!(error("Produce", "UNKNOWN_TOPIC_OR_PARTITION").await, Some(1.0));
        assert_eq!(error("Fetch", "OFFSET_OUT_OF_RANGE").await, Some(1.0));
        assert_eq!(
            error("Fetch", "UNKNOWN_TOPIC_OR_PARTITION").await,
            None,
            "what never happened has no line"
        );
    });
}

#[test]
fn a_long_poll_is_seen_while_it_waits_and_its_wait_is_told_apart() {
    with_broker("ringlog.slow.request.ms=500", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let done = beside(&broker, async move {
            let request = FetchRequest { max_wait_ms: 3_000, ..fetch_request(&[(0, 0)]) };
            client.call(&request, 12).await;
        });
        broker.world().sleep(Duration::from_millis(500)).await;
        assert_eq!(broker.metric("ringlog_fetches_waiting").await, Some(1.0));
        assert_eq!(broker.metric("ringlog_requests_in_flight").await, Some(1.0));
        broker.world().sleep(Duration::from_millis(3_000)).await;
        assert!(done.get());
        let waited = broker.metric("ringlog_fetch_wait_seconds_total").await.unwrap();
        assert!((2.9..3.1).contains(&waited), "{waited} s");
        assert_eq!(broker.metric("ringlog_slow_requests_total{api=\"Fetch\"}").await, Some(0.0));
        assert_eq!(broker.metric("ringlog_requests_in_flight").await, Some(0.0));
    });
}

#[test]
fn a_request_behind_a_slow_disk_counts_as_slow() {
    let world = MemoryWorld::new(7, Options::quiet());
    with_broker_in(&world, "ringlog.slow.request.ms=20", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        client.produce(0, &batch(&["quick"])).await;
        assert_eq!(broker.metric("ringlog_slow_requests_total{api=\"Produce\"}").await, Some(0.0));
        let mut faults = world.options().faults.clone();
        (faults.disk_slow, faults.disk_slow_delay_ns_max) = (PerMillion(1_000_000), 400_000_000);
        world.set_faults(faults);
        for _ in 0..10 {
            client.produce(0, &batch(&["slow"])).await;
        }
        let slow = broker.metric("ringlog_slow_requests_total{api=\"Produce\"}").await.unwrap();
        assert!(slow >= 5.0, "{slow} of ten");
    });
}

#[test]
fn partitions_beyond_the_bound_have_no_metrics_of_their_own() {
    for (properties, expected) in [("", 8.0), ("ringlog.metrics.partitions.max=4", 4.0)] {
        with_broker(properties, async |broker| {
            broker.with_topic(8, &[]).await;
            let (_, text) = broker.page("/metrics").await;
            let told = text.matches("\nringlog_partition_high_watermark{").count() as f64;
            assert!(told <= expected && told > 0.0, "{told} of {expected}");
            assert_eq!(broker.metric("ringlog_partitions_left_out").await, Some(8.0 - told));
        });
    }
    with_broker("ringlog.metrics.partitions.max=0", async |broker| {
        broker.with_topic(8, &[]).await;
        assert_eq!(broker.metric("ringlog_partition_high_watermark").await, None);
        assert_eq!(broker.metric("ringlog_partitions").await, Some(8.0));
    });
}

#[test]
fn a_starting_broker_is_alive_and_becomes_ready() {
    with_starting_broker(&MemoryWorld::new(7, Options::quiet()), "", async |broker| {
        let mut verdicts = Vec::new();
        while verdicts.last() != Some(&200) {
            let (status, why) = broker.page("/ready").await;
            assert!(status != 503 || why.contains("recovered") || why.contains("opened"), "{why}");
            if status == 503 {
                assert_eq!(broker.page("/health").await, (200, "alive\n".to_owned()));
            }
            verdicts.push(status);
            broker.world().sleep(Duration::from_micros(100)).await;
        }
        assert!(verdicts.contains(&503), "{verdicts:?}");
        assert_eq!(broker.page("/ready").await, (200, "ready\n".to_owned()));
        assert_eq!(broker.metric("ringlog_ready").await, Some(1.0));
    });
}

#[test]
fn a_failed_disk_makes_the_broker_unready_and_leaves_it_alive() {
    let world = MemoryWorld::new(7, Options::quiet());
    with_broker_in(&world, "", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        world.disk().fail(DiskOperation::Write, 1);
        assert_eq!(client.produce(0, &batch(&["lost"])).await.0, 56);
        let (status, why) = broker.page("/ready").await;
        assert_eq!(status, 503);
        assert!(why.contains("the disk of shard"), "{why}");
        assert_eq!(broker.page("/health").await.0, 200, "reading goes on");
        assert_eq!(
            broker.metric("ringlog_disk_failed").await,
            Some(2.0),
            "on both shards: it is one directory"
        );
        assert_eq!(broker.metric("ringlog_ready").await, Some(0.0));
    });
}

#[test]
fn what_is_no_question_is_answered_as_such_and_harms_nobody() {
    with_broker("", async |broker| {
        let large = [b"GET /metrics HTTP/1.1\r\nX: ".as_slice(), &[b'x'; 20_000]].concat();
        for (bytes, status) in [
            (b"\x00\x00\x00\x0e\x00\x12\x00\x03\x00\x00\x00\x01\x00\x04test".as_slice(), "400"),
            (b"GET /secret HTTP/1.1\r\n\r\n".as_slice(), "404"),
            (b"DELETE /metrics HTTP/1.1\r\n\r\n".as_slice(), "405"),
            (large.as_slice(), "431"),
        ] {
            let said = broker.ask_metrics(bytes).await;
            assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {said}");
        }
        let head = broker.ask_metrics(b"HEAD /metrics HTTP/1.1\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
        assert_eq!(broker.page("/health").await.0, 200);
    });
}

#[test]
fn clients_that_do_not_ask_are_bounded_in_number_and_time() {
    with_broker("", async |broker| {
        let silent: Vec<_> = (0..16).map(|_| broker.connect_to_metrics()).collect();
        broker.world().sleep(Duration::from_millis(100)).await;
        assert_eq!(broker.page("/health").await, (0, String::new()), "all places are taken");
        broker.world().sleep(Duration::from_secs(6)).await;
        assert_eq!(broker.page("/health").await.0, 200, "places of those who do not ask are given back");
        for connection in silent {
            assert!(connection.receive().await.map_or(true, |received| received.is_empty()));
        }
    });
}
