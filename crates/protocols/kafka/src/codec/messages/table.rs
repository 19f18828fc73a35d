//! What makes a struct of a table of fields.
//!
//! ```text
//! message! {
//!     struct MetadataRequest: Metadata {                          the body of a request or response of API Metadata
//!         topics: Option<Vec<MetadataRequestTopic>> [0..] null [1..];
//!         |       |                                 |     |      the versions in which it can be null
//!         |       |                                 the versions that have it
//!         |       its type; only what is `Option` can be null
//!         its name, snake-cased from Kafka's
//!         allow_auto_topic_creation: bool [4..] = true;           its default where it is not the type's
//!         cluster_id: Option<String> [12..] null [12..] tag 0;    a tagged field
//!     }
//!     struct MetadataRequestTopic { ... }                         a struct in it
//! }
//! ```
//! The order of the fields is their order on the wire. Which versions there are and which is the first flexible one stands
//! in the table of APIs. A field that a version does not have is read as its default and is not written; `None` where a
//! version knows no null is written as the empty value. So encoding cannot fail.

use bytes::Bytes;

use super::super::error::CodecError;
use super::super::primitives::{Reader, Uuid, Writer};

/// How a value looks on the wire.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct Shape {
    /// The version of the message.
    pub(in crate::codec) version: i16,
    /// It has compact lengths and tagged fields.
    pub(in crate::codec) flexible: bool,
    /// The value can be null.
    pub(in crate::codec) nullable: bool,
}

impl Shape {
    pub(super) const fn nullable(self, nullable: bool) -> Self {
        Self { nullable, ..self }
    }
}

/// A value on the wire.
pub(super) trait Value: Sized {
    /// So many bytes it takes at least.
    fn bytes_min(shape: Shape) -> usize;
    fn read(reader: &mut Reader<'_>, shape: Shape) -> Result<Self, CodecError>;
    fn write(&self, writer: &mut Writer<'_>, shape: Shape);
    /// Says that the client is not read for so long, if it is a response that can and does not say longer.
    fn hold_back(&mut self, _throttle_ms: i32) {}
}

/// A value that has a way to say null.
pub(super) trait Nullable: Value + Default {
    fn read_nullable(reader: &mut Reader<'_>, shape: Shape) -> Result<Option<Self>, CodecError>;
    fn write_nullable(value: Option<&Self>, writer: &mut Writer<'_>, shape: Shape);
}

macro_rules! integers {
    ($($int:ident)*) => { $(
        impl Value for $int {
            #[inline]
            fn bytes_min(_: Shape) -> usize {
                size_of::<Self>()
            }

            #[inline]
            fn read(reader: &mut Reader<'_>, _: Shape) -> Result<Self, CodecError> {
                reader.$int()
            }

            #[inline]
            fn write(&self, writer: &mut Writer<'_>, _: Shape) {
                writer.$int(*self);
            }
        }
    )* };
}

integers! { i8 i16 i32 i64 }

impl Value for u16 {
    fn bytes_min(_: Shape) -> usize {
        2
    }

    fn read(reader: &mut Reader<'_>, _: Shape) -> Result<Self, CodecError> {
        reader.array().map(Self::from_be_bytes)
    }

    fn write(&self, writer: &mut Writer<'_>, _: Shape) {
        writer.raw(&self.to_be_bytes());
    }
}

impl Value for f64 {
    fn bytes_min(_: Shape) -> usize {
        8
    }

    fn read(reader: &mut Reader<'_>, _: Shape) -> Result<Self, CodecError> {
        reader.array().map(Self::from_be_bytes)
    }

    fn write(&self, writer: &mut Writer<'_>, _: Shape) {
        writer.raw(&self.to_be_bytes());
    }
}

impl Value for bool {
    #[inline]
    fn bytes_min(_: Shape) -> usize {
        1
    }

    #[inline]
    fn read(reader: &mut Reader<'_>, _: Shape) -> Result<Self, CodecError> {
        Ok(reader.i8()? != 0)
    }

    #[inline]
    fn write(&self, writer: &mut Writer<'_>, _: Shape) {
        writer.i8((*self).into());
    }
}

impl Value for Uuid {
    fn bytes_min(_: Shape) -> usize {
        16
    }

    fn read(reader: &mut Reader<'_>, _: Shape) -> Result<Self, CodecError> {
        reader.array()
    }

    fn write(&self, writer: &mut Writer<'_>, _: Shape) {
        writer.raw(self);
    }
}

impl Value for String {
    #[inline]
    fn bytes_min(shape: Shape) -> usize {
        if shape.flexible { 1 } else { 2 }
    }

    fn read(reader: &mut Reader<'_>, shape: Shape) -> Result<Self, CodecError> {
        reader.str(shape.flexible).map(str::to_owned)
    }

    fn write(&self, writer: &mut Writer<'_>, shape: Shape) {
        writer.str(Some(self), shape.flexible);
    }
}

impl Nullable for String {
    fn read_nullable(reader: &mut Reader<'_>, shape: Shape) -> Result<Option<Self>, CodecError> {
        let text = reader.str_or_null(shape.flexible)?;
        Ok(text.map(str::to_owned))
    }

    fn write_nullable(value: Option<&Self>, writer: &mut Writer<'_>, shape: Shape) {
        writer.str(value.map(String::as_str), shape.flexible);
    }
}

impl Value for Bytes {
    #[inline]
    fn bytes_min(shape: Shape) -> usize {
        if shape.flexible { 1 } else { 4 }
    }

    fn read(reader: &mut Reader<'_>, shape: Shape) -> Result<Self, CodecError> {
        reader
            .bytes_or_null(shape.flexible)?
            .ok_or(CodecError::Null)
    }

    fn write(&self, writer: &mut Writer<'_>, shape: Shape) {
        writer.bytes(Some(self), shape.flexible);
    }
}

impl Nullable for Bytes {
    fn read_nullable(reader: &mut Reader<'_>, shape: Shape) -> Result<Option<Self>, CodecError> {
        reader.bytes_or_null(shape.flexible)
    }

    fn write_nullable(value: Option<&Self>, writer: &mut Writer<'_>, shape: Shape) {
        writer.bytes(value.map(AsRef::as_ref), shape.flexible);
    }
}

impl<T: Value> Value for Vec<T> {
    #[inline]
    fn bytes_min(shape: Shape) -> usize {
        if shape.flexible { 1 } else { 4 }
    }

    fn read(reader: &mut Reader<'_>, shape: Shape) -> Result<Self, CodecError> {
        Self::read_nullable(reader, shape)?.ok_or(CodecError::Null)
    }

    fn write(&self, writer: &mut Writer<'_>, shape: Shape) {
        Self::write_nullable(Some(self), writer, shape);
    }
}

impl<T: Value> Nullable for Vec<T> {
    fn read_nullable(reader: &mut Reader<'_>, shape: Shape) -> Result<Option<Self>, CodecError> {
        let shape = shape.nullable(false);
        let bytes_min = T::bytes_min(shape);
        let Some(count) = reader.count(shape.flexible, bytes_min, size_of::<T>())? else {
            return Ok(None);
        };
        let mut values = Self::with_capacity(count);
        for _ in 0..count {
            values.push(T::read(reader, shape)?);
        }
        Ok(Some(values))
    }

    fn write_nullable(value: Option<&Self>, writer: &mut Writer<'_>, shape: Shape) {
        writer.len(value.map(Vec::len), shape.flexible);
        for value in value.into_iter().flatten() {
            value.write(writer, shape.nullable(false));
        }
    }
}

impl<T: Nullable> Value for Option<T> {
    #[inline]
    fn bytes_min(shape: Shape) -> usize {
        // A null struct is one byte.
        T::bytes_min(shape).min(1)
    }

    #[inline]
    fn read(reader: &mut Reader<'_>, shape: Shape) -> Result<Self, CodecError> {
        if shape.nullable {
            T::read_nullable(reader, shape)
        } else {
            T::read(reader, shape).map(Some)
        }
    }

    #[inline]
    fn write(&self, writer: &mut Writer<'_>, shape: Shape) {
        match self {
            _ if shape.nullable => T::write_nullable(self.as_ref(), writer, shape),
            Some(value) => value.write(writer, shape),
            None => T::default().write(writer, shape),
        }
    }
}

/// A field's tag, if it has one.
macro_rules! tag_of {
    () => {
        None::<u32>
    };
    ($tag:literal) => {
        Some::<u32>($tag)
    };
}

/// The versions in which a field can be null: none unless the table names some.
macro_rules! is_null_in {
    ($version:expr) => {
        false
    };
    ($version:expr, $null:pat) => {
        matches!($version, $null)
    };
}

/// A field's default: its type's unless the table names one.
macro_rules! default_of {
    ($ty:ty) => {
        <$ty>::default()
    };
    ($ty:ty, $default:expr) => {
        $default
    };
}

/// Raises a response's field that says how long its client is not read, and no other.
macro_rules! hold_back {
    (throttle_time_ms $place:expr, $least:ident) => {
        $place = $place.max($least)
    };
    ($other:ident $place:expr, $least:ident) => {};
}

/// Makes structs of tables; the module says how they are read.
macro_rules! message {
    ($(
        $(#[$about:meta])*
        struct $name:ident $(: $api:ident)? {
            $( $field:ident : $ty:ty [$in:pat] $(null [$null:pat])? $(tag $tag:literal)? $(= $default:expr)? ; )*
        }
    )*) => { $(
        $(#[$about])*
        #[derive(Clone, PartialEq, Debug)]
        pub struct $name {
            $( pub $field: $ty, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $( $field: default_of!($ty $(, $default)?), )*
                }
            }
        }

        impl Value for $name {
            #[inline]
            fn bytes_min(shape: Shape) -> usize {
                usize::from(shape.flexible)
                $( + if tag_of!($($tag)?).is_none() && matches!(shape.version, $in) {
                    <$ty>::bytes_min(shape)
                } else {
                    0
                } )*
            }

            #[allow(unused_mut, reason = "a table may have no fields")]
            fn read(reader: &mut Reader<'_>, shape: Shape) -> Result<Self, CodecError> {
                let mut value = Self::default();
                $( if tag_of!($($tag)?).is_none() && matches!(shape.version, $in) {
                    let nullable = is_null_in!(shape.version $(, $null)?);
                    value.$field = Value::read(reader, shape.nullable(nullable))?;
                } )*
                if shape.flexible {
                    reader.tagged(|tag, field| {
                        $( if tag_of!($($tag)?) == Some(tag) && matches!(shape.version, $in) {
                            let nullable = is_null_in!(shape.version $(, $null)?);
                            value.$field = Value::read(field, shape.nullable(nullable))?;
                            return Ok(true);
                        } )*
                        let _ = (tag, field);
                        Ok(false)
                    })?;
                }
                Ok(value)
            }

            fn write(&self, writer: &mut Writer<'_>, shape: Shape) {
                $( if tag_of!($($tag)?).is_none() && matches!(shape.version, $in) {
                    let nullable = is_null_in!(shape.version $(, $null)?);
                    self.$field.write(writer, shape.nullable(nullable));
                } )*
                if shape.flexible {
                    let count = 0 $( + u32::from(
                        tag_of!($($tag)?).is_some()
                            && matches!(shape.version, $in)
                            && self.$field != default_of!($ty $(, $default)?),
                    ) )*;
                    writer.uvarint(count);
                    $( if let Some(tag) = tag_of!($($tag)?)
                        && matches!(shape.version, $in)
                        && self.$field != default_of!($ty $(, $default)?)
                    {
                        let nullable = is_null_in!(shape.version $(, $null)?);
                        writer.tagged(tag, |writer| self.$field.write(writer, shape.nullable(nullable)));
                    } )*
                }
            }

            fn hold_back(&mut self, throttle_ms: i32) {
                let _ = throttle_ms;
                $( hold_back!($field self.$field, throttle_ms); )*
            }
        }

        #[cfg(test)]
        impl Sample for $name {
            fn sample(source: &mut Source) -> Self {
                let _ = &source;
                Self {
                    $( $field: Sample::sample(source), )*
                }
            }
        }

        impl Nullable for $name {
            fn read_nullable(reader: &mut Reader<'_>, shape: Shape) -> Result<Option<Self>, CodecError> {
                if reader.i8()? < 0 {
                    return Ok(None);
                }
                Self::read(reader, shape).map(Some)
            }

            fn write_nullable(value: Option<&Self>, writer: &mut Writer<'_>, shape: Shape) {
                writer.i8(if value.is_some() { 1 } else { -1 });
                if let Some(value) = value {
                    value.write(writer, shape);
                }
            }
        }

        $( impl Message for $name {
            const API: Api = Api::$api;

            fn decode(reader: &mut Reader<'_>, version: i16) -> Result<Self, CodecError> {
                Self::read(reader, Self::API.shape(version)?)
            }

            fn encode(&self, writer: &mut Writer<'_>, version: i16) {
                self.write(writer, Self::API.shape_near(version));
            }

            fn hold_back(&mut self, throttle_ms: i32) {
                Value::hold_back(self, throttle_ms);
            }
        } )?
    )* };
}

pub(super) use {default_of, hold_back, is_null_in, message, tag_of};
