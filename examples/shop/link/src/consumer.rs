//! The loop of a consumer: connect, declare, take messages one by one, settle each by what the worker says, and start over
//! when the connection is lost.
//!
//! ```text
//! delivery -> Worker::handle -> Done    -> ack
//!                               Again   -> publish a copy with attempt + 1 and the reason, wait for the confirm, ack
//!                               GiveUp  -> publish a copy to the dead letters with the reason, wait for the confirm, ack
//!                               Trouble -> requeue, pause
//! ```
//!
//! A message is settled only after its work is on disk, so a crash anywhere leads to a second delivery, never to a lost
//! one; workers recognise what they have done already. The attempts are counted in a header of our own rather than by the broker, because a
//! broker's count also rises when a consumer or the broker crashes, which is no fault of the message.

use std::{pin::pin, time::Duration};

use futures_lite::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicPublishOptions,
        BasicQosOptions, ConfirmSelectOptions,
    },
    types::{AMQPValue, FieldTable},
};
use shop_contracts::{HEADER_ATTEMPT, HEADER_QUEUE, HEADER_REASON, Names};
use tokio::time::sleep;

use crate::{Address, Fault, declare_work_queue, say, stop_asked, wait_for_broker};

/// How many unsettled messages the broker may send ahead.
const PREFETCH: u16 = 50;
/// How long to wait after a trouble of our own, or a lost connection.
const PAUSE_MS: u64 = 500;

/// A message as a worker sees it.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// The publisher's name for it; empty when it has none.
    pub id: &'a str,
    /// What it says.
    pub body: &'a [u8],
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Worked off, now or earlier.
    Done,
    /// Failed for this reason; it gets another attempt.
    Again(String),
    /// Failed for this reason for good.
    GiveUp(String),
    /// Not the message's fault: something here does not work at the moment.
    Trouble(String),
}

/// Who works on messages.
pub trait Worker {
    /// Works on one message.
    fn handle(&mut self, message: &Incoming<'_>) -> Outcome;
}

/// Consumes `queue` until someone asks to stop.
///
/// # Errors
/// [`Fault::Refused`] when the broker says no.
pub async fn consume(
    program: &str,
    address: &Address,
    names: &Names,
    (queue, dead_letters): (&str, &str),
    worker: &mut impl Worker,
) -> Result<(), Fault> {
    let mut stop = pin!(stop_asked());
    loop {
        let link = tokio::select! {
            link = wait_for_broker(address, program) => link?,
            () = &mut stop => return Ok(()),
        };
        let lost = tokio::select! {
            lost = serve(&link.channel, names, queue, dead_letters, worker) => lost,
            () = &mut stop => {
                link.close().await;
                say(format_args!("{program}: stopped"));
                return Ok(());
            }
        };
        match lost {
            Ok(()) => say(format_args!(
                "{program}: the broker ended the subscription; connecting again"
            )),
            Err(Fault::Away(why)) => {
                say(format_args!(
                    "{program}: lost the broker ({why}); connecting again"
                ));
            }
            Err(fault) => return Err(fault),
        }
        tokio::select! {
            () = sleep(Duration::from_millis(PAUSE_MS)) => {}
            () = &mut stop => return Ok(()),
        }
    }
}

async fn serve(
    channel: &Channel,
    names: &Names,
    queue: &str,
    dead_letters: &str,
    worker: &mut impl Worker,
) -> Result<(), Fault> {
    declare_work_queue(channel, names, queue, dead_letters).await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    channel
        .basic_qos(PREFETCH, BasicQosOptions::default())
        .await?;
    let mut deliveries = channel
        .basic_consume(
            queue.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        let message = incoming(&delivery);
        let attempt = message.attempt;
        match worker.handle(&message) {
            Outcome::Done => {
                delivery.ack(BasicAckOptions::default()).await?;
            }
            Outcome::Again(reason) => {
                say(format_args!("  attempt {attempt} failed: {reason}"));
                let headers = Headers {
                    attempt: attempt.saturating_add(1),
                    reason: &reason,
                    queue,
                };
                publish_copy(channel, "", queue, &delivery, &headers).await?;
                delivery.ack(BasicAckOptions::default()).await?;
            }
            Outcome::GiveUp(reason) => {
                say(format_args!(
                    "  given up after attempt {attempt}: {reason}; it goes to {dead_letters}"
                ));
                let headers = Headers {
                    attempt,
                    reason: &reason,
                    queue,
                };
                publish_copy(
                    channel,
                    &names.sales_dead,
                    dead_letters,
                    &delivery,
                    &headers,
                )
                .await?;
                delivery.ack(BasicAckOptions::default()).await?;
            }
            Outcome::Trouble(reason) => {
                say(format_args!(
                    "  cannot work at the moment: {reason}; the message goes back to its queue"
                ));
                delivery
                    .nack(BasicNackOptions {
                        requeue: true,
                        multiple: false,
                    })
                    .await?;
                sleep(Duration::from_millis(PAUSE_MS)).await;
            }
        }
    }
    Ok(())
}

fn incoming(delivery: &Delivery) -> Incoming<'_> {
    let id = delivery
        .properties
        .message_id()
        .as_ref()
        .map_or("", |id| id.as_str());
    let headers = delivery.properties.headers().as_ref();
    let attempt = headers
        .and_then(|headers| headers.inner().get(HEADER_ATTEMPT))
        .and_then(whole_number);
    Incoming {
        id,
        body: &delivery.data,
        attempt: attempt.unwrap_or(1),
        redelivered: delivery.redelivered,
    }
}

/// A header's number in whatever width the publisher wrote it.
fn whole_number(value: &AMQPValue) -> Option<u32> {
    match *value {
        AMQPValue::ShortShortInt(n) => u32::try_from(n).ok(),
        AMQPValue::ShortShortUInt(n) => Some(n.into()),
        AMQPValue::ShortInt(n) => u32::try_from(n).ok(),
        AMQPValue::ShortUInt(n) => Some(n.into()),
        AMQPValue::LongInt(n) => u32::try_from(n).ok(),
        AMQPValue::LongUInt(n) => Some(n),
        AMQPValue::LongLongInt(n) => u32::try_from(n).ok(),
        _ => None,
    }
}

/// What a copy says of the failure.
struct Headers<'a> {
    attempt: u32,
    reason: &'a str,
    queue: &'a str,
}

/// Publishes a copy of a delivery. The original is acked only after the confirm: a crash in between leaves two copies, which are
/// harmless, rather than none. A plain reject with a dead-letter exchange would be shorter, but RabbitMQ moves rejected
/// messages without waiting for its disk: killed right after, it had lost one.
async fn publish_copy(
    channel: &Channel,
    exchange: &str,
    key: &str,
    delivery: &Delivery,
    failure: &Headers<'_>,
) -> Result<(), Fault> {
    let mut headers = delivery.properties.headers().clone().unwrap_or_default();
    let text = |text: &str| AMQPValue::LongString(text.into());
    headers.insert(
        HEADER_ATTEMPT.into(),
        AMQPValue::LongLongInt(failure.attempt.into()),
    );
    headers.insert(HEADER_REASON.into(), text(failure.reason));
    headers.insert(HEADER_QUEUE.into(), text(failure.queue));
    let properties: BasicProperties = delivery.properties.clone().with_headers(headers);
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let confirm = channel
        .basic_publish(
            exchange.into(),
            key.into(),
            options,
            &delivery.data,
            properties,
        )
        .await?
        .await?;
    match confirm {
        Confirmation::Ack(None) => Ok(()),
        _ => Err(Fault::Away(format!("it did not take a message for {key}"))),
    }
}
