//! G8, G9, G11, G13, G16: who is alive, who goes, who comes back.

use std::time::Duration;

use ringlog_core::group::message::{GroupGeneration, GroupState, Join};
use ringlog_core::group::settings::GroupSettings;
use ringlog_core::refusal::Refusal;

use crate::harness::{Joiner, World, again, commit_of, consumer, static_consumer};

#[test]
fn g8_a_heartbeat_keeps_a_member_alive_and_silence_ends_it() {
    let mut world = World::new();
    let member = world.stable(&[consumer("a")]).remove(0);
    for _ in 0..5 {
        world.pass(9);
        assert_eq!(world.heartbeat(&member), Ok(()));
    }
    world.pass(10);
    assert_eq!(world.heartbeat(&member), Err(Refusal::UnknownMember));
    assert_eq!(world.state(), GroupState::Empty);
}

#[test]
fn g8_a_commit_is_a_sign_of_life_too() {
    let mut world = World::new();
    let member = world.stable(&[consumer("a")]).remove(0);
    for offset in 0..5 {
        world.pass(9);
        assert_eq!(world.commit(commit_of(&member, &[("events", 0, offset)])), [Ok(())]);
    }
    assert_eq!(world.heartbeat(&member), Ok(()));
}

#[test]
fn g8_a_heartbeat_says_what_the_group_is_doing() {
    let mut world = World::new();
    let ticket = world.join(consumer("a"));
    world.pass(0);
    let member = world.joiner(ticket, &consumer("a"));
    assert_eq!(world.heartbeat(&member), Ok(()), "the assignment is awaited: nothing to do for it");
    let old = Joiner { generation: GroupGeneration(0), ..member.clone() };
    assert_eq!(world.heartbeat(&old), Err(Refusal::IllegalGeneration));
    let stranger = Joiner { member: "nobody".into(), ..member.clone() };
    assert_eq!(world.heartbeat(&stranger), Err(Refusal::UnknownMember));
    world.join(consumer("b"));
    assert_eq!(world.heartbeat(&member), Err(Refusal::RebalanceInProgress));
}

#[test]
fn g8_the_session_is_refreshed_during_the_join_phase() {
    let mut world = World::new();
    let member = world.stable(&[consumer("a")]).remove(0);
    let newcomer = world.join(consumer("b"));
    for _ in 0..5 {
        world.pass(9);
        assert_eq!(world.heartbeat(&member), Err(Refusal::RebalanceInProgress));
    }
    assert!(world.waits(newcomer), "a is alive: its rebalance timeout counts");
}

#[test]
fn g9_a_session_must_be_as_long_as_the_operator_says() {
    let mut world = World::new();
    for (seconds, is_allowed) in [(5, false), (6, true), (1_800, true), (1_801, false)] {
        let ticket = world.join(Join { session_timeout: Duration::from_secs(seconds), ..consumer("a") });
        let is_refused =
            !world.waits(ticket) && world.join_refusal(ticket) == &Refusal::InvalidSessionTimeout;
        assert_eq!(is_refused, !is_allowed, "{seconds} s");
    }
}

#[test]
fn g9_a_pending_join_keeps_its_member_alive() {
    let mut world = World::new();
    let members = world.stable(&[consumer("a"), consumer("b")]);
    world.join(consumer("c"));
    let waiting = world.join(again(&consumer("a"), &members[0].member));
    for _ in 0..6 {
        world.pass(8);
        assert_eq!(world.heartbeat(&members[1]), Err(Refusal::RebalanceInProgress));
    }
    assert!(world.waits(waiting), "long after a session");
    world.join(again(&consumer("b"), &members[1].member));
    assert_eq!(world.joined(waiting).members.len(), 3);
    let joiner = world.joiner(waiting, &consumer("a"));
    world.pass(9);
    assert_eq!(world.heartbeat(&joiner), Ok(()), "its session began again with the answer");
}

#[test]
fn g11_several_members_leave_at_once_each_with_its_own_result() {
    let mut world = World::new();
    let members = world.stable(&[consumer("a"), static_consumer("box"), consumer("c")]);
    let left = world.leave(&[
        (&members[0].member, None),
        ("", Some("box")),
        ("", Some("nobody")),
        ("nobody", None),
        (&members[1].member, Some("box")),
    ]);
    let unknown = || Err(Refusal::UnknownMember);
    assert_eq!(left, [Ok(()), Ok(()), unknown(), unknown(), unknown()]);
    assert_eq!(world.heartbeat(&members[2]), Err(Refusal::RebalanceInProgress));
}

#[test]
fn g11_a_static_member_leaves_only_as_its_holder() {
    let mut world = World::new();
    let member = world.stable(&[static_consumer("box")]).remove(0);
    assert_eq!(world.leave(&[("another", Some("box"))]), [Err(Refusal::FencedInstanceId)]);
    assert_eq!(world.leave(&[(&member.member, Some("box"))]), [Ok(())]);
}

#[test]
fn g11_one_that_was_only_given_an_id_can_leave_and_a_group_that_is_not_there_has_nobody() {
    let mut world = World::new();
    assert_eq!(world.leave(&[("nobody", None)]), [Err(Refusal::UnknownMember)]);
    let ticket = world.join(Join { requires_known_member: true, ..consumer("a") });
    let member = world.member(ticket);
    assert_eq!(world.leave(&[(&member, None)]), [Ok(())]);
    assert_eq!(world.coordinator.group_count(), 0);
}

#[test]
fn g11_one_that_was_only_given_an_id_and_leaves_is_waited_for_no_longer() {
    let mut world = World::new();
    let member = world.stable(&[consumer("a")]).remove(0);
    let ticket = world.join(Join { requires_known_member: true, ..consumer("b") });
    let knocking = world.member(ticket);
    let rejoin = world.join(again(&consumer("a"), &member.member));
    assert!(world.waits(rejoin));
    assert_eq!(world.leave(&[(&knocking, None)]), [Ok(())]);
    assert_eq!(world.joined(rejoin).generation, GroupGeneration(2));
}

#[test]
fn g11_when_the_last_member_leaves_the_group_is_empty_and_that_is_written() {
    let mut world = World::new();
    let member = world.stable(&[consumer("a")]).remove(0);
    world.commit(commit_of(&member, &[("events", 0, 7)]));
    world.pass(5);
    world.leave(&[(&member.member, None)]);
    assert_eq!(world.state(), GroupState::Empty);
    let written = world.written().expect("an empty generation");
    assert_eq!((written.generation, written.members.len()), (GroupGeneration(2), 0));
    assert_eq!((written.protocol, written.leader), (None, None));
    assert_eq!(written.state_since.0, world.wall());
    assert_eq!(world.stored(), ["events-0=7"]);
}

#[test]
fn g13_a_full_group_takes_nobody_else() {
    let settings =
        GroupSettings { members_max: 2, initial_rebalance_delay: Duration::ZERO, ..GroupSettings::default() };
    let mut world = World::with(settings);
    let members = world.stable(&[consumer("a"), consumer("b")]);
    let ticket = world.join(consumer("c"));
    assert_eq!(world.join_refusal(ticket), &Refusal::GroupMaxSizeReached);
    assert_eq!(world.heartbeat(&members[0]), Ok(()), "nobody is disturbed");
    world.leave(&[(&members[0].member, None)]);
    let ticket = world.join(consumer("c"));
    world.join(again(&consumer("b"), &members[1].member));
    assert_eq!(world.joined(ticket).generation, GroupGeneration(2));
}

#[test]
fn g13_a_group_that_is_too_large_after_a_fail_over_shrinks_to_those_who_come_first() {
    let mut world = World::new();
    let members = world.stable(&[consumer("a"), consumer("b"), consumer("c")]);
    world.settings.members_max = 2;
    world.fail_over();
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    let tickets: Vec<_> = ["a", "b", "c"]
        .iter()
        .zip(&members)
        .map(|(client, member)| world.join(again(&consumer(client), &member.member)))
        .collect();
    assert_eq!(world.join_refusal(tickets[2]), &Refusal::GroupMaxSizeReached);
    assert_eq!(world.joined(tickets[0]).generation, GroupGeneration(2));
}

#[test]
fn g16_after_a_fail_over_members_keep_their_ids_and_generation_and_sessions_begin_anew() {
    let mut world = World::new();
    let members = world.stable(&[consumer("a"), consumer("b")]);
    world.pass(9);
    world.fail_over();
    world.pass(9);
    assert_eq!(world.heartbeat(&members[0]), Ok(()));
    assert_eq!(world.heartbeat(&members[1]), Ok(()));
    let sync = world.sync(&members[1], &[]);
    assert_eq!(world.assignment(sync), "b");
    world.pass(10);
    assert_eq!(world.heartbeat(&members[0]), Err(Refusal::UnknownMember));
}

#[test]
fn g16_whoever_waits_at_a_fail_over_is_told_to_look_for_the_coordinator() {
    let mut world = World::new();
    let member = world.stable(&[consumer("a")]).remove(0);
    let newcomer = world.join(consumer("b"));
    assert!(world.waits(newcomer));
    world.fail_over();
    assert_eq!(world.join_refusal(newcomer), &Refusal::NotCoordinator);
    assert_eq!(
        world.heartbeat(&member),
        Ok(()),
        "the rebalance in flight is forgotten, the generation is not"
    );
}

#[test]
fn g16_a_member_is_not_dead_for_having_waited_through_a_canceled_sync() {
    let mut world = World::new();
    let joins = [consumer("a"), consumer("b")];
    let tickets = joins.clone().map(|join| world.join(join));
    world.pass(0);
    let [leader, follower] = [0, 1].map(|index| world.joiner(tickets[index], &joins[index]));
    let waiting = world.sync(&follower, &[]);
    for _ in 0..3 {
        world.pass(8);
        assert_eq!(world.heartbeat(&leader), Ok(()));
    }
    assert!(world.waits(waiting), "its session ended long ago, were it not for the sync that waits");
    world.join(consumer("c"));
    assert_eq!(world.synced(waiting), Err(Refusal::RebalanceInProgress));
    world.pass(9);
    assert_eq!(world.heartbeat(&follower), Err(Refusal::RebalanceInProgress));
}
