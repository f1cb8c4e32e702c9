//! A member of a group, by the classic protocol: it reads nothing, and commits as if it did.
//!
//! ```text
//!   find ──► join ──► sync ──► heartbeats, commits ──► told of a rebalance ──► join again
//!    ▲                          │ leaves, falls silent, dies, joins for no reason
//!    └── connection broken ◄────┘
//! ```
//!
//! Always true: it commits in the generation that it was told last, even where it should know better after a silence; a
//! member that leads gives each partition to one member.

use std::io;
use std::time::Duration;

use ringlog_net::protocol::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ringlog_net::protocol::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ringlog_net::protocol::leave_group::{LeaveGroupRequest, MemberIdentity};
use ringlog_net::protocol::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use ringlog_runtime::memory::Random;

use crate::client::Client;
use crate::fetcher::expect_success;
use crate::group::{
    FENCED_INSTANCE_ID, Group, ILLEGAL_GENERATION, Identity, REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER_ID,
};
use crate::group_history::JoinAsked;
use crate::workload::{NO_ERROR, RETRY_AFTER};

const MEMBER_ID_REQUIRED: i16 = 79;
const SESSION_MS: [i32; 3] = [400, 1_000, 3_000];
/// How much longer than a session a rebalance waits for members. One that is over before its members have heard of it, with
/// their next beat, throws them out; they come back and begin the next one, for ever.
const PATIENCE_MS: [i32; 3] = [0, 300, 3_000];
const BEATS_PER_SESSION: u64 = 4;
/// How long it stays away, or silent, in sessions.
const AWAY_MAX: u64 = 3;

/// What a member does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    GoOn,
    JoinAgain,
    /// As somebody new, for whom the broker has forgotten.
    JoinAnew,
}

/// A member.
pub struct Member {
    group: Group,
    place: usize,
    instance: Option<String>,
    id: String,
    session_ms: i32,
    rebalance_ms: i32,
    random: Random,
}

/// The generation a member is in.
struct Joined {
    asked: JoinAsked,
    generation: i32,
    protocol: String,
    /// Everybody in it, for the one who leads and has to assign.
    to_assign: Vec<String>,
}

impl Member {
    /// Somebody who will be in the group, under a static name in half of the cases.
    pub fn new(group: Group, mut random: Random) -> Member {
        let place = group.add_member();
        let is_static = group.versions.know_instances() && random.coin();
        let session_ms = SESSION_MS[random.index(SESSION_MS.len())];
        Member {
            instance: is_static.then(|| format!("chair-{place}")),
            session_ms,
            rebalance_ms: session_ms + PATIENCE_MS[random.index(PATIENCE_MS.len())],
            group,
            place,
            id: String::new(),
            random,
        }
    }

    /// Is in the group and out of it again, and stays once the group is calm, for as long as the run goes on.
    pub async fn run(mut self) {
        loop {
            let mut client = self.group.connect();
            // What broke the connection does not matter: the next one begins where this one ended.
            let _ = self.take_part(&mut client).await;
            drop(client);
            self.group.set_place(self.place, None);
            self.group.workload.world.sleep(RETRY_AFTER).await;
        }
    }

    async fn take_part(&mut self, client: &mut Client) -> io::Result<()> {
        self.group.find(client).await?;
        loop {
            self.group.set_place(self.place, None);
            let Some(joined) = self.join(client).await? else { continue };
            let Some(owned) = self.sync(client, &joined).await? else { continue };
            let owner = self.instance.clone().unwrap_or_else(|| self.id.clone());
            let history = &self.group.workload.history;
            history.borrow_mut().groups.owned(joined.asked, joined.generation, owner, owned.clone());
            self.group.set_place(self.place, Some((joined.generation, owned.clone())));
            self.work(client, joined.generation, &owned).await?;
        }
    }

    /// Joins; none if it is to be tried again.
    async fn join(&mut self, client: &mut Client) -> io::Result<Option<Joined>> {
        let asked = self.group.workload.history.borrow_mut().groups.join_asked(self.group.number);
        let metadata = subscription(self.group.workload.topic.name);
        let protocols = ["range", "roundrobin"];
        let protocols = protocols.map(|name| JoinGroupRequestProtocol { name, metadata: &metadata });
        let request = JoinGroupRequest {
            group_id: self.group.name(),
            session_timeout_ms: self.session_ms,
            rebalance_timeout_ms: self.rebalance_ms,
            member_id: &self.id,
            group_instance_id: self.instance.as_deref(),
            protocol_type: "consumer",
            protocols: protocols.to_vec(),
            ..JoinGroupRequest::default()
        };
        let answer = client.call(&request, self.group.versions.join).await?;
        let response = answer.read(JoinGroupResponse::decode);
        if response.error_code == MEMBER_ID_REQUIRED {
            self.id = response.member_id.to_owned();
            return Ok(None);
        }
        if self.take_error(response.error_code)? != Next::GoOn {
            return Ok(None);
        }
        self.id = response.member_id.to_owned();
        let leads = response.leader == response.member_id && !response.skip_assignment;
        let members = response.members.iter().map(|member| member.member_id.to_owned());
        self.group.workload.history.borrow_mut().groups.joined(asked, response.generation_id);
        Ok(Some(Joined {
            asked,
            generation: response.generation_id,
            protocol: response.protocol_name.unwrap_or_default().to_owned(),
            to_assign: if leads { members.collect() } else { Vec::new() },
        }))
    }

    /// Takes what it is given; none if it has to join again.
    async fn sync(&mut self, client: &mut Client, joined: &Joined) -> io::Result<Option<Vec<i32>>> {
        let shares = self.shares(joined.to_assign.len());
        let assignments = joined.to_assign.iter().zip(&shares);
        let assignments =
            assignments.map(|(member_id, assignment)| SyncGroupRequestAssignment { member_id, assignment });
        let request = SyncGroupRequest {
            group_id: self.group.name(),
            generation_id: joined.generation,
            member_id: &self.id,
            group_instance_id: self.instance.as_deref(),
            protocol_type: Some("consumer"),
            protocol_name: Some(&joined.protocol),
            assignments: assignments.collect(),
        };
        let answer = client.call(&request, self.group.versions.sync).await?;
        let response = answer.read(SyncGroupResponse::decode);
        Ok(match self.take_error(response.error_code)? {
            Next::GoOn => Some(response.assignment.iter().map(|partition| i32::from(*partition)).collect()),
            Next::JoinAgain | Next::JoinAnew => None,
        })
    }

    /// Each partition for one of so many members, the first for anybody.
    fn shares(&mut self, members: usize) -> Vec<Vec<u8>> {
        let mut shares = vec![Vec::new(); members];
        if members > 0 {
            let first = self.random.index(members);
            for partition in self.group.partitions() {
                let partition = u8::try_from(partition).expect("a topic of the simulator has few partitions");
                shares[(first + usize::from(partition)) % members].push(partition);
            }
        }
        shares
    }

    /// Beats and commits until it has to join again.
    async fn work(&mut self, client: &mut Client, generation: i32, owned: &[i32]) -> io::Result<()> {
        let mut next = Next::GoOn;
        while next == Next::GoOn {
            let session = Duration::from_millis(self.session_ms as u64);
            self.group.workload.world.sleep(session / BEATS_PER_SESSION as u32).await;
            next = match self.random.below(16) {
                0 if !self.group.is_calm() => return self.leave(client).await,
                1 if !self.group.is_calm() => return Err(self.die(session).await),
                2 if !self.group.is_calm() => Next::JoinAgain,
                3 if !self.group.is_calm() => {
                    self.group.workload.world.sleep(session * self.random.below(AWAY_MAX) as u32).await;
                    self.commit(client, generation, owned).await?
                }
                4..=7 => self.commit(client, generation, owned).await?,
                8 => {
                    self.group.read(client, owned).await?;
                    Next::GoOn
                }
                _ => self.beat(client, generation).await?,
            };
        }
        Ok(())
    }

    async fn beat(&mut self, client: &mut Client, generation: i32) -> io::Result<Next> {
        let request = HeartbeatRequest {
            group_id: self.group.name(),
            generation_id: generation,
            member_id: &self.id,
            group_instance_id: self.instance.as_deref(),
        };
        let answer = client.call(&request, self.group.versions.heartbeat).await?;
        let response = answer.read(HeartbeatResponse::decode);
        self.take_error(response.error_code)
    }

    async fn commit(&mut self, client: &mut Client, generation: i32, owned: &[i32]) -> io::Result<Next> {
        if owned.is_empty() {
            return self.beat(client, generation).await;
        }
        let who = Identity { generation, member: &self.id, instance: self.instance.as_deref() };
        let code = self.group.commit(client, who, owned).await?;
        self.take_error(code)
    }

    /// Goes for a while, and comes back as somebody new.
    async fn leave(&mut self, client: &mut Client) -> io::Result<()> {
        let member = MemberIdentity {
            member_id: &self.id,
            group_instance_id: self.instance.as_deref(),
            ..MemberIdentity::default()
        };
        let request =
            LeaveGroupRequest { group_id: self.group.name(), member_id: &self.id, members: vec![member] };
        client.call(&request, self.group.versions.leave).await?;
        self.id.clear();
        self.group.set_place(self.place, None);
        let pause = RETRY_AFTER * self.random.below(20) as u32;
        self.group.workload.world.sleep(pause).await;
        Ok(())
    }

    /// Is gone without a word, and comes back as somebody new, or under its static name.
    async fn die(&mut self, session: Duration) -> io::Error {
        self.id.clear();
        self.group.set_place(self.place, None);
        let pause = session * self.random.below(AWAY_MAX) as u32;
        self.group.workload.world.sleep(pause).await;
        io::ErrorKind::ConnectionAborted.into()
    }

    /// What an error code asks for. Others break the connection.
    fn take_error(&mut self, code: i16) -> io::Result<Next> {
        match code {
            NO_ERROR => Ok(Next::GoOn),
            ILLEGAL_GENERATION | REBALANCE_IN_PROGRESS => Ok(Next::JoinAgain),
            UNKNOWN_MEMBER_ID | FENCED_INSTANCE_ID => {
                self.id.clear();
                Ok(Next::JoinAnew)
            }
            code => expect_success(code).map(|()| Next::GoOn),
        }
    }
}

/// A subscription to one topic, as all of Kafka's clients write it.
fn subscription(topic: &str) -> Vec<u8> {
    let mut bytes = 0_i16.to_be_bytes().to_vec();
    bytes.extend(1_i32.to_be_bytes());
    bytes.extend((topic.len() as i16).to_be_bytes());
    bytes.extend(topic.as_bytes());
    bytes.extend((-1_i32).to_be_bytes());
    bytes
}
