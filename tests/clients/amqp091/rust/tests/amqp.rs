//! Judged by lapin: what a Rust application does with RabbitMQ.

use std::{env, time::Duration};

use futures_lite::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind, ExchangeKind,
    options::*,
    types::{AMQPValue, FieldArray, FieldTable, LongString},
};
use tokio::time::timeout;

type Result<T = ()> = std::result::Result<T, lapin::Error>;

const LIMIT: Duration = Duration::from_secs(20);

fn uri(user: &str, vhost: &str) -> String {
    let host = env::var("AMQP_HOST").unwrap_or_else(|_| "127.0.0.1".into());
    let port = env::var("AMQP_PORT").unwrap_or_else(|_| "5672".into());
    format!("amqp://{user}@{host}:{port}/{vhost}")
}

async fn connect() -> Result<Connection> {
    Connection::connect(&uri("guest:guest", "%2f"), ConnectionProperties::default()).await
}

/// Runs the test with a connection and a deadline.
async fn run<F, Fut>(test: F)
where
    F: FnOnce(Connection, String) -> Fut,
    Fut: Future<Output = Result>,
{
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = format!("lapin-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    timeout(LIMIT, async {
        let connection = connect().await.expect("a connection");
        test(connection, name).await.expect("no error");
    })
    .await
    .expect("in time");
}

async fn exclusive(channel: &Channel, name: &str, arguments: FieldTable) -> Result<String> {
    let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
    Ok(channel.queue_declare(name.into(), options, arguments).await?.name().to_string())
}

async fn publish(channel: &Channel, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) -> Result<Confirmation> {
    channel.basic_publish(exchange.into(), key.into(), BasicPublishOptions::default(), body, properties).await?.await
}

async fn consume(channel: &Channel, queue: &str, no_ack: bool) -> Result<Consumer> {
    let options = BasicConsumeOptions { no_ack, ..Default::default() };
    channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await
}

async fn bodies(consumer: &mut Consumer, count: usize) -> Result<Vec<Vec<u8>>> {
    let mut got = Vec::new();
    while got.len() < count {
        let delivery = consumer.next().await.expect("the consumer goes on")?;
        got.push(delivery.data.to_vec());
    }
    Ok(got)
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert((*key).into(), value.clone());
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

fn numbers(range: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    range.map(|i| i.to_string().into_bytes()).collect()
}

/// The code and text of the close that the server sent.
fn reply(error: &lapin::Error) -> (u16, String) {
    match error.kind() {
        ErrorKind::ProtocolError(error) => (error.get_id(), error.get_message().to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn consumer_as_a_stream() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        let queue = exclusive(&channel, &name, FieldTable::default()).await?;
        for body in numbers(0..100) {
            publish(&channel, "", &queue, &body, BasicProperties::default()).await?;
        }
        let mut consumer = consume(&channel, &queue, false).await?;
        for expected in numbers(0..100) {
            let delivery = consumer.next().await.expect("a delivery")?;
            assert_eq!(delivery.data.to_vec(), expected);
            assert!(!delivery.redelivered);
            delivery.ack(BasicAckOptions::default()).await?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn pipeline_of_confirms() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(name.as_str().into(), options, FieldTable::default()).await?;
        let persistent = BasicProperties::default().with_delivery_mode(2);
        let mut waiting = Vec::new();
        for body in numbers(0..500) {
            let options = BasicPublishOptions::default();
            waiting.push(channel.basic_publish("".into(), name.as_str().into(), options, &body, persistent.clone()).await?);
        }
        for confirm in waiting {
            assert!(confirm.await?.is_ack());
        }
        let deleted = channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await?;
        assert_eq!(deleted, 500);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn mandatory_message_comes_back_with_its_confirm() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let confirm = channel.basic_publish("".into(), name.as_str().into(), options, b"lost", BasicProperties::default()).await?.await?;
        let Confirmation::Ack(Some(returned)) = confirm else { panic!("{confirm:?}") };
        assert_eq!((returned.reply_code, returned.reply_text.as_str()), (312, "NO_ROUTE"));
        assert_eq!(returned.delivery.data.to_vec(), b"lost");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn nack_of_a_full_queue() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let arguments = table(&[("x-max-length", AMQPValue::LongInt(1)), ("x-overflow", text("reject-publish"))]);
        let queue = exclusive(&channel, &name, arguments).await?;
        assert!(publish(&channel, "", &queue, b"1", BasicProperties::default()).await?.is_ack());
        assert!(publish(&channel, "", &queue, b"2", BasicProperties::default()).await?.is_nack());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn properties_and_headers() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        let queue = exclusive(&channel, &name, FieldTable::default()).await?;
        let mut array = FieldArray::default();
        array.push(AMQPValue::Boolean(true));
        array.push(text("inner"));
        let headers = table(&[
            ("bool", AMQPValue::Boolean(true)),
            ("short", AMQPValue::ShortInt(-5)),
            ("long", AMQPValue::LongLongInt(i64::MIN)),
            ("double", AMQPValue::Double(1.5)),
            ("float", AMQPValue::Float(0.25)),
            ("text", text("grüß")),
            ("time", AMQPValue::Timestamp(1_700_000_000)),
            ("void", AMQPValue::Void),
            ("array", AMQPValue::FieldArray(array)),
            ("table", AMQPValue::FieldTable(table(&[("deep", AMQPValue::FieldTable(table(&[("er", AMQPValue::LongInt(1))])))]))),
        ]);
        let properties = BasicProperties::default()
            .with_content_type("text/plain".into())
            .with_content_encoding("identity".into())
            .with_headers(headers)
            .with_delivery_mode(2)
            .with_priority(9)
            .with_correlation_id("c".into())
            .with_reply_to("r".into())
            .with_expiration("60000".into())
            .with_message_id("m".into())
            .with_timestamp(1_700_000_000)
            .with_type("t".into())
            .with_user_id("guest".into())
            .with_app_id("a".into());
        publish(&channel, "", &queue, b"x", properties.clone()).await?;
        let mut consumer = consume(&channel, &queue, true).await?;
        let delivery = consumer.next().await.expect("a delivery")?;
        assert_eq!(delivery.properties, properties);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn large_and_empty_bodies() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        let queue = exclusive(&channel, &name, FieldTable::default()).await?;
        let large: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        for body in [&large[..], b"", b"x"] {
            publish(&channel, "", &queue, body, BasicProperties::default()).await?;
        }
        let mut consumer = consume(&channel, &queue, true).await?;
        let got = bodies(&mut consumer, 3).await?;
        assert!(got[0] == large && got[1].is_empty() && got[2] == b"x");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn topic_exchange() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        let queue = exclusive(&channel, &name, FieldTable::default()).await?;
        let options = ExchangeDeclareOptions { auto_delete: true, ..Default::default() };
        channel.exchange_declare(name.as_str().into(), ExchangeKind::Topic, options, FieldTable::default()).await?;
        for pattern in ["sale.*", "#.refund"] {
            channel
                .queue_bind(queue.as_str().into(), name.as_str().into(), pattern.into(), QueueBindOptions::default(), FieldTable::default())
                .await?;
        }
        for key in ["sale.created", "sale.created.twice", "shop.1.refund", "sale.refund"] {
            publish(&channel, &name, key, key.as_bytes(), BasicProperties::default()).await?;
        }
        let mut consumer = consume(&channel, &queue, true).await?;
        assert_eq!(bodies(&mut consumer, 3).await?, [&b"sale.created"[..], b"shop.1.refund", b"sale.refund"]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn headers_exchange() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        let queue = exclusive(&channel, &name, FieldTable::default()).await?;
        let arguments = table(&[("x-match", text("all")), ("kind", text("a")), ("level", AMQPValue::LongInt(3))]);
        channel.queue_bind(queue.as_str().into(), "amq.headers".into(), name.as_str().into(), QueueBindOptions::default(), arguments).await?;
        for (level, body) in [(2, b"no"), (3, b"ok")] {
            let headers = table(&[("kind", text("a")), ("level", AMQPValue::LongInt(level))]);
            publish(&channel, "amq.headers", "", body, BasicProperties::default().with_headers(headers)).await?;
        }
        let mut consumer = consume(&channel, &queue, true).await?;
        assert_eq!(bodies(&mut consumer, 1).await?, [b"ok"]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn get_and_get_empty() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        let queue = exclusive(&channel, &name, FieldTable::default()).await?;
        let options = BasicGetOptions { no_ack: true };
        assert!(channel.basic_get(queue.as_str().into(), options).await?.is_none());
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        publish(&channel, "", &queue, b"1", BasicProperties::default()).await?;
        publish(&channel, "", &queue, b"2", BasicProperties::default()).await?;
        let message = channel.basic_get(queue.as_str().into(), options).await?.expect("a message");
        assert_eq!((message.delivery.data.to_vec(), message.message_count), (b"1".to_vec(), 1));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn prefetch_and_requeue_in_place() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        let queue = exclusive(&channel, &name, FieldTable::default()).await?;
        for body in numbers(0..5) {
            publish(&channel, "", &queue, &body, BasicProperties::default()).await?;
        }
        channel.basic_qos(2, BasicQosOptions::default()).await?;
        let mut consumer = consume(&channel, &queue, false).await?;
        let first = consumer.next().await.expect("a delivery")?;
        let second = consumer.next().await.expect("a delivery")?;
        assert!(timeout(Duration::from_millis(200), consumer.next()).await.is_err());
        first.nack(BasicNackOptions { requeue: true, ..Default::default() }).await?;
        let again = consumer.next().await.expect("a delivery")?;
        assert_eq!((again.data.to_vec(), again.redelivered), (b"0".to_vec(), true));
        second.reject(BasicRejectOptions { requeue: false }).await?;
        assert_eq!(consumer.next().await.expect("a delivery")?.data.to_vec(), b"2");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn ack_multiple() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        let queue = exclusive(&channel, &name, FieldTable::default()).await?;
        for body in numbers(0..10) {
            publish(&channel, "", &queue, &body, BasicProperties::default()).await?;
        }
        let other = connection.create_channel().await?;
        let mut consumer = consume(&other, &queue, false).await?;
        for i in 0..10 {
            let delivery = consumer.next().await.expect("a delivery")?;
            if i == 6 {
                delivery.ack(BasicAckOptions { multiple: true }).await?;
            }
        }
        other.close(200, "done".into()).await?;
        let mut consumer = consume(&channel, &queue, true).await?;
        assert_eq!(bodies(&mut consumer, 3).await?, numbers(7..10));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn dead_letters() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        let dead = exclusive(&channel, &format!("{name}-dead"), FieldTable::default()).await?;
        let arguments = table(&[("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text(&dead))]);
        let queue = exclusive(&channel, &name, arguments).await?;
        publish(&channel, "", &queue, b"bad", BasicProperties::default()).await?;
        let mut consumer = consume(&channel, &queue, false).await?;
        consumer.next().await.expect("a delivery")?.reject(BasicRejectOptions { requeue: false }).await?;
        let mut consumer = consume(&channel, &dead, true).await?;
        let delivery = consumer.next().await.expect("a dead letter")?;
        let headers = delivery.properties.headers().as_ref().expect("headers");
        assert_eq!(headers.inner().get("x-first-death-reason"), Some(&text("rejected")));
        let Some(AMQPValue::FieldArray(deaths)) = headers.inner().get("x-death") else { panic!("{headers:?}") };
        let AMQPValue::FieldTable(death) = &deaths.as_slice()[0] else { panic!("{deaths:?}") };
        assert_eq!(death.inner().get("queue"), Some(&text(&queue)));
        assert_eq!(death.inner().get("count"), Some(&AMQPValue::LongLongInt(1)));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn consumer_ends_when_the_queue_is_deleted() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        let queue = exclusive(&channel, &name, FieldTable::default()).await?;
        let mut consumer = consume(&channel, &queue, true).await?;
        connection.create_channel().await?.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
        assert!(consumer.next().await.is_none());
        assert!(channel.status().connected());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn cancel_ends_the_stream() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        let queue = exclusive(&channel, &name, FieldTable::default()).await?;
        let mut consumer = consume(&channel, &queue, true).await?;
        channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        assert!(consumer.next().await.is_none());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn transactions() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        let queue = exclusive(&channel, &name, FieldTable::default()).await?;
        channel.tx_select().await?;
        publish(&channel, "", &queue, b"undone", BasicProperties::default()).await?;
        channel.tx_rollback().await?;
        publish(&channel, "", &queue, b"done", BasicProperties::default()).await?;
        channel.tx_commit().await?;
        let other = connection.create_channel().await?;
        let mut consumer = consume(&other, &queue, true).await?;
        assert_eq!(bodies(&mut consumer, 1).await?, [b"done"]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn direct_reply_to() {
    run(|connection, name| async move {
        let client = connection.create_channel().await?;
        let server = connection.create_channel().await?;
        let queue = exclusive(&server, &name, FieldTable::default()).await?;
        let mut replies = consume(&client, "amq.rabbitmq.reply-to", true).await?;
        let mut requests = consume(&server, &queue, true).await?;
        let asked = BasicProperties::default().with_reply_to("amq.rabbitmq.reply-to".into());
        publish(&client, "", &queue, b"question", asked).await?;
        let request = requests.next().await.expect("a request")?;
        let reply_to = request.properties.reply_to().clone().expect("reply_to");
        publish(&server, "", reply_to.as_str(), b"answer", BasicProperties::default()).await?;
        assert_eq!(bodies(&mut replies, 1).await?, [b"answer"]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_channel_error_leaves_the_connection_alone() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let error = channel.queue_declare(name.as_str().into(), options, FieldTable::default()).await.unwrap_err();
        assert_eq!(reply(&error), (404, format!("NOT_FOUND - no queue '{name}' in vhost '/'")));
        let other = connection.create_channel().await?;
        exclusive(&other, &name, FieldTable::default()).await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn inequivalent_arguments() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        exclusive(&channel, &name, FieldTable::default()).await?;
        let error = exclusive(&channel, &name, table(&[("x-message-ttl", AMQPValue::LongInt(5))])).await.unwrap_err();
        let text = format!("PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue '{name}' in vhost '/': received the value '5' of type 'signedint' but current is none");
        assert_eq!(reply(&error), (406, text));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn bad_password_and_unknown_vhost() {
    let error = Connection::connect(&uri("guest:wrong", "%2f"), ConnectionProperties::default()).await.unwrap_err();
    assert_eq!(reply(&error).0, 403);
    let error = Connection::connect(&uri("guest:guest", "nowhere"), ConnectionProperties::default()).await.unwrap_err();
    assert_eq!(reply(&error), (530, "NOT_ALLOWED - vhost nowhere not found".into()));
}

#[tokio::test]
async fn an_unknown_exchange_type_closes_the_connection() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        let kind = ExchangeKind::Custom("x-nonsense-type".into());
        let error = channel
            .exchange_declare(name.as_str().into(), kind, ExchangeDeclareOptions::default(), FieldTable::default())
            .await
            .unwrap_err();
        assert_eq!(reply(&error), (503, "COMMAND_INVALID - unknown exchange type 'x-nonsense-type'".into()));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn many_channels_publish_and_consume_at_once() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        let queue = exclusive(&channel, &name, FieldTable::default()).await?;
        let mut tasks = Vec::new();
        for task in 0..8 {
            let (channel, queue) = (connection.create_channel().await?, queue.clone());
            tasks.push(tokio::spawn(async move {
                for i in 0..100 {
                    publish(&channel, "", &queue, format!("{task}-{i}").as_bytes(), BasicProperties::default()).await?;
                }
                Result::Ok(())
            }));
        }
        let mut consumer = consume(&channel, &queue, true).await?;
        let mut got = bodies(&mut consumer, 800).await?;
        got.sort();
        got.dedup();
        assert_eq!(got.len(), 800);
        for task in tasks {
            task.await.expect("joined")?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn quorum_queue_counts_deliveries() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(name.as_str().into(), options, table(&[("x-queue-type", text("quorum"))])).await?;
        publish(&channel, "", &name, b"x", BasicProperties::default()).await?;
        let mut consumer = consume(&channel, &name, false).await?;
        consumer.next().await.expect("a delivery")?.reject(BasicRejectOptions { requeue: true }).await?;
        let delivery = consumer.next().await.expect("a delivery")?;
        let headers = delivery.properties.headers().clone().expect("headers");
        assert_eq!(headers.inner().get("x-delivery-count"), Some(&AMQPValue::LongLongInt(1)));
        delivery.ack(BasicAckOptions::default()).await?;
        channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await?;
        Ok(())
    })
    .await;
}

/// A reader of a stream that begins at the place and holds two messages at a time.
async fn read_stream(connection: &Connection, stream: &str, place: AMQPValue) -> Result<Consumer> {
    let channel = connection.create_channel().await?;
    channel.basic_qos(2, BasicQosOptions::default()).await?;
    let arguments = table(&[("x-stream-offset", place)]);
    channel.basic_consume(stream.into(), "".into(), BasicConsumeOptions::default(), arguments).await
}

/// Takes messages of which each says its own offset, and acknowledges them.
async fn expect_offsets(consumer: &mut Consumer, offsets: std::ops::Range<i64>) -> Result {
    for offset in offsets {
        let delivery = consumer.next().await.expect("a delivery")?;
        assert_eq!(delivery.data.to_vec(), offset.to_string().into_bytes());
        let headers = delivery.properties.headers().clone().expect("headers");
        assert_eq!(headers.inner().get("x-stream-offset"), Some(&AMQPValue::LongLongInt(offset)));
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn stream_is_read_from_any_place() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(name.as_str().into(), options, table(&[("x-queue-type", text("stream"))])).await?;
        for body in numbers(0..10) {
            assert!(publish(&channel, "", &name, &body, BasicProperties::default()).await?.is_ack());
        }
        let mut first = read_stream(&connection, &name, text("first")).await?;
        let mut seventh = read_stream(&connection, &name, AMQPValue::LongLongInt(7)).await?;
        let mut coming = read_stream(&connection, &name, text("next")).await?;
        publish(&channel, "", &name, b"10", BasicProperties::default()).await?;
        expect_offsets(&mut first, 0..11).await?;
        expect_offsets(&mut seventh, 7..11).await?;
        expect_offsets(&mut coming, 10..11).await?;
        channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn order_of_20000_messages() {
    run(|connection, name| async move {
        let channel = connection.create_channel().await?;
        let queue = exclusive(&channel, &name, FieldTable::default()).await?;
        let mut consumer = consume(&channel, &queue, true).await?;
        let publisher = connection.create_channel().await?;
        let task = tokio::spawn(async move {
            for body in numbers(0..20_000) {
                let options = BasicPublishOptions::default();
                let _ = publisher.basic_publish("".into(), queue.as_str().into(), options, &body, BasicProperties::default()).await?;
            }
            Result::Ok(())
        });
        assert_eq!(bodies(&mut consumer, 20_000).await?, numbers(0..20_000));
        task.await.expect("joined")?;
        Ok(())
    })
    .await;
}
