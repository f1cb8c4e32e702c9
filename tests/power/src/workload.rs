//! What clients do while the disk's changes are recorded: lives of a broker, each ended by a kill or in order.
//!
//! | who | what |
//! |---|---|
//! | writers | one producer a partition; a request has batches for several partitions; in the next life what was not acknowledged is sent again |
//! | the bulk writer | fills the journal until it begins anew, with batches beside the journal now and then; then its topic is deleted |
//! | the steward | commits offsets, makes and deletes topics, deletes records |

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use ringlog::client::Connection;
use ringlog::client::cluster::pause;
use ringlog_runtime::memory::Random;

use crate::broker::{Broker, Recipe};
use crate::device::Device;
use crate::file_system::Mounted;
use crate::ledger::{Ledger, RecordSize, TopicStory};
use crate::loss::percent;
use crate::questions::{self, Batch, Failure};

const GROUPS: [&str; 2] = ["readers", "auditors"];
const STEADY: &str = "steady";
const SHORT: &str = "short";
const BULK: &str = "bulk";
/// What passes by itself is asked again after this.
const PASSING: Duration = Duration::from_millis(5);
const PASSING_TRIES_MAX: usize = 1000;
/// How long each life is served, and how it ends.
pub const LIVES: [(Duration, End); 4] = [
    (Duration::from_millis(500), End::Kill),
    (Duration::from_millis(2000), End::Stop),
    (Duration::from_millis(400), End::Kill),
    (Duration::from_millis(300), End::Kill),
];
/// The life in which the bulk is deleted.
const BULK_ENDS: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    Kill,
    Stop,
}

/// Runs so many lives on a device that holds an empty file system. Returns what clients know.
///
/// # Errors
/// What went wrong though the power stayed.
pub fn record(
    recipe: &Recipe,
    device: &Device,
    folder: &Path,
    seed: u64,
    lives: usize,
) -> Result<Ledger, String> {
    let mounted = Mounted::mount(device.file(), &folder.join("mounted"))?;
    let ledger = Mutex::new(Ledger::default());
    let mut random = Random::from_seed(seed);
    for (number, (length, end)) in LIVES.into_iter().take(lives).enumerate() {
        // A kill takes from a relaxed broker what its clients count on.
        let end = if recipe.is_relaxed { End::Stop } else { end };
        // All of the bulk through one journal, so that it begins anew; otherwise one shard or two.
        let cores = if number + 1 == BULK_ENDS { 1 } else { 1 + random.index(2) };
        let broker = recipe.start(mounted.folder(), folder, cores)?;
        let life = Life { number, broker: &broker, device, ledger: &ledger, is_over: AtomicBool::new(false) };
        life.begin().map_err(|failure| format!("life {number}: {failure}"))?;
        let ended = thread::scope(|scope| {
            let clients: Vec<_> =
                life.clients(random.next_u64()).into_iter().map(|client| scope.spawn(client)).collect();
            pause(length);
            life.is_over.store(end == End::Stop, Ordering::Relaxed);
            let mut said = Vec::new();
            if end == End::Kill {
                // Whoever is answered after this is answered by nobody.
                said.extend(life.broker.kill_beneath().err());
            }
            life.is_over.store(true, Ordering::Relaxed);
            said.extend(
                clients
                    .into_iter()
                    .filter_map(|client| client.join().expect("a client does not panic").err()),
            );
            said
        });
        if let Some(words) = ended.first() {
            return Err(format!("life {number}: {words}\n{}", broker.words()));
        }
        if end == End::Stop {
            broker.stop()?
        } else {
            broker.kill()?
        };
    }
    mounted.unmount()?;
    Ok(ledger.into_inner().unwrap_or_else(PoisonError::into_inner))
}

struct Life<'a> {
    number: usize,
    broker: &'a Broker,
    device: &'a Device,
    ledger: &'a Mutex<Ledger>,
    is_over: AtomicBool,
}

type Client<'a> = Box<dyn FnOnce() -> Result<(), String> + Send + 'a>;

impl Life<'_> {
    fn position(&self) -> usize {
        self.device.medium().position()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The topics that everybody needs.
    fn begin(&self) -> Result<(), Failure> {
        let mut connection = self.broker.connect()?;
        if self.number == 0 {
            self.create(&mut connection, STEADY, RecordSize::Small, 4)?;
            self.create(&mut connection, SHORT, RecordSize::Small, 2)?;
            self.create(&mut connection, BULK, RecordSize::Large, 2)?;
            for group in GROUPS {
                patiently(|| questions::find_coordinator(&mut connection, group))?;
            }
        }
        Ok(())
    }

    fn clients(&self, seed: u64) -> Vec<Client<'_>> {
        let mut random = Random::from_seed(seed);
        let mut writer = |places: &'static [(&str, usize)], records: usize| -> Client<'_> {
            let random = Random::from_seed(random.next_u64());
            Box::new(move || until_lost(self.write(places, records, random)))
        };
        let mut clients = vec![
            writer(&[(STEADY, 0), (STEADY, 1), (SHORT, 0)], 20),
            writer(&[(STEADY, 2), (STEADY, 3), (SHORT, 1)], 6),
        ];
        if self.number < BULK_ENDS {
            clients.push(writer(&[(BULK, 0), (BULK, 1)], 80));
        }
        let random = Random::from_seed(random.next_u64());
        clients.push(Box::new(move || until_lost(self.keep_house(random))));
        clients
    }

    /// Writes to these places, a request at a time, batches of up to so many records.
    fn write(&self, places: &[(&str, usize)], records_max: usize, mut random: Random) -> Result<(), Failure> {
        let mut connection = self.broker.connect()?;
        while !self.is_over.load(Ordering::Relaxed) {
            let some: Vec<_> = places.iter().filter(|_| random.happens(percent(60))).copied().collect();
            self.write_once(&mut connection, &some, records_max, &mut random)?;
        }
        Ok(())
    }

    fn write_once(
        &self,
        connection: &mut Connection,
        places: &[(&str, usize)],
        records_max: usize,
        random: &mut Random,
    ) -> Result<(), Failure> {
        let mut sent = Vec::new();
        let asked = self.position();
        for (topic, partition) in places {
            let mut ledger = self.ledger();
            let story = ledger.topic(topic);
            let log = &mut story.partitions[*partition];
            let (base, end) = log.unacknowledged().unwrap_or_else(|| {
                let base = log.end.told();
                let end = base + 1 + random.index(records_max) as i64;
                log.batch_ends.push(end);
                log.end.ask(asked, end);
                (base, end)
            });
            let batch = Batch {
                topic,
                partition: log.index,
                bytes: story.batch(&story.partitions[*partition], base, end),
            };
            sent.push((batch, base, end));
        }
        let (batches, places): (Vec<_>, Vec<_>) =
            sent.into_iter().map(|(batch, base, end)| (batch, (base, end))).unzip();
        let answers = questions::produce(connection, &batches)?;
        let told = self.position();
        for ((batch, (base, end)), answer) in batches.iter().zip(places).zip(answers) {
            match answer {
                Ok(offset) if offset == base => {
                    self.ledger().topic(batch.topic).partitions[batch.partition as usize].end.tell(told, end);
                }
                Ok(offset) => {
                    let what = format!("{} {}: batch {base} is at {offset}", batch.topic, batch.partition);
                    return Err(Failure::Refused { what, code: 0 });
                }
                Err(failure) if failure.is_passing() => pause(PASSING),
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Commits, and makes and deletes topics and records.
    fn keep_house(&self, mut random: Random) -> Result<(), Failure> {
        let mut connection = self.broker.connect()?;
        let (mut turn, mut brief): (_, Option<String>) = (0, None);
        while !self.is_over.load(Ordering::Relaxed) {
            turn += 1;
            match random.index(10) {
                0 => match brief.take() {
                    Some(name) => self.delete(&mut connection, &name)?,
                    None => {
                        let name = format!("brief-{}-{turn}", self.number);
                        self.create(&mut connection, &name, RecordSize::Small, 1)?;
                        brief = Some(name);
                    }
                },
                1 | 2 => {
                    if let Some(name) = &brief {
                        self.write_once(&mut connection, &[(name, 0)], 5, &mut random)?;
                    }
                }
                3 => self.delete_records(&mut connection, random.index(2), &mut random)?,
                _ => self.commit(&mut connection, GROUPS[random.index(GROUPS.len())], &mut random)?,
            }
            if self.number == BULK_ENDS && turn == 5 {
                self.delete(&mut connection, BULK)?;
            }
        }
        Ok(())
    }

    fn create(
        &self,
        connection: &mut Connection,
        name: &str,
        records: RecordSize,
        partitions: usize,
    ) -> Result<(), Failure> {
        let producers = (0..partitions).map(|_| questions::producer_identity(connection));
        let producers: Vec<_> = producers.collect::<Result<_, _>>()?;
        let story = TopicStory::asked_for(name, records, &producers, self.position());
        self.ledger().topics.push(story);
        questions::create_topic(connection, name, partitions as i32)?;
        let told = self.position();
        self.ledger().topic(name).created = Some(told);
        Ok(())
    }

    fn delete(&self, connection: &mut Connection, name: &str) -> Result<(), Failure> {
        let asked = self.position();
        self.ledger().topic(name).deletion_asked = Some(asked);
        questions::delete_topic(connection, name)?;
        let told = self.position();
        self.ledger().topic(name).deleted = Some(told);
        Ok(())
    }

    fn delete_records(
        &self,
        connection: &mut Connection,
        partition: usize,
        random: &mut Random,
    ) -> Result<(), Failure> {
        let asked = self.position();
        let before = {
            let mut ledger = self.ledger();
            let log = &mut ledger.topic(SHORT).partitions[partition];
            let (start, end) = (log.start.most(usize::MAX), log.end.told());
            let before = start + random.index((end - start).max(0) as usize + 1) as i64;
            log.start.ask(asked, before);
            before
        };
        patiently(|| questions::delete_records(connection, SHORT, partition as i32, before))?;
        let told = self.position();
        self.ledger().topic(SHORT).partitions[partition].start.tell(told, before);
        Ok(())
    }

    fn commit(&self, connection: &mut Connection, group: &str, random: &mut Random) -> Result<(), Failure> {
        let asked = self.position();
        let mut offsets = Vec::new();
        for partition in 0..4 {
            if random.happens(percent(50)) {
                let mut ledger = self.ledger();
                let offset = ledger.commits.entry(commit_place(group, partition)).or_default();
                let next = offset.most(usize::MAX) + 1;
                offset.ask(asked, next);
                offsets.push((partition, next));
            }
        }
        patiently(|| questions::commit(connection, group, STEADY, &offsets))?;
        let told = self.position();
        for (partition, next) in offsets {
            self.ledger().commits.entry(commit_place(group, partition)).or_default().tell(told, next);
        }
        Ok(())
    }
}

fn commit_place(group: &str, partition: i32) -> (String, String, i32) {
    (group.to_owned(), STEADY.to_owned(), partition)
}

/// Asks again what passes by itself.
///
/// # Errors
/// What does not pass.
pub fn patiently<T>(mut ask: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    for _ in 1..PASSING_TRIES_MAX {
        match ask() {
            Err(failure) if failure.is_passing() => pause(PASSING),
            answered => return answered,
        }
    }
    ask()
}

/// A client whose broker is killed has done its work; anything else that goes wrong is told.
fn until_lost(worked: Result<(), Failure>) -> Result<(), String> {
    match worked {
        Ok(()) | Err(Failure::Lost(_)) => Ok(()),
        Err(failure) => Err(failure.to_string()),
    }
}
