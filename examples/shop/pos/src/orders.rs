//! Where sales come from: a person at the keyboard, or a clock.

use std::{io, thread, time::Duration};

use shop_link::{Fault, Options, say};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::{MissedTickBehavior, interval},
};

/// What the till is asked to do. When the orders end, it finishes what it has and stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Sell something.
    Sale,
    /// Publish a message that nobody can read.
    Bad,
}

/// How the orders come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Plan {
    Keyboard,
    Clock {
        sales: u64,
        bad: u64,
        pause: Duration,
    },
}

impl Plan {
    pub(crate) fn from_options(options: &Options) -> Result<Self, Fault> {
        let count: Option<u64> = options.value("count")?;
        let bad: Option<u64> = options.value("bad")?;
        let rate: f64 = options.value("rate")?.unwrap_or(10.0);
        if count.is_none() && bad.is_none() {
            return if options.has("rate") {
                Err(Fault::Usage("--rate needs --count".to_owned()))
            } else {
                Ok(Self::Keyboard)
            };
        }
        if !(0.001..=100_000.0).contains(&rate) {
            return Err(Fault::Usage(
                "--rate is in sales a second, from 0.001 to 100000".to_owned(),
            ));
        }
        let pause = Duration::from_secs_f64(1.0 / rate);
        Ok(Self::Clock {
            sales: count.unwrap_or(0),
            bad: bad.unwrap_or(0),
            pause,
        })
    }
}

/// Starts the source of orders.
pub(crate) fn start(plan: Plan) -> Receiver<Order> {
    let (orders, receiver) = channel(16);
    match plan {
        Plan::Keyboard => {
            say(
                "pos: a + Enter adds a sale, b + Enter publishes a broken message, q + Enter stops",
            );
            thread::spawn(move || read_keyboard(&orders));
        }
        Plan::Clock { sales, bad, pause } => {
            tokio::spawn(tick(orders, sales, bad, pause));
        }
    }
    receiver
}

/// A thread of its own, since reading a terminal blocks.
fn read_keyboard(orders: &Sender<Order>) {
    for line in io::stdin().lines() {
        let Ok(line) = line else { return };
        let order = match line.trim() {
            "a" => Order::Sale,
            "b" => Order::Bad,
            "q" => return,
            "" => continue,
            other => {
                say(format_args!(
                    "pos: `{other}`? a adds a sale, b a broken message, q stops"
                ));
                continue;
            }
        };
        if orders.blocking_send(order).is_err() {
            return;
        }
    }
}

async fn tick(orders: Sender<Order>, sales: u64, bad: u64, pause: Duration) {
    let mut clock = interval(pause);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..sales.saturating_add(bad) {
        clock.tick().await;
        let order = if number < sales {
            Order::Sale
        } else {
            Order::Bad
        };
        if orders.send(order).await.is_err() {
            return;
        }
    }
}
