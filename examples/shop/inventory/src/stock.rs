//! The stock in SQLite.
//!
//! What always holds: a sale's id and its change of the stock are in the same transaction, so both are there or neither; booking a sale twice
//! changes nothing. The stock may fall below zero: the goods have left the store already, and hiding that would not bring them back.

use std::{fmt, path::Path};

use rusqlite::{Connection, OptionalExtension, params};
use shop_contracts::{PRODUCTS, SaleDetails};

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS stock (sku TEXT PRIMARY KEY, initial INTEGER NOT NULL, quantity INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS booked (sale_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
";

/// The open database.
#[derive(Debug)]
pub(crate) struct Stock {
    database: Connection,
}

/// What booking a sale did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Booked {
    /// Booked now; what is left of each sku.
    Now(Vec<(String, i64)>),
    /// Booked earlier; nothing changed.
    Before,
}

/// Why a sale was not booked.
#[derive(Debug)]
pub(crate) enum StockError {
    /// The shop does not have this; trying again hardly helps.
    UnknownSku(String),
    /// The database does not work at the moment.
    Database(rusqlite::Error),
}

impl Stock {
    /// Opens the database; a new one starts with `initial` pieces of every product.
    pub(crate) fn open(path: &Path, initial: u32) -> Result<Self, rusqlite::Error> {
        let mut database = Connection::open(path)?;
        database.execute_batch(SCHEMA)?;
        let transaction = database.transaction()?;
        for product in PRODUCTS {
            transaction.execute(
                "INSERT OR IGNORE INTO stock VALUES (?1, ?2, ?2)",
                params![product.sku, initial],
            )?;
        }
        transaction.commit()?;
        Ok(Self { database })
    }

    /// Books a sale, unless it is booked already.
    pub(crate) fn book(&mut self, sale: &SaleDetails) -> Result<Booked, StockError> {
        let transaction = self.database.transaction()?;
        let id = sale.sale_id.to_string();
        if transaction.execute("INSERT OR IGNORE INTO booked VALUES (?1)", [&id])? == 0 {
            return Ok(Booked::Before);
        }
        let mut left = Vec::new();
        for (sku, quantity) in sale.quantities() {
            let quantity = i64::try_from(quantity).unwrap_or(i64::MAX);
            let query =
                "UPDATE stock SET quantity = quantity - ?2 WHERE sku = ?1 RETURNING quantity";
            let now = transaction
                .query_row(query, params![sku, quantity], |row| row.get(0))
                .optional()?;
            // Leaving without a commit takes everything back.
            left.push((
                sku.to_owned(),
                now.ok_or_else(|| StockError::UnknownSku(sku.to_owned()))?,
            ));
        }
        transaction.commit()?;
        Ok(Booked::Now(left))
    }
}

impl From<rusqlite::Error> for StockError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl fmt::Display for StockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownSku(sku) => write!(f, "unknown sku `{sku}`"),
            Self::Database(error) => write!(f, "the database does not work: {error}"),
        }
    }
}

impl std::error::Error for StockError {}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use shop_contracts::{Amount, Item};

    use super::*;

    fn sale(id: u128, items: &[(&str, u32)]) -> SaleDetails {
        let items = items
            .iter()
            .map(|&(sku, quantity)| Item {
                sku: sku.to_owned(),
                quantity,
            })
            .collect();
        let id = format!("{id:032x}").parse().unwrap();
        SaleDetails::new(
            id,
            "store-1",
            items,
            SystemTime::UNIX_EPOCH,
            Amount::default(),
        )
        .unwrap()
    }

    #[test]
    fn a_sale_is_booked_once() {
        let mut stock = Stock::open(Path::new(":memory:"), 10).unwrap();
        let milk = sale(1, &[("MILK-1L", 2), ("MILK-1L", 1)]);
        assert_eq!(
            stock.book(&milk).unwrap(),
            Booked::Now(vec![("MILK-1L".to_owned(), 7)])
        );
        assert_eq!(stock.book(&milk).unwrap(), Booked::Before);
    }

    #[test]
    fn a_sale_with_an_unknown_sku_changes_nothing() {
        let mut stock = Stock::open(Path::new(":memory:"), 10).unwrap();
        let odd = sale(1, &[("MILK-1L", 2), ("UNICORN", 1)]);
        for _ in 0..2 {
            assert!(
                matches!(stock.book(&odd), Err(StockError::UnknownSku(sku)) if sku == "UNICORN")
            );
        }
        assert_eq!(
            stock.book(&sale(2, &[("MILK-1L", 1)])).unwrap(),
            Booked::Now(vec![("MILK-1L".to_owned(), 9)])
        );
    }
}
