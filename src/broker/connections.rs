//! Connections of a shard: accepting, spreading over shards, serving, sweeping.
//!
//! ```text
//!   first shard: accept ──► next shard in turn ──► adopt, serve
//!   each shard: once a second, close what is idle, stalled or never reads
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog_core::ids::ShardIndex;
use ringlog_core::limits::Limits;
use ringlog_net::activity::{Activity, Patience};
use ringlog_net::connection::{Ended, InFlight, serve};
use ringlog_net::frame::FrameError;
use ringlog_runtime::environment::{Connection, Environment, Listener, TaskClass};
use slab::Slab;

use crate::broker::message::Message;
use crate::broker::service::ConnectionService;
use crate::broker::shard::Shard;

/// How often connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// How long a frame may take before its pace is looked at.
const FRAME_GRACE: Duration = Duration::from_secs(10);

/// How long to leave the listener alone after it failed (out of descriptors, say).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The connections of one shard.
pub struct Connections<E: Environment> {
    open: RefCell<Slab<OpenConnection<E>>>,
    by_address: RefCell<BTreeMap<IpAddr, usize>>,
    count_max: usize,
    count_per_address_max: usize,
    turn: Cell<u16>,
}

struct OpenConnection<E: Environment> {
    connection: E::Connection,
    activity: Activity,
}

/// Why a connection was turned away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Full {
    Broker,
    Address,
}

impl<E: Environment> Connections<E> {
    /// None open. Shards take turns, so each gets its share of the broker's bounds.
    pub fn new(limits: &Limits, shard_count: u16) -> Connections<E> {
        let share = |total: usize| total.div_ceil(usize::from(shard_count));
        Connections {
            open: RefCell::new(Slab::new()),
            by_address: RefCell::new(BTreeMap::new()),
            count_max: share(limits.network.connections_max),
            count_per_address_max: share(limits.network.connections_per_ip_max),
            turn: Cell::new(0),
        }
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.open.borrow().len()
    }

    /// Whether no request is being read or answered.
    pub fn are_quiet(&self) -> bool {
        self.open.borrow().iter().all(|(_, open)| open.activity.is_quiet())
    }

    /// Closes all.
    pub fn shutdown(&self) {
        for (_, open) in self.open.borrow().iter() {
            open.connection.shutdown();
        }
    }

    fn enter(&self, connection: E::Connection, activity: Activity) -> Result<usize, Full> {
        let address = connection.peer_address().ip();
        let mut open = self.open.borrow_mut();
        let mut by_address = self.by_address.borrow_mut();
        if open.len() >= self.count_max {
            return Err(Full::Broker);
        }
        let count = by_address.entry(address).or_default();
        if *count >= self.count_per_address_max {
            return Err(Full::Address);
        }
        *count += 1;
        Ok(open.insert(OpenConnection { connection, activity }))
    }

    fn leave(&self, key: usize) {
        let gone = self.open.borrow_mut().remove(key);
        let address = gone.connection.peer_address().ip();
        let mut by_address = self.by_address.borrow_mut();
        let count = by_address.get_mut(&address).expect("an open connection is counted for its address");
        *count -= 1;
        if *count == 0 {
            by_address.remove(&address);
        }
    }

    fn next_shard(&self, shard_count: u16) -> ShardIndex {
        let shard = self.turn.get();
        self.turn.set((shard + 1) % shard_count);
        ShardIndex(shard)
    }
}

impl<E: Environment> Shard<E> {
    /// Accepts connections and spreads them over the shards, for as long as the broker runs.
    pub(super) async fn accept_connections(self: Rc<Self>, socket: E::Listener, listener: usize) {
        loop {
            match socket.accept().await {
                _ if self.is_stopping() => return,
                Ok(accepted) => {
                    let shard = self.connections.next_shard(self.env.shard_count());
                    if shard == self.env.shard() {
                        self.serve_connection(accepted, listener);
                    } else {
                        self.post(shard, Message::Connection { accepted, listener });
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; existing ones go on");
                    self.env.sleep_until(self.env.now() + ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// Serves a connection that some shard accepted.
    pub(super) fn serve_connection(self: &Rc<Self>, accepted: E::Accepted, listener: usize) {
        let connection = self.env.adopt(accepted);
        let peer = connection.peer_address();
        let activity = Activity::new(self.env.now());
        match self.connections.enter(connection.clone(), activity.clone()) {
            Ok(key) => {
                self.counts.connections_opened.one();
                let task = self.clone().serve_until_closed(key, connection, listener, activity);
                self.env.spawn(TaskClass::Network, task);
            }
            Err(full) => {
                self.counts.connections_refused.one();
                tracing::warn!(%peer, ?full, "a connection was turned away: the bound is reached");
                connection.shutdown();
            }
        }
    }

    async fn serve_until_closed(
        self: Rc<Self>,
        key: usize,
        connection: E::Connection,
        listener: usize,
        activity: Activity,
    ) {
        let peer = connection.peer_address();
        let service = ConnectionService::new(self.clone(), peer, listener);
        let in_flight = InFlight {
            requests_max: self.limits.network.inflight_requests_max,
            bytes_max: self.limits.network.inflight_bytes_max,
        };
        match serve(&self.env, connection, activity, service, in_flight).await {
            Ended::ByClient | Ended::ByService => tracing::debug!(%peer, "connection closed"),
            Ended::Frame(error) => {
                if matches!(error, FrameError::Length { .. }) {
                    self.counts.connections_cut.bad_frame.one();
                }
                tracing::info!(%peer, %error, "connection closed");
            }
        }
        self.connections.leave(key);
    }

    /// Closes connections that are idle, stalled or never read, for as long as the shard runs.
    pub(super) async fn sweep_connections(self: Rc<Self>) {
        let patience = Patience {
            idle_max: self.limits.network.idle_max,
            send_stall_max: self.limits.network.slow_reader_stall_max,
            frame_grace: FRAME_GRACE,
            frame_bytes_per_second_min: self.limits.network.receive_bytes_per_second_min as u64,
        };
        loop {
            self.env.sleep_until(self.env.now() + SWEEP).await;
            let now = self.env.now();
            for (_, open) in self.connections.open.borrow().iter() {
                if let Some(stall) = open.activity.stall(now, &patience) {
                    tracing::info!(peer = %open.connection.peer_address(), %stall, "connection closed");
                    self.counts.connections_cut.stalled(stall);
                    open.connection.shutdown();
                }
            }
        }
    }
}
