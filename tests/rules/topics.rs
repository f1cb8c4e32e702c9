//! A: topics, the cluster and their configuration.

use ringlog_net::protocol::create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse};
use ringlog_net::protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse};
use ringlog_net::protocol::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use ringlog_net::protocol::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
};
use ringlog_net::protocol::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};

use crate::harness::{Client, TOPIC, batch, with_broker};

/// Error codes and names of the topics in a Metadata response.
async fn metadata(client: &mut Client, request: &MetadataRequest<'_>, version: i16) -> Vec<(i16, String)> {
    let response = client.call(request, version).await;
    let metadata = response.read(MetadataResponse::decode);
    let name = |name: Option<&str>| name.unwrap_or("null").to_owned();
    metadata.topics.iter().map(|topic| (topic.error_code, name(topic.name))).collect()
}

fn named<'a>(names: &[&'a str]) -> MetadataRequest<'a> {
    let topics =
        names.iter().map(|name| MetadataRequestTopic { name: Some(name), ..MetadataRequestTopic::default() });
    MetadataRequest { topics: Some(topics.collect()), ..MetadataRequest::default() }
}

#[test]
fn a1_null_asks_for_all_topics_and_an_empty_list_for_none_but_in_version_zero() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let all = vec![(0, TOPIC.to_owned())];
        assert_eq!(metadata(&mut client, &MetadataRequest { topics: None, ..named(&[]) }, 1).await, all);
        assert_eq!(metadata(&mut client, &named(&[]), 1).await, []);
        assert_eq!(metadata(&mut client, &named(&[]), 0).await, all);
    });
}

#[test]
fn a1_a_topic_is_created_when_named_only_if_client_and_broker_allow() {
    with_broker("", async |broker| {
        let mut client = broker.connect();
        let forbidden = MetadataRequest { allow_auto_topic_creation: false, ..named(&["new"]) };
        assert_eq!(metadata(&mut client, &forbidden, 4).await, [(3, "new".to_owned())]);
        assert_eq!(metadata(&mut client, &named(&["new"]), 4).await, [(0, "new".to_owned())]);
        assert_eq!(metadata(&mut client, &named(&["bad name"]), 4).await, [(17, "bad name".to_owned())]);
    });
    with_broker("auto.create.topics.enable=false", async |broker| {
        let mut client = broker.connect();
        assert_eq!(metadata(&mut client, &named(&["new"]), 4).await, [(3, "new".to_owned())]);
    });
}

#[test]
fn a1_a_topic_named_many_times_is_told_once_and_created_once() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(3, &[]).await;
        let (id, once) = (client.topic_id(TOPIC).await, vec![(0, TOPIC.to_owned())]);
        assert_eq!(metadata(&mut client, &named(&[TOPIC; 100]), 9).await, once);
        // By an id, whatever the names beside it say.
        let names: Vec<String> = (0..100).map(|index| format!("name-{index}")).collect();
        let by_id = names.iter().map(|name| MetadataRequestTopic { topic_id: id, name: Some(name) });
        let by_id = MetadataRequest { topics: Some(by_id.collect()), ..MetadataRequest::default() };
        assert_eq!(metadata(&mut client, &by_id, 12).await, once);
        let both = vec![(0, "new".to_owned()), (0, "other".to_owned())];
        assert_eq!(metadata(&mut client, &named(&["new", "other", "new"]), 9).await, both);
    });
}

#[test]
fn a3_topics_are_created_validated_and_refused_one_by_one() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let topic = |name, num_partitions, replication_factor| CreatableTopic {
            name,
            num_partitions,
            replication_factor,
            ..CreatableTopic::default()
        };
        let topics =
            vec![topic("defaults", -1, -1), topic(TOPIC, 1, 1), topic("wide", 1, 3), topic("none", 0, 1)];
        let request = CreateTopicsRequest { topics, validate_only: true, ..CreateTopicsRequest::default() };
        let response = client.call(&request, 7).await;
        let created = response.read(CreateTopicsResponse::decode);
        let errors: Vec<_> = created.topics.iter().map(|topic| topic.error_code).collect();
        assert_eq!(errors, [0, 36, 38, 37]);
        assert_eq!((created.topics[0].num_partitions, created.topics[0].replication_factor), (1, 1));
        let still = MetadataRequest { allow_auto_topic_creation: false, ..named(&["defaults"]) };
        assert_eq!(metadata(&mut client, &still, 9).await, [(3, "defaults".to_owned())]);
    });
}

#[test]
fn c13_a_topic_created_again_under_its_name_has_another_id_and_is_empty() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        client.produce(0, &batch(&["old"])).await;
        let id = client.topic_id(TOPIC).await;
        let by_id = DeleteTopicsRequest {
            topics: vec![DeleteTopicState { name: None, topic_id: id }],
            ..DeleteTopicsRequest::default()
        };
        let response = client.call(&by_id, 6).await;
        let deleted = response.read(DeleteTopicsResponse::decode);
        assert_eq!((deleted.responses[0].error_code, deleted.responses[0].name), (0, Some(TOPIC)));
        client.create_topic(TOPIC, 1, &[]).await;
        assert_ne!(client.topic_id(TOPIC).await, id);
        assert_eq!(client.fetch(0, 0).await, (0, 0, Vec::new()));
        assert_eq!(client.produce(0, &batch(&["new"])).await, (0, 0));
    });
}

#[test]
fn a6_every_topic_key_is_described_with_its_source() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[("segment.bytes", "1048576")]).await;
        let resource = |resource_type, resource_name, configuration_keys| DescribeConfigsResource {
            resource_type,
            resource_name,
            configuration_keys,
        };
        let resources = vec![
            resource(2, TOPIC, None),
            resource(2, TOPIC, Some(vec!["segment.bytes"])),
            resource(2, "nowhere", None),
            resource(4, "1", None),
        ];
        let request =
            DescribeConfigsRequest { resources, include_synonyms: true, include_documentation: true };
        let response = client.call(&request, 4).await;
        let described = response.read(DescribeConfigsResponse::decode);
        assert!(described.results[0].configs.len() > 20);
        let segment = &described.results[1].configs[..];
        assert_eq!(segment.len(), 1);
        assert_eq!((segment[0].value, segment[0].config_source), (Some("1048576"), 1));
        assert_eq!(described.results[2].error_code, 3);
        assert!(described.results[3].configs.iter().any(|row| row.name == "num.partitions"));
    });
}

#[test]
fn a6_a_resource_named_again_and_again_is_described_until_the_answer_is_full_and_then_refused() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        let resource =
            DescribeConfigsResource { resource_type: 2, resource_name: TOPIC, configuration_keys: None };
        let resources = vec![resource; 20_000];
        let request =
            DescribeConfigsRequest { resources, include_synonyms: false, include_documentation: false };
        let response = client.call(&request, 4).await;
        let described = response.read(DescribeConfigsResponse::decode);
        let told = described.results.iter().take_while(|result| result.error_code == 0).count();
        assert!((5_000..20_000).contains(&told), "{told}");
        let (told, refused) = described.results.split_at(told);
        assert!(told.iter().all(|result| result.configs.len() > 20));
        assert!(refused.iter().all(|result| (result.error_code, result.configs.len()) == (44, 0)));
    });
}

#[test]
fn a7_the_cluster_is_described_and_a_controllers_endpoint_is_not_here() {
    with_broker("", async |broker| {
        let mut client = broker.connect();
        let response = client.call(&DescribeClusterRequest::default(), 1).await;
        let cluster = response.read(DescribeClusterResponse::decode);
        let brokers: Vec<_> = cluster.brokers.iter().map(|broker| (broker.broker_id, broker.port)).collect();
        assert_eq!((cluster.error_code, cluster.cluster_id.len(), brokers), (0, 22, vec![(1, 9092)]));
        let controllers = DescribeClusterRequest { endpoint_type: 2, ..DescribeClusterRequest::default() };
        let response = client.call(&controllers, 1).await;
        assert_eq!(response.read(DescribeClusterResponse::decode).error_code, 114);
    });
}
