"""Exchanges of every type, and what binds them."""

import time
from collections import Counter

import pika
import pytest
from conftest import drain, empty, get, ready, until
from pika import BasicProperties as Properties


def routed(channel, exchange, queues, key="", headers=None):
    """Publishes one message and tells in which of the queues it arrived."""
    channel.basic_publish(exchange, key, b"m", Properties(headers=headers), mandatory=False)
    return {label for label, queue in queues.items() if not empty(channel, queue)}


@pytest.fixture
def pub(conn):
    """A channel whose publishes are in their queues when it returns."""
    channel = conn.channel()
    channel.confirm_delivery()
    return channel


@pytest.mark.parametrize("exchange, kind", [("amq.direct", "direct"), ("amq.fanout", "fanout"), ("amq.topic", "topic"), ("amq.headers", "headers"), ("amq.match", "headers")])
def test_predeclared(ch, exchange, kind):
    ch.exchange_declare(exchange, kind, durable=True)
    ch.exchange_declare(exchange, kind, passive=True)


def test_default_exchange_routes_by_queue_name(pub, make):
    queue, other = make.queue("a"), make.queue("b")
    pub.basic_publish("", queue, b"x")
    method, _, body = get(pub, queue)
    assert (body, method.exchange, method.routing_key) == (b"x", "", queue)
    assert empty(pub, other)


def test_direct(pub, make):
    x = make.exchange("direct")
    queues = {k: make.bind(x, k, suffix=k) for k in "ab"}
    queues["both"] = make.bind(x, "a", suffix="both")
    make.bind(x, "b", queue=queues["both"])
    assert routed(pub, x, queues, "a") == {"a", "both"}
    assert routed(pub, x, queues, "b") == {"b", "both"}
    assert routed(pub, x, queues, "c") == set()
    assert routed(pub, x, queues, "A") == set()


def test_bound_twice_gets_one_copy(pub, make):
    x = make.exchange("fanout")
    queue = make.bind(x, "1")
    make.bind(x, "2", queue=queue)
    make.bind(x, "2", queue=queue)
    pub.basic_publish(x, "k", b"x")
    assert get(pub, queue)[2] == b"x" and empty(pub, queue)


def test_unbind(pub, make):
    x = make.exchange("direct")
    queue = make.bind(x, "k", arguments={"a": 1})
    pub.queue_unbind(queue, x, "k")
    assert routed(pub, x, {"q": queue}, "k") == {"q"}
    pub.queue_unbind(queue, x, "k", {"a": 1})
    assert routed(pub, x, {"q": queue}, "k") == set()


def test_fanout(pub, make):
    x = make.exchange("fanout")
    queues = {i: make.bind(x, f"ignored-{i}", suffix=str(i)) for i in range(4)}
    assert routed(pub, x, queues, "anything") == set(queues)


TOPIC = {
    "#": {"", "a", "a.b", "a.b.c", "b.a", "a.x.b", ".", "a..b", "a.b.b"},
    "*": {"a"} | {""},
    "a.#": {"a", "a.b", "a.b.c", "a.x.b", "a..b", "a.b.b"},
    "a.*": {"a.b"},
    "*.b": {"a.b"},
    "#.b": {"a.b", "a.x.b", "a..b", "a.b.b"},
    "a.#.b": {"a.b", "a.x.b", "a..b", "a.b.b"},
    "a.*.b": {"a.x.b", "a..b", "a.b.b"},
    "*.*": {"a.b", "b.a", "."},
    "#.#": {"", "a", "a.b", "a.b.c", "b.a", "a.x.b", ".", "a..b", "a.b.b"},
    "*.#": {"", "a", "a.b", "a.b.c", "b.a", "a.x.b", ".", "a..b", "a.b.b"},
    "a.b": {"a.b"},
    "a*": set(),
    "": {""},
}


def test_topic(pub, make, product):
    x = make.exchange("topic")
    queues = {pattern: make.bind(x, pattern) for pattern in TOPIC}
    keys = sorted(set().union(*TOPIC.values()) - {""})
    for key in keys:
        expected = {pattern for pattern, matches in TOPIC.items() if key in matches}
        assert routed(pub, x, queues, key) == expected, key


def test_topic_empty_key(pub, make):
    x = make.exchange("topic")
    queues = {pattern: make.bind(x, pattern) for pattern in ("#", "", "*", "a")}
    assert routed(pub, x, queues, "") == {"#", ""}


HEADERS = [
    ("all", {"a": 1, "b": "x"}, {"a": 1, "b": "x"}, True),
    ("all", {"a": 1, "b": "x"}, {"a": 1, "b": "x", "c": 3}, True),
    ("all", {"a": 1, "b": "x"}, {"a": 1}, False),
    ("all", {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, False),
    ("any", {"a": 1, "b": "x"}, {"a": 1}, True),
    ("any", {"a": 1, "b": "x"}, {"b": "x", "a": 2}, True),
    ("any", {"a": 1, "b": "x"}, {"a": 2, "b": "y"}, False),
    ("any", {"a": 1, "b": "x"}, {}, False),
    ("all", {}, {"z": 1}, True),
    ("any", {}, {"z": 1}, False),
    ("all", {"a": 1, "x-a": 5}, {"a": 1}, True),
    ("all", {"a": 1, "x-a": 5}, {"a": 1, "x-a": 6}, True),
    ("any", {"a": 1, "x-a": 5}, {"x-a": 5}, False),
    ("all-with-x", {"a": 1, "x-a": 5}, {"a": 1}, False),
    ("all-with-x", {"a": 1, "x-a": 5}, {"a": 1, "x-a": 5}, True),
    ("any-with-x", {"a": 1, "x-a": 5}, {"x-a": 5}, True),
    ("any-with-x", {"a": 1, "x-a": 5}, {"x-a": 6}, False),
    (None, {"a": 1, "b": 2}, {"a": 1}, False),
    (None, {"a": 1, "b": 2}, {"a": 1, "b": 2}, True),
]


@pytest.mark.parametrize("x_match, binding, headers, matches", HEADERS)
def test_headers(pub, make, x_match, binding, headers, matches):
    x = make.exchange("headers")
    queue = make.bind(x, "", arguments=binding | ({"x-match": x_match} if x_match else {}))
    assert routed(pub, x, {"q": queue}, "any key", headers or None) == ({"q"} if matches else set())


def test_headers_void_matches_any_value(pub, make):
    x = make.exchange("headers")
    queues = {"q": make.bind(x, "", arguments={"a": None, "x-match": "all"})}
    assert routed(pub, x, queues, "", {"a": 5}) == {"q"}
    assert routed(pub, x, queues, "", {"a": "text"}) == {"q"}
    assert routed(pub, x, queues, "", {"b": 5}) == set()


def test_headers_tell_types_apart(pub, make):
    x = make.exchange("headers")
    queues = {"text": make.bind(x, "", arguments={"a": "1"}), "int": make.bind(x, "1", arguments={"a": 1}), "bool": make.bind(x, "2", arguments={"a": True})}
    assert routed(pub, x, queues, "", {"a": "1"}) == {"text"}
    assert routed(pub, x, queues, "", {"a": 1}) == {"int"}
    assert routed(pub, x, queues, "", {"a": True}) == {"bool"}


def test_consistent_hash_spreads_and_keeps_keys_together(pub, make):
    x = make.exchange("x-consistent-hash")
    queues = [make.bind(x, weight, suffix=str(i)) for i, weight in enumerate("112")]
    for i in range(1200):
        pub.basic_publish(x, f"key-{i % 300}", f"{i % 300}".encode())
    assert sum(ready(pub, q) for q in queues) == 1200
    home = {}
    counts = []
    for q in queues:
        bodies = drain(pub, q, ready(pub, q))
        counts.append(len(bodies))
        for key, times in Counter(bodies).items():
            assert times == 4 and key not in home
            home[key] = q
    assert min(counts) > 100 and counts[2] > max(counts[:2])


@pytest.mark.parametrize("argument", [{"hash-header": "who"}, {"hash-property": "message_id"}, {"hash-property": "correlation_id"}])
def test_consistent_hash_by_header_or_property(pub, make, argument):
    x = make.exchange("x-consistent-hash", arguments=argument)
    queues = [make.bind(x, "1", suffix=str(i)) for i in range(2)]
    for i in range(200):
        who = f"who-{i % 20}"
        pub.basic_publish(x, f"key-{i}", who.encode(), Properties(headers={"who": who}, message_id=who, correlation_id=who))
    got = [set(drain(pub, q, ready(pub, q))) for q in queues]
    assert len(got[0]) + len(got[1]) == 20 and not got[0] & got[1] and got[0] and got[1]


def test_consistent_hash_moves_little_when_a_queue_leaves(pub, make):
    x = make.exchange("x-consistent-hash")
    queues = [make.bind(x, "1", suffix=str(i)) for i in range(3)]
    homes = []
    for _ in range(2):
        home = {}
        for i in range(200):
            pub.basic_publish(x, f"key-{i}", str(i).encode())
        for q in queues:
            home |= dict.fromkeys(drain(pub, q, ready(pub, q)), q)
        homes.append(home)
        if len(homes) == 1:
            gone = queues.pop()
            pub.queue_unbind(gone, x, "1")
    assert len(homes[1]) == 200
    assert all(homes[1][key] == where for key, where in homes[0].items() if where != gone)


@pytest.fixture
def delayed(make, product):
    if product.is_rabbit:
        pytest.skip("RabbitMQ: needs the delayed-message plug-in")
    return lambda kind="direct", suffix="x": make.exchange("x-delayed-message", suffix, arguments={"x-delayed-type": kind})


def test_delayed_message_waits(pub, make, delayed):
    x = delayed()
    queue = make.bind(x, "k")
    start = time.monotonic()
    for delay in (600, 300):
        pub.basic_publish(x, "k", str(delay).encode(), Properties(headers={"x-delay": delay, "h": "kept"}))
    pub.basic_publish(x, "k", b"0")
    assert get(pub, queue)[2] == b"0" and time.monotonic() - start < 0.29
    method, properties, body = get(pub, queue)
    assert body == b"300" and 0.29 < time.monotonic() - start < 2
    assert properties.headers == {"x-delay": -300, "h": "kept"}
    assert (method.exchange, method.routing_key) == (x, "k")
    assert get(pub, queue)[2] == b"600" and 0.59 < time.monotonic() - start < 3


@pytest.mark.parametrize("delay", [0, -5, None])
def test_delayed_message_without_delay(pub, make, delayed, delay):
    x = delayed("fanout")
    queue = make.bind(x)
    pub.basic_publish(x, "", b"x", Properties(headers={} if delay is None else {"x-delay": delay}))
    assert not empty(pub, queue)


def test_delayed_message_routes_by_its_type(pub, make, delayed):
    x = delayed("topic")
    queue, other = make.bind(x, "a.#", suffix="a"), make.bind(x, "b.#", suffix="b")
    pub.basic_publish(x, "a.b", b"x", Properties(headers={"x-delay": 50}))
    assert get(pub, queue)[2] == b"x" and empty(pub, other)


def test_delayed_message_routes_when_it_is_due(pub, make, delayed):
    x = delayed()
    queue = make.queue()
    pub.basic_publish(x, "k", b"x", Properties(headers={"x-delay": 300}))
    make.bind(x, "k", queue=queue)
    assert get(pub, queue)[2] == b"x"


def test_delayed_exchange_is_deleted_with_what_waits(pub, make, delayed, conn):
    x = delayed()
    queue = make.bind(x, "k")
    pub.basic_publish(x, "k", b"x", Properties(headers={"x-delay": 100}))
    pub.exchange_delete(x)
    time.sleep(0.3)
    assert empty(pub, queue)


def test_alternate_exchange(pub, make):
    other = make.exchange("fanout", "ae")
    x = make.exchange("direct", arguments={"alternate-exchange": other})
    main, rest = make.bind(x, "k", suffix="main"), make.bind(other, suffix="rest")
    pub.basic_publish(x, "k", b"1", mandatory=True)
    pub.basic_publish(x, "elsewhere", b"2", mandatory=True)
    assert drain(pub, main, 1) == [b"1"]
    method, _, body = get(pub, rest)
    assert (body, method.exchange, method.routing_key) == (b"2", x, "elsewhere")
    assert empty(pub, main) and empty(pub, rest)


def test_alternate_exchange_only_if_no_key_of_cc_is_wanted(pub, make):
    other = make.exchange("fanout", "ae")
    x = make.exchange("direct", arguments={"alternate-exchange": other})
    main, rest = make.bind(x, "k", suffix="main"), make.bind(other, suffix="rest")
    pub.basic_publish(x, "elsewhere", b"1", Properties(headers={"CC": ["k"]}), mandatory=True)
    pub.basic_publish(x, "elsewhere", b"2", Properties(headers={"CC": ["nor here"]}), mandatory=True)
    assert drain(pub, main, 1) == [b"1"] and drain(pub, rest, 1) == [b"2"]
    assert empty(pub, main) and empty(pub, rest)


def test_alternate_exchanges_in_a_row_and_in_a_ring(pub, make, name):
    last = make.exchange("direct", "c", arguments={"alternate-exchange": f"{name}-a"})
    middle = make.exchange("direct", "b", arguments={"alternate-exchange": last})
    first = make.exchange("direct", "a", arguments={"alternate-exchange": middle})
    queue = make.bind(last, "k")
    pub.basic_publish(first, "k", b"x")
    assert get(pub, queue)[2] == b"x"
    with pytest.raises(pika.exceptions.UnroutableError):
        pub.basic_publish(first, "nowhere", b"x", mandatory=True)


def test_alternate_exchange_that_is_missing(pub, make):
    x = make.exchange("direct", arguments={"alternate-exchange": "no-such-exchange"})
    with pytest.raises(pika.exceptions.UnroutableError):
        pub.basic_publish(x, "k", b"x", mandatory=True)


def test_exchange_to_exchange(pub, make):
    source, destination = make.exchange("topic", "s"), make.exchange("direct", "d")
    queue = make.bind(destination, "a.b")
    pub.exchange_bind(destination, source, "a.*")
    assert routed(pub, source, {"q": queue}, "a.b") == {"q"}
    assert routed(pub, source, {"q": queue}, "a.c") == set()
    pub.exchange_unbind(destination, source, "a.*")
    assert routed(pub, source, {"q": queue}, "a.b") == set()


def test_exchange_rings_deliver_once(pub, make):
    exchanges = [make.exchange("fanout", str(i)) for i in range(3)]
    for i in range(3):
        pub.exchange_bind(exchanges[(i + 1) % 3], exchanges[i])
    queues = {i: make.bind(x, suffix=f"q{i}") for i, x in enumerate(exchanges)}
    pub.basic_publish(exchanges[0], "", b"x")
    for queue in queues.values():
        method, _, _ = get(pub, queue)
        assert method.exchange == exchanges[0]
        assert empty(pub, queue)


def test_internal_exchange_is_reached_by_bindings(pub, make):
    outer, inner = make.exchange("fanout", "o"), make.exchange("fanout", "i", internal=True)
    pub.exchange_bind(inner, outer)
    queue = make.bind(inner)
    assert routed(pub, outer, {"q": queue}) == {"q"}


def gone(connection, exchange):
    try:
        connection.channel().exchange_declare(exchange, "direct", passive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        assert error.reply_code == 404
        return True
    return False


def test_auto_delete_exchange(conn, ch, name):
    ch.exchange_declare(name, "direct", auto_delete=True)
    assert not gone(conn, name)
    ch.queue_declare(name, exclusive=True)
    ch.queue_bind(name, name, "1")
    ch.queue_bind(name, name, "2")
    ch.queue_unbind(name, name, "1")
    assert not gone(conn, name)
    ch.queue_unbind(name, name, "2")
    assert gone(conn, name)


def test_auto_delete_exchange_goes_with_its_last_queue(conn, ch, name):
    ch.exchange_declare(name, "direct", auto_delete=True)
    ch.queue_declare(name, exclusive=True)
    ch.queue_bind(name, name, "1")
    ch.queue_delete(name)
    assert gone(conn, name)


def test_auto_delete_exchange_as_a_source_of_exchanges(conn, ch, make, name):
    ch.exchange_declare(name, "fanout", auto_delete=True)
    target = make.exchange("fanout")
    ch.exchange_bind(target, name)
    ch.exchange_delete(target)
    assert gone(conn, name)


def test_deleting_an_exchange_removes_its_bindings(pub, make):
    x = make.exchange("direct")
    queue = make.bind(x, "k")
    pub.exchange_delete(x)
    make.exchange("direct")
    assert routed(pub, x, {"q": queue}, "k") == set()


def test_deleting_a_queue_removes_its_bindings(pub, make):
    x = make.exchange("direct")
    queue = make.bind(x, "k", suffix="q")
    pub.queue_delete(queue)
    make.queue("q")
    assert routed(pub, x, {"q": queue}, "k") == set()


def test_a_publish_to_a_new_binding_is_seen_at_once(pub, make):
    x = make.exchange("topic")
    queue = make.queue()
    for i in range(100):
        pub.queue_bind(queue, x, f"k.{i}")
        pub.basic_publish(x, f"k.{i}", b"x", mandatory=True)
    until(lambda: ready(pub, queue) == 100)


def test_many_bindings(pub, make):
    x = make.exchange("topic")
    queue = make.queue()
    for i in range(500):
        pub.queue_bind(queue, x, f"room.{i}.#")
    assert routed(pub, x, {"q": queue}, "room.499.light") == {"q"}
    assert routed(pub, x, {"q": queue}, "room.500.light") == set()
