//! The audit: what the till sold against what billing invoiced and inventory booked.
//!
//! The till roll is the truth. It is written by `pos` when a sale is made, before the broker hears of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use rusqlite::{Connection, OpenFlags};
use shop_contracts::{Amount, SaleDetails};
use shop_link::{Fault, say};

use crate::queues::DeadLetter;

/// What the till sold.
#[derive(Debug, Default)]
pub(crate) struct Sold {
    ids: BTreeSet<String>,
    total: Amount,
    quantities: BTreeMap<String, i64>,
}

/// What billing invoiced: how often each sale, and the sum.
#[derive(Debug, Default)]
pub(crate) struct Invoiced {
    times: BTreeMap<String, u64>,
    total: Amount,
}

/// What inventory booked.
#[derive(Debug, Default)]
pub(crate) struct Booked {
    ids: BTreeSet<String>,
    /// Sku, pieces at the start, pieces left.
    stock: Vec<(String, i64, i64)>,
}

impl Sold {
    pub(crate) fn read(roll: &Path) -> Result<Self, Fault> {
        let mut sold = Self::default();
        for line in text(roll)?.lines() {
            let sale = SaleDetails::from_json(line.as_bytes())
                .map_err(|error| Fault::own("the till roll", error))?;
            sold.ids.insert(sale.sale_id.to_string());
            sold.total = sold.total + sale.total_amount;
            for (sku, quantity) in sale.quantities() {
                *sold.quantities.entry(sku.to_owned()).or_insert(0) +=
                    i64::try_from(quantity).unwrap_or(i64::MAX);
            }
        }
        Ok(sold)
    }

    pub(crate) fn count(&self) -> usize {
        self.ids.len()
    }
}

impl Invoiced {
    pub(crate) fn read(ledger: &Path) -> Result<Self, Fault> {
        let mut invoiced = Self::default();
        let text = text(ledger)?;
        // The last line may be half written while billing works.
        let whole = text
            .rfind('\n')
            .and_then(|end| text.get(..end))
            .unwrap_or_default();
        for line in whole.lines() {
            let fault = |what: &dyn std::fmt::Display| {
                Fault::Own(format!("the ledger has a line that is no invoice: {what}"))
            };
            let invoice: serde_json::Value =
                serde_json::from_str(line).map_err(|error| fault(&error))?;
            let field = |name: &str| {
                invoice
                    .get(name)
                    .and_then(serde_json::Value::as_str)
                    .ok_or_else(|| fault(&line))
            };
            let amount: Amount = field("total_amount")?
                .parse()
                .map_err(|error| fault(&error))?;
            *invoiced
                .times
                .entry(field("sale_id")?.to_owned())
                .or_insert(0) += 1;
            invoiced.total = invoiced.total + amount;
        }
        Ok(invoiced)
    }

    /// How many sales have an invoice.
    pub(crate) fn count(&self) -> usize {
        self.times.len()
    }
}

impl Booked {
    pub(crate) fn read(database: &Path) -> Result<Self, Fault> {
        Self::query(database).map_err(|error| Fault::own("cannot read the stock", error))
    }

    fn query(database: &Path) -> Result<Self, rusqlite::Error> {
        let database = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut ids = database.prepare("SELECT sale_id FROM booked")?;
        let mut stock =
            database.prepare("SELECT sku, initial, quantity FROM stock ORDER BY sku")?;
        Ok(Self {
            ids: ids
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?,
            stock: stock
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?,
        })
    }

    /// How many sales are booked.
    pub(crate) fn count(&self) -> usize {
        self.ids.len()
    }
}

fn text(path: &Path) -> Result<String, Fault> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => {
            other.map_err(|error| Fault::own(format_args!("cannot read {}", path.display()), error))
        }
    }
}

/// Collects what holds and what does not, as it is shown.
#[derive(Debug, Default)]
pub(crate) struct Report {
    wrong: Vec<String>,
}

impl Report {
    /// One line with its verdict.
    fn check(&mut self, holds: bool, line: String) {
        say(format_args!(
            "  {}  {line}",
            if holds { "ok    " } else { "WRONG " }
        ));
        if !holds {
            self.wrong.push(line);
        }
    }

    /// Every sale invoiced once, for the right sum.
    pub(crate) fn invoices(&mut self, sold: &Sold, expected: u64, invoiced: &Invoiced) {
        self.check(
            sold.count() as u64 == expected,
            format!("the till made {} sales of {expected}", sold.count()),
        );
        let missing = sold
            .ids
            .iter()
            .filter(|id| !invoiced.times.contains_key(*id))
            .count();
        let twice = invoiced.times.values().filter(|&&times| times > 1).count();
        let strange = invoiced
            .times
            .keys()
            .filter(|id| !sold.ids.contains(*id))
            .count();
        self.check(
            (missing, twice, strange) == (0, 0, 0),
            format!(
                "{} sales invoiced exactly once: {missing} missing, {twice} more than once, {strange} unknown",
                sold.count() - missing
            ),
        );
        self.check(
            sold.total == invoiced.total,
            format!(
                "the till took {}, the invoices say {}",
                sold.total, invoiced.total
            ),
        );
    }

    /// Every sale booked, and the stock is what it was less what was sold.
    pub(crate) fn stock(&mut self, sold: &Sold, booked: &Booked) {
        self.check(
            sold.ids == booked.ids,
            format!("{} sales booked in the stock", booked.count()),
        );
        for (sku, initial, left) in &booked.stock {
            let gone = sold.quantities.get(sku).copied().unwrap_or(0);
            self.check(
                initial - gone == *left,
                format!("{sku:<10}  {initial:>6} - {gone:>4} sold = {left:>6} left"),
            );
        }
        let known = sold
            .quantities
            .keys()
            .all(|sku| booked.stock.iter().any(|(stocked, ..)| stocked == sku));
        if !known || booked.stock.is_empty() {
            self.check(false, "the stock lacks a product that was sold".to_owned());
        }
    }

    /// The broken message is among the dead letters of `from`, once, and says why.
    pub(crate) fn dead_letter(
        &mut self,
        name: &str,
        from: &str,
        attempts: u32,
        letters: &[DeadLetter],
    ) {
        self.check(
            letters.len() == 1,
            format!("{name} holds {} message(s), 1 expected", letters.len()),
        );
        for letter in letters {
            let DeadLetter {
                id,
                body,
                reason,
                attempt,
                queue,
            } = letter;
            let holds = SaleDetails::from_json(body).is_err()
                && *attempt == Some(attempts.into())
                && queue.as_deref() == Some(from);
            let attempt = attempt.unwrap_or(0);
            let reason = reason.as_deref().unwrap_or("none");
            self.check(
                holds && reason != "none",
                format!("message {id}: attempts {attempt}, reason: {reason}"),
            );
        }
    }

    /// Nothing waits any more.
    pub(crate) fn empty(&mut self, queue: &str, waiting: Option<u32>) {
        let count = waiting.map_or_else(|| "no queue".to_owned(), |waiting| waiting.to_string());
        self.check(
            waiting == Some(0),
            format!("{queue} holds {count} message(s), 0 expected"),
        );
    }

    /// The last word.
    pub(crate) fn finish(self) -> Result<(), Fault> {
        if self.wrong.is_empty() {
            return Ok(());
        }
        Err(Fault::Own(format!(
            "something does not add up:\n  {}",
            self.wrong.join("\n  ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sold() -> Sold {
        Sold {
            ids: ["a", "b"].map(str::to_owned).into(),
            total: Amount::from_cents(300),
            quantities: [("MILK".to_owned(), 3)].into(),
        }
    }

    fn invoiced(times: [(&str, u64); 2], cents: i64) -> Invoiced {
        Invoiced {
            times: times.map(|(id, times)| (id.to_owned(), times)).into(),
            total: Amount::from_cents(cents),
        }
    }

    fn booked(ids: &[&str], left: i64) -> Booked {
        Booked {
            ids: ids.iter().map(|&id| id.to_owned()).collect(),
            stock: vec![("MILK".to_owned(), 10, left)],
        }
    }

    fn letter(attempt: i64) -> DeadLetter {
        DeadLetter {
            id: "x".to_owned(),
            body: b"{".to_vec(),
            reason: Some("not a sale".to_owned()),
            attempt: Some(attempt),
            queue: Some("q".to_owned()),
        }
    }

    fn wrong(check: impl FnOnce(&mut Report)) -> usize {
        let mut report = Report::default();
        check(&mut report);
        report.wrong.len()
    }

    #[test]
    fn what_adds_up_is_let_pass() {
        assert_eq!(
            wrong(|r| r.invoices(&sold(), 2, &invoiced([("a", 1), ("b", 1)], 300))),
            0
        );
        assert_eq!(wrong(|r| r.stock(&sold(), &booked(&["a", "b"], 7))), 0);
        assert_eq!(wrong(|r| r.dead_letter("d", "q", 3, &[letter(3)])), 0);
        assert_eq!(wrong(|r| r.empty("q", Some(0))), 0);
    }

    #[test]
    fn every_kind_of_loss_is_found() {
        for (times, cents) in [
            ([("a", 1), ("a", 1)], 300),
            ([("a", 1), ("b", 2)], 300),
            ([("a", 1), ("c", 1)], 300),
            ([("a", 1), ("b", 1)], 299),
        ] {
            assert!(
                wrong(|r| r.invoices(&sold(), 2, &invoiced(times, cents))) > 0,
                "{times:?}"
            );
        }
        assert!(wrong(|r| r.invoices(&sold(), 3, &invoiced([("a", 1), ("b", 1)], 300))) > 0);
        assert!(wrong(|r| r.stock(&sold(), &booked(&["a"], 7))) > 0);
        assert!(wrong(|r| r.stock(&sold(), &booked(&["a", "b"], 8))) > 0);
        assert!(wrong(|r| r.dead_letter("d", "q", 3, &[])) > 0);
        assert!(wrong(|r| r.dead_letter("d", "q", 3, &[letter(2)])) > 0);
        assert!(wrong(|r| r.dead_letter("d", "q", 3, &[letter(3), letter(3)])) > 0);
        assert!(wrong(|r| r.empty("q", Some(1))) > 0);
        assert!(wrong(|r| r.empty("q", None)) > 0);
        assert!(
            Report {
                wrong: vec!["x".to_owned()]
            }
            .finish()
            .is_err()
        );
    }
}
