//! A shard: one core's partitions, connections and calls. Its parts meet here and nowhere else.
//!
//! ```text
//!   connections ──► handlers ──► call(owner, ..) ──┬─ own partition: at once
//!                                                  └─ another shard: through the mesh and back
//! ```
//!
//! Always true: a partition is touched by its owner only; no `RefCell` is borrowed across an await.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringlog_core::config::BrokerConfig;
use ringlog_core::fetch_session::{FetchSessions, SessionBounds};
use ringlog_core::group::settings::GroupSettings;
use ringlog_core::ids::{ShardIndex, TopicPartition};
use ringlog_core::limits::Limits;
use ringlog_core::metadata::MetadataImage;
use ringlog_core::record_batch::BatchValidator;
use ringlog_core::refusal::Refusal;
use ringlog_runtime::environment::{Environment, Mailbox, MailboxFull, TaskClass};
use rustc_hash::FxHashMap;

use crate::broker::calls::{Calls, PendingCall, ReplyTo};
use crate::broker::connections::Connections;
use crate::broker::controller::CommandQueue;
use crate::broker::deadlines::Deadlines;
use crate::broker::directories::{Directories, Directory, Outage};
use crate::broker::fetch::FetchesUnderWay;
use crate::broker::groups::Groups;
use crate::broker::message::{Answer, Call, LogSize, Message};
use crate::broker::metrics::counts::ShardCounts;
use crate::broker::partition::Partition;
use crate::broker::places::{DirectoryIndex, Places};
use crate::broker::producer_ids::ProducerIds;
use crate::broker::produces::Produces;
use crate::broker::stop::Closed;
use crate::broker::waiting_fetches::WaitingFetches;

/// The shard that keeps the metadata log and accepts connections.
pub const FIRST_SHARD: ShardIndex = ShardIndex(0);

/// How long to leave a full mesh alone before offering its messages again.
pub(super) const MESH_RETRY: Duration = Duration::from_micros(100);

/// One core's share of the broker.
pub struct Shard<E: Environment> {
    /// Its view of the world.
    pub env: E,
    /// What the operator asked for at the start.
    pub config: Arc<BrokerConfig>,
    current_config: RefCell<Arc<BrokerConfig>>,
    /// Every bound.
    pub limits: Limits,
    /// Its logs, by data directory.
    pub directories: Directories<E>,
    /// Incremental fetches of its connections (KIP-227).
    pub sessions: RefCell<FetchSessions>,
    /// Timeouts of its requests.
    pub deadlines: Deadlines,
    /// Producer ids it may hand out.
    pub producer_ids: ProducerIds,
    /// Its connections.
    pub connections: Connections<E>,
    /// What it has counted.
    pub counts: Rc<ShardCounts>,
    pub(super) validator: RefCell<BatchValidator>,
    pub(super) produces: Produces,
    pub(super) waiting_fetches: WaitingFetches,
    pub(super) fetches_under_way: FetchesUnderWay,
    pub(super) groups: Groups,
    pub(super) commands: CommandQueue,
    mailbox: E::Mailbox<Message<E::Accepted>>,
    outboxes: RefCell<Vec<Outbox<E>>>,
    calls: Calls<Answer>,
    image: RefCell<Arc<MetadataImage>>,
    places: RefCell<Places>,
    partitions: RefCell<FxHashMap<TopicPartition, Rc<Partition<E>>>>,
    stopping: Cell<bool>,
    pub(super) closed: Closed,
}

/// Messages that found the mesh full, in order.
struct Outbox<E: Environment> {
    messages: VecDeque<Message<E::Accepted>>,
    emptying: bool,
}

impl<E: Environment> Shard<E> {
    /// A shard with its logs open and nothing led yet.
    pub fn new(
        env: E,
        mailbox: E::Mailbox<Message<E::Accepted>>,
        config: Arc<BrokerConfig>,
        directories: Directories<E>,
        image: Arc<MetadataImage>,
        places: Places,
    ) -> Rc<Shard<E>> {
        let limits = config.limits();
        let outboxes =
            (0..env.shard_count()).map(|_| Outbox { messages: VecDeque::new(), emptying: false }).collect();
        Rc::new(Shard {
            sessions: RefCell::new(FetchSessions::new(session_bounds(&limits, env.shard_count()))),
            deadlines: Deadlines::default(),
            producer_ids: ProducerIds::default(),
            connections: Connections::new(&limits, env.shard_count()),
            counts: Rc::new(ShardCounts::new(config.slow_request)),
            validator: RefCell::new(BatchValidator::new()),
            produces: Produces::default(),
            waiting_fetches: WaitingFetches::default(),
            fetches_under_way: FetchesUnderWay::default(),
            groups: Groups::new(GroupSettings {
                limits: limits.groups.of_one_shard(env.shard_count()),
                ..config.groups
            }),
            commands: CommandQueue::default(),
            outboxes: RefCell::new(outboxes),
            calls: Calls::new(),
            current_config: RefCell::new(Arc::new(image.with_changes(&config))),
            image: RefCell::new(image),
            places: RefCell::new(places),
            partitions: RefCell::new(FxHashMap::default()),
            stopping: Cell::new(false),
            closed: Closed::default(),
            env,
            mailbox,
            config,
            limits,
            directories,
        })
    }

    /// The metadata this shard acts by now.
    pub fn image(&self) -> Arc<MetadataImage> {
        self.image.borrow().clone()
    }

    /// The configuration with what was changed while the broker ran: what topics inherit.
    pub fn current_config(&self) -> Arc<BrokerConfig> {
        self.current_config.borrow().clone()
    }

    pub(super) fn set_current_config(&self, config: BrokerConfig) {
        *self.current_config.borrow_mut() = Arc::new(config);
    }

    /// Where the partitions of this image lie.
    pub(super) fn places(&self) -> Places {
        self.places.borrow().clone()
    }

    /// The data directory a partition lies in, if that is known.
    pub(super) fn directory_of(&self, id: &TopicPartition) -> Option<DirectoryIndex> {
        self.places.borrow().of(id)
    }

    pub(super) fn set_image(&self, image: Arc<MetadataImage>, places: Places) {
        *self.image.borrow_mut() = image;
        *self.places.borrow_mut() = places;
    }

    /// Which partitions are offline because of their data directories; `None` for none.
    pub fn outage(&self) -> Option<Outage> {
        self.directories.outage(&self.places.borrow())
    }

    /// Whether the broker is shutting down: no new requests, long polls end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    pub(super) fn set_stopping(&self) {
        self.stopping.set(true);
        for partition in self.all_partitions() {
            self.waiting_fetches.disturbed(partition.id);
        }
    }

    /// The shard that owns a partition.
    pub fn owner_of(&self, partition: &TopicPartition) -> ShardIndex {
        partition.owner(self.env.shard_count())
    }

    /// A partition this shard owns and this broker leads, to write to.
    ///
    /// # Errors
    /// There is no such partition, or its disk has failed.
    pub fn leading(&self, id: &TopicPartition) -> Result<Rc<Partition<E>>, Refusal> {
        let partition = self.reading(id)?;
        match partition.log.failure() {
            None => Ok(partition),
            Some(_) => Err(Refusal::Storage),
        }
    }

    /// A partition this shard owns and this broker leads, to read from: what a failed disk still gives is given.
    ///
    /// # Errors
    /// There is no such partition, or its data directory was not there when the broker started.
    pub fn reading(&self, id: &TopicPartition) -> Result<Rc<Partition<E>>, Refusal> {
        self.partition(id).ok_or_else(|| self.why_absent(id))
    }

    fn why_absent(&self, id: &TopicPartition) -> Refusal {
        let image = self.image();
        let topic = image.topic_by_id(id.topic);
        let exists = topic.is_some_and(|topic| topic.partition(id.partition).is_some());
        match exists && self.outage().is_some_and(|outage| outage.of(id).is_some()) {
            true => Refusal::Storage,
            false => Refusal::UnknownTopicOrPartition,
        }
    }

    /// A partition this shard owns, whatever state its disk is in.
    pub(super) fn partition(&self, id: &TopicPartition) -> Option<Rc<Partition<E>>> {
        self.partitions.borrow().get(id).cloned()
    }

    /// Which partitions this shard owns, in no order.
    pub(super) fn partition_ids(&self) -> Vec<TopicPartition> {
        self.partitions.borrow().keys().copied().collect()
    }

    /// How many questions of this shard are not answered yet.
    pub(super) fn calls_under_way(&self) -> usize {
        self.calls.count()
    }

    /// How many messages wait for room in the mesh.
    pub(super) fn messages_waiting(&self) -> usize {
        self.outboxes.borrow().iter().map(|outbox| outbox.messages.len()).sum()
    }

    /// Every partition this shard owns, in order.
    pub fn all_partitions(&self) -> Vec<Rc<Partition<E>>> {
        let mut partitions: Vec<_> = self.partitions.borrow().values().cloned().collect();
        partitions.sort_by_key(|partition| partition.id);
        partitions
    }

    pub(super) fn lead(self: &Rc<Self>, partition: Partition<E>) {
        let partition = Rc::new(partition);
        let known = self.partitions.borrow_mut().insert(partition.id, partition.clone());
        assert!(known.is_none(), "a partition is led once");
        self.take_seat(&partition);
    }

    pub(super) fn stop_leading(self: &Rc<Self>, id: &TopicPartition) -> Option<Rc<Partition<E>>> {
        self.leave_seat(id);
        let partition = self.partitions.borrow_mut().remove(id);
        self.waiting_fetches.disturbed(*id);
        partition
    }

    /// Asks a shard, perhaps this one. What can be done at once is done before this returns.
    pub fn call(self: &Rc<Self>, to: ShardIndex, call: Call) -> PendingCall<Answer> {
        let (ticket, pending) = self.calls.open();
        if to == self.env.shard() {
            self.take_call(call, ReplyTo { shard: to, ticket });
        } else {
            self.post(to, Message::Call { ticket, call });
        }
        pending
    }

    /// Answers a call.
    pub(super) fn answer(self: &Rc<Self>, reply_to: ReplyTo, answer: Answer) {
        if reply_to.shard == self.env.shard() {
            self.calls.deliver(reply_to.ticket, answer);
        } else {
            self.post(reply_to.shard, Message::Answer { ticket: reply_to.ticket, answer });
        }
    }

    /// Takes messages from the other shards, for as long as the shard runs: first those that came before it began.
    pub(super) async fn serve_mailbox(self: Rc<Self>, early: Vec<(ShardIndex, Message<E::Accepted>)>) {
        for (from, message) in early {
            self.take_message(from, message);
        }
        loop {
            let (from, message) = self.mailbox.receive().await;
            self.take_message(from, message);
        }
    }

    fn take_message(self: &Rc<Self>, from: ShardIndex, message: Message<E::Accepted>) {
        self.counts.mesh_received.one();
        match message {
            Message::Call { ticket, call } => self.take_call(call, ReplyTo { shard: from, ticket }),
            Message::Answer { ticket, answer } => self.calls.deliver(ticket, answer),
            Message::Connection { accepted, listener } => self.serve_connection(accepted, listener),
            Message::Begin(_) => unreachable!("a shard begins once, before it serves its mailbox"),
        }
    }

    fn take_call(self: &Rc<Self>, call: Call, reply_to: ReplyTo) {
        match call {
            Call::Produce(call) => self.produce(call, reply_to),
            Call::Fetch(call) => {
                let hurry = self.fetches_under_way.begin(reply_to);
                self.env.spawn(TaskClass::Network, self.clone().fetch(call, hurry, reply_to));
            }
            Call::HurryFetch(ticket) => {
                self.hurry_fetch(ReplyTo { shard: reply_to.shard, ticket });
                self.answer(reply_to, Answer::Done);
            }
            Call::FindOffsets(finds) => {
                self.env.spawn(TaskClass::Network, self.clone().find_offsets(finds, reply_to));
            }
            Call::FindEpochEnds(finds) => self.find_epoch_ends(finds, reply_to),
            Call::DeleteRecords(deletions) => {
                self.env.spawn(TaskClass::Network, self.clone().delete_records(deletions, reply_to));
            }
            Call::MeasureLogs(partitions) => {
                let sizes = partitions.into_iter().filter_map(|id| {
                    let partition = self.partition(&id)?;
                    Some(LogSize { id, directory: partition.directory, bytes: partition.size_bytes() })
                });
                let offline = self.directories.iter().map(Directory::is_offline).collect();
                self.answer(reply_to, Answer::LogsMeasured { sizes: sizes.collect(), offline });
            }
            Call::Group { partition, request } => self.ask_group(&partition, request, reply_to),
            Call::Command(command) => self.commands.push(command, reply_to),
            Call::ApplyImage(change) => {
                self.env.spawn(TaskClass::Admin, self.clone().apply_image(change, reply_to));
            }
            Call::LookAtDisk(directory) => {
                if let Some(store) = self.directories.store(directory) {
                    store.look_at_disk();
                }
                self.answer(reply_to, Answer::Done);
            }
            Call::FenceDisk { directory, failure } => {
                if let Some(store) = self.directories.store(directory) {
                    store.fence(failure);
                }
                self.answer(reply_to, Answer::Done);
            }
            Call::Pulse => {
                let disk_failed = self.directories.first().failure().is_some();
                self.answer(reply_to, Answer::Pulse { disk_failed });
            }
            Call::Tell { partitions_max } => {
                self.env.spawn(TaskClass::Admin, self.clone().tell(partitions_max, reply_to));
            }
            Call::Drain => self.env.spawn(TaskClass::Admin, self.clone().drain(reply_to)),
            Call::Close => self.env.spawn(TaskClass::Admin, self.clone().close(reply_to)),
        }
    }

    /// Sends a message; where the mesh is full it waits in order, bounded by the requests in flight.
    pub(super) fn post(self: &Rc<Self>, to: ShardIndex, message: Message<E::Accepted>) {
        self.counts.mesh_sent.one();
        let mut outboxes = self.outboxes.borrow_mut();
        let outbox = &mut outboxes[usize::from(to.0)];
        if outbox.messages.is_empty() {
            match self.mailbox.send(to, message) {
                Ok(()) => return,
                Err(MailboxFull(message)) => outbox.messages.push_back(message),
            }
        } else {
            outbox.messages.push_back(message);
        }
        self.counts.mesh_full.one();
        if !outbox.emptying {
            outbox.emptying = true;
            self.env.spawn(TaskClass::Network, self.clone().empty_outbox(to));
        }
    }

    async fn empty_outbox(self: Rc<Self>, to: ShardIndex) {
        loop {
            // A wait, not a spin: the other shard needs time to make room, perhaps on this very core.
            self.env.sleep_until(self.env.now() + MESH_RETRY).await;
            let mut outboxes = self.outboxes.borrow_mut();
            let outbox = &mut outboxes[usize::from(to.0)];
            while let Some(message) = outbox.messages.pop_front() {
                if let Err(MailboxFull(message)) = self.mailbox.send(to, message) {
                    outbox.messages.push_front(message);
                    break;
                }
            }
            if outbox.messages.is_empty() {
                outbox.emptying = false;
                return;
            }
        }
    }
}

/// A shard's part of the broker's fetch sessions.
fn session_bounds(limits: &Limits, shard_count: u16) -> SessionBounds {
    let share = |total: usize| total.div_ceil(usize::from(shard_count));
    SessionBounds {
        sessions_max: share(limits.state.fetch_session_slots),
        partitions_per_session_max: limits.state.fetch_session_partitions_max,
        partitions_max: share(limits.state.fetch_session_partitions_total_max),
        eviction_after: limits.state.fetch_session_eviction_after,
    }
}
