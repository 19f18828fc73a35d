//! The ledger: one JSON line for every invoice, synced to disk before the message is acked.
//!
//! What always holds: a sale id stands in it at most once; only one billing at a time writes it. A crash may leave half a line at the end;
//! its message was never acked, so the half line is cut off and the sale comes again.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};
use shop_contracts::{Amount, SaleDetails};
use shop_link::Fault;
use uuid::Uuid;

/// A line of the ledger.
#[derive(Debug, Serialize, Deserialize)]
struct Invoice {
    number: u64,
    sale_id: Uuid,
    store_id: String,
    total_amount: Amount,
}

/// The open ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: File,
    invoiced: HashSet<Uuid>,
    number_last: u64,
    length: u64,
}

impl Ledger {
    /// Opens the ledger and reads what was invoiced before.
    pub(crate) fn open(path: &Path) -> Result<Self, Fault> {
        let what = format!("cannot use the ledger {}", path.display());
        let fault = |error: io::Error| Fault::own(&what, error);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(fault)?;
        if file.try_lock().is_err() {
            return Err(Fault::own(
                &what,
                "another billing uses it; stop that one, or name another file with --ledger",
            ));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(fault)?;

        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut ledger = Self {
            file,
            invoiced: HashSet::new(),
            number_last: 0,
            length: whole.len() as u64,
        };
        for (line, number) in whole.lines().zip(1..) {
            let invoice: Invoice = serde_json::from_str(line).map_err(|error| {
                Fault::own(&what, format_args!("line {number} is no invoice: {error}"))
            })?;
            ledger.invoiced.insert(invoice.sale_id);
            ledger.number_last = ledger.number_last.max(invoice.number);
        }
        ledger.file.set_len(ledger.length).map_err(fault)?;
        Ok(ledger)
    }

    /// How many invoices there are.
    pub(crate) fn count(&self) -> usize {
        self.invoiced.len()
    }

    /// Writes an invoice for the sale and returns its number; `None` when it has one already.
    pub(crate) fn invoice(&mut self, sale: &SaleDetails) -> io::Result<Option<u64>> {
        if self.invoiced.contains(&sale.sale_id) {
            return Ok(None);
        }
        let number = self.number_last + 1;
        let invoice = Invoice {
            number,
            sale_id: sale.sale_id,
            store_id: sale.store_id.clone(),
            total_amount: sale.total_amount,
        };
        let mut line = serde_json::to_vec(&invoice)?;
        line.push(b'\n');
        // A fixed place rather than the end of the file: after a failed write the next try overwrites what was left of it.
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.length += line.len() as u64;
        self.number_last = number;
        self.invoiced.insert(sale.sale_id);
        Ok(Some(number))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use shop_contracts::Item;

    use super::*;

    fn sale(id: u128) -> SaleDetails {
        let items = vec![Item {
            sku: "MILK-1L".to_owned(),
            quantity: 1,
        }];
        SaleDetails::new(
            Uuid::from_u128(id),
            "store-1",
            items,
            SystemTime::UNIX_EPOCH,
            Amount::from_cents(129),
        )
        .unwrap()
    }

    #[test]
    fn a_sale_is_invoiced_once_across_restarts_and_half_lines() {
        let path = std::env::temp_dir().join(format!("shop-ledger-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut ledger = Ledger::open(&path).unwrap();
        assert!(
            Ledger::open(&path).is_err(),
            "two billings must not share a ledger"
        );
        assert_eq!(ledger.invoice(&sale(1)).unwrap(), Some(1));
        assert_eq!(ledger.invoice(&sale(1)).unwrap(), None);
        assert_eq!(ledger.invoice(&sale(2)).unwrap(), Some(2));
        drop(ledger);

        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 5]).unwrap();
        let mut ledger = Ledger::open(&path).unwrap();
        assert_eq!(ledger.count(), 1);
        assert_eq!(ledger.invoice(&sale(2)).unwrap(), Some(2));
        assert_eq!(ledger.invoice(&sale(1)).unwrap(), None);
        drop(ledger);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        std::fs::remove_file(path).unwrap();
    }
}
