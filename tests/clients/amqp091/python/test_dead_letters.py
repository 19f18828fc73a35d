"""Dead-lettering: when, where to, and what the headers tell."""

import datetime
import time

import pytest
from conftest import drain, empty, get, ready, until
from pika import BasicProperties as Properties
from test_frames import get as get_method
from wire import read_properties


@pytest.fixture
def pub(conn):
    channel = conn.channel()
    channel.confirm_delivery()
    return channel


@pytest.fixture
def pair(make):
    """A queue whose dead letters come to another: (source, dead, exchange)."""

    def declare(quorum=False, **arguments):
        exchange = make.exchange("fanout", "dlx")
        dead = make.bind(exchange, suffix="dead")
        arguments |= {"dead_letter_exchange": exchange}
        source = make.quorum("source", **arguments) if quorum else make.queue("source", **arguments)
        return source, dead, exchange

    return declare


def only_death(properties):
    (death,) = properties.headers["x-death"]
    return death


def check_death(properties, queue, reason, count=1, exchange="", keys=None, original_expiration=None):
    death = only_death(properties)
    assert abs(death["time"].replace(tzinfo=datetime.timezone.utc).timestamp() - time.time()) < 60
    expected = {"count": count, "reason": reason, "queue": queue, "time": death["time"], "exchange": exchange, "routing-keys": keys or [queue]}
    if original_expiration:
        expected["original-expiration"] = original_expiration
    assert death == expected
    headers = properties.headers
    assert (headers["x-first-death-queue"], headers["x-first-death-reason"], headers["x-first-death-exchange"]) == (queue, reason, exchange)


@pytest.mark.parametrize("quorum", [False, True], ids=["classic", "quorum"])
@pytest.mark.parametrize("settle", ["nack", "reject"])
def test_rejected(pub, pair, quorum, settle):
    source, dead, exchange = pair(quorum)
    pub.basic_publish("", source, b"x", Properties(headers={"mine": 1}, message_id="m", delivery_mode=2, correlation_id="c"))
    method, _, _ = get(pub, source, auto_ack=False)
    getattr(pub, f"basic_{settle}")(method.delivery_tag, requeue=False)
    method, properties, body = get(pub, dead)
    check_death(properties, source, "rejected")
    assert (body, method.exchange, method.routing_key, method.redelivered) == (b"x", exchange, source, False)
    assert (properties.headers["mine"], properties.message_id, properties.correlation_id, properties.delivery_mode) == (1, "m", "c", 2)
    assert "x-delivery-count" not in properties.headers
    assert empty(pub, source)


@pytest.mark.parametrize("quorum", [False, True], ids=["classic", "quorum"])
def test_expired_by_the_queue(pub, pair, quorum):
    source, dead, _ = pair(quorum, message_ttl=100)
    pub.basic_publish("", source, b"x")
    check_death(get(pub, dead)[1], source, "expired")


def test_expired_by_the_message(pub, pair):
    source, dead, _ = pair()
    pub.basic_publish("", source, b"x", Properties(expiration="100"))
    properties = get(pub, dead)[1]
    check_death(properties, source, "expired", original_expiration="100")
    assert properties.expiration is None


def test_expiration_is_removed_so_that_it_does_not_expire_again(pub, pair):
    source, dead, _ = pair()
    pub.basic_publish("", source, b"x", Properties(expiration="100"))
    until(lambda: ready(pub, dead) == 1)
    time.sleep(0.3)
    assert ready(pub, dead) == 1


@pytest.mark.parametrize("quorum", [False, True], ids=["classic", "quorum"])
def test_maxlen_drops_the_oldest(pub, pair, quorum):
    source, dead, _ = pair(quorum, max_length=1)
    for body in (b"1", b"2", b"3"):
        pub.basic_publish("", source, body)
    got = [get(pub, dead) for _ in range(2)]
    assert [body for _, _, body in got] == [b"1", b"2"]
    for _, properties, _ in got:
        check_death(properties, source, "maxlen")


def test_maxlen_by_reject_publish_dlx(pub, pair):
    import pika

    source, dead, _ = pair(max_length=1, overflow="reject-publish-dlx")
    pub.basic_publish("", source, b"kept")
    with pytest.raises(pika.exceptions.NackError):
        pub.basic_publish("", source, b"refused")
    _, properties, body = get(pub, dead)
    assert body == b"refused"
    check_death(properties, source, "maxlen")
    assert drain(pub, source, 1) == [b"kept"]


def test_plain_reject_publish_does_not_dead_letter(pub, pair):
    import pika

    source, dead, _ = pair(max_length=1, overflow="reject-publish")
    pub.basic_publish("", source, b"kept")
    with pytest.raises(pika.exceptions.NackError):
        pub.basic_publish("", source, b"refused")
    assert empty(pub, dead)


def test_delivery_limit(pub, pair):
    source, dead, _ = pair(True, delivery_limit=2)
    pub.basic_publish("", source, b"x")
    for attempt in range(3):
        method, properties, _ = get(pub, source, auto_ack=False)
        assert ((properties.headers or {}).get("x-delivery-count") or 0) == attempt
        pub.basic_reject(method.delivery_tag, requeue=True)
    properties = get(pub, dead)[1]
    check_death(properties, source, "delivery_limit")
    assert "x-delivery-count" not in properties.headers


def test_purge_and_delete_do_not_dead_letter(pub, pair):
    source, dead, _ = pair()
    pub.basic_publish("", source, b"x")
    pub.queue_purge(source)
    pub.basic_publish("", source, b"x")
    pub.queue_delete(source)
    assert empty(pub, dead)


def test_routing_key_of_the_queue(pub, make):
    exchange = make.exchange("direct", "dlx")
    dead = make.bind(exchange, "buried", suffix="dead")
    source = make.queue("source", dead_letter_exchange=exchange, dead_letter_routing_key="buried", max_length=0)
    pub.basic_publish("", source, b"x", Properties(headers={"CC": ["elsewhere"]}))
    method, properties, _ = get(pub, dead)
    assert method.routing_key == "buried"
    check_death(properties, source, "maxlen", keys=[source, "elsewhere"])


def test_cc_and_bcc_keys(pub, pair, make):
    source, dead, _ = pair(max_length=0)
    other = make.queue("other")
    pub.basic_publish("", source, b"x", Properties(headers={"CC": [other], "BCC": ["secret"]}))
    _, properties, _ = get(pub, dead)
    check_death(properties, source, "maxlen", keys=[source, other])
    assert properties.headers["CC"] == [other] and "BCC" not in properties.headers


def rejected(pub, queue):
    """Takes one message and rejects it; its properties."""
    method, properties, _ = get(pub, queue, auto_ack=False)
    pub.basic_reject(method.delivery_tag, requeue=False)
    return properties


def test_cc_over_several_deaths(pub, make):
    """Each death without a key of the queue's own keeps CC and routes by it again; one with a key takes it away for good."""
    copy = make.queue("copy")
    last = make.queue("last", dead_letter_exchange="")
    rekeys = make.queue("rekeys", dead_letter_exchange="", dead_letter_routing_key=last)
    keeps = make.queue("keeps", dead_letter_exchange="", dead_letter_routing_key=rekeys)
    x = make.exchange("direct")
    first = make.queue("first", dead_letter_exchange=x)
    make.bind(x, first, queue=keeps)
    make.bind(x, copy, queue=copy)
    pub.basic_publish("", first, b"x", Properties(headers={"CC": [copy]}))
    assert drain(pub, copy, 1) == [b"x"]
    assert rejected(pub, first).headers["CC"] == [copy]
    properties = rejected(pub, keeps)
    assert properties.headers["CC"] == [copy] and properties.headers["x-death"][0]["routing-keys"] == [first, copy]
    assert drain(pub, copy, 1) == [b"x"], "routed by CC at its first death too"
    properties = rejected(pub, rekeys)
    assert "CC" not in properties.headers and properties.headers["x-death"][0]["routing-keys"] == [first, copy]
    properties = rejected(pub, last)
    assert "CC" not in properties.headers and properties.headers["x-death"][0]["routing-keys"] == [rekeys]
    properties = rejected(pub, last)
    assert "CC" not in properties.headers and properties.headers["x-death"][0]["routing-keys"] == [last]
    assert empty(pub, copy)


def test_by_way_of_an_exchange(pub, make, pair):
    source, dead, _ = pair(max_length=0)
    x = make.exchange("topic", "front")
    make.bind(x, "a.#", queue=source)
    pub.basic_publish(x, "a.b", b"x")
    method, properties, _ = get(pub, dead)
    check_death(properties, source, "maxlen", exchange=x, keys=["a.b"])
    assert method.routing_key == "a.b"


def test_missing_dead_letter_exchange_drops(pub, make):
    source = make.queue("source", dead_letter_exchange="no-such-exchange", max_length=0)
    pub.basic_publish("", source, b"x")
    assert empty(pub, source) and pub.is_open


def test_dead_letter_exchange_declared_later(pub, make, name):
    source = make.queue("source", dead_letter_exchange=f"{name}-x", max_length=0)
    dead = make.bind(make.exchange("fanout"), suffix="dead")
    pub.basic_publish("", source, b"x")
    assert get(pub, dead)[2] == b"x"


def test_counts_grow_and_the_newest_is_first(pub, make, name, product):
    """A retry loop: work is rejected, waits in another queue, comes back."""
    work = make.queue("work", dead_letter_exchange="", dead_letter_routing_key=f"{name}-wait")
    wait = make.queue("wait", dead_letter_exchange="", dead_letter_routing_key=work, message_ttl=30)
    pub.basic_publish("", work, b"x")
    first_times = None
    for attempt in range(4):
        method, properties, _ = get(pub, work, auto_ack=False)
        if attempt:
            deaths = properties.headers["x-death"]
            assert [(d["queue"], d["reason"], d["count"]) for d in deaths] == [(wait, "expired", attempt), (work, "rejected", attempt)]
            times = [d["time"] for d in deaths]
            assert first_times in (None, times)
            first_times = times
            headers = properties.headers
            assert (headers["x-first-death-queue"], headers["x-first-death-reason"]) == (work, "rejected")
            if not product.older(3, 13):
                assert (headers["x-last-death-queue"], headers["x-last-death-reason"], headers["x-last-death-exchange"]) == (wait, "expired", "")
        pub.basic_reject(method.delivery_tag, requeue=False)


@pytest.mark.since(3, 13)
def test_last_death(pub, pair):
    source, dead, _ = pair(max_length=0)
    pub.basic_publish("", source, b"x")
    headers = get(pub, dead)[1].headers
    assert [headers[f"x-last-death-{what}"] for what in ("queue", "reason", "exchange")] == [source, "maxlen", ""]


def test_a_queue_that_dead_letters_to_itself_cuts_the_cycle(pub, make, name):
    queue = make.queue(dead_letter_exchange="", message_ttl=50)
    pub.basic_publish("", queue, b"x")
    until(lambda: ready(pub, queue) == 0)
    time.sleep(0.2)
    assert empty(pub, queue)


def test_a_cycle_of_expiries_is_cut(pub, make, name):
    first = make.queue("1", dead_letter_exchange="", dead_letter_routing_key=f"{name}-2", message_ttl=50)
    second = make.queue("2", dead_letter_exchange="", dead_letter_routing_key=first, message_ttl=50)
    pub.basic_publish("", first, b"x")
    until(lambda: ready(pub, first) == 0 and ready(pub, second) == 1)
    until(lambda: ready(pub, second) == 0)
    time.sleep(0.2)
    assert ready(pub, first) == ready(pub, second) == 0


def test_a_cycle_with_a_rejection_goes_on(pub, make):
    queue = make.queue(dead_letter_exchange="")
    pub.basic_publish("", queue, b"x")
    for attempt in range(5):
        method, properties, _ = get(pub, queue, auto_ack=False)
        if attempt:
            assert only_death(properties)["count"] == attempt
        pub.basic_reject(method.delivery_tag, requeue=False)


def test_through_two_queues(pub, make, name):
    last = make.queue("3")
    make.queue("2", dead_letter_exchange="", dead_letter_routing_key=last, max_length=0)
    first = make.queue("1", dead_letter_exchange="", dead_letter_routing_key=f"{name}-2", message_ttl=0)
    pub.basic_publish("", first, b"x")
    _, properties, _ = get(pub, last)
    assert [(d["queue"], d["reason"]) for d in properties.headers["x-death"]] == [(f"{name}-2", "maxlen"), (first, "expired")]
    assert properties.headers["x-first-death-queue"] == first


def test_order_is_kept(pub, pair, ch, inbox):
    source, dead, _ = pair()
    for i in range(100):
        pub.basic_publish("", source, str(i).encode())
    box = inbox(ch, source, auto_ack=False)
    box.wait(100)
    ch.basic_nack(0, multiple=True, requeue=False)
    assert drain(pub, dead, 100) == [str(i).encode() for i in range(100)]


def test_types_and_order_of_the_fields(pub, pair, raw, product):
    source, dead, _ = pair(max_length=0)
    pub.basic_publish("", source, b"x", Properties(headers={"zz": "mine", "a": 1}, expiration="60000"))
    until(lambda: ready(pub, dead) == 1)
    peer = raw()
    peer.channel()
    peer.method(1, *get_method(dead))
    peer.expect(60, 71)
    headers = read_properties(peer.read_frame()[2])[4]["headers"]
    kinds = {name: kind for name, kind, _ in headers}
    assert kinds["x-death"] == "A"
    assert {kinds[n] for n in ("x-first-death-exchange", "x-first-death-queue", "x-first-death-reason")} == {"S"}
    if not product.is_rabbit:
        assert [name for name, _, _ in headers][:3] == ["zz", "a", "x-death"]
    ((kind, death),) = next(value for name, _, value in headers if name == "x-death")
    assert kind == "F"
    fields = [(name, kind) for name, kind, _ in death if name != "original-expiration"]
    assert fields == [("count", "l"), ("reason", "S"), ("queue", "S"), ("time", "T"), ("exchange", "S"), ("routing-keys", "A")]
    assert ("original-expiration", "S", "60000") in death


@pytest.mark.not_on_rabbit("3.10 loses the message")
def test_headers_that_are_not_x_death_do_not_confuse(pub, pair):
    source, dead, _ = pair(max_length=0)
    for x_death in ("nonsense", 5, ["a", 1], [{"queue": 1}], []):
        pub.basic_publish("", source, b"x", Properties(headers={"x-death": x_death}))
        properties = get(pub, dead)[1]
        assert any(isinstance(d, dict) and d.get("queue") == source for d in properties.headers["x-death"])


def test_dead_letters_of_a_lost_consumer_are_none(pub, pair, connect):
    source, dead, _ = pair()
    pub.basic_publish("", source, b"x")
    other = connect()
    get(other.channel(), source, auto_ack=False)
    other.close()
    assert get(pub, source)[0].redelivered and empty(pub, dead)
