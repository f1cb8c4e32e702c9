//! What the memory world promises about turns, time, messages between shards, and being the same every time.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ringlog_core::ids::ShardIndex;
use ringlog_core::time::Instant;
use ringlog_runtime::environment::{Environment, File, Mailbox, MailboxFull, OpenMode, TaskClass, WriteSync};
use ringlog_runtime::memory::{
    Faults, Limits, MemoryEnvironment, MemoryMailbox, MemoryWorld, Options, PerMillion,
};

/// Two shards that write, sleep and tell each other.
fn run_busy_world(seed: u64) -> (u64, Instant) {
    let world = MemoryWorld::new(seed, Options::from_seed(seed));
    let mailboxes = world.mesh::<u64>(2);
    let done = Rc::new(Cell::new(0));
    for (shard, mailbox) in mailboxes.into_iter().enumerate() {
        let environment = world.environment(shard as u16, 2);
        environment.spawn(TaskClass::Network, busy_shard(environment.clone(), mailbox, done.clone()));
    }
    world.run_until(async {
        while done.get() < 2 {
            world.sleep(Duration::from_millis(10)).await;
        }
    });
    (world.trace_hash(), world.now())
}

async fn busy_shard(environment: MemoryEnvironment, mailbox: MemoryMailbox<u64>, done: Rc<Cell<u32>>) {
    let other = ShardIndex(1 - environment.shard().0);
    let path = format!("/shard{}", environment.shard());
    let file = environment.open(Path::new(&path), OpenMode::BufferedWrite).await.unwrap();
    for round in 0..10_u64 {
        let mut buffer = environment.arena().allocate(64).unwrap();
        buffer.extend_from_slice(&environment.random().to_le_bytes());
        // The swarm may let a write fail; the run goes on.
        let _ = file.write_at(round * 8, vec![buffer.freeze()], WriteSync::BeforeCompletion).await;
        mailbox.send(other, round).unwrap();
        assert_eq!(mailbox.receive().await, (other, round));
    }
    done.set(done.get() + 1);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..50 {
        assert_eq!(run_busy_world(seed), run_busy_world(seed), "seed {seed}");
    }
}

#[test]
fn different_seeds_give_different_traces() {
    let hashes: std::collections::BTreeSet<u64> = (0..50).map(|seed| run_busy_world(seed).0).collect();
    assert_eq!(hashes.len(), 50);
}

#[test]
fn the_clock_jumps_over_idle_time() {
    let world = MemoryWorld::new(1, Options::quiet());
    let environment = world.environment(0, 1);
    let started = environment.now();
    world.run_until(environment.sleep_until(started + Duration::from_secs(3600)));
    let passed = environment.now() - started;
    assert!((3600.0..3600.001).contains(&passed.as_secs_f64()), "{passed:?}");
}

#[test]
fn timers_fire_in_order_of_their_deadlines() {
    let world = MemoryWorld::new(1, Options::quiet());
    let environment = world.environment(0, 1);
    let order = Rc::new(RefCell::new(Vec::new()));
    for delay in [5_u64, 1, 4, 2, 3] {
        let (waiter, order) = (environment.clone(), order.clone());
        environment.spawn(TaskClass::Admin, async move {
            waiter.sleep_until(Instant(delay * 1_000_000_000)).await;
            order.borrow_mut().push(delay);
        });
    }
    world.run_until(environment.sleep_until(Instant(10_000_000_000)));
    assert_eq!(*order.borrow(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_dropped_timer_does_not_hold_up_the_end() {
    let world = MemoryWorld::new(1, Options::quiet());
    let environment = world.environment(0, 1);
    world.run_until(async {
        let long = environment.sleep_until(Instant(u64::MAX / 2));
        let short = environment.sleep_until(Instant(1_000_000));
        futures_util::future::select(std::pin::pin!(long), std::pin::pin!(short)).await;
    });
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.run_until(std::future::pending::<()>());
    }));
    let message = *outcome.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("deadlock"), "{message}");
}

#[test]
fn the_seed_decides_whose_turn_it_is() {
    let order_of = |seed| {
        let world = MemoryWorld::new(seed, Options::quiet());
        let environment = world.environment(0, 1);
        let order = Rc::new(RefCell::new(Vec::new()));
        for number in 0..6 {
            let order = order.clone();
            environment.spawn(TaskClass::Network, async move { order.borrow_mut().push(number) });
        }
        world.run_until(environment.sleep_until(Instant(1_000_000)));
        order.take()
    };
    let orders: std::collections::BTreeSet<Vec<i32>> = (0..50).map(order_of).collect();
    assert!(orders.len() > 30, "{} orders of 50", orders.len());
}

#[test]
fn who_yields_lets_every_ready_task_run_first() {
    for seed in 0..100 {
        let world = MemoryWorld::new(seed, Options::quiet());
        let environment = world.environment(0, 1);
        let ran = Rc::new(Cell::new(0));
        world.run_until(async {
            for _ in 0..5 {
                let ran = ran.clone();
                environment.spawn(TaskClass::Network, async move { ran.set(ran.get() + 1) });
            }
            environment.yield_now().await;
            assert_eq!(ran.get(), 5, "seed {seed}");
        });
    }
}

#[test]
#[should_panic(expected = "seed 42: nothing is ready and no timer runs: a deadlock")]
fn a_deadlock_panics_with_the_seed() {
    let world = MemoryWorld::new(42, Options::quiet());
    let mailbox = world.mesh::<u8>(1).remove(0);
    world.run_until(mailbox.receive());
}

#[test]
fn a_deadlock_names_who_is_alive() {
    let world = MemoryWorld::new(1, Options::quiet());
    world.environment(0, 1).spawn(TaskClass::Storage, std::future::pending());
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.run_until(std::future::pending::<()>());
    }));
    let message = *outcome.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("Storage") && message.contains("memory_world.rs"), "{message}");
}

#[test]
#[should_panic(expected = "took more virtual time than the options allow")]
fn a_run_that_only_ticks_is_stuck_too() {
    let limits = Limits { run_virtual_ns_max: 1_000_000_000, ..Limits::default() };
    let world = MemoryWorld::new(1, Options { limits, faults: Faults::default() });
    let environment = world.environment(0, 1);
    let ticking = environment.clone();
    environment.spawn(TaskClass::Admin, async move {
        loop {
            ticking.sleep_until(ticking.now() + Duration::from_millis(100)).await;
        }
    });
    world.run_until(std::future::pending::<()>());
}

#[test]
fn a_crash_drops_the_shards_tasks_and_leaves_the_clients() {
    struct SetsOnDrop(Rc<Cell<bool>>);
    impl Drop for SetsOnDrop {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let world = MemoryWorld::new(1, Options::quiet());
    let dropped = Rc::new(Cell::new(false));
    let client_done = Rc::new(Cell::new(false));
    let held = SetsOnDrop(dropped.clone());
    world.environment(0, 1).spawn(TaskClass::Network, async move {
        std::future::pending::<()>().await;
        drop(held);
    });
    let (handle, done) = (world.handle(), client_done.clone());
    world.spawn(async move {
        handle.sleep(Duration::from_secs(5)).await;
        done.set(true);
    });
    world.run_until(world.sleep(Duration::from_secs(1)));
    world.crash();
    assert!(dropped.get());
    world.run_until(world.sleep(Duration::from_secs(10)));
    assert!(client_done.get());
}

#[test]
fn an_environment_of_before_the_crash_is_dead() {
    let world = MemoryWorld::new(1, Options::quiet());
    let old = world.environment(0, 1);
    let file = world.run_until(old.open(Path::new("/a"), OpenMode::BufferedWrite)).unwrap();
    world.run_until(old.sync_directory(Path::new("/"))).unwrap();
    world.crash();
    let ran = Rc::new(Cell::new(false));
    let task_ran = ran.clone();
    old.spawn(TaskClass::Network, async move { task_ran.set(true) });
    let mut buffer = old.arena().allocate(64).unwrap();
    buffer.extend_from_slice(b"too late");
    let ended = world.run_until(async {
        let write = file.write_at(0, vec![buffer.freeze()], WriteSync::Later);
        let wait = world.sleep(Duration::from_secs(60));
        matches!(
            futures_util::future::select(std::pin::pin!(write), std::pin::pin!(wait)).await,
            futures_util::future::Either::Left(_)
        )
    });
    assert!(!ended && !ran.get());
    world.crash();
    assert_eq!(world.disk().read("/a").unwrap(), b"");
}

#[test]
fn messages_of_one_pair_keep_their_order_and_pairs_overtake_each_other() {
    let mut overtaken = 0;
    for seed in 0..50 {
        let world = MemoryWorld::new(seed, Options::quiet());
        let mailboxes = world.mesh::<u32>(3);
        for number in 0..20 {
            mailboxes[0].send(ShardIndex(2), number).unwrap();
            mailboxes[1].send(ShardIndex(2), number).unwrap();
        }
        let mut next = [0, 0];
        world.run_until(async {
            for _ in 0..40 {
                let (from, number) = mailboxes[2].receive().await;
                let expected = &mut next[usize::from(from.0)];
                assert_eq!(number, *expected, "seed {seed}");
                *expected += 1;
                overtaken += usize::from(next[0].abs_diff(next[1]) > 1);
            }
        });
    }
    assert!(overtaken > 100, "{overtaken}");
}

#[test]
fn a_full_mailbox_gives_the_message_back_until_something_is_received() {
    let limits = Limits { mailbox_messages_max: 2, ..Limits::default() };
    let world = MemoryWorld::new(1, Options { limits, faults: Faults::default() });
    let mailboxes = world.mesh::<&str>(2);
    let to = ShardIndex(1);
    mailboxes[0].send(to, "first").unwrap();
    mailboxes[0].send(to, "second").unwrap();
    let MailboxFull(returned) = mailboxes[0].send(to, "third").unwrap_err();
    assert_eq!(returned, "third");
    mailboxes[1].send(to, "of another pair").unwrap();
    world.run_until(async {
        while mailboxes[1].receive().await.0 != ShardIndex(0) {}
        mailboxes[0].send(to, "third").unwrap();
    });
}

#[test]
fn a_stalled_shard_misses_everything_for_a_while_and_the_other_goes_on() {
    let faults =
        Faults { shard_stall: PerMillion(200_000), shard_stall_ns_max: 1_000_000_000, ..Faults::default() };
    let world = MemoryWorld::new(1, faults);
    let environment = world.environment(0, 1);
    let longest = Rc::new(Cell::new(Duration::ZERO));
    let (ticking, seen) = (environment.clone(), longest.clone());
    environment.spawn(TaskClass::Network, async move {
        for _ in 0..100 {
            let before = ticking.now();
            ticking.sleep_until(before + Duration::from_millis(1)).await;
            seen.set(seen.get().max(ticking.now() - before));
        }
    });
    world.run_until(world.sleep(Duration::from_secs(1000)));
    assert!(longest.get() > Duration::from_millis(300), "{:?}", longest.get());
}

#[test]
fn the_wall_clock_may_jump_while_the_monotonic_clock_never_does() {
    let faults =
        Faults { wall_clock_jump: PerMillion(300_000), wall_clock_jump_ms_max: 60_000, ..Faults::default() };
    let world = MemoryWorld::new(3, faults);
    let environment = world.environment(0, 1);
    let mut went_back = 0;
    world.run_until(async {
        for _ in 0..100 {
            let (wall, monotonic) = (environment.wall_clock(), environment.now());
            environment.sleep_until(monotonic + Duration::from_millis(1)).await;
            assert!(environment.now() > monotonic);
            went_back += usize::from(environment.wall_clock() < wall);
        }
    });
    assert!(went_back > 5, "{went_back}");
}

#[test]
fn a_healed_world_fails_no_more() {
    let faults = Faults { write_error: PerMillion::ALWAYS, ..Faults::default() };
    let world = MemoryWorld::new(1, faults);
    let environment = world.environment(0, 1);
    world.run_until(async {
        let file = environment.open(Path::new("/a"), OpenMode::BufferedWrite).await.unwrap();
        assert!(file.write_at(0, Vec::new(), WriteSync::Later).await.is_err());
        world.set_faults(Faults::default());
        file.write_at(0, Vec::new(), WriteSync::Later).await.unwrap();
    });
}
