//! The sale message, version 1, and what is refused.
//!
//! A reader looks at `version` first. It refuses a version it does not know rather than guess, and it lets unknown fields
//! pass, so that a later writer may add some without a new version.

use std::{collections::BTreeMap, fmt, time::SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::Amount;

/// The version of the message that this code writes and reads.
pub const VERSION: u32 = 1;

/// One line of a sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The stock keeping unit.
    pub sku: String,
    /// How many pieces, at least one.
    pub quantity: u32,
}

/// A sale as it happened at the till.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaleDetails {
    version: u32,
    /// Names the sale for ever: whoever sees the same id twice has seen the same sale twice.
    pub sale_id: Uuid,
    /// The store that sold.
    pub store_id: String,
    /// What was sold: at least one item.
    pub items: Vec<Item>,
    /// When, in UTC.
    #[serde(serialize_with = "write_time", deserialize_with = "read_time")]
    pub timestamp: SystemTime,
    /// What the customer paid, as a decimal in text.
    pub total_amount: Amount,
}

/// Why a message is no sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not JSON at all, or not of the shape of a sale.
    Malformed(String),
    /// A version that this program does not know.
    UnknownVersion(String),
    /// The shape is right, a value is not.
    Invalid(String),
}

impl SaleDetails {
    /// A sale of today's version, checked.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when a value is out of range.
    pub fn new(
        sale_id: Uuid,
        store_id: impl Into<String>,
        items: Vec<Item>,
        timestamp: SystemTime,
        total_amount: Amount,
    ) -> Result<Self, Refusal> {
        let store_id = store_id.into();
        Self {
            version: VERSION,
            sale_id,
            store_id,
            items,
            timestamp,
            total_amount,
        }
        .checked()
    }

    /// Reads a message.
    ///
    /// # Errors
    /// A [`Refusal`] that says what is wrong with it.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Refusal> {
        let malformed = |error: serde_json::Error| Refusal::Malformed(error.to_string());
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(malformed)?;
        match value.get("version") {
            Some(version) if *version == VERSION => {}
            Some(version) => return Err(Refusal::UnknownVersion(version.to_string())),
            None => return Err(Refusal::Malformed("there is no `version` field".to_owned())),
        }
        Self::deserialize(value).map_err(malformed)?.checked()
    }

    /// Writes the message.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when it cannot be written, which no checked sale causes.
    pub fn to_json(&self) -> Result<Vec<u8>, Refusal> {
        serde_json::to_vec(self).map_err(|error| Refusal::Malformed(error.to_string()))
    }

    /// How many pieces of each sku were sold, with repeated lines added up.
    #[must_use]
    pub fn quantities(&self) -> BTreeMap<&str, u64> {
        let mut quantities = BTreeMap::new();
        for item in &self.items {
            *quantities.entry(item.sku.as_str()).or_insert(0) += u64::from(item.quantity);
        }
        quantities
    }

    fn checked(self) -> Result<Self, Refusal> {
        let wrong = |what: &str| Err(Refusal::Invalid(what.to_owned()));
        if self.sale_id.is_nil() {
            return wrong("`sale_id` is all zeroes");
        }
        if self.store_id.trim().is_empty() {
            return wrong("`store_id` is empty");
        }
        if self.items.is_empty() {
            return wrong("`items` is empty: a sale sells something");
        }
        if self.items.iter().any(|item| item.sku.trim().is_empty()) {
            return wrong("an item has an empty `sku`");
        }
        if let Some(item) = self.items.iter().find(|item| item.quantity == 0) {
            return Err(Refusal::Invalid(format!(
                "item `{}` has quantity 0",
                item.sku
            )));
        }
        if self.total_amount < Amount::default() {
            return wrong("`total_amount` is negative");
        }
        Ok(self)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "not a sale message: {what}"),
            Self::UnknownVersion(version) => {
                write!(
                    f,
                    "sale message of version {version}, but only version {VERSION} is known here"
                )
            }
            Self::Invalid(what) => write!(f, "not a valid sale: {what}"),
        }
    }
}

impl std::error::Error for Refusal {}

fn write_time<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_rfc3339(&text).map_err(|_| {
        de::Error::custom(format!(
            "`{text}` is not a UTC time like \"2026-01-31T09:30:00Z\""
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"version":1,"sale_id":"6f1c0a52-6d0e-4a39-9d0c-0f7a2f1f8a11","store_id":"store-1",
        "items":[{"sku":"MILK-1L","quantity":2},{"sku":"MILK-1L","quantity":1}],
        "timestamp":"2026-01-31T09:30:00.125Z","total_amount":"3.87"}"#;

    fn refusal_of(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "the test replaces nothing: {from}");
        SaleDetails::from_json(GOOD.replace(from, to).as_bytes())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_sale_survives_the_way_to_json_and_back() {
        let sale = SaleDetails::from_json(GOOD.as_bytes()).unwrap();
        assert_eq!(sale.total_amount, Amount::from_cents(387));
        assert_eq!(sale.quantities(), BTreeMap::from([("MILK-1L", 3)]));
        assert_eq!(SaleDetails::from_json(&sale.to_json().unwrap()), Ok(sale));
    }

    #[test]
    fn an_added_field_is_let_pass() {
        let more = GOOD.replace("\"version\":1,", "\"version\":1,\"cashier\":\"Ada\",");
        assert!(SaleDetails::from_json(more.as_bytes()).is_ok());
    }

    #[test]
    fn another_version_is_refused_before_anything_else() {
        let text = refusal_of("\"version\":1,\"sale_id\"", "\"version\":2,\"id\"");
        assert_eq!(
            text,
            "sale message of version 2, but only version 1 is known here"
        );
        assert!(refusal_of("\"version\":1", "\"version\":\"1\"").contains("version \"1\""));
        assert!(refusal_of("\"version\":1,", "").contains("no `version` field"));
    }

    #[test]
    fn malformed_values_are_refused_with_what_is_wrong() {
        for (from, to, expected) in [
            ("6f1c0a52-6d0e", "sale-17", "UUID"),
            ("\"store_id\":\"store-1\",", "", "missing field `store_id`"),
            ("store-1", " ", "`store_id` is empty"),
            (
                "\"quantity\":2",
                "\"quantity\":0",
                "`MILK-1L` has quantity 0",
            ),
            (
                "\"quantity\":2",
                "\"quantity\":-2",
                "invalid value: integer `-2`",
            ),
            ("\"quantity\":2", "\"quantity\":1.5", "1.5"),
            ("\"3.87\"", "3.87", "expected a string"),
            ("\"3.87\"", "\"3.8\"", "`3.8` is not an amount"),
            ("\"3.87\"", "\"-3.87\"", "`total_amount` is negative"),
            (
                "2026-01-31T09:30:00.125Z",
                "yesterday",
                "`yesterday` is not a UTC time",
            ),
        ] {
            let text = refusal_of(from, to);
            assert!(
                text.contains(expected),
                "{to}: expected {expected:?} in {text:?}"
            );
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", "[]", "null", "hello", &"[".repeat(10_000)] {
            assert!(SaleDetails::from_json(text.as_bytes()).is_err());
        }
        assert!(SaleDetails::from_json(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn a_sale_sells_something() {
        let sale = SaleDetails::new(
            Uuid::from_u128(1),
            "store-1",
            Vec::new(),
            SystemTime::UNIX_EPOCH,
            Amount::default(),
        );
        assert!(matches!(sale, Err(Refusal::Invalid(_))));
    }
}
