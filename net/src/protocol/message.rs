//! What every message has in common, and what its notation stands on.

use crate::protocol::api_key::ApiKey;
use crate::wire::encoder::{Counter, Sink, Writer};
use crate::wire::field::{Shape, Wire};

/// Versions from `first` to `last`, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VersionRange {
    /// The oldest version.
    pub first: i16,
    /// The newest version.
    pub last: i16,
}

impl VersionRange {
    /// Whether a version is in the range.
    pub const fn contains(self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }
}

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessageKind {
    /// From a client to a broker.
    Request,
    /// From a broker to a client.
    Response,
}

/// A request or a response of one API.
pub trait Message {
    /// Whose message it is.
    const API_KEY: ApiKey;
    /// Which way it goes.
    const KIND: MessageKind;
    /// The versions the codec knows.
    const VERSIONS: VersionRange;
    /// The first version with compact lengths and tagged fields; `i16::MAX` if there is none.
    const FLEXIBLE_FROM: i16;

    /// The exact size of the encoded body.
    fn count(&self, version: i16) -> Counter;
    /// Writes the body.
    fn encode(&self, writer: &mut Writer<'_>, version: i16);
}

/// The rules under which a message's outermost fields stand.
pub(crate) fn message_shape<M: Message>(version: i16) -> Shape {
    Shape { version, flexible: version >= M::FLEXIBLE_FROM, nullable: false }
}

/// Writes one tagged field: tag, size, value.
pub(crate) fn write_tagged<'a, S: Sink>(tag: u32, value: &impl Wire<'a>, sink: &mut S, shape: Shape) {
    let mut counter = Counter::default();
    value.write(&mut counter, shape);
    sink.put_unsigned_varint(tag);
    sink.put_unsigned_varint(u32::try_from(counter.total_bytes()).expect("a message is below 2 GiB"));
    value.write(sink, shape);
}
