//! What may go wrong in a world and how large things are in it, expanded from a seed or set by hand.
//!
//! ```text
//! seed ──Options::from_seed──► each fault class on or off, sizes tiny or large ──Display──► one line to read
//! ```
//!
//! Always true: `Options::quiet()` injects nothing but delays and seeded order, which every program must bear.

use std::fmt;

use super::random::{PerMillion, Random};

/// Everything that can be chosen about a world besides its seed.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What goes wrong, and how often.
    pub faults: Faults,
    /// How large things are.
    pub limits: Limits,
}

impl Options {
    /// No faults, roomy limits.
    pub fn quiet() -> Options {
        Options::default()
    }

    /// Swarm configuration: the seed switches fault classes on and off and picks sizes.
    pub fn from_seed(seed: u64) -> Options {
        Options { faults: Faults::from_seed(seed), limits: Limits::from_seed(seed) }
    }
}

impl From<Faults> for Options {
    fn from(faults: Faults) -> Options {
        Options { faults, limits: Limits::default() }
    }
}

impl fmt::Display for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} {:?}", self.faults, self.limits)
    }
}

/// What goes wrong, and how often. Durations are virtual nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Faults {
    /// Every disk operation takes up to this long.
    pub disk_delay_ns_max: u64,
    /// A disk operation is slow ...
    pub disk_slow: PerMillion,
    /// ... and then takes up to this long.
    pub disk_slow_delay_ns_max: u64,
    /// A read fails with EIO.
    pub read_error: PerMillion,
    /// A write fails with EIO; any part of it may have been written.
    pub write_error: PerMillion,
    /// A sync fails with EIO; what it should have made stable may be lost for ever.
    pub sync_error: PerMillion,
    /// One bit of what a read returns is flipped, on the disk too.
    pub bit_rot: PerMillion,
    /// Bytes on the wire take up to this long.
    pub network_delay_ns_max: u64,
    /// What was sent in one piece arrives in several.
    pub network_split: PerMillion,
    /// A send cuts its connection: both ends see a reset.
    pub network_reset: PerMillion,
    /// A send makes its direction silent: the bytes vanish and no end is told.
    pub network_half_open: PerMillion,
    /// A message between shards takes up to this long.
    pub mailbox_delay_ns_max: u64,
    /// A timer fires late ...
    pub timer_late: PerMillion,
    /// ... by up to this long.
    pub timer_late_ns_max: u64,
    /// A shard stops before its next step, as a thread that loses its core ...
    pub shard_stall: PerMillion,
    /// ... for up to this long.
    pub shard_stall_ns_max: u64,
    /// The wall clock jumps when read ...
    pub wall_clock_jump: PerMillion,
    /// ... by up to this many milliseconds, forward or back.
    pub wall_clock_jump_ms_max: u64,
    /// The wall clock runs fast or slow by up to this many millionths.
    pub wall_clock_drift_ppm_max: u64,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults {
            disk_delay_ns_max: 200_000,
            disk_slow: PerMillion::NEVER,
            disk_slow_delay_ns_max: 0,
            read_error: PerMillion::NEVER,
            write_error: PerMillion::NEVER,
            sync_error: PerMillion::NEVER,
            bit_rot: PerMillion::NEVER,
            network_delay_ns_max: 100_000,
            network_split: PerMillion::NEVER,
            network_reset: PerMillion::NEVER,
            network_half_open: PerMillion::NEVER,
            mailbox_delay_ns_max: 20_000,
            timer_late: PerMillion::NEVER,
            timer_late_ns_max: 0,
            shard_stall: PerMillion::NEVER,
            shard_stall_ns_max: 0,
            wall_clock_jump: PerMillion::NEVER,
            wall_clock_jump_ms_max: 0,
            wall_clock_drift_ppm_max: 0,
        }
    }
}

impl Faults {
    /// Switches each class on or off by the seed. Bit rot stays off: with one copy of the data it is damage a
    /// broker can report but not survive, so tests ask for it by name.
    pub fn from_seed(seed: u64) -> Faults {
        let mut random = Random::from_seed(seed).fork(1);
        let mut faults = Faults {
            disk_delay_ns_max: *pick(&mut random, &[1_000, 200_000, 5_000_000]),
            network_delay_ns_max: *pick(&mut random, &[1_000, 100_000, 20_000_000]),
            mailbox_delay_ns_max: *pick(&mut random, &[100, 20_000, 2_000_000]),
            ..Faults::default()
        };
        if random.coin() {
            faults.disk_slow = PerMillion(random.between(100..=20_000) as u32);
            faults.disk_slow_delay_ns_max = 2_000_000_000;
        }
        if random.coin() {
            faults.network_split = PerMillion(random.between(10_000..=900_000) as u32);
        }
        if random.coin() {
            faults.network_reset = PerMillion(random.between(100..=20_000) as u32);
        }
        if random.below(4) == 0 {
            faults.network_half_open = PerMillion(random.between(100..=5_000) as u32);
        }
        if random.below(4) == 0 {
            faults.write_error = PerMillion(random.between(10..=2_000) as u32);
        }
        if random.below(4) == 0 {
            faults.sync_error = PerMillion(random.between(10..=5_000) as u32);
        }
        if random.coin() {
            faults.timer_late = PerMillion(random.between(1_000..=200_000) as u32);
            faults.timer_late_ns_max = 500_000_000;
        }
        if random.coin() {
            faults.shard_stall = PerMillion(random.between(10..=5_000) as u32);
            faults.shard_stall_ns_max = 1_000_000_000;
        }
        if random.coin() {
            faults.wall_clock_jump = PerMillion(random.between(100..=10_000) as u32);
            faults.wall_clock_jump_ms_max = *pick(&mut random, &[10, 5_000, 3_600_000]);
            faults.wall_clock_drift_ppm_max = 500;
        }
        if random.below(4) == 0 {
            faults.read_error = PerMillion(random.between(10..=5_000) as u32);
        }
        faults
    }
}

/// How large things are in a world.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes the disk holds.
    pub disk_bytes_max: u64,
    /// I/O memory of each shard, and of all clients together.
    pub arena_bytes_max: usize,
    /// Bytes sent in one direction of a connection and not yet received.
    pub socket_buffer_bytes_max: usize,
    /// Connections waiting to be accepted by one listener.
    pub listen_backlog_max: usize,
    /// Messages from one shard to another not yet received.
    pub mailbox_messages_max: usize,
    /// Virtual time one `run_until` may take: a run that only ticks is stuck too.
    pub run_virtual_ns_max: u64,
    /// Steps one `run_until` may take.
    pub run_steps_max: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            disk_bytes_max: 1 << 40,
            arena_bytes_max: 256 << 20,
            socket_buffer_bytes_max: 256 << 10,
            listen_backlog_max: 128,
            mailbox_messages_max: 256,
            run_virtual_ns_max: 24 * 3_600 * 1_000_000_000,
            run_steps_max: 50_000_000,
        }
    }
}

impl Limits {
    /// Picks small sizes often, so that back-pressure happens in every run.
    pub fn from_seed(seed: u64) -> Limits {
        let mut random = Random::from_seed(seed).fork(2);
        Limits {
            socket_buffer_bytes_max: *pick(&mut random, &[128, 4 << 10, 256 << 10]),
            mailbox_messages_max: *pick(&mut random, &[2, 16, 256]),
            ..Limits::default()
        }
    }
}

fn pick<'a, T>(random: &mut Random, choices: &'a [T]) -> &'a T {
    &choices[random.index(choices.len())]
}
