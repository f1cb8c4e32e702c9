//! The two clocks: the only place of the broker that reads them.

use std::sync::OnceLock;
use std::time::{Instant as StdInstant, SystemTime};

use ringlog_core::time::{Instant, Timestamp};

/// The monotonic clock, counted from the first call in this process.
#[expect(clippy::disallowed_methods, reason = "this is the environment that others take time from")]
pub fn now() -> Instant {
    static START: OnceLock<StdInstant> = OnceLock::new();
    let start = *START.get_or_init(StdInstant::now);
    Instant(u64::try_from(start.elapsed().as_nanos()).expect("a process runs less than 584 years"))
}

/// The wall clock. A host set to before 1970 says 0.
#[expect(clippy::disallowed_methods, reason = "this is the environment that others take time from")]
pub fn wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
