//! What has to exist on the broker. Declaring is idempotent: every program declares what it uses, so that they start in any
//! order.

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};
use shop_contracts::Names;

use crate::Fault;

/// Declares the exchange that sales are published to.
///
/// # Errors
/// When the broker is away or refuses.
pub async fn declare_sales(channel: &Channel, names: &Names) -> Result<(), Fault> {
    declare_exchange(channel, &names.sales_exchange, ExchangeKind::Topic).await
}

/// Declares a queue for sales, and the queue for what its consumer gives up.
///
/// # Errors
/// When the broker is away or refuses.
pub async fn declare_work_queue(
    channel: &Channel,
    names: &Names,
    queue: &str,
    dead_letters: &str,
) -> Result<(), Fault> {
    declare_sales(channel, names).await?;
    declare_exchange(channel, &names.sales_dead, ExchangeKind::Direct).await?;
    declare_queue(channel, dead_letters).await?;
    bind(channel, dead_letters, &names.sales_dead, dead_letters).await?;

    declare_queue(channel, queue).await?;
    bind(channel, queue, &names.sales_exchange, &names.sale_created).await
}

async fn declare_exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> Result<(), Fault> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    Ok(channel
        .exchange_declare(name.into(), kind, options, FieldTable::default())
        .await?)
}

async fn declare_queue(channel: &Channel, name: &str) -> Result<(), Fault> {
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(name.into(), options, FieldTable::default())
        .await?;
    Ok(())
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Result<(), Fault> {
    let options = QueueBindOptions::default();
    Ok(channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            key.into(),
            options,
            FieldTable::default(),
        )
        .await?)
}
