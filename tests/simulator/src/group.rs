//! One group of a run: how it is called, what its members own, and what anybody may ask about its offsets.
//!
//! ```text
//!   members, keeper ──► commit, read ──► each offset is of one commit: its number, with a text that says so too
//! ```
//!
//! Always true: whatever is asked and answered about offsets goes into the history.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::io;
use std::rc::Rc;

use ringlog_net::protocol::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use ringlog_net::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use ringlog_net::protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse,
};
use ringlog_runtime::memory::Random;

use crate::client::Client;
use crate::fetcher::expect_success;
use crate::group_history::{CommitNumber, Found, GroupNumber};
use crate::workload::{NO_ERROR, Workload};

/// What groups are called.
pub const NAMES: [&str; 3] = ["team-0", "team-1", "team-2"];

/// What the broker answers to those who are not, or no longer, in the group's generation.
pub const ILLEGAL_GENERATION: i16 = 22;
/// The same.
pub const UNKNOWN_MEMBER_ID: i16 = 25;
/// The same.
pub const REBALANCE_IN_PROGRESS: i16 = 27;
/// The same.
pub const FENCED_INSTANCE_ID: i16 = 82;

/// From these versions on groups, or keys, are asked about in lists.
const COORDINATOR_LIST_VERSION_MIN: i16 = 4;
const GROUP_LIST_VERSION_MIN: i16 = 8;
/// From these versions on a static member says its name.
const INSTANCE_VERSIONS_MIN: [i16; 5] = [5, 3, 3, 3, 7];

/// Request versions of groups.
#[derive(Clone, Copy, Debug)]
pub struct GroupVersions {
    /// Of FindCoordinator.
    pub find_coordinator: i16,
    /// Of JoinGroup.
    pub join: i16,
    /// Of SyncGroup.
    pub sync: i16,
    /// Of Heartbeat.
    pub heartbeat: i16,
    /// Of LeaveGroup.
    pub leave: i16,
    /// Of OffsetCommit, from those that name topics by name.
    pub commit: i16,
    /// Of OffsetFetch, the same.
    pub fetch: i16,
    /// Of DeleteGroups.
    pub delete: i16,
}

impl GroupVersions {
    /// Old, new and in between, by the seed.
    pub fn choose(random: &mut Random) -> GroupVersions {
        let mut between = |first, last| random.between(first..=last) as i16;
        GroupVersions {
            find_coordinator: between(0, 6),
            join: between(0, 9),
            sync: between(0, 5),
            heartbeat: between(0, 4),
            leave: between(0, 5),
            commit: between(2, 9),
            fetch: between(1, 9),
            delete: between(0, 2),
        }
    }

    /// Whether members can have static names.
    pub fn know_instances(&self) -> bool {
        let versions = [self.join, self.sync, self.heartbeat, self.leave, self.commit];
        versions.iter().zip(INSTANCE_VERSIONS_MIN).all(|(version, least)| *version >= least)
    }
}

/// Who commits.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// In which generation; below zero for nobody's member.
    pub generation: i32,
    /// The id it was given.
    pub member: &'a str,
    /// Its static name.
    pub instance: Option<&'a str>,
}

impl Identity<'_> {
    /// Nobody's member.
    pub const NOBODY: Identity<'static> = Identity { generation: -1, member: "", instance: None };
}

/// A member's generation and partitions, while it has some.
type Place = Option<(i32, Vec<i32>)>;

/// One group; clones are the same.
#[derive(Clone)]
pub struct Group {
    /// What all clients share.
    pub workload: Workload,
    /// What it is called in the history.
    pub number: GroupNumber,
    /// The versions it is spoken to in.
    pub versions: GroupVersions,
    members: Rc<RefCell<Vec<Place>>>,
    is_calm: Rc<Cell<bool>>,
}

impl Group {
    /// A group without members.
    pub fn new(workload: Workload, number: usize, random: &mut Random) -> Group {
        Group {
            workload,
            number: GroupNumber(number),
            versions: GroupVersions::choose(random),
            members: Rc::default(),
            is_calm: Rc::default(),
        }
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        NAMES[self.number.0]
    }

    /// Every partition that is read.
    pub fn partitions(&self) -> Vec<i32> {
        (0..self.workload.topic.partitions).collect()
    }

    /// A place for another member.
    pub fn add_member(&self) -> usize {
        let mut members = self.members.borrow_mut();
        members.push(None);
        members.len() - 1
    }

    /// A member has a place in a generation, or none.
    pub fn set_place(&self, member: usize, place: Place) {
        self.members.borrow_mut()[member] = place;
    }

    /// From now on members stay and do what they should.
    pub fn calm(&self) {
        self.is_calm.set(true);
    }

    /// Whether members behave.
    pub fn is_calm(&self) -> bool {
        self.is_calm.get()
    }

    /// Whether all members are in one generation, in which every partition is somebody's.
    pub fn is_settled(&self) -> bool {
        let members = self.members.borrow();
        let Some(places) = members.iter().cloned().collect::<Option<Vec<_>>>() else { return false };
        let Some((generation, _)) = places.first() else { return true };
        let mut owned: Vec<i32> = places.iter().flat_map(|(_, partitions)| partitions).copied().collect();
        owned.sort_unstable();
        places.iter().all(|(other, _)| other == generation) && owned == self.partitions()
    }

    /// How the members are, for people.
    pub fn places(&self) -> String {
        let mut text = String::new();
        for place in self.members.borrow().iter() {
            let _ = write!(text, "{place:?} ");
        }
        text
    }

    /// Asks who coordinates the group: there is one broker, and it must know.
    pub async fn find(&self, client: &mut Client) -> io::Result<()> {
        let version = self.versions.find_coordinator;
        let coordinator_keys =
            if version >= COORDINATOR_LIST_VERSION_MIN { vec![self.name()] } else { Vec::new() };
        let request = FindCoordinatorRequest { key: self.name(), coordinator_keys, ..Default::default() };
        let answer = client.call(&request, version).await?;
        let response = answer.read(FindCoordinatorResponse::decode);
        expect_success(response.coordinators.first().map_or(response.error_code, |found| found.error_code))
    }

    /// Commits an offset for each of some partitions; returns the first error code that comes back.
    pub async fn commit(
        &self,
        client: &mut Client,
        who: Identity<'_>,
        partitions: &[i32],
    ) -> io::Result<i16> {
        let numbers: Vec<CommitNumber> = {
            let groups = &mut self.workload.history.borrow_mut().groups;
            partitions.iter().map(|partition| groups.commit_asked(self.number, *partition)).collect()
        };
        let texts: Vec<String> = numbers.iter().map(text_of).collect();
        let committed = partitions.iter().zip(&numbers).zip(&texts);
        let committed = committed.map(|((partition, number), text)| OffsetCommitRequestPartition {
            partition_index: *partition,
            committed_offset: number.0 as i64,
            committed_metadata: Some(text),
            ..OffsetCommitRequestPartition::default()
        });
        let topic = OffsetCommitRequestTopic {
            name: self.workload.topic.name,
            partitions: committed.collect(),
            ..OffsetCommitRequestTopic::default()
        };
        let request = OffsetCommitRequest {
            group_id: self.name(),
            generation_id_or_member_epoch: who.generation,
            member_id: who.member,
            group_instance_id: who.instance,
            topics: vec![topic],
            ..OffsetCommitRequest::default()
        };
        let answer = client.call(&request, self.versions.commit).await?;
        let response = answer.read(OffsetCommitResponse::decode);
        let results = &response.topics[0].partitions;
        assert_eq!(results.len(), numbers.len(), "each partition is answered for once");
        let groups = &mut self.workload.history.borrow_mut().groups;
        for (number, result) in numbers.iter().zip(results) {
            match result.error_code {
                NO_ERROR => groups.commit_granted(*number),
                ILLEGAL_GENERATION | UNKNOWN_MEMBER_ID | REBALANCE_IN_PROGRESS | FENCED_INSTANCE_ID => {
                    groups.commit_refused(*number);
                }
                // It may have been written all the same.
                _ => {}
            }
        }
        Ok(results.iter().map(|result| result.error_code).find(|code| *code != NO_ERROR).unwrap_or(NO_ERROR))
    }

    /// Asks how far some partitions were read.
    pub async fn read(&self, client: &mut Client, partitions: &[i32]) -> io::Result<()> {
        let asked = self.workload.history.borrow_mut().groups.tick();
        let version = self.versions.fetch;
        let answer = client.call(&self.fetch_request(partitions), version).await?;
        let response = answer.read(OffsetFetchResponse::decode);
        let mut found = Vec::new();
        if version >= GROUP_LIST_VERSION_MIN {
            let group = &response.groups[0];
            expect_success(group.error_code)?;
            for offset in group.topics.iter().flat_map(|topic| &topic.partitions) {
                expect_success(offset.error_code)?;
                found.push((offset.partition_index, offset.committed_offset, offset.metadata));
            }
        } else {
            expect_success(response.error_code)?;
            for offset in response.topics.iter().flat_map(|topic| &topic.partitions) {
                expect_success(offset.error_code)?;
                found.push((offset.partition_index, offset.committed_offset, offset.metadata));
            }
        }
        assert_eq!(found.len(), partitions.len(), "each partition is answered for once");
        let groups = &mut self.workload.history.borrow_mut().groups;
        for (partition, offset, metadata) in found {
            groups.offset_told(self.number, partition, asked, found_in(offset, metadata));
        }
        Ok(())
    }

    fn fetch_request(&self, partitions: &[i32]) -> OffsetFetchRequest<'static> {
        let (name, topic) = (self.name(), self.workload.topic.name);
        let partition_indexes = partitions.to_vec();
        if self.versions.fetch >= GROUP_LIST_VERSION_MIN {
            let topic = OffsetFetchRequestTopics {
                name: topic,
                partition_indexes,
                ..OffsetFetchRequestTopics::default()
            };
            let group = OffsetFetchRequestGroup {
                group_id: name,
                topics: Some(vec![topic]),
                ..OffsetFetchRequestGroup::default()
            };
            return OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
        }
        let topics = Some(vec![OffsetFetchRequestTopic { name: topic, partition_indexes }]);
        OffsetFetchRequest { group_id: name, topics, ..OffsetFetchRequest::default() }
    }

    /// A connection to the broker.
    pub fn connect(&self) -> Client {
        Client::connect(&self.workload.world, self.workload.address)
    }
}

/// What is committed beside an offset.
fn text_of(number: &CommitNumber) -> String {
    format!("commit {}", number.0)
}

fn found_in(offset: i64, metadata: Option<&str>) -> Found {
    match usize::try_from(offset).map(CommitNumber) {
        Ok(number) if metadata == Some(&text_of(&number)) => Found::Commit(number),
        Err(_) if offset == -1 => Found::Nothing,
        _ => Found::Strange(format!("{offset} {metadata:?}")),
    }
}
