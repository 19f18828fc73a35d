"""Quorum-type queues: durable queues that count deliveries."""

import time

import pika
import pytest
from conftest import Inbox, drain, empty, get, ready, until
from pika import BasicProperties as Properties


@pytest.fixture
def pub(conn):
    channel = conn.channel()
    channel.confirm_delivery()
    return channel


def counts(properties):
    headers = properties.headers or {}
    return headers.get("x-delivery-count"), headers.get("x-acquired-count")


def test_in_order_and_settled(pub, make):
    queue = make.quorum()
    for i in range(50):
        pub.basic_publish("", queue, str(i).encode())
    assert drain(pub, queue, 50) == [str(i).encode() for i in range(50)]
    until(lambda: ready(pub, queue) == 0)


def test_delivery_count_grows_by_rejection(pub, make):
    queue = make.quorum()
    pub.basic_publish("", queue, b"x", Properties(headers={"mine": 1}))
    for attempt in range(5):
        method, properties, _ = get(pub, queue, auto_ack=False)
        assert (counts(properties)[0] or 0) == attempt
        assert method.redelivered == (attempt > 0) and properties.headers["mine"] == 1
        pub.basic_reject(method.delivery_tag, requeue=True)


def test_delivery_count_grows_by_a_lost_connection(pub, make, connect):
    queue = make.quorum()
    pub.basic_publish("", queue, b"x")
    other = connect()
    get(other.channel(), queue, auto_ack=False)
    other.close()
    method, properties, _ = get(pub, queue)
    assert counts(properties)[0] == 1 and method.redelivered


@pytest.mark.since(4, 3)
def test_nack_does_not_count_as_a_failure(pub, make):
    queue = make.quorum(delivery_limit=1)
    pub.basic_publish("", queue, b"x")
    for attempt in range(6):
        method, properties, _ = get(pub, queue, auto_ack=False)
        assert (counts(properties)[0] or 0) == 0 and (counts(properties)[1] or 0) == attempt
        pub.basic_nack(method.delivery_tag, requeue=True)


@pytest.mark.since(4, 3)
def test_acquired_count_counts_all(pub, make):
    queue = make.quorum()
    pub.basic_publish("", queue, b"x")
    pub.basic_nack(get(pub, queue, auto_ack=False)[0].delivery_tag, requeue=True)
    pub.basic_reject(get(pub, queue, auto_ack=False)[0].delivery_tag, requeue=True)
    assert counts(get(pub, queue)[1]) == (1, 2)


def test_delivery_limit_without_dead_letters_drops(pub, make):
    queue = make.quorum(delivery_limit=1)
    pub.basic_publish("", queue, b"x")
    for _ in range(2):
        pub.basic_reject(get(pub, queue, auto_ack=False)[0].delivery_tag, requeue=True)
    until(lambda: ready(pub, queue) == 0)
    assert empty(pub, queue)


@pytest.mark.since(4, 0)
def test_delivery_limit_is_20_by_default(pub, make):
    queue = make.quorum()
    pub.basic_publish("", queue, b"x")
    for _ in range(21):
        pub.basic_reject(get(pub, queue, auto_ack=False)[0].delivery_tag, requeue=True)
    time.sleep(0.1)
    assert empty(pub, queue)


@pytest.mark.since(4, 0)
def test_delivery_limit_of_minus_1_is_none(pub, make):
    queue = make.quorum(delivery_limit=-1)
    pub.basic_publish("", queue, b"x")
    for _ in range(30):
        pub.basic_reject(get(pub, queue, auto_ack=False)[0].delivery_tag, requeue=True)
    assert get(pub, queue)[2] == b"x"


@pytest.mark.since(4, 3)
@pytest.mark.parametrize("kind, settle, delayed", [("all", "nack", True), ("all", "reject", True), ("failed", "nack", False), ("failed", "reject", True), ("returned", "nack", True), ("returned", "reject", False), ("disabled", "reject", False)])
def test_delayed_retry(pub, make, kind, settle, delayed):
    queue = make.quorum(delayed_retry_type=kind, delayed_retry_min=400, delayed_retry_max=800)
    pub.basic_publish("", queue, b"x")
    method, _, _ = get(pub, queue, auto_ack=False)
    start = time.monotonic()
    getattr(pub, f"basic_{settle}")(method.delivery_tag, requeue=True)
    get(pub, queue)
    assert (time.monotonic() - start > 0.35) == delayed


@pytest.mark.since(4, 3)
def test_delayed_retry_grows_up_to_the_maximum(pub, make):
    queue = make.quorum(delayed_retry_type="all", delayed_retry_min=200, delayed_retry_max=450)
    pub.basic_publish("", queue, b"x")
    waits = []
    for _ in range(4):
        method, _, _ = get(pub, queue, auto_ack=False)
        start = time.monotonic()
        pub.basic_reject(method.delivery_tag, requeue=True)
        until(lambda: ready(pub, queue) == 1)
        waits.append(time.monotonic() - start)
    assert all(abs(wait - expected) < 0.15 for wait, expected in zip(waits, (0.2, 0.4, 0.45, 0.45))), waits


@pytest.mark.since(4, 3)
def test_delayed_messages_do_not_hold_back_the_others(pub, make):
    queue = make.quorum(delayed_retry_type="all", delayed_retry_min=500)
    pub.basic_publish("", queue, b"1")
    pub.basic_publish("", queue, b"2")
    pub.basic_reject(get(pub, queue, auto_ack=False)[0].delivery_tag, requeue=True)
    assert drain(pub, queue, 2) == [b"2", b"1"]


def test_single_active_consumer(pub, make, connect):
    queue = make.quorum(single_active_consumer=True)
    first, second = connect(), connect()
    boxes = [Inbox(first), Inbox(second)]
    for connection, box in zip((first, second), boxes):
        connection.channel().basic_consume(queue, box)
    for i in range(3):
        pub.basic_publish("", queue, str(i).encode())
    boxes[0].wait(3)
    boxes[1].quiet(0.1)
    first.close()
    boxes[1].wait(3)
    assert boxes[1].bodies == [b"0", b"1", b"2"]


def test_prefetch(pub, make, ch, inbox):
    queue = make.quorum()
    for i in range(10):
        pub.basic_publish("", queue, str(i).encode())
    ch.basic_qos(prefetch_count=2)
    box = inbox(ch, queue, auto_ack=False)
    box.wait(2)
    box.quiet()
    ch.basic_ack(2, multiple=True)
    box.wait(4)
    assert box.bodies == [b"0", b"1", b"2", b"3"]


def test_global_prefetch_is_refused(connect, make):
    queue = make.quorum()
    channel = connect().channel()
    channel.basic_qos(prefetch_count=2, global_qos=True)
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as error:
        channel.basic_consume(queue, lambda *_: None)
    assert (error.value.reply_code, error.value.reply_text) == (540, f"NOT_IMPLEMENTED - queue '{queue}' in vhost '/' does not support global qos")


def test_reject_publish(pub, make):
    queue = make.quorum(max_length=2, overflow="reject-publish")
    refused = 0
    for _ in range(20):
        try:
            pub.basic_publish("", queue, b"x")
        except pika.exceptions.NackError:
            refused += 1
    assert refused >= 15


def test_message_ttl(pub, make):
    queue = make.quorum()
    pub.basic_publish("", queue, b"x", Properties(expiration="100"))
    until(lambda: ready(pub, queue) == 0)


def test_purge_and_delete(pub, make):
    queue = make.quorum()
    for _ in range(5):
        pub.basic_publish("", queue, b"x")
    assert pub.queue_purge(queue).method.message_count == 5
    pub.basic_publish("", queue, b"x")
    assert pub.queue_delete(queue).method.message_count in (0, 1)
