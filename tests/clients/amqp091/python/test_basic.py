"""Publish, deliver, settle: order, prefetch, redelivery, fairness, replies."""

import struct
import threading
import time
from collections import Counter

import pika
import pytest
from conftest import Inbox, drain, empty, get, parameters, pump, ready, until
from pika import BasicProperties as Properties

REPLY_TO = "amq.rabbitmq.reply-to"


@pytest.fixture
def pub(conn):
    channel = conn.channel()
    channel.confirm_delivery()
    return channel


def fill(channel, queue, count, start=0):
    for i in range(start, start + count):
        channel.basic_publish("", queue, str(i).encode())


def numbers(*values):
    return [str(v).encode() for v in values]


def test_get_tells_what_is_left(pub, make):
    queue = make.queue()
    fill(pub, queue, 3)
    got = [pub.basic_get(queue, auto_ack=True) for _ in range(4)]
    assert [m and m.message_count for m, _, _ in got] == [2, 1, 0, None]
    assert [body for _, _, body in got] == [b"0", b"1", b"2", None]
    assert [m.delivery_tag for m, _, _ in got[:3]] == [1, 2, 3]


def test_consume(pub, make, ch, inbox):
    queue = make.queue()
    fill(pub, queue, 3)
    box = inbox(ch, queue, auto_ack=False, consumer_tag="my tag")
    box.wait(3)
    assert [(m.consumer_tag, m.delivery_tag, m.redelivered, m.exchange, m.routing_key) for m, _, _ in box.got] == [
        ("my tag", i, False, "", queue) for i in (1, 2, 3)
    ]


def test_server_named_consumer_tags(raw, make):
    from test_frames import consume

    queue = make.queue()
    peer = raw()
    peer.channel()
    tags = set()
    for _ in range(3):
        peer.method(1, *consume(queue, ""))
        tags.add(peer.expect(60, 21).shortstr())
    assert len(tags) == 3 and all(tag.startswith("amq.ctag-") and len(tag) == 31 for tag in tags)


def test_order_of_a_publisher_is_kept(pub, make, ch, inbox):
    queue = make.queue()
    box = inbox(ch, queue)
    channel = ch.connection.channel()
    for i in range(1000):
        channel.basic_publish("", queue, str(i).encode())
    box.wait(1000)
    assert box.bodies == numbers(*range(1000))


def test_ack_single_and_multiple(pub, make, conn):
    queue = make.queue()
    fill(pub, queue, 10)
    channel = conn.channel()
    for _ in range(10):
        get(channel, queue, auto_ack=False)
    channel.basic_ack(2)
    channel.basic_ack(4, multiple=True)
    channel.basic_ack(7)
    channel.close()
    until(lambda: ready(pub, queue) == 5)
    assert drain(pub, queue, 5) == numbers(4, 5, 7, 8, 9)


def test_ack_0_multiple_is_everything(pub, make, conn):
    queue = make.queue()
    fill(pub, queue, 5)
    channel = conn.channel()
    for _ in range(4):
        get(channel, queue, auto_ack=False)
    channel.basic_ack(0, multiple=True)
    channel.close()
    assert drain(pub, queue, 1) == numbers(4) and empty(pub, queue)


def test_ack_multiple_spans_queues_and_consumers(pub, make, conn):
    first, second = make.queue("a"), make.queue("b")
    fill(pub, first, 2)
    fill(pub, second, 2)
    channel = conn.channel()
    for queue in (first, second, first, second):
        get(channel, queue, auto_ack=False)
    channel.basic_ack(3, multiple=True)
    channel.close()
    until(lambda: ready(pub, second) == 1)
    assert drain(pub, second, 1) == numbers(1) and empty(pub, first)


@pytest.mark.parametrize("settle", ["nack", "reject"])
def test_requeue_goes_to_the_original_place(pub, make, settle):
    queue = make.queue()
    fill(pub, queue, 6)
    tags = [get(pub, queue, auto_ack=False)[0].delivery_tag for _ in range(4)]
    for tag in (tags[2], tags[0]):
        getattr(pub, f"basic_{settle}")(tag, requeue=True)
    got = [get(pub, queue) for _ in range(4)]
    assert [body for _, _, body in got] == numbers(0, 2, 4, 5)
    assert [m.redelivered for m, _, _ in got] == [True, True, False, False]


def test_nack_multiple_requeues_in_order(pub, make):
    queue = make.queue()
    fill(pub, queue, 6)
    tags = [get(pub, queue, auto_ack=False)[0].delivery_tag for _ in range(5)]
    pub.basic_nack(tags[2], multiple=True)
    assert drain(pub, queue, 4) == numbers(0, 1, 2, 5)
    pub.basic_nack(0, multiple=True)
    assert drain(pub, queue, 2) == numbers(3, 4)


@pytest.mark.parametrize("settle", [lambda c, t: c.basic_nack(t, requeue=False), lambda c, t: c.basic_reject(t, requeue=False)], ids=["nack", "reject"])
def test_without_requeue_it_is_gone(pub, make, settle):
    queue = make.queue()
    fill(pub, queue, 2)
    settle(pub, get(pub, queue, auto_ack=False)[0].delivery_tag)
    assert drain(pub, queue, 1) == numbers(1) and empty(pub, queue)


def test_recover(pub, make):
    queue = make.queue()
    fill(pub, queue, 3)
    for _ in range(3):
        get(pub, queue, auto_ack=False)
    pub.basic_recover(requeue=True)
    got = [get(pub, queue) for _ in range(3)]
    assert [body for _, _, body in got] == numbers(0, 1, 2) and all(m.redelivered for m, _, _ in got)


def test_recover_async(raw, make, pub):
    from test_frames import get as get_method

    queue = make.queue()
    fill(pub, queue, 1)
    peer = raw()
    peer.channel()
    peer.method(1, *get_method(queue, 0))
    peer.expect(60, 71)
    peer.read_frame(), peer.read_frame()
    peer.method(1, 60, 100, b"\x01")
    assert get(pub, queue)[0].redelivered


def test_closed_channel_requeues_as_redelivered(pub, make, conn):
    queue = make.queue()
    fill(pub, queue, 3)
    channel = conn.channel()
    box = Inbox(conn)
    channel.basic_consume(queue, box)
    box.wait(3)
    channel.basic_ack(box.got[1][0].delivery_tag)
    channel.close()
    until(lambda: ready(pub, queue) == 2)
    got = [get(pub, queue) for _ in range(2)]
    assert [body for _, _, body in got] == numbers(0, 2) and all(m.redelivered for m, _, _ in got)


def test_lost_connection_requeues(pub, make, raw):
    from test_frames import consume

    queue = make.queue()
    fill(pub, queue, 3)
    peer = raw()
    peer.channel()
    peer.method(1, *consume(queue, "tag"))
    peer.expect(60, 21)
    peer.expect(60, 60)
    peer.sock.close()
    until(lambda: ready(pub, queue) == 3)
    assert drain(pub, queue, 3) == numbers(0, 1, 2)


def test_auto_ack_is_settled_when_sent(pub, make, connect):
    queue = make.queue()
    fill(pub, queue, 5)
    connection = connect()
    box = Inbox(connection)
    connection.channel().basic_consume(queue, box, auto_ack=True)
    box.wait(5)
    connection.close()
    assert empty(pub, queue)


def test_cancel_keeps_what_is_not_acknowledged(pub, make, ch, inbox):
    queue = make.queue()
    fill(pub, queue, 2)
    box = inbox(ch, queue, auto_ack=False)
    box.wait(2)
    ch.basic_cancel(box.tag)
    fill(pub, queue, 1, start=2)
    ch.basic_ack(2, multiple=True)
    assert drain(pub, queue, 1) == numbers(2) and empty(pub, queue)


def test_cancel_of_an_unknown_tag_is_ok(raw):
    from wire import shortstr

    peer = raw()
    peer.channel()
    peer.method(1, 60, 30, shortstr("unknown") + b"\x00")
    assert peer.expect(60, 31).shortstr() == "unknown"


def test_prefetch_per_consumer(pub, make, ch, inbox):
    queue = make.queue()
    fill(pub, queue, 10)
    ch.basic_qos(prefetch_count=3)
    first, second = inbox(ch, queue, auto_ack=False), inbox(ch, queue, auto_ack=False)
    pump(ch.connection, lambda: len(first.got) == 3 and len(second.got) == 3)
    first.quiet()
    assert len(second.got) == 3
    ch.basic_ack(first.got[0][0].delivery_tag)
    first.wait(4)
    first.quiet(0.1)
    assert len(first.got) == 4 and len(second.got) == 3


def test_prefetch_per_channel(pub, make, ch, inbox):
    queue = make.queue()
    fill(pub, queue, 10)
    ch.basic_qos(prefetch_count=3, global_qos=True)
    first, second = inbox(ch, queue, auto_ack=False), inbox(ch, queue, auto_ack=False)
    pump(ch.connection, lambda: len(first.got) + len(second.got) == 3)
    first.quiet()
    assert len(first.got) + len(second.got) == 3
    ch.basic_ack(0, multiple=True)
    pump(ch.connection, lambda: len(first.got) + len(second.got) == 6)


def test_prefetch_does_not_hold_back_get_or_auto_ack(pub, make, ch, inbox):
    queue = make.queue()
    fill(pub, queue, 20)
    ch.basic_qos(prefetch_count=1)
    for _ in range(5):
        get(ch, queue, auto_ack=False)
    inbox(ch, queue, auto_ack=True).wait(15)


def test_prefetch_0_is_unlimited(pub, make, ch, inbox):
    queue = make.queue()
    fill(pub, queue, 200)
    ch.basic_qos(prefetch_count=0)
    inbox(ch, queue, auto_ack=False).wait(200)


def test_prefetch_changes_hold_for_new_consumers(pub, make, ch, inbox):
    queue = make.queue()
    fill(pub, queue, 10)
    ch.basic_qos(prefetch_count=1)
    first = inbox(ch, queue, auto_ack=False)
    ch.basic_qos(prefetch_count=4)
    second = inbox(ch, queue, auto_ack=False)
    pump(ch.connection, lambda: len(first.got) == 1 and len(second.got) == 4)
    first.quiet()


def test_fair_round_robin(pub, make, connect):
    queue = make.queue()
    boxes = []
    for _ in range(3):
        connection = connect()
        box = Inbox(connection)
        connection.channel().basic_consume(queue, box, auto_ack=True)
        boxes.append(box)
    fill(pub, queue, 30)
    for box in boxes:
        box.wait(10)
        assert len(box.got) == 10
    assert sorted(body for box in boxes for body in box.bodies) == sorted(numbers(*range(30)))


def test_a_slow_consumer_does_not_hold_back_the_other(pub, make, connect):
    queue = make.queue()
    slow, fast = connect(), connect()
    slow_box, fast_box = Inbox(slow), Inbox(fast)
    for connection, box in ((slow, slow_box), (fast, fast_box)):
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)
        box.channel = channel

    def settle(channel, method, properties, body):
        fast_box(channel, method, properties, body)
        channel.basic_ack(method.delivery_tag)

    slow_box.channel.basic_consume(queue, slow_box)
    fast_box.channel.basic_consume(queue, settle)
    fill(pub, queue, 50)
    fast_box.wait(49)
    slow_box.wait(1)
    slow_box.quiet(0.1)


def test_consumer_priorities(pub, make, ch, inbox):
    queue = make.queue()
    low = inbox(ch, queue, auto_ack=False, arguments={"x-priority": -5})
    channel = ch.connection.channel()
    channel.basic_qos(prefetch_count=2)
    high = inbox(channel, queue, auto_ack=False, arguments={"x-priority": 10})
    plain = ch.connection.channel()
    plain.basic_qos(prefetch_count=1)
    middle = inbox(plain, queue, auto_ack=False)
    fill(pub, queue, 5)
    pump(ch.connection, lambda: len(low.got) + len(middle.got) + len(high.got) == 5)
    assert (high.bodies, middle.bodies, low.bodies) == (numbers(0, 1), numbers(2), numbers(3, 4))
    channel.basic_ack(0, multiple=True)
    fill(pub, queue, 1, start=5)
    high.wait(3)


def test_competing_consumers_get_every_message_once(make, connect):
    queue = make.queue()
    total, bags = 2000, [[] for _ in range(4)]
    connections = [pika.BlockingConnection(parameters()) for _ in bags]
    done = threading.Event()

    def work(connection, bag):
        channel = connection.channel()
        channel.basic_qos(prefetch_count=20)
        for method, _, body in channel.consume(queue, inactivity_timeout=0.05):
            if method:
                bag.append(body)
                channel.basic_ack(method.delivery_tag)
            if done.is_set():
                break
        connection.close()

    threads = [threading.Thread(target=work, args=pair, daemon=True) for pair in zip(connections, bags)]
    for thread in threads:
        thread.start()
    publisher = connect().channel()
    fill(publisher, queue, total)
    until(lambda: sum(map(len, bags)) >= total, 30)
    done.set()
    for thread in threads:
        thread.join(10)
    counts = Counter(body for bag in bags for body in bag)
    assert len(counts) == total and set(counts.values()) == {1}
    assert all(bag == sorted(bag, key=int) for bag in bags)


def test_50000_messages_in_order(make, connect):
    queue = make.queue()
    total = 50_000
    connection = connect()
    publisher, box = connection.channel(), Inbox(connection)
    for i in range(total):
        publisher.basic_publish("", queue, struct.pack(">I", i))
    consumer = connection.channel()
    consumer.basic_consume(queue, box, auto_ack=True)
    box.wait(total, 50)
    assert [struct.unpack(">I", body)[0] for body in box.bodies] == list(range(total))


def test_no_local_is_ignored(raw, make):
    from test_frames import consume

    queue = make.queue()
    peer = raw()
    peer.channel()
    peer.method(1, *consume(queue, "tag", 1 | 2))
    peer.expect(60, 21)
    peer.publish(1, "", queue, b"x")
    peer.expect(60, 60)


def test_cc_and_bcc(pub, make):
    a, b, c, d = (make.queue(s) for s in "abcd")
    headers = {"CC": [b, a], "BCC": [c], "kept": "yes"}
    pub.basic_publish("", a, b"x", Properties(headers=headers))
    for queue in (a, b, c):
        method, properties, _ = get(pub, queue)
        assert method.routing_key == a
        assert properties.headers == {"CC": [b, a], "kept": "yes"}
        assert empty(pub, queue)
    assert empty(pub, d)


def test_cc_through_a_topic_exchange(pub, make):
    x = make.exchange("topic")
    one, two = make.bind(x, "a.*", suffix="one"), make.bind(x, "b.*", suffix="two")
    pub.basic_publish(x, "a.1", b"x", Properties(headers={"CC": ["b.1", "c.1"]}))
    assert get(pub, one)[2] == get(pub, two)[2] == b"x"


def test_cc_makes_a_message_routable(pub, make, name):
    queue = make.queue()
    pub.basic_publish("", f"{name}-nowhere", b"x", Properties(headers={"CC": [queue]}), mandatory=True)
    assert get(pub, queue)[2] == b"x"


def test_direct_reply_to(conn, make, connect):
    queue = make.queue()
    client = conn.channel()
    box = Inbox(conn)
    client.basic_consume(REPLY_TO, box, auto_ack=True)
    client.basic_publish("", queue, b"question", Properties(reply_to=REPLY_TO, correlation_id="1"))
    server = connect().channel()
    _, properties, body = get(server, queue)
    assert body == b"question" and properties.correlation_id == "1"
    assert properties.reply_to.startswith(REPLY_TO + ".") and len(properties.reply_to) > len(REPLY_TO) + 10
    server.queue_declare(properties.reply_to, passive=True)
    server.basic_publish("", properties.reply_to, b"answer", Properties(correlation_id="1"))
    box.wait(1)
    method, reply, body = box.got[0]
    assert (body, reply.correlation_id, method.routing_key, method.exchange) == (b"answer", "1", properties.reply_to, "")
    for i in range(20):
        server.basic_publish("", properties.reply_to, str(i).encode())
    box.wait(21)
    assert box.bodies[1:] == numbers(*range(20))


def test_direct_reply_to_someone_who_left(conn, make, connect):
    queue = make.queue()
    client = connect()
    channel = client.channel()
    channel.basic_consume(REPLY_TO, lambda *_: None, auto_ack=True)
    channel.basic_publish("", queue, b"question", Properties(reply_to=REPLY_TO))
    server = conn.channel()
    reply_to = get(server, queue)[1].reply_to
    client.close()
    server.confirm_delivery()
    with pytest.raises(pika.exceptions.UnroutableError):
        server.basic_publish("", reply_to, b"answer", mandatory=True)
    server.basic_publish("", reply_to, b"answer")
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as error:
        server.queue_declare(reply_to, passive=True)
    assert error.value.reply_code == 404


def test_reply_names_differ_by_channel(conn, make):
    queue = make.queue()
    channels = [conn.channel() for _ in range(2)]
    boxes = [Inbox(conn) for _ in channels]
    for channel, box in zip(channels, boxes):
        channel.basic_consume(REPLY_TO, box, auto_ack=True)
        channel.basic_publish("", queue, b"q", Properties(reply_to=REPLY_TO))
    server = conn.channel()
    names = [get(server, queue)[1].reply_to for _ in channels]
    assert len(set(names)) == 2
    for i, reply_to in enumerate(names):
        server.basic_publish("", reply_to, str(i).encode())
    pump(conn, lambda: all(box.got for box in boxes))
    assert [box.bodies for box in boxes] == [numbers(0), numbers(1)]


def test_many_channels_at_once(connect, make):
    queue = make.queue()
    connection = connect()
    channels = [connection.channel() for _ in range(100)]
    for i, channel in enumerate(channels):
        channel.basic_publish("", queue, str(i).encode())
    assert sorted(drain(channels[0], queue, 100)) == sorted(numbers(*range(100)))


def test_publish_and_close_at_once_loses_nothing(connect, make, ch):
    queue = make.queue()
    for i in range(10):
        connection = connect()
        connection.channel().basic_publish("", queue, str(i).encode())
        connection.close()
    assert drain(ch, queue, 10) == numbers(*range(10))


def test_get_is_quick(pub, make):
    queue = make.queue()
    start = time.monotonic()
    for _ in range(200):
        assert empty(pub, queue)
    assert time.monotonic() - start < 10
