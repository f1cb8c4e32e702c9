//! A4: more partitions for topics there are.

use ringlog_net::protocol::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
};
use ringlog_net::protocol::metadata::{MetadataRequest, MetadataResponse};
use ringlog_runtime::memory::{MemoryWorld, Options};

use crate::harness::{Client, TOPIC, batch, with_broker, with_broker_in};

const NONE: i16 = 0;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_PARTITIONS: i16 = 37;
const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
const INVALID_REQUEST: i16 = 42;
const POLICY_VIOLATION: i16 = 44;

fn topic<'a>(name: &'a str, count: i32, assignments: Option<&[&[i32]]>) -> CreatePartitionsTopic<'a> {
    let assignment = |brokers: &&[i32]| CreatePartitionsAssignment { broker_ids: brokers.to_vec() };
    let assignments = assignments.map(|all| all.iter().map(assignment).collect());
    CreatePartitionsTopic { name, count, assignments }
}

async fn create(
    client: &mut Client,
    topics: Vec<CreatePartitionsTopic<'_>>,
    validate_only: bool,
) -> Vec<(String, i16)> {
    let request = CreatePartitionsRequest { topics, validate_only, ..CreatePartitionsRequest::default() };
    let response = client.call(&request, 3).await;
    let created = response.read(CreatePartitionsResponse::decode);
    created.results.iter().map(|topic| (topic.name.to_owned(), topic.error_code)).collect()
}

async fn create_one(client: &mut Client, topic: CreatePartitionsTopic<'_>) -> i16 {
    create(client, vec![topic], false).await[0].1
}

async fn partition_count(client: &mut Client) -> usize {
    let response = client.call(&MetadataRequest { topics: None, ..MetadataRequest::default() }, 9).await;
    response.read(MetadataResponse::decode).topics[0].partitions.len()
}

#[test]
fn a4_new_partitions_are_served_at_once_and_after_a_crash() {
    let world = MemoryWorld::new(7, Options::quiet());
    with_broker_in(&world, "", async |broker| {
        let mut client = broker.with_topic(1, &[("max.message.bytes", "200")]).await;
        assert_eq!(create_one(&mut client, topic(TOPIC, 4, None)).await, NONE);
        assert_eq!(partition_count(&mut client).await, 4);
        for partition in 0..4 {
            assert_eq!(client.produce(partition, &batch(&["x"])).await, (NONE, 0), "partition {partition}");
        }
    });
    world.crash();
    with_broker_in(&world, "", async |broker| {
        let mut client = broker.connect();
        for partition in 0..4 {
            assert_eq!(client.fetch(partition, 0).await.1, 1, "partition {partition}");
            assert_eq!(client.produce(partition, &batch(&["y"])).await, (NONE, 1), "partition {partition}");
        }
        let large = "y".repeat(200);
        assert_eq!(
            client.produce(3, &batch(&[&large])).await.0,
            10,
            "the topic's configuration holds for all"
        );
    });
}

#[test]
fn a4_the_number_of_partitions_must_grow() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        for count in [2, 1, 0, -1, i32::MIN] {
            assert_eq!(create_one(&mut client, topic(TOPIC, count, None)).await, INVALID_PARTITIONS);
        }
        assert_eq!(create_one(&mut client, topic(TOPIC, 20_000, None)).await, INVALID_PARTITIONS);
        assert_eq!(create_one(&mut client, topic(TOPIC, i32::MAX, None)).await, POLICY_VIOLATION);
        assert_eq!(create_one(&mut client, topic("nowhere", 3, None)).await, UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(partition_count(&mut client).await, 2);
    });
}

#[test]
fn a4_replicas_given_by_hand_must_fit_the_topic_and_the_cluster() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        for wrong in
            [&[][..], &[&[1][..]], &[&[1], &[]], &[&[1], &[1, 1]], &[&[1], &[9]], &[&[1], &[1], &[1]]]
        {
            let code = create_one(&mut client, topic(TOPIC, 3, Some(wrong))).await;
            assert_eq!(code, INVALID_REPLICA_ASSIGNMENT, "{wrong:?}");
        }
        assert_eq!(create_one(&mut client, topic(TOPIC, 3, Some(&[&[1], &[1]]))).await, NONE);
        assert_eq!(client.produce(2, &batch(&["x"])).await, (NONE, 0));
    });
}

#[test]
fn a4_every_topic_is_answered_once_and_one_named_twice_is_refused() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let topics = vec![topic(TOPIC, 2, None), topic("nowhere", 2, None), topic(TOPIC, 3, None)];
        let expected =
            [(TOPIC.to_owned(), INVALID_REQUEST), ("nowhere".to_owned(), UNKNOWN_TOPIC_OR_PARTITION)];
        assert_eq!(create(&mut client, topics, false).await, expected);
        assert_eq!(partition_count(&mut client).await, 1);
    });
}

#[test]
fn a4_validate_only_has_no_effect() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let topics = vec![topic(TOPIC, 2, None)];
        assert_eq!(create(&mut client, topics, true).await, [(TOPIC.to_owned(), NONE)]);
        assert_eq!(partition_count(&mut client).await, 1);
    });
}
