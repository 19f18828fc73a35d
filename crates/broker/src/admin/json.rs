//! Headers and arguments as JSON, for listings.

use bytes::Bytes;
use polybus_model::{Table, Value};

/// Depth past which nested values are shown as `...`.
const JSON_DEPTH_MAX: usize = 32;

/// A table as an object.
pub(super) fn json_of_table(table: &Table) -> serde_json::Value {
    json_of(&Value::Table(table.clone()), 0)
}

fn json_of(value: &Value, depth: usize) -> serde_json::Value {
    if depth > JSON_DEPTH_MAX {
        return "...".into();
    }
    match value {
        Value::Void => serde_json::Value::Null,
        Value::Bool(v) => (*v).into(),
        Value::U64(v) | Value::Timestamp(v) => (*v).into(),
        Value::F32(v) => (*v).into(),
        Value::F64(v) => (*v).into(),
        Value::Decimal { scale, mantissa } => format!("{mantissa}e-{scale}").into(),
        Value::Text(bytes) | Value::Bytes(bytes) => text(bytes).into(),
        Value::Array(values) => values.iter().map(|one| json_of(one, depth + 1)).collect(),
        Value::Table(table) => {
            let fields = table
                .iter()
                .map(|(name, one)| (name.to_owned(), json_of(one, depth + 1)));
            serde_json::Value::Object(fields.collect())
        }
        whole => whole.as_i64().into(),
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
