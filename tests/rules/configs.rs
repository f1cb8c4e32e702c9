//! A5: changing configurations, and what the broker does by them at once and after a restart.

use ringlog_net::protocol::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource as Replaced, AlterConfigsResponse, AlterableConfig as Value,
};
use ringlog_net::protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
};
use ringlog_net::protocol::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use ringlog_runtime::memory::{MemoryWorld, Options};

use crate::harness::{Client, TOPIC, batch, with_broker, with_broker_in};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

const TOPIC_TYPE: i8 = 2;
const BROKER_TYPE: i8 = 4;

const NONE: i16 = 0;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_TOPIC: i16 = 17;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;

type Change<'a> = (&'a str, i8, Option<&'a str>);

fn resource<'a>(
    resource_type: i8,
    resource_name: &'a str,
    changes: &[Change<'a>],
) -> AlterConfigsResource<'a> {
    let configs = changes.iter();
    let configs =
        configs.map(|&(name, config_operation, value)| AlterableConfig { name, config_operation, value });
    AlterConfigsResource { resource_type, resource_name, configs: configs.collect() }
}

async fn alter_all(
    client: &mut Client,
    resources: Vec<AlterConfigsResource<'_>>,
    validate_only: bool,
) -> Vec<i16> {
    let request = IncrementalAlterConfigsRequest { resources, validate_only };
    let response = client.call(&request, 1).await;
    let altered = response.read(IncrementalAlterConfigsResponse::decode);
    altered.responses.iter().map(|resource| resource.error_code).collect()
}

async fn alter(client: &mut Client, resource_type: i8, name: &str, changes: &[Change<'_>]) -> i16 {
    alter_all(client, vec![resource(resource_type, name, changes)], false).await[0]
}

/// Value and source of one key.
async fn described(client: &mut Client, resource_type: i8, resource_name: &str, key: &str) -> (String, i8) {
    let configuration_keys = Some(vec![key]);
    let resources = vec![DescribeConfigsResource { resource_type, resource_name, configuration_keys }];
    let request = DescribeConfigsRequest { resources, ..DescribeConfigsRequest::default() };
    let response = client.call(&request, 4).await;
    let described = response.read(DescribeConfigsResponse::decode);
    let row = &described.results[0].configs[0];
    (row.value.unwrap_or("null").to_owned(), row.config_source)
}

#[test]
fn a5_a_topics_changed_limit_holds_for_the_next_batch() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        assert_eq!(client.produce(0, &batch(&["x"])).await, (NONE, 0));
        let small = [("max.message.bytes", SET, Some("10"))];
        assert_eq!(alter(&mut client, TOPIC_TYPE, TOPIC, &small).await, NONE);
        for partition in 0..2 {
            assert_eq!(client.produce(partition, &batch(&["x"])).await.0, MESSAGE_TOO_LARGE);
        }
        assert_eq!(alter(&mut client, TOPIC_TYPE, TOPIC, &[("max.message.bytes", DELETE, None)]).await, NONE);
        assert_eq!(client.produce(0, &batch(&["x"])).await, (NONE, 1));
    });
}

#[test]
fn a5_values_are_set_deleted_appended_and_subtracted() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[("retention.ms", "1000")]).await;
        let policy = async |client: &mut Client| described(client, TOPIC_TYPE, TOPIC, "cleanup.policy").await;
        for (operation, value, expected) in [
            (APPEND, Some("compact"), ("delete,compact", 1)),
            (APPEND, Some("compact"), ("delete,compact", 1)),
            (SUBTRACT, Some("delete"), ("compact", 1)),
            (SUBTRACT, Some("compact"), ("", 1)),
            (SET, Some("compact"), ("compact", 1)),
            (DELETE, None, ("delete", 5)),
        ] {
            let change = [("cleanup.policy", operation, value)];
            assert_eq!(alter(&mut client, TOPIC_TYPE, TOPIC, &change).await, NONE);
            assert_eq!(policy(&mut client).await, (expected.0.to_owned(), expected.1));
        }
        assert_eq!(described(&mut client, TOPIC_TYPE, TOPIC, "retention.ms").await, ("1000".to_owned(), 1));
    });
}

#[test]
fn a5_what_cannot_be_is_refused_with_kafkas_code() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        for (name, changes, expected) in [
            (TOPIC, ("no.such.key", SET, Some("1")), INVALID_CONFIG),
            (TOPIC, ("no.such.key", DELETE, None), NONE),
            (TOPIC, ("retention.ms", SET, Some("abc")), INVALID_CONFIG),
            (TOPIC, ("retention.ms", SET, Some("-5")), INVALID_CONFIG),
            (TOPIC, ("retention.ms", SET, None), INVALID_REQUEST),
            (TOPIC, ("retention.ms", APPEND, Some("5")), INVALID_CONFIG),
            (TOPIC, ("retention.ms", 9, Some("5")), INVALID_REQUEST),
            ("nowhere", ("retention.ms", SET, Some("5")), UNKNOWN_TOPIC_OR_PARTITION),
            ("bad name", ("retention.ms", SET, Some("5")), INVALID_TOPIC),
            ("", ("retention.ms", SET, Some("5")), INVALID_REQUEST),
        ] {
            assert_eq!(
                alter(&mut client, TOPIC_TYPE, name, &[changes]).await,
                expected,
                "{name} {changes:?}"
            );
        }
        assert_eq!(alter(&mut client, 9, TOPIC, &[]).await, INVALID_REQUEST);
        assert_eq!(described(&mut client, TOPIC_TYPE, TOPIC, "retention.ms").await.1, 5);
    });
}

#[test]
fn a5_each_resource_is_changed_as_a_whole_or_not_at_all() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        client.create_topic("other", 1, &[]).await;
        let good = ("retention.ms", SET, Some("9"));
        let resources = vec![
            resource(TOPIC_TYPE, TOPIC, &[good, ("segment.bytes", SET, Some("bad"))]),
            resource(TOPIC_TYPE, "other", &[good]),
        ];
        assert_eq!(alter_all(&mut client, resources, false).await, [INVALID_CONFIG, NONE]);
        assert_eq!(described(&mut client, TOPIC_TYPE, TOPIC, "retention.ms").await.1, 5);
        assert_eq!(described(&mut client, TOPIC_TYPE, "other", "retention.ms").await, ("9".to_owned(), 1));
    });
}

#[test]
fn a5_a_resource_or_a_key_named_twice_is_a_bad_request() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        client.create_topic("other", 1, &[]).await;
        let change = [("retention.ms", SET, Some("9"))];
        let resources = [TOPIC, "other", TOPIC].map(|name| resource(TOPIC_TYPE, name, &change)).to_vec();
        assert_eq!(alter_all(&mut client, resources, false).await, [INVALID_REQUEST, NONE, INVALID_REQUEST]);
        let twice = [("retention.ms", SET, Some("9")), ("retention.ms", DELETE, None)];
        assert_eq!(alter(&mut client, TOPIC_TYPE, TOPIC, &twice).await, INVALID_REQUEST);
        assert_eq!(described(&mut client, TOPIC_TYPE, TOPIC, "retention.ms").await.1, 5);
    });
}

#[test]
fn a5_validate_only_judges_and_changes_nothing() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let resources = vec![
            resource(TOPIC_TYPE, TOPIC, &[("retention.ms", SET, Some("9"))]),
            resource(BROKER_TYPE, "1", &[("log.retention.ms", SET, Some("x"))]),
        ];
        assert_eq!(alter_all(&mut client, resources, true).await, [NONE, INVALID_REQUEST]);
        assert_eq!(described(&mut client, TOPIC_TYPE, TOPIC, "retention.ms").await.1, 5);
    });
}

#[test]
fn a5_the_older_request_replaces_the_whole_configuration() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[("retention.ms", "1000")]).await;
        let configs = vec![Value { name: "retention.bytes", value: Some("77") }];
        let replaced = Replaced { resource_type: TOPIC_TYPE, resource_name: TOPIC, configs };
        let null =
            Replaced { configs: vec![Value { name: "retention.bytes", value: None }], ..replaced.clone() };
        for (resource, expected) in [(null, INVALID_REQUEST), (replaced, NONE)] {
            let request = AlterConfigsRequest { resources: vec![resource], validate_only: false };
            let response = client.call(&request, 2).await;
            assert_eq!(response.read(AlterConfigsResponse::decode).responses[0].error_code, expected);
        }
        assert_eq!(described(&mut client, TOPIC_TYPE, TOPIC, "retention.bytes").await, ("77".to_owned(), 1));
        assert_eq!(described(&mut client, TOPIC_TYPE, TOPIC, "retention.ms").await.1, 5);
    });
}

#[test]
fn a5_a_brokers_changed_value_is_inherited_at_once_and_the_nearest_wins() {
    with_broker("message.max.bytes=1000000", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let effective =
            async |client: &mut Client| described(client, TOPIC_TYPE, TOPIC, "max.message.bytes").await;
        for (name, operation, value, expected) in [
            ("", SET, Some("10"), ("10", 3)),
            ("1", SET, Some("20"), ("20", 2)),
            ("", DELETE, None, ("20", 2)),
        ] {
            let change = [("message.max.bytes", operation, value)];
            assert_eq!(alter(&mut client, BROKER_TYPE, name, &change).await, NONE);
            assert_eq!(effective(&mut client).await, (expected.0.to_owned(), expected.1));
            assert_eq!(client.produce(0, &batch(&["x"])).await.0, MESSAGE_TOO_LARGE);
        }
        assert_eq!(alter(&mut client, BROKER_TYPE, "1", &[("message.max.bytes", DELETE, None)]).await, NONE);
        assert_eq!(effective(&mut client).await, ("1000000".to_owned(), 4));
        assert_eq!(client.produce(0, &batch(&["x"])).await, (NONE, 0));
    });
}

#[test]
fn a5_only_this_brokers_dynamic_keys_can_be_changed() {
    with_broker("", async |broker| {
        let mut client = broker.connect();
        for (name, change, expected) in [
            ("1", ("num.partitions", SET, Some("3")), INVALID_REQUEST),
            ("1", ("num.partitions", DELETE, None), NONE),
            ("1", ("log.segment.bytes", SET, Some("1")), INVALID_REQUEST),
            ("1", ("no.such.key", SET, Some("1")), INVALID_CONFIG),
            ("1", ("log.retention.bytes", APPEND, Some("1")), INVALID_CONFIG),
            ("2", ("log.retention.ms", SET, Some("1")), INVALID_REQUEST),
            ("one", ("log.retention.ms", SET, Some("1")), INVALID_REQUEST),
        ] {
            assert_eq!(alter(&mut client, BROKER_TYPE, name, &[change]).await, expected, "{name} {change:?}");
        }
    });
}

#[test]
fn a6_what_was_changed_for_every_broker_is_described_alone_under_the_empty_name() {
    with_broker("", async |broker| {
        let mut client = broker.connect();
        assert_eq!(alter(&mut client, BROKER_TYPE, "", &[("log.retention.ms", SET, Some("7"))]).await, NONE);
        let resource =
            DescribeConfigsResource { resource_type: BROKER_TYPE, ..DescribeConfigsResource::default() };
        let resources = vec![DescribeConfigsResource { configuration_keys: None, ..resource }];
        let request =
            DescribeConfigsRequest { resources, include_synonyms: true, ..DescribeConfigsRequest::default() };
        let response = client.call(&request, 4).await;
        let described = response.read(DescribeConfigsResponse::decode);
        let rows = &described.results[0].configs;
        assert_eq!((rows.len(), rows[0].name, rows[0].value), (1, "log.retention.ms", Some("7")));
        assert_eq!((rows[0].config_source, rows[0].read_only, rows[0].synonyms.len()), (3, false, 1));
    });
}

#[test]
fn a5_changed_configurations_survive_a_crash() {
    let world = MemoryWorld::new(7, Options::quiet());
    with_broker_in(&world, "", async |broker| {
        let mut client = broker.with_topic(1, &[("retention.ms", "1000")]).await;
        let changes = [("max.message.bytes", SET, Some("10")), ("retention.ms", DELETE, None)];
        assert_eq!(alter(&mut client, TOPIC_TYPE, TOPIC, &changes).await, NONE);
        let changes = [("log.retention.ms", SET, Some("77"))];
        assert_eq!(alter(&mut client, BROKER_TYPE, "1", &changes).await, NONE);
    });
    world.crash();
    with_broker_in(&world, "", async |broker| {
        let mut client = broker.connect();
        assert_eq!(client.produce(0, &batch(&["x"])).await.0, MESSAGE_TOO_LARGE);
        assert_eq!(described(&mut client, TOPIC_TYPE, TOPIC, "retention.ms").await, ("77".to_owned(), 2));
    });
}
