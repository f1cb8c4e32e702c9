//! Long-polling fetches of one shard, woken when enough has become readable.
//!
//! ```text
//!   partition A ─┐ advanced by 300 bytes        fetch 7: needs 1,000 bytes of A, B
//!   partition B ─┘ advanced by 800 bytes  ──►   300 + 800 >= 1,000: woken
//! ```
//!
//! Always true: the cost of an append is one look-up plus one step for each fetch that waits on that partition; a
//! fetch that waits costs nothing else.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ringlog_core::ids::TopicPartition;
use slab::Slab;

/// The fetches that wait on one shard.
#[derive(Clone, Default)]
pub struct WaitingFetches {
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    fetches: Slab<WaitingFetch>,
    by_partition: BTreeMap<TopicPartition, Vec<usize>>,
}

struct WaitingFetch {
    partitions: Vec<TopicPartition>,
    bytes_missing: usize,
    waker: Option<Waker>,
}

impl WaitingFetches {
    /// Waits until `bytes_missing` more bytes are readable in these partitions together, or one of them is
    /// [disturbed](WaitingFetches::disturbed).
    pub fn wait(&self, partitions: Vec<TopicPartition>, bytes_missing: usize) -> WaitForBytes {
        let mut state = self.state.borrow_mut();
        let key = state.fetches.insert(WaitingFetch { partitions: Vec::new(), bytes_missing, waker: None });
        for partition in &partitions {
            state.by_partition.entry(*partition).or_default().push(key);
        }
        state.fetches[key].partitions = partitions;
        WaitForBytes { state: self.state.clone(), key }
    }

    /// More is readable in a partition; how many bytes is asked for only if somebody waits.
    pub fn advanced(&self, partition: TopicPartition, bytes: impl FnOnce() -> usize) {
        if self.state.borrow().by_partition.contains_key(&partition) {
            let bytes = bytes();
            self.step(partition, |fetch| fetch.bytes_missing = fetch.bytes_missing.saturating_sub(bytes));
        }
    }

    /// Something else happened to a partition (it moved, was deleted, its disk failed): fetches look again.
    pub fn disturbed(&self, partition: TopicPartition) {
        self.step(partition, |fetch| fetch.bytes_missing = 0);
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        self.state.borrow().fetches.len()
    }

    fn step(&self, partition: TopicPartition, change: impl Fn(&mut WaitingFetch)) {
        let mut state = self.state.borrow_mut();
        let State { fetches, by_partition } = &mut *state;
        for key in by_partition.get(&partition).map_or(&[][..], Vec::as_slice) {
            let fetch = &mut fetches[*key];
            change(fetch);
            if fetch.bytes_missing == 0
                && let Some(waker) = fetch.waker.take()
            {
                waker.wake();
            }
        }
    }
}

/// Completes when its fetch should look again; dropping it stops the waiting.
pub struct WaitForBytes {
    state: Rc<RefCell<State>>,
    key: usize,
}

impl Future for WaitForBytes {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let fetch = &mut self.state.borrow_mut().fetches[self.key];
        if fetch.bytes_missing == 0 {
            return Poll::Ready(());
        }
        fetch.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for WaitForBytes {
    fn drop(&mut self) {
        let mut state = self.state.borrow_mut();
        let fetch = state.fetches.remove(self.key);
        for partition in fetch.partitions {
            if let Some(keys) = state.by_partition.get_mut(&partition) {
                keys.retain(|key| *key != self.key);
                if keys.is_empty() {
                    state.by_partition.remove(&partition);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use ringlog_core::ids::{PartitionIndex, TopicId};

    fn partition(number: i32) -> TopicPartition {
        TopicPartition { topic: TopicId::from_random(1, 2), partition: PartitionIndex(number) }
    }

    #[test]
    fn f4_bytes_of_several_partitions_count_together() {
        let waiting = WaitingFetches::default();
        let mut fetch = waiting.wait(vec![partition(0), partition(1)], 1_000);
        waiting.advanced(partition(0), || 300);
        waiting.advanced(partition(2), || 5_000);
        assert_eq!((&mut fetch).now_or_never(), None);
        waiting.advanced(partition(1), || 800);
        assert_eq!((&mut fetch).now_or_never(), Some(()));
    }

    #[test]
    fn f9_a_disturbed_partition_wakes_its_fetches() {
        let waiting = WaitingFetches::default();
        let fetch = waiting.wait(vec![partition(0)], 1_000);
        waiting.disturbed(partition(0));
        assert_eq!(fetch.now_or_never(), Some(()));
        assert_eq!(waiting.count(), 0);
        assert!(waiting.state.borrow().by_partition.is_empty(), "nothing is kept of fetches that ended");
    }
}
