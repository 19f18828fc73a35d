//! What the demo sees of the broker: how many messages wait, and what lies in the dead letters.

use lapin::{
    message::Delivery,
    options::{BasicGetOptions, ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable},
};
use shop_contracts::{HEADER_ATTEMPT, HEADER_QUEUE, HEADER_REASON, Names};
use shop_link::{Address, Fault, connect};

/// The state of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Depth {
    /// Messages that nobody has taken yet.
    pub(crate) waiting: u32,
    pub(crate) consumers: u32,
}

/// A message that was given up.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    pub(crate) id: String,
    pub(crate) body: Vec<u8>,
    /// Why the last attempt failed.
    pub(crate) reason: Option<String>,
    pub(crate) attempt: Option<i64>,
    /// Out of which queue it came.
    pub(crate) queue: Option<String>,
}

/// How full a queue is; `None` when there is no such queue (yet).
pub(crate) async fn depth(address: &Address, queue: &str) -> Result<Option<Depth>, Fault> {
    let link = connect(address, "demo").await?;
    // Asking for a queue that does not exist costs the channel, hence a connection for each question.
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let answer = link
        .channel
        .queue_declare(queue.into(), options, FieldTable::default())
        .await;
    let depth = answer.ok().map(|queue| Depth {
        waiting: queue.message_count(),
        consumers: queue.consumer_count(),
    });
    link.close().await;
    Ok(depth)
}

/// Looks at the messages of a dead letter queue. They stay there: what is not acked goes back with the connection.
pub(crate) async fn dead_letters(address: &Address, queue: &str) -> Result<Vec<DeadLetter>, Fault> {
    let link = connect(address, "demo").await?;
    let mut letters = Vec::new();
    while let Some(message) = link
        .channel
        .basic_get(queue.into(), BasicGetOptions::default())
        .await?
    {
        letters.push(dead_letter(&message.delivery));
    }
    link.close().await;
    Ok(letters)
}

/// Removes everything that the demo made on a broker that others use too.
pub(crate) async fn clean_up(address: &Address, names: &Names) -> Result<(), Fault> {
    let link = connect(address, "demo").await?;
    for queue in [
        &names.billing_queue,
        &names.inventory_queue,
        &names.billing_dead_letters,
        &names.inventory_dead_letters,
    ] {
        link.channel
            .queue_delete(queue.as_str().into(), QueueDeleteOptions::default())
            .await?;
    }
    for exchange in [&names.sales_exchange, &names.sales_dead] {
        link.channel
            .exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default())
            .await?;
    }
    link.close().await;
    Ok(())
}

fn dead_letter(delivery: &Delivery) -> DeadLetter {
    let properties = &delivery.properties;
    let header = |name: &str| {
        properties
            .headers()
            .as_ref()
            .and_then(|headers| headers.inner().get(name))
    };
    let attempt = match header(HEADER_ATTEMPT) {
        Some(&AMQPValue::LongLongInt(attempt)) => Some(attempt),
        _ => None,
    };
    DeadLetter {
        id: properties
            .message_id()
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        body: delivery.data.clone(),
        reason: header(HEADER_REASON).and_then(text),
        attempt,
        queue: header(HEADER_QUEUE).and_then(text),
    }
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}
