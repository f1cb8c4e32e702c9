//! G2 to G7: how a generation comes about.

use std::time::Duration;

use ringlog_core::group::decision::When;
use ringlog_core::group::message::{GroupGeneration, GroupState, Join, Request, Sync};
use ringlog_core::group::settings::GroupSettings;
use ringlog_core::refusal::Refusal;

use crate::harness::{Joiner, World, again, consumer, protocol, sync_of};

#[test]
fn g2_a_new_member_is_first_given_an_id_and_joins_with_it() {
    let mut world = World::new();
    let join = Join { requires_known_member: true, ..consumer("app") };
    let first = world.join(join.clone());
    assert_eq!(world.join_refusal(first), &Refusal::MemberIdRequired);
    let member = world.member(first);
    let uuid = member.strip_prefix("app-").expect("the client's id, then a UUID");
    assert_eq!((uuid.len(), &uuid[14..15], uuid.split('-').count()), (36, "4", 5));
    let second = world.join(again(&join, &member));
    world.pass(0);
    assert_eq!(world.joined(second).generation, GroupGeneration(1));
    assert_eq!(world.member(second), member);
}

#[test]
fn g2_an_id_that_is_not_used_within_a_session_is_forgotten() {
    let mut world = World::new();
    let join = Join { requires_known_member: true, ..consumer("app") };
    let first = world.join(join.clone());
    let member = world.member(first);
    world.pass(11);
    assert_eq!(world.coordinator.group_count(), 0, "and with it the group that had nobody else");
    let late = world.join(again(&join, &member));
    assert_eq!(world.join_refusal(late), &Refusal::UnknownMember);
}

#[test]
fn g2_an_older_client_is_a_member_at_once_and_an_unknown_id_never_is() {
    let mut world = World::new();
    let ticket = world.join(consumer("app"));
    assert!(world.waits(ticket));
    let stranger = world.join(again(&consumer("app"), &"app-of-elsewhere".into()));
    assert_eq!(world.join_refusal(stranger), &Refusal::UnknownMember);
}

#[test]
fn g2_a_pending_member_keeps_a_rebalance_waiting_until_it_joins_or_is_forgotten() {
    let mut world = World::new();
    let member = world.stable(&[consumer("a")]).remove(0);
    let knocking = world.join(Join { requires_known_member: true, ..consumer("b") });
    assert_eq!(world.join_refusal(knocking), &Refusal::MemberIdRequired);
    assert_eq!(world.state(), GroupState::Stable, "an id alone disturbs nobody");
    let rejoin = world.join(again(&consumer("a"), &member.member));
    assert!(world.waits(rejoin));
    world.pass(10);
    assert_eq!(world.joined(rejoin).members.len(), 1);
}

#[test]
fn g3_a_first_generation_waits_for_more_members_and_longer_if_they_come() {
    let mut world = World::with(GroupSettings::default());
    let first = world.join(consumer("a"));
    world.pass(2);
    let second = world.join(consumer("b"));
    world.pass(1);
    assert!(world.waits(first) && world.waits(second), "b came within the three seconds");
    world.pass(3);
    assert_eq!(world.joined(first).members.len(), 2);
    assert_eq!(world.joined(second).members.len(), 0, "only the leader is told of all");
}

#[test]
fn g3_the_wait_for_newcomers_ends_with_the_rebalance_timeout() {
    let mut world = World::with(GroupSettings::default());
    let short = |client| Join { rebalance_timeout: Duration::from_secs(7), ..consumer(client) };
    let first = world.join(short("a"));
    for client in ["b", "c", "d"] {
        world.pass(2);
        world.join(short(client));
    }
    assert!(world.waits(first));
    world.pass(1);
    assert_eq!(world.joined(first).members.len(), 4);
}

#[test]
fn g4_a_rebalance_ends_when_all_have_joined_again() {
    let mut world = World::new();
    let members = world.stable(&[consumer("a"), consumer("b")]);
    let newcomer = world.join(consumer("c"));
    assert_eq!(world.state(), GroupState::PreparingRebalance);
    let rejoins: Vec<_> = ["a", "b"]
        .iter()
        .zip(&members)
        .map(|(client, member)| world.join(again(&consumer(client), &member.member)))
        .collect();
    assert_eq!(world.joined(newcomer).generation, GroupGeneration(2));
    assert_eq!(world.joined(rejoins[0]).members.len(), 3);
}

#[test]
fn g4_who_does_not_join_again_within_the_largest_rebalance_timeout_is_out() {
    let mut world = World::new();
    let slow = Join { rebalance_timeout: Duration::from_secs(90), ..consumer("a") };
    let members = world.stable(&[slow, consumer("b")]);
    let newcomer = world.join(consumer("c"));
    for _ in 0..17 {
        world.pass(5);
        assert_eq!(world.heartbeat(&members[0]), Err(Refusal::RebalanceInProgress));
    }
    assert!(world.waits(newcomer));
    world.pass(5);
    let joined = world.joined(newcomer).clone();
    assert_eq!((joined.generation, joined.members.len()), (GroupGeneration(2), 1));
    assert_eq!(joined.leader, world.member(newcomer), "the leader that went has a successor");
    assert_eq!(world.heartbeat(&members[0]), Err(Refusal::UnknownMember));
}

#[test]
fn g4_a_new_members_join_is_kept_for_five_minutes_and_no_longer() {
    let mut world = World::new();
    let patient = Join { rebalance_timeout: Duration::from_secs(3_600), ..consumer("a") };
    let member = world.stable(&[patient]).remove(0);
    let newcomer = world.join(consumer("b"));
    for _ in 0..59 {
        world.pass(5);
        assert_eq!(world.heartbeat(&member), Err(Refusal::RebalanceInProgress));
    }
    assert!(world.waits(newcomer));
    world.pass(5);
    assert_eq!(world.join_refusal(newcomer), &Refusal::UnknownMember);
}

#[test]
fn g5_the_assignor_is_one_that_all_know_and_most_prefer() {
    let mut world = World::new();
    let with = |client, names: &[&str]| Join {
        protocols: names.iter().map(|name| protocol(name, &["events"])).collect(),
        ..consumer(client)
    };
    let tickets = [
        world.join(with("a", &["sticky", "range", "roundrobin"])),
        world.join(with("b", &["roundrobin", "range"])),
        world.join(with("c", &["roundrobin", "range", "sticky"])),
    ];
    world.pass(0);
    for ticket in tickets {
        assert_eq!(
            &*world.joined(ticket).protocol,
            "roundrobin",
            "a votes for range, its best that all know"
        );
    }
}

#[test]
fn g5_who_has_no_assignor_or_kind_in_common_with_the_others_stays_out() {
    let mut world = World::new();
    world.stable(&[consumer("a")]);
    let other = Join { protocols: vec![protocol("sticky", &["events"])], ..consumer("b") };
    let ticket = world.join(other);
    assert_eq!(world.join_refusal(ticket), &Refusal::InconsistentGroupProtocol);
    let ticket = world.join(Join { protocol_type: "connect".into(), ..consumer("b") });
    assert_eq!(world.join_refusal(ticket), &Refusal::InconsistentGroupProtocol);
    let ticket = world.join(Join { group: "other".into(), protocols: Vec::new(), ..consumer("b") });
    assert_eq!(world.join_refusal(ticket), &Refusal::InconsistentGroupProtocol);
    assert_eq!((world.state(), world.coordinator.group_count()), (GroupState::Stable, 1));
}

#[test]
fn g6_a_leader_that_joins_again_always_causes_a_rebalance() {
    let mut world = World::new();
    let members = world.stable(&[consumer("a"), consumer("b")]);
    let leader = world.written().and_then(|written| written.leader).expect("a leader");
    let (name, index) = if members[0].member == leader { ("a", 0) } else { ("b", 1) };
    let ticket = world.join(again(&consumer(name), &members[index].member));
    assert!(world.waits(ticket));
    assert_eq!(world.state(), GroupState::PreparingRebalance);
}

#[test]
fn g6_a_follower_that_joins_again_with_nothing_new_is_told_the_current_generation() {
    let mut world = World::new();
    let members = world.stable(&[consumer("a"), consumer("b")]);
    let ticket = world.join(again(&consumer("b"), &members[1].member));
    assert_eq!(world.joined(ticket).generation, GroupGeneration(1));
    assert_eq!(world.joined(ticket).leader, members[0].member);
    assert_eq!(world.state(), GroupState::Stable);
    let changed = Join { protocols: vec![protocol("range", &["events", "more"])], ..consumer("b") };
    let ticket = world.join(again(&changed, &members[1].member));
    assert!(world.waits(ticket), "with something new it causes a rebalance");
}

#[test]
fn g6_before_the_assignment_even_the_leader_is_told_the_current_generation_again() {
    let mut world = World::new();
    let first = world.join(consumer("a"));
    world.pass(0);
    let member = world.member(first);
    let ticket = world.join(again(&consumer("a"), &member));
    assert_eq!(world.joined(ticket), world.joined(first));
}

#[test]
fn g6_a_member_that_changes_before_the_assignment_sends_all_back_to_the_join_phase() {
    let mut world = World::new();
    let joins = [consumer("a"), consumer("b")];
    let tickets = joins.clone().map(|join| world.join(join));
    world.pass(0);
    let follower = world.joiner(tickets[1], &joins[1]);
    let sync = world.sync(&follower, &[]);
    assert!(world.waits(sync));
    let changed = Join { protocols: vec![protocol("range", &["other"])], ..consumer("a") };
    let rejoin = world.join(again(&changed, &world.member(tickets[0])));
    assert_eq!(world.synced(sync), Err(Refusal::RebalanceInProgress));
    assert!(world.waits(rejoin));
}

#[test]
fn g7_everybody_waits_for_the_leaders_assignment_and_gets_its_part_once_it_is_written() {
    let mut world = World::new();
    let joins = [consumer("a"), consumer("b")];
    let tickets = joins.clone().map(|join| world.join(join));
    world.pass(0);
    let [leader, follower] = [0, 1].map(|index| world.joiner(tickets[index], &joins[index]));
    let waiting = world.sync(&follower, &[]);
    assert!(world.waits(waiting) && world.log.is_empty());
    let leaders = world.sync(&leader, &[(&leader.member, "one"), (&follower.member, "two")]);
    assert_eq!((world.assignment(leaders), world.assignment(waiting)), ("one".into(), "two".into()));
    assert_eq!((world.when(leaders), world.when(waiting)), (When::Committed, When::Committed));
    let written = world.written().expect("a generation");
    assert_eq!((written.generation, written.members.len()), (GroupGeneration(1), 2));
    let repeated = world.sync(&follower, &[]);
    assert_eq!(world.assignment(repeated), "two");
    assert_eq!(world.when(repeated), When::Committed);
}

#[test]
fn g7_a_sync_of_another_generation_or_during_the_join_phase_is_refused() {
    let mut world = World::new();
    let member = world.stable(&[consumer("a")]).remove(0);
    let old = Joiner { generation: GroupGeneration(0), ..member.clone() };
    let ticket = world.sync(&old, &[]);
    assert_eq!(world.synced(ticket), Err(Refusal::IllegalGeneration));
    world.join(consumer("b"));
    let ticket = world.sync(&member, &[]);
    assert_eq!(world.synced(ticket), Err(Refusal::RebalanceInProgress));
    let stranger = Joiner { member: "nobody".into(), ..member };
    let ticket = world.sync(&stranger, &[]);
    assert_eq!(world.synced(ticket), Err(Refusal::UnknownMember));
}

#[test]
fn g7_a_sync_that_names_another_kind_or_assignor_is_refused() {
    let mut world = World::new();
    let member = world.stable(&[consumer("a")]).remove(0);
    for sync in [
        Sync { protocol_type: Some("connect".into()), ..sync_of(&member) },
        Sync { protocol: Some("sticky".into()), ..sync_of(&member) },
    ] {
        let ticket = world.ask(Request::Sync(sync));
        assert_eq!(world.synced(ticket), Err(Refusal::InconsistentGroupProtocol));
    }
    let ticket = world.ask(Request::Sync(Sync { protocol: Some("range".into()), ..sync_of(&member) }));
    assert_eq!(world.assignment(ticket), "a");
}

#[test]
fn g7_members_that_never_sync_are_out_after_the_rebalance_timeout() {
    let mut world = World::new();
    let joins = [consumer("a"), consumer("b")];
    let tickets = joins.clone().map(|join| world.join(join));
    world.pass(0);
    let [leader, follower] = [0, 1].map(|index| world.joiner(tickets[index], &joins[index]));
    world.sync(&leader, &[]);
    for _ in 0..12 {
        assert_eq!(world.heartbeat(&leader), Ok(()));
        assert_eq!(world.heartbeat(&follower), Ok(()), "alive, but it never asks for its assignment");
        world.pass(5);
    }
    assert_eq!(world.heartbeat(&follower), Err(Refusal::UnknownMember));
    assert_eq!(world.heartbeat(&leader), Err(Refusal::RebalanceInProgress));
}

#[test]
fn g7_syncs_that_wait_for_a_leader_that_never_comes_are_sent_back_to_join() {
    let mut world = World::new();
    let joins = [consumer("a"), consumer("b")];
    let tickets = joins.clone().map(|join| world.join(join));
    world.pass(0);
    let follower = world.joiner(tickets[1], &joins[1]);
    let waiting = world.sync(&follower, &[]);
    world.pass(10);
    assert_eq!(world.synced(waiting), Err(Refusal::RebalanceInProgress), "the leader's session is over");
    let rejoin = world.join(again(&joins[1], &follower.member));
    assert_eq!(world.joined(rejoin).leader, follower.member);
}

#[test]
fn g12_an_assignment_is_passed_on_byte_for_byte() {
    let mut world = World::new();
    let ticket = world.join(consumer("a"));
    world.pass(0);
    let leader = world.joiner(ticket, &consumer("a"));
    let bytes: Vec<u8> = (0..=255).collect();
    let assignments = vec![(leader.member.clone(), bytes.clone().into())];
    let sync = world.ask(Request::Sync(Sync { assignments, ..sync_of(&leader) }));
    assert_eq!(&*world.synced(sync).expect("an assignment").assignment, &bytes[..]);
}

#[test]
fn a_join_repeated_while_the_first_waits_takes_its_place() {
    let mut world = World::new();
    let member = world.stable(&[consumer("a")]).remove(0);
    world.join(consumer("b"));
    let first = world.join(again(&consumer("a"), &member.member));
    assert_eq!(world.joined(first).members.len(), 2);
    world.join(consumer("c"));
    let second = world.join(again(&consumer("a"), &member.member));
    let third = world.join(again(&consumer("a"), &member.member));
    assert_eq!(world.join_refusal(second), &Refusal::RebalanceInProgress);
    assert!(world.waits(third));
}
