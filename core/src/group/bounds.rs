//! What a coordinator says when a bound is reached, so that a client's retry logic does the right thing.
//!
//! ```text
//!   room may come soon:  CoordinatorNotAvailable ──► the client comes back
//!   the group is full:   GroupMaxSizeReached     ──► the client gives up and says why
//!   all are full:        LimitReached            ──► the client gives up and says why; the operator's turn
//! ```

use crate::group::classic_group::Group;
use crate::group::settings::GroupSettings;
use crate::group::turn::Turn;
use crate::refusal::Refusal;

/// No room for another waiting request. Not [`Refusal::Overloaded`]: joining and syncing clients take that
/// one's code for final, and come back after this one's.
pub(super) const NO_ROOM_TO_WAIT: Refusal = Refusal::CoordinatorNotAvailable;

/// Members a group may have: what the operator says, within what this broker can bear.
pub(super) fn members_max(settings: &GroupSettings) -> usize {
    settings.members_max.min(settings.limits.members_per_group_max)
}

/// All groups together have taken what they may.
pub(super) fn no_bytes_left(settings: &GroupSettings) -> Refusal {
    let bytes_max = settings.limits.bytes_max;
    limit(format!("the shard of this group keeps {bytes_max} bytes of all its groups"))
}

/// What a bound forbids.
pub(super) fn limit(reason: String) -> Refusal {
    Refusal::LimitReached { reason }
}

impl Group {
    /// Whether the group, and all of them, can hold so many more bytes.
    pub fn check_bytes(&self, more: usize, turn: &Turn) -> Result<(), Refusal> {
        let bytes_max = turn.settings.limits.group_bytes_max;
        if self.roster.bytes() + more > bytes_max {
            return Err(limit(format!("the members of a group may have {bytes_max} bytes together")));
        }
        if more > turn.room.bytes {
            return Err(no_bytes_left(turn.settings));
        }
        Ok(())
    }
}
