//! What a shard's thread does between its tasks: it sleeps, wakes for what it waits for, and ends.

mod uring;

use std::fs;
use std::time::Duration;

use ringlog_core::ids::ShardIndex;
use ringlog_runtime::environment::{Environment, Mailbox, TaskClass};
use ringlog_runtime::uring::{ShardsConfig, run_shards, usable_cores};
use uring::{one_shard, run};

/// How often this thread has gone to sleep.
fn sleeps_of_this_thread() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn an_idle_shard_sleeps_until_its_deadline_and_nothing_wakes_it_before() {
    run(one_shard(), |env| async move {
        // What starting leaves behind is over after a first sleep.
        env.sleep_until(env.now() + Duration::from_millis(20)).await;
        let (before, deadline) = (sleeps_of_this_thread(), env.now() + Duration::from_millis(300));
        env.sleep_until(deadline).await;
        assert!(env.now() >= deadline, "woken too early");
        let sleeps = sleeps_of_this_thread() - before;
        assert!(sleeps <= 3, "an idle shard was woken {sleeps} times within 300 ms");
    });
}

#[test]
fn of_many_timers_each_fires_in_its_turn() {
    run(one_shard(), |env| async move {
        let start = env.now();
        let sleep = |milliseconds| env.sleep_until(start + Duration::from_millis(milliseconds));
        let (far, late, soon) = (sleep(3_600_000), sleep(40), sleep(10));
        let order = std::cell::RefCell::new(Vec::new());
        let note = |name: &'static str| order.borrow_mut().push(name);
        let all = futures_util::future::join(
            async {
                late.await;
                note("late");
            },
            async {
                soon.await;
                note("soon");
            },
        );
        futures_util::future::select(Box::pin(far), Box::pin(all)).await;
        assert_eq!(*order.borrow(), ["soon", "late"]);
    });
}

#[test]
fn a_task_that_yields_for_ever_keeps_no_operation_waiting_and_no_shard_from_its_end() {
    for idle_spin in [Duration::ZERO, Duration::MAX] {
        run(ShardsConfig { idle_spin, ..one_shard() }, |env| async move {
            let restless = env.clone();
            env.spawn(TaskClass::Compaction, async move {
                loop {
                    restless.yield_now().await;
                }
            });
            env.sleep_until(env.now() + Duration::from_millis(5)).await;
            env.list_directory("/proc/self".as_ref()).await.unwrap();
        });
    }
}

#[test]
fn shards_that_share_one_core_wake_each_other() {
    let core = usable_cores()[0];
    run_shards::<u64, _, _>(
        ShardsConfig { cores: vec![core; 3], ..one_shard() },
        |env, mailbox| async move {
            let next = ShardIndex((env.shard().0 + 1) % 3);
            for round in 0..500 {
                if env.shard() == ShardIndex(0) {
                    mailbox.send(next, round).unwrap();
                }
                let (_, received) = mailbox.receive().await;
                assert_eq!(received, round);
                if env.shard() != ShardIndex(0) {
                    mailbox.send(next, round).unwrap();
                }
            }
        },
    )
    .unwrap();
}
