//! What groups take of the bounds over all of them, counted as they change rather than by looking at all of them.

use std::ops::{Add, Sub};

/// What one group holds, or some, or all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Weight {
    /// Groups.
    pub group_count: usize,
    /// Offsets.
    pub offset_count: usize,
    /// Requests that wait for others.
    pub waiting_count: usize,
    /// Bytes of names, subscriptions, assignments and of texts with offsets.
    pub bytes: usize,
}

impl Add for Weight {
    type Output = Weight;
    fn add(self, other: Weight) -> Weight {
        Weight {
            group_count: self.group_count + other.group_count,
            offset_count: self.offset_count + other.offset_count,
            waiting_count: self.waiting_count + other.waiting_count,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl Sub for Weight {
    type Output = Weight;
    /// Stops at zero: a coordinator may have loaded more than it would take now.
    fn sub(self, other: Weight) -> Weight {
        Weight {
            group_count: self.group_count.saturating_sub(other.group_count),
            offset_count: self.offset_count.saturating_sub(other.offset_count),
            waiting_count: self.waiting_count.saturating_sub(other.waiting_count),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}
