//! Does a broker that started on what a loss of power left keep what was promised?
//!
//! | promise | what it looks like when it is broken |
//! |---|---|
//! | what was acknowledged is there, byte for byte, at its offset, once | the log ends before it, or a record differs |
//! | a batch is there whole or not at all | the log ends within one |
//! | what was granted stays: topics, deletions of topics and of records, commits of offsets | it is not there, or there again |
//! | nothing is there that nobody asked for by then | a log that ends behind the last batch, a topic before its creation |
//! | the broker knows its producers: a batch sent again is not written again | it gets another offset, or is refused |
//! | it goes on | a record more is acknowledged |
//!
//! What the judge saw and did it adds to the ledger: that must be there, too, when the power goes once more.

use ringlog::client::Connection;

use crate::broker::Broker;
use crate::device::Device;
use crate::ledger::{Ledger, TopicStory};
use crate::questions::{self, Batch, Failure};
use crate::workload::patiently;

/// Records that are written once all is judged.
const MORE_RECORDS: i64 = 3;

/// The position of all that was known before ([`Ledger::seen_at`]).
const POWER_ON: usize = 0;

/// A promise that was broken.
#[derive(Debug)]
pub enum Violation {
    /// Something acknowledged is lost.
    Lost(String),
    /// Anything else that must not be.
    Wrong(String),
}

impl From<Failure> for Violation {
    fn from(failure: Failure) -> Violation {
        Violation::Wrong(failure.to_string())
    }
}

/// Judges what the broker serves by what was known when the power came, and adds what is known now.
///
/// # Errors
/// The first [`Violation`].
pub fn judge(broker: &Broker, device: &Device, ledger: &mut Ledger) -> Result<(), Violation> {
    let mut connection = broker.connect().map_err(Failure::from)?;
    judge_topics(&mut connection, ledger, device)?;
    for topic in ledger.topics.iter_mut().filter(|topic| topic.deleted.is_none()) {
        judge_logs(&mut connection, topic, device)?;
        go_on(&mut connection, topic, device)?;
    }
    judge_commits(&mut connection, ledger, device)
}

fn judge_topics(connection: &mut Connection, ledger: &mut Ledger, device: &Device) -> Result<(), Violation> {
    let there = questions::topics(connection)?;
    for topic in &ledger.topics {
        let is_past = |position: Option<usize>| position.is_some_and(|position| position == POWER_ON);
        let is_there = there.contains(&topic.name);
        if !is_there && is_past(topic.created) && !is_past(topic.deletion_asked) {
            return Err(Violation::Lost(format!("topic {}, whose creation was granted", topic.name)));
        }
        if is_there && is_past(topic.deleted) {
            return Err(Violation::Lost(format!("the deletion of topic {}, which was granted", topic.name)));
        }
    }
    if let Some(stranger) = there.iter().find(|name| ledger.topics.iter().all(|topic| topic.name != **name)) {
        return Err(Violation::Wrong(format!("topic {stranger} is there, and nobody had asked for it")));
    }
    let now = device.medium().position();
    for topic in &mut ledger.topics {
        // Seen is known: what is gone stays gone.
        match there.contains(&topic.name) {
            true => {
                topic.created.get_or_insert(now);
                topic.deletion_asked = None;
            }
            false => topic.deleted = Some(now),
        }
    }
    Ok(())
}

fn judge_logs(connection: &mut Connection, topic: &mut TopicStory, device: &Device) -> Result<(), Violation> {
    let name = topic.name.clone();
    let starts = patiently(|| questions::log_starts(connection, &name, topic.partitions.len() as i32))?;
    let mut next = starts.clone();
    let ends = questions::read_to_the_ends(connection, &name, &starts, |partition, offset, value| {
        let expected = &mut next[partition as usize];
        if offset != *expected {
            return Err(Violation::Wrong(format!("{name} {partition}: offset {offset} follows {expected}")));
        }
        *expected += 1;
        if value != topic.value(partition, offset) {
            return Err(Violation::Wrong(format!(
                "{name} {partition}: the record at {offset} is another one"
            )));
        }
        Ok(())
    })?;
    let now = device.medium().position();
    for (log, (start, end)) in topic.partitions.iter_mut().zip(starts.into_iter().zip(ends)) {
        let place = format!("{name} {}", log.index);
        let (least, most) = (log.end.least(POWER_ON), log.end.most(POWER_ON));
        if end < least {
            return Err(Violation::Lost(format!("{place}: it ends at {end}, {least} was acknowledged")));
        }
        if end > most {
            return Err(Violation::Wrong(format!("{place}: it ends at {end}, only {most} had been sent")));
        }
        if end > 0 && log.base_of_batch(end).is_none() {
            return Err(Violation::Wrong(format!("{place}: it ends at {end}, within a batch")));
        }
        let (least, most) = (log.start.least(POWER_ON), log.start.most(POWER_ON));
        if start < least {
            return Err(Violation::Lost(format!(
                "{place}: it begins at {start}, deletion up to {least} was granted"
            )));
        }
        if start > most {
            return Err(Violation::Lost(format!(
                "{place}: it begins at {start}, deletion was asked up to {most}"
            )));
        }
        log.end.tell(now, end);
        log.start.tell(now, start);
        log.batch_ends.retain(|batch_end| *batch_end <= end);
    }
    Ok(())
}

/// Sends the last batch of each log again, and then one more.
fn go_on(connection: &mut Connection, topic: &mut TopicStory, device: &Device) -> Result<(), Violation> {
    let ends = topic.partitions.iter().map(|log| log.end.told());
    let last = ends.clone().zip(&topic.partitions).filter(|(end, _)| *end > 0);
    let again = last.map(|(end, log)| (log.index, log.base_of_batch(end).expect("it was judged"), end));
    send(connection, topic, &again.collect::<Vec<_>>(), "sent again")?;
    let more: Vec<_> = ends.zip(0..).map(|(end, index)| (index, end, end + MORE_RECORDS)).collect();
    let asked = device.medium().position();
    for (log, (_, _, end)) in topic.partitions.iter_mut().zip(&more) {
        log.batch_ends.push(*end);
        log.end.ask(asked, *end);
    }
    send(connection, topic, &more, "one more")?;
    let told = device.medium().position();
    for (log, (_, _, end)) in topic.partitions.iter_mut().zip(more) {
        log.end.tell(told, end);
    }
    Ok(())
}

fn send(
    connection: &mut Connection,
    topic: &TopicStory,
    batches: &[(i32, i64, i64)],
    which: &str,
) -> Result<(), Violation> {
    let made = batches.iter().map(|(index, base, end)| Batch {
        topic: &topic.name,
        partition: *index,
        bytes: topic.batch(&topic.partitions[*index as usize], *base, *end),
    });
    let answers = questions::produce(connection, &made.collect::<Vec<_>>())?;
    for ((index, base, end), answer) in batches.iter().zip(answers) {
        let place = format!("{} {index}: batch {base}..{end}, {which}", topic.name);
        match answer {
            Ok(offset) if offset == *base => {}
            Ok(offset) => return Err(Violation::Wrong(format!("{place}, is at {offset}"))),
            Err(failure) => return Err(Violation::Wrong(format!("{place}: {failure}"))),
        }
    }
    Ok(())
}

fn judge_commits(connection: &mut Connection, ledger: &mut Ledger, device: &Device) -> Result<(), Violation> {
    for ((group, topic, partition), offset) in &mut ledger.commits {
        let (least, most) = (offset.least(POWER_ON), offset.most(POWER_ON));
        if most == 0 {
            continue;
        }
        patiently(|| questions::find_coordinator(connection, group))?;
        let found = patiently(|| questions::committed(connection, group, topic, *partition))?.max(0);
        let place = format!("group {group}, {topic} {partition}");
        if found < least {
            return Err(Violation::Lost(format!("{place}: {found} is committed, {least} was acknowledged")));
        }
        if found > most {
            return Err(Violation::Wrong(format!(
                "{place}: {found} is committed, only {most} was asked for"
            )));
        }
        offset.tell(device.medium().position(), found);
    }
    Ok(())
}
