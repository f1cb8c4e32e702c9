//! G14, G15: what tools see of groups.

use ringlog_core::group::GroupCoordinator;
use ringlog_core::group::decision::{GroupTicket, When};
use ringlog_core::group::message::{Answer, Commit, GroupState, Join, ListFilter, Request};
use ringlog_core::group::record::GroupRecord;
use ringlog_core::group::settings::GroupSettings;
use ringlog_core::refusal::Refusal;

use crate::harness::{GROUP, World, again, commit_of, consumer, simple_commit, text};

fn listed(world: &mut World, states: &[&str], types: &[&str]) -> Vec<(String, String, GroupState)> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    let ticket = world.ask(Request::List(ListFilter { states: names(states), types: names(types) }));
    let Answer::List(Ok(groups)) = &world.reply(ticket).answer else { panic!("not a list") };
    groups
        .iter()
        .map(|listing| (listing.group.to_string(), listing.protocol_type.to_string(), listing.state))
        .collect()
}

#[test]
fn g14_a_stable_group_is_described_with_what_its_members_read_and_were_given() {
    let mut world = World::new();
    world.stable(&[consumer("a")]);
    let description = world.describe().expect("the group");
    assert_eq!((&*description.protocol_type, &*description.protocol), ("consumer", "range"));
    let member = &description.members[0];
    assert_eq!((&*member.client_id, &*member.client_host), ("a", "/127.0.0.1"));
    assert_eq!((text(&member.assignment), member.metadata.is_empty()), ("a".into(), false));
    world.join(consumer("b"));
    let description = world.describe().expect("the group");
    assert_eq!((description.state, &*description.protocol), (GroupState::PreparingRebalance, ""));
    assert!(description.members.iter().all(|member| member.metadata.is_empty()));
}

#[test]
fn g14_a_group_that_is_not_there_is_not_found() {
    let mut world = World::new();
    assert_eq!(world.describe(), Err(Refusal::GroupIdNotFound));
}

#[test]
fn g15_groups_are_listed_by_state_and_type_in_any_case() {
    let mut world = World::new();
    world.stable(&[consumer("a")]);
    world.commit(Commit { group: "simple".into(), ..simple_commit(&[("t", 0, 1)]) });
    let stable = || (GROUP.to_string(), "consumer".to_string(), GroupState::Stable);
    let simple = || ("simple".to_string(), String::new(), GroupState::Empty);
    assert_eq!(listed(&mut world, &[], &[]), [stable(), simple()]);
    assert_eq!(listed(&mut world, &["STABLE", "dead"], &["Classic"]), [stable()]);
    assert_eq!(listed(&mut world, &["empty"], &[]), [simple()]);
    assert_eq!(listed(&mut world, &[], &["consumer"]), []);
}

#[test]
fn g15_only_a_group_without_members_can_be_deleted_and_all_of_it_goes() {
    let mut world = World::new();
    assert_eq!(world.delete_group(), Err(Refusal::GroupIdNotFound));
    let member = world.stable(&[consumer("a")]).remove(0);
    world.commit(commit_of(&member, &[("events", 0, 7), ("events", 1, 8)]));
    assert_eq!(world.delete_group(), Err(Refusal::NonEmptyGroup));
    world.leave(&[(&member.member, None)]);
    assert_eq!(world.delete_group(), Ok(()));
    assert_eq!((world.coordinator.group_count(), world.coordinator.offsets().count()), (0, 0));
    let is_tombstone = |record: &GroupRecord| {
        matches!(record, GroupRecord::Offset { value: None, .. } | GroupRecord::Group { value: None, .. })
    };
    assert_eq!(world.log.iter().rev().take_while(|record| is_tombstone(record)).count(), 3);
}

#[test]
fn g15_a_deleted_group_has_forgotten_whom_it_gave_an_id() {
    let mut world = World::new();
    world.commit(simple_commit(&[("events", 0, 1)]));
    let join = Join { requires_known_member: true, ..consumer("a") };
    let ticket = world.join(join.clone());
    assert_eq!(world.delete_group(), Ok(()));
    assert_eq!(world.coordinator.group_count(), 0);
    let late = world.join(again(&join, &world.member(ticket)));
    assert_eq!(world.join_refusal(late), &Refusal::UnknownMember);
}

#[test]
fn while_loading_everybody_is_told_to_wait_and_nothing_is_decided() {
    let mut coordinator = GroupCoordinator::loading(GroupSettings::default());
    let moment = World::new().moment();
    assert!(!coordinator.is_active() && coordinator.next_deadline().is_none());
    let decision = coordinator.handle(Request::Describe(GROUP.into()), GroupTicket(1), moment);
    assert_eq!(decision.replies[0].answer, Answer::Describe(Err(Refusal::CoordinatorLoading)));
    assert_eq!(decision.replies[0].when, When::Now);
    let decision = coordinator.handle(Request::TopicDeleted("t".into(), None), GroupTicket(2), moment);
    assert!(decision.replies.is_empty());
}

#[test]
fn an_empty_group_name_is_for_offsets_alone() {
    let mut world = World::new();
    let ticket = world.join(Join { group: "".into(), ..consumer("a") });
    assert_eq!(world.join_refusal(ticket), &Refusal::InvalidGroupId);
    let commit = Commit { group: "".into(), ..simple_commit(&[("t", 0, 1)]) };
    assert_eq!(world.commit(commit), [Ok(())]);
    let ticket = world.ask(Request::Describe("".into()));
    assert!(matches!(&world.reply(ticket).answer, Answer::Describe(Ok(_))));
}
