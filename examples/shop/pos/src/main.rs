//! The point of sale: publishes every sale as `sale.created`, and keeps each until the broker has confirmed it.
//!
//! ```text
//! keyboard or clock --orders--> till: waiting -> in flight -> confirmed
//!                                       ^            |
//!                                       +------------+  connection lost, refused or returned: same sale id, again
//! ```

mod orders;
mod till;

use std::{path::PathBuf, process::ExitCode};

use shop_link::{Fault, Options, run, say};

use crate::{orders::Plan, till::Till};

const USAGE: &str = "
pos: sells, and publishes every sale

  pos                         interactive: a + Enter adds a sale, b + Enter a broken message, q + Enter stops
  pos --count N --rate R      makes N sales, R a second (10 unless told), and stops

  --address HOST:PORT         the broker (127.0.0.1:5672), or amqp://user:password@host:port/vhost
  --store ID                  the store that sells (store-1)
  --bad N                     adds N broken messages after the sales, which no consumer can read
  --roll FILE                 writes every sale to this file too, one JSON line each
  --prefix TEXT               puts TEXT before the names on the broker, for several shops on one broker
";

fn main() -> ExitCode {
    run(
        "pos",
        USAGE,
        &["count", "rate", "store", "bad", "roll"],
        &[],
        sell,
    )
}

async fn sell(options: Options) -> Result<(), Fault> {
    let address = options.address()?;
    let store = options.text("store").unwrap_or("store-1").to_owned();
    let roll = options.value::<PathBuf>("roll")?;
    let plan = Plan::from_options(&options)?;
    let mut till = Till::open(store, options.names(), roll.as_deref())?;
    let orders = orders::start(plan);
    till.run(&address, orders).await?;
    say(till.summary());
    Ok(())
}
