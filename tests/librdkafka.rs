//! The broker as its users meet it: a process on real rings, asked by librdkafka.
//!
//! Each test starts a broker of its own. What the scripts in `tests/clients/` ask of many clients at length is asked
//! here in short, so that `cargo test` alone shows that the whole holds together.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Message, Timestamp};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::util::Timeout;
use support::{BrokerProcess, Places};

const WAIT: Duration = Duration::from_secs(60);
/// Polls without a record before a test gives up: each error is one, and each second of silence.
const FRUITLESS_POLLS_MAX: usize = 1000;
/// Unacknowledged records a test keeps in flight.
const IN_FLIGHT: usize = 2000;

fn producer(config: &mut ClientConfig) -> FutureProducer {
    config.set("message.timeout.ms", "120000").set("linger.ms", "2").create().expect("a producer")
}

/// Value number `n`: its number, then a length that differs.
fn value(n: usize) -> Vec<u8> {
    let mut bytes = format!("value {n} ").into_bytes();
    bytes.resize(bytes.len() + n % 200, b'a' + (n % 26) as u8);
    bytes
}

/// Produces values `0..count` with 97 keys and calls `acknowledged` with each answer's number. Returns the ledger.
async fn produce(
    producer: &FutureProducer,
    topic: &str,
    count: usize,
    mut acknowledged: impl FnMut(usize),
) -> BTreeMap<(i32, i64), usize> {
    let sends = stream::iter(0..count).map(|n| async move {
        let (key, value) = (format!("key {}", n % 97), value(n));
        let sent =
            producer.send(FutureRecord::to(topic).key(&key).payload(&value), Timeout::After(WAIT)).await;
        (n, sent)
    });
    let mut answers = sends.buffer_unordered(IN_FLIGHT);
    let mut ledger = BTreeMap::new();
    while let Some((n, sent)) = answers.next().await {
        let place = sent.unwrap_or_else(|(error, _)| panic!("record {n}: {error}"));
        let before = ledger.insert((place.partition, place.offset), n);
        assert_eq!(before, None, "{place:?} was acknowledged for two records");
        acknowledged(ledger.len());
    }
    ledger
}

/// What is in the log is what was acknowledged, place by place, dense from zero, each key's records in order.
fn assert_ledger_holds(ledger: &BTreeMap<(i32, i64), usize>, places: &Places) {
    let wanted: Places = ledger.iter().map(|(place, n)| (*place, value(*n))).collect();
    let differing = wanted.iter().find(|(place, value)| places.get(place) != Some(value));
    assert_eq!(differing, None, "an acknowledged record is not where it was said to be");
    let unknown = places.keys().find(|place| !wanted.contains_key(place));
    assert_eq!(unknown, None, "a record is there that was never acknowledged: it was written twice");
    let mut next_offsets: BTreeMap<i32, i64> = BTreeMap::new();
    let mut last_of_key: BTreeMap<usize, usize> = BTreeMap::new();
    for ((partition, offset), n) in ledger {
        let next = next_offsets.entry(*partition).or_insert(0);
        assert_eq!(offset, next, "offsets of partition {partition} are dense");
        *next += 1;
        let last = last_of_key.insert(n % 97, *n);
        assert!(last < Some(*n), "key {}: record {n} lies behind record {last:?}", n % 97);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_every_codec_come_back_from_every_partition_in_order() {
    let broker = BrokerProcess::start(&[]);
    for codec in ["none", "gzip", "snappy", "lz4"] {
        broker.create_topic(codec, 12).await;
        let producer =
            producer(broker.client().set("compression.type", codec).set("enable.idempotence", "true"));
        let ledger = produce(&producer, codec, 3000, |_| {}).await;
        let partitions: BTreeSet<i32> = ledger.keys().map(|(partition, _)| *partition).collect();
        assert_eq!(partitions.len(), 12, "97 keys fall on all partitions");
        assert_ledger_holds(&ledger, &broker.read_all(codec, 12));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_nine_and_is_there_once() {
    let mut broker = BrokerProcess::start(&[]);
    broker.create_topic("killed", 12).await;
    let producer = producer(broker.client().set("enable.idempotence", "true"));
    let ledger = produce(&producer, "killed", 20_000, |acknowledged| {
        if acknowledged == 5_000 || acknowledged == 12_000 {
            tokio::task::block_in_place(|| {
                broker.kill();
                broker.restart(&[]);
            });
        }
    })
    .await;
    assert_ledger_holds(&ledger, &broker.read_all("killed", 12));
}

/// A member of a group that commits by hand.
fn member(broker: &BrokerProcess, group: &str) -> BaseConsumer {
    let mut config = broker.client();
    config.set("group.id", group).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    config.create().expect("a consumer")
}

fn committed(consumer: &BaseConsumer, topic: &str) -> i64 {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, 0);
    let told = consumer.committed_offsets(asked, WAIT).expect("an answer");
    told.elements()[0].offset().to_raw().expect("a place")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_committed_offset_survives_kill_nine_and_never_goes_back() {
    let mut broker = BrokerProcess::start(&["--override", "group.initial.rebalance.delay.ms=0"]);
    broker.create_topic("read", 1).await;
    produce(&producer(&mut broker.client()), "read", 500, |_| {}).await;
    let consumer = member(&broker, "readers");
    consumer.subscribe(&["read"]).expect("a topic to read");
    let (mut next, mut acknowledged) = (0, 0);
    let mut fruitless_polls = 0;
    while next < 500 {
        // The broker is away for a moment now and then: the client says so and goes on.
        let Some(Ok(message)) = consumer.poll(Duration::from_secs(1)) else {
            fruitless_polls += 1;
            assert!(fruitless_polls < FRUITLESS_POLLS_MAX, "no record after {next}");
            continue;
        };
        assert!(message.offset() <= next, "record {} comes before {next}", message.offset());
        next = message.offset() + 1;
        if consumer.commit_message(&message, CommitMode::Sync).is_ok() {
            acknowledged = next;
        }
        if next % 120 == 0 {
            tokio::task::block_in_place(|| {
                broker.kill();
                broker.restart(&[]);
            });
            let stored = committed(&member(&broker, "readers"), "read");
            assert!(stored >= acknowledged, "{acknowledged} was acknowledged, {stored} is stored");
        }
    }
    assert_eq!(acknowledged, 500, "the last commit was taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_in_order_everything_is_there_with_another_number_of_cores() {
    let mut broker = BrokerProcess::start(&["--cores", "2"]);
    broker.create_topic("stopped", 5).await;
    let ledger = produce(&producer(&mut broker.client()), "stopped", 3000, |_| {}).await;
    let ended = broker.terminate();
    assert_eq!(ended.code(), Some(0), "SIGTERM ends a broker in order");
    assert!(
        broker.data().join("stopped-0/00000000000000000000.log").is_file(),
        "segments lie where Kafka puts them"
    );
    broker.restart(&["--cores", "1"]);
    assert_ledger_holds(&ledger, &broker.read_all("stopped", 5));
    broker.kill();
    broker.restart(&["--cores", "2"]);
    assert_ledger_holds(&ledger, &broker.read_all("stopped", 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_broker_on_the_same_directory_is_refused() {
    let broker = BrokerProcess::start(&[]);
    let refusal = broker.second_on_same_directory().expect_err("one directory has one broker");
    assert!(refusal.contains("data"), "the refusal names the directory: {refusal}");
    broker.create_topic("still-served", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_whose_starter_does_not_listen_serves_all_the_same() {
    let broker = BrokerProcess::start_unheard();
    broker.create_topic("unheard", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_found_by_time_and_the_ends_are_known() {
    let broker = BrokerProcess::start(&[]);
    broker.create_topic("times", 1).await;
    let producer = producer(&mut broker.client());
    let first_ms = Timestamp::now().to_millis().expect("now is a time") - 3_600_000;
    for n in 0..10 {
        let record = FutureRecord::<(), _>::to("times").payload("x").timestamp(first_ms + 1000 * n);
        producer.send(record, Timeout::After(WAIT)).await.expect("the record is acknowledged");
    }
    let consumer = broker.consumer();
    assert_eq!(consumer.fetch_watermarks("times", 0, WAIT).expect("watermarks"), (0, 10));
    let at = |timestamp_ms: i64| {
        let mut query = TopicPartitionList::new();
        query.add_partition_offset("times", 0, Offset::Offset(timestamp_ms)).expect("a time is not negative");
        let found = consumer.offsets_for_times(query, WAIT).expect("an answer");
        found.elements()[0].offset()
    };
    assert_eq!(at(first_ms + 4001), Offset::Offset(5));
    assert_eq!(at(first_ms), Offset::Offset(0));
    assert_eq!(at(first_ms + 10_000), Offset::End);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_described_and_deleted() {
    let broker = BrokerProcess::start(&[]);
    broker.create_topic("short-lived", 3).await;
    let admin: AdminClient<DefaultClientContext> = broker.client().create().expect("an admin client");
    let metadata = admin.inner().fetch_metadata(Some("short-lived"), WAIT).expect("metadata");
    assert_eq!(metadata.topics()[0].partitions().len(), 3);
    let described =
        admin.describe_configs(&[ResourceSpecifier::Topic("short-lived")], &AdminOptions::new()).await;
    let described = described.expect("an answer").remove(0).expect("the topic exists");
    assert_eq!(described.get("cleanup.policy").and_then(|entry| entry.value.as_deref()), Some("delete"));
    let deleted = admin.delete_topics(&["short-lived"], &AdminOptions::new()).await.expect("an answer");
    assert_eq!(deleted, [Ok("short-lived".to_owned())]);
    let deleted = admin.delete_topics(&["short-lived"], &AdminOptions::new()).await.expect("an answer");
    assert_eq!(deleted, [Err(("short-lived".to_owned(), RDKafkaErrorCode::UnknownTopicOrPartition))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transactional_producer_is_refused_cleanly_and_the_broker_goes_on() {
    let broker = BrokerProcess::start(&[]);
    let transactional: FutureProducer =
        broker.client().set("transactional.id", "not-yet").create().expect("a producer");
    let refused = transactional.init_transactions(Timeout::After(Duration::from_secs(5)));
    assert!(refused.is_err(), "transactions do not exist yet");
    broker.create_topic("goes-on", 1).await;
    let ledger = produce(&producer(&mut broker.client()), "goes-on", 100, |_| {}).await;
    assert_ledger_holds(&ledger, &broker.read_all("goes-on", 1));
}
