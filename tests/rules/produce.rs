//! P: produce.

use ringlog_core::compression::Codec;
use ringlog_core::ids::{ProducerEpoch, ProducerId, SequenceNumber};
use ringlog_core::record_batch::BatchBuilder;
use ringlog_core::time::Timestamp;
use ringlog_net::protocol::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ringlog_net::protocol::produce::ProduceResponse;

use crate::harness::{Client, TOPIC, batch, produce_request, sequenced, with_broker};

async fn producer_id(client: &mut Client) -> i64 {
    let request = InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
    let response = client.call(&request, 4).await;
    let identity = response.read(InitProducerIdResponse::decode);
    assert_eq!((identity.error_code, identity.producer_epoch), (0, 0));
    identity.producer_id
}

#[test]
fn p1_acks_zero_gets_no_response_and_is_appended() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let records = batch(&["a"]);
        client.send(&produce_request(&[(0, &records)], 0), 9).await;
        let (error, base_offset) = client.produce(0, &batch(&["b"])).await;
        assert_eq!((error, base_offset), (0, 1), "the next response is the next request's");
    });
}

#[test]
fn p1_acks_zero_and_an_error_closes_the_connection() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let records = batch(&["a"]);
        assert!(client.try_call(&produce_request(&[(7, &records)], 0), 9).await.is_none());
    });
}

#[test]
fn p2_odd_acks_are_refused_for_every_partition_and_nothing_is_appended() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        let records = batch(&["a"]);
        let response = client.call(&produce_request(&[(0, &records), (1, &records)], 2), 9).await;
        let produced = response.read(ProduceResponse::decode);
        let errors: Vec<_> = produced.responses[0]
            .partition_responses
            .iter()
            .map(|part| (part.error_code, part.base_offset))
            .collect();
        assert_eq!(errors, [(21, -1), (21, -1)]);
        assert_eq!(client.fetch(0, 0).await.1, 0, "the high watermark is where it was");
    });
}

#[test]
fn p3_too_few_in_sync_replicas_refuse_acks_all_before_the_append_and_not_acks_one() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[("min.insync.replicas", "2")]).await;
        assert_eq!(client.produce_with(0, &batch(&["a"]), -1, 9).await, (19, -1));
        assert_eq!(client.produce_with(0, &batch(&["b"]), 1, 9).await, (0, 0));
        // P5: accepted, and invisible while too few replicas hold it.
        assert_eq!(client.fetch(0, 0).await.1, 0);
    });
}

#[test]
fn p7_no_batch_or_more_than_one_is_refused() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let two = [batch(&["a"]), batch(&["b"])].concat();
        for wrong in [&[][..], &two] {
            assert_eq!(client.produce(0, wrong).await, (87, -1));
        }
    });
}

#[test]
fn p10_a_damaged_batch_is_refused_and_the_other_partitions_proceed() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        let good = batch(&["a"]);
        let mut damaged = good.clone();
        *damaged.last_mut().unwrap() ^= 1;
        let response = client.call(&produce_request(&[(0, &damaged), (1, &good)], -1), 9).await;
        let produced = response.read(ProduceResponse::decode);
        let results: Vec<_> = produced.responses[0]
            .partition_responses
            .iter()
            .map(|part| (part.error_code, part.base_offset))
            .collect();
        assert_eq!(results, [(2, -1), (0, 0)]);
    });
}

#[test]
fn p11_a_batch_above_max_message_bytes_is_too_large() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[("max.message.bytes", "200")]).await;
        let large = "x".repeat(300);
        assert_eq!(client.produce(0, &batch(&[&large])).await, (10, -1));
        assert_eq!(client.produce(0, &batch(&["small"])).await, (0, 0));
    });
}

#[test]
fn p12_zstd_needs_produce_seven() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let zstd = BatchBuilder::new().compressed(Codec::Zstd).record(None, &b"value"[..]).build();
        assert_eq!(client.produce_with(0, &zstd, -1, 6).await, (76, -1));
        assert_eq!(client.produce_with(0, &zstd, -1, 7).await, (0, 0));
    });
}

#[test]
fn p13_a_record_without_a_key_is_named_to_a_compacted_topic() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[("cleanup.policy", "compact")]).await;
        let mixed = BatchBuilder::new().record(&b"k"[..], &b"v"[..]).record(None, &b"v"[..]).build();
        let response = client.call(&produce_request(&[(0, &mixed)], -1), 9).await;
        let produced = response.read(ProduceResponse::decode);
        let partition = &produced.responses[0].partition_responses[0];
        let named: Vec<_> = partition.record_errors.iter().map(|error| error.batch_index).collect();
        assert_eq!((partition.error_code, named), (87, vec![1]));
    });
}

#[test]
fn p15_a_topic_that_stamps_records_tells_the_time_it_stamped() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[("message.timestamp.type", "LogAppendTime")]).await;
        let records = batch(&["a"]);
        let response = client.call(&produce_request(&[(0, &records)], -1), 9).await;
        let produced = response.read(ProduceResponse::decode);
        assert!(produced.responses[0].partition_responses[0].log_append_time_ms > 0);
    });
}

#[test]
fn p17_p18_offset_and_leader_epoch_are_stamped_and_the_log_start_is_told() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        client.produce(0, &batch(&["a", "b"])).await;
        assert_eq!(client.produce(0, &batch(&["c"])).await, (0, 2));
        let (_, high_watermark, records) = client.fetch(0, 2).await;
        assert_eq!(high_watermark, 3);
        assert_eq!(records[..8], 2i64.to_be_bytes(), "base offset");
        assert_eq!(records[12..16], 0i32.to_be_bytes(), "leader epoch");
        assert_eq!(records[16..], batch(&["c"])[16..], "all else as it came");
    });
}

#[test]
fn p19_internal_topics_cannot_be_written_by_clients() {
    with_broker("", async |broker| {
        let mut client = broker.connect();
        client.create_topic("__consumer_offsets", 1, &[]).await;
        let records = batch(&["a"]);
        let mut request = produce_request(&[(0, &records)], -1);
        request.topic_data[0].name = "__consumer_offsets";
        let response = client.call(&request, 9).await;
        assert_eq!(response.read(ProduceResponse::decode).responses[0].partition_responses[0].error_code, 17);
    });
}

#[test]
fn p21_a_retry_gets_the_original_offset_and_is_not_appended() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let id = producer_id(&mut client).await;
        assert_eq!(client.produce(0, &sequenced(id, 0, 0, &["a", "b"])).await, (0, 0));
        assert_eq!(client.produce(0, &sequenced(id, 0, 2, &["c"])).await, (0, 2));
        assert_eq!(client.produce(0, &sequenced(id, 0, 0, &["a", "b"])).await, (0, 0));
        assert_eq!(client.fetch(0, 0).await.1, 3);
    });
}

#[test]
fn p22_a_gap_in_the_sequence_is_refused() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let id = producer_id(&mut client).await;
        assert_eq!(client.produce(0, &sequenced(id, 0, 0, &["a"])).await, (0, 0));
        assert_eq!(client.produce(0, &sequenced(id, 0, 2, &["c"])).await, (45, -1));
    });
}

#[test]
fn p24_a_stale_epoch_is_refused_and_a_new_one_starts_at_zero() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let id = producer_id(&mut client).await;
        client.produce(0, &sequenced(id, 1, 0, &["a"])).await;
        assert_eq!(client.produce(0, &sequenced(id, 0, 1, &["b"])).await.0, 47);
        assert_eq!(client.produce(0, &sequenced(id, 2, 5, &["b"])).await.0, 45);
        assert_eq!(client.produce(0, &sequenced(id, 2, 0, &["b"])).await, (0, 1));
    });
}

#[test]
fn p28_batches_of_one_producer_in_flight_keep_their_order() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        let id = producer_id(&mut client).await;
        for sequence in 0..5 {
            let records = sequenced(id, 0, sequence, &["v"]);
            client.send(&produce_request(&[(0, &records), (1, &records)], -1), 9).await;
        }
        for offset in 0..5 {
            let response = client.receive(ringlog_net::protocol::ApiKey::Produce, 9).await.unwrap();
            let produced = response.read(ProduceResponse::decode);
            for partition in &produced.responses[0].partition_responses {
                assert_eq!((partition.error_code, partition.base_offset), (0, offset));
            }
        }
    });
}

#[test]
fn producer_ids_differ_on_every_connection() {
    with_broker("", async |broker| {
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.push(producer_id(&mut broker.connect()).await);
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 5);
    });
}

#[test]
fn a_transactional_batch_without_a_transactional_id_is_refused() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let start = BatchBuilder::new().producer(ProducerId(5), ProducerEpoch(0), SequenceNumber(0));
        let records = start.transactional().record_with(Timestamp(1_000), None, Some(b"a"), &[]).build();
        assert_eq!(client.produce(0, &records).await, (35, -1));
        assert_eq!(client.fetch(0, 0).await, (0, 0, Vec::new()));
        assert_eq!(
            client.produce(0, &sequenced(5, 0, 0, &["a"])).await,
            (0, 0),
            "nothing of it is remembered"
        );
    });
}

#[test]
fn a_transactional_id_is_refused_cleanly() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let request =
            InitProducerIdRequest { transactional_id: Some("mine"), ..InitProducerIdRequest::default() };
        let response = client.call(&request, 4).await;
        let identity = response.read(InitProducerIdResponse::decode);
        assert_eq!((identity.error_code, identity.producer_id), (35, -1));
        let records = batch(&["a"]);
        let mut produce = produce_request(&[(0, &records)], -1);
        produce.transactional_id = Some("mine");
        let response = client.call(&produce, 9).await;
        let produced = response.read(ProduceResponse::decode);
        assert_ne!(produced.responses[0].partition_responses[0].error_code, 0);
        assert_eq!(client.fetch(0, 0).await.1, 0, "nothing was appended to {TOPIC}");
    });
}

#[test]
fn all_four_codecs_pass_through_untouched() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        for (offset, codec) in (0..).zip([Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd]) {
            let records =
                BatchBuilder::new().compressed(codec).record(&b"key"[..], &b"value value value"[..]).build();
            assert_eq!(client.produce(0, &records).await, (0, offset));
            let (_, _, fetched) = client.fetch(0, offset).await;
            assert_eq!(fetched[21..], records[21..], "{codec:?}");
        }
    });
}
