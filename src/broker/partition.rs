//! One partition on the shard that owns it: its log, its leader, and the batches that wait for the log.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use ringlog_core::compression::Codec;
use ringlog_core::config::{self, CompressionType, TopicConfig};
use ringlog_core::ids::{LeaderEpoch, Offset, TopicName, TopicPartition};
use ringlog_core::producer_state::Admission;
use ringlog_core::record_batch::{
    BatchHeader, BatchRules, BatchValidator, TargetCompression, TimestampType, ValidationDepth,
    validate_stored,
};
use ringlog_core::refusal::Refusal;
use ringlog_core::time::Timestamp;
use ringlog_replication::leader::{Acks, Effect, PartitionLeader};
use ringlog_replication::pending_acks::Ticket;
use ringlog_runtime::buffer::Slice;
use ringlog_runtime::environment::Environment;
use ringlog_storage::{AppendError, Durability, LogConfig, PartitionLog, Retention};

use crate::broker::message::{Appended, PartitionFetch, ProducePrivileges};
use crate::broker::places::DirectoryIndex;
use crate::broker::refusals::append_refusal;
use crate::broker::refused_producers::RefusedProducers;

/// A leader epoch that a log cannot tell the end of.
pub struct UnknownEpoch;

/// A partition this shard owns and this broker leads.
pub struct Partition<E: Environment> {
    /// Its identity.
    pub id: TopicPartition,
    /// Its topic's name, for messages to people.
    pub topic: TopicName,
    /// The data directory it lies in.
    pub directory: DirectoryIndex,
    /// Its records.
    pub log: PartitionLog<E>,
    leader: RefCell<PartitionLeader>,
    config: RefCell<Rc<TopicConfig>>,
    waiting: RefCell<VecDeque<WaitingBatch>>,
    draining: Cell<bool>,
    refused_producers: RefusedProducers,
}

/// A producer's batch on its way into the log.
pub struct WaitingBatch {
    /// The client's bytes.
    pub records: Slice,
    /// How safe before the answer.
    pub acks: Acks,
    /// What this client may send.
    pub privileges: ProducePrivileges,
    /// Whom to tell.
    pub ticket: Ticket,
}

/// What became of a batch that was not refused.
pub struct Admitted {
    /// Where it is.
    pub appended: Appended,
    /// Effects to carry out, after `appended` was noted.
    pub effects: Vec<Effect>,
}

impl<E: Environment> Partition<E> {
    /// Starts to lead a partition with the log it has.
    pub fn new(
        id: TopicPartition,
        topic: TopicName,
        directory: DirectoryIndex,
        log: PartitionLog<E>,
        leader_epoch: LeaderEpoch,
        config: Rc<TopicConfig>,
    ) -> Partition<E> {
        let in_sync_count_min = config.min_insync_replicas;
        let leader = PartitionLeader::new(
            leader_epoch,
            log.log_end_offset(),
            log.durable_end_offset(),
            in_sync_count_min,
        );
        Partition {
            id,
            topic,
            directory,
            log,
            leader: RefCell::new(leader),
            config: RefCell::new(config),
            waiting: RefCell::new(VecDeque::new()),
            draining: Cell::new(false),
            refused_producers: RefusedProducers::default(),
        }
    }

    /// The first offset consumers may not read yet.
    pub fn high_watermark(&self) -> Offset {
        self.leader.borrow().high_watermark()
    }

    /// The epoch this broker leads in.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader.borrow().leader_epoch()
    }

    /// Compares the epoch a client believes current with ours (F19).
    ///
    /// # Errors
    /// The client's is older (FENCED_LEADER_EPOCH) or one we have not heard of (UNKNOWN_LEADER_EPOCH).
    pub fn check_epoch(&self, current: LeaderEpoch) -> Result<(), Refusal> {
        let ours = self.leader_epoch();
        match current {
            LeaderEpoch::UNKNOWN => Ok(()),
            theirs if theirs < ours => Err(Refusal::FencedLeaderEpoch { requested: theirs, current: ours }),
            theirs if theirs > ours => Err(Refusal::UnknownLeaderEpoch { requested: theirs, current: ours }),
            _ => Ok(()),
        }
    }

    /// Where a client's log parts from this one, if it does (F20).
    ///
    /// # Errors
    /// This log knows nothing of the epoch that the client's last record has.
    pub fn divergence(&self, fetch: &PartitionFetch) -> Result<Option<(LeaderEpoch, Offset)>, UnknownEpoch> {
        if fetch.last_fetched_epoch == LeaderEpoch::UNKNOWN {
            return Ok(None);
        }
        let (epoch, end_offset) = self.log.epoch_end_offset(fetch.last_fetched_epoch).ok_or(UnknownEpoch)?;
        let diverges = epoch < fetch.last_fetched_epoch || end_offset < fetch.fetch_offset;
        Ok(diverges.then_some((epoch, end_offset)))
    }

    /// Puts a batch behind those that wait for the log, if there are any.
    ///
    /// # Errors
    /// Gives the batch back if none waits: it may be admitted now.
    pub fn queue_behind_others(&self, batch: WaitingBatch) -> Result<(), WaitingBatch> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.is_empty() && !self.draining.get() {
            return Err(batch);
        }
        waiting.push_back(batch);
        Ok(())
    }

    /// Puts a batch into the queue that [`Partition::take_waiting`] empties; true if the caller must start to.
    pub fn queue(&self, batch: WaitingBatch) -> bool {
        self.waiting.borrow_mut().push_back(batch);
        !self.draining.replace(true)
    }

    /// The next batch that waits; with the last one the emptying ends.
    pub fn take_waiting(&self) -> Option<WaitingBatch> {
        let batch = self.waiting.borrow_mut().pop_front();
        if batch.is_none() {
            self.draining.set(false);
        }
        batch
    }

    /// Every batch that waits; whoever empties the queue finds it empty.
    pub fn take_all_waiting(&self) -> VecDeque<WaitingBatch> {
        std::mem::take(&mut self.waiting.borrow_mut())
    }

    /// The disk, or memory, has no room for a batch: what its producer sent behind it must not be taken before it.
    pub fn note_refused(&self, records: &[u8]) {
        // Bytes that are no batch would have been refused for that.
        let Ok(header) = BatchHeader::parse(records) else { return };
        if !self.knows_producer(&header) {
            self.refused_producers.note(&header);
        }
    }

    fn knows_producer(&self, batch: &BatchHeader) -> bool {
        self.log.with_producers(|producers| producers.get(batch.producer_id()).is_some())
    }

    /// Accepts one producer's batch: validates, compares with what its producer sent before, gives it offsets,
    /// appends. It is safe once the leader says so.
    ///
    /// # Errors
    /// The first rule it breaks; the log is as before.
    pub fn admit(
        &self,
        batch: &WaitingBatch,
        validator: &mut BatchValidator,
        now: Timestamp,
    ) -> Result<Admitted, Refusal> {
        self.leader.borrow().may_accept(batch.acks)?;
        let rules = self.batch_rules(batch.privileges);
        let valid = validator.validate(&batch.records, &rules, now)?;
        let log_append_time = match rules.timestamp_type {
            TimestampType::LogAppendTime => now,
            TimestampType::CreateTime => Timestamp::NONE,
        };
        if !self.knows_producer(valid.header()) && self.refused_producers.must_wait(valid.header()) {
            return Err(Refusal::DiskFull);
        }
        let mut effects = Vec::new();
        let admission = self.log.with_producers(|producers| producers.admit(valid.header()))?;
        if let Admission::Duplicate { base_offset, last_offset, timestamp } = admission {
            let log_append_time =
                if log_append_time == Timestamp::NONE { Timestamp::NONE } else { timestamp };
            self.leader.borrow_mut().propose_again(
                last_offset.next(),
                batch.acks,
                batch.ticket,
                &mut effects,
            );
            return Ok(Admitted { appended: self.appended(base_offset, log_append_time), effects });
        }
        let base_offset = self.log.log_end_offset();
        if base_offset.checked_add(i64::from(valid.header().record_count())).is_none() {
            return Err(Refusal::Storage);
        }
        let assigned = valid.assign(base_offset, self.leader_epoch());
        self.log.append(&assigned).map_err(append_refusal)?;
        self.leader.borrow_mut().propose(self.log.log_end_offset(), batch.acks, batch.ticket);
        Ok(Admitted { appended: self.appended(base_offset, log_append_time), effects })
    }

    /// Whether a batch that needs `acks` may be appended.
    ///
    /// # Errors
    /// Too few replicas are in sync.
    pub fn may_accept(&self, acks: Acks) -> Result<(), Refusal> {
        Ok(self.leader.borrow().may_accept(acks)?)
    }

    /// Appends a batch of the broker's own, which no rule for clients' batches concerns.
    ///
    /// # Errors
    /// The log does not take it, and is as before.
    pub fn append_own(&self, bytes: &[u8], acks: Acks, ticket: Ticket) -> Result<(), AppendError> {
        let valid = validate_stored(bytes).expect("the broker's own batches are whole");
        let assigned = valid.assign(self.log.log_end_offset(), self.leader_epoch());
        self.log.append(&assigned)?;
        self.leader.borrow_mut().propose(self.log.log_end_offset(), acks, ticket);
        Ok(())
    }

    /// The journal made the log durable up to here.
    pub fn batches_durable(&self, durable_end_offset: Offset) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.leader.borrow_mut().batches_durable(durable_end_offset, &mut effects);
        effects
    }

    /// The disk is lost, or the partition: everyone who waits is told.
    pub fn abandon(&self) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.leader.borrow_mut().abandon(&mut effects);
        effects
    }

    /// Follows a change of the topic's configuration.
    pub fn set_config(&self, config: Rc<TopicConfig>) {
        self.leader.borrow_mut().set_in_sync_count_min(config.min_insync_replicas);
        self.log.set_config(log_config(&config));
        *self.config.borrow_mut() = config;
    }

    /// Bytes of all its segments.
    pub fn size_bytes(&self) -> u64 {
        self.log.segments().iter().map(|segment| segment.size_bytes).sum()
    }

    /// Whether records may only go by compaction.
    pub fn is_only_compacted(&self) -> bool {
        let policy = self.config.borrow().cleanup_policy;
        policy.compact && !policy.delete
    }

    /// How much of it is kept; `None` for everything that is not compacted away.
    pub fn retention(&self) -> Option<Retention> {
        let config = self.config.borrow();
        let limits = Retention { age_ms_max: config.retention_ms, bytes_max: config.retention_bytes };
        (config.cleanup_policy.delete && limits != Retention::default()).then_some(limits)
    }

    fn appended(&self, base_offset: Offset, log_append_time: Timestamp) -> Appended {
        Appended { base_offset, log_append_time, log_start_offset: self.log.log_start_offset() }
    }

    fn batch_rules(&self, privileges: ProducePrivileges) -> BatchRules {
        batch_rules(&self.config.borrow(), privileges)
    }
}

/// A topic's configuration as its logs need it.
pub fn log_config(config: &TopicConfig) -> LogConfig {
    LogConfig {
        segment_bytes: config.segment_bytes,
        segment_ms: config.segment_ms,
        segment_jitter_ms: config.segment_jitter_ms,
        index_interval_bytes: config.index_interval_bytes as u64,
        index_bytes_max: config.index_bytes_max as u64,
        file_delete_delay: Duration::from_millis(u64::try_from(config.file_delete_delay_ms).unwrap_or(0)),
        durability: match config.durability {
            config::Durability::Durable => Durability::Durable,
            config::Durability::Relaxed => Durability::Relaxed,
        },
    }
}

fn batch_rules(config: &TopicConfig, privileges: ProducePrivileges) -> BatchRules {
    let codec = match config.compression_type {
        CompressionType::Producer => None,
        CompressionType::Uncompressed => Some(Codec::None),
        CompressionType::Gzip => Some(Codec::Gzip),
        CompressionType::Snappy => Some(Codec::Snappy),
        CompressionType::Lz4 => Some(Codec::Lz4),
        CompressionType::Zstd => Some(Codec::Zstd),
    };
    BatchRules {
        max_message_bytes: config.max_message_bytes,
        segment_bytes: usize::try_from(config.segment_bytes).unwrap_or(usize::MAX),
        timestamp_type: match config.timestamp_type {
            config::TimestampType::CreateTime => TimestampType::CreateTime,
            config::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: config.timestamp_before_max_ms,
        timestamp_after_max_ms: config.timestamp_after_max_ms,
        compacted: config.cleanup_policy.compact,
        depth: ValidationDepth::Records,
        zstd_allowed: privileges.zstd,
        compression: codec.map_or(TargetCompression::Producer, |codec| TargetCompression::Fixed {
            codec,
            level: config.compression_level,
        }),
        ..BatchRules::default()
    }
}
