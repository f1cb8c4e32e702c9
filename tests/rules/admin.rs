//! A8, R8, R9: looking at topics and directories, elections and moves, as the only broker answers them.

use ringlog_net::protocol::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignableTopic,
};
use ringlog_net::protocol::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsRequest, DescribeLogDirsResponse,
};
use ringlog_net::protocol::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicRequest,
};
use ringlog_net::protocol::elect_leaders::{ElectLeadersRequest, ElectLeadersResponse, TopicPartitions};
use ringlog_net::protocol::list_config_resources::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use ringlog_net::protocol::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use crate::harness::{Client, TOPIC, batch, with_broker};

const NONE: i16 = 0;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const INVALID_TOPIC: i16 = 17;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
const INVALID_REQUEST: i16 = 42;
const ELECTION_NOT_NEEDED: i16 = 84;
const NO_REASSIGNMENT_IN_PROGRESS: i16 = 85;

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

/// Error, name and partitions of each topic of a page, and where the next one begins.
type Page = (Vec<(i16, String, Vec<i32>)>, Option<(String, i32)>);

async fn page(client: &mut Client, names: &[&str], limit: i32, cursor: Option<(&str, i32)>) -> Page {
    let cursor = cursor.map(|(topic_name, partition_index)| Cursor { topic_name, partition_index });
    let topics = names.iter().map(|name| TopicRequest { name }).collect();
    let request = DescribeTopicPartitionsRequest { topics, response_partition_limit: limit, cursor };
    let response = client.call(&request, 0).await;
    let described = response.read(DescribeTopicPartitionsResponse::decode);
    let topics = described.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| partition.partition_index);
        (topic.error_code, topic.name.expect("a name").to_owned(), partitions.collect())
    });
    let next = described.next_cursor.as_ref();
    (topics.collect(), next.map(|cursor| (cursor.topic_name.to_owned(), cursor.partition_index)))
}

fn topic(name: &str, partitions: &[i32]) -> (i16, String, Vec<i32>) {
    (NONE, name.to_owned(), partitions.to_vec())
}

fn refused(code: i16, name: &str) -> (i16, String, Vec<i32>) {
    (code, name.to_owned(), Vec::new())
}

fn cursor(name: &str, partition: i32) -> Option<(String, i32)> {
    Some((name.to_owned(), partition))
}

#[test]
fn a8_topics_are_described_page_by_page_in_the_order_of_their_names() {
    with_broker("", async |broker| {
        let mut client = broker.connect();
        for (name, count) in [("b", 5), ("a", 2), ("c", 1)] {
            client.create_topic(name, count, &[]).await;
        }
        let all = &[][..];
        let first = page(&mut client, all, 4, None).await;
        assert_eq!(first, (vec![topic("a", &[0, 1]), topic("b", &[0, 1])], cursor("b", 2)));
        let second = page(&mut client, all, 4, Some(("b", 2))).await;
        assert_eq!(second, (vec![topic("b", &[2, 3, 4]), topic("c", &[0])], None));
        let named = page(&mut client, &["c", "a", "c"], 2, None).await;
        assert_eq!(named, (vec![topic("a", &[0, 1])], cursor("c", 0)), "sorted, once each");
        let deleted = page(&mut client, all, 2, Some(("aa", 7))).await;
        assert_eq!(deleted, (vec![topic("b", &[0, 1])], cursor("b", 2)), "the cursor's topic is gone");
        let few = page(&mut client, all, -5, None).await;
        assert_eq!(few, (vec![topic("a", &[0])], cursor("a", 1)), "a page has at least one partition");
    });
}

#[test]
fn a8_a_page_has_no_more_partitions_than_the_broker_allows() {
    with_broker("max.request.partition.size.limit=3", async |broker| {
        let mut client = broker.with_topic(5, &[]).await;
        let first = page(&mut client, &[TOPIC], 2_000, None).await;
        assert_eq!(first, (vec![topic(TOPIC, &[0, 1, 2])], cursor(TOPIC, 3)));
    });
}

#[test]
fn a8_unknown_topics_and_bad_cursors_are_told() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let described = page(&mut client, &["nowhere", TOPIC, "bad name"], 9, None).await;
        let bad = refused(INVALID_TOPIC, "bad name");
        let unknown = refused(UNKNOWN_TOPIC_OR_PARTITION, "nowhere");
        assert_eq!(described, (vec![bad, unknown, topic(TOPIC, &[0])], None));
        for wrong in [(TOPIC, -1), ("zzz", 0)] {
            let described = page(&mut client, &[TOPIC], 9, Some(wrong)).await;
            assert_eq!(described, (vec![refused(INVALID_REQUEST, TOPIC)], None));
        }
    });
}

#[test]
fn a8_log_directories_tell_sizes_and_room() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(3, &[]).await;
        let record = batch(&["some bytes"]);
        for _ in 0..2 {
            client.produce(1, &record).await;
        }
        let all = DescribeLogDirsRequest { topics: None };
        let response = client.call(&all, 5).await;
        let described = response.read(DescribeLogDirsResponse::decode);
        assert_eq!((described.error_code, described.results.len()), (NONE, 1));
        let directory = &described.results[0];
        assert_eq!((directory.error_code, directory.log_dir), (NONE, "/data"));
        assert!(0 < directory.usable_bytes && directory.usable_bytes <= directory.total_bytes);
        let sizes: Vec<_> = directory.topics[0]
            .partitions
            .iter()
            .map(|partition| (partition.partition_index, partition.partition_size, partition.offset_lag))
            .collect();
        let written = i64::try_from(2 * record.len()).expect("small");
        assert_eq!((directory.topics[0].name, sizes), (TOPIC, vec![(0, 0, 0), (1, written, 0), (2, 0, 0)]));
    });
}

#[test]
fn a8_log_directories_leave_out_what_was_not_asked_for_and_what_is_not_there() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(3, &[]).await;
        let asked =
            |topic, partitions: &[i32]| DescribableLogDirTopic { topic, partitions: partitions.to_vec() };
        let some =
            DescribeLogDirsRequest { topics: Some(vec![asked(TOPIC, &[2, 9]), asked("nowhere", &[0])]) };
        let response = client.call(&some, 1).await;
        let described = response.read(DescribeLogDirsResponse::decode);
        let topics = &described.results[0].topics;
        assert_eq!(
            (topics.len(), topics[0].partitions.len(), topics[0].partitions[0].partition_index),
            (1, 1, 2)
        );
        let none = DescribeLogDirsRequest { topics: Some(Vec::new()) };
        let response = client.call(&none, 4).await;
        assert_eq!(response.read(DescribeLogDirsResponse::decode).results[0].topics.len(), 0);
    });
}

#[test]
fn a6_what_can_be_configured_is_listed_by_type() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        for (types, version, expected) in [
            (&[][..], 1, vec![("1", 4), (TOPIC, 2)]),
            (&[2], 1, vec![(TOPIC, 2)]),
            (&[4, 4], 1, vec![("1", 4)]),
            (&[8, 16, 32], 1, vec![]),
            (&[], 0, vec![]),
        ] {
            let request = ListConfigResourcesRequest { resource_types: types.to_vec() };
            let response = client.call(&request, version).await;
            let listed = response.read(ListConfigResourcesResponse::decode);
            let found: Vec<_> = listed
                .config_resources
                .iter()
                .map(|resource| (resource.resource_name, resource.resource_type))
                .collect();
            assert_eq!((listed.error_code, found), (NONE, expected), "{types:?}");
        }
        let request = ListConfigResourcesRequest { resource_types: vec![2, 99] };
        let response = client.call(&request, 1).await;
        assert_eq!(response.read(ListConfigResourcesResponse::decode).error_code, UNSUPPORTED_VERSION);
    });
}

async fn elect(client: &mut Client, election_type: i8, topics: Option<&[(&str, &[i32])]>) -> (i16, Vec<i16>) {
    let topics = topics.map(|topics| {
        topics
            .iter()
            .map(|&(topic, partitions)| TopicPartitions { topic, partitions: partitions.to_vec() })
            .collect()
    });
    let request =
        ElectLeadersRequest { election_type, topic_partitions: topics, ..ElectLeadersRequest::default() };
    let response = client.call(&request, 2).await;
    let elected = response.read(ElectLeadersResponse::decode);
    let results = elected.replica_election_results.iter();
    let codes = results.flat_map(|topic| topic.partition_result.iter().map(|partition| partition.error_code));
    (elected.error_code, codes.collect())
}

#[test]
fn r8_no_election_is_needed_where_the_only_broker_leads() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        let asked = &[(TOPIC, &[0, 1, 9][..]), ("nowhere", &[0])][..];
        let unknown = UNKNOWN_TOPIC_OR_PARTITION;
        let expected = vec![ELECTION_NOT_NEEDED, ELECTION_NOT_NEEDED, unknown, unknown];
        for kind in [PREFERRED, UNCLEAN] {
            assert_eq!(elect(&mut client, kind, Some(asked)).await, (NONE, expected.clone()));
            assert_eq!(elect(&mut client, kind, None).await, (NONE, vec![]), "all that need a leader: none");
        }
        let strange = elect(&mut client, 7, Some(&[(TOPIC, &[0])])).await;
        assert_eq!(strange, (INVALID_REQUEST, vec![INVALID_REQUEST]));
    });
}

#[test]
fn r9_partitions_stay_where_they_are_and_nothing_is_moving() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        let partition = |partition_index, replicas: Option<&[i32]>| ReassignablePartition {
            partition_index,
            replicas: replicas.map(<[i32]>::to_vec),
        };
        let partitions = vec![
            partition(0, Some(&[1])),
            partition(1, None),
            partition(1, Some(&[])),
            partition(1, Some(&[1, 1])),
            partition(1, Some(&[2])),
            partition(9, None),
        ];
        let request = AlterPartitionReassignmentsRequest {
            topics: vec![ReassignableTopic { name: TOPIC, partitions }],
            allow_replication_factor_change: false,
            ..AlterPartitionReassignmentsRequest::default()
        };
        let response = client.call(&request, 1).await;
        let altered = response.read(AlterPartitionReassignmentsResponse::decode);
        assert!(!altered.allow_replication_factor_change, "as it was asked");
        let codes: Vec<_> =
            altered.responses[0].partitions.iter().map(|partition| partition.error_code).collect();
        let bad = INVALID_REPLICA_ASSIGNMENT;
        assert_eq!(codes, [NONE, NO_REASSIGNMENT_IN_PROGRESS, bad, bad, bad, UNKNOWN_TOPIC_OR_PARTITION]);
        let response = client.call(&ListPartitionReassignmentsRequest::default(), 0).await;
        let listed = response.read(ListPartitionReassignmentsResponse::decode);
        assert_eq!((listed.error_code, listed.topics.len()), (NONE, 0));
    });
}
