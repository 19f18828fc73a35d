//! The till: makes sales and publishes them until each is confirmed.
//!
//! What always holds: a message is either waiting or in flight until the broker's confirm has come, and the confirm says that it is on
//! disk. After a lost connection nobody knows whether the messages in flight arrived, so they are published again with the same id;
//! the consumers recognise a sale that they have seen.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    time::{Duration, SystemTime},
};

use lapin::{
    BasicProperties, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use shop_contracts::{Amount, CONTENT_TYPE, Item, Names, PRODUCTS, SaleDetails};
use shop_link::{Address, Fault, Link, declare_sales, say, stop_asked, wait_for_broker};
use tokio::{
    sync::mpsc::Receiver,
    task::JoinSet,
    time::{interval, sleep},
};
use uuid::Uuid;

use crate::orders::Order;

/// How many messages may be on the way without a confirm.
const IN_FLIGHT_MAX: usize = 256;
/// How long a message rests that the broker would not take.
const REST_MS: u64 = 500;
/// AMQP's delivery mode for messages that survive a restart.
const PERSISTENT: u8 = 2;

/// A message on its way out.
#[derive(Debug)]
struct Outgoing {
    id: String,
    what: String,
    body: Vec<u8>,
    /// Whether the person at the console knows already that it has to wait.
    told: bool,
}

/// The state of one point of sale.
#[derive(Debug)]
pub(crate) struct Till {
    store: String,
    names: Names,
    roll: Option<File>,
    waiting: VecDeque<Outgoing>,
    in_flight: BTreeMap<u64, Outgoing>,
    orders_ended: bool,
    next_number: u64,
    made: u64,
    confirmed: u64,
    again: u64,
}

/// The confirm of the message with this number.
type Confirm = (u64, lapin::Result<Confirmation>);

impl Till {
    pub(crate) fn open(store: String, names: Names, roll: Option<&Path>) -> Result<Self, Fault> {
        if store.trim().is_empty() {
            return Err(Fault::Usage("--store cannot be empty".to_owned()));
        }
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.map_err(|error| Fault::own(format_args!("cannot write {}", path.display()), error))
        };
        Ok(Self {
            store,
            names,
            roll: roll.map(open).transpose()?,
            waiting: VecDeque::new(),
            in_flight: BTreeMap::new(),
            orders_ended: false,
            next_number: 0,
            made: 0,
            confirmed: 0,
            again: 0,
        })
    }

    /// What was done, in one line.
    pub(crate) fn summary(&self) -> String {
        let Self {
            made,
            confirmed,
            again,
            ..
        } = self;
        format!(
            "pos: {made} messages made, {confirmed} confirmed by the broker, {again} published a second time"
        )
    }

    /// Sells until the orders end and everything is confirmed, through as many connections as it takes.
    pub(crate) async fn run(
        &mut self,
        address: &Address,
        mut orders: Receiver<Order>,
    ) -> Result<(), Fault> {
        tokio::select! {
            result = self.sell(address, &mut orders) => return result,
            () = stop_asked() => {}
        }
        match self.waiting.len() + self.in_flight.len() {
            0 => Ok(()),
            open => Err(Fault::Own(format!(
                "stopped while {open} of the sales were not confirmed by the broker"
            ))),
        }
    }

    async fn sell(&mut self, address: &Address, orders: &mut Receiver<Order>) -> Result<(), Fault> {
        loop {
            let link = self.connect(address, orders).await?;
            match self.serve(&link, orders).await {
                Ok(()) => {
                    link.close().await;
                    return Ok(());
                }
                Err(Fault::Away(why)) => {
                    let open = self.in_flight.len();
                    say(format_args!(
                        "pos: lost the broker ({why}); {open} unconfirmed, they are published again"
                    ));
                    self.take_back_all();
                    sleep(Duration::from_millis(REST_MS)).await;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Waits for the broker, and goes on selling meanwhile.
    async fn connect(
        &mut self,
        address: &Address,
        orders: &mut Receiver<Order>,
    ) -> Result<Link, Fault> {
        let connecting = wait_for_broker(address, "pos");
        tokio::pin!(connecting);
        loop {
            tokio::select! {
                link = &mut connecting => return link,
                order = orders.recv(), if !self.orders_ended => self.take(order)?,
            }
        }
    }

    async fn serve(&mut self, link: &Link, orders: &mut Receiver<Order>) -> Result<(), Fault> {
        declare_sales(&link.channel, &self.names).await?;
        link.channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let mut confirms: JoinSet<Confirm> = JoinSet::new();
        let mut check = interval(Duration::from_millis(REST_MS));
        let mut rested = true;
        loop {
            while rested
                && self.in_flight.len() < IN_FLIGHT_MAX
                && self.publish_next(link, &mut confirms).await?
            {}
            if self.orders_ended && self.waiting.is_empty() && self.in_flight.is_empty() {
                return Ok(());
            }
            tokio::select! {
                order = orders.recv(), if !self.orders_ended => self.take(order)?,
                Some(done) = confirms.join_next() => {
                    let (number, confirm) = done.map_err(|error| Fault::own("waiting for a confirm", error))?;
                    rested &= self.settle(number, confirm?);
                }
                _ = check.tick() => {
                    if !link.is_open() {
                        return Err(Fault::Away("the connection was cut".to_owned()));
                    }
                    rested = true;
                }
            }
        }
    }

    /// Publishes the first waiting message; false when there is none.
    async fn publish_next(
        &mut self,
        link: &Link,
        confirms: &mut JoinSet<Confirm>,
    ) -> Result<bool, Fault> {
        let Some(outgoing) = self.waiting.pop_front() else {
            return Ok(false);
        };
        let number = self.next_number;
        self.next_number += 1;
        // In flight before the broker can know of it: a fault below leaves it there, to be taken back.
        let outgoing = self.in_flight.entry(number).or_insert(outgoing);
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type(CONTENT_TYPE.into())
            .with_message_id(outgoing.id.as_str().into());
        // Mandatory: a sale that no queue takes comes back instead of vanishing.
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let (exchange, key) = (
            self.names.sales_exchange.as_str(),
            self.names.sale_created.as_str(),
        );
        let confirm = link
            .channel
            .basic_publish(
                exchange.into(),
                key.into(),
                options,
                &outgoing.body,
                properties,
            )
            .await?;
        confirms.spawn(async move { (number, confirm.await) });
        Ok(true)
    }

    /// Takes the broker's answer; false when the message has to rest and try again.
    fn settle(&mut self, number: u64, confirm: Confirmation) -> bool {
        let Some(mut outgoing) = self.in_flight.remove(&number) else {
            return true;
        };
        let why = match confirm {
            Confirmation::Ack(None) => {
                self.confirmed += 1;
                say(format_args!(
                    "  confirmed {}: {}",
                    self.confirmed, outgoing.what
                ));
                return true;
            }
            Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => {
                "no queue takes sales yet: start billing and inventory"
            }
            Confirmation::Nack(None) | Confirmation::NotRequested => "the broker could not take it",
        };
        if !outgoing.told {
            say(format_args!("  {} waits: {why}", outgoing.what));
            outgoing.told = true;
        }
        self.again += 1;
        self.waiting.push_back(outgoing);
        false
    }

    /// Puts what was in flight back to the front, in its order.
    fn take_back_all(&mut self) {
        self.again += self.in_flight.len() as u64;
        while let Some((_, outgoing)) = self.in_flight.pop_last() {
            self.waiting.push_front(outgoing);
        }
    }

    fn take(&mut self, order: Option<Order>) -> Result<(), Fault> {
        let outgoing = match order {
            Some(Order::Sale) => self.make_sale()?,
            Some(Order::Bad) => broken_message(),
            None => {
                self.orders_ended = true;
                let open = self.waiting.len() + self.in_flight.len();
                if open > 0 {
                    say(format_args!(
                        "pos: waiting for {open} more to be confirmed (Ctrl-C gives them up)"
                    ));
                }
                return Ok(());
            }
        };
        self.made += 1;
        self.waiting.push_back(outgoing);
        Ok(())
    }

    fn make_sale(&mut self) -> Result<Outgoing, Fault> {
        let invalid = |error| Fault::own("cannot make a sale", error);
        let id = Uuid::new_v4();
        let (items, total) = basket(&id);
        let what = format!("sale {} over {total}", short(&id));
        let sale =
            SaleDetails::new(id, &self.store, items, SystemTime::now(), total).map_err(invalid)?;
        let body = sale.to_json().map_err(invalid)?;
        if let Some(roll) = &mut self.roll {
            let line = [&body[..], b"\n"].concat();
            roll.write_all(&line)
                .map_err(|error| Fault::own("cannot write the till roll", error))?;
        }
        Ok(Outgoing {
            id: id.to_string(),
            what,
            body,
            told: false,
        })
    }
}

/// What a customer bought, chosen by the random bytes of the sale's id.
fn basket(id: &Uuid) -> (Vec<Item>, Amount) {
    let [first, second, third, ..] = *id.as_bytes();
    let lines = 1 + usize::from(first % 3);
    let chosen = PRODUCTS
        .iter()
        .cycle()
        .skip(usize::from(second) % PRODUCTS.len())
        .take(lines);
    let quantity = 1 + u32::from(third % 3);
    let total = chosen
        .clone()
        .filter_map(|product| product.price.times(quantity))
        .sum();
    (
        chosen
            .map(|product| Item {
                sku: product.sku.to_owned(),
                quantity,
            })
            .collect(),
        total,
    )
}

/// Half a sale, as a program with a bug might publish it.
fn broken_message() -> Outgoing {
    let id = Uuid::new_v4();
    let body = b"{\"version\":1,\"sale_id\":".to_vec();
    Outgoing {
        id: id.to_string(),
        what: format!("broken message {}", short(&id)),
        body,
        told: false,
    }
}

/// The first part of an id is enough for a person.
fn short(id: &Uuid) -> String {
    id.to_string().chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basket_costs_what_its_items_cost() {
        for _ in 0..200 {
            let (items, total) = basket(&Uuid::new_v4());
            let price = |item: &Item| {
                shop_contracts::product(&item.sku).and_then(|p| p.price.times(item.quantity))
            };
            assert_eq!(items.iter().filter_map(price).sum::<Amount>(), total);
            assert!(!items.is_empty());
        }
    }

    #[test]
    fn a_broken_message_is_no_sale() {
        assert!(SaleDetails::from_json(&broken_message().body).is_err());
    }

    #[test]
    fn what_was_in_flight_goes_back_to_the_front_in_its_order() {
        let mut till = Till::open("store-1".to_owned(), Names::default(), None).unwrap();
        for _ in 0..4 {
            till.take(Some(Order::Sale)).unwrap();
        }
        let ids: Vec<String> = till
            .waiting
            .iter()
            .map(|outgoing| outgoing.id.clone())
            .collect();
        for number in 0..3 {
            let outgoing = till.waiting.pop_front().unwrap();
            till.in_flight.insert(number, outgoing);
        }
        assert!(till.settle(1, Confirmation::Ack(None)));
        till.take_back_all();
        let left: Vec<String> = till
            .waiting
            .iter()
            .map(|outgoing| outgoing.id.clone())
            .collect();
        assert_eq!(left, [ids[0].clone(), ids[2].clone(), ids[3].clone()]);
        assert!((till.confirmed, till.again) == (1, 2));
    }
}
