//! Fetch sessions against a client that keeps the same list itself: whatever is added, moved, forgotten, lost or
//! repeated, both agree on which partitions are read, and the client ends up knowing every partition's state.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use ringlog_core::fetch_session::{
    FetchSessions, NO_SESSION, PartitionState, SessionBounds, SessionRequest, TopicKey, Wanted,
};
use ringlog_core::ids::{LeaderEpoch, Offset, PartitionIndex};
use ringlog_core::refusal::Refusal;
use ringlog_core::time::Instant;

const PARTITIONS: i32 = 6;

const BOUNDS: SessionBounds = SessionBounds {
    sessions_max: 2,
    partitions_per_session_max: 4,
    partitions_max: 7,
    eviction_after: Duration::from_secs(120),
};

/// One step of one of three clients.
#[derive(Clone, Debug)]
struct Step {
    client: usize,
    /// Toggles whether these partitions are wanted.
    toggled: Vec<i32>,
    /// Moves these partitions' high watermarks before the broker answers.
    moved: Vec<i32>,
    /// This partition answers with an error.
    failing: Option<i32>,
    /// The answer is lost on the way.
    is_lost: bool,
    seconds: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let partitions = || prop::collection::vec(0..PARTITIONS, 0..3);
    (
        0usize..3,
        partitions(),
        partitions(),
        prop::option::weighted(0.2, 0..PARTITIONS),
        prop::bool::weighted(0.1),
        0u64..60,
    )
        .prop_map(|(client, toggled, moved, failing, is_lost, seconds)| Step {
            client,
            toggled,
            moved,
            failing,
            is_lost,
            seconds,
        })
}

#[derive(Clone, Default, Debug)]
struct Client {
    session_id: i32,
    epoch: i32,
    /// Wanted partitions, and whether the session knows of them.
    wanted: BTreeMap<i32, bool>,
    forgotten: Vec<i32>,
    /// The high watermark last heard of; `None` after an error.
    heard: BTreeMap<i32, Option<i64>>,
}

impl Client {
    fn start_over(&mut self) {
        self.epoch = 0;
        self.forgotten.clear();
        self.wanted.values_mut().for_each(|is_known| *is_known = false);
    }

    fn toggle(&mut self, partition: i32) {
        match self.wanted.remove(&partition) {
            Some(true) => self.forgotten.push(partition),
            Some(false) => {}
            None => {
                // One forgotten but not yet said to be is simply wanted on.
                let is_known = self.forgotten.contains(&partition);
                self.forgotten.retain(|&other| other != partition);
                self.wanted.insert(partition, is_known);
            }
        }
    }

    fn request(&self) -> SessionRequest {
        let named = self.wanted.iter().filter(|(_, is_known)| self.epoch == 0 || !**is_known);
        SessionRequest {
            session_id: self.session_id,
            session_epoch: self.epoch,
            by_topic_id: false,
            privileged: false,
            wanted: named.map(|(partition, _)| wanted(*partition)).collect(),
            forgotten: self.forgotten.iter().map(|partition| wanted(*partition).partition).collect(),
        }
    }
}

fn wanted(partition: i32) -> Wanted {
    Wanted {
        partition: (TopicKey::Name("topic".into()), PartitionIndex(partition)),
        fetch_offset: Offset(0),
        bytes_max: 1,
        current_leader_epoch: LeaderEpoch::UNKNOWN,
        last_fetched_epoch: LeaderEpoch::UNKNOWN,
    }
}

fn state(partition: i32, high_watermarks: &[i64], failing: Option<i32>) -> PartitionState {
    let is_error = failing == Some(partition);
    PartitionState {
        high_watermark: Offset(high_watermarks[partition as usize]),
        log_start_offset: Offset(0),
        has_records: false,
        has_news: is_error,
        is_error,
    }
}

proptest! {
    #[test]
    fn client_and_broker_agree_on_what_is_read_and_the_client_hears_of_every_change(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut sessions = FetchSessions::new(BOUNDS);
        let mut clients = vec![Client::default(); 3];
        let mut high_watermarks = [0i64; PARTITIONS as usize];
        let (mut now, mut next_id) = (Instant::default(), 0u64);
        for step in steps {
            now = now + Duration::from_secs(step.seconds);
            let client = &mut clients[step.client];
            step.toggled.iter().for_each(|partition| client.toggle(*partition));
            step.moved.iter().for_each(|partition| high_watermarks[*partition as usize] += 1);
            let context = match sessions.open(client.request(), now) {
                Ok(context) => context,
                Err(refusal) => {
                    let is_expected = matches!(
                        refusal,
                        Refusal::FetchSessionIdNotFound | Refusal::InvalidFetchSessionEpoch { .. }
                    );
                    prop_assert!(is_expected && client.epoch > 0, "{refusal:?}");
                    client.start_over();
                    continue;
                }
            };
            let read: Vec<i32> = context.wanted().iter().map(|wanted| wanted.partition.1.0).collect();
            let mut sorted = read.clone();
            sorted.sort_unstable();
            prop_assert_eq!(&sorted, &client.wanted.keys().copied().collect::<Vec<_>>());
            let states: Vec<_> =
                read.iter().map(|partition| state(*partition, &high_watermarks, step.failing)).collect();
            let is_full = client.epoch == 0;
            let answer = sessions.answer(context, &states, now, || { next_id += 1; next_id }).unwrap();
            prop_assert!(sessions.count() <= BOUNDS.sessions_max);
            if step.is_lost {
                continue;
            }
            for ((partition, state), is_told) in read.iter().zip(&states).zip(&answer.included) {
                prop_assert!(*is_told || !is_full);
                let now_true = (!state.is_error).then_some(state.high_watermark.0);
                if *is_told {
                    client.heard.insert(*partition, now_true);
                }
                prop_assert!(!state.is_error || *is_told, "an error is always told");
                prop_assert_eq!(client.heard.get(partition), Some(&now_true), "partition {}", partition);
            }
            client.forgotten.clear();
            client.session_id = answer.session_id;
            match answer.session_id {
                NO_SESSION => client.start_over(),
                _ => {
                    client.epoch = if is_full { 1 } else { client.epoch + 1 };
                    client.wanted.values_mut().for_each(|is_known| *is_known = true);
                }
            }
        }
    }
}
