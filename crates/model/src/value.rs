//! Typed values, as headers and arguments carry them.

use bytes::Bytes;

/// One typed value. The union of what the protocols' headers can say; texts are bytes, since peers send any.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Nothing.
    Void,
    /// True or false.
    Bool(bool),
    /// A signed 8-bit number.
    I8(i8),
    /// An unsigned 8-bit number.
    U8(u8),
    /// A signed 16-bit number.
    I16(i16),
    /// An unsigned 16-bit number.
    U16(u16),
    /// A signed 32-bit number.
    I32(i32),
    /// An unsigned 32-bit number.
    U32(u32),
    /// A signed 64-bit number.
    I64(i64),
    /// An unsigned 64-bit number.
    U64(u64),
    /// A 32-bit float.
    F32(f32),
    /// A 64-bit float.
    F64(f64),
    /// A decimal: `mantissa / 10^scale`.
    Decimal {
        /// Digits after the point.
        scale: u8,
        /// All digits.
        mantissa: i32,
    },
    /// A point in time, in seconds since the Unix epoch.
    Timestamp(u64),
    /// A text.
    Text(Bytes),
    /// Opaque bytes.
    Bytes(Bytes),
    /// A list.
    Array(Vec<Value>),
    /// A nested table.
    Table(Table),
}

impl Value {
    /// A text value.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// The value as an integer, if it is a whole number that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        Some(match *self {
            Self::I8(v) => v.into(),
            Self::U8(v) => v.into(),
            Self::I16(v) => v.into(),
            Self::U16(v) => v.into(),
            Self::I32(v) => v.into(),
            Self::U32(v) => v.into(),
            Self::I64(v) => v,
            Self::U64(v) => return i64::try_from(v).ok(),
            _ => return None,
        })
    }

    /// The value as UTF-8 text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(bytes) | Self::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The value as a truth value, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(v) = self {
            Some(*v)
        } else {
            None
        }
    }
}

/// Named values in the order they were written; a name may stand twice, the first counts.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Table(pub Vec<(String, Value)>);

impl Table {
    /// An empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The first value of that name.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// Puts a value at the end.
    pub fn push(&mut self, name: &str, value: Value) {
        self.0.push((name.to_owned(), value));
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}
