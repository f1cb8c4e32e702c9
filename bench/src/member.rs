//! A member of a consumer group by the classic protocol, and what all members of a run know of each other.
//!
//! ```text
//!   join ──► id ──► join ──► generation ──► sync (the leader deals out) ──► partitions ──► heartbeats ... ──► leave
//!     ▲                                                                        │ a rebalance
//!     └────────────────────────────────────────────────────────────────────────┘
//! ```

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ringlog_core::error_code::ErrorCode;
use ringlog_core::time::Instant;
use ringlog_net::protocol::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ringlog_net::protocol::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ringlog_net::protocol::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use ringlog_net::protocol::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use ringlog_runtime::environment::Environment;
use ringlog_runtime::uring::UringEnvironment;

use crate::failure::{BenchFailure, error_name};
use crate::line::Line;

const SESSION_TIMEOUT_MS: i32 = 45_000;
const REBALANCE_TIMEOUT_MS: i32 = 60_000;
const PROTOCOL_TYPE: &str = "consumer";
const ASSIGNOR: &str = "range";

/// The pause before something that passes is asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// A member's generation and partitions, once it has some.
type Place = Option<(i32, Vec<i32>)>;

/// What members of one group know of each other.
pub struct Formation {
    places: RefCell<Vec<Place>>,
    /// When the last of them got its partitions.
    pub completed: Cell<Instant>,
    /// Heartbeats answered well and otherwise.
    pub heartbeats: Cell<(u64, u64)>,
    /// It is time to leave.
    pub ended: Cell<bool>,
    /// Members that have not left.
    pub living: Cell<usize>,
    /// The first thing that went wrong.
    pub failure: RefCell<Option<BenchFailure>>,
}

impl Formation {
    /// Nobody has joined.
    pub fn new(members: usize) -> Formation {
        Formation {
            places: RefCell::new(vec![None; members]),
            completed: Cell::default(),
            heartbeats: Cell::default(),
            ended: Cell::new(false),
            living: Cell::new(members),
            failure: RefCell::default(),
        }
    }

    /// Whether all members have their partitions in the same generation.
    pub fn is_complete(&self) -> bool {
        let places = self.places.borrow();
        let first = places.first().and_then(|place| place.as_ref()).map(|(generation, _)| *generation);
        first.is_some()
            && places.iter().all(|place| place.as_ref().map(|(generation, _)| *generation) == first)
    }

    /// Whether each partition of so many belongs to one member.
    pub fn deals_out(&self, partitions: i32) -> bool {
        let places = self.places.borrow();
        let mut dealt: Vec<i32> =
            places.iter().flatten().flat_map(|(_, partitions)| partitions.iter().copied()).collect();
        dealt.sort_unstable();
        dealt.into_iter().eq(0..partitions)
    }

    /// The newest generation.
    pub fn generation(&self) -> i32 {
        self.places.borrow().iter().flatten().map(|(generation, _)| *generation).max().unwrap_or(-1)
    }

    fn place(&self, member: usize, place: Place, now: Instant) {
        self.places.borrow_mut()[member] = place;
        if self.is_complete() {
            self.completed.set(now);
        }
    }
}

/// In which versions a member speaks.
#[derive(Clone, Copy, Debug)]
pub struct MemberVersions {
    /// JoinGroup.
    pub join: i16,
    /// SyncGroup.
    pub sync: i16,
    /// Heartbeat.
    pub heartbeat: i16,
    /// LeaveGroup.
    pub leave: i16,
}

/// A member.
pub struct Member {
    /// The shard.
    pub env: UringEnvironment,
    /// Its connection to the coordinator.
    pub line: Line,
    /// Its number in the run.
    pub number: usize,
    /// Its group.
    pub group: String,
    /// What it reads.
    pub topic: String,
    /// How many partitions that has.
    pub partitions: i32,
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// In which versions it speaks.
    pub versions: MemberVersions,
    /// Its id, once it has one.
    pub id: RefCell<String>,
    /// Its generation.
    pub generation: Cell<i32>,
}

/// What became of a step.
enum Step {
    Done,
    JoinAgain,
}

impl Member {
    /// Joins, keeps up heartbeats, leaves when the run ends.
    pub async fn live(mut self, formation: Rc<Formation>) {
        if let Err(failure) = self.take_part(&formation).await {
            formation.failure.borrow_mut().get_or_insert(failure);
        }
        formation.living.set(formation.living.get() - 1);
    }

    async fn take_part(&mut self, formation: &Formation) -> Result<(), BenchFailure> {
        while !formation.ended.get() {
            formation.place(self.number, None, self.env.now());
            if let Some(assignments) = self.join().await?
                && let Some(partitions) = self.sync(assignments).await?
            {
                formation.place(self.number, Some((self.generation.get(), partitions)), self.env.now());
                self.keep_up(formation).await?;
            }
        }
        self.leave().await
    }

    /// Joins; what the leader has to deal out, nothing for other members; `None` to join again.
    async fn join(&mut self) -> Result<Option<Vec<(String, Vec<u8>)>>, BenchFailure> {
        let id = self.id.borrow().clone();
        let metadata = subscription(&self.topic);
        let request = JoinGroupRequest {
            group_id: &self.group,
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            member_id: &id,
            protocol_type: PROTOCOL_TYPE,
            protocols: vec![JoinGroupRequestProtocol { name: ASSIGNOR, metadata: &metadata }],
            ..JoinGroupRequest::default()
        };
        let reply = self.line.ask(self.versions.join, &request).await?;
        let response = reply.read::<JoinGroupRequest<'_>, _>(JoinGroupResponse::decode)?;
        if response.error_code == ErrorCode::MemberIdRequired.number() {
            *self.id.borrow_mut() = response.member_id.to_owned();
            return Ok(None);
        }
        if let Step::JoinAgain = self.judge("join", response.error_code).await? {
            return Ok(None);
        }
        *self.id.borrow_mut() = response.member_id.to_owned();
        self.generation.set(response.generation_id);
        if response.leader != response.member_id {
            return Ok(Some(Vec::new()));
        }
        let mut members: Vec<&str> = response.members.iter().map(|member| member.member_id).collect();
        members.sort_unstable();
        let ranges = ranges(self.partitions, members.len());
        let dealt = members.iter().zip(ranges);
        Ok(Some(
            dealt.map(|(member, range)| ((*member).to_owned(), assignment(&self.topic, range))).collect(),
        ))
    }

    /// Gets its partitions; `None` to join again.
    async fn sync(&mut self, dealt: Vec<(String, Vec<u8>)>) -> Result<Option<Vec<i32>>, BenchFailure> {
        let id = self.id.borrow().clone();
        let assignments = dealt
            .iter()
            .map(|(member_id, assignment)| SyncGroupRequestAssignment { member_id, assignment })
            .collect();
        let request = SyncGroupRequest {
            group_id: &self.group,
            generation_id: self.generation.get(),
            member_id: &id,
            protocol_type: Some(PROTOCOL_TYPE),
            protocol_name: Some(ASSIGNOR),
            assignments,
            ..SyncGroupRequest::default()
        };
        let reply = self.line.ask(self.versions.sync, &request).await?;
        let response = reply.read::<SyncGroupRequest<'_>, _>(SyncGroupResponse::decode)?;
        match self.judge("sync", response.error_code).await? {
            Step::JoinAgain => Ok(None),
            Step::Done => Ok(Some(assigned(response.assignment, &self.topic)?)),
        }
    }

    /// Heartbeats until the group rebalances or the run ends.
    async fn keep_up(&mut self, formation: &Formation) -> Result<(), BenchFailure> {
        while !formation.ended.get() {
            let next = self.env.now() + self.heartbeat;
            let id = self.id.borrow().clone();
            let request = HeartbeatRequest {
                group_id: &self.group,
                generation_id: self.generation.get(),
                member_id: &id,
                ..HeartbeatRequest::default()
            };
            let reply = self.line.ask(self.versions.heartbeat, &request).await?;
            let response = reply.read::<HeartbeatRequest<'_>, _>(HeartbeatResponse::decode)?;
            let (answered, refused) = formation.heartbeats.get();
            if response.error_code != 0 {
                formation.heartbeats.set((answered, refused + 1));
                self.judge("heartbeat", response.error_code).await?;
                return Ok(());
            }
            formation.heartbeats.set((answered + 1, refused));
            while self.env.now() < next && !formation.ended.get() {
                self.env.sleep_until(next.min(self.env.now() + PAUSE)).await;
            }
        }
        Ok(())
    }

    async fn leave(&mut self) -> Result<(), BenchFailure> {
        let id = self.id.borrow().clone();
        if id.is_empty() {
            return Ok(());
        }
        let member = MemberIdentity { member_id: &id, ..MemberIdentity::default() };
        let request =
            LeaveGroupRequest { group_id: &self.group, members: vec![member], ..Default::default() };
        let reply = self.line.ask(self.versions.leave, &request).await?;
        let response = reply.read::<LeaveGroupRequest<'_>, _>(LeaveGroupResponse::decode)?;
        self.judge("leave", response.error_code).await.map(|_| ())
    }

    /// What an error code means for a member.
    async fn judge(&mut self, step: &str, code: i16) -> Result<Step, BenchFailure> {
        match ErrorCode::from_number(code) {
            Some(ErrorCode::None) => return Ok(Step::Done),
            Some(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration) => {}
            Some(ErrorCode::UnknownMemberId) => self.id.borrow_mut().clear(),
            Some(passing) if passing.is_retriable() => {
                self.env.sleep_until(self.env.now() + PAUSE).await;
            }
            _ => {
                let name = error_name(code);
                return Err(BenchFailure::Broker(format!(
                    "it refused a {step} of group {}: {name}",
                    self.group
                )));
            }
        }
        Ok(Step::JoinAgain)
    }
}

/// What each of so many members gets: neighbours, the first members one more where it does not divide.
fn ranges(partitions: i32, members: usize) -> Vec<std::ops::Range<i32>> {
    let members = members as i32;
    let (each, more) = (partitions / members, partitions % members);
    let start = |member: i32| member * each + member.min(more);
    (0..members).map(|member| start(member)..start(member + 1)).collect()
}

/// What a member tells of itself: version 0, its topics, nothing else.
fn subscription(topic: &str) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 0, 0, 1];
    put_text(&mut bytes, topic);
    bytes.extend((-1i32).to_be_bytes());
    bytes
}

/// What a member gets: version 0, topics with partitions, nothing else.
fn assignment(topic: &str, partitions: std::ops::Range<i32>) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend(1i32.to_be_bytes());
    put_text(&mut bytes, topic);
    bytes.extend((partitions.len() as i32).to_be_bytes());
    partitions.for_each(|partition| bytes.extend(partition.to_be_bytes()));
    bytes.extend((-1i32).to_be_bytes());
    bytes
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u16).to_be_bytes());
    bytes.extend(text.as_bytes());
}

/// Reads what [`assignment`] wrote.
fn assigned(bytes: &[u8], topic: &str) -> Result<Vec<i32>, BenchFailure> {
    let head = assignment(topic, 0..0);
    let partitions_at = head.len() - 4;
    let strange =
        || BenchFailure::Broker("a member got an assignment that its leader did not write".to_owned());
    let same = bytes.len() >= head.len() && bytes[..partitions_at - 4] == head[..partitions_at - 4];
    let body = bytes.get(partitions_at..bytes.len().wrapping_sub(4)).filter(|_| same).ok_or_else(strange)?;
    Ok(body.chunks_exact(4).map(|word| i32::from_be_bytes(word.try_into().expect("four bytes"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_every_partition_once_and_differ_by_one_at_most() {
        for (partitions, members) in [(100, 100), (10, 3), (2, 5), (7, 1)] {
            let ranges = ranges(partitions, members);
            assert!(ranges.iter().cloned().flatten().eq(0..partitions), "{partitions} over {members}");
            let sizes = ranges.iter().map(ExactSizeIterator::len);
            assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1);
        }
    }

    #[test]
    fn an_assignment_reads_as_it_was_written_and_a_strange_one_is_refused() {
        let bytes = assignment("topic", 3..6);
        assert_eq!(assigned(&bytes, "topic").unwrap(), [3, 4, 5]);
        assert!(assigned(&assignment("topic", 0..0), "topic").unwrap().is_empty());
        assert!(assigned(&bytes, "other").is_err() && assigned(&[], "topic").is_err());
        assert!(assigned(&bytes[..7], "topic").is_err());
    }

    #[test]
    fn a_group_is_complete_when_all_are_in_one_generation() {
        let formation = Formation::new(2);
        assert!(!formation.is_complete());
        formation.place(0, Some((1, vec![0, 1])), Instant(5));
        assert!(!formation.is_complete());
        formation.place(1, Some((2, vec![2])), Instant(6));
        assert!(!formation.is_complete());
        formation.place(0, Some((2, vec![0, 1])), Instant(7));
        assert!(formation.is_complete() && formation.deals_out(3) && !formation.deals_out(4));
        assert_eq!((formation.completed.get(), formation.generation()), (Instant(7), 2));
        formation.place(1, Some((2, vec![1])), Instant(8));
        assert!(!formation.deals_out(3), "one partition twice, one never");
    }
}
