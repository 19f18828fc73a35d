//! Tables: round trips, depth, and sizes that lie.

use bytes::BufMut;
use polybus_model::{Table, Value};
use proptest::prelude::*;

use super::*;

fn any_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Void),
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::I8),
        any::<u8>().prop_map(Value::U8),
        any::<i16>().prop_map(Value::I16),
        any::<u16>().prop_map(Value::U16),
        any::<i32>().prop_map(Value::I32),
        any::<u32>().prop_map(Value::U32),
        any::<i64>().prop_map(Value::I64),
        any::<f32>().prop_map(Value::F32),
        any::<f64>().prop_map(Value::F64),
        any::<(u8, i32)>().prop_map(|(scale, mantissa)| Value::Decimal { scale, mantissa }),
        any::<u64>().prop_map(Value::Timestamp),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Value::Text(bytes.into())),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Value::Bytes(bytes.into())),
    ];
    scalar.prop_recursive(5, 20, 4, |inner| {
        let entries = prop::collection::vec(("\\PC{0,8}", inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::Array),
            entries.prop_map(|entries| Value::Table(Table(entries))),
        ]
    })
}

pub(super) fn any_table() -> impl Strategy<Value = Table> {
    prop::collection::vec(("\\PC{0,8}", any_value()), 0..5).prop_map(Table)
}

proptest! {
    #[test]
    fn table_is_read_as_written(table in any_table()) {
        let bytes = encode_table(&table);
        let raw = TableRef::new(&bytes);
        prop_assert_eq!(raw.check(), Ok(()));
        prop_assert_eq!(raw.decode(), Ok(table.clone()));
        let values: Vec<_> = raw.entries().map(|entry| entry.value.decode()).collect();
        let expected: Vec<_> = table.iter().map(|(_, value)| Ok(value.clone())).collect();
        prop_assert_eq!(values, expected);
        for (name, _) in table.iter() {
            let found = raw.lookup(name.as_bytes()).map(RawValue::decode);
            prop_assert_eq!(found, table.lookup(name).cloned().map(Ok));
        }
        let wire: Vec<u8> = raw.entries().flat_map(|entry| entry.wire.to_vec()).collect();
        prop_assert_eq!(wire, bytes);
    }

    #[test]
    fn check_and_decode_agree(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let raw = TableRef::new(&bytes);
        prop_assert_eq!(raw.check(), raw.decode().map(drop));
        prop_assert!(raw.entries().count() <= bytes.len());
    }

    #[test]
    fn check_and_decode_agree_on_damage(table in any_table(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode_table(&table).to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let raw = TableRef::new(&bytes);
        prop_assert_eq!(raw.check(), raw.decode().map(drop));
        let _ = raw.lookup(b"no such name");
        let _ = format!("{raw:?}");
        let cut = TableRef::new(&bytes[..bytes.len() / 2]);
        prop_assert_eq!(cut.check(), cut.decode().map(drop));
    }
}

/// A table of so many levels, the innermost empty.
fn nested(depth: usize, kind: u8) -> Vec<u8> {
    let mut out = Vec::new();
    for level in (1..depth).rev() {
        // What a level inside this one takes: arrays have no names, but the outermost level is always a table.
        let head = |level: usize| if kind == b'A' && level > 1 { 5 } else { 6 };
        let inside: usize = (level + 1..depth).map(head).sum();
        let mut entry = Vec::new();
        if head(level) == 6 {
            entry.put_u8(0);
        }
        entry.put_u8(kind);
        entry.put_u32(inside as u32);
        entry.append(&mut out);
        out = entry;
    }
    out
}

#[test]
fn depth_is_bounded() {
    for kind in [b'F', b'A'] {
        let bytes = nested(DEPTH_MAX, kind);
        let raw = TableRef::new(&bytes);
        assert_eq!(raw.check(), Ok(()));
        assert_eq!(encode_table(&raw.decode().expect("deep enough")), bytes);
        for depth in [DEPTH_MAX + 1, 10_000] {
            let bytes = nested(depth, kind);
            let raw = TableRef::new(&bytes);
            assert_eq!(raw.check(), Err(TableError::TooDeep));
            assert_eq!(raw.decode(), Err(TableError::TooDeep));
            let properties = [&b"\x20\0"[..], &(bytes.len() as u32).to_be_bytes(), &bytes].concat();
            let check = PropertiesRef::new(&properties).check();
            assert_eq!(check, Err(CodecError::Headers(TableError::TooDeep)));
        }
    }
}

#[test]
fn count_is_bounded() {
    let many = |count: usize| b"\0V".repeat(count);
    assert_eq!(TableRef::new(&many(VALUES_MAX)).check(), Ok(()));
    let over = many(VALUES_MAX + 1);
    assert_eq!(TableRef::new(&over).check(), Err(TableError::TooMany));
    assert_eq!(TableRef::new(&over).decode(), Err(TableError::TooMany));
    // In an array the values have no names, and count all the same.
    let mut array = b"\0A".to_vec();
    array.put_u32(VALUES_MAX as u32);
    array.extend(b"V".repeat(VALUES_MAX));
    assert_eq!(TableRef::new(&array).check(), Err(TableError::TooMany));
    assert_eq!(TableRef::new(&array).decode(), Err(TableError::TooMany));
}

#[test]
fn sizes_that_lie() {
    let cases: [&[u8]; 9] = [
        b"\x05name",
        b"\x01a",
        b"\x01aS\0\0\0\x05text",
        b"\x01aS\xff\xff\xff\xff",
        b"\x01aF\0\0\0\x03\x01bt\x01",
        b"\x01aF\0\0\0\x09\x01bt\x01",
        b"\x01aA\0\0\0\x02I\0\0\0\0",
        b"\x01aI\0\0",
        b"\x01aA\0\0\0\x05S\0\0\0\x01",
    ];
    for bytes in cases {
        let raw = TableRef::new(bytes);
        assert_eq!(raw.check(), Err(TableError::Truncated), "{bytes:?}");
        assert_eq!(raw.decode(), Err(TableError::Truncated), "{bytes:?}");
    }
    let unknown = TableRef::new(b"\x01az");
    assert_eq!(unknown.check(), Err(TableError::UnknownType(b'z')));
}

#[test]
fn numbers_as_clients_write_them() {
    // amqplib: the smallest type that fits; py-amqp: L; Go: l; RabbitMQ: signed all.
    let raw = TableRef::new(
        b"\x01bb\xff\x01ss\xff\xfe\x01II\0\0\0\x03\x01ll\xff\xff\xff\xff\xff\xff\xff\xfc\x01LL\0\0\0\0\0\0\0\x05\x01tt\x02",
    );
    let number = |name: &[u8]| raw.lookup(name).and_then(RawValue::as_i64);
    assert_eq!(
        [b"b", b"s", b"I", b"l", b"L"].map(|name| number(name)),
        [-1, -2, 3, -4, 5].map(Some)
    );
    assert_eq!(raw.lookup(b"t").and_then(RawValue::as_bool), Some(true));
    assert_eq!(number(b"t"), None);
    // Nobody has an unsigned type of 64 bits.
    let mut table = Table::new();
    table.push("a", Value::U64(7));
    table.push("b", Value::U64(u64::MAX));
    let bytes = encode_table(&table);
    let read = TableRef::new(&bytes).decode().expect("well-formed");
    assert_eq!(read.lookup("a"), Some(&Value::I64(7)));
    assert_eq!(read.lookup("b"), Some(&Value::F64(u64::MAX as f64)));
}

#[test]
fn names_that_are_no_text_and_duplicates() {
    let bytes = b"\x01\xffV\x01at\x01\x01at\0";
    let raw = TableRef::new(bytes);
    let table = raw.decode().expect("well-formed");
    assert_eq!(table.len(), 3);
    assert_eq!(table.lookup("a"), Some(&Value::Bool(true)));
    assert_eq!(
        raw.lookup(b"\xff"),
        Some(RawValue {
            kind: b'V',
            bytes: b""
        })
    );
    assert_eq!(raw.entries().count(), 3);
}

#[test]
fn values_deep_in_the_model_are_written_without_call_depth() {
    let mut value = Value::Void;
    for _ in 0..2_000 {
        value = Value::Array(vec![value]);
    }
    let mut table = Table::new();
    table.push("", value);
    assert_eq!(encode_table(&table).len(), 1 + 2_000 * 5 + 1);
}
