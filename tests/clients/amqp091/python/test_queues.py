"""Queues: names, lives, limits, expiry, priorities."""

import re
import time

import pika
import pytest
from conftest import Inbox, drain, empty, get, parameters, pump, ready, until
from pika import BasicProperties as Properties


@pytest.fixture
def pub(conn):
    channel = conn.channel()
    channel.confirm_delivery()
    return channel


def missing(connection, queue):
    try:
        connection.channel().queue_declare(queue, passive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        assert error.reply_code == 404
        return True
    return False


def test_server_named(ch):
    names = {ch.queue_declare("", exclusive=True).method.queue for _ in range(10)}
    assert len(names) == 10
    assert all(re.fullmatch(r"amq\.gen-[\w-]{22}", n) for n in names)


def test_the_empty_name_means_the_last_declared(ch):
    queue = ch.queue_declare("", exclusive=True).method.queue
    ch.queue_bind("", "amq.fanout")
    ch.queue_unbind("", "amq.fanout")
    ch.basic_publish("", queue, b"x")
    assert get(ch, "")[2] == b"x"
    assert ch.queue_purge("").method.message_count == 0
    ch.queue_delete("")


def test_declare_ok_counts_messages_and_consumers(pub, make, inbox, ch):
    queue = make.queue()
    for _ in range(3):
        pub.basic_publish("", queue, b"x")
    method = pub.queue_declare(queue, passive=True).method
    assert (method.queue, method.message_count, method.consumer_count) == (queue, 3, 0)
    ch.basic_qos(prefetch_count=1)
    box = inbox(ch, queue, auto_ack=False)
    box.wait(1)
    method = pub.queue_declare(queue).method
    assert (method.message_count, method.consumer_count) == (2, 1)


def test_long_names(ch):
    queue = "ü" * 127 + "x"
    assert ch.queue_declare(queue, exclusive=True).method.queue == queue
    ch.basic_publish("", queue, b"x")
    assert get(ch, queue)[0].routing_key == queue


def test_purge_counts_ready_messages(pub, make):
    queue = make.queue()
    for _ in range(5):
        pub.basic_publish("", queue, b"x")
    get(pub, queue, auto_ack=False)
    assert pub.queue_purge(queue).method.message_count == 4
    pub.basic_nack(1)
    assert get(pub, queue)[0].redelivered


def test_delete_counts_messages(pub, make):
    queue = make.queue()
    for _ in range(5):
        pub.basic_publish("", queue, b"x")
    assert pub.queue_delete(queue).method.message_count == 5


def test_exclusive_queue_goes_with_its_connection(connect, conn, name):
    owner = connect()
    owner.channel().queue_declare(name, exclusive=True)
    owner.close()
    until(lambda: missing(conn, name), what="the queue is gone")


def test_exclusive_queue_stays_when_its_channel_closes(connect, name):
    connection = connect()
    channel = connection.channel()
    channel.queue_declare(name, exclusive=True)
    channel.close()
    assert not missing(connection, name)


def test_exclusive_queue_takes_publishes_of_others(connect, ch, name):
    owner = connect().channel()
    owner.queue_declare(name, exclusive=True)
    ch.basic_publish("", name, b"x")
    assert get(owner, name)[2] == b"x"


def test_auto_delete_queue(conn, ch, name):
    ch.queue_declare(name, auto_delete=True)
    assert not missing(conn, name)
    tags = [ch.basic_consume(name, lambda *_: None) for _ in range(2)]
    ch.basic_cancel(tags[0])
    assert not missing(conn, name)
    ch.basic_cancel(tags[1])
    until(lambda: missing(conn, name))


def test_auto_delete_queue_goes_with_the_consumers_connection(connect, conn, ch, name):
    ch.queue_declare(name, auto_delete=True)
    other = connect()
    other.channel().basic_consume(name, lambda *_: None)
    other.close()
    until(lambda: missing(conn, name))


def test_auto_delete_queue_without_a_consumer_stays(connect, conn, name):
    other = connect()
    other.channel().queue_declare(name, auto_delete=True)
    other.close()
    assert not missing(conn, name)
    conn.channel().queue_delete(name)


def test_passive_declare_does_not_make_it(conn, name):
    assert missing(conn, name)
    assert missing(conn, name)


def test_expires_when_unused(conn, make):
    queue = make.queue(expires=400)
    assert not missing(conn, queue)
    start = time.monotonic()
    time.sleep(0.8)
    until(lambda: missing(conn, queue))
    assert time.monotonic() - start < 5


def test_expiry_waits_for_consumers_and_starts_anew_on_use(conn, make, ch):
    queue = make.queue(expires=500)
    tag = ch.basic_consume(queue, lambda *_: None)
    time.sleep(0.8)
    assert not missing(conn, queue)
    ch.basic_cancel(tag)
    for _ in range(3):
        time.sleep(0.3)
        ch.basic_get(queue)
    assert not missing(conn, queue)
    time.sleep(0.7)
    until(lambda: missing(conn, queue))


def test_queue_ttl(pub, make):
    queue = make.queue(message_ttl=200)
    pub.basic_publish("", queue, b"x")
    assert ready(pub, queue) == 1
    until(lambda: ready(pub, queue) == 0, 3)


def test_message_ttl(pub, make):
    queue = make.queue()
    pub.basic_publish("", queue, b"short", Properties(expiration="150"))
    pub.basic_publish("", queue, b"long", Properties(expiration="60000"))
    time.sleep(0.3)
    assert get(pub, queue)[2] == b"long"


def test_the_smaller_ttl_counts(pub, make):
    queue = make.queue(message_ttl=200)
    pub.basic_publish("", queue, b"x", Properties(expiration="60000"))
    until(lambda: ready(pub, queue) == 0, 3)


def test_expired_only_at_the_head(pub, make):
    queue = make.queue()
    pub.basic_publish("", queue, b"first")
    pub.basic_publish("", queue, b"second", Properties(expiration="50"))
    time.sleep(0.2)
    assert get(pub, queue)[2] == b"first"
    assert empty(pub, queue)


def test_ttl_0_reaches_only_a_waiting_consumer(pub, make, ch, inbox):
    queue = make.queue()
    pub.basic_publish("", queue, b"nobody", Properties(expiration="0"))
    assert empty(pub, queue)
    box = inbox(ch, queue)
    pub.basic_publish("", queue, b"somebody", Properties(expiration="0"))
    box.wait(1)
    assert box.bodies == [b"somebody"]


def test_expiration_is_shown_as_published(pub, make):
    queue = make.queue()
    pub.basic_publish("", queue, b"x", Properties(expiration="60000"))
    assert get(pub, queue)[1].expiration == "60000"


def test_what_is_not_acknowledged_does_not_expire(pub, make):
    queue = make.queue(message_ttl=150)
    pub.basic_publish("", queue, b"x")
    method, _, _ = get(pub, queue, auto_ack=False)
    time.sleep(0.3)
    pub.basic_ack(method.delivery_tag)
    assert ready(pub, queue) == 0


@pytest.mark.parametrize("limit, kept", [(0, []), (1, [4]), (3, [2, 3, 4])])
def test_max_length_drops_the_oldest(pub, make, limit, kept):
    queue = make.queue(max_length=limit)
    for i in range(5):
        pub.basic_publish("", queue, str(i).encode())
    assert ready(pub, queue) == len(kept)
    assert drain(pub, queue, len(kept)) == [str(i).encode() for i in kept]


def test_max_length_bytes(pub, make):
    queue = make.queue(max_length_bytes=10)
    for i in range(5):
        pub.basic_publish("", queue, b"abc%d" % i)
    assert drain(pub, queue, ready(pub, queue)) == [b"abc3", b"abc4"]
    pub.basic_publish("", queue, b"longer than ten")
    assert empty(pub, queue)


def test_max_length_counts_ready_messages_only(pub, make):
    queue = make.queue(max_length=2)
    for i in range(2):
        pub.basic_publish("", queue, str(i).encode())
    held = [get(pub, queue, auto_ack=False) for _ in range(2)]
    for i in range(2, 4):
        pub.basic_publish("", queue, str(i).encode())
    assert ready(pub, queue) == 2
    assert [body for _, _, body in held] == [b"0", b"1"]
    assert drain(pub, queue, 2) == [b"2", b"3"]


def test_reject_publish_nacks(pub, make):
    queue = make.queue(max_length=2, overflow="reject-publish")
    for i in range(2):
        pub.basic_publish("", queue, str(i).encode())
    for _ in range(2):
        with pytest.raises(pika.exceptions.NackError):
            pub.basic_publish("", queue, b"too many")
    assert drain(pub, queue, 2) == [b"0", b"1"]
    pub.basic_publish("", queue, b"room again")
    assert get(pub, queue)[2] == b"room again"


def test_reject_publish_by_bytes(pub, make):
    queue = make.queue(max_length_bytes=4, overflow="reject-publish")
    pub.basic_publish("", queue, b"abcd")
    with pytest.raises(pika.exceptions.NackError):
        pub.basic_publish("", queue, b"e")
    assert drain(pub, queue, 1) == [b"abcd"]


def test_reject_publish_nacks_if_any_queue_refuses(pub, make):
    x = make.exchange("fanout")
    full = make.queue("full", max_length=1, overflow="reject-publish")
    make.bind(x, queue=full)
    roomy = make.bind(x, suffix="roomy")
    pub.basic_publish(x, "", b"1")
    with pytest.raises(pika.exceptions.NackError):
        pub.basic_publish(x, "", b"2")
    assert drain(pub, roomy, 2) == [b"1", b"2"] and drain(pub, full, 1) == [b"1"]


def test_without_confirms_a_refused_publish_is_dropped(ch, make):
    queue = make.queue(max_length=1, overflow="reject-publish")
    for i in range(3):
        ch.basic_publish("", queue, str(i).encode())
    assert drain(ch, queue, 1) == [b"0"] and empty(ch, queue)


def test_priorities(pub, make):
    queue = make.queue(max_priority=3)
    for i, priority in enumerate([0, 2, None, 9, 3, 1, 2]):
        pub.basic_publish("", queue, str(i).encode(), Properties(priority=priority))
    got = [get(pub, queue) for _ in range(7)]
    assert [body for _, _, body in got] == [b"3", b"4", b"1", b"6", b"5", b"0", b"2"]
    assert [p.priority for _, p, _ in got] == [9, 3, 2, 2, 1, 0, None]


def test_priority_without_the_argument_means_nothing(pub, make):
    queue = make.queue()
    for priority in (1, 9, 5):
        pub.basic_publish("", queue, str(priority).encode(), Properties(priority=priority))
    assert drain(pub, queue, 3) == [b"1", b"9", b"5"]


def test_priorities_to_consumers_and_requeue(pub, make, ch, inbox):
    queue = make.queue(max_priority=5)
    for i in range(10):
        pub.basic_publish("", queue, str(i).encode(), Properties(priority=i % 5))
    ch.basic_qos(prefetch_count=1)
    box = inbox(ch, queue, auto_ack=False)
    box.wait(1)
    ch.basic_nack(box.got[0][0].delivery_tag)
    for n in range(2, 12):
        box.wait(n)
        ch.basic_ack(box.got[-1][0].delivery_tag)
    assert box.bodies == [b"4", b"4", b"9", b"3", b"8", b"2", b"7", b"1", b"6", b"0", b"5"]


def test_drop_head_of_a_priority_queue_drops_what_would_be_next(pub, make):
    queue = make.queue(max_priority=2, max_length=2)
    for body, priority in [(b"low", 0), (b"high", 2), (b"mid", 1)]:
        pub.basic_publish("", queue, body, Properties(priority=priority))
    assert drain(pub, queue, 2) == [b"mid", b"low"] and empty(pub, queue)


def test_lazy_queue_works_as_any(pub, make):
    queue = make.queue(queue_mode="lazy")
    for i in range(100):
        pub.basic_publish("", queue, str(i).encode())
    assert drain(pub, queue, 100) == [str(i).encode() for i in range(100)]


def test_cancel_is_told_when_the_queue_is_deleted(conn, ch, make, connect, inbox):
    queue = make.queue()
    box = inbox(ch, queue)
    connect().channel().queue_delete(queue)
    pump(conn, lambda: box.cancelled)
    assert box.cancelled == [box.tag] and ch.is_open


def test_queue_deleted_by_the_channel_that_consumes_it(raw, name):
    from test_frames import consume, queue_declare
    from wire import shortstr

    peer = raw()
    peer.channel()
    peer.method(1, *queue_declare(name))
    peer.expect(50, 11)
    peer.method(1, *consume(name, "tag"))
    peer.expect(60, 21)
    peer.method(1, 50, 40, b"\x00\x00" + shortstr(name) + b"\x00")
    seen = {peer.read_method()[1:3] for _ in range(2)}
    assert seen == {(50, 41), (60, 30)}


def test_no_cancel_to_a_client_that_does_not_know_it(raw, name, ch):
    from test_frames import consume, queue_declare

    peer = raw(open=False)
    peer.open()
    peer.channel()
    peer.method(1, *queue_declare(name))
    peer.expect(50, 11)
    peer.method(1, *consume(name, "tag"))
    peer.expect(60, 21)
    ch.queue_delete(name)
    peer.method(1, *queue_declare(name, 8))
    peer.expect(50, 11)
    ch.queue_delete(name)


def test_deleting_a_queue_drops_what_is_not_acknowledged(pub, make, conn):
    queue = make.queue()
    pub.basic_publish("", queue, b"x")
    method, _, _ = get(pub, queue, auto_ack=False)
    conn.channel().queue_delete(queue)
    make.queue()
    pub.basic_ack(method.delivery_tag)
    assert empty(pub, queue) and pub.is_open


def test_many_queues(connect, name):
    channel = connect().channel()
    queues = [channel.queue_declare(f"{name}-{i}", exclusive=True).method.queue for i in range(300)]
    for queue in queues:
        channel.basic_publish("", queue, queue.encode())
    for queue in queues:
        assert get(channel, queue)[2] == queue.encode()


def test_fanout_to_many_queues(pub, make, connect):
    x = make.exchange("fanout")
    channel = connect().channel()
    queues = [channel.queue_declare("", exclusive=True).method.queue for _ in range(100)]
    for queue in queues:
        channel.queue_bind(queue, x)
    for i in range(5):
        pub.basic_publish(x, "", str(i).encode() * 1000)
    for queue in queues:
        assert drain(channel, queue, 5) == [str(i).encode() * 1000 for i in range(5)]


def test_single_active_consumer(pub, make, connect):
    queue = make.queue(single_active_consumer=True)
    connections = [connect() for _ in range(3)]
    boxes = []
    for connection in connections:
        channel = connection.channel()
        box = Inbox(connection)
        box.tag = channel.basic_consume(queue, box)
        box.channel = channel
        boxes.append(box)
    for i in range(10):
        pub.basic_publish("", queue, str(i).encode())
    boxes[0].wait(10)
    for message in boxes[0].got:
        boxes[0].channel.basic_ack(message[0].delivery_tag)
    boxes[1].quiet()
    boxes[2].quiet(0.05)
    boxes[0].channel.basic_cancel(boxes[0].tag)
    pub.basic_publish("", queue, b"second")
    boxes[1].wait(1)
    connections[1].close()
    boxes[2].wait(1)
    assert boxes[2].bodies == [b"second"] and boxes[2].got[0][0].redelivered
    boxes[0].quiet(0.05)


def test_single_active_consumer_is_followed_by_the_highest_priority(pub, make, connect):
    queue = make.queue(single_active_consumer=True)
    first, low, high = (Inbox(connect()) for _ in range(3))
    for box, priority in ((first, 0), (low, 1), (high, 5)):
        box.connection.channel().basic_consume(queue, box, arguments={"x-priority": priority})
    pub.basic_publish("", queue, b"1")
    first.wait(1)
    first.connection.close()
    high.wait(1)
    assert high.bodies == [b"1"]
    pub.basic_publish("", queue, b"2")
    high.wait(2)
    low.quiet(0.05)


@pytest.mark.not_on_rabbit("it looks every minute only, from a timeout of a minute on")
@pytest.mark.parametrize("by", ["queue", "consumer"])
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_consumer_that_does_not_acknowledge_in_time(pub, make, connect, by, kind):
    of_queue = {"consumer_timeout": 300} if by == "queue" else {}
    queue = make.queue(durable=True, queue_type=kind, **of_queue)
    pub.basic_publish("", queue, b"x")
    box, closed = Inbox(connect()), []
    channel = box.connection.channel()
    channel._impl.add_on_close_callback(lambda _, reason: closed.append(reason))
    channel.basic_consume(queue, box, arguments={"x-consumer-timeout": 300} if by == "consumer" else None)
    box.wait(1)
    pump(box.connection, lambda: closed)
    assert (closed[0].reply_code, closed[0].reply_text) == (
        406,
        f"PRECONDITION_FAILED - delivery acknowledgement on channel {channel.channel_number} timed out. Timeout value used: 300 ms. "
        "This timeout value can be configured, see consumers doc guide to learn more",
    )
    method, _, body = get(pub, queue)
    assert body == b"x" and method.redelivered


def test_a_consumer_that_acknowledges_in_time_may_go_on(pub, make, connect):
    queue = make.queue(consumer_timeout=400)
    box = Inbox(connect())
    channel = box.connection.channel()
    channel.basic_consume(queue, box)
    for i in range(5):
        pub.basic_publish("", queue, b"x")
        box.wait(i + 1)
        box.quiet(0.15)
        channel.basic_ack(i + 1)
    box.connection.process_data_events(time_limit=0.5)
    assert channel.is_open


def test_single_active_consumer_refuses_exclusive_consumers(conn, make):
    queue = make.queue(single_active_consumer=True)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as error:
        conn.channel().basic_consume(queue, lambda *_: None, exclusive=True)
    assert (error.value.reply_code, error.value.reply_text) == (403, f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use")


def test_blocked_is_advertised_to_pika():
    with pika.BlockingConnection(parameters()) as connection:
        assert connection.basic_nack_supported and connection.consumer_cancel_notify_supported
        assert connection.exchange_exchange_bindings_supported and connection.publisher_confirms_supported
