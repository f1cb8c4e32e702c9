//! Serves `/metrics`, `/health` and `/ready` on the first shard's own ring.
//!
//! ```text
//!   accept ──► head, 8 KiB and 5 s at most ──► ask every shard, 2 s at most ──► answer, 10 s at most ──► close
//! ```
//!
//! Listens before the data directory is recovered, so that a long recovery can be watched. An address that is taken
//! does not stop the broker: serving records matters more than being watched. It is tried again every ten seconds.
//!
//! Always true: a client can hold one of [`CLIENTS_MAX`] places for a bounded time; a shard that does not answer is
//! asked nothing more until it has.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use ringlog_core::ids::ShardIndex;
use ringlog_core::time::{Instant, Timestamp};
use ringlog_runtime::buffer::Slice;
use ringlog_runtime::environment::{Connection, Environment, Listener, TaskClass};

use crate::broker::BrokerStart;
use crate::broker::calls::PendingCall;
use crate::broker::directories::{Directories, Directory};
use crate::broker::message::{Answer, Call};
use crate::broker::metrics::families as family;
use crate::broker::metrics::group_lag::add_group_lag;
use crate::broker::metrics::http::{HEAD_BYTES_MAX, Head, Page, Question, Status, answer_head, read_head};
use crate::broker::metrics::process::add_process;
use crate::broker::metrics::samples::{Label, Samples};
use crate::broker::metrics::text::{CONTENT_TYPE, write_family};
use crate::broker::opening::RecoverySummary;
use crate::broker::shard::Shard;

/// Clients served at a time.
const CLIENTS_MAX: usize = 16;

/// How long a client may take to ask.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a client may take to receive the answer.
const SEND_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long a shard may take to answer.
const SHARD_WAIT_MAX: Duration = Duration::from_secs(2);

/// How long to leave an address alone that could not be listened on, or a listener that failed.
const LISTEN_RETRY: Duration = Duration::from_secs(10);
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How long to wait for I/O memory before asking again.
const MEMORY_RETRY: Duration = Duration::from_millis(5);

/// The largest piece of an answer in one buffer.
const PIECE_BYTES: usize = 64 * 1024;

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// The broker as seen from outside.
pub struct MetricsServer<E: Environment> {
    env: E,
    start: Arc<BrokerStart>,
    started: Timestamp,
    address: Cell<Option<SocketAddr>>,
    recovery: Cell<Option<RecoverySummary>>,
    shard: RefCell<Option<Rc<Shard<E>>>>,
    /// Questions that shards did not answer in time, at most one kept for each.
    unanswered: RefCell<Vec<Option<PendingCall<Answer>>>>,
    client_count: Cell<usize>,
}

struct Reply {
    status: Status,
    content_type: &'static str,
    body: String,
    head_only: bool,
}

impl<E: Environment> MetricsServer<E> {
    /// Begins to serve, if the configuration says where.
    pub async fn begin(env: &E, start: &Arc<BrokerStart>) -> Rc<MetricsServer<E>> {
        let server = Rc::new(MetricsServer {
            env: env.clone(),
            start: start.clone(),
            started: env.wall_clock(),
            address: Cell::new(None),
            recovery: Cell::new(None),
            shard: RefCell::new(None),
            unanswered: RefCell::new((0..env.shard_count()).map(|_| None).collect()),
            client_count: Cell::new(0),
        });
        if let Some(address) = start.metrics_address {
            let listener = server.listen(address).await;
            env.spawn(TaskClass::Admin, server.clone().serve(address, listener));
        }
        server
    }

    /// Where it listens, with the port that was chosen if none was asked for.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address.get()
    }

    /// The data directories are in order.
    pub fn recovered(&self, recovery: RecoverySummary) {
        self.recovery.set(Some(recovery));
    }

    /// Clients are served from now on.
    pub fn serving(&self, shard: Rc<Shard<E>>) {
        *self.shard.borrow_mut() = Some(shard);
    }

    async fn listen(&self, address: SocketAddr) -> Option<E::Listener> {
        match self.env.listen(address).await {
            Ok(listener) => {
                self.address.set(Some(listener.local_address()));
                Some(listener)
            }
            Err(failure) => {
                tracing::error!(%failure, "metrics are not served; this is tried again every ten seconds");
                None
            }
        }
    }

    async fn serve(self: Rc<Self>, address: SocketAddr, mut listener: Option<E::Listener>) {
        let listener = loop {
            match listener.take() {
                Some(listener) => break listener,
                None => {
                    self.pause(LISTEN_RETRY).await;
                    listener = self.listen(address).await;
                }
            }
        };
        loop {
            match listener.accept().await {
                Ok(accepted) => self.take(self.env.adopt(accepted)),
                // The rings go, and with them what waits in them.
                Err(_) if self.is_stopping() => return,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection for metrics");
                    self.pause(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.shard.borrow().as_ref().is_some_and(|shard| shard.is_stopping())
    }

    fn take(self: &Rc<Self>, connection: E::Connection) {
        if self.client_count.get() >= CLIENTS_MAX {
            return connection.shutdown();
        }
        self.client_count.set(self.client_count.get() + 1);
        let server = self.clone();
        self.env.spawn(TaskClass::Admin, async move {
            server.answer(&connection).await;
            connection.shutdown();
            server.client_count.set(server.client_count.get() - 1);
        });
    }

    /// Reads one question and answers it. Who is too slow gets nothing.
    async fn answer(&self, connection: &E::Connection) {
        let asked = self.within(HEAD_WAIT_MAX, receive_head::<E>(connection)).await.flatten();
        let reply = match asked {
            Some(Head::Question(question)) => self.reply(question).await,
            Some(Head::Refused(status)) => refusal(status),
            Some(Head::Incomplete) | None => return,
        };
        if self.within(SEND_WAIT_MAX, self.send(connection, reply)).await.is_none() {
            tracing::debug!(peer = %connection.peer_address(), "a client for metrics does not read its answer");
        }
    }

    async fn reply(&self, question: Question) -> Reply {
        let (status, content_type, body) = match question.page {
            Page::Metrics => (Status::Ok, CONTENT_TYPE, self.metrics().await),
            Page::Health => verdict(self.problems_of_life().await, "alive"),
            Page::Ready => verdict(self.problems_of_service().await, &self.readiness()),
        };
        Reply { status, content_type, body, head_only: question.head_only }
    }

    async fn send(&self, connection: &E::Connection, reply: Reply) {
        let mut text = answer_head(reply.status, reply.content_type, reply.body.len());
        if !reply.head_only {
            text.push_str(&reply.body);
        }
        for piece in text.as_bytes().chunks(PIECE_BYTES) {
            let slice = self.slice_of(piece).await;
            // A client that went away needs no answer.
            if connection.send(vec![slice]).await.is_err() {
                return;
            }
        }
    }

    async fn slice_of(&self, bytes: &[u8]) -> Slice {
        loop {
            match self.env.arena().allocate(bytes.len()) {
                Ok(mut buffer) => {
                    buffer.extend_from_slice(bytes);
                    return buffer.freeze();
                }
                Err(_) => self.pause(MEMORY_RETRY).await,
            }
        }
    }

    /// Why the process should be started anew.
    async fn problems_of_life(&self) -> Vec<String> {
        let Some(shard) = self.shard.borrow().clone() else { return Vec::new() };
        let answers = self.ask_every_shard(&shard, || Call::Pulse).await;
        let silent = answers.iter().filter(|(_, answer)| answer.is_none());
        silent.map(|(shard, _)| format!("shard {shard} does not answer")).collect()
    }

    /// Why clients should not be sent here.
    async fn problems_of_service(&self) -> Vec<String> {
        let Some(shard) = self.shard.borrow().clone() else {
            return vec![String::from(match self.recovery.get() {
                None => "the data directories are being recovered",
                Some(_) => "the logs are being opened",
            })];
        };
        if shard.is_stopping() {
            return vec!["the broker is stopping".to_owned()];
        }
        let answers = self.ask_every_shard(&shard, || Call::Pulse).await;
        let problem = |(shard, answer): (ShardIndex, Option<Answer>)| match answer {
            None => Some(format!("shard {shard} does not answer")),
            Some(Answer::Pulse { disk_failed: true }) => Some(format!("the disk of shard {shard} failed")),
            Some(_) => None,
        };
        answers.into_iter().filter_map(problem).collect()
    }

    /// How far clients are served, where they should be sent here. A full disk serves readers, and groups.
    fn readiness(&self) -> String {
        match self.shard.borrow().as_ref() {
            Some(shard) => readiness_of(&shard.directories),
            None => "ready".to_owned(),
        }
    }

    async fn metrics(&self) -> String {
        let mut samples = Samples::default();
        self.add_broker(&mut samples).await;
        self.add_shards(&mut samples).await;
        let mut text = String::new();
        for samples in samples.into_families() {
            write_family(&mut text, &samples);
            self.env.yield_now().await;
        }
        text
    }

    async fn add_broker(&self, samples: &mut Samples) {
        let version = Label::Word(env!("CARGO_PKG_VERSION"));
        samples.add(&family::BUILD_INFO, [version], true);
        samples.add(&family::SHARDS, [], u64::from(self.env.shard_count()));
        samples.add(&family::READY, [], self.problems_of_service().await.is_empty());
        for directory in &self.start.config.log_dirs {
            if let Ok(free_bytes) = self.env.free_bytes(directory).await {
                let name = Label::Name(directory.to_string_lossy().into());
                samples.add(&family::DISK_FREE_BYTES, [name], free_bytes);
            }
        }
        if let Some(recovery) = self.recovery.get() {
            samples.add(&family::RECOVERY_SECONDS, [], recovery.took);
            samples.add(&family::RECOVERY_CLEAN, [], recovery.is_clean);
            samples.add(&family::RECOVERY_REPLAYED, [], recovery.replayed_batches);
            samples.add(&family::RECOVERY_SCANNED, [], recovery.scanned_batches);
            samples.add(&family::RECOVERY_CUT_BYTES, [], recovery.cut_bytes);
            samples.add(&family::RECOVERY_DAMAGED, [], recovery.damaged_logs);
        }
        add_process(&self.env, self.started, samples).await;
    }

    async fn add_shards(&self, samples: &mut Samples) {
        let Some(shard) = self.shard.borrow().clone() else { return };
        samples.add(&family::TOPICS, [], shard.image().topic_count());
        for directory in shard.directories.iter() {
            let Some(store) = &directory.store else { continue };
            let name = Label::Name(directory.name.clone());
            samples.add(&family::DISK_FREE_BYTES_MIN, [name], store.statistics().free_bytes_min);
        }
        let share = self.start.config.metrics_partitions_max.div_ceil(usize::from(self.env.shard_count()));
        let answers = self.ask_every_shard(&shard, || Call::Tell { partitions_max: share }).await;
        let silent_count = answers.iter().filter(|(_, answer)| answer.is_none()).count();
        samples.add(&family::SHARDS_SILENT, [], silent_count);
        for (_, answer) in answers {
            if let Some(Answer::Told(told)) = answer {
                samples.merge(*told);
                self.env.yield_now().await;
            }
        }
        add_group_lag(samples);
    }

    /// Every shard's answer, where it came in time.
    async fn ask_every_shard(
        &self,
        shard: &Rc<Shard<E>>,
        call: impl Fn() -> Call,
    ) -> Vec<(ShardIndex, Option<Answer>)> {
        let deadline = self.env.now() + SHARD_WAIT_MAX;
        let shards = (0..self.env.shard_count()).map(ShardIndex);
        let call = &call;
        join_all(shards.map(|to| async move { (to, self.ask(shard, to, call, deadline).await) })).await
    }

    async fn ask(
        &self,
        shard: &Rc<Shard<E>>,
        to: ShardIndex,
        call: impl Fn() -> Call,
        deadline: Instant,
    ) -> Option<Answer> {
        let place = usize::from(to.0);
        let too_late = pin!(self.env.sleep_until(deadline));
        let before = self.unanswered.borrow_mut()[place].take();
        let too_late = match before {
            None => too_late,
            // It comes to nothing, but nothing else is asked before it has come.
            Some(before) => match select(before, too_late).await {
                Either::Left((_, too_late)) => too_late,
                Either::Right(((), before)) => {
                    self.unanswered.borrow_mut()[place] = Some(before);
                    return None;
                }
            },
        };
        match select(shard.call(to, call()), too_late).await {
            Either::Left((answer, _)) => Some(answer),
            Either::Right(((), pending)) => {
                self.unanswered.borrow_mut()[place] = Some(pending);
                None
            }
        }
    }

    /// What the work comes to, if it ends in time.
    async fn within<T>(&self, time: Duration, work: impl Future<Output = T>) -> Option<T> {
        let too_late = pin!(self.env.sleep_until(self.env.now() + time));
        match select(pin!(work), too_late).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(_) => None,
        }
    }

    fn pause(&self, time: Duration) -> impl Future<Output = ()> {
        self.env.sleep_until(self.env.now() + time)
    }
}

/// A question, or why there is none; `None` if the client went away.
async fn receive_head<E: Environment>(connection: &E::Connection) -> Option<Head> {
    let mut bytes = Vec::new();
    loop {
        let received = connection.receive().await.ok().filter(|received| !received.is_empty())?;
        let room = HEAD_BYTES_MAX - bytes.len();
        bytes.extend_from_slice(&received.as_slice()[..received.len().min(room)]);
        match read_head(&bytes) {
            Head::Incomplete => {}
            head => return Some(head),
        }
    }
}

fn readiness_of<E: Environment>(directories: &Directories<E>) -> String {
    let served = || directories.iter().filter(|directory| !directory.is_offline());
    let offline = directories.iter().filter(|directory| directory.is_offline());
    let mut words = offline
        .map(|directory| format!("{} is offline with its partitions", directory.name))
        .collect::<Vec<_>>();
    if served().all(Directory::is_short_of_space) {
        words.insert(0, "the disk is full and records are refused".to_owned());
        return format!("ready to be read; {}", words.join("; "));
    }
    let full = served().filter(|directory| directory.is_short_of_space());
    words.extend(full.map(|directory| {
        format!("the disk of {} is full and records for its partitions are refused", directory.name)
    }));
    words.insert(0, "ready".to_owned());
    words.join("; ")
}

fn verdict(problems: Vec<String>, good: &str) -> (Status, &'static str, String) {
    match problems.is_empty() {
        true => (Status::Ok, PLAIN_TEXT, format!("{good}\n")),
        false => (Status::Unavailable, PLAIN_TEXT, problems.join("\n") + "\n"),
    }
}

fn refusal(status: Status) -> Reply {
    let body = match status {
        Status::NotFound => "there are /metrics, /health and /ready\n",
        Status::MethodNotAllowed => "pages can be read with GET and HEAD\n",
        Status::HeadTooLarge => "the head of the request is too large\n",
        Status::BadRequest => "this is not HTTP/1\n",
        Status::Ok | Status::Unavailable => "",
    };
    Reply { status, content_type: PLAIN_TEXT, body: body.to_owned(), head_only: false }
}
