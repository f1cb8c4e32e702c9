//! The notation in which every message is written down, once.
//!
//! ```text
//!   message! {
//!       /// What it is for.
//!       request NameRequest<'a> of Name, versions 1..=4, flexible 3.. {
//!           field: i32,                                   in every version
//!           newer: i64 [2..] = -1,                        from version 2; -1 when absent
//!           older: &'a str [..=2],                        up to version 2
//!           maybe: Option<&'a str> [1..; null 3..],       may be null from version 3
//!           parts: Vec<Part<'a>>,
//!       } tagged {
//!           0 => extra: i16 [3..] = 7,                    tag 0, written only when it is not 7
//!       }
//!
//!       /// What a part is.
//!       part Part<'a> { .. }
//!   }
//! ```
//!
//! From it come a struct with public fields, its `Default`, and the reader and writer of every version. `'a` is
//! the frame's lifetime: text and bytes are borrowed.
//!
//! Always true: a field that a version does not have keeps its default when read and is left out when written,
//! whatever it holds. What is called `error_code` is told to the sink as such, so that errors can be counted where
//! answers are written. Field names are Kafka's own; they occur nowhere else in the broker.

/// Defines the structs of one message and how they are read and written. See the module.
macro_rules! message {
    (
        $(#[$meta:meta])*
        $kind:ident $name:ident $(<$lifetime:lifetime>)? of $api:ident,
            versions $first:literal..=$last:literal, flexible $($flexible:literal..)? $($never:ident)?
            { $($field:tt)* } $(tagged { $($tagged:tt)* })?
        $(
            $(#[$part_meta:meta])*
            part $part:ident $(<$part_lifetime:lifetime>)?
                { $($part_field:tt)* } $(tagged { $($part_tagged:tt)* })?
        )*
    ) => {
        wire_struct! {
            $(#[$meta])*
            $name $(<$lifetime>)? { $($field)* } { $($($tagged)*)? }
        }
        $(wire_struct! {
            $(#[$part_meta])*
            $part $(<$part_lifetime>)? { $($part_field)* } { $($($part_tagged)*)? }
        })*

        impl<'a> $name $(<$lifetime>)? {
            /// Reads the body of a known version, borrowing from the frame. Bytes behind the body are left unread.
            pub fn decode(decoder: &mut Decoder<'a>, version: i16) -> Result<Self, DecodeError> {
                if !<Self as Message>::VERSIONS.contains(version) {
                    let api_key = ApiKey::$api as i16;
                    return Err(decoder.refuse(DecodeFault::UnsupportedVersion { api_key, version }));
                }
                <Self as Wire<'a>>::read(decoder, message_shape::<Self>(version))
            }
        }

        impl $(<$lifetime>)? Message for $name $(<$lifetime>)? {
            const API_KEY: ApiKey = ApiKey::$api;
            const KIND: MessageKind = message_kind!($kind);
            const VERSIONS: VersionRange = VersionRange { first: $first, last: $last };
            const FLEXIBLE_FROM: i16 = flexible_from!($($flexible)?);

            fn count(&self, version: i16) -> Counter {
                let mut counter = Counter::default();
                Wire::write(self, &mut counter, message_shape::<Self>(version));
                counter
            }

            fn encode(&self, writer: &mut Writer<'_>, version: i16) {
                Wire::write(self, writer, message_shape::<Self>(version));
            }
        }
    };
}

/// One struct of a message: the message itself or a part.
macro_rules! wire_struct {
    (
        $(#[$meta:meta])*
        $name:ident $(<$lifetime:lifetime>)?
        { $($field:ident: $type:ty $([$versions:expr $(; null $null:expr)?])? $(= $default:expr)?),* $(,)? }
        { $($tag:literal => $tagged:ident: $tagged_type:ty $([$tagged_versions:expr $(; null $tagged_null:expr)?])? $(= $tagged_default:expr)?),* $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Debug)]
        #[allow(missing_docs, reason = "the fields are Kafka's; the protocol guide describes each")]
        pub struct $name $(<$lifetime>)? {
            $(pub $field: $type,)*
            $(pub $tagged: $tagged_type,)*
        }

        impl $(<$lifetime>)? Default for $name $(<$lifetime>)? {
            fn default() -> Self {
                $name {
                    $($field: default_value!($($default)?),)*
                    $($tagged: default_value!($($tagged_default)?),)*
                }
            }
        }

        impl<'a> Wire<'a> for $name $(<$lifetime>)? {
            fn bytes_min(shape: Shape) -> usize {
                usize::from(shape.flexible)
                $(+ if in_versions!(shape $(, $versions)?) {
                    <$type as Wire<'a>>::bytes_min(field_shape!(shape $(, [$versions $(, $null)?])?))
                } else {
                    0
                })*
            }

            fn read(decoder: &mut Decoder<'a>, shape: Shape) -> Result<Self, DecodeError> {
                $(let $field: $type = if in_versions!(shape $(, $versions)?) {
                    Wire::read(decoder, field_shape!(shape $(, [$versions $(, $null)?])?))?
                } else {
                    default_value!($($default)?)
                };)*
                $(let mut $tagged: $tagged_type = default_value!($($tagged_default)?);)*
                if shape.flexible {
                    let mut previous = None;
                    for _ in 0..decoder.tag_count()? {
                        let (tag, size) = decoder.tag(&mut previous)?;
                        $(if tag == $tag && in_versions!(shape $(, $tagged_versions)?) {
                            let shape = field_shape!(shape $(, [$tagged_versions $(, $tagged_null)?])?);
                            $tagged = decoder.sized(size, |decoder| Wire::read(decoder, shape))?;
                            continue;
                        })*
                        let _unknown = (tag, decoder.take(size)?);
                    }
                }
                Ok($name { $($field,)* $($tagged,)* })
            }

            fn write<S: Sink>(&self, sink: &mut S, shape: Shape) {
                $(if in_versions!(shape $(, $versions)?) {
                    let shape = field_shape!(shape $(, [$versions $(, $null)?])?);
                    match stringify!($field) {
                        "error_code" => Wire::write_error_code(&self.$field, sink, shape),
                        _ => Wire::write(&self.$field, sink, shape),
                    }
                })*
                if !shape.flexible {
                    return;
                }
                $(let $tagged = in_versions!(shape $(, $tagged_versions)?) && {
                    let default: $tagged_type = default_value!($($tagged_default)?);
                    self.$tagged != default
                };)*
                sink.put_unsigned_varint(0 $(+ u32::from($tagged))*);
                $(if $tagged {
                    let shape = field_shape!(shape $(, [$tagged_versions $(, $tagged_null)?])?);
                    write_tagged($tag, &self.$tagged, sink, shape);
                })*
            }
        }

        impl<'a> Nullable<'a> for $name $(<$lifetime>)? {
            fn read_nullable(decoder: &mut Decoder<'a>, shape: Shape) -> Result<Option<Self>, DecodeError> {
                match i8::read(decoder, shape)? {
                    0.. => Wire::read(decoder, shape).map(Some),
                    _ => Ok(None),
                }
            }

            fn write_nullable<S: Sink>(value: Option<&Self>, sink: &mut S, shape: Shape) {
                match value {
                    Some(value) => {
                        1i8.write(sink, shape);
                        Wire::write(value, sink, shape);
                    }
                    None => (-1i8).write(sink, shape),
                }
            }
        }
    };
}

macro_rules! message_kind {
    (request) => {
        MessageKind::Request
    };
    (response) => {
        MessageKind::Response
    };
}

macro_rules! flexible_from {
    () => {
        i16::MAX
    };
    ($version:literal) => {
        $version
    };
}

macro_rules! in_versions {
    ($shape:ident) => {
        true
    };
    ($shape:ident, $versions:expr) => {
        std::ops::RangeBounds::<i16>::contains(&($versions), &$shape.version)
    };
}

/// Only optional fields look at `nullable`; without a range of their own they may always be null.
macro_rules! field_shape {
    ($shape:ident) => {
        Shape { nullable: true, ..$shape }
    };
    ($shape:ident, [$versions:expr]) => {
        Shape { nullable: true, ..$shape }
    };
    ($shape:ident, [$versions:expr, $null:expr]) => {
        Shape { nullable: std::ops::RangeBounds::<i16>::contains(&($null), &$shape.version), ..$shape }
    };
}

macro_rules! default_value {
    () => {
        Default::default()
    };
    ($value:expr) => {
        $value
    };
}
