//! A message to another shard and one back: while both poll, and while each sleeps until it is woken.
//!
//! ```text
//!   polling   0 ──► 1 ──► 0 ──► 1 ...                 from send to the answer's arrival
//!   parked    0 is awake PAUSE, sends ──► 1 wakes,    from each send to its arrival, both directions added; the
//!             is awake PAUSE, sends ──► 0 wakes ...   pause lets the other shard fall asleep and is not counted
//! ```
//!
//! `cargo bench -p ringlog-bench --bench mesh_round_trip -- --warm-up-time 0.5 --measurement-time 3`

use std::sync::mpsc::channel;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use ringlog_core::ids::ShardIndex;
use ringlog_core::time::Instant;
use ringlog_runtime::environment::{Environment, Mailbox};
use ringlog_runtime::uring::{ShardsConfig, UringEnvironment, run_shards, usable_cores};

/// Longer than a shard takes from its last message to its sleep.
const PAUSE: Duration = Duration::from_micros(60);

/// Time spent between sends and arrivals in `trips` round trips of two shards.
fn round_trips(trips: u64, idle_spin: Duration, pause: Duration) -> Duration {
    let cores = usable_cores();
    let config = ShardsConfig {
        cores: vec![cores[0], cores[1 % cores.len()]],
        idle_spin,
        arena_bytes_max: 32 << 20,
        ..ShardsConfig::default()
    };
    let (told, heard) = channel();
    run_shards::<Instant, _, _>(config, move |env, mailbox| {
        let told = told.clone();
        async move {
            let other = ShardIndex(1 - env.shard().0);
            let begins = env.shard() == ShardIndex(0);
            let mut under_way = Duration::ZERO;
            for trip in 0..trips {
                if begins || trip > 0 {
                    send(&env, &mailbox, other, pause);
                }
                let (_, sent) = mailbox.receive().await;
                under_way += env.now().since(sent);
            }
            if !begins && trips > 0 {
                send(&env, &mailbox, other, pause);
            }
            told.send(under_way).expect("the bench waits for both shards");
        }
    })
    .expect("two shards start");
    heard.iter().sum()
}

fn send(env: &UringEnvironment, mailbox: &impl Mailbox<Instant>, to: ShardIndex, pause: Duration) {
    let begun = env.now();
    while env.now().since(begun) < pause {
        std::hint::spin_loop();
    }
    assert!(mailbox.send(to, env.now()).is_ok(), "one message at a time is under way");
}

fn mesh(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mesh_round_trip");
    group.bench_function("polling", |bencher| {
        bencher.iter_custom(|trips| round_trips(trips, Duration::MAX, Duration::ZERO));
    });
    group.bench_function("parked", |bencher| {
        bencher.iter_custom(|trips| round_trips(trips, Duration::ZERO, PAUSE));
    });
    group.finish();
}

criterion_group!(benches, mesh);
criterion_main!(benches);
