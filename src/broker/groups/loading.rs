//! A coordinator made from its log: after a start, or where its log took only a part of a decision.

use std::rc::Rc;
use std::time::Duration;

use ringlog_core::group::message::Request;
use ringlog_core::group::record::GroupRecord;
use ringlog_core::metadata::topic_name::CONSUMER_OFFSETS_TOPIC;
use ringlog_runtime::environment::{Environment, TaskClass};

use crate::broker::groups::seat::{Asker, Seat, Work};
use crate::broker::own_records;
use crate::broker::partition::Partition;
use crate::broker::shard::Shard;

/// How often to look whether everything read is committed.
const COMMIT_LOOK: Duration = Duration::from_millis(1);

impl<E: Environment> Shard<E> {
    /// Coordinates the groups of a partition from now on, if it is one that holds groups.
    pub(in crate::broker) fn take_seat(self: &Rc<Self>, partition: &Rc<Partition<E>>) {
        if &*partition.topic != CONSUMER_OFFSETS_TOPIC {
            return;
        }
        let seat = Rc::new(Seat::new(partition.id, self.groups.settings));
        let known = self.groups.seats.borrow_mut().insert(partition.id, seat.clone());
        assert!(known.is_none(), "a partition of groups has one seat");
        self.env.spawn(TaskClass::Network, self.clone().load_groups(seat, partition.clone()));
    }

    /// Topics may have been deleted, and made anew, while nobody coordinated, or before their offsets' records were written.
    fn forget_missing_topics(self: &Rc<Self>, seat: &Rc<Seat>) {
        let image = self.image();
        for (topic, id) in seat.topics_with_offsets() {
            let is_there = image.topic(&topic).is_some_and(|found| id.is_none_or(|id| id == found.id));
            if !is_there {
                self.coordinate(seat, Work::Request(Request::TopicDeleted(topic, id), Asker::Nobody));
            }
        }
    }

    async fn load_groups(self: Rc<Self>, seat: Rc<Seat>, partition: Rc<Partition<E>>) {
        let began = self.env.now();
        let loaded = own_records::read_all(&self.env, &partition, |record| {
            let key = record.key.ok_or("a record without a key")?;
            let bytes = key.len() + record.value.map_or(0, <[u8]>::len);
            seat.log_bytes.set(seat.log_bytes.get() + bytes as u64);
            let record = GroupRecord::parse(key, record.value).map_err(|fault| fault.to_string())?;
            // Lost meanwhile: there is nobody to replay it.
            if let (Some(record), Some(coordinator)) = (record, seat.coordinator.borrow_mut().as_mut()) {
                self.groups.weighed(coordinator, |coordinator| coordinator.replay(&record));
            }
            Ok(())
        })
        .await;
        if loaded.is_err() {
            // What was wrong is in the log of events; clients are told that there is no coordinator.
            return self.leave_seat(&seat.partition);
        }
        // What was read and may yet be lost is not told: after an append that failed, some of it is under way.
        while partition.high_watermark() < partition.log.log_end_offset() && seat.is_taken() {
            self.env.sleep_until(self.env.now() + COMMIT_LOOK).await;
        }
        tracing::debug!(
            partition = partition.id.partition.0, groups = seat.group_count(), took = ?self.env.now().since(began),
            "groups loaded"
        );
        if partition.log.log_start_offset() == partition.log.log_end_offset() {
            // Nothing was there, so nothing will be written: a log that holds nothing is not even opened.
            self.decide(&seat, &partition, Work::Activate);
        } else {
            self.coordinate(&seat, Work::Activate);
        }
        self.forget_missing_topics(&seat);
    }
}
