//! Judged by async-nats: what a Rust application does with NATS.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull, push};
use async_nats::jetstream::{self, AckKind, context::PublishErrorKind, kv, object_store, stream};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Done = Result<(), Failure>;

const LIMIT: Duration = Duration::from_secs(20);

fn address() -> String {
    let of = |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.into());
    format!(
        "nats://{}:{}",
        of("NATS_HOST", "127.0.0.1"),
        of("NATS_PORT", "4222")
    )
}

fn unique() -> String {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    format!(
        "rust{}x{}",
        std::process::id(),
        SERIAL.fetch_add(1, Ordering::Relaxed)
    )
}

async fn client() -> Result<async_nats::Client, Failure> {
    Ok(async_nats::connect(address()).await?)
}

async fn next(messages: &mut async_nats::Subscriber) -> Result<async_nats::Message, Failure> {
    Ok(timeout(LIMIT, messages.next()).await?.ok_or("it ended")?)
}

/// Until the server knows of all that was subscribed to: flushing only writes.
async fn settle(nats: &async_nats::Client) -> Done {
    let inbox = nats.new_inbox();
    let mut messages = nats.subscribe(inbox.clone()).await?;
    nats.publish(inbox, "".into()).await?;
    next(&mut messages).await.map(|_| ())
}

#[tokio::test]
async fn publish_and_subscribe() -> Done {
    let (sender, receiver, name) = (client().await?, client().await?, unique());
    let mut messages = receiver.subscribe(format!("{name}.*.>")).await?;
    settle(&receiver).await?;
    let mut headers = HeaderMap::new();
    headers.append("K", "1");
    headers.append("K", "2");
    sender.publish(format!("{name}.a"), "no".into()).await?;
    for number in 0..10_000 {
        let body = Bytes::from(number.to_string());
        sender
            .publish_with_headers(format!("{name}.a.b"), headers.clone(), body)
            .await?;
    }
    for number in 0..10_000 {
        let message = next(&mut messages).await?;
        assert_eq!(message.payload, number.to_string());
        let values = message.headers.ok_or("no headers")?;
        assert_eq!(values.get_all("K").count(), 2);
    }
    Ok(())
}

#[tokio::test]
async fn queue_group() -> Done {
    let (sender, name) = (client().await?, unique());
    let mut members = Vec::new();
    for _ in 0..3 {
        let one = client().await?;
        let messages = one.queue_subscribe(name.clone(), "workers".into()).await?;
        settle(&one).await?;
        members.push((one, messages));
    }
    for _ in 0..900 {
        sender.publish(name.clone(), "x".into()).await?;
    }
    sender.flush().await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut counts = Vec::new();
    for (_, messages) in &mut members {
        let mut count = 0;
        while messages.next().now_or_never().flatten().is_some() {
            count += 1;
            tokio::task::yield_now().await;
        }
        counts.push(count);
    }
    assert_eq!(counts.iter().sum::<usize>(), 900, "{counts:?}");
    assert!(counts.iter().all(|count| *count > 180), "{counts:?}");
    Ok(())
}

#[tokio::test]
async fn requests() -> Done {
    let (asker, service, name) = (client().await?, client().await?, unique());
    let mut questions = service.subscribe(name.clone()).await?;
    settle(&service).await?;
    tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            if let Some(reply) = question.reply {
                let _ = service.publish(reply, question.payload).await;
            }
        }
    });
    for number in 0..200 {
        let answer = asker
            .request(name.clone(), number.to_string().into())
            .await?;
        assert_eq!(answer.payload, number.to_string());
    }
    let nobody = asker.request(unique(), "".into()).await;
    assert_eq!(
        nobody.err().map(|error| error.kind()),
        Some(async_nats::RequestErrorKind::NoResponders)
    );
    Ok(())
}

#[tokio::test]
async fn unsubscribe_and_drain() -> Done {
    let (nats, name) = (client().await?, unique());
    let mut messages = nats.subscribe(name.clone()).await?;
    messages.unsubscribe_after(3).await?;
    for _ in 0..5 {
        nats.publish(name.clone(), "x".into()).await?;
    }
    nats.flush().await?;
    let mut count = 0;
    while timeout(LIMIT, messages.next()).await?.is_some() {
        count += 1;
    }
    assert_eq!(count, 3);
    let other = client().await?;
    let mut draining = other.subscribe(name.clone()).await?;
    settle(&other).await?;
    nats.publish(name, "last".into()).await?;
    nats.flush().await?;
    other.drain().await?;
    // What it had in hand may come; then it ends.
    while timeout(LIMIT, draining.next()).await?.is_some() {}
    Ok(())
}

async fn made(
    config: stream::Config,
) -> Result<(jetstream::Context, stream::Stream, String), Failure> {
    let js = jetstream::new(client().await?);
    let name = unique();
    let config = stream::Config {
        name: name.clone(),
        subjects: vec![format!("{name}.>")],
        ..config
    };
    let stream = js.create_stream(config).await?;
    Ok((js, stream, name))
}

async fn filled(count: usize) -> Result<(jetstream::Context, stream::Stream, String), Failure> {
    let (js, stream, name) = made(stream::Config::default()).await?;
    for number in 0..count {
        js.publish(format!("{name}.a"), number.to_string().into())
            .await?
            .await?;
    }
    Ok((js, stream, name))
}

#[tokio::test]
async fn stream() -> Done {
    let (js, mut stream, name) = made(stream::Config {
        allow_direct: true,
        max_messages_per_subject: 2,
        ..Default::default()
    })
    .await?;
    let subject = format!("{name}.a");
    let with = |id: &str| {
        jetstream::message::PublishMessage::build()
            .message_id(id)
            .payload("x".into())
    };
    assert_eq!(
        js.send_publish(subject.clone(), with("1"))
            .await?
            .await?
            .sequence,
        1
    );
    assert!(
        js.send_publish(subject.clone(), with("1"))
            .await?
            .await?
            .duplicate
    );
    let wrong = js
        .send_publish(subject.clone(), with("2").expected_last_sequence(9))
        .await?
        .await;
    assert_eq!(
        wrong.err().map(|error| error.kind()),
        Some(PublishErrorKind::WrongLastSequence)
    );
    for body in ["2", "3", "4"] {
        js.publish(subject.clone(), body.into()).await?.await?;
    }
    assert_eq!(
        stream
            .direct_get_last_for_subject(subject.clone())
            .await?
            .payload,
        "4"
    );
    assert_eq!(stream.get_raw_message(3).await?.payload, "3");
    assert_eq!(stream.info().await?.state.messages, 2);
    assert!(stream.delete_message(3).await?);
    assert_eq!(stream.purge().await?.purged, 1);
    let mut names = js.stream_names();
    let mut found = false;
    while let Some(one) = names.next().await {
        found |= one? == name;
    }
    assert!(found);
    js.delete_stream(name).await?;
    Ok(())
}

#[tokio::test]
async fn consumers() -> Done {
    let (_, stream, _) = filled(20).await?;
    let config = pull::Config {
        durable_name: Some("d".into()),
        ack_wait: Duration::from_secs(5),
        ..Default::default()
    };
    let consumer: PullConsumer = stream.create_consumer(config).await?;
    let mut batch = consumer.fetch().max_messages(5).messages().await?;
    let mut seen = Vec::new();
    while let Some(message) = batch.next().await {
        let message = message?;
        seen.push(message.payload.clone());
        match seen.len() {
            1 => {
                message
                    .ack_with(AckKind::Nak(Some(Duration::from_millis(200))))
                    .await?
            }
            2 => message.ack_with(AckKind::Term).await?,
            _ => message.double_ack().await?,
        }
    }
    assert_eq!(seen, ["0", "1", "2", "3", "4"]);
    let mut messages = consumer.messages().await?;
    let mut again = false;
    for _ in 0..16 {
        let message = timeout(LIMIT, messages.next()).await?.ok_or("it ended")??;
        again |= message.payload == "0" && message.info()?.delivered == 2;
        message.double_ack().await?;
    }
    assert!(again, "what was refused comes again");
    let mut consumer = consumer;
    assert_eq!(consumer.info().await?.num_ack_pending, 0);
    Ok(())
}

#[tokio::test]
async fn ordered() -> Done {
    let (_, stream, _) = filled(300).await?;
    let nats = client().await?;
    let config = push::OrderedConfig {
        deliver_subject: nats.new_inbox(),
        deliver_policy: DeliverPolicy::All,
        ..Default::default()
    };
    let mut messages = stream.create_consumer(config).await?.messages().await?;
    for number in 0..300 {
        let message = timeout(LIMIT, messages.next()).await?.ok_or("it ended")??;
        assert_eq!(message.payload, number.to_string());
    }
    let config = push::Config {
        deliver_subject: nats.new_inbox(),
        ack_policy: AckPolicy::None,
        ..Default::default()
    };
    let mut messages = stream.create_consumer(config).await?.messages().await?;
    for number in 0..300 {
        let message = timeout(LIMIT, messages.next()).await?.ok_or("it ended")??;
        assert_eq!(message.payload, number.to_string());
    }
    Ok(())
}

#[tokio::test]
async fn key_value() -> Done {
    let js = jetstream::new(client().await?);
    let store = js
        .create_key_value(kv::Config {
            bucket: unique(),
            history: 5,
            ..Default::default()
        })
        .await?;
    let mut watch = store.watch("a.>").await?;
    let revision = store.create("a.b", "1".into()).await?;
    assert!(store.create("a.b", "2".into()).await.is_err());
    store.update("a.b", "2".into(), revision).await?;
    assert_eq!(store.get("a.b").await?.ok_or("none")?, "2");
    store.delete("a.b").await?;
    assert!(store.get("a.b").await?.is_none());
    for wanted in [
        kv::Operation::Put,
        kv::Operation::Put,
        kv::Operation::Delete,
    ] {
        assert_eq!(
            timeout(LIMIT, watch.next())
                .await?
                .ok_or("it ended")??
                .operation,
            wanted
        );
    }
    let history: Vec<_> = store.history("a.b").await?.collect().await;
    assert_eq!(history.len(), 3);
    store.put("c", "3".into()).await?;
    let keys: Vec<_> = store.keys().await?.collect().await;
    assert_eq!(keys.len(), 1);
    Ok(())
}

#[tokio::test]
async fn object_store() -> Done {
    let js = jetstream::new(client().await?);
    let store = js
        .create_object_store(object_store::Config {
            bucket: unique(),
            ..Default::default()
        })
        .await?;
    let data: Vec<u8> = (0..500_000_u32).map(|byte| (byte % 251) as u8).collect();
    store.put("big", &mut data.as_slice()).await?;
    let mut got = Vec::new();
    store.get("big").await?.read_to_end(&mut got).await?;
    assert_eq!(got, data);
    assert_eq!(store.info("big").await?.size, data.len());
    store.delete("big").await?;
    assert!(store.get("big").await.is_err());
    Ok(())
}
