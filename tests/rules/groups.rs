//! G and O: consumer groups and their offsets, over the wire. What the coordinator itself decides has its tests beside it.

use ringlog_core::limits::Limits;
use ringlog_net::protocol::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use ringlog_net::protocol::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup};
use ringlog_net::protocol::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use ringlog_net::protocol::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ringlog_net::protocol::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ringlog_net::protocol::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use ringlog_net::protocol::list_groups::{ListGroupsRequest, ListGroupsResponse};
use ringlog_net::protocol::metadata::{MetadataRequest, MetadataResponse};
use ringlog_net::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use ringlog_net::protocol::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic, OffsetDeleteResponse,
};
use ringlog_net::protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse,
};
use ringlog_net::protocol::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use ringlog_net::protocol::{ApiKey, Uuid};
use ringlog_runtime::memory::{MemoryWorld, Options};

use crate::harness::{Broker, Client, Response, TOPIC, batch, with_broker, with_broker_in};

pub const GROUP: &str = "group";

/// Rebalances that do not wait for members who may yet come.
pub const AT_ONCE: &str = "group.initial.rebalance.delay.ms=0";

const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
const MEMBER_ID_REQUIRED: i16 = 79;
const ILLEGAL_GENERATION: i16 = 22;
const INCONSISTENT_GROUP_PROTOCOL: i16 = 23;
const UNKNOWN_MEMBER_ID: i16 = 25;
const REBALANCE_IN_PROGRESS: i16 = 27;
const NON_EMPTY_GROUP: i16 = 68;
const GROUP_ID_NOT_FOUND: i16 = 69;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const OFFSET_METADATA_TOO_LARGE: i16 = 12;
const UNKNOWN_TOPIC_ID: i16 = 100;
const POLICY_VIOLATION: i16 = 44;

/// What a test needs to know of a join.
#[derive(Debug)]
pub struct Joined {
    error: i16,
    generation: i32,
    pub member: String,
    leader: String,
    member_count: usize,
}

/// Makes sure that there are coordinators: error code and port.
pub async fn find_coordinator(client: &mut Client) -> (i16, i32) {
    let request =
        FindCoordinatorRequest { coordinator_keys: vec![GROUP], ..FindCoordinatorRequest::default() };
    let response = client.call(&request, 4).await;
    let found = response.read(FindCoordinatorResponse::decode);
    (found.coordinators[0].error_code, found.coordinators[0].port)
}

fn join_request(member: &str) -> JoinGroupRequest<'_> {
    JoinGroupRequest {
        group_id: GROUP,
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        member_id: member,
        group_instance_id: None,
        protocol_type: "consumer",
        protocols: vec![JoinGroupRequestProtocol { name: "range", metadata: b"subscription" }],
        reason: None,
    }
}

fn joined(response: &Response) -> Joined {
    let joined = response.read(JoinGroupResponse::decode);
    Joined {
        error: joined.error_code,
        generation: joined.generation_id,
        member: joined.member_id.to_owned(),
        leader: joined.leader.to_owned(),
        member_count: joined.members.len(),
    }
}

pub async fn join(client: &mut Client, member: &str, version: i16) -> Joined {
    joined(&client.call(&join_request(member), version).await)
}

/// The assignment, or an error.
pub async fn sync(
    client: &mut Client,
    joined: &Joined,
    assignments: &[(&str, &[u8])],
) -> Result<Vec<u8>, i16> {
    let assignments = assignments
        .iter()
        .map(|(member_id, assignment)| SyncGroupRequestAssignment { member_id, assignment });
    let request = SyncGroupRequest {
        group_id: GROUP,
        generation_id: joined.generation,
        member_id: &joined.member,
        protocol_type: Some("consumer"),
        protocol_name: Some("range"),
        assignments: assignments.collect(),
        ..SyncGroupRequest::default()
    };
    let response = client.call(&request, 5).await;
    let synced = response.read(SyncGroupResponse::decode);
    match synced.error_code {
        0 => Ok(synced.assignment.to_vec()),
        error => Err(error),
    }
}

async fn heartbeat(client: &mut Client, joined: &Joined) -> i16 {
    let request = HeartbeatRequest {
        group_id: GROUP,
        generation_id: joined.generation,
        member_id: &joined.member,
        group_instance_id: None,
    };
    client.call(&request, 4).await.read(HeartbeatResponse::decode).error_code
}

/// One member that is the group, with an assignment.
async fn only_member(broker: &Broker) -> (Client, Joined) {
    let mut client = broker.connect();
    assert_eq!(find_coordinator(&mut client).await, (0, 9092));
    let member = join(&mut client, "", 9).await.member;
    let joined = join(&mut client, &member, 9).await;
    assert_eq!((joined.error, joined.member_count), (0, 1));
    let assigned = sync(&mut client, &joined, &[(&member, b"everything")]).await;
    assert_eq!(assigned, Ok(b"everything".to_vec()));
    (client, joined)
}

/// Waits until the coordinator has read its log.
pub async fn until_loaded(client: &mut Client) {
    let stranger = Joined {
        error: 0,
        generation: 1,
        member: "stranger".to_owned(),
        leader: String::new(),
        member_count: 0,
    };
    while heartbeat(client, &stranger).await == COORDINATOR_LOAD_IN_PROGRESS {}
}

pub fn offset(
    partition_index: i32,
    committed_offset: i64,
    text: Option<&str>,
) -> OffsetCommitRequestPartition<'_> {
    OffsetCommitRequestPartition {
        partition_index,
        committed_offset,
        committed_metadata: text,
        ..OffsetCommitRequestPartition::default()
    }
}

/// Commits without being a member; one error per partition.
pub async fn commit(client: &mut Client, offsets: Vec<OffsetCommitRequestPartition<'_>>) -> Vec<i16> {
    let topics = vec![OffsetCommitRequestTopic { name: TOPIC, partitions: offsets, ..Default::default() }];
    let request = OffsetCommitRequest { group_id: GROUP, topics, ..OffsetCommitRequest::default() };
    commit_errors(&client.call(&request, 9).await)
}

fn commit_errors(response: &Response) -> Vec<i16> {
    let committed = response.read(OffsetCommitResponse::decode);
    let partitions = committed.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code).collect()
}

/// Offset and text of some partitions of the topic.
pub async fn fetch_offsets(client: &mut Client, partitions: &[i32]) -> Vec<(i64, String)> {
    let topics = vec![OffsetFetchRequestTopics {
        name: TOPIC,
        partition_indexes: partitions.to_vec(),
        ..OffsetFetchRequestTopics::default()
    }];
    let group = OffsetFetchRequestGroup {
        group_id: GROUP,
        topics: Some(topics),
        ..OffsetFetchRequestGroup::default()
    };
    let request = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
    let response = client.call(&request, 8).await;
    let fetched = response.read(OffsetFetchResponse::decode);
    assert_eq!(fetched.groups[0].error_code, 0);
    let partitions = fetched.groups[0].topics.iter().flat_map(|topic| &topic.partitions);
    let told = partitions.map(|partition| {
        assert_eq!(partition.error_code, 0, "an offset that is not there is no error");
        (partition.committed_offset, partition.metadata.expect("never null").to_owned())
    });
    told.collect()
}

#[test]
fn g1_the_first_question_for_a_coordinator_makes_the_topic_of_groups() {
    with_broker("", async |broker| {
        let mut client = broker.connect();
        assert_eq!(find_coordinator(&mut client).await, (0, 9092));
        let response = client.call(&MetadataRequest { topics: None, ..MetadataRequest::default() }, 9).await;
        let metadata = response.read(MetadataResponse::decode);
        let topic = &metadata.topics[0];
        assert_eq!((topic.name, topic.is_internal), (Some("__consumer_offsets"), true));
        assert_eq!(topic.partitions.len(), 50);
    });
}

#[test]
fn g1_a_coordinator_of_transactions_or_share_groups_is_refused_finally() {
    with_broker("", async |broker| {
        let mut client = broker.connect();
        for (key_type, error) in [(1, 35), (2, 42), (9, 42)] {
            let request =
                FindCoordinatorRequest { key: "key", key_type, ..FindCoordinatorRequest::default() };
            let response = client.call(&request, 3).await;
            let found = response.read(FindCoordinatorResponse::decode);
            assert_eq!((found.error_code, found.node_id), (error, -1), "key type {key_type}");
        }
    });
}

#[test]
fn g2_a_first_join_is_given_an_id_to_join_with_except_to_older_versions() {
    with_broker(AT_ONCE, async |broker| {
        let mut client = broker.connect();
        find_coordinator(&mut client).await;
        let told = join(&mut client, "", 4).await;
        assert_eq!((told.error, told.generation), (MEMBER_ID_REQUIRED, -1));
        assert!(told.member.starts_with("test-"), "the client's name comes first: {}", told.member);
        let joined = join(&mut client, &told.member, 4).await;
        assert_eq!((joined.error, joined.generation, &joined.leader), (0, 1, &told.member));
        assert_eq!(join(&mut broker.connect(), "unknown", 4).await.error, UNKNOWN_MEMBER_ID);
    });
}

#[test]
fn g4_a_second_member_makes_the_first_join_again_and_both_get_what_the_leader_says() {
    with_broker(AT_ONCE, async |broker| {
        let (mut first, alone) = only_member(&broker).await;
        let mut second = broker.connect();
        let id = join(&mut second, "", 9).await.member;
        second.send(&join_request(&id), 9).await;
        while heartbeat(&mut first, &alone).await != REBALANCE_IN_PROGRESS {
            broker.world().sleep(std::time::Duration::from_millis(1)).await;
        }
        let again = join(&mut first, &alone.member, 9).await;
        let other = joined(&second.receive(ApiKey::JoinGroup, 9).await.expect("an answer"));
        assert_eq!((again.generation, other.generation), (2, 2));
        assert_eq!((again.member_count, other.member_count), (2, 0), "only the leader learns of the others");
        second
            .send(
                &SyncGroupRequest {
                    group_id: GROUP,
                    generation_id: 2,
                    member_id: &other.member,
                    protocol_type: Some("consumer"),
                    protocol_name: Some("range"),
                    ..SyncGroupRequest::default()
                },
                5,
            )
            .await;
        let assignments: [(&str, &[u8]); 2] = [(&again.member, b"left"), (&other.member, b"right")];
        assert_eq!(sync(&mut first, &again, &assignments).await, Ok(b"left".to_vec()));
        let synced = second.receive(ApiKey::SyncGroup, 5).await.expect("an answer");
        assert_eq!(synced.read(SyncGroupResponse::decode).assignment, b"right");
        assert_eq!(heartbeat(&mut first, &alone).await, ILLEGAL_GENERATION);
        assert_eq!((heartbeat(&mut first, &again).await, heartbeat(&mut second, &other).await), (0, 0));
    });
}

#[test]
fn g7_from_version_5_on_a_sync_says_what_was_agreed_and_is_refused_if_it_does_not_or_is_wrong() {
    with_broker(AT_ONCE, async |broker| {
        let (mut client, joined) = only_member(&broker).await;
        let mut sync = async |group_id, protocol_type, protocol_name, version| {
            let request = SyncGroupRequest {
                group_id,
                generation_id: joined.generation,
                member_id: &joined.member,
                protocol_type,
                protocol_name,
                ..SyncGroupRequest::default()
            };
            client.call(&request, version).await.read(SyncGroupResponse::decode).error_code
        };
        let (consumer, range) = (Some("consumer"), Some("range"));
        assert_eq!(sync(GROUP, consumer, range, 5).await, 0);
        assert_eq!(sync(GROUP, None, None, 4).await, 0);
        let wrong = [
            (None, None),
            (consumer, None),
            (None, range),
            (Some("connect"), range),
            (consumer, Some("sticky")),
        ];
        for (protocol_type, protocol_name) in wrong {
            let error = sync(GROUP, protocol_type, protocol_name, 5).await;
            assert_eq!(error, INCONSISTENT_GROUP_PROTOCOL, "{protocol_type:?}, {protocol_name:?}");
        }
        assert_eq!(sync("unheard-of", None, None, 5).await, INCONSISTENT_GROUP_PROTOCOL);
        assert_eq!(sync("unheard-of", consumer, range, 5).await, UNKNOWN_MEMBER_ID);
    });
}

#[test]
fn g8_a_silent_member_is_out_after_its_session() {
    with_broker(AT_ONCE, async |broker| {
        let (mut client, joined) = only_member(&broker).await;
        broker.world().sleep(std::time::Duration::from_millis(9_900)).await;
        assert_eq!(heartbeat(&mut client, &joined).await, 0);
        broker.world().sleep(std::time::Duration::from_millis(9_900)).await;
        assert_eq!(heartbeat(&mut client, &joined).await, 0, "each heartbeat begins the session anew");
        broker.world().sleep(std::time::Duration::from_millis(10_200)).await;
        assert_eq!(heartbeat(&mut client, &joined).await, UNKNOWN_MEMBER_ID);
    });
}

#[test]
fn g11_each_member_that_leaves_has_an_error_of_its_own() {
    with_broker(AT_ONCE, async |broker| {
        let (mut client, joined) = only_member(&broker).await;
        let leaving = |member_id| MemberIdentity { member_id, ..MemberIdentity::default() };
        let members = vec![leaving("unknown"), leaving(&joined.member)];
        let request = LeaveGroupRequest { group_id: GROUP, members, ..LeaveGroupRequest::default() };
        let response = client.call(&request, 5).await;
        let left = response.read(LeaveGroupResponse::decode);
        let errors: Vec<_> = left.members.iter().map(|member| member.error_code).collect();
        assert_eq!((left.error_code, errors), (0, vec![UNKNOWN_MEMBER_ID, 0]));
        let request =
            LeaveGroupRequest { group_id: GROUP, member_id: &joined.member, ..LeaveGroupRequest::default() };
        let response = client.call(&request, 1).await;
        assert_eq!(response.read(LeaveGroupResponse::decode).error_code, UNKNOWN_MEMBER_ID);
    });
}

#[test]
fn g14_a_group_is_described_and_one_that_is_not_there_is_dead_or_not_found() {
    with_broker(AT_ONCE, async |broker| {
        let (mut client, joined) = only_member(&broker).await;
        let request =
            DescribeGroupsRequest { groups: vec![GROUP, "missing"], include_authorized_operations: false };
        for (version, missing) in [(5, 0), (6, GROUP_ID_NOT_FOUND)] {
            let response = client.call(&request, version).await;
            let described = response.read(DescribeGroupsResponse::decode);
            let group = &described.groups[0];
            assert_eq!((group.group_state, group.protocol_data), ("Stable", "range"));
            let member = &group.members[0];
            assert_eq!((member.member_id, member.client_id), (&*joined.member, "test"));
            assert!(member.client_host.starts_with("/127.0.0.1"), "{}", member.client_host);
            assert_eq!(member.member_assignment, b"everything");
            let dead = &described.groups[1];
            assert_eq!((dead.group_state, dead.error_code), ("Dead", missing));
        }
    });
}

#[test]
fn g14_descriptions_that_no_frame_can_hold_close_the_connection_that_asked_and_no_other() {
    with_broker(AT_ONCE, async |broker| {
        let mut client = broker.connect();
        find_coordinator(&mut client).await;
        let member = join(&mut client, "", 9).await.member;
        let joined = join(&mut client, &member, 9).await;
        let assignment = vec![7; 1 << 20];
        let assigned = sync(&mut client, &joined, &[(&member, &assignment)]).await;
        assert_eq!(assigned.map(|assigned| assigned.len()), Ok(1 << 20));
        // More than memory for it, and more than the length of a frame can say.
        for count in [300, 2_050] {
            let request =
                DescribeGroupsRequest { groups: vec![GROUP; count], include_authorized_operations: false };
            let mut greedy = broker.connect();
            assert!(greedy.try_call(&request, 5).await.is_none());
        }
        assert_eq!(heartbeat(&mut client, &joined).await, 0);
    });
}

#[test]
fn g14_a_group_named_again_and_again_is_described_until_the_answer_is_full_and_then_refused() {
    with_broker(AT_ONCE, async |broker| {
        let mut client = broker.connect();
        find_coordinator(&mut client).await;
        let member = join(&mut client, "", 9).await.member;
        join(&mut client, &member, 9).await;
        // Each time it counts itself and its member.
        let most = Limits::production().request.members_told_max / 2;
        let groups = vec![GROUP; most + 2];
        let request = DescribeGroupsRequest { groups, include_authorized_operations: false };
        let response = client.call(&request, 5).await;
        let described = response.read(DescribeGroupsResponse::decode);
        let told = |group: &DescribedGroup<'_>| (group.error_code, group.members.len());
        assert!(described.groups[..most].iter().all(|group| told(group) == (0, 1)));
        assert!(described.groups[most..].iter().all(|group| told(group) == (POLICY_VIOLATION, 0)));
    });
}

#[test]
fn g15_groups_are_listed_by_state_and_type() {
    with_broker(AT_ONCE, async |broker| {
        let mut nobody = broker.connect();
        let request = ListGroupsRequest::default();
        let response = nobody.call(&request, 5).await;
        assert!(response.read(ListGroupsResponse::decode).groups.is_empty(), "no group, no error");
        let (mut client, _) = only_member(&broker).await;
        for (states, types, count) in [
            (vec![], vec![], 1),
            (vec!["stable"], vec!["Classic"], 1),
            (vec!["Empty"], vec![], 0),
            (vec![], vec!["consumer"], 0),
        ] {
            let request = ListGroupsRequest { states_filter: states, types_filter: types };
            let response = client.call(&request, 5).await;
            let listed = response.read(ListGroupsResponse::decode);
            assert_eq!((listed.error_code, listed.groups.len()), (0, count), "{request:?}");
        }
    });
}

#[test]
fn g15_only_a_group_without_members_is_deleted() {
    with_broker(AT_ONCE, async |broker| {
        let (mut client, joined) = only_member(&broker).await;
        let request = DeleteGroupsRequest { groups_names: vec![GROUP, "missing"] };
        let errors = |response: Response| -> Vec<i16> {
            let deleted = response.read(DeleteGroupsResponse::decode);
            deleted.results.iter().map(|result| result.error_code).collect()
        };
        assert_eq!(errors(client.call(&request, 2).await), [NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND]);
        let leave =
            LeaveGroupRequest { group_id: GROUP, member_id: &joined.member, ..LeaveGroupRequest::default() };
        client.call(&leave, 2).await;
        assert_eq!(errors(client.call(&request, 2).await), [0, GROUP_ID_NOT_FOUND]);
        assert_eq!(errors(client.call(&request, 2).await), [GROUP_ID_NOT_FOUND, GROUP_ID_NOT_FOUND]);
    });
}

#[test]
fn o1_who_is_no_member_commits_only_to_a_group_without_members() {
    with_broker(AT_ONCE, async |broker| {
        let mut other = broker.with_topic(1, &[]).await;
        find_coordinator(&mut other).await;
        assert_eq!(commit(&mut other, vec![offset(0, 7, None)]).await, [0]);
        let (mut client, joined) = only_member(&broker).await;
        assert_eq!(commit(&mut other, vec![offset(0, 8, None)]).await, [UNKNOWN_MEMBER_ID]);
        let topics = vec![OffsetCommitRequestTopic {
            name: TOPIC,
            partitions: vec![offset(0, 9, None)],
            ..Default::default()
        }];
        let mut request = OffsetCommitRequest {
            group_id: GROUP,
            generation_id_or_member_epoch: joined.generation,
            member_id: &joined.member,
            topics,
            ..OffsetCommitRequest::default()
        };
        assert_eq!(commit_errors(&client.call(&request, 9).await), [0]);
        request.generation_id_or_member_epoch += 1;
        assert_eq!(commit_errors(&client.call(&request, 9).await), [ILLEGAL_GENERATION]);
        assert_eq!(fetch_offsets(&mut other, &[0]).await, [(9, String::new())]);
    });
}

#[test]
fn o1_a_member_of_a_group_that_is_gone_is_told_so_from_version_9_on() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        find_coordinator(&mut client).await;
        until_loaded(&mut client).await;
        let partitions = vec![offset(0, 9, None)];
        let topics = vec![OffsetCommitRequestTopic { name: TOPIC, partitions, ..Default::default() }];
        let request = OffsetCommitRequest {
            group_id: GROUP,
            generation_id_or_member_epoch: 3,
            member_id: "member",
            topics,
            ..OffsetCommitRequest::default()
        };
        for (version, error) in [(2, ILLEGAL_GENERATION), (8, ILLEGAL_GENERATION), (9, GROUP_ID_NOT_FOUND)] {
            assert_eq!(commit_errors(&client.call(&request, version).await), [error], "version {version}");
        }
    });
}

#[test]
fn o3_a_text_comes_back_as_it_was_and_one_too_long_is_refused_alone() {
    with_broker("offset.metadata.max.bytes=10", async |broker| {
        let mut client = broker.with_topic(3, &[]).await;
        find_coordinator(&mut client).await;
        let long = "12345678901";
        let offsets = vec![offset(0, 1, Some("näte")), offset(1, 2, Some(long)), offset(2, 3, None)];
        assert_eq!(commit(&mut client, offsets).await, [0, OFFSET_METADATA_TOO_LARGE, 0]);
        let told = fetch_offsets(&mut client, &[0, 1, 2]).await;
        assert_eq!(told, [(1, "näte".to_owned()), (-1, String::new()), (3, String::new())]);
    });
}

#[test]
fn o4_all_offsets_of_a_group_are_told_in_every_version() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        find_coordinator(&mut client).await;
        commit(&mut client, vec![offset(0, 5, None), offset(1, 6, None)]).await;
        let one = OffsetFetchRequest {
            group_id: GROUP,
            topics: Some(vec![OffsetFetchRequestTopic { name: TOPIC, partition_indexes: vec![1, 7] }]),
            ..OffsetFetchRequest::default()
        };
        for version in 1..=7 {
            let response = client.call(&one, version).await;
            let told = response.read(OffsetFetchResponse::decode);
            let offsets: Vec<_> =
                told.topics[0].partitions.iter().map(|partition| partition.committed_offset).collect();
            assert_eq!(offsets, [6, -1], "version {version}");
        }
        let all = OffsetFetchRequest { group_id: GROUP, topics: None, ..OffsetFetchRequest::default() };
        for version in 2..=7 {
            let response = client.call(&all, version).await;
            assert_eq!(response.read(OffsetFetchResponse::decode).topics[0].partitions.len(), 2);
        }
    });
}

#[test]
fn o4_a_group_named_again_and_again_is_told_until_the_answer_is_full_and_then_refused() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        find_coordinator(&mut client).await;
        commit(&mut client, vec![offset(0, 7, None)]).await;
        let most = Limits::production().request.offsets_told_max;
        let named = |count| OffsetFetchRequestGroup {
            group_id: GROUP,
            topics: Some(vec![OffsetFetchRequestTopics {
                name: TOPIC,
                partition_indexes: vec![0; count],
                ..Default::default()
            }]),
            ..Default::default()
        };
        // What is left after the first: for itself, and what the second asks for but one.
        let groups = vec![named(most / 4), named(most - most / 4 - 1), named(2)];
        let response = client.call(&OffsetFetchRequest { groups, ..OffsetFetchRequest::default() }, 9).await;
        let told = response.read(OffsetFetchResponse::decode);
        let codes: Vec<_> = told.groups.iter().map(|group| (group.error_code, group.topics.len())).collect();
        assert_eq!(codes, [(0, 1), (POLICY_VIOLATION, 0), (0, 1)]);
        assert_eq!(told.groups[0].topics[0].partitions.len(), most / 4);
    });
}

#[test]
fn o6_an_offset_is_deleted_and_one_of_an_unknown_partition_is_refused_alone() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        find_coordinator(&mut client).await;
        commit(&mut client, vec![offset(0, 5, None)]).await;
        let partitions = [0, 9].map(|partition_index| OffsetDeleteRequestPartition { partition_index });
        let topics = vec![OffsetDeleteRequestTopic { name: TOPIC, partitions: partitions.to_vec() }];
        let response = client.call(&OffsetDeleteRequest { group_id: GROUP, topics }, 0).await;
        let deleted = response.read(OffsetDeleteResponse::decode);
        let errors: Vec<_> =
            deleted.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
        assert_eq!((deleted.error_code, errors), (0, vec![0, UNKNOWN_TOPIC_OR_PARTITION]));
        assert_eq!(fetch_offsets(&mut client, &[0]).await, [(-1, String::new())]);
    });
}

#[test]
fn o6_the_offsets_of_a_deleted_topic_are_gone_when_it_is_made_again() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        find_coordinator(&mut client).await;
        commit(&mut client, vec![offset(0, 5, None)]).await;
        let topic_names = vec![TOPIC];
        let request = ringlog_net::protocol::delete_topics::DeleteTopicsRequest {
            topic_names,
            timeout_ms: 10_000,
            ..Default::default()
        };
        client.call(&request, 5).await;
        assert_eq!(commit(&mut client, vec![offset(0, 5, None)]).await, [UNKNOWN_TOPIC_OR_PARTITION]);
        client.create_topic(TOPIC, 1, &[]).await;
        assert_eq!(fetch_offsets(&mut client, &[0]).await, [(-1, String::new())]);
    });
}

#[test]
fn o7_version_10_names_topics_by_id_and_says_which_it_does_not_know() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        find_coordinator(&mut client).await;
        let topic_id = client.topic_id(TOPIC).await;
        let of = |topic_id| OffsetCommitRequestTopic {
            topic_id,
            partitions: vec![offset(0, 5, None)],
            ..OffsetCommitRequestTopic::default()
        };
        let topics = vec![of(topic_id), of(Uuid([7; 16]))];
        let request = OffsetCommitRequest { group_id: GROUP, topics, ..OffsetCommitRequest::default() };
        assert_eq!(commit_errors(&client.call(&request, 10).await), [0, UNKNOWN_TOPIC_ID]);
        let asked = |topic_id| OffsetFetchRequestTopics {
            topic_id,
            partition_indexes: vec![0],
            ..OffsetFetchRequestTopics::default()
        };
        let group = OffsetFetchRequestGroup {
            group_id: GROUP,
            topics: Some(vec![asked(Uuid([7; 16])), asked(topic_id)]),
            ..OffsetFetchRequestGroup::default()
        };
        let request = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
        let response = client.call(&request, 10).await;
        let told = response.read(OffsetFetchResponse::decode);
        let parts = told.groups[0].topics.iter().map(|topic| &topic.partitions[0]);
        let parts: Vec<_> = parts.map(|told| (told.error_code, told.committed_offset)).collect();
        assert_eq!(parts, [(UNKNOWN_TOPIC_ID, -1), (0, 5)]);
    });
}

#[test]
fn o7_who_asks_for_offsets_of_a_classic_group_as_a_member_need_not_be_one() {
    with_broker(AT_ONCE, async |broker| {
        let mut other = broker.with_topic(1, &[]).await;
        find_coordinator(&mut other).await;
        commit(&mut other, vec![offset(0, 7, None)]).await;
        let (mut client, joined) = only_member(&broker).await;
        let mut told = async |group_id, member_id, member_epoch| {
            let topic =
                OffsetFetchRequestTopics { name: TOPIC, partition_indexes: vec![0], ..Default::default() };
            let topics = Some(vec![topic]);
            let group = OffsetFetchRequestGroup { group_id, member_id, member_epoch, topics };
            let request = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
            let response = client.call(&request, 9).await;
            let told = response.read(OffsetFetchResponse::decode);
            let partition = &told.groups[0].topics[0].partitions[0];
            (told.groups[0].error_code, partition.error_code, partition.committed_offset)
        };
        let member = Some(&*joined.member);
        for (member, epoch) in [(member, joined.generation), (member, 99), (Some("nobody"), 99), (None, -1)] {
            assert_eq!(told(GROUP, member, epoch).await, (0, 0, 7), "{member:?} in {epoch}");
            assert_eq!(told("unheard-of", member, epoch).await, (0, 0, -1), "{member:?} in {epoch}");
        }
    });
}

#[test]
fn the_lag_of_a_group_is_what_it_has_not_committed() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(1, &[]).await;
        find_coordinator(&mut client).await;
        for _ in 0..5 {
            client.produce(0, &batch(&["a", "b"])).await;
        }
        commit(&mut client, vec![offset(0, 7, None)]).await;
        let labels = format!("{{group=\"{GROUP}\",topic=\"{TOPIC}\",partition=\"0\"}}");
        let metric = async |name: &str| broker.metric(&format!("{name}{labels}")).await;
        assert_eq!(metric("ringlog_group_committed_offset").await, Some(7.0));
        assert_eq!(metric("ringlog_group_lag").await, Some(3.0));
        assert_eq!(broker.metric("ringlog_groups").await, Some(1.0));
    });
}

#[test]
fn the_log_of_groups_is_written_anew_while_it_grows_and_holds_every_offset_after_a_crash() {
    let world = MemoryWorld::new(7, Options::quiet());
    let properties = "offsets.topic.num.partitions=1\noffsets.topic.segment.bytes=1048576";
    with_broker_in(&world, properties, async |broker| {
        let mut client = broker.with_topic(4, &[]).await;
        find_coordinator(&mut client).await;
        assert_eq!(commit(&mut client, vec![offset(3, 77, Some("committed once"))]).await, [0]);
        for number in 0..700 {
            let (partition, text) = (number % 3, format!("text {number}{}", " ".repeat(4000)));
            let committed = commit(&mut client, vec![offset(partition as i32, number, Some(&text))]).await;
            assert_eq!(committed, [0]);
        }
        let labels = "{topic=\"__consumer_offsets\",partition=\"0\"}";
        let start = broker.metric(&format!("ringlog_partition_log_start_offset{labels}")).await;
        assert!(start > Some(500.0), "the log still begins at {start:?}");
    });
    world.crash();
    with_broker_in(&world, properties, async |broker| {
        let mut client = broker.connect();
        until_loaded(&mut client).await;
        let told = fetch_offsets(&mut client, &[0, 1, 2, 3]).await;
        let told: Vec<_> = told.iter().map(|(offset, text)| (*offset, text.trim_end())).collect();
        assert_eq!(told[..3], [(699, "text 699"), (697, "text 697"), (698, "text 698")]);
        assert_eq!(told[3], (77, "committed once"));
    });
}

#[test]
fn a_crash_while_the_log_of_groups_is_written_anew_loses_no_acknowledged_offset() {
    let properties = "offsets.topic.num.partitions=1\noffsets.topic.segment.bytes=1048576";
    // It begins when a MiB was written: after some 260 of these.
    for count in 250..274_i64 {
        let world = MemoryWorld::new(count.unsigned_abs(), Options::quiet());
        with_broker_in(&world, properties, async |broker| {
            let mut client = broker.with_topic(4, &[]).await;
            find_coordinator(&mut client).await;
            for number in 0..count {
                let (partition, text) = (number % 4, " ".repeat(4000));
                let offsets = vec![offset(partition as i32, number, Some(&text))];
                assert_eq!(commit(&mut client, offsets).await, [0]);
            }
            // Somewhere in the middle.
            broker.world().sleep(std::time::Duration::from_micros(50 * (count.unsigned_abs() % 5))).await;
        });
        world.crash();
        with_broker_in(&world, properties, async |broker| {
            let mut client = broker.connect();
            find_coordinator(&mut client).await;
            until_loaded(&mut client).await;
            let told = fetch_offsets(&mut client, &[0, 1, 2, 3]).await;
            let mut stored: Vec<_> = told.into_iter().map(|(offset, _)| offset).collect();
            stored.sort_unstable();
            assert_eq!(stored, (count - 4..count).collect::<Vec<_>>(), "after {count} commits");
        });
    }
}

#[test]
fn clients_may_not_write_to_the_topic_of_groups() {
    with_broker("", async |broker| {
        let mut client = broker.connect();
        find_coordinator(&mut client).await;
        let batch = batch(&["forged"]);
        let mut request = crate::harness::produce_request(&[(0, &batch)], -1);
        request.topic_data[0].name = "__consumer_offsets";
        let response = client.call(&request, 9).await;
        let produced = response.read(ringlog_net::protocol::produce::ProduceResponse::decode);
        assert_eq!(produced.responses[0].partition_responses[0].error_code, 17);
    });
}
