//! How each type of field looks on the wire, in the old and in the flexible encoding.
//!
//! | field | old | flexible |
//! |---|---|---|
//! | text | i16 length, -1 null | unsigned varint of length + 1, 0 null |
//! | bytes, records, lists | i32 length or count, -1 null | unsigned varint of length or count + 1, 0 null |
//! | a part of its own | its fields | its fields, then its tagged fields |
//! | a part that may be null | i8, negative null | the same |
//!
//! Always true: what is read in one shape and written in the same shape is the same bytes, but for unknown tags
//! (dropped), negative lengths below -1 (they mean null, as Kafka reads them) and flags other than 0 and 1.

use std::fmt;

use ringlog_core::ids::TopicId;
use ringlog_runtime::buffer::Slice;

use super::decoder::{DecodeError, DecodeFault, Decoder, TEXT_BYTES_MAX};
use super::encoder::Sink;

/// Under which rules a field is read or written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// The message's version.
    pub version: i16,
    /// Whether this version uses compact lengths and tagged fields.
    pub flexible: bool,
    /// Whether this field may be null in this version.
    pub nullable: bool,
}

/// A type that has a place in a message.
pub trait Wire<'a>: Sized {
    /// The fewest bytes a value takes.
    fn bytes_min(shape: Shape) -> usize;
    /// Reads a value.
    fn read(decoder: &mut Decoder<'a>, shape: Shape) -> Result<Self, DecodeError>;
    /// Writes the value.
    fn write<S: Sink>(&self, sink: &mut S, shape: Shape);
    /// Writes the value of a field that is called `error_code`, and lets the sink know.
    #[inline]
    fn write_error_code<S: Sink>(&self, sink: &mut S, shape: Shape) {
        self.write(sink, shape);
    }
}

/// A type that has a null on the wire.
pub trait Nullable<'a>: Wire<'a> + Default {
    /// Reads a value or null.
    fn read_nullable(decoder: &mut Decoder<'a>, shape: Shape) -> Result<Option<Self>, DecodeError>;
    /// Writes a value or null.
    fn write_nullable<S: Sink>(value: Option<&Self>, sink: &mut S, shape: Shape);
}

/// Writes null, where this version has none, as the type's empty value: a broker that forgets a name answers an
/// old client with an empty one.
impl<'a, T: Nullable<'a>> Wire<'a> for Option<T> {
    fn bytes_min(shape: Shape) -> usize {
        if shape.nullable { T::bytes_min(shape).min(1) } else { T::bytes_min(shape) }
    }

    #[inline]
    fn read(decoder: &mut Decoder<'a>, shape: Shape) -> Result<Self, DecodeError> {
        if shape.nullable { T::read_nullable(decoder, shape) } else { T::read(decoder, shape).map(Some) }
    }

    #[inline]
    fn write<S: Sink>(&self, sink: &mut S, shape: Shape) {
        match self {
            _ if shape.nullable => T::write_nullable(self.as_ref(), sink, shape),
            Some(value) => value.write(sink, shape),
            None => T::default().write(sink, shape),
        }
    }
}

macro_rules! number {
    ($($number:ty $({ $($more:tt)* })?),*) => {$(
        impl Wire<'_> for $number {
            fn bytes_min(_: Shape) -> usize {
                size_of::<$number>()
            }

            #[inline]
            fn read(decoder: &mut Decoder<'_>, _: Shape) -> Result<Self, DecodeError> {
                Ok(<$number>::from_be_bytes(decoder.take_array()?))
            }

            #[inline]
            fn write<S: Sink>(&self, sink: &mut S, _: Shape) {
                sink.put(&self.to_be_bytes());
            }
            $($($more)*)?
        }
    )*};
}

number!(i8, u16, i32, u32, i64, f64, i16 {
    #[inline]
    fn write_error_code<S: Sink>(&self, sink: &mut S, shape: Shape) {
        self.write(sink, shape);
        sink.note_error_code(*self);
    }
});

impl Wire<'_> for bool {
    fn bytes_min(_: Shape) -> usize {
        1
    }

    #[inline]
    fn read(decoder: &mut Decoder<'_>, _: Shape) -> Result<Self, DecodeError> {
        let [byte] = decoder.take_array()?;
        Ok(byte != 0)
    }

    #[inline]
    fn write<S: Sink>(&self, sink: &mut S, _: Shape) {
        sink.put(&[u8::from(*self)]);
    }
}

/// Sixteen bytes that name something for ever; zero says "none".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// No id.
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// Whether there is no id.
    pub fn is_zero(self) -> bool {
        self == Uuid::ZERO
    }
}

impl From<TopicId> for Uuid {
    fn from(topic: TopicId) -> Uuid {
        Uuid(topic.0)
    }
}

impl From<Uuid> for TopicId {
    fn from(id: Uuid) -> TopicId {
        TopicId(id.0)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Uuid({})", TopicId(self.0))
    }
}

impl Wire<'_> for Uuid {
    fn bytes_min(_: Shape) -> usize {
        16
    }

    #[inline]
    fn read(decoder: &mut Decoder<'_>, _: Shape) -> Result<Self, DecodeError> {
        Ok(Uuid(decoder.take_array()?))
    }

    #[inline]
    fn write<S: Sink>(&self, sink: &mut S, _: Shape) {
        sink.put(&self.0);
    }
}

impl<'a> Wire<'a> for &'a str {
    fn bytes_min(shape: Shape) -> usize {
        if shape.flexible { 1 } else { 2 }
    }

    #[inline]
    fn read(decoder: &mut Decoder<'a>, shape: Shape) -> Result<Self, DecodeError> {
        not_null(Self::read_nullable, decoder, shape)
    }

    /// Text longer than readers take (a configuration value, say) is cut there.
    #[inline]
    fn write<S: Sink>(&self, sink: &mut S, shape: Shape) {
        let text = &self[..self.floor_char_boundary(TEXT_BYTES_MAX)];
        if shape.flexible {
            sink.put_unsigned_varint(compact(text.len()));
        } else {
            sink.put(&(text.len() as i16).to_be_bytes());
        }
        sink.put(text.as_bytes());
    }
}

impl<'a> Nullable<'a> for &'a str {
    #[inline]
    fn read_nullable(decoder: &mut Decoder<'a>, shape: Shape) -> Result<Option<Self>, DecodeError> {
        let length = if shape.flexible {
            decoder.compact_length()?
        } else {
            usize::try_from(i16::from_be_bytes(decoder.take_array()?)).ok()
        };
        length.map(|length| decoder.text(length)).transpose()
    }

    #[inline]
    fn write_nullable<S: Sink>(value: Option<&Self>, sink: &mut S, shape: Shape) {
        match value {
            Some(text) => text.write(sink, shape),
            None if shape.flexible => sink.put_unsigned_varint(0),
            None => sink.put(&(-1i16).to_be_bytes()),
        }
    }
}

impl<'a> Wire<'a> for &'a [u8] {
    fn bytes_min(shape: Shape) -> usize {
        if shape.flexible { 1 } else { 4 }
    }

    #[inline]
    fn read(decoder: &mut Decoder<'a>, shape: Shape) -> Result<Self, DecodeError> {
        not_null(Self::read_nullable, decoder, shape)
    }

    #[inline]
    fn write<S: Sink>(&self, sink: &mut S, shape: Shape) {
        write_length(Some(self.len()), sink, shape);
        sink.put(self);
    }
}

impl<'a> Nullable<'a> for &'a [u8] {
    #[inline]
    fn read_nullable(decoder: &mut Decoder<'a>, shape: Shape) -> Result<Option<Self>, DecodeError> {
        read_length(decoder, shape)?.map(|length| decoder.take(length)).transpose()
    }

    #[inline]
    fn write_nullable<S: Sink>(value: Option<&Self>, sink: &mut S, shape: Shape) {
        match value {
            Some(bytes) => bytes.write(sink, shape),
            None => write_length(None, sink, shape),
        }
    }
}

/// The record bytes of one partition in a response.
#[derive(Clone, Debug)]
pub enum Records<'a> {
    /// As a client reads them from a frame.
    Borrowed(&'a [u8]),
    /// As the broker has them: slices of the log, sent without a copy.
    Slices(Vec<Slice>),
}

impl Records<'_> {
    /// How many bytes of records there are.
    pub fn len(&self) -> usize {
        self.parts().map(<[u8]>::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, part by part.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let (borrowed, slices) = match self {
            Records::Borrowed(bytes) => (Some(*bytes), [].as_slice()),
            Records::Slices(slices) => (None, slices.as_slice()),
        };
        borrowed.into_iter().chain(slices.iter().map(|slice| &**slice))
    }
}

impl Default for Records<'_> {
    fn default() -> Self {
        Records::Borrowed(&[])
    }
}

/// Equal bytes are equal, however they are cut.
impl PartialEq for Records<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.parts().flatten().eq(other.parts().flatten())
    }
}

impl<'a> Wire<'a> for Records<'a> {
    fn bytes_min(shape: Shape) -> usize {
        if shape.flexible { 1 } else { 4 }
    }

    fn read(decoder: &mut Decoder<'a>, shape: Shape) -> Result<Self, DecodeError> {
        not_null(Self::read_nullable, decoder, shape)
    }

    fn write<S: Sink>(&self, sink: &mut S, shape: Shape) {
        write_length(Some(self.len()), sink, shape);
        sink.put_records(self);
    }
}

impl<'a> Nullable<'a> for Records<'a> {
    fn read_nullable(decoder: &mut Decoder<'a>, shape: Shape) -> Result<Option<Self>, DecodeError> {
        Ok(<&[u8]>::read_nullable(decoder, shape)?.map(Records::Borrowed))
    }

    fn write_nullable<S: Sink>(value: Option<&Self>, sink: &mut S, shape: Shape) {
        match value {
            Some(records) => records.write(sink, shape),
            None => write_length(None, sink, shape),
        }
    }
}

impl<'a, T: Wire<'a>> Wire<'a> for Vec<T> {
    fn bytes_min(shape: Shape) -> usize {
        if shape.flexible { 1 } else { 4 }
    }

    #[inline]
    fn read(decoder: &mut Decoder<'a>, shape: Shape) -> Result<Self, DecodeError> {
        not_null(Self::read_nullable, decoder, shape)
    }

    fn write<S: Sink>(&self, sink: &mut S, shape: Shape) {
        write_length(Some(self.len()), sink, shape);
        for element in self {
            element.write(sink, shape);
        }
    }
}

impl<'a, T: Wire<'a>> Nullable<'a> for Vec<T> {
    fn read_nullable(decoder: &mut Decoder<'a>, shape: Shape) -> Result<Option<Self>, DecodeError> {
        let Some(count) = read_length(decoder, shape)? else { return Ok(None) };
        let mut list = decoder.list(count, T::bytes_min(shape))?;
        for _ in 0..count {
            list.push(T::read(decoder, shape)?);
        }
        Ok(Some(list))
    }

    fn write_nullable<S: Sink>(value: Option<&Self>, sink: &mut S, shape: Shape) {
        match value {
            Some(list) => list.write(sink, shape),
            None => write_length(None, sink, shape),
        }
    }
}

/// Reads a value that this version does not allow to be null.
#[inline]
fn not_null<'a, T>(
    read_nullable: impl FnOnce(&mut Decoder<'a>, Shape) -> Result<Option<T>, DecodeError>,
    decoder: &mut Decoder<'a>,
    shape: Shape,
) -> Result<T, DecodeError> {
    let position = decoder.position();
    read_nullable(decoder, shape)?.ok_or(DecodeError { fault: DecodeFault::NullNotAllowed, position })
}

/// The length of bytes or the count of a list.
#[inline]
fn read_length(decoder: &mut Decoder<'_>, shape: Shape) -> Result<Option<usize>, DecodeError> {
    if shape.flexible {
        return decoder.compact_length();
    }
    Ok(usize::try_from(i32::from_be_bytes(decoder.take_array()?)).ok())
}

#[inline]
fn write_length<S: Sink>(length: Option<usize>, sink: &mut S, shape: Shape) {
    if shape.flexible {
        sink.put_unsigned_varint(length.map_or(0, compact));
    } else {
        let length = length.map_or(-1, |length| i32::try_from(length).expect("a message is below 2 GiB"));
        sink.put(&length.to_be_bytes());
    }
}

/// A length as the flexible encoding has it.
#[inline]
fn compact(length: usize) -> u32 {
    u32::try_from(length + 1).expect("a message is below 2 GiB")
}
