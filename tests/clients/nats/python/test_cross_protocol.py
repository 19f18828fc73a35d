"""What NATS publishes reaches AMQP's queues and Kafka's readers, and back: subjects are keys of amq.topic, streams are topics."""

import asyncio
import os
import time

import pika
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from conftest import IS_PEER, client, until
from nats.js.api import RePublish

AMQP, KAFKA = os.environ.get("POLYBUS_AMQP_PORT"), os.environ.get("POLYBUS_KAFKA_PORT")
pytestmark = pytest.mark.skipif(IS_PEER or not AMQP, reason="one broker for all protocols is wanted")


@pytest.fixture
def channel():
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(AMQP)))
    yield connection.channel()
    connection.close()


def got(channel, queue, count, deadline_s=10):
    messages, end = [], time.monotonic() + deadline_s
    while len(messages) < count:
        assert time.monotonic() < end, f"{len(messages)} of {count}"
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        if method:
            messages.append((method.routing_key, properties.headers or {}, body))
    return messages


async def test_nats_to_a_queue(name, channel):
    channel.queue_declare(name, durable=True)
    channel.queue_bind(name, "amq.topic", f"{name}.order.#")
    async with client() as nc:
        await nc.publish(f"{name}.order.created", b"1", headers={"Colour": "red"})
        await nc.publish(f"{name}.order", b"2")
        await nc.publish(f"{name}.other", b"no")
        await nc.flush()
        (key, headers, body), second = got(channel, name, 2)
        assert (key, headers.get("Colour"), body) == (f"{name}.order.created", "red", b"1")
        assert second[2] == b"2"
    channel.queue_delete(name)


async def test_what_a_stream_republishes_reaches_a_queue(name, channel):
    channel.queue_declare(name, durable=True)
    channel.queue_bind(name, "amq.topic", f"{name}re.#")
    async with client() as nc:
        js = nc.jetstream()
        await js.add_stream(name=name, subjects=[f"{name}.>"], republish=RePublish(src=f"{name}.>", dest=f"{name}re.>"))
        await js.publish(f"{name}.a", b"1")
        ((key, headers, body),) = got(channel, name, 1)
        assert (key, headers["Nats-Sequence"], headers["Nats-Stream"], body) == (f"{name}re.a", "1", name, b"1")
    channel.queue_delete(name)


async def test_amqp_to_nats(name, channel):
    async with client() as nc:
        sub = await nc.subscribe(f"{name}.order.*")
        await nc.flush()
        properties = pika.BasicProperties(headers={"Colour": "red", "Size": 7}, content_type="text/plain", delivery_mode=2)
        channel.basic_publish("amq.topic", f"{name}.order.created", b"hello", properties)
        message = await sub.next_msg(10)
        assert (message.subject, message.data) == (f"{name}.order.created", b"hello")
        assert message.headers["Colour"] == "red" and message.headers["Size"] == "7"


async def test_a_queue_between_them_loses_nothing(name, channel):
    channel.queue_declare(name, durable=True)
    channel.queue_bind(name, "amq.topic", f"{name}.*")
    async with client() as nc:
        for i in range(5000):
            await nc.publish(f"{name}.a", b"%d" % i)
        await nc.flush()
    assert [int(body) for _, _, body in got(channel, name, 5000, 30)] == list(range(5000))
    channel.queue_delete(name)


async def test_a_request_answered_over_amqp(name, channel):
    """A service on AMQP gets the question by its queue, and answers to where it is wanted."""
    channel.queue_declare(name, exclusive=True)
    channel.queue_bind(name, "amq.topic", name)
    async with client() as nc:
        asking = asyncio.create_task(nc.request(name, b"?", timeout=10))

        async def question():
            await asyncio.sleep(0.05)
            method, properties, _ = channel.basic_get(name, auto_ack=True)
            return properties if method else None

        properties = await until(question)
        channel.basic_publish("amq.topic", properties.reply_to, b"!")
        assert (await asking).data == b"!"


def consumer(name):
    return Consumer({"bootstrap.servers": f"127.0.0.1:{KAFKA}", "group.id": name, "auto.offset.reset": "earliest"})


async def test_kafka_reads_a_stream(name):
    async with client() as nc:
        js = nc.jetstream()
        await js.add_stream(name=name, subjects=[f"{name}.>"])
        for i in range(10):
            await js.publish(f"{name}.a", b"%d" % i)
        reader = consumer(name)
        reader.subscribe([name])
        seen, end = [], time.monotonic() + 20
        while len(seen) < 10 and time.monotonic() < end:
            message = reader.poll(0.2)
            if message and not message.error():
                seen.append(int(message.value()))
        reader.close()
        assert seen == list(range(10))


async def test_a_stream_takes_what_kafka_produces(name):
    async with client() as nc:
        js = nc.jetstream()
        await js.add_stream(name=name, subjects=[f"{name}.>"])
        producer = Producer({"bootstrap.servers": f"127.0.0.1:{KAFKA}"})
        producer.produce(name, b"from kafka", key=b"k")
        assert producer.flush(10) == 0
        sub = await js.pull_subscribe("", durable="d", stream=name)
        assert (await sub.fetch(1, timeout=10))[0].data == b"from kafka"


async def test_a_stream_takes_what_amqp_publishes(name, channel):
    async with client() as nc:
        js = nc.jetstream()
        await js.add_stream(name=name, subjects=[f"{name}.>"])
        channel.confirm_delivery()
        channel.basic_publish("amq.topic", f"{name}.a", b"from amqp", pika.BasicProperties(delivery_mode=2))
        assert (await js.get_msg(name, 1)).data == b"from amqp"


async def test_a_transaction_arrives_when_it_is_committed(name, channel):
    """In queues, streams and with whoever listens: what Kafka's transactions write comes once, and what they abort never."""
    kafka = {"bootstrap.servers": f"127.0.0.1:{KAFKA}"}
    admin = AdminClient(kafka)
    admin.create_topics([NewTopic(name, 3, 1)])[name].result(10)
    channel.queue_declare(name, durable=True)
    channel.queue_bind(name, name)
    channel.exchange_bind("amq.topic", name, f"{name}.a")
    async with client() as nc:
        js = nc.jetstream()
        await js.add_stream(name=f"{name}-s", subjects=[f"{name}.>"])
        sub = await nc.subscribe(f"{name}.*")
        await nc.flush()
        producer = Producer({**kafka, "transactional.id": name, "linger.ms": 5})
        producer.init_transactions(10)
        wanted = []
        for turn in range(6):
            producer.begin_transaction()
            bodies = [b"%d.%d" % (turn, i) for i in range(200)]
            for i, body in enumerate(bodies):
                producer.produce(name, body, key=f"{name}.a", partition=i % 3)
            assert producer.flush(10) == 0
            if turn % 2:
                producer.abort_transaction(10)
            else:
                producer.commit_transaction(10)
                wanted += bodies
        queued = [body for _, _, body in got(channel, name, len(wanted))]
        assert sorted(queued) == sorted(wanted)
        assert [b.split(b".")[0] for b in queued] == [b.split(b".")[0] for b in wanted], "in the order of the commits"
        heard = [(await sub.next_msg(10)).data for _ in wanted]
        assert heard == queued
        assert await until(lambda: stored(js, f"{name}-s", len(wanted)))
        # Nothing comes behind: one more is the next of each.
        producer.begin_transaction()
        producer.produce(name, b"last", key=f"{name}.a")
        producer.commit_transaction(10)
        assert got(channel, name, 1)[0][2] == b"last" and (await sub.next_msg(10)).data == b"last"
        assert await until(lambda: stored(js, f"{name}-s", len(wanted) + 1))
        await js.delete_stream(f"{name}-s")
    channel.queue_delete(name)


async def stored(js, stream, count):
    return (await js.stream_info(stream)).state.messages == count
