//! The controller's shard: commands become records in the metadata log, records become images everywhere.
//!
//! ```text
//!   command ──► decide (pure) ──► records ──► metadata log, durable ──► replay ──► every shard applies ──► reply
//! ```
//!
//! Always true: commands are decided one after the other, each on the image that its predecessor left; a reply
//! leaves only after its records are durable and every shard acts by them, so a client that was told of a topic
//! finds it on any connection.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use ringlog_core::config::topic::check_overrides;
use ringlog_core::config::{BrokerConfig, TopicConfig};
use ringlog_core::ids::{ShardIndex, TopicId, TopicPartition};
use ringlog_core::metadata::{
    self, Command, CommandReply, CreationRules, Decision, MetadataImage, MetadataRecord, TopicImage,
};
use ringlog_core::refusal::Refusal;
use ringlog_runtime::environment::Environment;
use ringlog_storage::metadata_log::{MetadataLog, MetadataLogFailure};
use ringlog_storage::{LogIdentity, LogStore};

use crate::broker::calls::ReplyTo;
use crate::broker::message::{Answer, Call};
use crate::broker::partition::{Partition, log_config};
use crate::broker::places::{DirectoryIndex, Places};
use crate::broker::shard::Shard;

/// How many topics follow a broker's configuration before others have a turn.
const TOPICS_AT_ONCE: usize = 16;

/// Commands waiting for the controller.
#[derive(Default)]
pub struct CommandQueue {
    state: RefCell<QueueState>,
}

#[derive(Default)]
struct QueueState {
    commands: VecDeque<(Command, ReplyTo)>,
    controller: Option<Waker>,
}

impl CommandQueue {
    pub(super) fn push(&self, command: Command, reply_to: ReplyTo) {
        let mut state = self.state.borrow_mut();
        state.commands.push_back((command, reply_to));
        if let Some(controller) = state.controller.take() {
            controller.wake();
        }
    }

    fn next(&self) -> impl Future<Output = (Command, ReplyTo)> + '_ {
        poll_fn(|context| {
            let mut state = self.state.borrow_mut();
            match state.commands.pop_front() {
                Some(command) => Poll::Ready(command),
                None => {
                    state.controller = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
    }
}

/// Decides a command by this broker's configuration.
pub fn decide(
    image: &MetadataImage,
    config: &BrokerConfig,
    command: Command,
    random: &mut dyn FnMut() -> u64,
) -> Decision {
    let limits = config.limits().state;
    let now = image.with_changes(config);
    let rules = CreationRules {
        partition_count: config.num_partitions,
        replication_factor: config.default_replication_factor,
        may_delete: config.delete_topics,
        limits: &limits,
        broker: config,
        check_configs: &|configs| check_overrides(&now, configs, &limits),
    };
    metadata::decide(image, &rules, command, random)
}

/// Whether a command makes directories: not while the disk is full.
fn needs_room(command: &Command) -> bool {
    matches!(command, Command::CreateTopics { .. } | Command::CreatePartitions { .. })
}

/// A new image and how it came about. One per change, shared by all shards.
#[derive(Clone)]
pub struct Change {
    /// The metadata to act by from now on.
    pub image: Arc<MetadataImage>,
    /// What is new in it.
    pub records: Arc<Vec<MetadataRecord>>,
    /// Where its partitions lie.
    pub places: Places,
}

impl<E: Environment> Shard<E> {
    /// Decides commands, for as long as the broker runs.
    pub(super) async fn control(self: Rc<Self>, mut log: MetadataLog<E>) {
        loop {
            let (command, reply_to) = self.commands.next().await;
            let reply = self.execute(&mut log, command).await;
            self.answer(reply_to, Answer::Commanded(reply));
        }
    }

    async fn execute(self: &Rc<Self>, log: &mut MetadataLog<E>, command: Command) -> CommandReply {
        if self.directories.first().failure().is_some() {
            return CommandReply::Refused(Refusal::Storage);
        }
        let with_room = self.directories.with_room();
        if needs_room(&command) && !with_room.contains(&true) {
            return CommandReply::Refused(Refusal::DiskFull);
        }
        let image = self.image();
        let env = self.env.clone();
        let decision = decide(&image, &self.config, command, &mut || env.random());
        if decision.records.is_empty() {
            return decision.reply;
        }
        if let Err(refusal) = self.write_records(log, &decision.records).await {
            return CommandReply::Refused(refusal);
        }
        let after = Arc::new(image.replay_all(&decision.records));
        let places = self.places().after(&image, &after, &decision.records, &with_room);
        let change = Change { image: after, records: Arc::new(decision.records), places };
        let applied: Vec<_> = (0..self.env.shard_count())
            .map(|shard| self.call(ShardIndex(shard), Call::ApplyImage(change.clone())))
            .collect();
        for shard in applied {
            shard.await;
        }
        decision.reply
    }

    async fn write_records(
        &self,
        log: &mut MetadataLog<E>,
        records: &[MetadataRecord],
    ) -> Result<(), Refusal> {
        loop {
            match log.append(records).await {
                Ok(()) => return Ok(()),
                // Whoever deletes a topic to make room must be able to.
                Err(MetadataLogFailure::NoRoom(failure)) => {
                    self.directories.first().make_disk_room(failure).await.map_err(|_| Refusal::DiskFull)?;
                }
                Err(MetadataLogFailure::Disk(failure)) => {
                    self.directories.first().fail(failure);
                    return Err(Refusal::Storage);
                }
                Err(failure @ MetadataLogFailure::TooLarge { .. }) => {
                    return Err(Refusal::LimitReached { reason: failure.to_string() });
                }
                Err(failure) => {
                    tracing::error!(%failure, "the metadata log cannot be written; topics cannot change");
                    return Err(Refusal::Storage);
                }
            }
        }
    }

    /// Acts by a new image: opens the logs of new partitions, deletes those of deleted topics.
    pub(super) async fn apply_image(self: Rc<Self>, change: Change, reply_to: ReplyTo) {
        let before = self.image();
        self.set_image(change.image.clone(), change.places);
        for record in change.records.iter() {
            match record {
                MetadataRecord::TopicCreated { id, .. } | MetadataRecord::PartitionsAdded { id, .. } => {
                    self.open_partitions(&change.image, TopicId(*id)).await
                }
                MetadataRecord::TopicDeleted { id } => self.delete_partitions(&before, TopicId(*id)).await,
                MetadataRecord::TopicConfigsChanged { id, .. } => {
                    self.follow_config(&change.image, TopicId(*id)).await;
                }
                MetadataRecord::BrokerConfigsChanged { .. } => self.follow_broker_config(&change.image).await,
                _ => {}
            }
        }
        self.answer(reply_to, Answer::Done);
    }

    /// Opens this shard's partitions of every topic: at start.
    pub(super) async fn open_all_partitions(self: &Rc<Self>) {
        let image = self.image();
        for topic in image.topics() {
            self.open_partitions(&image, topic.id).await;
        }
    }
}

impl<E: Environment> Shard<E> {
    async fn open_partitions(self: &Rc<Self>, image: &MetadataImage, topic: TopicId) {
        let Some(topic) = image.topic_by_id(topic) else {
            // Created and deleted by the same change.
            return;
        };
        let config = match TopicConfig::resolve(&self.current_config(), &topic.configs) {
            Ok(config) => Rc::new(config),
            Err(refusal) => {
                tracing::error!(topic = %topic.name, %refusal, "a topic is offline: its configuration is not accepted");
                return;
            }
        };
        for partition in &topic.partitions {
            let id = TopicPartition { topic: topic.id, partition: partition.index };
            if self.owner_of(&id) != self.env.shard() || self.partition(&id).is_some() {
                continue;
            }
            let Some((directory, store)) = self.place_of(&id) else {
                tracing::error!(topic = %topic.name, partition = partition.index.0, "partition is offline: its data directory is not there");
                continue;
            };
            let identity = LogIdentity { topic: topic.name.clone(), id };
            match store.create_log(identity, log_config(&config)).await {
                Ok(log) => self.lead(Partition::new(
                    id,
                    topic.name.clone(),
                    directory,
                    log,
                    partition.leader_epoch,
                    config.clone(),
                )),
                Err(failure) => {
                    tracing::error!(topic = %topic.name, partition = partition.index.0, %failure, "partition is offline");
                }
            }
        }
    }

    /// The data directory of a partition, if it is there.
    fn place_of(&self, id: &TopicPartition) -> Option<(DirectoryIndex, LogStore<E>)> {
        let directory = self.directory_of(id)?;
        Some((directory, self.directories.store(directory)?.clone()))
    }

    /// Acts by a topic's configuration as it is now. A topic that was offline for its configuration comes back.
    async fn follow_config(self: &Rc<Self>, image: &MetadataImage, topic: TopicId) {
        let Some(topic) = image.topic_by_id(topic) else { return };
        let is_open = match TopicConfig::resolve(&self.current_config(), &topic.configs) {
            Ok(config) => self.set_config(topic, &Rc::new(config)),
            Err(refusal) => {
                tracing::error!(topic = %topic.name, %refusal, "a topic's changed configuration is not accepted");
                return;
            }
        };
        if !is_open {
            self.open_partitions(image, topic.id).await;
        }
    }

    /// Configures a topic's partitions of this shard; false if one of them is not open.
    fn set_config(&self, topic: &TopicImage, config: &Rc<TopicConfig>) -> bool {
        let mut is_open = true;
        for partition in &topic.partitions {
            let id = TopicPartition { topic: topic.id, partition: partition.index };
            match self.partition(&id) {
                Some(partition) => partition.set_config(config.clone()),
                None => is_open &= self.owner_of(&id) != self.env.shard(),
            }
        }
        is_open
    }

    /// Acts by this broker's configuration as it is now: every topic may inherit from it.
    async fn follow_broker_config(self: &Rc<Self>, image: &MetadataImage) {
        self.set_current_config(image.with_changes(&self.config));
        for (index, topic) in image.topics().enumerate() {
            self.follow_config(image, topic.id).await;
            if index % TOPICS_AT_ONCE == TOPICS_AT_ONCE - 1 {
                // Thousands of topics are no reason to let requests wait.
                self.env.yield_now().await;
            }
        }
    }

    async fn delete_partitions(self: &Rc<Self>, before: &MetadataImage, topic: TopicId) {
        let Some(topic) = before.topic_by_id(topic) else { return };
        self.forget_topic(&topic.name, topic.id);
        for partition in &topic.partitions {
            let id = TopicPartition { topic: topic.id, partition: partition.index };
            let Some(partition) = self.stop_leading(&id) else { continue };
            let effects = partition.abandon();
            self.carry_out(&partition, effects);
            let store = self.directories.store(partition.directory).expect("it is open");
            if let Err(failure) = store.delete_log(&partition.log).await {
                tracing::error!(topic = %topic.name, partition = id.partition.0, %failure, "cannot delete a log");
            }
        }
    }
}
