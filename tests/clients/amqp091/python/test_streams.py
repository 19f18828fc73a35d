"""Streams: declared, published to, read from any place by any number of consumers, and what they refuse."""

import time

import pika
import pytest

from conftest import pump, until


@pytest.fixture
def stream(make):
    return lambda suffix="s", **kw: make.queue(suffix, durable=True, queue_type="stream", **kw)


@pytest.fixture
def filled(conn, stream):
    """A stream with so many messages `0`, `1`, ..."""

    def fill(count, **kw):
        queue = stream(**kw)
        channel = conn.channel()
        channel.confirm_delivery()
        for number in range(count):
            channel.basic_publish("", queue, str(number).encode())
        return queue

    return fill


@pytest.fixture
def reader(conn, inbox):
    def read(queue, offset=None, prefetch=10, **arguments):
        channel = conn.channel()
        channel.basic_qos(prefetch_count=prefetch)
        if offset is not None:
            arguments["x-stream-offset"] = offset
        box = inbox(channel, queue, auto_ack=False, arguments=arguments)
        box.channel = channel
        return box

    return read


def offsets(box):
    return [properties.headers["x-stream-offset"] for _, properties, _ in box.got]


def test_what_is_published_is_read_from_the_start_by_each(filled, reader):
    queue = filled(5)
    first, second = reader(queue, "first"), reader(queue, "first")
    for box in (first, second):
        box.wait(5)
        assert box.bodies == [b"0", b"1", b"2", b"3", b"4"]
        assert offsets(box) == [0, 1, 2, 3, 4]
        assert not any(method.redelivered for method, _, _ in box.got)


def test_the_prefetch_is_what_is_held(filled, reader):
    box = reader(filled(30), "first", prefetch=10)
    box.wait(10)
    box.quiet()
    box.channel.basic_ack(box.got[4][0].delivery_tag, multiple=True)
    box.wait(15)
    box.quiet()
    box.channel.basic_nack(box.got[5][0].delivery_tag, requeue=True)
    box.channel.basic_reject(box.got[6][0].delivery_tag, requeue=False)
    box.wait(17)
    box.quiet()
    box.channel.basic_ack(0, multiple=True)
    box.wait(27)
    assert offsets(box) == list(range(27)), "what is refused does not come again"


@pytest.mark.parametrize(
    "offset, expected",
    [("first", 0), (3, 3), (0, 0), ("last", None), ("1h", 0), (10_000, None)],
)
def test_where_a_reader_begins(filled, reader, ch, offset, expected):
    queue = filled(5)
    box = reader(queue, offset)
    if expected is None:
        # The last chunk with RabbitMQ, the last message here; past the end: what comes next.
        ch.basic_publish("", queue, b"new")
        box.wait(1)
        pump(box.connection, lambda: box.bodies[-1] == b"new")
    else:
        box.wait(5 - expected)
        assert offsets(box) == list(range(expected, 5))


def test_without_an_offset_it_is_what_comes_next(filled, reader, ch):
    queue = filled(3)
    boxes = [reader(queue), reader(queue, "next")]
    ch.basic_publish("", queue, b"new")
    for box in boxes:
        box.wait(1)
        assert (box.bodies, offsets(box)) == ([b"new"], [3])


def test_a_time_is_a_place(filled, reader, ch):
    from datetime import datetime, timezone

    queue = filled(2)
    time.sleep(2.1)
    now = datetime.fromtimestamp(int(time.time()), timezone.utc)
    ch.basic_publish("", queue, b"late")
    box = reader(queue, now)
    box.wait(1)
    assert box.bodies[-1] == b"late"
    box = reader(queue, datetime.fromtimestamp(0, timezone.utc))
    box.wait(3)
    assert box.bodies == [b"0", b"1", b"late"]


def test_bindings_lead_to_it_and_properties_stay(stream, make, reader, conn):
    queue, exchange = stream(), make.exchange("topic")
    make.bind(exchange, "a.#", queue=queue)
    channel = conn.channel()
    channel.confirm_delivery()
    sent = pika.BasicProperties(content_type="text/plain", headers={"n": 7}, message_id="m", priority=3)
    channel.basic_publish(exchange, "a.b", b"yes", sent, mandatory=True)
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish(exchange, "b", b"no", mandatory=True)
    box = reader(queue, "first")
    [(method, got, body)] = box.wait(1)
    assert (method.exchange, method.routing_key, body) == (exchange, "a.b", b"yes")
    assert (got.content_type, got.message_id, got.priority) == ("text/plain", "m", 3)
    assert got.headers == {"n": 7, "x-stream-offset": 0}
    channel.queue_unbind(queue, exchange, "a.#")
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish(exchange, "a.b", b"gone", mandatory=True)


def test_cancel_ends_it_and_the_place_is_free(filled, reader, ch):
    queue = filled(2)
    box = reader(queue, "first")
    box.wait(2)
    box.channel.basic_cancel(box.tag)
    ch.basic_publish("", queue, b"more")
    box.quiet()
    box.channel.basic_ack(0, multiple=True)
    assert box.channel.is_open


def test_a_filter_chooses(stream, reader, conn):
    queue = stream()
    channel = conn.channel()
    channel.confirm_delivery()
    for value in ("a", "b", None, "a"):
        headers = {"x-stream-filter-value": value} if value else {}
        channel.basic_publish("", queue, str(value).encode(), pika.BasicProperties(headers=headers))
    wanted = {"x-stream-filter": "a"}
    # RabbitMQ leaves out whole chunks only.
    box = reader(queue, "first", **wanted)
    pump(box.connection, lambda: box.bodies.count(b"a") == 2)
    box = reader(queue, "first", **wanted, **{"x-stream-match-unfiltered": True})
    pump(box.connection, lambda: box.bodies.count(b"a") == 2 and b"None" in box.bodies)


def test_large_messages_and_many(stream, reader, conn):
    queue = stream()
    channel = conn.channel()
    channel.confirm_delivery()
    bodies = [bytes([number]) * 300_000 for number in range(20)]
    for body in bodies:
        channel.basic_publish("", queue, body)
    box = reader(queue, "first", prefetch=5)
    while len(box.got) < 20:
        box.wait(min(20, len(box.got) + 5))
        box.channel.basic_ack(0, multiple=True)
    assert box.bodies == bodies


def test_retention_by_size(stream, reader, conn):
    queue = stream(max_length_bytes=1_000_000, stream_max_segment_size_bytes=500_000)
    channel = conn.channel()
    channel.confirm_delivery()
    for number in range(40):
        channel.basic_publish("", queue, bytes([number]) * 100_000)
    box = reader(queue, "first", prefetch=200)
    pump(box.connection, lambda: box.got and offsets(box)[-1] == 39)
    assert offsets(box)[0] > 0


@pytest.fixture
def refused(connect):
    def check(act, code, text):
        connection = connect()
        channel = connection.channel()
        with pytest.raises(pika.exceptions.AMQPError) as error:
            act(channel)
            connection.process_data_events(time_limit=1)
        assert (error.value.reply_code, error.value.reply_text) == (code, text)

    return check


def test_consuming_needs_a_prefetch_and_acks(stream, refused):
    queue = stream()
    thing = f"queue '{queue}' in vhost '/'"

    def consume(prefetch, auto_ack=False, global_qos=False, **arguments):
        def act(channel):
            if prefetch:
                channel.basic_qos(prefetch_count=prefetch, global_qos=global_qos)
            channel.basic_consume(queue, lambda *_: None, auto_ack=auto_ack, arguments=arguments)

        return act

    refused(consume(0), 406, f"PRECONDITION_FAILED - consumer prefetch count is not set for stream {thing}")
    refused(consume(1, auto_ack=True), 540, f"NOT_IMPLEMENTED - automatic acknowledgement not supported by stream {thing}")
    refused(consume(1, global_qos=True), 540, f"NOT_IMPLEMENTED - {thing} does not support global qos")
    soon = {"x-stream-offset": "soon"}
    refused(consume(1, **soon), 406, f"PRECONDITION_FAILED - failed consuming from stream {thing}: invalid_max_age")


def test_what_streams_do_not_do(stream, refused):
    queue = stream()
    thing = f"queue '{queue}' in vhost '/'"
    refused(lambda c: c.basic_get(queue), 540, f"NOT_IMPLEMENTED - basic.get not supported by stream queues {thing}")
    refused(lambda c: c.queue_purge(queue), 540, f"NOT_IMPLEMENTED - queue.purge not supported by stream queues {thing}")


FLAGS = [
    ({"durable": False}, "non-durable"),
    ({"exclusive": True}, "exclusive-owner"),
    ({"auto_delete": True}, "auto-delete"),
]


@pytest.mark.parametrize("flags, text", FLAGS)
def test_a_stream_is_durable_and_shared(refused, name, flags, text):
    flags = {"durable": True} | flags
    text = f"PRECONDITION_FAILED - invalid property '{text}' for queue '{name}' in vhost '/'"
    refused(lambda c: c.queue_declare(name, arguments={"x-queue-type": "stream"}, **flags), 406, text)


@pytest.mark.parametrize("argument", ["x-message-ttl", "x-max-length", "x-expires", "x-max-priority"])
def test_a_stream_has_no_queue_arguments(refused, name, argument):
    text = f"PRECONDITION_FAILED - invalid arg '{argument}' for queue '{name}' in vhost '/' of queue type rabbit_stream_queue"
    arguments = {"x-queue-type": "stream", argument: 5}
    refused(lambda c: c.queue_declare(name, durable=True, arguments=arguments), 406, text)


def test_declared_again_it_has_to_be_the_same(filled, refused, ch):
    queue = filled(3, max_age="7D")
    arguments = {"x-queue-type": "stream", "x-max-age": "7D"}
    assert ch.queue_declare(queue, durable=True, arguments=arguments).method.message_count == 3
    until(lambda: ch.queue_declare(queue, passive=True).method.message_count == 3)
    text = f"PRECONDITION_FAILED - inequivalent arg 'x-max-age' for queue '{queue}' in vhost '/': received '1D' but current is '7D'"
    refused(lambda c: c.queue_declare(queue, durable=True, arguments=arguments | {"x-max-age": "1D"}), 406, text)
    text = f"PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue '{queue}' in vhost '/': received none but current is the value 'stream' of type 'longstr'"
    refused(lambda c: c.queue_declare(queue, durable=True), 406, text)


def test_its_deletion_ends_its_consumers(filled, reader, ch):
    queue = filled(1)
    box = reader(queue, "first")
    box.wait(1)
    ch.queue_delete(queue)
    pump(box.connection, lambda: box.cancelled == [box.tag])
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as error:
        ch.queue_declare(queue, passive=True)
    assert error.value.reply_code == 404
