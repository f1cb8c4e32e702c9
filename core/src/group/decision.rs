//! What a coordinator decided: records to write and answers to give.

use crate::group::message::Answer;
use crate::group::record::GroupRecord;
use crate::time::{Instant, Timestamp};

/// What the caller needs to find the waiting request again. Opaque here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupTicket(pub u64);

/// When a decision is made, and the randomness it may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// To wait by.
    pub now: Instant,
    /// To stamp records with.
    pub wall: Timestamp,
    /// For a new member's id.
    pub random: u128,
}

/// What follows from a request or from time passing. The records are already part of the coordinator's state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Decision {
    /// To append, in order.
    pub records: Vec<GroupRecord>,
    /// To give, to this request or to ones that waited.
    pub replies: Vec<Reply>,
}

/// One answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Whose request.
    pub ticket: GroupTicket,
    /// What to tell.
    pub answer: Answer,
    /// How early.
    pub when: When,
}

/// How early an answer may leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// At once: it tells nothing that a record carries.
    Now,
    /// Once every record decided so far is committed: it tells of what they say.
    Committed,
}
