//! Messages between real shards, polling and parked.

mod uring;

use std::time::Duration;

use ringlog_core::ids::ShardIndex;
use ringlog_runtime::environment::{Environment, Mailbox};
use ringlog_runtime::uring::{Feature, ShardsConfig, run_shards, usable_cores};
use uring::one_shard;

const ROUND_TRIPS: u64 = 5_000;

/// Shards 0 and 1 on two cores, or on one if there is no other.
fn two_shards() -> ShardsConfig {
    let cores = usable_cores();
    ShardsConfig { cores: vec![cores[0], cores[1 % cores.len()]], ..one_shard() }
}

/// One message under way at a time: each wakes a shard that has nothing else to do.
fn ping_pong_ends_under(config: ShardsConfig) {
    run_shards::<u64, _, _>(config, |env, mailbox| async move {
        let other = ShardIndex(1 - env.shard().0);
        for number in 0..ROUND_TRIPS {
            if env.shard() == ShardIndex(0) {
                mailbox.send(other, number).unwrap();
                assert_eq!(mailbox.receive().await, (other, number + 1));
            } else {
                assert_eq!(mailbox.receive().await, (other, number));
                mailbox.send(other, number + 1).unwrap();
            }
        }
    })
    .unwrap();
}

#[test]
fn a_sleeping_shard_is_woken_by_every_message() {
    ping_pong_ends_under(two_shards());
}

#[test]
fn a_sleeping_shard_is_woken_without_ring_messages_too() {
    ping_pong_ends_under(ShardsConfig { pretend_absent: vec![Feature::RingMessages], ..two_shards() });
}

#[test]
fn shards_that_never_sleep_and_shards_that_doze_off_lose_nothing() {
    ping_pong_ends_under(ShardsConfig { idle_spin: Duration::MAX, ..two_shards() });
    ping_pong_ends_under(ShardsConfig { idle_spin: Duration::from_micros(20), ..two_shards() });
}

#[test]
fn a_flood_in_both_directions_arrives_in_order_over_full_queues() {
    const COUNT: u64 = 100_000;
    run_shards::<u64, _, _>(two_shards(), |env, mailbox| async move {
        let other = ShardIndex(1 - env.shard().0);
        let sender = mailbox.clone();
        let yielding = env.clone();
        let send = async move {
            for number in 0..COUNT {
                while sender.send(other, number).is_err() {
                    yielding.yield_now().await;
                }
            }
        };
        let receive = async move {
            for number in 0..COUNT {
                assert_eq!(mailbox.receive().await, (other, number));
            }
        };
        futures_util::future::join(send, receive).await;
    })
    .unwrap();
}

#[test]
fn a_shard_may_write_to_itself() {
    run_shards::<u64, _, _>(one_shard(), |env, mailbox| async move {
        let receiver = mailbox.clone();
        let received = async move { receiver.receive().await };
        let sent = async move {
            env.yield_now().await;
            mailbox.send(ShardIndex(0), 7).unwrap();
        };
        assert_eq!(futures_util::future::join(received, sent).await.0, (ShardIndex(0), 7));
    })
    .unwrap();
}
