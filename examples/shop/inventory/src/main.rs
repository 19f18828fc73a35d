//! Inventory: keeps the stock in SQLite, and books every sale once.
//!
//! A message that cannot be booked (it is unreadable, or names an unknown sku) is tried three times in all, and then goes to
//! the dead letters, so that it neither blocks the sales behind it nor gets lost.

mod stock;

use std::{path::PathBuf, process::ExitCode};

use shop_contracts::{ATTEMPTS_MAX, SaleDetails};
use shop_link::{Fault, Incoming, Options, Outcome, Worker, consume, run, say};

use crate::stock::{Booked, Stock, StockError};

const USAGE: &str = "
inventory: keeps the stock, and books every sale once

  --address HOST:PORT         the broker (127.0.0.1:5672), or amqp://user:password@host:port/vhost
  --db FILE                   the SQLite database with the stock (inventory.sqlite)
  --initial N                 how many pieces of each product a new database starts with (1000)
  --prefix TEXT               puts TEXT before the names on the broker, for several shops on one broker

Ctrl-C stops it; sales wait in the queue meanwhile.
";

fn main() -> ExitCode {
    run("inventory", USAGE, &["db", "initial"], &[], keep)
}

async fn keep(options: Options) -> Result<(), Fault> {
    let address = options.address()?;
    let names = options.names();
    let path = options
        .value::<PathBuf>("db")?
        .unwrap_or_else(|| "inventory.sqlite".into());
    let initial = options.value::<u32>("initial")?.unwrap_or(1000);
    let stock = Stock::open(&path, initial).map_err(|error| {
        Fault::own(
            format_args!("cannot use the database {}", path.display()),
            error,
        )
    })?;
    say(format_args!(
        "inventory: keeps the stock in {}",
        path.display()
    ));
    let mut keeper = Keeper { stock };
    consume(
        "inventory",
        &address,
        &names,
        (&names.inventory_queue, &names.inventory_dead_letters),
        &mut keeper,
    )
    .await
}

/// Who books the sales.
#[derive(Debug)]
struct Keeper {
    stock: Stock,
}

impl Worker for Keeper {
    fn handle(&mut self, message: &Incoming<'_>) -> Outcome {
        let booked = match SaleDetails::from_json(message.body) {
            Ok(sale) => self.stock.book(&sale).map(|booked| (sale, booked)),
            Err(refusal) => return failed(message, refusal.to_string()),
        };
        match booked {
            Ok((sale, Booked::Now(left))) => {
                let left: Vec<String> = left
                    .iter()
                    .map(|(sku, left)| format!("{sku} {left}"))
                    .collect();
                say(format_args!(
                    "  booked sale {}; left: {}",
                    sale.sale_id,
                    left.join(", ")
                ));
                Outcome::Done
            }
            Ok((sale, Booked::Before)) => {
                say(format_args!(
                    "  sale {} came again and is booked already",
                    sale.sale_id
                ));
                Outcome::Done
            }
            Err(StockError::UnknownSku(sku)) => failed(message, format!("unknown sku `{sku}`")),
            Err(StockError::Database(error)) => Outcome::Trouble(error.to_string()),
        }
    }
}

fn failed(message: &Incoming<'_>, reason: String) -> Outcome {
    if message.attempt < ATTEMPTS_MAX {
        Outcome::Again(reason)
    } else {
        Outcome::GiveUp(reason)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_message_that_fails_gets_three_attempts() {
        let mut keeper = Keeper {
            stock: Stock::open(Path::new(":memory:"), 1).unwrap(),
        };
        let mut handle = |attempt| {
            keeper.handle(&Incoming {
                id: "",
                body: b"{",
                attempt,
                redelivered: false,
            })
        };
        assert!(matches!(handle(1), Outcome::Again(_)));
        assert!(matches!(handle(2), Outcome::Again(_)));
        assert!(matches!(handle(3), Outcome::GiveUp(_)));
    }
}
