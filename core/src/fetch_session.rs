//! Fetch sessions (KIP-227): a consumer of a thousand partitions names those that changed, and is told of those
//! that changed.
//!
//! ```text
//!   id 0, epoch 0    full request   ──► all partitions answered; a session is made: id, expects epoch 1
//!   id 7, epoch n    what changed   ──► the session's whole list is read; what is new is answered; expects n + 1
//!   epoch -1         full request   ──► the session ends; all partitions answered
//! ```
//!
//! Always true: a request is answered from the list that its session held when it was opened; sessions, their
//! partitions and all partitions together are bounded. Which session makes room for another is Kafka's choice:
//! the longest unused beyond its time, else an old one smaller than the newcomer.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicName};
use crate::refusal::Refusal;
use crate::time::Instant;

/// The session id that means "none".
pub const NO_SESSION: i32 = 0;
/// The epoch of a full request that may make a session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch of a full request that must not.
const FINAL_EPOCH: i32 = -1;

/// A topic as a request names it: by id from Fetch 13 on, by name before.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TopicKey {
    /// By id.
    Id(TopicId),
    /// By name.
    Name(TopicName),
}

/// A partition as a request names it.
pub type PartitionKey = (TopicKey, PartitionIndex);

/// What a consumer wants of one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Which partition.
    pub partition: PartitionKey,
    /// From where.
    pub fetch_offset: Offset,
    /// Most bytes of this partition.
    pub bytes_max: usize,
    /// The epoch the client believes current, or unknown.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the client's last record, or unknown.
    pub last_fetched_epoch: LeaderEpoch,
}

/// The part of a Fetch request that concerns sessions.
#[derive(Clone, Debug)]
pub struct SessionRequest {
    /// Which session, [`NO_SESSION`] for none.
    pub session_id: i32,
    /// Whose turn it is.
    pub session_epoch: i32,
    /// Whether topics are named by id in this version.
    pub by_topic_id: bool,
    /// Whether it comes from a follower, whose session ordinary ones cannot displace.
    pub privileged: bool,
    /// Partitions that are new or read from elsewhere.
    pub wanted: Vec<Wanted>,
    /// Partitions no longer wanted.
    pub forgotten: Vec<PartitionKey>,
}

/// What the client last heard of a partition, or is about to hear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionState {
    /// The high watermark told.
    pub high_watermark: Offset,
    /// The log start offset told.
    pub log_start_offset: Offset,
    /// Whether there are records.
    pub has_records: bool,
    /// Whether there is something else to tell: an error, a divergence.
    pub has_news: bool,
    /// Whether it is an error: the next state is told whatever it is.
    pub is_error: bool,
}

/// A request being answered.
#[derive(Debug)]
pub struct FetchContext {
    kind: Kind,
    wanted: Vec<Wanted>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Sessionless,
    Full { by_topic_id: bool, privileged: bool },
    Incremental { session_id: i32, epoch: i32 },
}

impl FetchContext {
    /// All partitions to read, in the order in which they use up the response's bytes.
    pub fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }
}

/// How to answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionAnswer {
    /// The session's id, [`NO_SESSION`] if there is none.
    pub session_id: i32,
    /// For each partition read, whether the response names it.
    pub included: Vec<bool>,
}

/// How many sessions there may be, and how large.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionBounds {
    /// Sessions at a time.
    pub sessions_max: usize,
    /// Partitions of one session.
    pub partitions_per_session_max: usize,
    /// Partitions of all sessions together.
    pub partitions_max: usize,
    /// How long a session is safe from ordinary newcomers.
    pub eviction_after: Duration,
}

/// The sessions of one shard's connections.
#[derive(Debug)]
pub struct FetchSessions {
    bounds: SessionBounds,
    sessions: BTreeMap<i32, Session>,
    partition_count: usize,
}

#[derive(Debug)]
struct Session {
    next_epoch: i32,
    by_topic_id: bool,
    privileged: bool,
    created: Instant,
    last_used: Instant,
    order_of: BTreeMap<PartitionKey, u64>,
    in_order: BTreeMap<u64, Remembered>,
    next_order: u64,
}

#[derive(Debug)]
struct Remembered {
    wanted: Wanted,
    told: Option<(Offset, Offset)>,
}

impl FetchSessions {
    /// No sessions.
    pub fn new(bounds: SessionBounds) -> FetchSessions {
        FetchSessions { bounds, sessions: BTreeMap::new(), partition_count: 0 }
    }

    /// How many sessions there are.
    pub fn count(&self) -> usize {
        self.sessions.len()
    }

    /// Finds out which partitions a request is about.
    ///
    /// # Errors
    /// The session is unknown, out of turn, or was made with the other way to name topics.
    pub fn open(&mut self, request: SessionRequest, now: Instant) -> Result<FetchContext, Refusal> {
        match request.session_epoch {
            INITIAL_EPOCH | FINAL_EPOCH => {
                self.close(request.session_id);
                let kind = match request.session_epoch {
                    FINAL_EPOCH => Kind::Sessionless,
                    _ => Kind::Full { by_topic_id: request.by_topic_id, privileged: request.privileged },
                };
                Ok(FetchContext { kind, wanted: each_once(request.wanted) })
            }
            _ => self.open_incremental(request, now),
        }
    }

    fn open_incremental(&mut self, request: SessionRequest, now: Instant) -> Result<FetchContext, Refusal> {
        let session = self.sessions.get_mut(&request.session_id).ok_or(Refusal::FetchSessionIdNotFound)?;
        if session.next_epoch != request.session_epoch {
            return Err(Refusal::InvalidFetchSessionEpoch {
                expected: session.next_epoch,
                found: request.session_epoch,
            });
        }
        if session.by_topic_id != request.by_topic_id {
            return Err(Refusal::FetchSessionTopicIdMixed);
        }
        let before = session.in_order.len();
        let others = self.partition_count - before;
        for forgotten in &request.forgotten {
            session.forget(forgotten);
        }
        let room = self.bounds.partitions_per_session_max.min(self.bounds.partitions_max - others);
        let fits = request.wanted.iter().all(|wanted| session.want(wanted.clone(), room));
        let after = session.in_order.len();
        self.partition_count = others + after;
        if !fits {
            // Every client knows what to do without a session; none knows what to do with a full one.
            self.close(request.session_id);
            return Err(Refusal::FetchSessionIdNotFound);
        }
        if after == 0 {
            self.close(request.session_id);
            return Ok(FetchContext { kind: Kind::Sessionless, wanted: request.wanted });
        }
        session.last_used = now;
        session.next_epoch = epoch_after(request.session_epoch);
        let kind = Kind::Incremental { session_id: request.session_id, epoch: session.next_epoch };
        Ok(FetchContext { kind, wanted: session.in_order.values().map(|part| part.wanted.clone()).collect() })
    }

    /// Decides what of the partitions read is told, and remembers it. `states` has one entry for each of
    /// [`FetchContext::wanted`]; `random` draws the id of a new session.
    ///
    /// # Errors
    /// The session went on with another request meanwhile, or made room for another.
    pub fn answer(
        &mut self,
        context: FetchContext,
        states: &[PartitionState],
        now: Instant,
        random: impl FnMut() -> u64,
    ) -> Result<SessionAnswer, Refusal> {
        assert_eq!(context.wanted.len(), states.len(), "one state for each partition wanted");
        let all = vec![true; states.len()];
        match context.kind {
            Kind::Sessionless => Ok(SessionAnswer { session_id: NO_SESSION, included: all }),
            Kind::Full { by_topic_id, privileged } => {
                let mut session = Session::new(by_topic_id, privileged, now);
                for (wanted, state) in context.wanted.into_iter().zip(states) {
                    session.remember(wanted, state);
                }
                Ok(SessionAnswer { session_id: self.admit(session, now, random), included: all })
            }
            Kind::Incremental { session_id, epoch } => {
                let session = self.sessions.get_mut(&session_id).ok_or(Refusal::FetchSessionIdNotFound)?;
                if session.next_epoch != epoch {
                    return Err(Refusal::InvalidFetchSessionEpoch {
                        expected: session.next_epoch,
                        found: epoch,
                    });
                }
                let told = context.wanted.iter().zip(states);
                let included = told.map(|(wanted, state)| session.tell(&wanted.partition, state)).collect();
                Ok(SessionAnswer { session_id, included })
            }
        }
    }

    /// Makes a session if there is room for it; [`NO_SESSION`] if there is none.
    fn admit(&mut self, session: Session, now: Instant, mut random: impl FnMut() -> u64) -> i32 {
        let size = session.in_order.len();
        if size > self.bounds.partitions_per_session_max {
            return NO_SESSION;
        }
        while self.sessions.len() >= self.bounds.sessions_max
            || self.partition_count + size > self.bounds.partitions_max
        {
            let Some(evicted) = self.evictable(&session, now) else { return NO_SESSION };
            self.close(evicted);
        }
        let id = loop {
            let id = (random() & 0x7fff_ffff) as i32;
            if id != NO_SESSION && !self.sessions.contains_key(&id) {
                break id;
            }
        };
        self.partition_count += size;
        self.sessions.insert(id, session);
        id
    }

    /// Whom a newcomer may displace: the longest unused if its time is over, else the smallest that is less
    /// worthy than the newcomer and not new itself (a follower need not wait for that).
    fn evictable(&self, newcomer: &Session, now: Instant) -> Option<i32> {
        let after = self.bounds.eviction_after;
        let (id, oldest) = self.sessions.iter().min_by_key(|(_, session)| session.last_used)?;
        if now.since(oldest.last_used) > after {
            return Some(*id);
        }
        let open_to_newcomer = |session: &Session| {
            now.since(session.created) > after || (newcomer.privileged && !session.privileged)
        };
        let (worth, id) = self
            .sessions
            .iter()
            .filter(|(_, session)| open_to_newcomer(session))
            .map(|(id, session)| (session.worth(), *id))
            .min()?;
        (worth < newcomer.worth()).then_some(id)
    }

    fn close(&mut self, id: i32) {
        if let Some(session) = self.sessions.remove(&id) {
            self.partition_count -= session.in_order.len();
        }
    }
}

impl Session {
    fn new(by_topic_id: bool, privileged: bool, now: Instant) -> Session {
        Session {
            next_epoch: epoch_after(INITIAL_EPOCH),
            by_topic_id,
            privileged,
            created: now,
            last_used: now,
            order_of: BTreeMap::new(),
            in_order: BTreeMap::new(),
            next_order: 0,
        }
    }

    fn worth(&self) -> (bool, usize) {
        (self.privileged, self.in_order.len())
    }

    /// Adds a partition or changes what is wanted of it; false if there is no room.
    fn want(&mut self, wanted: Wanted, partitions_max: usize) -> bool {
        if let Some(order) = self.order_of.get(&wanted.partition) {
            self.in_order.get_mut(order).expect("both maps hold the same partitions").wanted = wanted;
            return true;
        }
        if self.in_order.len() >= partitions_max {
            return false;
        }
        self.push(Remembered { wanted, told: None });
        true
    }

    fn forget(&mut self, partition: &PartitionKey) {
        if let Some(order) = self.order_of.remove(partition) {
            self.in_order.remove(&order);
        }
    }

    fn remember(&mut self, wanted: Wanted, state: &PartitionState) {
        self.forget(&wanted.partition);
        self.push(Remembered { wanted, told: told(state) });
    }

    /// Whether a partition's state is told; one whose records are told goes to the back (F18).
    fn tell(&mut self, partition: &PartitionKey, state: &PartitionState) -> bool {
        let Some(order) = self.order_of.get(partition).copied() else { return true };
        let part = self.in_order.get_mut(&order).expect("both maps hold the same partitions");
        let changed = part.told != Some((state.high_watermark, state.log_start_offset));
        part.told = told(state);
        if state.has_records {
            let part = self.in_order.remove(&order).expect("it was just there");
            self.push(part);
        }
        changed || state.has_records || state.has_news
    }

    fn push(&mut self, part: Remembered) {
        self.order_of.insert(part.wanted.partition.clone(), self.next_order);
        self.in_order.insert(self.next_order, part);
        self.next_order += 1;
    }
}

/// What a client knows after being told; nothing after an error, so that the next state is told again (F16).
fn told(state: &PartitionState) -> Option<(Offset, Offset)> {
    (!state.is_error).then_some((state.high_watermark, state.log_start_offset))
}

/// After the largest epoch comes 1: 0 and -1 have meanings of their own.
fn epoch_after(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

/// A partition that a request names more than once is wanted once: at its first place, as it was named last.
fn each_once(wanted: Vec<Wanted>) -> Vec<Wanted> {
    if wanted.len() < 2 {
        return wanted;
    }
    let mut places: FxHashMap<PartitionKey, usize> = FxHashMap::default();
    places.reserve(wanted.len());
    let mut once: Vec<Wanted> = Vec::with_capacity(wanted.len());
    for one in wanted {
        match places.entry(one.partition.clone()) {
            Entry::Occupied(place) => once[*place.get()] = one,
            Entry::Vacant(place) => {
                place.insert(once.len());
                once.push(one);
            }
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: SessionBounds = SessionBounds {
        sessions_max: 2,
        partitions_per_session_max: 3,
        partitions_max: 5,
        eviction_after: Duration::from_secs(120),
    };

    const QUIET: PartitionState = PartitionState {
        high_watermark: Offset(10),
        log_start_offset: Offset(0),
        has_records: false,
        has_news: false,
        is_error: false,
    };

    fn at(seconds: u64) -> Instant {
        Instant::default() + Duration::from_secs(seconds)
    }

    fn key(number: i32) -> PartitionKey {
        (TopicKey::Name("topic".into()), PartitionIndex(number))
    }

    fn wanted(number: i32) -> Wanted {
        Wanted {
            partition: key(number),
            fetch_offset: Offset(10),
            bytes_max: 1_000,
            current_leader_epoch: LeaderEpoch::UNKNOWN,
            last_fetched_epoch: LeaderEpoch::UNKNOWN,
        }
    }

    fn request(session_id: i32, session_epoch: i32, partitions: &[i32]) -> SessionRequest {
        SessionRequest {
            session_id,
            session_epoch,
            by_topic_id: false,
            privileged: false,
            wanted: partitions.iter().map(|number| wanted(*number)).collect(),
            forgotten: Vec::new(),
        }
    }

    fn make(sessions: &mut FetchSessions, request: SessionRequest, now: Instant, id: u64) -> SessionAnswer {
        let context = sessions.open(request, now).unwrap();
        let states = vec![QUIET; context.wanted().len()];
        sessions.answer(context, &states, now, || id).unwrap()
    }

    fn numbers(context: &FetchContext) -> Vec<i32> {
        context.wanted().iter().map(|wanted| wanted.partition.1.0).collect()
    }

    #[test]
    fn a_partition_named_again_and_again_is_wanted_once_as_it_was_named_last() {
        let mut sessions = FetchSessions::new(BOUNDS);
        for epoch in [INITIAL_EPOCH, FINAL_EPOCH] {
            let mut asked = request(0, epoch, &[2, 0, 2, 1, 2]);
            asked.wanted[4].bytes_max = 7;
            let context = sessions.open(asked, at(0)).unwrap();
            assert_eq!(numbers(&context), [2, 0, 1]);
            assert_eq!(context.wanted()[0].bytes_max, 7);
        }
    }

    #[test]
    fn f15_a_full_request_makes_a_session_that_expects_epoch_one() {
        let mut sessions = FetchSessions::new(BOUNDS);
        let answer = make(&mut sessions, request(0, 0, &[0, 1]), at(0), 7);
        assert_eq!(answer, SessionAnswer { session_id: 7, included: vec![true, true] });
        let context = sessions.open(request(7, 1, &[]), at(1)).unwrap();
        assert_eq!(numbers(&context), [0, 1]);
    }

    #[test]
    fn f15_a_session_out_of_turn_or_unknown_or_mixed_is_refused() {
        let mut sessions = FetchSessions::new(BOUNDS);
        make(&mut sessions, request(0, 0, &[0]), at(0), 7);
        assert_eq!(
            sessions.open(request(7, 2, &[]), at(1)).unwrap_err(),
            Refusal::InvalidFetchSessionEpoch { expected: 1, found: 2 }
        );
        assert_eq!(sessions.open(request(8, 1, &[]), at(1)).unwrap_err(), Refusal::FetchSessionIdNotFound);
        let mixed = SessionRequest { by_topic_id: true, ..request(7, 1, &[]) };
        assert_eq!(sessions.open(mixed, at(1)).unwrap_err(), Refusal::FetchSessionTopicIdMixed);
    }

    #[test]
    fn f15_after_the_largest_epoch_comes_one() {
        assert_eq!(epoch_after(i32::MAX), 1);
        assert_eq!(epoch_after(1), 2);
    }

    #[test]
    fn f15_epoch_minus_one_ends_the_session() {
        let mut sessions = FetchSessions::new(BOUNDS);
        make(&mut sessions, request(0, 0, &[0]), at(0), 7);
        let answer = make(&mut sessions, request(7, -1, &[0]), at(1), 9);
        assert_eq!(answer, SessionAnswer { session_id: NO_SESSION, included: vec![true] });
        assert_eq!(sessions.count(), 0);
    }

    #[test]
    fn f16_only_what_changed_is_told_and_an_error_is_followed_by_the_state() {
        let mut sessions = FetchSessions::new(BOUNDS);
        make(&mut sessions, request(0, 0, &[0, 1]), at(0), 7);
        let moved = PartitionState { high_watermark: Offset(11), ..QUIET };
        let context = sessions.open(request(7, 1, &[]), at(1)).unwrap();
        let answer = sessions.answer(context, &[QUIET, moved], at(1), || 0).unwrap();
        assert_eq!(answer.included, [false, true]);
        let error = PartitionState { has_news: true, is_error: true, ..QUIET };
        let context = sessions.open(request(7, 2, &[]), at(2)).unwrap();
        assert_eq!(sessions.answer(context, &[error, moved], at(2), || 0).unwrap().included, [true, false]);
        let context = sessions.open(request(7, 3, &[]), at(3)).unwrap();
        assert_eq!(sessions.answer(context, &[QUIET, moved], at(3), || 0).unwrap().included, [true, false]);
    }

    #[test]
    fn f17_partitions_are_added_moved_and_forgotten_and_an_empty_session_closes() {
        let mut sessions = FetchSessions::new(BOUNDS);
        make(&mut sessions, request(0, 0, &[0, 1]), at(0), 7);
        let change = SessionRequest { forgotten: vec![key(0)], ..request(7, 1, &[2]) };
        let context = sessions.open(change, at(1)).unwrap();
        assert_eq!(numbers(&context), [1, 2]);
        sessions.answer(context, &[QUIET, QUIET], at(1), || 0).unwrap();
        let end = SessionRequest { forgotten: vec![key(1), key(2)], ..request(7, 2, &[]) };
        let context = sessions.open(end, at(2)).unwrap();
        assert_eq!((numbers(&context), sessions.count()), (vec![], 0));
    }

    #[test]
    fn f18_a_partition_that_returned_records_goes_to_the_back() {
        let mut sessions = FetchSessions::new(BOUNDS);
        make(&mut sessions, request(0, 0, &[0, 1, 2]), at(0), 7);
        let context = sessions.open(request(7, 1, &[]), at(1)).unwrap();
        let full = PartitionState { has_records: true, ..QUIET };
        assert!(sessions.answer(context, &[full, QUIET, QUIET], at(1), || 0).unwrap().included[0]);
        let context = sessions.open(request(7, 2, &[]), at(2)).unwrap();
        assert_eq!(numbers(&context), [1, 2, 0]);
    }

    #[test]
    fn f17_a_newcomer_displaces_the_unused_or_an_old_smaller_session_only() {
        let mut sessions = FetchSessions::new(BOUNDS);
        make(&mut sessions, request(0, 0, &[0]), at(0), 7);
        make(&mut sessions, request(0, 0, &[0]), at(0), 8);
        assert_eq!(make(&mut sessions, request(0, 0, &[0, 1]), at(100), 9).session_id, NO_SESSION);
        make(&mut sessions, request(7, 1, &[]), at(100), 0);
        make(&mut sessions, request(8, 1, &[]), at(115), 0);
        assert_eq!(make(&mut sessions, request(0, 0, &[0]), at(121), 9).session_id, NO_SESSION, "not larger");
        assert_eq!(make(&mut sessions, request(0, 0, &[0, 1]), at(121), 9).session_id, 9, "old and smaller");
        assert_eq!(make(&mut sessions, request(0, 0, &[0]), at(236), 10).session_id, 10, "unused for 121 s");
    }

    #[test]
    fn a_follower_displaces_a_smaller_ordinary_session_at_once() {
        let mut sessions = FetchSessions::new(BOUNDS);
        make(&mut sessions, request(0, 0, &[0]), at(0), 7);
        make(&mut sessions, request(0, 0, &[0]), at(0), 8);
        let follower = SessionRequest { privileged: true, ..request(0, 0, &[0]) };
        assert_eq!(make(&mut sessions, follower, at(1), 9).session_id, 9);
    }

    #[test]
    fn partitions_of_one_session_and_of_all_are_bounded() {
        let mut sessions = FetchSessions::new(BOUNDS);
        assert_eq!(make(&mut sessions, request(0, 0, &[0, 1, 2, 3]), at(0), 7).session_id, NO_SESSION);
        make(&mut sessions, request(0, 0, &[0, 1, 2]), at(0), 7);
        assert_eq!(make(&mut sessions, request(0, 0, &[0, 1, 2]), at(0), 8).session_id, NO_SESSION);
        assert_eq!(sessions.open(request(7, 1, &[3]), at(1)).unwrap_err(), Refusal::FetchSessionIdNotFound);
        assert_eq!((sessions.count(), sessions.partition_count), (0, 0), "the client starts over without it");
    }
}
