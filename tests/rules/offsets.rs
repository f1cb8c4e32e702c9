//! L: offsets and leader epochs.

use ringlog_net::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use ringlog_net::protocol::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition, OffsetForLeaderTopic,
};

use crate::harness::{Client, TOPIC, batch_at, with_broker};

/// Error code, offset and timestamp of one look-up.
pub async fn look_up(client: &mut Client, timestamp: i64, version: i16) -> (i16, i64, i64) {
    let partitions = vec![ListOffsetsPartition { timestamp, ..ListOffsetsPartition::default() }];
    let topics = vec![ListOffsetsTopic { name: TOPIC, partitions }];
    let request = ListOffsetsRequest { replica_id: -1, topics, ..ListOffsetsRequest::default() };
    let response = client.call(&request, version).await;
    let found = response.read(ListOffsetsResponse::decode);
    let partition = &found.topics[0].partitions[0];
    (partition.error_code, partition.offset, partition.timestamp)
}

#[test]
fn l1_the_ends_of_the_log_and_its_largest_timestamp() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        for (timestamp, values) in [(1_000, &["a", "b"][..]), (9_000, &["c"]), (5_000, &["d"])] {
            client.produce(0, &batch_at(timestamp, values)).await;
        }
        assert_eq!(look_up(&mut client, -1, 7).await, (0, 4, -1));
        assert_eq!(look_up(&mut client, -2, 7).await, (0, 0, -1));
        assert_eq!(look_up(&mut client, -3, 7).await, (0, 2, 9_000));
        assert_eq!(look_up(&mut client, -4, 8).await, (0, 0, -1));
        assert_eq!(look_up(&mut client, -5, 9).await, (0, -1, -1));
        assert_eq!(look_up(&mut client, -3, 6).await.0, 35, "newer than the version");
    });
}

#[test]
fn l2_a_time_finds_the_first_record_at_or_after_it_in_offset_order() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        for (timestamp, values) in [(1_000, &["a", "b"][..]), (9_000, &["c"]), (5_000, &["d"])] {
            client.produce(0, &batch_at(timestamp, values)).await;
        }
        assert_eq!(look_up(&mut client, 0, 5).await, (0, 0, 1_000));
        assert_eq!(look_up(&mut client, 1_001, 5).await, (0, 2, 9_000));
        assert_eq!(look_up(&mut client, 5_000, 5).await, (0, 2, 9_000));
        assert_eq!(look_up(&mut client, 9_001, 5).await, (0, -1, -1));
    });
}

#[test]
fn l5_a_partition_asked_for_twice_is_refused_and_others_are_answered() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        let partition = |partition_index| ListOffsetsPartition {
            partition_index,
            timestamp: -1,
            ..ListOffsetsPartition::default()
        };
        let partitions = vec![partition(0), partition(1), partition(0)];
        let topics = vec![ListOffsetsTopic { name: TOPIC, partitions }];
        let request = ListOffsetsRequest { replica_id: -1, topics, ..ListOffsetsRequest::default() };
        let response = client.call(&request, 7).await;
        let found = response.read(ListOffsetsResponse::decode);
        let errors: Vec<_> =
            found.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
        assert_eq!(errors, [42, 0, 42]);
    });
}

#[test]
fn l6_the_end_of_a_leader_epoch_is_told_at_version_two() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        client.produce(0, &batch_at(1_000, &["a", "b"])).await;
        let ask = |leader_epoch| OffsetForLeaderPartition {
            partition: 0,
            leader_epoch,
            ..OffsetForLeaderPartition::default()
        };
        let topics = vec![OffsetForLeaderTopic { topic: TOPIC, partitions: vec![ask(0), ask(7)] }];
        let request = OffsetForLeaderEpochRequest { topics, ..OffsetForLeaderEpochRequest::default() };
        let response = client.call(&request, 2).await;
        let found = response.read(OffsetForLeaderEpochResponse::decode);
        let ends: Vec<_> = found.topics[0]
            .partitions
            .iter()
            .map(|end| (end.error_code, end.leader_epoch, end.end_offset))
            .collect();
        assert_eq!(ends[0], (0, 0, 2));
        assert_eq!(ends[1], (0, -1, -1), "an epoch newer than any known has no end here");
    });
}
