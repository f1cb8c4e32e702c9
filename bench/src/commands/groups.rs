//! `ringlog-bench groups`: how long it takes until many members of one group have their partitions.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ringlog_core::time::Instant;
use ringlog_net::protocol::heartbeat::HeartbeatRequest;
use ringlog_net::protocol::join_group::JoinGroupRequest;
use ringlog_net::protocol::leave_group::LeaveGroupRequest;
use ringlog_net::protocol::sync_group::SyncGroupRequest;
use ringlog_runtime::environment::{Environment, TaskClass};
use ringlog_runtime::uring::{UringEnvironment, wall_clock};

use crate::command_line::GroupsArguments;
use crate::commands::commits::coordinator;
use crate::cpu::CpuReading;
use crate::failure::BenchFailure;
use crate::line::Line;
use crate::member::{Formation, Member, MemberVersions};
use crate::outcome::{Outcome, blank};
use crate::result::{BenchResult, GroupFormation, Verdict};
use crate::setup;
use crate::shard::on_shard;

/// How often is looked whether the group is complete.
const LOOK: Duration = Duration::from_millis(1);

/// How long the group may take, and an answer of its coordinator: it holds joins back until all are there.
const FORMING_MAX: Duration = Duration::from_secs(120);

/// Runs it.
///
/// # Errors
/// [`BenchFailure`] if nothing could be measured.
pub fn run(arguments: &GroupsArguments) -> Result<Outcome, BenchFailure> {
    let mut result = blank("groups", arguments);
    result.times.started_unix_ms = wall_clock().0;
    let target = &arguments.target;
    let mut cluster = setup::connect(target)?;
    let topic = setup::with_partitions(&mut cluster, &arguments.topic, arguments.partitions)?;
    result.target = Some(setup::describe(&mut cluster, target, Some(&topic))?);
    let versions = MemberVersions {
        join: setup::version_of::<JoinGroupRequest<'_>>(&mut cluster, 5, 9)?,
        sync: setup::version_of::<SyncGroupRequest<'_>>(&mut cluster, 3, 5)?,
        heartbeat: setup::version_of::<HeartbeatRequest<'_>>(&mut cluster, 3, 4)?,
        leave: setup::version_of::<LeaveGroupRequest<'_>>(&mut cluster, 3, 5)?,
    };
    let address = coordinator(&mut cluster, &arguments.group)?;
    let (own, given) = (target.own.clone(), arguments.clone());
    let partitions = topic.leaders.len() as i32;
    let result = on_shard(&own, move |env| async move {
        let mut lines = Vec::new();
        for _ in 0..given.members {
            lines.push(Line::open(&env, address, FORMING_MAX)?);
        }
        form(env, lines, versions, given, partitions, result).await
    })??;
    Ok(Outcome { result, logs: Vec::new(), own })
}

async fn form(
    env: UringEnvironment,
    lines: Vec<Line>,
    versions: MemberVersions,
    arguments: GroupsArguments,
    partitions: i32,
    mut result: BenchResult,
) -> Result<BenchResult, BenchFailure> {
    let members = lines.len();
    let formation = Rc::new(Formation::new(members));
    let before = CpuReading::take(arguments.target.broker_pid);
    result.times.measured_from_unix_ms = env.wall_clock().0;
    let began = env.now();
    for (number, line) in lines.into_iter().enumerate() {
        let member = Member {
            env: env.clone(),
            line,
            number,
            group: arguments.group.clone(),
            topic: arguments.topic.clone(),
            partitions,
            heartbeat: Duration::from_millis(arguments.heartbeat_ms),
            versions,
            id: RefCell::default(),
            generation: Cell::new(-1),
        };
        env.spawn(TaskClass::Network, member.live(formation.clone()));
    }
    let formed = wait_until_formed(&env, &formation, began).await?;
    formation.heartbeats.set((0, 0));
    env.sleep_until(env.now() + Duration::from_secs(u64::from(arguments.seconds))).await;
    let (heartbeats, heartbeats_refused) = formation.heartbeats.get();
    let right = formation.is_complete() && formation.deals_out(partitions);
    let generations = formation.generation();
    let seconds = env.now().since(began).as_secs_f64();
    result.cpu = CpuReading::take(arguments.target.broker_pid).since(&before, members as u64);
    formation.ended.set(true);
    while formation.living.get() > 0 && formation.failure.borrow().is_none() {
        env.sleep_until(env.now() + LOOK).await;
    }
    if let Some(failure) = formation.failure.borrow_mut().take() {
        return Err(failure);
    }
    result.times.measured_to_unix_ms = env.wall_clock().0;
    result.times.ended_unix_ms = env.wall_clock().0;
    result.times.measured_seconds = seconds;
    result.groups = Some(GroupFormation {
        members,
        partitions: partitions as usize,
        formed_ms: formed.as_secs_f64() * 1e3,
        generations,
        heartbeats,
        heartbeats_refused,
    });
    result.verified = right && heartbeats_refused == 0;
    (result.verdict, result.verdict_words) = match result.verified {
        true => {
            (Verdict::Kept, "every partition belongs to one member, every heartbeat was answered".to_owned())
        }
        false => {
            let words =
                format!("partitions dealt out once: {right}; heartbeats refused: {heartbeats_refused}");
            (Verdict::BrokerFailed, words)
        }
    };
    Ok(result)
}

async fn wait_until_formed(
    env: &UringEnvironment,
    formation: &Formation,
    began: Instant,
) -> Result<Duration, BenchFailure> {
    loop {
        if let Some(failure) = formation.failure.borrow_mut().take() {
            return Err(failure);
        }
        if formation.is_complete() {
            return Ok(formation.completed.get().since(began));
        }
        if env.now().since(began) > FORMING_MAX {
            let seconds = FORMING_MAX.as_secs();
            let words = format!("the group has not come together within {seconds} s");
            return Err(BenchFailure::Broker(words));
        }
        env.sleep_until(env.now() + LOOK).await;
    }
}
