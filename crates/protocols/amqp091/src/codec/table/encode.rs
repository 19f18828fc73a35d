//! Writing tables.

use bytes::{BufMut, Bytes, BytesMut};
use polybus_model::{Table, Value};

use super::super::field::{put_long, put_short, short_text};
use super::RawEntry;

/// Writes a table's entries one after the other. Its size is written by [`TableWriter::finish`].
#[derive(Debug)]
pub struct TableWriter<'b> {
    out: &'b mut BytesMut,
    /// Where the size stands; none for a table without one.
    size_at: Option<usize>,
}

impl<'b> TableWriter<'b> {
    /// Starts a table, with its size in front.
    #[must_use]
    pub fn new(out: &'b mut BytesMut) -> Self {
        let size_at = Some(open(out));
        Self { out, size_at }
    }

    /// Starts the bare bytes of a table, as a [`super::TableRef`] has them.
    #[must_use]
    pub const fn bare(out: &'b mut BytesMut) -> Self {
        Self { out, size_at: None }
    }

    /// Appends an entry. A name is cut at 255 bytes. A `U64` too large for a signed one is written as a double, as
    /// amqplib does, since RabbitMQ has no unsigned type of that size.
    pub fn entry(&mut self, name: &str, value: &Value) {
        put_short(self.out, short_text(name).as_bytes());
        put_value(self.out, value);
    }

    /// Appends an entry as it stands in another table.
    pub fn raw_entry(&mut self, entry: &RawEntry<'_>) {
        self.out.extend_from_slice(entry.wire);
    }

    /// Ends the table.
    pub fn finish(self) {
        if let Some(at) = self.size_at {
            close(self.out, at);
        }
    }
}

/// The bare bytes of a table, for a [`super::TableRef`].
#[must_use]
pub fn encode_table(table: &Table) -> Bytes {
    let mut out = BytesMut::new();
    let mut writer = TableWriter::bare(&mut out);
    for (name, value) in table.iter() {
        writer.entry(name, value);
    }
    out.freeze()
}

/// Leaves room for a size.
fn open(out: &mut BytesMut) -> usize {
    let at = out.len();
    out.put_u32(0);
    at
}

/// Fills in the size of all that came after the room left at `at`.
pub(in super::super) fn close(out: &mut BytesMut, at: usize) {
    let size = out.len().saturating_sub(at + 4) as u32;
    if let Some(room) = out.get_mut(at..at + 4) {
        room.copy_from_slice(&size.to_be_bytes());
    }
}

/// A table or array half written.
enum Level<'v> {
    Table(std::slice::Iter<'v, (String, Value)>, usize),
    Array(std::slice::Iter<'v, Value>, usize),
}

fn put_value(out: &mut BytesMut, value: &Value) {
    let mut levels: Vec<Level<'_>> = Vec::new();
    levels.extend(put_scalar_or_open(out, value));
    while let Some(level) = levels.last_mut() {
        let next = match level {
            Level::Table(entries, _) => entries.next().map(|(name, value)| {
                put_short(out, short_text(name).as_bytes());
                value
            }),
            Level::Array(values, _) => values.next(),
        };
        match (next, &*level) {
            (Some(value), _) => levels.extend(put_scalar_or_open(out, value)),
            (None, &Level::Table(_, at) | &Level::Array(_, at)) => {
                close(out, at);
                levels.pop();
            }
        }
    }
}

/// Writes a value; of a table or array only the start.
fn put_scalar_or_open<'v>(out: &mut BytesMut, value: &'v Value) -> Option<Level<'v>> {
    match value {
        Value::Void => out.put_u8(b'V'),
        Value::Bool(v) => out.extend_from_slice(&[b't', (*v).into()]),
        Value::I8(v) => put_number(out, b'b', &v.to_be_bytes()),
        Value::U8(v) => put_number(out, b'B', &v.to_be_bytes()),
        Value::I16(v) => put_number(out, b's', &v.to_be_bytes()),
        Value::U16(v) => put_number(out, b'u', &v.to_be_bytes()),
        Value::I32(v) => put_number(out, b'I', &v.to_be_bytes()),
        Value::U32(v) => put_number(out, b'i', &v.to_be_bytes()),
        Value::I64(v) => put_number(out, b'l', &v.to_be_bytes()),
        Value::U64(v) => match i64::try_from(*v) {
            Ok(v) => put_number(out, b'l', &v.to_be_bytes()),
            Err(_) => put_number(out, b'd', &(*v as f64).to_be_bytes()),
        },
        Value::F32(v) => put_number(out, b'f', &v.to_be_bytes()),
        Value::F64(v) => put_number(out, b'd', &v.to_be_bytes()),
        Value::Timestamp(v) => put_number(out, b'T', &v.to_be_bytes()),
        Value::Decimal { scale, mantissa } => {
            out.extend_from_slice(&[b'D', *scale]);
            out.put_i32(*mantissa);
        }
        Value::Text(bytes) => {
            out.put_u8(b'S');
            put_long(out, bytes);
        }
        Value::Bytes(bytes) => {
            out.put_u8(b'x');
            put_long(out, bytes);
        }
        Value::Table(table) => {
            out.put_u8(b'F');
            return Some(Level::Table(table.0.iter(), open(out)));
        }
        Value::Array(values) => {
            out.put_u8(b'A');
            return Some(Level::Array(values.iter(), open(out)));
        }
    }
    None
}

fn put_number(out: &mut BytesMut, kind: u8, bytes: &[u8]) {
    out.put_u8(kind);
    out.extend_from_slice(bytes);
}
