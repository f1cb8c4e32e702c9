//! Every bound of the client.
//!
//! A command runs beside a broker, often on the same machine: it must not take the memory that the broker lives on.

/// The largest answer that is read. Metadata of a million partitions takes some 60 MB; a fetch is asked for far less.
pub const ANSWER_BYTES_MAX: usize = 128 << 20;

/// The largest request: what Kafka's brokers take by default (`socket.request.max.bytes`).
pub const REQUEST_BYTES_MAX: usize = 100 << 20;

/// What one fetch asks of one broker. A single larger batch comes whole, as Kafka promises.
pub const FETCH_BYTES: i32 = 8 << 20;

/// What one fetch asks of one partition.
pub const FETCH_PARTITION_BYTES: i32 = 1 << 20;

/// The longest line that is taken for a record.
pub const LINE_BYTES_MAX: usize = 32 << 20;

/// What is collected, over all partitions, before it is sent.
pub const UNSENT_BYTES_MAX: usize = 8 << 20;

/// How often something that may pass by itself is asked again.
pub const ATTEMPTS_MAX: usize = 20;

/// What a broker's words of refusal are cut to.
pub const WORDS_CHARACTERS_MAX: usize = 1000;

const _: () = assert!(LINE_BYTES_MAX + UNSENT_BYTES_MAX < REQUEST_BYTES_MAX / 2);
const _: () = assert!((FETCH_BYTES as usize) < ANSWER_BYTES_MAX && FETCH_PARTITION_BYTES <= FETCH_BYTES);
