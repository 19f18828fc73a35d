//! Checking a table, and making the model's of it.

use bytes::Bytes;
use polybus_model::{Table, Value};

use super::{DEPTH_MAX, RawValue, TableError, VALUES_MAX, split_name};

/// Checks a table's bytes to the last nested value. Nothing is allocated; the stack that a flat table needs is none.
#[inline]
pub(super) fn check(bytes: &[u8]) -> Result<(), TableError> {
    let mut rest = bytes;
    let mut count = 0;
    while !rest.is_empty() {
        let (_, after_name) = split_name(rest)?;
        let (value, after) = RawValue::split(after_name)?;
        rest = after;
        count += 1;
        if value.is_container() {
            check_nested(value, &mut count)?;
        }
        if count > VALUES_MAX {
            return Err(TableError::TooMany);
        }
    }
    Ok(())
}

/// Checks a table or array inside a table. Level by level, `ends` keeps how many of the outermost value's bytes are left when
/// the level is done, and `named` a bit that tells tables from arrays.
#[inline(never)]
fn check_nested(outer: RawValue<'_>, count: &mut usize) -> Result<(), TableError> {
    let mut ends = [0_usize; DEPTH_MAX];
    let mut named = u64::from(outer.kind == b'F');
    // The outermost table is level one, this value level two.
    let mut depth = 2;
    let mut rest = outer.bytes;
    let mut end = 0;
    loop {
        if rest.len() == end {
            if depth == 2 {
                return Ok(());
            }
            depth -= 1;
            named >>= 1;
            end = *ends.get(depth).ok_or(TableError::TooDeep)?;
            continue;
        }
        let inside = rest.len() - end;
        let level = rest.get(..inside).ok_or(TableError::Truncated)?;
        let value_at = if named & 1 == 1 {
            split_name(level)?.1
        } else {
            level
        };
        let (value, after) = RawValue::split(value_at)?;
        *count += 1;
        if *count > VALUES_MAX {
            return Err(TableError::TooMany);
        }
        let left = end + after.len();
        if value.is_container() {
            if depth == DEPTH_MAX {
                return Err(TableError::TooDeep);
            }
            *ends.get_mut(depth).ok_or(TableError::TooDeep)? = end;
            depth += 1;
            named = named << 1 | u64::from(value.kind == b'F');
            end = left;
            let inner = left + value.bytes.len();
            rest = rest
                .get(rest.len() - inner..)
                .ok_or(TableError::Truncated)?;
        } else {
            rest = rest.get(rest.len() - left..).ok_or(TableError::Truncated)?;
        }
    }
}

/// A table or array in the making.
struct Level<'a> {
    rest: &'a [u8],
    /// The name it has in the table around it.
    name: String,
    items: Items,
}

enum Items {
    Table(Vec<(String, Value)>),
    Array(Vec<Value>),
}

impl Items {
    fn push(&mut self, name: String, value: Value) {
        match self {
            Self::Table(entries) => entries.push((name, value)),
            Self::Array(values) => values.push(value),
        }
    }

    fn into_value(self) -> Value {
        match self {
            Self::Table(entries) => Value::Table(Table(entries)),
            Self::Array(values) => Value::Array(values),
        }
    }
}

impl<'a> Level<'a> {
    fn new(name: String, value: RawValue<'a>) -> Self {
        Self {
            rest: value.bytes,
            name,
            items: if value.kind == b'F' {
                Items::Table(Vec::new())
            } else {
                Items::Array(Vec::new())
            },
        }
    }
}

pub(super) fn decode_table(bytes: &[u8]) -> Result<Table, TableError> {
    match decode_value(RawValue { kind: b'F', bytes })? {
        Value::Table(table) => Ok(table),
        _ => Ok(Table::new()),
    }
}

pub(super) fn decode_value(value: RawValue<'_>) -> Result<Value, TableError> {
    if !value.is_container() {
        return scalar(value.kind, value.bytes).ok_or(TableError::Truncated);
    }
    let mut outer: Vec<Level<'_>> = Vec::new();
    let mut level = Level::new(String::new(), value);
    let mut count = 0;
    loop {
        if level.rest.is_empty() {
            let done = level.items.into_value();
            let name = level.name;
            match outer.pop() {
                Some(parent) => level = parent,
                None => return Ok(done),
            }
            level.items.push(name, done);
            continue;
        }
        count += 1;
        if count > VALUES_MAX {
            return Err(TableError::TooMany);
        }
        let name = if let Items::Table(_) = level.items {
            let (name, rest) = split_name(level.rest)?;
            level.rest = rest;
            String::from_utf8_lossy(name).into_owned()
        } else {
            String::new()
        };
        let (value, rest) = RawValue::split(level.rest)?;
        level.rest = rest;
        if value.is_container() {
            if outer.len() + 1 == DEPTH_MAX {
                return Err(TableError::TooDeep);
            }
            outer.push(std::mem::replace(&mut level, Level::new(name, value)));
        } else {
            let value = scalar(value.kind, value.bytes).ok_or(TableError::Truncated)?;
            level.items.push(name, value);
        }
    }
}

/// The value that is neither table nor array; none for those, and for bytes of the wrong length.
pub(super) fn scalar(kind: u8, bytes: &[u8]) -> Option<Value> {
    fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
        bytes.try_into().ok()
    }
    Some(match kind {
        b'S' => Value::Text(Bytes::copy_from_slice(bytes)),
        b'x' => Value::Bytes(Bytes::copy_from_slice(bytes)),
        b't' => Value::Bool(array::<1>(bytes)? != [0]),
        b'b' => Value::I8(i8::from_be_bytes(array(bytes)?)),
        b'B' => Value::U8(u8::from_be_bytes(array(bytes)?)),
        b's' => Value::I16(i16::from_be_bytes(array(bytes)?)),
        b'u' => Value::U16(u16::from_be_bytes(array(bytes)?)),
        b'I' => Value::I32(i32::from_be_bytes(array(bytes)?)),
        b'i' => Value::U32(u32::from_be_bytes(array(bytes)?)),
        b'l' | b'L' => Value::I64(i64::from_be_bytes(array(bytes)?)),
        b'f' => Value::F32(f32::from_be_bytes(array(bytes)?)),
        b'd' => Value::F64(f64::from_be_bytes(array(bytes)?)),
        b'T' => Value::Timestamp(u64::from_be_bytes(array(bytes)?)),
        b'D' => {
            let [scale, m3, m2, m1, m0] = array(bytes)?;
            Value::Decimal {
                scale,
                mantissa: i32::from_be_bytes([m3, m2, m1, m0]),
            }
        }
        b'V' => Value::Void,
        _ => return None,
    })
}
