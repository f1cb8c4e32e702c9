//! What one shard says of itself when it is asked.
//!
//! Always true: it is said in the admin queue, with a pause after every [`PARTITIONS_AT_ONCE`] partitions, so that
//! requests need not wait for it.

use std::rc::Rc;
use std::time::Duration;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::ids::TopicPartition;
use ringlog_runtime::environment::Environment;
use ringlog_storage::LogStore;

use crate::broker::calls::ReplyTo;
use crate::broker::directories::Directory;
use crate::broker::message::Answer;
use crate::broker::metrics::families as family;
use crate::broker::metrics::samples::{Label, Samples};
use crate::broker::shard::Shard;

/// Partitions looked at without a pause.
const PARTITIONS_AT_ONCE: usize = 64;

impl<E: Environment> Shard<E> {
    /// Answers with everything this shard measures, with at most `partitions_max` partitions one by one.
    pub(in crate::broker) async fn tell(self: Rc<Self>, partitions_max: usize, reply_to: ReplyTo) {
        let mut samples = Samples::default();
        self.tell_requests(&mut samples);
        self.tell_connections(&mut samples);
        self.tell_records(&mut samples);
        self.tell_storage(&mut samples);
        self.tell_memory(&mut samples);
        self.tell_ring(&mut samples);
        self.tell_partitions(partitions_max, &mut samples).await;
        self.tell_groups(partitions_max, &mut samples).await;
        self.answer(reply_to, Answer::Told(Box::new(samples)));
    }

    fn label(&self) -> Label {
        self.env.shard().into()
    }

    fn tell_requests(&self, samples: &mut Samples) {
        let counts = &self.counts;
        counts.apis.each(|api_key, count| {
            let api = Label::Name(api_key.name().into());
            samples.add(&family::REQUESTS, [api.clone()], count.requests);
            samples.add(&family::REQUEST_BYTES, [api.clone()], count.request_bytes);
            samples.add(&family::RESPONSE_BYTES, [api.clone()], count.response_bytes);
            samples.add(&family::SLOW_REQUESTS, [api.clone()], count.slow);
            samples.add(&family::REQUEST_SECONDS, [api.clone()], count.durations.summary());
            for (number, times) in &count.errors {
                let error = ErrorCode::ALL.iter().find(|code| code.number() == *number);
                let error = error.map_or(Label::Number(i64::from(*number)), |code| code.name().into());
                samples.add(&family::REQUEST_ERRORS, [api.clone(), error], *times);
            }
        });
        samples.add(&family::FETCH_WAIT_SECONDS, [], Duration::from_nanos(counts.fetch_wait_ns.get()));
        let shard = || [self.label()];
        samples.add(&family::REQUESTS_IN_FLIGHT, shard(), counts.requests_in_flight.get());
        samples.add(&family::REQUEST_BYTES_IN_FLIGHT, shard(), counts.request_bytes_in_flight.get());
        samples.add(&family::BATCHES_HELD, shard(), counts.batches_held.get());
        samples.add(&family::REPLY_MEMORY_WAITS, shard(), counts.reply_memory_waits.get());
    }

    fn tell_connections(&self, samples: &mut Samples) {
        let (counts, shard) = (&self.counts, || [self.label()]);
        samples.add(&family::CONNECTIONS, shard(), self.connections.count());
        samples.add(&family::CONNECTIONS_OPENED, shard(), counts.connections_opened.get());
        samples.add(&family::CONNECTIONS_REFUSED, shard(), counts.connections_refused.get());
        for (reason, retired) in counts.retired.by_reason() {
            samples.add(&family::RETIRED_SEGMENTS, [self.label(), reason.into()], retired.segments.get());
            samples.add(&family::RETIRED_BYTES, [self.label(), reason.into()], retired.bytes.get());
        }
        for (reason, times) in counts.connections_cut.by_reason() {
            samples.add(&family::CONNECTIONS_CUT, [self.label(), reason.into()], times);
        }
    }

    fn tell_records(&self, samples: &mut Samples) {
        let (counts, shard) = (&self.counts, || [self.label()]);
        samples.add(&family::PRODUCED_BATCHES, shard(), counts.produced_batches.get());
        samples.add(&family::PRODUCED_RECORDS, shard(), counts.produced_records.get());
        samples.add(&family::PRODUCED_BYTES, shard(), counts.produced_bytes.get());
        samples.add(&family::DUPLICATE_BATCHES, shard(), counts.duplicate_batches.get());
        samples.add(&family::REFUSED_BATCHES, shard(), counts.refused_batches.get());
        samples.add(&family::FETCHED_RECORDS, shard(), counts.fetched_records.get());
        samples.add(&family::FETCHED_BYTES, shard(), counts.fetched_bytes.get());
        samples.add(&family::PRODUCES_WAITING, shard(), self.produces.count());
        samples.add(&family::FETCHES_WAITING, shard(), self.waiting_fetches.count());
        samples.add(&family::FETCH_SESSIONS, shard(), self.sessions.borrow().count());
    }

    fn tell_storage(&self, samples: &mut Samples) {
        samples.add(&family::DISK_FULL_REFUSED, [self.label()], self.counts.refused_for_space.get());
        self.directories.iter().for_each(|directory| self.tell_directory(directory, samples));
    }

    fn tell_directory(&self, directory: &Directory<E>, samples: &mut Samples) {
        let labels = || [self.label(), Label::Name(directory.name.clone())];
        samples.add(&family::DISK_FAILED, labels(), directory.is_offline());
        let Some(store) = directory.store.as_ref().map(LogStore::statistics) else { return };
        samples.add(&family::DISK_FULL, labels(), store.is_short_of_space);
        samples.add(&family::DISK_RESERVE_BYTES, labels(), store.reserve_bytes);
        samples.add(&family::JOURNAL_COMMITS, labels(), store.journal_commit_count);
        samples.add(&family::JOURNAL_BYTES, labels(), store.journal_commit_bytes);
        samples.add(&family::JOURNAL_ENTRIES, labels(), store.journal_entry_count);
        samples.add(&family::JOURNAL_SECONDS, labels(), store.journal_commits);
        samples.add(&family::JOURNAL_FREE_BYTES, labels(), store.journal_free_bytes);
        samples.add(&family::JOURNAL_FILE_BYTES, labels(), store.journal_file_bytes);
        samples.add(&family::JOURNAL_STARVING, labels(), store.journal_is_starving);
        samples.add(&family::JOURNAL_STARVED, labels(), store.journal_starved_count);
        samples.add(&family::CHECKPOINT_SECONDS, labels(), store.checkpoints);
        let shard = || [self.label()];
        // Of all its directories: samples with the same labels add up.
        samples.add(&family::UNDURABLE_BYTES, shard(), store.undurable_bytes);
        samples.add(&family::TAIL_CACHE_BYTES, shard(), store.tail_cache_bytes);
        samples.add(&family::SCRUBBED_BYTES, shard(), store.scrubbed_bytes);
        samples.add(&family::SCRUB_ROUNDS, shard(), store.scrub_rounds);
        samples.add(&family::CHECKSUM_FILES_MADE, shard(), store.checksum_files_made);
        samples.add(&family::DAMAGED_PLACES, shard(), store.damaged_places);
        samples.add(&family::CHECKSUM_CACHE_BYTES, shard(), store.checksum_cache_bytes);
        samples.add(&family::INDEX_CACHE_BYTES, shard(), store.index_cache_bytes);
        samples.add(&family::OPEN_FILES, shard(), store.open_file_count);
    }

    fn tell_memory(&self, samples: &mut Samples) {
        let (arena, shard) = (self.env.arena(), || [self.label()]);
        samples.add(&family::ARENA_USED_BYTES, shard(), arena.used_bytes());
        samples.add(&family::ARENA_MAPPED_BYTES, shard(), arena.slab_bytes());
        samples.add(&family::ARENA_MAX_BYTES, shard(), arena.bytes_max());
    }

    fn tell_ring(&self, samples: &mut Samples) {
        let (counts, shard) = (&self.counts, || [self.label()]);
        samples.add(&family::MESH_SENT, shard(), counts.mesh_sent.get());
        samples.add(&family::MESH_RECEIVED, shard(), counts.mesh_received.get());
        samples.add(&family::MESH_FULL, shard(), counts.mesh_full.get());
        samples.add(&family::MESH_WAITING, shard(), self.messages_waiting());
        samples.add(&family::CALLS_UNDER_WAY, shard(), self.calls_under_way());
        let Some(ring) = self.env.ring_statistics() else { return };
        samples.add(&family::RING_TURNS, shard(), ring.turns);
        samples.add(&family::RING_ENTERS, shard(), ring.enters);
        samples.add(&family::RING_SUBMITTED, shard(), ring.submitted);
        samples.add(&family::RING_COMPLETED, shard(), ring.completed);
        samples.add(&family::RING_SLEEPS, shard(), ring.sleeps);
        samples.add(&family::RING_WAKES_SENT, shard(), ring.wakes_sent);
    }

    async fn tell_partitions(&self, partitions_max: usize, samples: &mut Samples) {
        let mut ids = self.partition_ids();
        let count = ids.len();
        samples.add(&family::PARTITIONS, [self.label()], count);
        keep_first(&mut ids, partitions_max);
        samples.add(&family::PARTITIONS_LEFT_OUT, [self.label()], count - ids.len());
        for ids in ids.chunks(PARTITIONS_AT_ONCE) {
            ids.iter().for_each(|id| self.tell_partition(id, samples));
            self.env.yield_now().await;
        }
    }

    async fn tell_groups(&self, offsets_max: usize, samples: &mut Samples) {
        let (mut group_count, mut offset_count, mut told_count) = (0, 0, 0);
        for seat in self.groups.seats() {
            group_count += seat.group_count();
            offset_count += seat.committed_count();
            for (group, topic, partition, offset) in seat.committed(offsets_max - told_count) {
                let labels = [Label::Name(group), Label::Name(topic), Label::Number(i64::from(partition.0))];
                samples.add(&family::GROUP_COMMITTED_OFFSET, labels, offset.0);
                told_count += 1;
            }
            self.env.yield_now().await;
        }
        samples.add(&family::GROUPS_KEPT, [self.label()], group_count);
        samples.add(&family::GROUP_OFFSETS_LEFT_OUT, [self.label()], offset_count - told_count);
    }

    fn tell_partition(&self, id: &TopicPartition, samples: &mut Samples) {
        // Deleted since the list was made.
        let Some(partition) = self.partition(id) else { return };
        let labels =
            || [Label::Name(partition.topic.clone()), Label::Number(i64::from(partition.id.partition.0))];
        let segments = partition.log.segments();
        let size_bytes: u64 = segments.iter().map(|segment| segment.size_bytes).sum();
        samples.add(&family::LOG_START_OFFSET, labels(), partition.log.log_start_offset().0);
        samples.add(&family::HIGH_WATERMARK, labels(), partition.high_watermark().0);
        samples.add(&family::LOG_END_OFFSET, labels(), partition.log.log_end_offset().0);
        samples.add(&family::LOG_BYTES, labels(), size_bytes);
        samples.add(&family::LOG_SEGMENTS, labels(), segments.len());
    }
}

/// Keeps the same ones as long as there are the same ones, in order, without sorting what is left out.
fn keep_first(ids: &mut Vec<TopicPartition>, count_max: usize) {
    if ids.len() > count_max {
        ids.select_nth_unstable(count_max);
        ids.truncate(count_max);
    }
    ids.sort_unstable();
}

#[cfg(test)]
mod tests {
    use ringlog_core::ids::{PartitionIndex, TopicId};

    use super::*;

    #[test]
    fn the_partitions_kept_do_not_depend_on_the_order_they_are_found_in() {
        let id =
            |index| TopicPartition { topic: TopicId::from_random(1, 2), partition: PartitionIndex(index) };
        let mut ids: Vec<_> = [4, 0, 3, 1, 2].map(id).into();
        keep_first(&mut ids, 3);
        assert_eq!(ids, [0, 1, 2].map(id));
        keep_first(&mut ids, 7);
        assert_eq!(ids.len(), 3);
        keep_first(&mut ids, 0);
        assert!(ids.is_empty());
    }
}
