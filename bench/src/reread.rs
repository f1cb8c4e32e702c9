//! After a run: everything is read back and compared with what was sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ringlog_runtime::environment::Environment;
use ringlog_runtime::uring::UringEnvironment;

use crate::failure::BenchFailure;
use crate::follower::{FetchBounds, Follower, Position};
use crate::ledger::Ledger;
use crate::result::Verification;
use crate::setup::Topic;
use crate::verifier::{Expected, Verifier};

/// How long nothing may come before what is missing counts as missing: replicas may lag, unacknowledged records may
/// still be on their way.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Reads the topic from where it ended before the run.
///
/// # Errors
/// [`BenchFailure::Broker`] if it cannot be read.
pub async fn reread(
    env: &UringEnvironment,
    topic: &Topic,
    ledger: &Ledger,
    expected: Expected,
    timeout: Duration,
) -> Result<Verification, BenchFailure> {
    let mut verifier = Verifier::new(expected);
    for (address, partitions) in topic.by_leader() {
        read_leader(env, address, topic, &partitions, ledger, &mut verifier, timeout).await?;
    }
    Ok(verifier.finish(ledger))
}

async fn read_leader(
    env: &UringEnvironment,
    address: SocketAddr,
    topic: &Topic,
    partitions: &[i32],
    ledger: &Ledger,
    verifier: &mut Verifier,
    timeout: Duration,
) -> Result<(), BenchFailure> {
    let start = |partition: &i32| (*partition, topic.latest[*partition as usize]);
    let wanted =
        |partition: &i32| (*partition, topic.latest[*partition as usize] + ledger.sent_to(*partition) as i64);
    let wanted: BTreeMap<i32, i64> = partitions.iter().map(wanted).collect();
    let positions = partitions.iter().map(start);
    let mut follower = Follower::open(env, address, &topic.name, positions, FetchBounds::default(), timeout)?;
    let mut heard = env.now();
    loop {
        let fetched = follower.fetch(|partition, batch| verifier.batch(partition, batch)).await?;
        let now = env.now();
        if fetched.batches > 0 {
            heard = now;
        }
        let finished = |(partition, position): (&i32, &Position)| {
            (position.next >= wanted[partition].max(position.high_watermark)).then_some(*partition)
        };
        let done: Vec<i32> = follower.positions().iter().filter_map(finished).collect();
        done.into_iter().for_each(|partition| follower.leave(partition));
        if follower.positions().is_empty() || now.since(heard) > SILENCE_MAX {
            return Ok(());
        }
    }
}
