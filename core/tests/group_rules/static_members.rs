//! G10: members that keep their place through a restart (KIP-345, KIP-814).

use ringlog_core::group::decision::When;
use ringlog_core::group::message::{GroupGeneration, GroupState, Join};
use ringlog_core::refusal::Refusal;

use crate::harness::{Joiner, World, again, commit_of, consumer, protocol, static_consumer};

#[test]
fn g10_a_static_member_that_starts_again_gets_its_place_back_without_a_rebalance() {
    let mut world = World::new();
    let members = world.stable(&[consumer("leader"), static_consumer("box")]);
    let records = world.log.len();
    let ticket = world.join(static_consumer("box"));
    let joined = world.joined(ticket).clone();
    assert_eq!((joined.generation, joined.skip_assignment), (GroupGeneration(1), false));
    assert!(joined.members.is_empty());
    assert_eq!((world.when(ticket), world.log.len()), (When::Committed, records + 1));
    let member = world.joiner(ticket, &static_consumer("box"));
    assert_ne!(member.member, members[1].member);
    assert!(member.member.starts_with("box-"));
    let sync = world.sync(&member, &[]);
    assert_eq!(world.assignment(sync), "box", "what its earlier self was given");
    assert_eq!(world.heartbeat(&members[0]), Ok(()));
}

#[test]
fn g10_a_static_leader_that_starts_again_may_skip_the_assignment() {
    let mut world = World::new();
    let members = world.stable(&[static_consumer("box"), consumer("b")]);
    let ticket = world.join(static_consumer("box"));
    let joined = world.joined(ticket).clone();
    assert!(joined.skip_assignment);
    assert_eq!((joined.leader, joined.members.len()), (world.member(ticket), 2));
    assert_eq!(world.heartbeat(&members[1]), Ok(()));
}

#[test]
fn g10_a_static_leader_that_cannot_skip_is_told_of_its_earlier_self_as_leader() {
    let mut world = World::new();
    let members = world.stable(&[static_consumer("box"), consumer("b")]);
    let ticket = world.join(Join { supports_skipping_assignment: false, ..static_consumer("box") });
    let joined = world.joined(ticket).clone();
    assert_eq!((joined.skip_assignment, joined.members.len()), (false, 0));
    assert_eq!(joined.leader, members[0].member);
    let rejoin = world.join(again(&static_consumer("box"), &world.member(ticket)));
    assert!(world.waits(rejoin), "it leads all the same: its next join causes a rebalance");
}

#[test]
fn g10_the_earlier_self_is_fenced_everywhere() {
    let mut world = World::new();
    let earlier = world.stable(&[consumer("leader"), static_consumer("box")]).remove(1);
    world.join(static_consumer("box"));
    assert_eq!(world.heartbeat(&earlier), Err(Refusal::FencedInstanceId));
    assert_eq!(world.commit(commit_of(&earlier, &[("events", 0, 1)])), [Err(Refusal::FencedInstanceId)]);
    let sync = world.sync(&earlier, &[]);
    assert_eq!(world.synced(sync), Err(Refusal::FencedInstanceId));
    let join = world.join(again(&static_consumer("box"), &earlier.member));
    assert_eq!(world.join_refusal(join), &Refusal::FencedInstanceId);
    assert_eq!(world.leave(&[(&earlier.member, Some("box"))]), [Err(Refusal::FencedInstanceId)]);
    let unnamed = Joiner { instance: None, ..earlier };
    assert_eq!(world.heartbeat(&unnamed), Err(Refusal::UnknownMember));
}

#[test]
fn g10_a_join_or_sync_of_the_earlier_self_that_waits_is_fenced_too() {
    let mut world = World::new();
    let leader = world.stable(&[consumer("leader")]).remove(0);
    let first = world.join(static_consumer("box"));
    let second = world.join(static_consumer("box"));
    assert_eq!(world.join_refusal(first), &Refusal::FencedInstanceId);
    world.join(again(&consumer("leader"), &leader.member));
    let member = world.joiner(second, &static_consumer("box"));
    let waiting = world.sync(&member, &[]);
    let third = world.join(static_consumer("box"));
    assert_eq!(world.synced(waiting), Err(Refusal::FencedInstanceId));
    assert!(world.waits(third), "the leader may assign to the earlier self: all join again");
    assert_eq!(world.state(), GroupState::PreparingRebalance);
}

#[test]
fn g10_a_static_member_that_changes_the_assignor_causes_a_rebalance() {
    let mut world = World::new();
    let with = |join: Join, names: &[&str]| Join {
        protocols: names.iter().map(|name| protocol(name, &["events"])).collect(),
        ..join
    };
    world.stable(&[
        with(static_consumer("box"), &["range", "sticky"]),
        with(consumer("b"), &["sticky", "range"]),
    ]);
    let ticket = world.join(with(static_consumer("box"), &["sticky"]));
    assert!(world.waits(ticket));
    assert_eq!(world.state(), GroupState::PreparingRebalance);
}

#[test]
fn g10_a_static_member_away_for_less_than_its_session_is_not_missed() {
    let mut world = World::new();
    let leader = world.stable(&[consumer("leader"), static_consumer("box")]).remove(0);
    world.pass(9);
    assert_eq!(world.heartbeat(&leader), Ok(()));
    world.pass(1);
    assert_eq!(world.heartbeat(&leader), Err(Refusal::RebalanceInProgress), "now it is");
}

#[test]
fn g10_a_rebalance_goes_on_with_the_place_of_a_static_member_that_is_away() {
    let mut world = World::new();
    let slow = |join: Join| Join { session_timeout: std::time::Duration::from_secs(300), ..join };
    let members = world.stable(&[slow(consumer("a")), slow(static_consumer("box"))]);
    let newcomer = world.join(consumer("c"));
    world.join(again(&slow(consumer("a")), &members[0].member));
    assert!(world.waits(newcomer), "the static member may come");
    world.pass(60);
    assert_eq!(world.joined(newcomer).generation, GroupGeneration(2));
    let description = world.describe().expect("the group");
    assert_eq!(description.members.len(), 3, "it has its place still");
}

#[test]
fn g10_a_group_of_static_members_that_are_all_away_waits_until_their_sessions_end() {
    let mut world = World::new();
    let slow = |join: Join| Join { session_timeout: std::time::Duration::from_secs(300), ..join };
    let leader = world.stable(&[slow(static_consumer("a")), slow(static_consumer("b"))]).remove(0);
    world.leave(&[(&leader.member, Some("a"))]);
    world.pass(200);
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    world.pass(100);
    assert_eq!(world.state(), GroupState::Empty);
}

#[test]
fn g10_the_new_self_has_to_ask_for_its_assignment_where_the_earlier_one_had_not() {
    let mut world = World::new();
    let joins = [consumer("leader"), static_consumer("box")];
    let tickets = joins.clone().map(|join| world.join(join));
    world.pass(0);
    let leader = world.joiner(tickets[0], &joins[0]);
    world.sync(&leader, &[]);
    let restarted = world.join(joins[1].clone());
    let member = world.joiner(restarted, &joins[1]);
    for _ in 0..12 {
        assert_eq!((world.heartbeat(&leader), world.heartbeat(&member)), (Ok(()), Ok(())));
        world.pass(5);
    }
    assert_eq!(world.heartbeat(&member), Err(Refusal::UnknownMember));
}

#[test]
fn g10_who_joins_static_members_that_are_away_waits_for_them_no_longer_than_a_rebalance() {
    let mut world = World::new();
    let slow = |join: Join| Join { session_timeout: std::time::Duration::from_secs(300), ..join };
    let leader = world.stable(&[slow(static_consumer("a")), slow(static_consumer("b"))]).remove(0);
    world.leave(&[(&leader.member, Some("a"))]);
    world.pass(70);
    let newcomer = world.join(consumer("c"));
    assert!(world.waits(newcomer));
    world.pass(50);
    assert_eq!(world.joined(newcomer).leader, world.member(newcomer));
}

#[test]
fn g10_after_a_fail_over_the_new_self_is_the_member() {
    let mut world = World::new();
    let earlier = world.stable(&[static_consumer("box")]).remove(0);
    let ticket = world.join(static_consumer("box"));
    let member = world.joiner(ticket, &static_consumer("box"));
    world.fail_over();
    assert_eq!(world.heartbeat(&member), Ok(()));
    assert_eq!(world.heartbeat(&earlier), Err(Refusal::FencedInstanceId));
}
