//! What happens where I/O memory is short: the least that may be configured, with a tail cache that has its whole share of it.

use std::time::Duration;

use futures_util::future::{join_all, join3};
use ringlog_core::limits::Limits as BrokerLimits;
use ringlog_net::protocol::ApiKey;
use ringlog_net::protocol::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
use ringlog_net::protocol::fetch::{FetchRequest, FetchResponse};
use ringlog_runtime::memory::{Limits, MemoryWorld, Options};
use ringlog_storage::StoreConfig;

use crate::groups::{self, GROUP, find_coordinator};
use crate::harness::{
    Broker, Client, Response, batch, batch_at, fetch_request, records_of, with_broker, with_broker_storing,
};
use crate::offsets::look_up;

const MIB: usize = 1 << 20;

/// The least I/O memory that `ringlog.memory.bytes` takes.
const MEMORY_BYTES_MIN: usize = 64 * MIB;

const BOUNDS: &str =
    "ringlog.memory.bytes=67108864\nsocket.request.max.bytes=8388608\nfetch.max.bytes=8388608";

/// A broker with the least memory, half of it for the tail cache.
fn with_least_memory<F: Future<Output = ()>>(test: impl FnOnce(Broker) -> F) {
    let limits = Limits { arena_bytes_max: MEMORY_BYTES_MIN, ..Limits::default() };
    let world = MemoryWorld::new(7, Options { limits, ..Options::quiet() });
    let tail_cache_bytes_max =
        BrokerLimits::production().memory.of_arena(MEMORY_BYTES_MIN).tail_cache_bytes_max;
    let store = StoreConfig { tail_cache_bytes_max, ..StoreConfig::production() };
    with_broker_storing(&world, &format!("{BOUNDS}\n{}", groups::AT_ONCE), store, test);
}

/// Fills the tail caches of both shards as far as what is in files stays in them, half of their 32 MiB; how many batches each partition has.
async fn fill_tail_caches(broker: &Broker, client: &mut Client) -> [i64; 2] {
    let value = "x".repeat(900 << 10);
    let mut counts = [0; 2];
    let fullest = |broker: &Broker| broker.used_memory().into_iter().max().expect("shards");
    let emptiest = |broker: &Broker| broker.used_memory().into_iter().min().expect("shards");
    while fullest(broker) < 15 * MIB {
        assert_eq!(client.produce(0, &batch_at(counts[0], &[&value])).await, (0, counts[0]));
        counts[0] += 1;
        assert!(counts[0] < 100, "the tail cache stays below its share: {:?}", broker.used_memory());
    }
    while emptiest(broker) < 15 * MIB {
        assert_eq!(client.produce(1, &batch_at(counts[1], &[&value])).await, (0, counts[1]));
        counts[1] += 1;
        assert!(counts[1] < 100, "both partitions lie on one shard");
    }
    counts
}

/// A group whose description takes a mebibyte.
async fn with_large_group(client: &mut Client) {
    find_coordinator(client).await;
    let member = groups::join(client, "", 9).await.member;
    let joined = groups::join(client, &member, 9).await;
    let assigned = groups::sync(client, &joined, &[(&member, &vec![7; MIB])]).await;
    assert_eq!(assigned.map(|assigned| assigned.len()), Ok(MIB));
}

fn describe(count: usize) -> DescribeGroupsRequest<'static> {
    DescribeGroupsRequest { groups: vec![GROUP; count], include_authorized_operations: false }
}

fn described_bytes(response: &Response) -> usize {
    let described = response.read(DescribeGroupsResponse::decode);
    described
        .groups
        .iter()
        .flat_map(|group| &group.members)
        .map(|member| member.member_assignment.len())
        .sum()
}

#[test]
fn a_response_larger_than_what_the_tail_cache_leaves_free_is_sent_and_the_cache_gives_way() {
    with_least_memory(async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        with_large_group(&mut client).await;
        fill_tail_caches(&broker, &mut client).await;
        // What is free; then more than that.
        for count in [40, 52] {
            for _shard in 0..2 {
                let began = broker.world().now();
                assert_eq!(described_bytes(&broker.connect().call(&describe(count), 5).await), count * MIB);
                assert!(broker.world().now().since(began) < Duration::from_secs(10));
            }
        }
    });
}

#[test]
fn a_response_for_which_others_hold_the_memory_too_long_closes_its_connection_and_no_other() {
    with_broker(groups::AT_ONCE, async |broker| {
        let mut client = broker.connect();
        with_large_group(&mut client).await;
        let taken = broker.take_memory_but(MIB);
        let began = broker.world().now();
        assert!(broker.connect().try_call(&describe(2), 5).await.is_none());
        let waited = broker.world().now().since(began);
        assert!(waited >= Duration::from_secs(60) && waited < Duration::from_secs(61), "{waited:?}");
        assert_eq!(find_coordinator(&mut client).await.0, 0);
        drop(taken);
    });
}

#[test]
fn a_partition_without_memory_is_read_when_there_is_some_although_another_shard_is_always_busy() {
    with_broker("", async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        let large = batch(&[&"x".repeat(100 << 10)]);
        assert_eq!(client.produce(0, &large).await, (0, 0));
        // The tail cache keeps these and nothing before them.
        for _ in 0..10 {
            assert_eq!(client.produce(0, &batch(&[&"x".repeat(10 << 10)])).await.0, 0);
        }
        let hot = batch(&["a"]);
        assert_eq!(client.produce(1, &hot).await, (0, 0));
        broker.world().sleep(Duration::from_secs(1)).await;
        let taken = broker.take_memory_but(MIB);
        let poll = FetchRequest { max_wait_ms: 60_000, ..fetch_request(&[(0, 0), (1, 0)]) };
        client.send(&poll, 12).await;
        // Each time the busy shard has records at once, and the other finds memory a moment later.
        broker.world().sleep(Duration::from_millis(7)).await;
        drop(taken);
        let response = client.receive(ApiKey::Fetch, 12).await.expect("an answer");
        let fetched = response.read(FetchResponse::decode);
        let sizes: Vec<_> =
            fetched.responses[0].partitions.iter().map(|partition| records_of(partition).len()).collect();
        assert_eq!(sizes, [large.len(), hot.len()]);
        // Without memory for long, what the busy shard has does not wait for long.
        let taken = broker.take_memory_but(MIB);
        let began = broker.world().now();
        client.call(&poll, 12).await;
        assert!(broker.world().now().since(began) < Duration::from_millis(100));
        drop(taken);
    });
}

#[test]
fn with_the_least_memory_and_full_caches_cold_reads_look_ups_and_large_responses_all_end() {
    with_least_memory(async |broker| {
        let mut client = broker.with_topic(2, &[]).await;
        with_large_group(&mut client).await;
        let counts = fill_tail_caches(&broker, &mut client).await;
        // Half as much again: what came first is in files alone.
        let value = "x".repeat(900 << 10);
        for (partition, count) in (0..).zip(counts) {
            for offset in count..count + count / 2 {
                assert_eq!(client.produce(partition, &batch_at(offset, &[&value])).await, (0, offset));
            }
        }
        let broker = &broker;
        let began = broker.world().now();
        let readers = (0..4).map(|reader| async move {
            let (partition, mut offset) = (reader % 2, 0);
            let end = counts[partition];
            let mut client = broker.connect();
            while offset < end {
                let mut poll = fetch_request(&[(i32::try_from(partition).expect("small"), offset)]);
                (poll.max_bytes, poll.max_wait_ms) = (8 << 20, 1_000);
                poll.topics[0].partitions[0].partition_max_bytes = 8 << 20;
                let response = client.call(&poll, 12).await;
                let fetched = response.read(FetchResponse::decode);
                assert_eq!(fetched.responses[0].partitions[0].error_code, 0);
                offset +=
                    i64::try_from(records_of(&fetched.responses[0].partitions[0]).len() / value_bytes())
                        .expect("small");
            }
        });
        let looking_up = (0..4).map(|_| async move {
            let mut client = broker.connect();
            for timestamp in 0..counts[0] {
                assert_eq!(look_up(&mut client, timestamp, 5).await, (0, timestamp, timestamp));
            }
        });
        let describing = (0..2).map(|_| async move {
            for _ in 0..3 {
                assert_eq!(described_bytes(&broker.connect().call(&describe(40), 5).await), 40 * MIB);
            }
        });
        join3(join_all(readers), join_all(looking_up), join_all(describing)).await;
        let took = broker.world().now().since(began);
        assert!(took < Duration::from_secs(60), "{took:?}");
    });
}

/// The size of one of the large batches.
fn value_bytes() -> usize {
    batch_at(0, &[&"x".repeat(900 << 10)]).len()
}
