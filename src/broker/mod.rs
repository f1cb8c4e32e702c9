//! How a broker is put together and runs, generic over its environment.
//!
//! ```text
//!   first shard: recover ──► metadata log ──► Begin ──► every shard: open logs ──► listen ──► serve ──► stop
//! ```
//!
//! Reading order:
//! - [`shard`]: one core's partitions, connections and calls; [`message`]: what shards say to each other
//! - [`connections`], [`service`]: from a socket to a handler
//! - [`partition`], [`produce`], [`produces`]: a batch's way into the log and its answer's way out
//! - [`fetch`], [`waiting_fetches`], [`offsets`]: reading
//! - [`delete_records`], [`retention`]: shortening a log from the front
//! - [`groups`]: consumer groups; [`own_records`], [`internal_topics`]: where the broker keeps what it knows of them
//! - [`controller`], [`producer_ids`]: changing the cluster's metadata
//! - [`stop`] ends it all
//! - [`metrics`]: what all of this tells of itself
//! - [`opening`], [`directories`], [`places`]: several data directories, each failing alone
//! - [`calls`], [`deadlines`], [`refusals`], [`refused_producers`]: tools of the above

pub mod calls;
pub mod connections;
pub mod controller;
pub mod deadlines;
pub mod delete_records;
pub mod directories;
pub mod fetch;
pub mod groups;
pub mod internal_topics;
pub mod message;
pub mod metrics;
pub mod offsets;
pub mod opening;
pub mod own_records;
pub mod partition;
pub mod places;
pub mod produce;
pub mod producer_ids;
pub mod produces;
pub mod refusals;
pub mod refused_producers;
pub mod retention;
pub mod service;
pub mod shard;
pub mod stop;
pub mod waiting_fetches;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringlog_core::config::BrokerConfig;
use ringlog_core::ids::ShardIndex;
use ringlog_core::metadata::{Command, LastStop, ListenerRecord, MetadataImage, Registration, ReplayFault};
use ringlog_runtime::environment::{
    DiskFailure, Environment, ListenFailure, Listener, Mailbox, MailboxFull, TaskClass,
};
use ringlog_storage::metadata_log::MetadataLogFailure;
use ringlog_storage::{StoreConfig, StoreFailure, give_back};

use crate::broker::directories::{Directories, Unopened};
use crate::broker::message::{Call, Message};
use crate::broker::metrics::server::MetricsServer;
use crate::broker::opening::{DirectoryRefusal, FoundDirectories, OpenedDirectory, Opening, RecoverySummary};
use crate::broker::shard::{MESH_RETRY, Shard};

/// How long to wait for a port that is in use.
const PORT_WAIT_MAX: Duration = Duration::from_secs(3);

/// How often to look whether it is free.
const PORT_LOOK: Duration = Duration::from_millis(20);

/// Why a broker could not start or had to end.
#[derive(Debug)]
pub enum BrokerFailure {
    /// The data directory cannot be used as it is.
    Store(StoreFailure),
    /// The data directories cannot be used together, or not by this broker.
    Directories(DirectoryRefusal),
    /// The metadata log cannot be used as it is.
    Metadata(MetadataLogFailure),
    /// The metadata log's records contradict each other.
    Replay(ReplayFault),
    /// Nobody could connect.
    Listen(ListenFailure),
    /// The data directory failed while the broker ran; it served readers until it was told to stop.
    DiskFailed(DiskFailure),
}

impl fmt::Display for BrokerFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BrokerFailure::Store(failure) => failure.fmt(formatter),
            BrokerFailure::Directories(refusal) => refusal.fmt(formatter),
            BrokerFailure::Metadata(failure) => failure.fmt(formatter),
            BrokerFailure::Replay(fault) => fault.fmt(formatter),
            BrokerFailure::Listen(failure) => failure.fmt(formatter),
            BrokerFailure::DiskFailed(failure) => write!(
                formatter,
                "the data directory failed while the broker ran: {failure}. What was acknowledged is in the journal; \
                 repair or replace the disk and start again"
            ),
        }
    }
}

impl std::error::Error for BrokerFailure {}

/// What a broker is started with. One per broker, shared by all shards.
#[derive(Clone, Debug)]
pub struct BrokerStart {
    /// What the operator asked for.
    pub config: BrokerConfig,
    /// Where to bind, one for each of the configuration's listeners.
    pub bind_addresses: Vec<SocketAddr>,
    /// The host to advertise where a listener names none.
    pub default_host: String,
    /// Where to serve metrics, if anywhere.
    pub metrics_address: Option<SocketAddr>,
    /// Sizes of each shard's stores, of all data directories together.
    pub store: StoreConfig,
    /// Data directories that were found to be unusable, and why.
    pub unusable: BTreeMap<PathBuf, String>,
}

/// What an operator wants to know once clients may connect.
pub struct Listening<'s> {
    /// Where, with the ports that were chosen if none were asked for.
    pub addresses: Vec<SocketAddr>,
    /// Where metrics are served, if the address could be had.
    pub metrics_address: Option<SocketAddr>,
    /// What was found in the data directories.
    pub directories: &'s [OpenedDirectory],
    /// What it took to bring them into order.
    pub recovery: RecoverySummary,
    /// The topics there are.
    pub image: &'s MetadataImage,
}

/// Runs the first shard: recovers the data directory, opens the metadata log, accepts connections, decides
/// commands, and stops everything when `stop` completes. `listening` is called once clients may connect.
///
/// # Errors
/// [`BrokerFailure`] if the broker cannot start.
pub async fn run_first_shard<E: Environment>(
    env: E,
    mailbox: E::Mailbox<Message<E::Accepted>>,
    start: Arc<BrokerStart>,
    stop: impl Future<Output = ()>,
    listening: impl FnOnce(Listening<'_>),
) -> Result<(), BrokerFailure> {
    let metrics = MetricsServer::begin(&env, &start).await;
    let sockets = bind(&env, &start).await?;
    let addresses: Vec<_> = sockets.iter().map(Listener::local_address).collect();
    let recovery_began = env.now();
    let mut found = FoundDirectories::find(&env, &start).await?;
    let recovery = RecoverySummary::of(&found.directories, env.now().since(recovery_began));
    metrics.recovered(recovery);
    let image = register(&env, &start, &mut found, recovery.is_clean, &addresses).await?;
    let places = found.settle(&env, &start, &image).await?;
    let FoundDirectories { log, directories, .. } = found;
    let opening = Arc::new(Opening { directories, places, image: Arc::new(image) });
    begin_elsewhere::<E>(&env, &mailbox, &opening).await;
    let shard = open_shard(env, mailbox, &start, &opening, Vec::new()).await?;
    shard.env.spawn(TaskClass::Admin, shard.clone().control(log));
    for (listener, socket) in sockets.into_iter().enumerate() {
        shard.env.spawn(TaskClass::Network, shard.clone().accept_connections(socket, listener));
    }
    metrics.serving(shard.clone());
    let metrics_address = metrics.address();
    listening(Listening {
        addresses,
        metrics_address,
        directories: &opening.directories,
        recovery,
        image: &shard.image(),
    });
    stop.await;
    call_every_shard(&shard, || Call::Drain).await;
    call_every_shard(&shard, || Call::Close).await;
    match shard.directories.failure() {
        None => Ok(()),
        Some(failure) => Err(BrokerFailure::DiskFailed(failure.copy())),
    }
}

/// Runs any other shard until the first one stops it.
///
/// # Errors
/// [`BrokerFailure`] if its logs cannot be opened.
pub async fn run_other_shard<E: Environment>(
    env: E,
    mailbox: E::Mailbox<Message<E::Accepted>>,
    start: Arc<BrokerStart>,
) -> Result<(), BrokerFailure> {
    let (opening, early) = first_word::<E>(&mailbox).await;
    let shard = open_shard(env, mailbox, &start, &opening, early).await?;
    shard.closed.wait().await;
    Ok(())
}

/// Waits for the first shard's word to begin. Messages of one shard keep their order, those of two may overtake each
/// other: a shard that has begun already may have asked something before. That is returned, to be taken first; it is
/// bounded by the requests the other shards have in flight.
async fn first_word<E: Environment>(
    mailbox: &E::Mailbox<Message<E::Accepted>>,
) -> (Arc<Opening>, Vec<(ShardIndex, Message<E::Accepted>)>) {
    let mut early = Vec::new();
    loop {
        match mailbox.receive().await {
            (_, Message::Begin(opening)) => return (opening, early),
            other => early.push(other),
        }
    }
}

async fn bind<E: Environment>(env: &E, start: &BrokerStart) -> Result<Vec<E::Listener>, BrokerFailure> {
    let mut sockets = Vec::with_capacity(start.bind_addresses.len());
    for address in &start.bind_addresses {
        sockets.push(listen(env, *address).await.map_err(BrokerFailure::Listen)?);
    }
    Ok(sockets)
}

/// Binds, patiently: the kernel gives a port back a moment after the rings of the process that held it are gone.
async fn listen<E: Environment>(env: &E, address: SocketAddr) -> Result<E::Listener, ListenFailure> {
    let deadline = env.now() + PORT_WAIT_MAX;
    loop {
        match env.listen(address).await {
            Err(failure) if failure.error.kind() == ErrorKind::AddrInUse && env.now() < deadline => {
                env.sleep_until(env.now() + PORT_LOOK).await;
            }
            listened => return listened,
        }
    }
}

/// Lets this process join the cluster: where clients reach it, and whether readers must look out for lost records.
async fn register<E: Environment>(
    env: &E,
    start: &BrokerStart,
    found: &mut FoundDirectories<E>,
    is_clean: bool,
    addresses: &[SocketAddr],
) -> Result<MetadataImage, BrokerFailure> {
    let FoundDirectories { log, image, .. } = found;
    let mut incarnation_id = [0; 16];
    incarnation_id[..8].copy_from_slice(&env.random().to_be_bytes());
    incarnation_id[8..].copy_from_slice(&env.random().to_be_bytes());
    let registration = Registration {
        broker: start.config.node_id,
        incarnation_id,
        listeners: advertised(start, addresses),
        rack: start.config.rack.clone(),
        after: if is_clean { LastStop::Clean } else { LastStop::Unclean },
    };
    let command = Command::RegisterBroker(registration);
    let decision = controller::decide(image, &start.config, command, &mut || env.random());
    loop {
        match log.append(&decision.records).await {
            Err(MetadataLogFailure::NoRoom(failure)) => {
                let has_given = give_back(env, &start.config.log_dirs[0]).await.map_err(StoreFailure::Disk);
                if !has_given.map_err(BrokerFailure::Store)? {
                    return Err(BrokerFailure::Metadata(MetadataLogFailure::NoRoom(failure)));
                }
            }
            appended => break appended.map_err(BrokerFailure::Metadata)?,
        }
    }
    Ok(image.replay_all(&decision.records))
}

fn advertised(start: &BrokerStart, addresses: &[SocketAddr]) -> Vec<ListenerRecord> {
    let listeners = start.config.advertised_listeners.iter().zip(addresses);
    listeners
        .map(|(listener, address)| ListenerRecord {
            name: listener.name.clone(),
            host: if listener.host.is_empty() { start.default_host.clone() } else { listener.host.clone() },
            port: if listener.port == 0 { address.port() } else { listener.port },
            security_protocol: "PLAINTEXT".to_owned(),
        })
        .collect()
}

async fn call_every_shard<E: Environment>(shard: &Rc<Shard<E>>, call: impl Fn() -> Call) {
    let calls: Vec<_> =
        (0..shard.env.shard_count()).map(|other| shard.call(ShardIndex(other), call())).collect();
    for call in calls {
        call.await;
    }
}

async fn begin_elsewhere<E: Environment>(
    env: &E,
    mailbox: &E::Mailbox<Message<E::Accepted>>,
    opening: &Arc<Opening>,
) {
    for other in 1..env.shard_count() {
        let mut message = Message::Begin(opening.clone());
        while let Err(MailboxFull(returned)) = mailbox.send(ShardIndex(other), message) {
            message = returned;
            env.sleep_until(env.now() + MESH_RETRY).await;
        }
    }
}

async fn open_shard<E: Environment>(
    env: E,
    mailbox: E::Mailbox<Message<E::Accepted>>,
    start: &Arc<BrokerStart>,
    opening: &Arc<Opening>,
    early: Vec<(ShardIndex, Message<E::Accepted>)>,
) -> Result<Rc<Shard<E>>, BrokerFailure> {
    let (directories, unopened) =
        Directories::open(&env, &start.store, &opening.directories).await.map_err(BrokerFailure::Store)?;
    let config = Arc::new(start.config.clone());
    let shard = Shard::new(env, mailbox, config, directories, opening.image.clone(), opening.places.clone());
    shard.open_all_partitions().await;
    start_tasks(&shard, early);
    for Unopened { directory, failure } in unopened {
        shard.env.spawn(TaskClass::Network, shard.clone().tell_failure(directory, failure));
    }
    Ok(shard)
}

fn start_tasks<E: Environment>(shard: &Rc<Shard<E>>, early: Vec<(ShardIndex, Message<E::Accepted>)>) {
    let env = &shard.env;
    env.spawn(TaskClass::Network, shard.clone().serve_mailbox(early));
    for (directory, store) in shard.directories.stores() {
        env.spawn(TaskClass::Network, shard.clone().follow_the_journal(directory, store.clone()));
        env.spawn(TaskClass::Network, shard.clone().follow_the_disk(directory, store.clone()));
    }
    env.spawn(TaskClass::Network, shard.clone().watch_groups());
    env.spawn(TaskClass::Admin, shard.clone().sweep_connections());
    env.spawn(TaskClass::Storage, shard.clone().keep_retention());
    env.spawn(TaskClass::Network, shard.deadlines.clone().watch(env.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::calls::Calls;
    use crate::broker::places::Places;
    use futures_util::FutureExt;
    use ringlog_runtime::memory::{MemoryEnvironment, MemoryWorld, Options};

    #[test]
    fn a_shard_begins_when_told_to_and_forgets_nothing_it_was_asked_before() {
        let world = MemoryWorld::new(1, Options::quiet());
        let env = world.environment(0, 3);
        let [first, asking, told] =
            <[_; 3]>::try_from(world.mesh::<Message<_>>(3)).ok().expect("three shards");
        world.run_until(async move {
            let image = MetadataImage::from_records(&[]).expect("nothing contradicts itself");
            let opening =
                Opening { directories: Vec::new(), places: Places::in_one(), image: Arc::new(image) };
            let (ticket, _answer) = Calls::<()>::default().open();
            assert!(asking.send(ShardIndex(2), Message::Call { ticket, call: Call::Pulse }).is_ok());
            // Long enough for the question to have come.
            env.sleep_until(env.now() + Duration::from_secs(1)).await;
            let mut word = Box::pin(first_word::<MemoryEnvironment>(&told));
            assert!(word.as_mut().now_or_never().is_none(), "a question is no word to begin");
            assert!(first.send(ShardIndex(2), Message::Begin(Arc::new(opening))).is_ok());
            let (_, early) = word.await;
            assert!(matches!(early[..], [(ShardIndex(1), Message::Call { call: Call::Pulse, .. })]));
        });
    }
}
