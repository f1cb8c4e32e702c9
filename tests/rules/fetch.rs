//! F: fetch.

use std::time::Duration;

use ringlog_net::protocol::ApiKey;
use ringlog_net::protocol::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic};

use ringlog_runtime::memory::{Limits, MemoryWorld, Options};

use crate::harness::{
    Client, Response, TOPIC, batch, beside, fetch_request, produce_request, records_of, with_broker,
    with_broker_in,
};

/// What a session's request names: partitions with offsets, forgotten partitions.
fn in_session(id: i32, epoch: i32, partitions: &[(i32, i64)], forgotten: &[i32]) -> FetchRequest<'static> {
    let mut request = FetchRequest { session_id: id, session_epoch: epoch, ..fetch_request(partitions) };
    if partitions.is_empty() {
        request.topics.clear();
    }
    if !forgotten.is_empty() {
        request.forgotten_topics_data = vec![ForgottenTopic {
            topic: TOPIC,
            partitions: forgotten.to_vec(),
            ..ForgottenTopic::default()
        }];
    }
    request
}

/// Error, session id and the partitions named in the response.
async fn ask(client: &mut Client, request: &FetchRequest<'_>) -> (i16, i32, Vec<i32>) {
    let response = client.call(request, 12).await;
    let fetched = response.read(FetchResponse::decode);
    let partitions = fetched.responses.iter().flat_map(|topic| &topic.partitions);
    (fetched.error_code, fetched.session_id, partitions.map(|partition| partition.partition_index).collect())
}

#[test]
fn f1_the_first_partition_with_records_may_exceed_every_bound_by_one_batch() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(3, &[]).await;
        let records = batch(&[&"x".repeat(500)]);
        for partition in 1..3 {
            client.produce(partition, &records).await;
        }
        let mut request = fetch_request(&[(0, 0), (1, 0), (2, 0)]);
        request.max_bytes = 1;
        request.topics[0].partitions.iter_mut().for_each(|partition| partition.partition_max_bytes = 1);
        let response = client.call(&request, 12).await;
        let fetched = response.read(FetchResponse::decode);
        let sizes: Vec<_> =
            fetched.responses[0].partitions.iter().map(|partition| records_of(partition).len()).collect();
        assert_eq!(sizes, [0, records.len(), 0]);
    });
}

#[test]
fn f1_a_client_that_wants_no_bytes_gets_one_batch_all_the_same() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let records = batch(&["a"]);
        client.produce(0, &records).await;
        client.produce(0, &records).await;
        let mut request = FetchRequest { max_wait_ms: 60_000, ..fetch_request(&[(0, 0)]) };
        request.topics[0].partitions[0].partition_max_bytes = 0;
        let began = broker.world().now();
        let response = client.call(&request, 12).await;
        let fetched = response.read(FetchResponse::decode);
        assert_eq!(records_of(&fetched.responses[0].partitions[0]).len(), records.len());
        assert!(broker.world().now().since(began) < Duration::from_secs(1));
    });
}

#[test]
fn f2_an_offset_inside_a_batch_returns_the_whole_batch() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        client.produce(0, &batch(&["a", "b", "c"])).await;
        let (error, _, records) = client.fetch(0, 2).await;
        assert_eq!((error, &records[..8]), (0, &0i64.to_be_bytes()[..]));
        assert_eq!(records.len(), batch(&["a", "b", "c"]).len());
    });
}

#[test]
fn f4_a_long_poll_ends_when_enough_has_come_to_any_partitions() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(4, &[]).await;
        let mut request = fetch_request(&[(0, 0), (1, 0), (2, 0), (3, 0)]);
        request.max_wait_ms = 60_000;
        request.min_bytes = 150;
        client.send(&request, 12).await;
        let mut producer = broker.connect();
        for partition in 0..4 {
            producer.produce(partition, &batch(&["a"])).await;
        }
        let response = client.receive(ApiKey::Fetch, 12).await.unwrap();
        let fetched = response.read(FetchResponse::decode);
        let bytes: usize =
            fetched.responses[0].partitions.iter().map(|partition| records_of(partition).len()).sum();
        assert!(bytes >= 150, "{bytes}");
    });
}

#[test]
fn f4_a_long_poll_ends_when_enough_can_be_read_although_less_is_read() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let records = batch(&["a"]);
        for _ in 0..3 {
            client.produce(0, &records).await;
        }
        // More than one batch and less than two: whole batches are one.
        let bytes = i32::try_from(records.len() * 3 / 2).unwrap();
        let mut request = FetchRequest { max_wait_ms: 60_000, min_bytes: bytes, ..fetch_request(&[(0, 0)]) };
        request.topics[0].partitions[0].partition_max_bytes = bytes;
        let began = broker.world().now();
        let response = client.call(&request, 12).await;
        let fetched = response.read(FetchResponse::decode);
        assert_eq!(records_of(&fetched.responses[0].partitions[0]).len(), records.len());
        assert!(broker.world().now().since(began) < Duration::from_secs(1));
    });
}

#[test]
fn f4_a_long_poll_waits_quietly_where_one_shard_has_its_share_and_another_has_nothing() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        let records = batch(&["a"]);
        client.produce(0, &records).await;
        let min_bytes = i32::try_from(records.len() * 2).unwrap();
        let request = FetchRequest { max_wait_ms: 60_000, min_bytes, ..fetch_request(&[(0, 0), (1, 0)]) };
        let before = broker.metric("ringlog_mesh_sent_total").await.expect("a metric");
        client.send(&request, 12).await;
        broker.world().sleep(Duration::from_secs(20)).await;
        let asked = broker.metric("ringlog_mesh_sent_total").await.expect("a metric") - before;
        assert!(asked < 40.0, "{asked} messages");
        let mut producer = broker.connect();
        producer.produce(1, &records).await;
        let response = client.receive(ApiKey::Fetch, 12).await.unwrap();
        let fetched = response.read(FetchResponse::decode);
        let sizes = fetched.responses[0].partitions.iter().map(|partition| records_of(partition).len());
        assert_eq!(sizes.sum::<usize>(), records.len() * 2);
    });
}

#[test]
fn f4_records_of_one_shard_are_not_kept_waiting_by_another_that_has_none() {
    for seed in 0..20 {
        with_broker_in(&MemoryWorld::new(seed, Options::quiet()), "", async |broker| {
            let mut client = broker.with_topic(2, &[]).await;
            for partition in [0, 1] {
                let mut request = FetchRequest { max_wait_ms: 60_000, ..fetch_request(&[(0, 0), (1, 0)]) };
                request.topics[0].partitions[1 - partition as usize].fetch_offset = i64::from(partition);
                client.produce(partition, &batch(&["a"])).await;
                for _ in 0..20 {
                    let began = broker.world().now();
                    client.call(&request, 12).await;
                    let waited = broker.world().now().since(began);
                    assert!(waited < Duration::from_secs(1), "seed {seed}: {waited:?}");
                }
            }
        });
    }
}

#[test]
fn f4_a_long_poll_ends_after_its_time_with_nothing() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let mut request = fetch_request(&[(0, 0)]);
        request.max_wait_ms = 500;
        let began = broker.world().now();
        let response = client.call(&request, 12).await;
        assert_eq!(records_of(&response.read(FetchResponse::decode).responses[0].partitions[0]).len(), 0);
        let waited = broker.world().now().since(began);
        assert!(waited >= Duration::from_millis(500) && waited < Duration::from_secs(2), "{waited:?}");
    });
}

#[test]
fn f4_an_error_in_one_partition_ends_the_wait_for_all() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let mut request = fetch_request(&[(0, 0), (9, 0)]);
        request.max_wait_ms = 1_000_000;
        let response = client.call(&request, 12).await;
        let fetched = response.read(FetchResponse::decode);
        let errors: Vec<_> =
            fetched.responses[0].partitions.iter().map(|partition| partition.error_code).collect();
        assert_eq!(errors, [0, 3]);
    });
}

#[test]
fn f4_records_that_no_memory_is_there_to_read_into_come_when_there_is_some() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let large = batch(&[&"x".repeat(100 << 10)]);
        assert_eq!(client.produce(0, &large).await, (0, 0));
        // The tail cache keeps these and nothing before them.
        for _ in 0..10 {
            assert_eq!(client.produce(0, &batch(&[&"x".repeat(10 << 10)])).await.0, 0);
        }
        broker.world().sleep(Duration::from_secs(1)).await;
        // Enough for requests, replies and look-ups.
        let taken = broker.take_memory_but(1 << 20);
        let poll = |max_wait_ms| FetchRequest { max_wait_ms, ..fetch_request(&[(0, 0)]) };
        let records = |response: &Response| {
            let fetched = response.read(FetchResponse::decode);
            let partition = &fetched.responses[0].partitions[0];
            (partition.error_code, records_of(partition).len())
        };
        let began = broker.world().now();
        assert_eq!(records(&client.call(&poll(300), 12).await), (0, 0));
        assert!(broker.world().now().since(began) >= Duration::from_millis(300));
        client.send(&poll(60_000), 12).await;
        broker.world().sleep(Duration::from_secs(1)).await;
        drop(taken);
        let began = broker.world().now();
        assert_eq!(records(&client.receive(ApiKey::Fetch, 12).await.unwrap()), (0, large.len()));
        assert!(broker.world().now().since(began) < Duration::from_secs(1));
    });
}

#[test]
fn many_clients_that_fetch_everything_and_read_nothing_yet_hold_up_no_producer() {
    let limits = Limits { arena_bytes_max: 64 << 20, ..Limits::default() };
    let world = MemoryWorld::new(7, Options { limits, ..Options::quiet() });
    let bounds = "ringlog.memory.bytes=67108864\nsocket.request.max.bytes=4194304\nfetch.max.bytes=16777216";
    with_broker_in(&world, bounds, async |broker| {
        let mut producer = broker.with_topic(8, &[]).await;
        let large = batch(&[&"x".repeat(900 << 10)]);
        for partition in 0..8 {
            assert_eq!(producer.produce(partition, &large).await.0, 0);
        }
        let everything: Vec<(i32, i64)> = (0..8).map(|partition| (partition, 0)).collect();
        let everything = FetchRequest { max_bytes: 16 << 20, ..fetch_request(&everything) };
        let mut clients: Vec<Client> = (0..16).map(|_| broker.connect()).collect();
        for client in &mut clients {
            client.send(&everything, 12).await;
        }
        broker.world().sleep(Duration::from_secs(10)).await;
        let began = broker.world().now();
        assert_eq!(producer.produce(0, &batch(&["a"])).await, (0, 1));
        assert!(broker.world().now().since(began) < Duration::from_secs(1));
        // None of them went without.
        for client in &mut clients {
            let response = client.receive(ApiKey::Fetch, 12).await.unwrap();
            let fetched = response.read(FetchResponse::decode);
            let partitions = &fetched.responses[0].partitions;
            assert!(partitions.iter().all(|partition| partition.error_code == 0));
            assert!(partitions.iter().any(|partition| records_of(partition).len() == large.len()));
        }
    });
}

#[test]
fn f7_a_fetch_that_wants_no_partition_is_answered_at_once() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let opening = ask(&mut client, &in_session(0, 0, &[(0, 0)], &[])).await;
        let began = broker.world().now();
        for mut request in
            [in_session(0, -1, &[], &[]), in_session(0, 0, &[], &[]), in_session(opening.1, 1, &[], &[0])]
        {
            (request.max_wait_ms, request.min_bytes) = (60_000, 1);
            let (error, _, partitions) = ask(&mut client, &request).await;
            assert_eq!((error, partitions), (0, vec![]));
        }
        assert!(broker.world().now().since(began) < Duration::from_secs(1));
    });
}

#[test]
fn f7_no_wait_or_no_bytes_wanted_is_answered_at_once() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        for (max_wait_ms, min_bytes) in [(0, 1_000), (1_000_000, 0)] {
            let request = FetchRequest { max_wait_ms, min_bytes, ..fetch_request(&[(0, 0)]) };
            let began = broker.world().now();
            client.call(&request, 12).await;
            assert!(broker.world().now().since(began) < Duration::from_secs(1));
        }
    });
}

#[test]
fn f9_deleting_a_topic_wakes_its_fetches() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let request = FetchRequest { max_wait_ms: 1_000_000, ..fetch_request(&[(0, 0)]) };
        client.send(&request, 12).await;
        let mut admin = broker.connect();
        let deletion = ringlog_net::protocol::delete_topics::DeleteTopicsRequest {
            topic_names: vec![TOPIC],
            ..Default::default()
        };
        admin.call(&deletion, 5).await;
        let response = client.receive(ApiKey::Fetch, 12).await.unwrap();
        assert_eq!(response.read(FetchResponse::decode).responses[0].partitions[0].error_code, 3);
    });
}

#[test]
fn f10_an_offset_outside_the_log_is_refused_with_its_ends_and_the_end_itself_is_not() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        client.produce(0, &batch(&["a", "b"])).await;
        assert_eq!(client.fetch(0, 2).await, (0, 2, Vec::new()));
        for offset in [-1, 3] {
            assert_eq!(client.fetch(0, offset).await, (1, 2, Vec::new()), "offset {offset}");
        }
    });
}

#[test]
fn f15_f16_a_session_names_only_what_changed() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        let (error, id, named) = ask(&mut client, &in_session(0, 0, &[(0, 0), (1, 0)], &[])).await;
        assert_eq!((error, named), (0, vec![0, 1]));
        assert_ne!(id, 0);
        assert_eq!(ask(&mut client, &in_session(id, 1, &[], &[])).await, (0, id, vec![]));
        client.produce(1, &batch(&["a"])).await;
        assert_eq!(ask(&mut client, &in_session(id, 2, &[], &[])).await, (0, id, vec![1]));
        assert_eq!(ask(&mut client, &in_session(id, 3, &[(1, 1)], &[])).await, (0, id, vec![]));
    });
}

#[test]
fn f15_a_session_out_of_turn_or_unknown_is_told() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let (_, id, _) = ask(&mut client, &in_session(0, 0, &[(0, 0)], &[])).await;
        assert_eq!(ask(&mut client, &in_session(id, 7, &[], &[])).await.0, 71);
        assert_eq!(ask(&mut client, &in_session(id ^ 1, 1, &[], &[])).await.0, 70);
    });
}

#[test]
fn f17_partitions_leave_and_join_a_session() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(3, &[]).await;
        let (_, id, _) = ask(&mut client, &in_session(0, 0, &[(0, 0), (1, 0)], &[])).await;
        assert_eq!(ask(&mut client, &in_session(id, 1, &[(2, 0)], &[0])).await.2, [2]);
        client.produce(0, &batch(&["a"])).await;
        assert!(ask(&mut client, &in_session(id, 2, &[], &[])).await.2.is_empty());
    });
}

#[test]
fn f19_a_wrong_leader_epoch_is_fenced_or_unknown() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        for (epoch, error) in [(-1, 0), (0, 0), (5, 75)] {
            let mut request = fetch_request(&[(0, 0)]);
            request.topics[0].partitions[0].current_leader_epoch = epoch;
            let response = client.call(&request, 12).await;
            let fetched = response.read(FetchResponse::decode);
            assert_eq!(fetched.responses[0].partitions[0].error_code, error, "epoch {epoch}");
        }
    });
}

#[test]
fn f20_a_last_epoch_that_the_log_has_not_reached_is_out_of_range() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        client.produce(0, &batch(&["a"])).await;
        for (epoch, error) in [(-1, 0), (0, 0), (99, 1)] {
            let mut request = fetch_request(&[(0, 0)]);
            request.topics[0].partitions[0].last_fetched_epoch = epoch;
            let response = client.call(&request, 12).await;
            let fetched = response.read(FetchResponse::decode);
            let data = &fetched.responses[0].partitions[0];
            assert_eq!((data.error_code, records_of(data).is_empty()), (error, error != 0), "epoch {epoch}");
        }
    });
}

#[test]
fn f23_a_topic_kept_in_zstd_is_refused_to_old_fetchers() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[("compression.type", "zstd")]).await;
        client.produce(0, &batch(&["a"])).await;
        for (version, error) in [(9, 76), (10, 0)] {
            let response = client.call(&fetch_request(&[(0, 0)]), version).await;
            let fetched = response.read(FetchResponse::decode);
            assert_eq!(fetched.responses[0].partitions[0].error_code, error, "version {version}");
        }
    });
}

#[test]
fn f25_an_unknown_topic_id_is_told_per_partition() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        client.produce(0, &batch(&["a"])).await;
        let known = client.topic_id(TOPIC).await;
        let topic = |topic_id| FetchTopic {
            topic_id,
            partitions: vec![FetchPartition { partition_max_bytes: 1_000, ..FetchPartition::default() }],
            ..FetchTopic::default()
        };
        let topics = vec![topic(ringlog_net::protocol::Uuid([9; 16])), topic(known)];
        let response = client.call(&FetchRequest { topics, ..fetch_request(&[]) }, 17).await;
        let fetched = response.read(FetchResponse::decode);
        let errors: Vec<_> = fetched.responses.iter().map(|topic| topic.partitions[0].error_code).collect();
        assert_eq!(errors, [100, 0]);
    });
}

#[test]
fn consumers_see_nothing_that_is_not_acknowledged() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let mut producer = broker.connect();
        let acknowledged = beside(&broker, async move {
            for _ in 0..50 {
                producer.produce(0, &batch(&["a"])).await;
            }
        });
        while !acknowledged.get() {
            let (error, high_watermark, records) = client.fetch(0, 0).await;
            let last = records.len() / batch(&["a"]).len();
            assert!(
                error == 0 && i64::try_from(last).unwrap() <= high_watermark,
                "{last} of {high_watermark}"
            );
        }
        let records = batch(&["b"]);
        client.send(&produce_request(&[(0, &records)], -1), 9).await;
        client.receive(ApiKey::Produce, 9).await.unwrap();
        assert_eq!(client.fetch(0, 0).await.1, 51);
    });
}
