//! What members of groups were given, and what was committed, told and removed: evidence for the checker.
//!
//! ```text
//!   join asked(life, floor) ──► joined(generation) ──► owned(generation, partitions)
//!   commit asked ──► granted | refused | nothing          each commit has an offset and a text of its own
//!   offset asked ──► told(commit | nothing | something nobody committed)
//!   removal asked ──► granted | refused | settled: done by now, or never
//! ```
//!
//! Always true: moments are counted, one for each thing noted. A group's life ends when somebody asks to delete it; while
//! that is not settled nobody knows which life it is in, and what is noted then is of no life.

use std::collections::BTreeMap;

/// Names a group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct GroupNumber(pub usize);

/// Names a commit of one partition's offset. It is the offset too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CommitNumber(pub usize);

/// Names a removal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RemovalNumber(usize);

/// When something was noted.
pub type Moment = u64;

/// What became of a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Nobody knows.
    Unknown,
    /// It was granted then.
    Granted(Moment),
    /// It was refused.
    Refused,
}

/// A commit of one partition's offset.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// Whose offset.
    pub group: GroupNumber,
    /// Of which partition.
    pub partition: i32,
    /// When it was asked for.
    pub asked: Moment,
    /// What became of it.
    pub fate: Fate,
}

/// Offsets that were to go.
#[derive(Clone, Copy, Debug)]
pub struct Removal {
    /// Whose.
    pub group: GroupNumber,
    /// Of which partition; of all, with the group itself, if none is named.
    pub partition: Option<i32>,
    /// When it was asked for.
    pub asked: Moment,
    /// By when it is done, if it is done at all.
    pub done_by: Option<Moment>,
    /// Whether it is done.
    pub fate: Fate,
}

impl Removal {
    /// Whether it may take away, or have taken away, this offset.
    pub fn concerns(&self, group: GroupNumber, partition: i32) -> bool {
        let names_it = self.partition.is_none_or(|removed| removed == partition);
        self.group == group && names_it && self.fate != Fate::Refused
    }
}

/// What the broker answers when asked for an offset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// There is none.
    Nothing,
    /// The one of this commit.
    Commit(CommitNumber),
    /// One that belongs to no commit.
    Strange(String),
}

/// An offset that was told.
#[derive(Clone, Debug)]
pub struct Told {
    /// Whose.
    pub group: GroupNumber,
    /// Of which partition.
    pub partition: i32,
    /// When it was asked for.
    pub asked: Moment,
    /// When it was told.
    pub answered: Moment,
    /// What was told.
    pub found: Found,
}

/// A member's wish to be in a group, with what was known then.
#[derive(Clone, Copy, Debug)]
pub struct JoinAsked {
    group: GroupNumber,
    life: Option<u64>,
    floor: i32,
}

/// An assignment that was granted.
#[derive(Clone, Debug)]
pub struct Owned {
    /// In which group.
    pub group: GroupNumber,
    /// In which of its lives.
    pub life: u64,
    /// In which generation.
    pub generation: i32,
    /// To whom: its static name, or the id it was given.
    pub owner: String,
    /// What.
    pub partitions: Vec<i32>,
}

/// A generation that a member was told although a later one had been granted.
#[derive(Clone, Copy, Debug)]
pub struct WentBack {
    /// Of which group.
    pub group: GroupNumber,
    /// The later one.
    pub seen: i32,
    /// The one it was told.
    pub found: i32,
}

#[derive(Clone, Default, Debug)]
struct Life {
    number: u64,
    is_unsettled: bool,
    /// The last generation whose assignment was granted.
    generation: i32,
}

/// All there is to know about groups.
#[derive(Clone, Default, Debug)]
pub struct GroupHistory {
    now: Moment,
    lives: BTreeMap<GroupNumber, Life>,
    commits: Vec<Commit>,
    removals: Vec<Removal>,
    told: Vec<Told>,
    owned: Vec<Owned>,
    went_back: Vec<WentBack>,
    unsettled: Vec<(GroupNumber, String)>,
}

impl GroupHistory {
    /// A moment of its own.
    pub fn tick(&mut self) -> Moment {
        self.now += 1;
        self.now
    }

    /// Somebody asks to be in a group.
    pub fn join_asked(&mut self, group: GroupNumber) -> JoinAsked {
        let life = self.lives.entry(group).or_default();
        JoinAsked { group, life: (!life.is_unsettled).then_some(life.number), floor: life.generation }
    }

    /// It is in a generation.
    pub fn joined(&mut self, asked: JoinAsked, generation: i32) {
        if self.is_same_life(asked) && generation < asked.floor {
            let JoinAsked { group, floor: seen, .. } = asked;
            self.went_back.push(WentBack { group, seen, found: generation });
        }
    }

    /// It is given partitions there.
    pub fn owned(&mut self, asked: JoinAsked, generation: i32, owner: String, partitions: Vec<i32>) {
        if !self.is_same_life(asked) {
            return;
        }
        let life = self.lives.entry(asked.group).or_default();
        life.generation = generation.max(life.generation);
        let (group, life) = (asked.group, life.number);
        self.owned.push(Owned { group, life, generation, owner, partitions });
    }

    fn is_same_life(&self, asked: JoinAsked) -> bool {
        let life = self.lives.get(&asked.group).filter(|life| !life.is_unsettled);
        asked.life.is_some() && life.map(|life| life.number) == asked.life
    }

    /// Somebody commits an offset of a partition.
    pub fn commit_asked(&mut self, group: GroupNumber, partition: i32) -> CommitNumber {
        let asked = self.tick();
        self.commits.push(Commit { group, partition, asked, fate: Fate::Unknown });
        CommitNumber(self.commits.len() - 1)
    }

    /// The broker has it.
    pub fn commit_granted(&mut self, number: CommitNumber) {
        self.commits[number.0].fate = Fate::Granted(self.tick());
    }

    /// The broker does not take it.
    pub fn commit_refused(&mut self, number: CommitNumber) {
        self.commits[number.0].fate = Fate::Refused;
    }

    /// The broker, asked at `asked`, tells an offset.
    pub fn offset_told(&mut self, group: GroupNumber, partition: i32, asked: Moment, found: Found) {
        let answered = self.tick();
        self.told.push(Told { group, partition, asked, answered, found });
    }

    /// Somebody asks that offsets go: one, or all with the group.
    pub fn removal_asked(&mut self, group: GroupNumber, partition: Option<i32>) -> RemovalNumber {
        let asked = self.tick();
        if partition.is_none() {
            let number = self.lives.entry(group).or_default().number + 1;
            self.lives.insert(group, Life { number, is_unsettled: true, generation: 0 });
        }
        self.removals.push(Removal { group, partition, asked, done_by: None, fate: Fate::Unknown });
        RemovalNumber(self.removals.len() - 1)
    }

    /// They are gone.
    pub fn removal_granted(&mut self, number: RemovalNumber) {
        self.removals[number.0].fate = Fate::Granted(self.tick());
        self.settle(number);
    }

    /// They are not.
    pub fn removal_refused(&mut self, number: RemovalNumber) {
        self.removals[number.0].fate = Fate::Refused;
        self.settle(number);
    }

    /// They are gone by now, or will not go.
    pub fn removal_settled(&mut self, number: RemovalNumber) {
        self.settle(number);
    }

    fn settle(&mut self, number: RemovalNumber) {
        let done_by = self.tick();
        let removal = &mut self.removals[number.0];
        removal.done_by = Some(done_by);
        if removal.partition.is_none() {
            let number = self.lives.entry(removal.group).or_default().number + 1;
            self.lives.insert(removal.group, Life { number, is_unsettled: false, generation: 0 });
        }
    }

    /// A group has not come to rest in time.
    pub fn not_settled(&mut self, group: GroupNumber, members: String) {
        self.unsettled.push((group, members));
    }

    /// Every commit; its place is its number.
    pub fn commits(&self) -> &[Commit] {
        &self.commits
    }

    /// Every removal.
    pub fn removals(&self) -> &[Removal] {
        &self.removals
    }

    /// All that was told.
    pub fn told(&self) -> &[Told] {
        &self.told
    }

    /// Every assignment that was granted, in order.
    pub fn assignments(&self) -> &[Owned] {
        &self.owned
    }

    /// Generations that were told too late.
    pub fn went_back(&self) -> &[WentBack] {
        &self.went_back
    }

    /// Groups that did not come to rest, and how their members were.
    pub fn unsettled(&self) -> &[(GroupNumber, String)] {
        &self.unsettled
    }

    /// How many commits were granted.
    pub fn commits_granted(&self) -> usize {
        self.commits.iter().filter(|commit| matches!(commit.fate, Fate::Granted(_))).count()
    }
}
