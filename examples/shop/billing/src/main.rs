//! Billing: prints one invoice for every sale, however often its message comes.
//!
//! A message is acked after its invoice is in the ledger file, and a sale that is in the ledger is not invoiced again.

mod ledger;

use std::{path::PathBuf, process::ExitCode};

use shop_contracts::SaleDetails;
use shop_link::{Fault, Incoming, Options, Outcome, Worker, consume, run, say};

use crate::ledger::Ledger;

const USAGE: &str = "
billing: prints an invoice for every sale, once

  --address HOST:PORT         the broker (127.0.0.1:5672), or amqp://user:password@host:port/vhost
  --ledger FILE               where the invoices are kept (billing-ledger.jsonl)
  --prefix TEXT               puts TEXT before the names on the broker, for several shops on one broker

Ctrl-C stops it; sales wait in the queue meanwhile.
";

fn main() -> ExitCode {
    run("billing", USAGE, &["ledger"], &[], bill)
}

async fn bill(options: Options) -> Result<(), Fault> {
    let address = options.address()?;
    let names = options.names();
    let path = options
        .value::<PathBuf>("ledger")?
        .unwrap_or_else(|| "billing-ledger.jsonl".into());
    let mut desk = Desk {
        ledger: Ledger::open(&path)?,
    };
    say(format_args!(
        "billing: {} invoices in {} so far",
        desk.ledger.count(),
        path.display()
    ));
    consume(
        "billing",
        &address,
        &names,
        (&names.billing_queue, &names.billing_dead_letters),
        &mut desk,
    )
    .await
}

/// Who writes the invoices.
#[derive(Debug)]
struct Desk {
    ledger: Ledger,
}

impl Worker for Desk {
    fn handle(&mut self, message: &Incoming<'_>) -> Outcome {
        let sale = match SaleDetails::from_json(message.body) {
            Ok(sale) => sale,
            // Reading it again would not make it readable.
            Err(refusal) => return Outcome::GiveUp(refusal.to_string()),
        };
        match self.ledger.invoice(&sale) {
            Ok(Some(number)) => {
                let SaleDetails {
                    sale_id,
                    store_id,
                    total_amount,
                    items,
                    ..
                } = &sale;
                let items: Vec<String> = items
                    .iter()
                    .map(|item| format!("{} x {}", item.quantity, item.sku))
                    .collect();
                say(format_args!(
                    "  invoice {number:>5}  {store_id}  sale {sale_id}  {total_amount:>8}  {}",
                    items.join(", ")
                ));
                Outcome::Done
            }
            Ok(None) => {
                let again = if message.redelivered {
                    "delivered again"
                } else {
                    "published again"
                };
                say(format_args!(
                    "  sale {} was {again} and is invoiced already",
                    sale.sale_id
                ));
                Outcome::Done
            }
            Err(error) => Outcome::Trouble(format!("cannot write the ledger: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_message_is_given_up_at_once() {
        let path = std::env::temp_dir().join(format!("shop-desk-{}", std::process::id()));
        let mut desk = Desk {
            ledger: Ledger::open(&path).unwrap(),
        };
        let outcome = desk.handle(&Incoming {
            id: "",
            body: b"{",
            attempt: 1,
            redelivered: false,
        });
        assert!(matches!(outcome, Outcome::GiveUp(_)));
        std::fs::remove_file(path).unwrap();
    }
}
