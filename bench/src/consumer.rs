//! Consumers that read along while a load runs, and what their latency is.
//!
//! They look at the first record of each batch only: when it was planned. What is in the records is verified afterwards,
//! so that reading along costs little beside what is measured.

use std::cell::Cell;
use std::rc::Rc;

use ringlog_core::compression::DecompressionBudget;
use ringlog_core::record_batch::RawBatch;
use ringlog_core::time::Instant;
use rustc_hash::FxHashMap;

use crate::failure::BenchFailure;
use crate::follower::Follower;
use crate::payload::{PRODUCER_IN_HEADER, Payload};
use crate::plan::Plan;
use crate::result::{CatchUp, Verdict};
use crate::session::Session;

/// Finds out when a batch was planned.
pub struct Clockwork {
    /// The plan.
    pub plan: Plan,
    /// When it began.
    pub began: Instant,
    /// Records in each batch.
    pub batch_records: u64,
    /// Producers by id, with idempotence.
    pub producers: FxHashMap<i64, u32>,
}

impl Clockwork {
    /// When the batch should have been sent; `None` if it is none of this run's.
    pub fn planned(&self, partition: i32, batch: &RawBatch<'_>) -> Option<Instant> {
        let header = batch.header();
        if header.attributes().compression_id() == 0 {
            let records = batch.records(&mut DecompressionBudget::default()).ok()?;
            let payload = Payload::peek(records.iter().next()?.ok()?.value?)?;
            if payload.producer != PRODUCER_IN_HEADER {
                return Some(Instant(payload.planned_ns));
            }
        }
        let producer = match header.has_producer_id() {
            true => *self.producers.get(&header.producer_id().0)?,
            false => u32::try_from(header.producer_epoch().0).ok()?,
        };
        let round = u64::try_from(header.base_sequence().0).ok()? / self.batch_records;
        let number = self.plan.number_of(u64::from(producer), u64::try_from(partition).ok()?, round);
        Some(Instant(self.began.0 + self.plan.due_ns(number)))
    }
}

/// How many consumers have not ended.
pub type Running = Rc<Cell<u64>>;

/// Reads along until all is sent and read.
pub async fn tail(session: Rc<Session>, clockwork: Rc<Clockwork>, mut follower: Follower, running: Running) {
    if let Err(failure) = tail_until_end(&session, &clockwork, &mut follower).await {
        session.fail(Verdict::BrokerFailed, failure.to_string());
    }
    running.set(running.get() - 1);
}

async fn tail_until_end(
    session: &Session,
    clockwork: &Clockwork,
    follower: &mut Follower,
) -> Result<(), BenchFailure> {
    loop {
        let ended = is_over(session);
        let fetched = follower.fetch(|partition, batch| {
            let Some(planned) = clockwork.planned(partition, batch) else { return };
            let latency = session.now().since(planned).as_nanos() as u64;
            session.end_to_end.borrow_mut().note(latency, session.measured.get().holds(planned));
        });
        let fetched = fetched.await?;
        if (ended && fetched.batches == 0) || !session.goes_on() {
            return Ok(());
        }
    }
}

/// Reads from the beginning until the end is reached while the load runs.
pub async fn catch_up(
    session: Rc<Session>,
    mut follower: Follower,
    told: Rc<Cell<Option<CatchUp>>>,
    running: Running,
) {
    let began = session.now();
    let mut caught = CatchUp::default();
    loop {
        match follower.fetch(|_, _| {}).await {
            Ok(fetched) => {
                caught.records += fetched.records;
                caught.bytes += fetched.bytes;
            }
            Err(failure) => {
                session.fail(Verdict::BrokerFailed, failure.to_string());
                break;
            }
        }
        caught.reached_the_end = follower.is_at_the_end();
        if caught.reached_the_end || is_over(&session) || !session.goes_on() {
            break;
        }
    }
    caught.seconds = session.now().since(began).as_secs_f64();
    caught.megabytes_per_second = caught.bytes as f64 / 1e6 / caught.seconds.max(1e-9);
    told.set(Some(caught));
    running.set(running.get() - 1);
}

fn is_over(session: &Session) -> bool {
    session.sending_ended.get() && session.backlog.get() + session.in_flight.get() == 0
}

#[cfg(test)]
mod tests {
    use ringlog_core::compression::Codec;

    use super::*;
    use crate::filler::Filler;
    use crate::template::{PRODUCE_VERSION, Shape, Stamp, Template};

    #[test]
    fn the_planned_time_of_a_batch_is_found_in_every_form() {
        let plan = Plan::new(1000.0, 10.0, 3, 2);
        for (codec, identity) in [(Codec::None, None), (Codec::Zstd, None), (Codec::Zstd, Some((900, 2)))] {
            let shape = Shape {
                topic: "t",
                batch_records: 2,
                record_bytes: 50,
                keys: 0,
                codec,
                acks: 1,
                timeout_ms: 1,
                version: PRODUCE_VERSION,
            };
            let template = Template::new(0, &shape, &Filler::new());
            let planned = plan.request(4711);
            let due = 5_000_000 + plan.due_ns(planned.number);
            let mut frame = vec![0; template.frame_bytes()];
            let stamp = Stamp {
                correlation_id: 0,
                partition: planned.partition as i32,
                producer: planned.connection as u32,
                sequence: planned.round * 2,
                planned_ns: due,
                timestamp_ms: 0,
                identity,
            };
            template.write(&stamp, &mut frame);
            let end = frame.len() - 3;
            let (batch, _) = RawBatch::split_first(&frame[end - template.batch_bytes()..end]).unwrap();
            let producers = FxHashMap::from_iter([(900, planned.connection as u32)]);
            let clockwork = Clockwork { plan, began: Instant(5_000_000), batch_records: 2, producers };
            assert_eq!(clockwork.planned(planned.partition as i32, &batch), Some(Instant(due)), "{codec}");
        }
    }
}
