//! Every bound of the load generator.

/// The shortest value: who sent it, its number, when it was planned, what it must hash to.
pub const RECORD_BYTES_MIN: u64 = 32;

/// The longest value: what brokers take in one batch by default is about as much.
pub const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Records in one batch.
pub const BATCH_RECORDS_MAX: u64 = 100_000;

/// The largest batch, before compression.
pub const BATCH_BYTES_MAX: u64 = 16 << 20;

/// Connections that send or commit.
pub const CONNECTIONS_MAX: u64 = 10_000;

/// Consumers that read along.
pub const CONSUMERS_MAX: u64 = 1000;

/// Members of one group.
pub const MEMBERS_MAX: u64 = 10_000;

/// Requests under way on one connection.
pub const IN_FLIGHT_MAX: u64 = 10_000;

/// Requests that are due and wait for their turn, over all connections. One beyond ends the run: the broker does not
/// hold the rate. Each is a number in a queue, so this is 8 MiB.
pub const BACKLOG_REQUESTS_MAX: u64 = 1 << 20;

/// The longest a request that is due may wait for its turn. Half a minute behind the plan is not a stall any more.
pub const BACKLOG_NS_MAX: u64 = 30_000_000_000;

/// How far this program itself may fall behind its plan. Beyond, its own core is full and it is not the broker that is
/// measured.
pub const OWN_LATENESS_NS_MAX: u64 = 1_000_000_000;

/// How long after the last send acknowledgements and the tail of the log are waited for.
pub const DRAIN_NS_MAX: u64 = 60_000_000_000;

/// Memory for requests and answers. Enough for the in-flight requests of ten thousand connections at 64 KiB.
pub const ARENA_BYTES_MAX: usize = 1 << 30;

/// The largest answer that is taken: a metadata answer of a million partitions has some 60 MB.
pub const ANSWER_BYTES_MAX: usize = 128 << 20;

/// Missing numbers of one producer in one partition that are remembered while a log is read; a log that lacks more is
/// void whatever follows.
pub const MISSING_MAX: usize = 1 << 20;

/// Examples of faults that are told.
pub const EXAMPLES_MAX: usize = 10;

const _: () = assert!(RECORD_BYTES_MAX <= BATCH_BYTES_MAX);
