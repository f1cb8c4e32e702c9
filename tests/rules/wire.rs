//! W: the wire and the connection.

use std::time::Duration;

use ringlog::handlers::SERVED;
use ringlog_net::protocol::api_versions::{ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey};
use ringlog_net::protocol::metadata::MetadataRequest;
use ringlog_net::protocol::produce::ProduceResponse;
use ringlog_net::protocol::{ApiKey, Decoder};

use crate::harness::{TOPIC, batch, fetch_request, produce_request, with_broker};

fn api_versions() -> ApiVersionsRequest<'static> {
    ApiVersionsRequest { client_software_name: "test", client_software_version: "1.0" }
}

/// Length, key, version, correlation id 9, client id "c".
fn frame(api_key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&i32::try_from(11 + body.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&api_key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&9i32.to_be_bytes());
    frame.extend_from_slice(&[0, 1, b'c']);
    frame.extend_from_slice(body);
    frame
}

#[test]
fn w1_api_versions_in_an_unknown_version_is_answered_in_version_zero() {
    with_broker("", async |broker| {
        let mut client = broker.connect();
        client.send_bytes(&frame(18, 99, b"\0what a future client sends")).await;
        let response = client.receive(ApiKey::ApiVersions, 0).await.unwrap();
        let versions = response.read(ApiVersionsResponse::decode);
        assert_eq!((response.correlation_id(), versions.error_code), (9, 35));
        let own: Vec<_> = versions.api_keys.iter().map(|api| (api.api_key, api.max_version)).collect();
        assert_eq!(own, [(18, 4)]);
        assert_eq!(client.call(&api_versions(), 3).await.read(ApiVersionsResponse::decode).error_code, 0);
    });
}

#[test]
fn w2_the_response_header_of_api_versions_has_no_tags_in_any_version() {
    with_broker("", async |broker| {
        let mut client = broker.connect();
        for version in 0..=4 {
            let response = client.call(&api_versions(), version).await;
            let versions =
                ApiVersionsResponse::decode(&mut Decoder::new(&response.frame[4..]), version).unwrap();
            assert_eq!(versions.api_keys.len(), SERVED.len(), "version {version}");
        }
    });
}

#[test]
fn w5_a_client_with_an_odd_name_is_told_and_may_ask_again() {
    with_broker("", async |broker| {
        let mut client = broker.connect();
        let odd = ApiVersionsRequest { client_software_name: "a b", client_software_version: "1" };
        assert_eq!(client.call(&odd, 3).await.read(ApiVersionsResponse::decode).error_code, 42);
        assert_eq!(client.call(&odd, 0).await.read(ApiVersionsResponse::decode).error_code, 0);
    });
}

#[test]
fn w6_what_is_finalised_is_what_is_served_and_its_epoch_grows_with_the_metadata() {
    with_broker("", async |broker| {
        let mut client = broker.connect();
        let mut features = async || {
            let response = client.call(&api_versions(), 4).await;
            let versions = response.read(ApiVersionsResponse::decode);
            let named =
                |feature: &FinalizedFeatureKey<'_>| (feature.name.to_owned(), feature.max_version_level);
            let finalized: Vec<_> = versions.finalized_features.iter().map(named).collect();
            let supported: Vec<_> =
                versions.supported_features.iter().map(|feature| feature.name.to_owned()).collect();
            assert_eq!(finalized, [("metadata.version".to_owned(), 30)], "neither transactions nor KIP-848");
            assert_eq!(supported, ["metadata.version"]);
            versions.finalized_features_epoch
        };
        let before = features().await;
        assert!(before >= 0, "a client takes a negative epoch for no word on features");
        broker.with_topic(1, &[]).await;
        assert!(features().await > before);
    });
}

#[test]
fn w8_produce_is_advertised_from_zero_and_refused_below_three() {
    with_broker("", async |broker| {
        let mut client = broker.connect();
        let response = client.call(&api_versions(), 3).await;
        let versions = response.read(ApiVersionsResponse::decode);
        let produce = versions.api_keys.iter().find(|api| api.api_key == 0).unwrap();
        assert_eq!((produce.min_version, produce.max_version), (0, 13));
        client.send_bytes(&frame(0, 2, &[0; 20])).await;
        assert!(client.receive(ApiKey::Produce, 2).await.is_none(), "the connection closes");
    });
}

#[test]
fn w9_responses_leave_in_the_order_of_the_requests() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(4, &[]).await;
        let batches = batch(&["a"]);
        for partition in 0..4 {
            client.send(&produce_request(&[(partition, &batches)], -1), 9).await;
        }
        // A long poll in front of a quick request holds it back.
        let mut poll = fetch_request(&[(0, 1)]);
        poll.max_wait_ms = 300;
        client.send(&poll, 12).await;
        client.send(&api_versions(), 0).await;
        let mut ids = Vec::new();
        for api_key in [ApiKey::Produce; 4].into_iter().chain([ApiKey::Fetch, ApiKey::ApiVersions]) {
            ids.push(client.receive(api_key, 9).await.unwrap().correlation_id());
        }
        assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ids:?}");
    });
}

#[test]
fn w10_a_length_of_zero_or_less_or_beyond_the_bound_closes_the_connection() {
    with_broker("", async |broker| {
        // The four bytes come alone: nothing behind them is there to be taken for a frame.
        for length in [0, -1, i32::MIN, i32::MAX] {
            let mut client = broker.connect();
            client.send_bytes(&length.to_be_bytes()).await;
            assert!(client.receive(ApiKey::ApiVersions, 0).await.is_none(), "{length}");
        }
    });
}

#[test]
fn w11_a_count_beyond_the_frame_closes_the_connection() {
    with_broker("", async |broker| {
        let mut client = broker.connect();
        client.send_bytes(&frame(3, 1, &i32::MAX.to_be_bytes())).await;
        assert!(client.receive(ApiKey::Metadata, 1).await.is_none());
        assert!(
            broker.connect().try_call(&MetadataRequest::default(), 9).await.is_some(),
            "others are served"
        );
    });
}

#[test]
fn an_unknown_api_and_an_unserved_version_close_the_connection() {
    with_broker("", async |broker| {
        for (api_key, version) in [(4, 0), (999, 0), (-1, 0), (1, 3), (1, 18), (3, 14), (19, 1)] {
            let mut client = broker.connect();
            client.send_bytes(&frame(api_key, version, &[0; 40])).await;
            assert!(client.receive(ApiKey::Metadata, 0).await.is_none(), "{api_key} {version}");
        }
    });
}

#[test]
fn w13_an_idle_connection_is_closed_and_one_with_a_pending_long_poll_is_not() {
    with_broker("connections.max.idle.ms=60000", async |broker| {
        let mut idle = broker.connect();
        idle.call(&api_versions(), 0).await;
        assert!(idle.receive(ApiKey::ApiVersions, 0).await.is_none());
    });
}

const CONNECTIONS: &str = "ringlog_connections";

#[test]
fn a_connection_counts_until_the_replies_it_is_owed_are_out() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let mut poll = fetch_request(&[(0, 0)]);
        poll.max_wait_ms = 60_000;
        client.send(&poll, 12).await;
        // Nothing more can be read of it.
        client.send_bytes(&(-1i32).to_be_bytes()).await;
        broker.world().sleep(Duration::from_secs(50)).await;
        assert_eq!(broker.metric(CONNECTIONS).await, Some(1.0));
        assert!(client.receive(ApiKey::Fetch, 12).await.is_some());
        assert!(client.receive(ApiKey::Fetch, 12).await.is_none(), "the connection closes");
        broker.world().sleep(Duration::from_secs(1)).await;
        assert_eq!(broker.metric(CONNECTIONS).await, Some(0.0));
    });
}

#[test]
fn a_client_that_takes_no_reply_is_cut_though_its_requests_have_ended() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let large = batch(&[&"x".repeat(600 << 10)]);
        assert_eq!(client.produce(0, &large).await.0, 0);
        client.send(&fetch_request(&[(0, 0)]), 12).await;
        client.send(&fetch_request(&[(0, 0)]), 12).await;
        client.send_bytes(&(-1i32).to_be_bytes()).await;
        broker.world().sleep(Duration::from_secs(25)).await;
        assert_eq!(broker.metric(CONNECTIONS).await, Some(1.0));
        broker.world().sleep(Duration::from_secs(10)).await;
        assert_eq!(broker.metric(CONNECTIONS).await, Some(0.0));
        let cut = broker.metric("ringlog_connections_cut_total{shard=\"0\",reason=\"not_reading\"}").await;
        let others = broker.metric("ringlog_connections_cut_total{shard=\"1\",reason=\"not_reading\"}").await;
        assert_eq!(cut.unwrap_or(0.0) + others.unwrap_or(0.0), 1.0);
    });
}

#[test]
fn w16_an_unknown_topic_id_is_told_apart_from_an_unknown_name() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let records = batch(&["a"]);
        let mut request = produce_request(&[(0, &records)], -1);
        request.topic_data[0].topic_id = ringlog_net::protocol::Uuid([7; 16]);
        let response = client.call(&request, 13).await;
        assert_eq!(
            response.read(ProduceResponse::decode).responses[0].partition_responses[0].error_code,
            100
        );
        request.topic_data[0].name = "elsewhere";
        let response = client.call(&request, 12).await;
        assert_eq!(response.read(ProduceResponse::decode).responses[0].partition_responses[0].error_code, 3);
        request.topic_data[0].topic_id = client.topic_id(TOPIC).await;
        let response = client.call(&request, 13).await;
        assert_eq!(response.read(ProduceResponse::decode).responses[0].partition_responses[0].error_code, 0);
    });
}

#[test]
fn every_version_of_every_api_served_is_answered_or_closes_cleanly() {
    with_broker("", async |broker| {
        for served in SERVED {
            for version in served.version_min.max(0)..=served.version_max {
                if served.api_key == ApiKey::Produce && version < 3 {
                    continue;
                }
                let mut client = broker.connect();
                client.send_bytes(&frame(served.api_key as i16, version, &[0; 64])).await;
                // A body of zeros is a request of empty lists in most versions, and undecodable in others.
                let _ = client.receive(served.api_key, version).await;
                let again = broker.connect().try_call(&MetadataRequest::default(), 9).await;
                assert!(again.is_some(), "{:?} {version}: the broker still serves", served.api_key);
            }
        }
    });
}
