//! A cluster to ask: connections to the brokers that lead, coordinate or control, opened when first needed.
//!
//! ```text
//!   bootstrap ──► metadata ──► broker id ──► address ──► connection
//! ```
//!
//! Always true: a connection that failed is forgotten, so the next question opens a new one.

use std::collections::BTreeMap;
use std::time::Duration;

use ringlog_net::protocol::Message;
use ringlog_net::protocol::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};

use crate::client::address::Address;
use crate::client::connection::{Answer, Connection};
use crate::client::failure::ClientFailure;
use crate::client::limits::ATTEMPTS_MAX;
use crate::client::metadata::ClusterMetadata;

/// What passes by itself, passes within seconds.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(250);

/// How to reach a cluster.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Brokers to begin with; the first that answers is taken.
    pub bootstrap: Vec<Address>,
    /// The longest single wait.
    pub timeout: Duration,
}

/// Whether asking about a topic that does not exist makes it, where the broker does such a thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MissingTopics {
    /// They stay missing.
    Leave,
    /// The broker may make them.
    Create,
}

/// Who is asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Target {
    /// Any broker: the first that answered.
    Any,
    /// One broker, by id.
    Broker(i32),
}

/// A cluster that one broker at least was reached of.
pub struct Cluster {
    options: ClusterOptions,
    addresses: BTreeMap<i32, Address>,
    connections: BTreeMap<Target, Connection>,
}

impl Cluster {
    /// Connects to the first bootstrap address that answers.
    ///
    /// # Errors
    /// [`ClientFailure::Unreachable`] naming all of them; another failure of the last one.
    pub fn connect(options: ClusterOptions) -> Result<Cluster, ClientFailure> {
        let mut cluster = Cluster { options, addresses: BTreeMap::new(), connections: BTreeMap::new() };
        cluster.connection(Target::Any)?;
        Ok(cluster)
    }

    /// The longest single wait.
    pub fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// The same in milliseconds, for requests that name it.
    pub fn timeout_ms(&self) -> i32 {
        i32::try_from(self.options.timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// Asks a broker in the newest common version.
    ///
    /// # Errors
    /// [`ClientFailure`].
    pub fn ask<M: Message>(&mut self, target: Target, request: &M) -> Result<Answer, ClientFailure> {
        self.ask_up_to(target, i16::MAX, request)
    }

    /// As [`Cluster::ask`], in a version not above `version_max`.
    ///
    /// # Errors
    /// [`ClientFailure`].
    pub fn ask_up_to<M: Message>(
        &mut self,
        target: Target,
        version_max: i16,
        request: &M,
    ) -> Result<Answer, ClientFailure> {
        let answer = self.connection(target)?.ask_up_to(version_max, request);
        if matches!(answer, Err(ClientFailure::Lost { .. } | ClientFailure::Garbled { .. })) {
            self.connections.remove(&target);
        }
        answer
    }

    /// Asks the controller, or whoever passes administrative requests on to it.
    ///
    /// # Errors
    /// [`ClientFailure`].
    pub fn ask_controller<M: Message>(&mut self, request: &M) -> Result<Answer, ClientFailure> {
        let controller = self.metadata(Some(&[]), MissingTopics::Leave)?.controller_id;
        self.ask(controller.map_or(Target::Any, Target::Broker), request)
    }

    /// The connection to a broker, opened if need be.
    ///
    /// # Errors
    /// [`ClientFailure`].
    pub fn connection(&mut self, target: Target) -> Result<&mut Connection, ClientFailure> {
        if !self.connections.contains_key(&target) {
            let connection = self.open(target)?;
            self.connections.insert(target, connection);
        }
        Ok(self.connections.get_mut(&target).expect("it was opened just now"))
    }

    fn open(&self, target: Target) -> Result<Connection, ClientFailure> {
        match target {
            Target::Any => self.open_first(),
            Target::Broker(id) => {
                let address = self.addresses.get(&id).ok_or(ClientFailure::UnknownBroker { id })?;
                Connection::open(address, self.options.timeout)
            }
        }
    }

    fn open_first(&self) -> Result<Connection, ClientFailure> {
        let mut unreachable = Vec::new();
        let mut other = None;
        for address in &self.options.bootstrap {
            match Connection::open(address, self.options.timeout) {
                Ok(connection) => return Ok(connection),
                Err(ClientFailure::Unreachable { tried }) => unreachable.extend(tried),
                Err(failure) => other = Some(failure),
            }
        }
        Err(other.unwrap_or(ClientFailure::Unreachable { tried: unreachable }))
    }

    /// Topics by name, or all of them for `None`, and the brokers; remembers where brokers are.
    ///
    /// # Errors
    /// [`ClientFailure`]; that a topic does not exist is told with the topic.
    pub fn metadata(
        &mut self,
        topics: Option<&[&str]>,
        missing: MissingTopics,
    ) -> Result<ClusterMetadata, ClientFailure> {
        let request = MetadataRequest {
            topics: topics.map(|names| names.iter().map(|name| named(name)).collect()),
            allow_auto_topic_creation: missing == MissingTopics::Create,
            ..MetadataRequest::default()
        };
        let answer = self.ask(Target::Any, &request)?;
        let response = answer.read(MetadataResponse::decode)?;
        ClientFailure::check(response.error_code, || "the cluster's metadata".to_owned(), None)?;
        let metadata = ClusterMetadata::of_response(&response);
        self.remember(metadata.brokers.iter().map(|(id, broker)| (*id, broker.address.clone())));
        Ok(metadata)
    }

    /// Notes where brokers are; a connection to where one is no more is dropped.
    pub(super) fn remember(&mut self, addresses: impl Iterator<Item = (i32, Address)>) {
        for (id, address) in addresses {
            if self.addresses.get(&id) != Some(&address) {
                self.connections.remove(&Target::Broker(id));
                self.addresses.insert(id, address);
            }
        }
    }

    /// Tries again, for a few seconds, what fails for reasons that may pass: a topic just made, a leader being elected.
    ///
    /// # Errors
    /// The last failure.
    pub fn patiently<T>(
        &mut self,
        attempt: impl FnMut(&mut Cluster) -> Result<T, ClientFailure>,
    ) -> Result<T, ClientFailure> {
        self.patiently_while(ClientFailure::is_passing, attempt)
    }

    /// The same, where not every passing failure allows a second attempt.
    ///
    /// # Errors
    /// The last failure.
    pub fn patiently_while<T>(
        &mut self,
        may_be_tried_again: impl Fn(&ClientFailure) -> bool,
        mut attempt: impl FnMut(&mut Cluster) -> Result<T, ClientFailure>,
    ) -> Result<T, ClientFailure> {
        for _ in 1..ATTEMPTS_MAX {
            match attempt(self) {
                Err(failure) if may_be_tried_again(&failure) => pause(ATTEMPT_PAUSE),
                ended => return ended,
            }
        }
        attempt(self)
    }
}

fn named(name: &str) -> MetadataRequestTopic<'_> {
    MetadataRequestTopic { name: Some(name), ..MetadataRequestTopic::default() }
}

/// Waits before asking again.
#[expect(
    clippy::disallowed_methods,
    reason = "no shard runs in this process: a command that waits holds nobody up"
)]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
