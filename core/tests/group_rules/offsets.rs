//! O1 to O8: how far groups have read.

use std::time::Duration;

use ringlog_core::group::decision::When;
use ringlog_core::group::message::{
    Commit, CommitOffset, FetchOffsets, GroupGeneration, GroupState, Join, Request,
};
use ringlog_core::group::record::{CommittedOffset, GroupRecord};
use ringlog_core::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use ringlog_core::refusal::Refusal;
use ringlog_core::time::Timestamp;

use crate::harness::{
    Joiner, World, again, commit_of, consumer, fetch_all, protocol, simple_commit, topic_id_of,
};

const DAY: u64 = 24 * 60 * 60;

#[test]
fn o1_nobodys_member_commits_only_while_nobody_is_in_the_group() {
    let mut world = World::new();
    assert_eq!(world.commit(simple_commit(&[("events", 0, 1)])), [Ok(())]);
    let member = world.stable(&[consumer("a")]).remove(0);
    assert_eq!(world.commit(simple_commit(&[("events", 0, 2)])), [Err(Refusal::UnknownMember)]);
    world.leave(&[(&member.member, None)]);
    assert_eq!(world.commit(simple_commit(&[("events", 0, 3)])), [Ok(())]);
    assert_eq!(world.stored(), ["events-0=3"]);
}

#[test]
fn o1_a_member_of_another_generation_or_of_no_group_cannot_commit() {
    let mut world = World::new();
    let commit =
        Commit { generation: GroupGeneration(1), member: "a".into(), ..simple_commit(&[("events", 0, 1)]) };
    assert_eq!(world.commit(commit), [Err(Refusal::GroupIdNotFound)]);
    let member = world.stable(&[consumer("a")]).remove(0);
    let old = Joiner { generation: GroupGeneration(0), ..member.clone() };
    assert_eq!(world.commit(commit_of(&old, &[("events", 0, 1)])), [Err(Refusal::IllegalGeneration)]);
    let stranger = Joiner { member: "b".into(), ..member };
    assert_eq!(world.commit(commit_of(&stranger, &[("events", 0, 1)])), [Err(Refusal::UnknownMember)]);
    assert_eq!(world.stored(), [""; 0]);
}

#[test]
fn o2_a_commit_is_taken_before_the_join_phase_ends_and_not_between_it_and_the_assignment() {
    let mut world = World::new();
    let member = world.stable(&[consumer("a")]).remove(0);
    world.join(consumer("b"));
    assert_eq!(world.commit(commit_of(&member, &[("events", 0, 1)])), [Ok(())]);
    let ticket = world.join(again(&consumer("a"), &member.member));
    let member = world.joiner(ticket, &consumer("a"));
    assert_eq!(world.state(), GroupState::CompletingRebalance);
    assert_eq!(world.commit(commit_of(&member, &[("events", 0, 2)])), [Err(Refusal::RebalanceInProgress)]);
}

#[test]
fn o3_the_text_with_an_offset_is_kept_as_it_is_and_one_too_long_is_refused_alone() {
    let mut world = World::new();
    let offset = |partition, metadata: String| CommitOffset {
        topic: "events".into(),
        topic_id: topic_id_of("events"),
        partition: PartitionIndex(partition),
        offset: Offset(5),
        leader_epoch: LeaderEpoch(3),
        metadata: metadata.into(),
    };
    let offsets = vec![offset(0, "x".repeat(4_096)), offset(1, "x".repeat(4_097)), offset(2, String::new())];
    let results = world.commit(Commit { offsets, ..simple_commit(&[]) });
    assert_eq!(results, [Ok(()), Err(Refusal::OffsetMetadataTooLarge { bytes_max: 4_096 }), Ok(())]);
    let all = world.fetch(fetch_all()).expect("offsets");
    let stored: Vec<_> = all.iter().map(|fetched| fetched.stored.clone().expect("stored")).collect();
    assert_eq!(stored.iter().map(|stored| stored.metadata.len()).collect::<Vec<_>>(), [4_096, 0]);
    assert_eq!((stored[0].offset, stored[0].leader_epoch), (Offset(5), LeaderEpoch(3)));
}

#[test]
fn o4_a_partition_without_an_offset_is_no_error_and_all_are_those_that_have_one() {
    let mut world = World::new();
    let ask = |group: &str| FetchOffsets {
        group: group.into(),
        partitions: Some(vec![("events".into(), PartitionIndex(0)), ("events".into(), PartitionIndex(9))]),
        ..fetch_all()
    };
    world.commit(simple_commit(&[("events", 0, 7)]));
    let fetched = world.fetch(ask("orders")).expect("offsets");
    assert_eq!(fetched[0].stored.as_ref().map(|stored| stored.offset), Some(Offset(7)));
    assert_eq!((fetched[1].partition, &fetched[1].stored), (PartitionIndex(9), &None));
    let fetched = world.fetch(ask("unheard-of")).expect("offsets");
    assert!(fetched.len() == 2 && fetched.iter().all(|fetched| fetched.stored.is_none()));
    assert_eq!(world.fetch(FetchOffsets { group: "unheard-of".into(), ..fetch_all() }), Ok(Vec::new()));
}

#[test]
fn o5_offsets_of_an_empty_group_go_seven_days_after_it_became_empty_and_the_group_with_them() {
    let mut world = World::new();
    let patient = Join { session_timeout: Duration::from_secs(1_800), ..consumer("a") };
    let member = world.stable(&[patient]).remove(0);
    world.commit(commit_of(&member, &[("events", 0, 7)]));
    for _ in 0..8 {
        world.pass(1_799);
        assert_eq!(world.heartbeat(&member), Ok(()));
    }
    world.leave(&[(&member.member, None)]);
    world.pass(7 * DAY - 601);
    assert_eq!(world.stored(), ["events-0=7"], "seven days and four hours after its commit");
    world.pass(1_200);
    assert_eq!(world.stored(), [""; 0]);
    assert_eq!(world.coordinator.group_count(), 0);
    let last = world.log.last().expect("a record");
    assert!(matches!(last, GroupRecord::Group { value: None, .. }), "{last:?}");
}

#[test]
fn o5_an_empty_group_that_never_committed_goes_at_the_next_look() {
    let mut world = World::new();
    let member = world.stable(&[consumer("a")]).remove(0);
    world.leave(&[(&member.member, None)]);
    assert_eq!(world.state(), GroupState::Empty);
    world.pass(600);
    assert_eq!((world.state(), world.written()), (GroupState::Dead, None));
}

#[test]
fn o5_offsets_without_a_group_go_seven_days_after_their_own_commit() {
    let mut world = World::new();
    world.commit(simple_commit(&[("events", 0, 1), ("events", 1, 1)]));
    world.pass(4 * DAY);
    world.commit(simple_commit(&[("events", 1, 2)]));
    world.pass(3 * DAY + 600);
    assert_eq!(world.stored(), ["events-1=2"]);
    world.pass(4 * DAY + 600);
    assert_eq!(world.coordinator.group_count(), 0);
}

#[test]
fn o5_at_work_only_offsets_of_topics_nobody_reads_any_more_expire() {
    let mut world = World::new();
    let patient = |topics: &[&str]| Join {
        session_timeout: Duration::from_secs(1_800),
        protocols: vec![protocol("range", topics)],
        ..consumer("a")
    };
    let member = world.stable(&[patient(&["events", "old"])]).remove(0);
    world.commit(commit_of(&member, &[("events", 0, 1), ("old", 0, 1)]));
    for _ in 0..8 * 48 {
        world.pass(1_799);
        assert_eq!(world.heartbeat(&member), Ok(()));
    }
    assert_eq!(world.stored(), ["events-0=1", "old-0=1"]);
    let ticket = world.join(again(&patient(&["events"]), &member.member));
    let member = world.joiner(ticket, &consumer("a"));
    world.sync(&member, &[]);
    world.pass(600);
    assert_eq!(world.stored(), ["events-0=1"]);
}

#[test]
fn o5_a_time_the_client_gave_wins_over_the_brokers() {
    let mut world = World::new();
    let kept = |seconds, partition| Commit {
        retention: Some(Duration::from_secs(seconds)),
        ..simple_commit(&[("events", partition, 1)])
    };
    world.commit(kept(3_600, 0));
    world.commit(kept(30 * DAY, 1));
    world.pass(3_600 + 600);
    assert_eq!(world.stored(), ["events-1=1"]);
    world.pass(20 * DAY);
    assert_eq!(world.stored(), ["events-1=1"]);
    world.pass(11 * DAY);
    assert_eq!(world.stored(), [""; 0]);
}

#[test]
fn o6_offsets_of_a_topic_in_use_cannot_be_deleted_and_others_can() {
    let mut world = World::new();
    assert_eq!(world.delete_offsets(&[("events", 0)]), Err(Refusal::GroupIdNotFound));
    let member = world.stable(&[consumer("a")]).remove(0);
    world.commit(commit_of(&member, &[("events", 0, 1), ("old", 0, 1)]));
    let results = world.delete_offsets(&[("events", 0), ("old", 0), ("old", 9)]);
    assert_eq!(results, Ok(vec![Err(Refusal::GroupSubscribedToTopic), Ok(()), Ok(())]));
    assert_eq!(world.stored(), ["events-0=1"]);
    world.leave(&[(&member.member, None)]);
    assert_eq!(world.delete_offsets(&[("events", 0)]), Ok(vec![Ok(())]));
    assert_eq!(world.stored(), [""; 0]);
}

#[test]
fn o6_a_subscription_that_cannot_be_read_protects_all_topics_and_another_kind_of_group_all_offsets() {
    let mut world = World::new();
    let mut opaque = consumer("a");
    opaque.protocols[0].metadata = b"?".as_slice().into();
    let member = world.stable(&[opaque]).remove(0);
    world.commit(commit_of(&member, &[("events", 0, 1)]));
    assert_eq!(world.delete_offsets(&[("events", 0)]), Ok(vec![Err(Refusal::GroupSubscribedToTopic)]));
    world.leave(&[(&member.member, None)]);
    world.join(Join { protocol_type: "connect".into(), ..consumer("worker") });
    assert_eq!(world.delete_offsets(&[("events", 0)]), Err(Refusal::NonEmptyGroup));
}

#[test]
fn o6_a_deleted_topic_takes_its_offsets_along_in_all_groups() {
    let mut world = World::new();
    world.commit(simple_commit(&[("events", 0, 1), ("events", 1, 1), ("other", 0, 1)]));
    world.commit(Commit { group: "second".into(), ..simple_commit(&[("events", 0, 5)]) });
    let ticket = world.ask(Request::TopicDeleted("events".into(), Some(topic_id_of("events"))));
    assert!(world.waits(ticket), "nobody waits for an answer, so there is none");
    assert_eq!(world.stored(), ["other-0=1"]);
    world.fail_over();
    assert_eq!(world.stored(), ["other-0=1"]);
}

#[test]
fn o6_a_deleted_topic_leaves_the_offsets_of_its_successor_and_takes_those_of_no_known_topic() {
    let mut world = World::new();
    let (first, second) = (topic_id_of("events"), TopicId([2; 16]));
    let of = |partition, topic_id| {
        let mut commit = simple_commit(&[("events", partition, 1)]);
        commit.offsets[0].topic_id = topic_id;
        commit
    };
    assert_eq!(world.commit(of(0, first)), [Ok(())]);
    assert_eq!(world.commit(of(1, second)), [Ok(())]);
    world.coordinator.replay(&GroupRecord::Offset {
        group: "orders".into(),
        topic: "events".into(),
        partition: PartitionIndex(2),
        value: Some(CommittedOffset {
            offset: Offset(1),
            leader_epoch: LeaderEpoch::UNKNOWN,
            metadata: "".into(),
            committed_at: Timestamp(0),
            expires_at: None,
            topic_id: None,
        }),
    });
    let ids: Vec<_> = world.coordinator.topics_with_offsets().into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, [None, Some(second), Some(first)]);
    world.ask(Request::TopicDeleted("events".into(), Some(first)));
    assert_eq!(world.stored(), ["events-1=1"]);
    world.ask(Request::TopicDeleted("events".into(), None));
    assert_eq!(world.stored(), ["events-1=1"]);
    world.ask(Request::TopicDeleted("events".into(), Some(second)));
    assert_eq!(world.stored(), [""; 0]);
}

#[test]
fn o6_a_group_that_lost_its_last_offset_is_empty_until_it_is_looked_at_for_having_expired() {
    let mut world = World::new();
    world.commit(simple_commit(&[("events", 0, 1)]));
    world.commit(Commit { group: "second".into(), ..simple_commit(&[("old", 0, 5)]) });
    assert_eq!(world.delete_offsets(&[("events", 0)]), Ok(vec![Ok(())]));
    world.ask(Request::TopicDeleted("old".into(), Some(topic_id_of("old"))));
    for _ in 0..2 {
        assert_eq!((world.state(), world.coordinator.group_count()), (GroupState::Empty, 2));
        world.fail_over();
    }
    world.pass(600);
    assert_eq!((world.state(), world.coordinator.group_count()), (GroupState::Dead, 0));
    let buried = |record: &&GroupRecord| matches!(record, GroupRecord::Group { value: None, .. });
    assert_eq!(world.log.iter().filter(buried).count(), 2, "who reads the topic learns that they are gone");
}

#[test]
fn o8_what_was_committed_last_is_what_another_coordinator_reads() {
    let mut world = World::new();
    let ticket = world.ask(Request::Commit(simple_commit(&[("events", 0, 9)])));
    assert_eq!(world.when(ticket), When::Committed);
    world.commit(simple_commit(&[("events", 0, 4)]));
    world.fail_over();
    assert_eq!(world.stored(), ["events-0=4"], "the last one, not the largest");
}

#[test]
fn offsets_of_all_groups_can_be_listed_for_lag() {
    let mut world = World::new();
    world.commit(simple_commit(&[("events", 0, 9)]));
    world.commit(Commit { group: "second".into(), ..simple_commit(&[("events", 3, 5)]) });
    let all: Vec<_> = world
        .coordinator
        .offsets()
        .map(|(group, topic, partition, offset)| format!("{group} {topic} {partition} {offset}"))
        .collect();
    assert_eq!(all, ["orders events 0 9", "second events 3 5"]);
}
