//! What coordinators take at most, and what they say then.

use std::time::Duration;

use ringlog_core::group::Weight;
use ringlog_core::group::message::{Commit, FetchOffsets, GroupState, Join, Request, Sync};
use ringlog_core::group::settings::GroupSettings;
use ringlog_core::limits::GroupLimits;
use ringlog_core::refusal::Refusal;

use crate::harness::{World, again, consumer, fetch_all, opaque, protocol, simple_commit, sync_of};

fn tiny() -> World {
    World::with(GroupSettings {
        limits: GroupLimits::TINY,
        initial_rebalance_delay: Duration::ZERO,
        ..GroupSettings::default()
    })
}

fn is_limit(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::LimitReached { .. })
}

#[test]
fn groups_are_bounded() {
    let mut world = tiny();
    for group in 0..8 {
        world.join(Join { group: format!("group-{group}").into(), ..consumer("a") });
    }
    let ticket = world.join(Join { group: "one-more".into(), ..consumer("a") });
    assert!(is_limit(world.join_refusal(ticket)));
    let results = world.commit(Commit { group: "one-more".into(), ..simple_commit(&[("t", 0, 1)]) });
    assert!(is_limit(results[0].as_ref().expect_err("no room")));
    assert_eq!(world.coordinator.group_count(), 8);
}

#[test]
fn coordinators_beside_each_other_share_the_bounds_over_all_groups() {
    let mut world = tiny();
    let none = world.coordinator.held();
    world.commit(simple_commit(&[("t", 0, 1)]));
    let one = world.coordinator.held();
    assert_eq!((none, one.group_count, one.offset_count), (Weight::default(), 1, 1));
    let limits = GroupLimits::TINY;
    let commit_to = |world: &mut World, group: &str, partition| {
        let commit = Commit { group: group.into(), ..simple_commit(&[("t", partition, 1)]) };
        world.commit(commit).remove(0)
    };
    world.coordinator.beside(Weight { group_count: limits.groups_max - 1, ..none });
    assert!(is_limit(&commit_to(&mut world, "second", 0).expect_err("no group more")));
    assert_eq!(commit_to(&mut world, "orders", 1), Ok(()));
    world.coordinator.beside(Weight { offset_count: limits.offsets_max - 2, ..none });
    assert!(is_limit(&commit_to(&mut world, "orders", 2).expect_err("no offset more")));
    world.coordinator.beside(Weight { bytes: limits.bytes_max, ..none });
    assert!(is_limit(&commit_to(&mut world, "second", 0).expect_err("no byte more")));
    world.coordinator.beside(Weight { waiting_count: limits.waiting_max, ..none });
    let ticket = world.join(consumer("a"));
    assert_eq!(world.join_refusal(ticket), &Refusal::CoordinatorNotAvailable);
    world.coordinator.beside(none);
    assert_eq!(commit_to(&mut world, "second", 0), Ok(()));
}

#[test]
fn members_of_a_group_are_bounded_whatever_the_operator_says() {
    let mut world = tiny();
    for _ in 0..8 {
        world.join(consumer("a"));
    }
    let ticket = world.join(consumer("a"));
    assert_eq!(world.join_refusal(ticket), &Refusal::GroupMaxSizeReached);
}

#[test]
fn ids_given_and_not_used_are_bounded_and_who_gets_none_may_try_again() {
    let mut world = tiny();
    let knock = Join { requires_known_member: true, ..consumer("a") };
    for _ in 0..8 {
        let ticket = world.join(knock.clone());
        assert_eq!(world.join_refusal(ticket), &Refusal::MemberIdRequired);
    }
    let ticket = world.join(knock.clone());
    assert_eq!(world.join_refusal(ticket), &Refusal::CoordinatorNotAvailable);
    world.pass(10);
    let ticket = world.join(knock);
    assert_eq!(world.join_refusal(ticket), &Refusal::MemberIdRequired);
}

#[test]
fn waiting_requests_are_bounded_over_all_groups() {
    let mut world = tiny();
    for group in 0..4 {
        for _ in 0..8 {
            world.join(Join { group: format!("group-{group}").into(), ..consumer("a") });
        }
    }
    let ticket = world.join(Join { group: "one-more".into(), ..consumer("a") });
    assert_eq!(world.join_refusal(ticket), &Refusal::CoordinatorNotAvailable);
    world.pass(0);
    let ticket = world.join(Join { group: "one-more".into(), ..consumer("a") });
    assert!(world.waits(ticket), "the others are answered");
}

#[test]
fn what_a_member_says_and_is_given_is_bounded() {
    let mut world = tiny();
    let with = |protocols| Join { protocols, ..consumer("a") };
    let many = (0..5).map(|index| protocol(&index.to_string(), &["t"])).collect();
    let ticket = world.join(with(many));
    assert!(is_limit(world.join_refusal(ticket)));
    let ticket = world.join(with(vec![protocol("range", &[&"t".repeat(5_000)])]));
    assert!(is_limit(world.join_refusal(ticket)));
    let ticket = world.join(Join { instance: Some("x".repeat(300).into()), ..consumer("a") });
    assert!(matches!(world.join_refusal(ticket), Refusal::InvalidRequest { .. }));
    let ticket = world.join(Join { group: "x".repeat(300).into(), ..consumer("a") });
    assert_eq!(world.join_refusal(ticket), &Refusal::InvalidGroupId);
    let ticket = world.join(consumer(&"é".repeat(300)));
    assert!(world.waits(ticket));
    world.pass(0);
    assert!(world.member(ticket).len() <= 255, "the id of a member with a long name is cut");
    let leader = world.joiner(ticket, &consumer("a"));
    let assignments = vec![(leader.member.clone(), opaque(&"x".repeat(5_000)))];
    let sync = world.ask(Request::Sync(Sync { assignments, ..sync_of(&leader) }));
    assert!(is_limit(&world.synced(sync).expect_err("too much")));
    assert_eq!(world.state(), GroupState::CompletingRebalance);
}

#[test]
fn the_members_of_a_group_are_bounded_in_bytes_together_and_so_are_all_groups() {
    let mut world = tiny();
    let large = |group: &str| Join {
        group: group.into(),
        protocols: vec![protocol("range", &[&"t".repeat(3_900)])],
        ..consumer("a")
    };
    let taken = |world: &mut World, group: &str| {
        let ticket = world.join(large(group));
        let is_taken = world.waits(ticket);
        assert!(is_taken || is_limit(world.join_refusal(ticket)));
        is_taken
    };
    assert_eq!((0..6).filter(|_| taken(&mut world, "first")).count(), 4);
    assert_eq!((0..6).filter(|_| taken(&mut world, "second")).count(), 4);
    assert_eq!((0..6).filter(|_| taken(&mut world, "third")).count(), 0);
}

#[test]
fn offsets_are_bounded_and_known_partitions_go_on() {
    let mut world = tiny();
    for partition in 0..64 {
        assert_eq!(world.commit(simple_commit(&[("t", partition, 1)])), [Ok(())]);
    }
    let results = world.commit(simple_commit(&[("t", 0, 2), ("t", 64, 1), ("t", 1, 2)]));
    assert!(results[0].is_ok() && is_limit(results[1].as_ref().expect_err("no room")) && results[2].is_ok());
    assert_eq!(world.coordinator.offsets().count(), 64);
}

#[test]
fn offsets_told_at_once_are_bounded_and_none_is_told_beyond() {
    let mut world = tiny();
    world.commit(simple_commit(&[("t", 0, 1), ("t", 1, 1), ("u", 0, 1)]));
    let at_most = |count_max| FetchOffsets { count_max, ..fetch_all() };
    assert_eq!(world.fetch(at_most(3)).map(|told| told.len()), Ok(3));
    assert!(is_limit(&world.fetch(at_most(2)).expect_err("no room")));
}

#[test]
fn bytes_of_texts_with_offsets_are_bounded_and_what_is_there_can_be_replaced() {
    let mut world = tiny();
    let commit = |partition| {
        let mut commit = simple_commit(&[("t", partition, 1)]);
        commit.offsets[0].metadata = "x".repeat(4_000).into();
        commit
    };
    let taken = (0..12).filter(|partition| world.commit(commit(*partition))[0].is_ok()).count();
    assert_eq!(taken, 8);
    assert_eq!(world.commit(commit(0)), [Ok(())]);
}

#[test]
fn a_member_is_forgotten_with_all_it_held() {
    let mut world = tiny();
    for round in 0..100 {
        let ticket =
            world.join(Join { protocols: vec![protocol("range", &[&"t".repeat(3_900)])], ..consumer("a") });
        assert!(world.waits(ticket), "round {round}");
        world.pass(0);
        let member = world.member(ticket);
        let rejoin = world.join(again(&consumer("a"), &member));
        assert!(world.waits(rejoin) || world.join_answer(rejoin).outcome.is_ok());
        world.leave(&[(&member, None)]);
        assert_eq!(world.state(), GroupState::Empty);
    }
}

#[test]
fn what_is_due_at_once_is_done_in_bearable_portions() {
    let settings =
        GroupSettings { offsets_retention: Duration::from_secs(3_600), ..GroupSettings::default() };
    let mut world = World::with(settings);
    let offsets: Vec<_> = (0..2_500).map(|partition| ("events", partition, 1)).collect();
    world.commit(simple_commit(&offsets));
    for group in 0..1_500 {
        world.commit(Commit { group: format!("group-{group}").into(), ..simple_commit(&[("t", 0, 1)]) });
    }
    for client in 0..1_500 {
        let group = format!("members-{}", client % 3);
        world.join(Join { group: group.into(), requires_known_member: true, ..consumer("a") });
    }
    assert_eq!(world.coordinator.group_count(), 1_504);
    world.pass(20);
    assert_eq!(world.coordinator.group_count(), 1_501, "all ids that were given are forgotten");
    world.pass(2 * 60 * 60);
    assert_eq!(world.coordinator.group_count(), 0);
    assert!(world.records_per_tick_max <= 1_000, "{} records of one tick", world.records_per_tick_max);
}
