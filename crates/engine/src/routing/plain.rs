//! Values as routing compares them, which is as RabbitMQ does: a field's type does not count, its value does. A number is
//! a number whatever its width, `1` equals `1.0` and a timestamp of 1; a text equals the same bytes. Within a list or a
//! table types do count.

use std::hash::{Hash, Hasher};

use bytes::Bytes;
use polybus_model::{Table, Value};

/// A value in the one form that all equal ones share.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Plain {
    Void,
    Bool(bool),
    /// A whole number, also one that came as a float.
    Whole(i128),
    /// The bits of a float that is no whole number, or too large for one.
    Float(u64),
    Blob(Bytes),
    /// A decimal, list or table, encoded exactly.
    Exact(Vec<u8>),
}

/// Above this a float stays one: every whole number of the model is smaller.
const WHOLE_MAX: f64 = 1e36;

impl Plain {
    pub(super) fn new(value: Value) -> Self {
        match value {
            Value::Void => Self::Void,
            Value::Bool(v) => Self::Bool(v),
            Value::I8(v) => Self::Whole(v.into()),
            Value::U8(v) => Self::Whole(v.into()),
            Value::I16(v) => Self::Whole(v.into()),
            Value::U16(v) => Self::Whole(v.into()),
            Value::I32(v) => Self::Whole(v.into()),
            Value::U32(v) => Self::Whole(v.into()),
            Value::I64(v) => Self::Whole(v.into()),
            Value::U64(v) | Value::Timestamp(v) => Self::Whole(v.into()),
            Value::F32(v) => Self::float(v.into()),
            Value::F64(v) => Self::float(v),
            Value::Text(v) | Value::Bytes(v) => Self::Blob(v),
            Value::Decimal { .. } | Value::Array(_) | Value::Table(_) => {
                let mut bytes = Vec::new();
                encode(&value, &mut bytes);
                Self::Exact(bytes)
            }
        }
    }

    fn float(v: f64) -> Self {
        if v.fract() == 0.0 && v.abs() < WHOLE_MAX {
            Self::Whole(v as i128)
        } else {
            Self::Float(v.to_bits())
        }
    }

    /// Bytes to hash it by, the same for ever.
    pub(super) fn stable_bytes(&self) -> Bytes {
        match self {
            Self::Void => Bytes::new(),
            Self::Bool(v) => Bytes::copy_from_slice(&[u8::from(*v)]),
            Self::Whole(v) => Bytes::copy_from_slice(&v.to_le_bytes()),
            Self::Float(v) => Bytes::copy_from_slice(&v.to_le_bytes()),
            Self::Blob(v) => v.clone(),
            Self::Exact(v) => Bytes::copy_from_slice(v),
        }
    }
}

enum Step<'a> {
    Value(&'a Value),
    Name(&'a str),
}

/// Writes a value exactly: different values give different bytes. Without recursion, since peers choose the depth.
pub(super) fn encode(value: &Value, out: &mut Vec<u8>) {
    let mut steps = vec![Step::Value(value)];
    while let Some(step) = steps.pop() {
        match step {
            Step::Name(name) => put_blob(name.as_bytes(), out),
            Step::Value(Value::Array(items)) => {
                out.push(16);
                out.extend_from_slice(&(items.len() as u64).to_le_bytes());
                steps.extend(items.iter().rev().map(Step::Value));
            }
            Step::Value(Value::Table(table)) => {
                out.push(17);
                out.extend_from_slice(&(table.len() as u64).to_le_bytes());
                for (name, value) in table.0.iter().rev() {
                    steps.push(Step::Value(value));
                    steps.push(Step::Name(name));
                }
            }
            Step::Value(value) => encode_simple(value, out),
        }
    }
}

fn put_blob(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn encode_simple(value: &Value, out: &mut Vec<u8>) {
    let mut put = |tag: u8, bytes: &[u8]| {
        out.push(tag);
        out.extend_from_slice(bytes);
    };
    match value {
        Value::Void => put(0, &[]),
        Value::Bool(v) => put(1, &[u8::from(*v)]),
        Value::I8(v) => put(2, &v.to_le_bytes()),
        Value::U8(v) => put(3, &v.to_le_bytes()),
        Value::I16(v) => put(4, &v.to_le_bytes()),
        Value::U16(v) => put(5, &v.to_le_bytes()),
        Value::I32(v) => put(6, &v.to_le_bytes()),
        Value::U32(v) => put(7, &v.to_le_bytes()),
        Value::I64(v) => put(8, &v.to_le_bytes()),
        Value::U64(v) => put(9, &v.to_le_bytes()),
        Value::F32(v) => put(10, &v.to_bits().to_le_bytes()),
        Value::F64(v) => put(11, &v.to_bits().to_le_bytes()),
        Value::Decimal { scale, mantissa } => {
            put(12, &[*scale]);
            out.extend_from_slice(&mantissa.to_le_bytes());
        }
        Value::Timestamp(v) => put(13, &v.to_le_bytes()),
        Value::Text(v) => {
            out.push(14);
            put_blob(v, out);
        }
        Value::Bytes(v) => {
            out.push(15);
            put_blob(v, out);
        }
        Value::Array(_) | Value::Table(_) => {}
    }
}

/// What tells a binding's arguments from others: the order of their names does not count, types do. Empty for none.
pub(super) fn identity(arguments: &Table) -> Box<[u8]> {
    let mut entries: Vec<_> = arguments.iter().collect();
    entries.sort_by_key(|(name, _)| *name);
    let mut out = Vec::new();
    for (name, value) in entries {
        put_blob(name.as_bytes(), &mut out);
        encode(value, &mut out);
    }
    out.into()
}

/// A message's headers, ready to be compared: sorted by name, the first of a name that stands twice.
#[derive(Debug)]
pub(super) struct Fields(Vec<(String, Plain)>);

impl Fields {
    pub(super) fn new(table: Table) -> Self {
        let fields = table.0.into_iter();
        let mut fields: Vec<_> = fields.map(|(name, v)| (name, Plain::new(v))).collect();
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        fields.dedup_by(|(later, _), (first, _)| later == first);
        Self(fields)
    }

    pub(super) fn lookup(&self, name: &str) -> Option<&Plain> {
        let at = self
            .0
            .binary_search_by(|(field, _)| field.as_str().cmp(name))
            .ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Plain)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// The hash of "the field has this value", or of "the field is there" for no value.
pub(super) fn hash_field(hasher: &ahash::RandomState, name: &str, value: Option<&Plain>) -> u64 {
    use std::hash::BuildHasher;
    let mut state = hasher.build_hasher();
    name.hash(&mut state);
    value.hash(&mut state);
    state.finish()
}
