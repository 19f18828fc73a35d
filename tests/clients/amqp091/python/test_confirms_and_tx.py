"""Publisher confirms, mandatory returns and transactions."""

import struct

import pika
import pytest
from conftest import DEADLINE_S, drain, empty, get, ready, until
from pika import BasicProperties as Properties
from test_frames import publish, queue_declare

ACK, RETURN = (60, 80), (60, 50)


@pytest.fixture
def confirming(raw):
    """A raw channel in confirm mode."""
    peer = raw()
    peer.channel()
    peer.method(1, 85, 10, b"\x00")
    peer.expect(85, 11)

    return peer


def confirmed(events, count):
    """Expands `multiple`: {tag: 'ack' or 'nack'}."""
    outcome = {}
    for event in events:
        if event[0] == "return":
            continue
        kind, tag, multiple = event
        for t in range(1, tag + 1) if multiple else [tag]:
            if multiple and t in outcome:
                continue
            assert t not in outcome, events
            outcome[t] = kind
    assert sorted(outcome) == list(range(1, count + 1))
    return outcome


def read_until_all(peer, count):
    seen = []
    outcome = set()
    while len(outcome) < count:
        (event,) = one_event(peer)
        seen.append(event)
        if event[0] != "return":
            outcome |= set(range(1, event[1] + 1)) if event[2] else {event[1]}
    return seen


def one_event(peer):
    while True:
        kind, _, payload = peer.read_frame()
        if kind != 1:
            continue
        method = struct.unpack(">HH", payload[:4])
        if method == RETURN:
            return [("return",)]
        tag, flags = struct.unpack(">QB", payload[4:13])
        return [("ack" if method == ACK else "nack", tag, bool(flags & 1))]


@pytest.mark.parametrize("mode", [1, 2])
@pytest.mark.parametrize("kind", ["transient", "durable", "quorum"])
def test_every_publish_is_confirmed_once(confirming, make, mode, kind):
    queue = make.quorum() if kind == "quorum" else make.queue(durable=kind == "durable")
    for i in range(200):
        confirming.publish(1, "", queue, str(i).encode(), b"\x10\x00" + bytes([mode]))
    assert set(confirmed(read_until_all(confirming, 200), 200).values()) == {"ack"}
    assert drain(make.channel, queue, 200) == [str(i).encode() for i in range(200)]


def test_confirmed_means_routed(confirming, make):
    queue = make.queue(durable=True)
    for i in range(20):
        confirming.publish(1, "", queue, b"x", b"\x10\x00\x02")
        read_until_all_of_one(confirming, i + 1)
        assert ready(make.channel, queue) == i + 1


def read_until_all_of_one(peer, tag):
    (event,) = one_event(peer)
    assert event[:2] == ("ack", tag)


def test_return_comes_before_its_confirm(confirming, name):
    confirming.publish(1, "", name, b"lost", mandatory=True)
    assert [event[:2] for event in read_until_all(confirming, 1)] == [("return",), ("ack", 1)]


def test_unroutable_without_mandatory_is_confirmed(confirming, name):
    confirming.publish(1, "", name, b"lost")
    assert confirmed(read_until_all(confirming, 1), 1) == {1: "ack"}


def test_confirms_amid_returns(confirming, make, name):
    queue = make.queue(durable=True)
    for i in range(30):
        confirming.publish(1, "", queue if i % 3 else name, b"x", b"\x10\x00\x02", mandatory=True)
    events = read_until_all(confirming, 30)
    assert sum(event == ("return",) for event in events) == 10
    assert set(confirmed(events, 30).values()) == {"ack"}


def test_the_return_carries_everything(raw, name):
    from wire import read_properties

    peer = raw()
    peer.channel()
    peer.publish(1, "amq.direct", name, b"body", b"\x80\x00" + b"\x04text", mandatory=True)
    args = peer.expect(*RETURN)
    assert (args.take("H"), args.shortstr(), args.shortstr(), args.shortstr()) == (312, "NO_ROUTE", "amq.direct", name)
    _, _, size, _, properties = read_properties(peer.read_frame()[2])
    assert (size, properties) == (4, {"content_type": "text"})
    assert peer.read_frame()[2] == b"body"


def test_nacks_of_a_full_queue(confirming, make):
    queue = make.queue(max_length=1, overflow="reject-publish")
    for _ in range(4):
        confirming.publish(1, "", queue, b"x")
    assert confirmed(read_until_all(confirming, 4), 4) == {1: "ack", 2: "nack", 3: "nack", 4: "nack"}


def test_tags_count_from_select(raw, make):
    queue = make.queue()
    peer = raw()
    peer.channel()
    peer.publish(1, "", queue, b"before")
    peer.method(1, 85, 10, b"\x00")
    peer.expect(85, 11)
    peer.method(1, 85, 10, b"\x00")
    peer.expect(85, 11)
    peer.publish(1, "", queue, b"after")
    read_until_all_of_one(peer, 1)


def test_publish_to_a_missing_exchange_is_not_confirmed(confirming, name):
    confirming.publish(1, name, "k", b"x")
    assert confirming.expect_close() == (404, f"NOT_FOUND - no exchange '{name}' in vhost '/'", 60, 40)


def test_mandatory_as_pika_sees_it(conn, name):
    channel = conn.channel()
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.UnroutableError) as error:
        channel.basic_publish("", name, b"x", Properties(message_id="m"), mandatory=True)
    returned = error.value.messages[0]
    assert (returned.method.reply_code, returned.method.reply_text, returned.method.routing_key) == (312, "NO_ROUTE", name)
    assert (returned.properties.message_id, returned.body) == ("m", b"x")


def test_deliveries_and_confirms_on_one_channel(raw, make):
    from test_frames import consume

    queue = make.queue()
    peer = raw()
    peer.channel()
    peer.method(1, 85, 10, b"\x00")
    peer.expect(85, 11)
    peer.method(1, *consume(queue, "tag", 2))
    peer.expect(60, 21)
    for _ in range(50):
        peer.publish(1, "", queue, b"x")
    seen = {"deliver": 0, "acked": set()}
    while seen["deliver"] < 50 or len(seen["acked"]) < 50:
        kind, _, payload = peer.read_frame()
        if kind != 1:
            continue
        method = struct.unpack(">HH", payload[:4])
        if method == (60, 60):
            seen["deliver"] += 1
        else:
            assert method == ACK
            tag, flags = struct.unpack(">QB", payload[4:13])
            seen["acked"] |= set(range(1, tag + 1)) if flags & 1 else {tag}


def test_tx_publishes_at_commit(conn, make):
    queue = make.queue()
    channel, other = conn.channel(), conn.channel()
    channel.tx_select()
    channel.basic_publish("", queue, b"1")
    channel.basic_publish("", queue, b"2")
    channel.queue_declare(queue, passive=True)
    assert empty(other, queue)
    channel.tx_commit()
    assert drain(other, queue, 2) == [b"1", b"2"]


def test_tx_rollback_of_publishes(conn, make):
    queue = make.queue()
    channel, other = conn.channel(), conn.channel()
    channel.tx_select()
    channel.basic_publish("", queue, b"undone")
    channel.tx_rollback()
    channel.basic_publish("", queue, b"done")
    channel.tx_commit()
    assert drain(other, queue, 1) == [b"done"] and empty(other, queue)


def test_tx_acknowledges_at_commit(conn, make):
    queue = make.queue()
    channel = conn.channel()
    channel.basic_publish("", queue, b"x")
    channel.tx_select()
    method, _, _ = get(channel, queue, auto_ack=False)
    channel.basic_ack(method.delivery_tag)
    channel.tx_rollback()
    channel.basic_ack(method.delivery_tag)
    channel.tx_commit()
    channel.close()
    assert empty(conn.channel(), queue)


def test_tx_acks_are_undone_when_the_channel_closes(conn, make):
    queue = make.queue()
    channel, other = conn.channel(), conn.channel()
    channel.basic_publish("", queue, b"x")
    channel.tx_select()
    method, _, _ = get(channel, queue, auto_ack=False)
    channel.basic_ack(method.delivery_tag)
    channel.close()
    assert get(other, queue)[0].redelivered


def test_tx_nack_with_requeue_at_commit(conn, make):
    queue = make.queue()
    channel, other = conn.channel(), conn.channel()
    channel.basic_publish("", queue, b"x")
    channel.tx_select()
    method, _, _ = get(channel, queue, auto_ack=False)
    channel.basic_nack(method.delivery_tag)
    channel.queue_declare(queue, passive=True)
    assert empty(other, queue)
    channel.tx_commit()
    assert get(other, queue)[0].redelivered


def test_tx_closes_undone(conn, make):
    queue = make.queue()
    channel = conn.channel()
    channel.tx_select()
    channel.basic_publish("", queue, b"undone")
    channel.close()
    assert empty(conn.channel(), queue)


def test_tx_returns_come_before_commit_ok(raw, name):
    peer = raw()
    peer.channel()
    peer.method(1, 90, 10)
    peer.expect(90, 11)
    peer.publish(1, "", name, b"x", mandatory=True)
    peer.method(1, 90, 20)
    peer.expect(*RETURN)
    assert [peer.read_frame()[0] for _ in range(2)] == [2, 3]
    peer.expect(90, 21)


def test_tx_publish_to_a_missing_exchange_closes_the_channel(raw, name):
    peer = raw()
    peer.channel()
    peer.method(1, 90, 10)
    peer.expect(90, 11)
    peer.method(1, *publish(name, "k"))
    peer.content(1, 60, 0)
    assert peer.expect_close()[0] == 404


def test_a_pipeline_of_everything_is_answered_in_order(raw, name):
    peer = raw()
    peer.channel()
    peer.method(1, *queue_declare(name, 4))
    for i in range(20):
        peer.publish(1, "", name, str(i).encode())
    peer.method(1, *queue_declare(name, 1))
    peer.expect(50, 11)
    args = peer.expect(50, 11)
    args.shortstr()
    count = args.take("I")
    assert count <= 20
    until(lambda: _count(peer, name) == 20, DEADLINE_S)


def _count(peer, queue):
    peer.method(1, *queue_declare(queue, 1))
    args = peer.expect(50, 11)
    args.shortstr()
    return args.take("I")
