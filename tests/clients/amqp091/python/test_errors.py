"""Every refusal with its exact code and text, and what follows: a channel error closes the channel, a connection error the connection.

Texts as measured on RabbitMQ 3.10 (../MEASURED.md). In the texts, `Q` stands for the queue's name and `X` for the exchange's.
"""

from decimal import Decimal

import pika
import pytest
from pika import BasicProperties as Properties

LOCKED = (
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'Q' in vhost '/'. It could be originally declared on another "
    "connection or the exclusive property value does not match that of the original declaration."
)
DEFAULT_EXCHANGE = "ACCESS_REFUSED - operation not permitted on the default exchange"


@pytest.fixture
def refused(conn, name):
    """Runs `action(channel)`: it must close the channel with that code and text, and nothing else."""

    def check(action, code, text):
        channel, other = conn.channel(), conn.channel()
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as error:
            action(channel)
            channel.queue_declare("", exclusive=True)
        text = text.replace("'Q'", f"'{name}'").replace("'X'", f"'{name}'")
        if len(text) > 255:
            text = text[:252] + "..."
        assert (error.value.reply_code, error.value.reply_text) == (code, text)
        assert other.is_open
        other.queue_declare("", exclusive=True)

    return check


@pytest.fixture
def fatal(connect, name):
    """Runs `action(channel)` on a connection of its own: it must close that connection with that code and text."""

    def check(action, code, text):
        channel = connect().channel()
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as error:
            action(channel)
            channel.queue_declare("", exclusive=True)
        assert (error.value.reply_code, error.value.reply_text) == (code, text)

    return check


NOT_FOUND = {
    "queue passive": lambda c, n: c.queue_declare(n, passive=True),
    "purge": lambda c, n: c.queue_purge(n),
    "get": lambda c, n: c.basic_get(n),
    "consume": lambda c, n: c.basic_consume(n, lambda *_: None),
    "bind": lambda c, n: c.queue_bind(n, "amq.direct", "k"),
}


@pytest.mark.parametrize("case", NOT_FOUND)
def test_no_queue(refused, name, case):
    refused(lambda c: NOT_FOUND[case](c, name), 404, "NOT_FOUND - no queue 'Q' in vhost '/'")


NO_EXCHANGE = {
    "passive": lambda c, n: c.exchange_declare(n, "direct", passive=True),
    "publish": lambda c, n: c.basic_publish(n, "k", b""),
    "bind from": lambda c, n: c.exchange_bind("amq.direct", n, "k"),
    "bind to": lambda c, n: c.exchange_bind(n, "amq.direct", "k"),
    "queue bind": lambda c, n: c.queue_bind(n + "no-queue-either", n, "k"),
}


@pytest.mark.parametrize("case", NO_EXCHANGE)
def test_no_exchange(refused, name, case):
    refused(lambda c: NO_EXCHANGE[case](c, name), 404, "NOT_FOUND - no exchange 'X' in vhost '/'")


def test_what_is_missing_can_be_deleted_and_unbound(ch, name):
    assert ch.queue_delete(name).method.message_count == 0
    ch.exchange_delete(name)
    ch.queue_unbind(name, "amq.direct", "k")
    ch.exchange_unbind("amq.fanout", "amq.direct", "no-such-key")
    ch.exchange_unbind(name, "amq.direct", "k")
    ch.queue_declare(name, exclusive=True)
    ch.queue_unbind(name, "no-such-exchange", "k")
    ch.queue_unbind(name, "amq.direct", "no-such-key")


INEQUIVALENT_QUEUE = [
    ({"durable": True}, {}, "'durable' for queue 'Q' in vhost '/': received 'false' but current is 'true'"),
    ({}, {"durable": True}, "'durable' for queue 'Q' in vhost '/': received 'true' but current is 'false'"),
    ({}, {"auto_delete": True}, "'auto_delete' for queue 'Q' in vhost '/': received 'true' but current is 'false'"),
    (
        {},
        {"arguments": {"x-message-ttl": 100000}},
        "'x-message-ttl' for queue 'Q' in vhost '/': received the value '100000' of type 'signedint' but current is none",
    ),
    (
        {"arguments": {"x-message-ttl": 100000}},
        {},
        "'x-message-ttl' for queue 'Q' in vhost '/': received none but current is the value '100000' of type 'signedint'",
    ),
    (
        {"arguments": {"x-message-ttl": 100000}},
        {"arguments": {"x-message-ttl": 200000}},
        "'x-message-ttl' for queue 'Q' in vhost '/': received '200000' but current is '100000'",
    ),
    (
        {"arguments": {"x-dead-letter-exchange": "a"}},
        {"arguments": {"x-dead-letter-exchange": "b"}},
        "'x-dead-letter-exchange' for queue 'Q' in vhost '/': received 'b' but current is 'a'",
    ),
    (
        {},
        {"arguments": {"x-dead-letter-exchange": "b"}},
        "'x-dead-letter-exchange' for queue 'Q' in vhost '/': received the value 'b' of type 'longstr' but current is none",
    ),
    (
        {},
        {"arguments": {"x-max-length": 100000}},
        "'x-max-length' for queue 'Q' in vhost '/': received the value '100000' of type 'signedint' but current is none",
    ),
]


@pytest.mark.parametrize("first, second, text", INEQUIVALENT_QUEUE)
def test_inequivalent_queue(refused, make, name, first, second, text):
    make.channel.queue_declare(name, **first)
    make.queues.append(name)
    refused(lambda c: c.queue_declare(name, **second), 406, f"PRECONDITION_FAILED - inequivalent arg {text}")
    make.channel.queue_declare(name, **first)
    make.channel.queue_declare(name, passive=True)


def test_equivalent_by_value_not_by_width(raw, make, name):
    from test_frames import queue_declare

    make.queues.append(name)
    peer = raw()
    peer.channel()
    for kind in "Ilsui":
        peer.method(1, *queue_declare(name, arguments=[("x-message-ttl", kind, 30000)]))
        peer.expect(50, 11)


def test_unknown_arguments_are_not_compared(make, ch, name):
    make.queues.append(name)
    ch.queue_declare(name, arguments={"x-nonsense": "a", "some": 1})
    ch.queue_declare(name, arguments={"x-other": "b"})


I32 = "expected integer, got longstr"
ARGUMENTS = [
    ({"x-message-ttl": -1}, "'x-message-ttl' for queue 'Q' in vhost '/': {value_negative,-1}"),
    ({"x-message-ttl": "1000"}, f"'x-message-ttl' for queue 'Q' in vhost '/': \"{I32}\""),
    ({"x-message-ttl": 10**13}, "'x-message-ttl' for queue 'Q' in vhost '/': {value_too_large,10000000000000}"),
    ({"x-expires": 0}, "'x-expires' for queue 'Q' in vhost '/': {value_zero,0}"),
    ({"x-expires": -5}, "'x-expires' for queue 'Q' in vhost '/': {value_negative,-5}"),
    ({"x-expires": "5"}, f"'x-expires' for queue 'Q' in vhost '/': \"{I32}\""),
    ({"x-expires": 10**13}, "'x-expires' for queue 'Q' in vhost '/': {value_too_large,10000000000000}"),
    ({"x-max-length": -1}, "'x-max-length' for queue 'Q' in vhost '/': {value_negative,-1}"),
    ({"x-max-length": "9"}, f"'x-max-length' for queue 'Q' in vhost '/': \"{I32}\""),
    ({"x-max-length-bytes": -1}, "'x-max-length-bytes' for queue 'Q' in vhost '/': {value_negative,-1}"),
    ({"x-overflow": "spill"}, "'x-overflow' for queue 'Q' in vhost '/': invalid_overflow"),
    ({"x-max-priority": -1}, "'x-max-priority' for queue 'Q' in vhost '/': {value_negative,-1}"),
    ({"x-max-priority": 256}, "'x-max-priority' for queue 'Q' in vhost '/': {max_value_exceeded,256}"),
    ({"x-max-priority": "5"}, f"'x-max-priority' for queue 'Q' in vhost '/': \"{I32}\""),
    ({"x-dead-letter-routing-key": "k"}, "'x-dead-letter-routing-key' for queue 'Q' in vhost '/': routing_key_but_no_dlx_defined"),
    (
        {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": 100000},
        "'x-dead-letter-routing-key' for queue 'Q' in vhost '/': {unacceptable_type,signedint}",
    ),
    ({"x-single-active-consumer": "true"}, "'x-single-active-consumer' for queue 'Q' in vhost '/': {unacceptable_type,longstr}"),
    ({"x-queue-type": "nonsense"}, "'x-queue-type' for queue 'Q' in vhost '/': \"unsupported queue type 'nonsense'\""),
]


@pytest.mark.parametrize("arguments, text", ARGUMENTS, ids=lambda v: "-".join(f"{k}={x}" for k, x in v.items()) if isinstance(v, dict) else "")
def test_invalid_queue_argument(refused, name, arguments, text):
    refused(lambda c: c.queue_declare(name, arguments=arguments), 406, f"PRECONDITION_FAILED - invalid arg {text}")


def test_dead_letter_exchange_of_wrong_type(refused, name):
    refused(
        lambda c: c.queue_declare(name, arguments={"x-dead-letter-exchange": 100000}),
        406,
        "PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'Q' in vhost '/'",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"x-message-ttl": 0},
        {"x-max-length": 0},
        {"x-max-priority": 0},
        {"x-queue-mode": "lazy"},
        {"x-queue-version": 2},
        {"x-queue-type": "classic"},
        {"x-queue-master-locator": "client-local"},
        {"x-ha-policy": "all"},
        {"x-consumer-timeout": 100000},
        {"x-overflow": "drop-head"},
        {"x-dead-letter-exchange": "not-there-yet"},
        {"nonsense": True},
    ],
    ids=str,
)
def test_accepted_queue_argument(ch, name, arguments):
    ch.queue_declare(name, exclusive=True, arguments=arguments)


@pytest.mark.parametrize(
    "argument, value",
    [("x-delivery-limit", 3), ("x-max-age", "1D"), ("x-dead-letter-strategy", "at-least-once"), ("x-quorum-initial-group-size", 3)],
)
def test_argument_of_another_queue_type(refused, name, argument, value):
    arguments = {argument: value, "x-dead-letter-exchange": ""}
    refused(
        lambda c: c.queue_declare(name, arguments=arguments),
        406,
        f"PRECONDITION_FAILED - invalid arg '{argument}' for queue 'Q' in vhost '/' of queue type rabbit_classic_queue",
    )


QUORUM = [
    ({"durable": False}, {}, "invalid property 'non-durable' for queue 'Q' in vhost '/'"),
    ({"exclusive": True}, {}, "invalid property 'exclusive-owner' for queue 'Q' in vhost '/'"),
    ({"auto_delete": True}, {}, "invalid property 'auto-delete' for queue 'Q' in vhost '/'"),
    ({}, {"x-max-priority": 5}, "invalid arg 'x-max-priority' for queue 'Q' in vhost '/' of queue type rabbit_quorum_queue"),
    ({}, {"x-queue-mode": "lazy"}, "invalid arg 'x-queue-mode' for queue 'Q' in vhost '/' of queue type rabbit_quorum_queue"),
    ({}, {"x-max-age": "1D"}, "invalid arg 'x-max-age' for queue 'Q' in vhost '/' of queue type rabbit_quorum_queue"),
    ({}, {"x-dead-letter-strategy": "maybe"}, "invalid arg 'x-dead-letter-strategy' for queue 'Q' in vhost '/': invalid_dlx_strategy"),
]


@pytest.mark.parametrize("flags, arguments, text", QUORUM)
def test_invalid_quorum_queue(refused, name, flags, arguments, text):
    flags = {"durable": True} | flags
    refused(lambda c: c.queue_declare(name, arguments={"x-queue-type": "quorum"} | arguments, **flags), 406, f"PRECONDITION_FAILED - {text}")


LOCKED_USES = {
    "declare": lambda c, n: c.queue_declare(n, exclusive=True),
    "declare shared": lambda c, n: c.queue_declare(n),
    "passive": lambda c, n: c.queue_declare(n, passive=True),
    "consume": lambda c, n: c.basic_consume(n, lambda *_: None),
    "get": lambda c, n: c.basic_get(n),
    "purge": lambda c, n: c.queue_purge(n),
    "delete": lambda c, n: c.queue_delete(n),
    "bind": lambda c, n: c.queue_bind(n, "amq.direct", "k"),
}


@pytest.mark.parametrize("case", LOCKED_USES)
def test_another_connections_exclusive_queue(connect, refused, name, case):
    owner = connect().channel()
    owner.queue_declare(name, exclusive=True)
    refused(lambda c: LOCKED_USES[case](c, name), 405, LOCKED)
    owner.queue_declare(name, exclusive=True)


def test_the_owner_cannot_make_it_shared(refused, ch, name):
    ch.queue_declare(name, exclusive=True)
    refused(lambda c: c.queue_declare(name), 405, LOCKED)


@pytest.mark.parametrize(
    "case",
    [
        lambda c: c.exchange_declare("", "direct", durable=True),
        lambda c: c.exchange_declare("", "direct", passive=True),
        lambda c: c.exchange_delete(""),
        lambda c: c.exchange_bind("amq.direct", "", "k"),
        lambda c: c.exchange_bind("", "amq.direct", "k"),
        lambda c: c.exchange_unbind("amq.direct", "", "k"),
        lambda c: (c.queue_declare("", exclusive=True), c.queue_bind("", "", "k")),
        lambda c: (c.queue_declare("", exclusive=True), c.queue_unbind("", "", "k")),
    ],
    ids=["declare", "passive", "delete", "bind from", "bind to", "unbind from", "queue bind", "queue unbind"],
)
def test_the_default_exchange_is_not_touched(refused, monkeypatch, case):
    monkeypatch.setattr(pika.validators, "require_string", lambda *_: None)
    monkeypatch.setattr(pika.channel.validators, "require_string", lambda *_: None)
    refused(case, 403, DEFAULT_EXCHANGE)


def test_names_beginning_with_amq(refused):
    refused(lambda c: c.queue_declare("amq.mine"), 403, "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'")
    refused(
        lambda c: c.exchange_declare("amq.mine", "direct"), 403, "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'"
    )
    refused(lambda c: c.exchange_delete("amq.direct"), 403, "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed")


@pytest.mark.parametrize(
    "second, text",
    [
        (("fanout", {}), "'type' for exchange 'X' in vhost '/': received 'fanout' but current is 'direct'"),
        (("direct", {"durable": True}), "'durable' for exchange 'X' in vhost '/': received 'true' but current is 'false'"),
        (("direct", {"auto_delete": True}), "'auto_delete' for exchange 'X' in vhost '/': received 'true' but current is 'false'"),
        (("direct", {"internal": True}), "'internal' for exchange 'X' in vhost '/': received 'true' but current is 'false'"),
        (
            ("direct", {"arguments": {"alternate-exchange": "a"}}),
            "'alternate-exchange' for exchange 'X' in vhost '/': received the value 'a' of type 'longstr' but current is none",
        ),
    ],
)
def test_inequivalent_exchange(refused, make, name, second, text):
    make.channel.exchange_declare(name, "direct")
    make.exchanges.append(name)
    kind, flags = second
    refused(lambda c: c.exchange_declare(name, kind, **flags), 406, f"PRECONDITION_FAILED - inequivalent arg {text}")
    make.channel.exchange_declare(name, "fanout", passive=True)
    make.channel.exchange_declare(name, "direct", arguments={"unknown": 1})


def test_unknown_exchange_type_closes_the_connection(fatal, name):
    fatal(lambda c: c.exchange_declare(name, "x-nonsense-type"), 503, "COMMAND_INVALID - unknown exchange type 'x-nonsense-type'")


def test_alternate_exchange_of_wrong_type(refused, name):
    refused(
        lambda c: c.exchange_declare(name, "direct", arguments={"alternate-exchange": 100000}),
        406,
        "PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange 'X' in vhost '/'",
    )


def test_publish_to_an_internal_exchange(refused, make):
    exchange = make.exchange("direct", internal=True)
    refused(lambda c: c.basic_publish(exchange, "k", b""), 403, f"ACCESS_REFUSED - cannot publish to internal exchange '{exchange}' in vhost '/'")


def test_delete_exchange_if_unused(refused, make, ch):
    exchange = make.exchange("direct")
    queue = make.bind(exchange, "k")
    refused(lambda c: c.exchange_delete(exchange, if_unused=True), 406, f"PRECONDITION_FAILED - exchange '{exchange}' in vhost '/' in use")
    ch.queue_delete(queue)
    ch.exchange_delete(exchange, if_unused=True)


def test_delete_queue_if_empty_or_unused(refused, make, ch, inbox):
    queue = make.queue()
    ch.confirm_delivery()
    ch.basic_publish("", queue, b"x")
    refused(lambda c: c.queue_delete(queue, if_empty=True), 406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' not empty")
    ch.queue_purge(queue)
    box = inbox(ch, queue)
    refused(lambda c: c.queue_delete(queue, if_unused=True), 406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' in use")
    ch.basic_cancel(box.tag)
    assert ch.queue_delete(queue, if_unused=True, if_empty=True).method.message_count == 0


def test_delete_if_empty_looks_at_ready_messages_only(make, ch):
    queue = make.queue()
    ch.confirm_delivery()
    ch.basic_publish("", queue, b"x")
    ch.basic_get(queue)
    assert ch.queue_delete(queue, if_empty=True).method.message_count == 0


@pytest.mark.parametrize(
    "settle, tag",
    [
        (lambda c: c.basic_ack(1), 1),
        (lambda c: c.basic_ack(0), 0),
        (lambda c: c.basic_ack(7, multiple=True), 7),
        (lambda c: c.basic_nack(5), 5),
        (lambda c: c.basic_reject(5), 5),
    ],
    ids=["ack", "ack 0", "ack multiple", "nack", "reject"],
)
def test_unknown_delivery_tag(refused, settle, tag):
    refused(settle, 406, f"PRECONDITION_FAILED - unknown delivery tag {tag}")


def test_acknowledged_twice(refused, make, ch):
    queue = make.queue()
    ch.confirm_delivery()
    ch.basic_publish("", queue, b"x")

    def twice(channel):
        channel.basic_get(queue)
        channel.basic_ack(1)
        channel.basic_ack(1)

    refused(twice, 406, "PRECONDITION_FAILED - unknown delivery tag 1")


def test_acknowledged_though_auto_ack(refused, make, ch):
    queue = make.queue()
    ch.confirm_delivery()
    ch.basic_publish("", queue, b"x")
    refused(lambda c: (c.basic_get(queue, auto_ack=True), c.basic_ack(1)), 406, "PRECONDITION_FAILED - unknown delivery tag 1")


def test_ack_and_nack_all_of_nothing(ch):
    ch.basic_ack(0, multiple=True)
    ch.basic_nack(0, multiple=True)
    ch.queue_declare("", exclusive=True)


def test_exclusive_consumer(refused, make, ch, inbox):
    queue = make.queue()
    text = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
    box = inbox(ch, queue, exclusive=True)
    refused(lambda c: c.basic_consume(queue, lambda *_: None), 403, text)
    ch.basic_cancel(box.tag)
    inbox(ch, queue)
    refused(lambda c: c.basic_consume(queue, lambda *_: None, exclusive=True), 403, text)


def test_consumer_tag_used_twice_closes_the_connection(raw, make):
    from test_frames import consume

    queue = make.queue()
    peer = raw()
    peer.channel()
    peer.method(1, *consume(queue, "tag"))
    peer.expect(60, 21)
    peer.method(1, *consume(queue, "tag"))
    assert peer.expect_close() == (530, "NOT_ALLOWED - attempt to reuse consumer tag 'tag'", 60, 20)


def test_consumer_priority_of_wrong_type(refused, make):
    queue = make.queue()
    refused(
        lambda c: c.basic_consume(queue, lambda *_: None, arguments={"x-priority": "high"}),
        406,
        f"PRECONDITION_FAILED - invalid arg 'x-priority' for queue '{queue}' in vhost '/': \"expected integer, got longstr\"",
    )


def test_not_implemented(raw):
    cases = [
        ((60, 10, b"\x00\x00\x00\x0a\x00\x01\x00"), "prefetch_size!=0 (10)"),
        ((20, 20, b"\x00"), "active=false"),
        ((60, 110, b"\x00"), "requeue=false"),
    ]
    for method, text in cases:
        peer = raw()
        peer.channel()
        peer.method(1, *method)
        assert peer.expect_close() == (540, f"NOT_IMPLEMENTED - {text}", *method[:2])


def test_immediate_is_not_implemented(raw):
    from test_frames import publish

    peer = raw()
    peer.channel()
    peer.method(1, *publish("", "q", flags=2))
    peer.content(1, 60, 1, body=b"x")
    assert peer.expect_close() == (540, "NOT_IMPLEMENTED - immediate=true", 60, 40)


def test_tx_and_confirm_exclude_each_other(refused):
    refused(lambda c: (c.tx_select(), c.confirm_delivery()), 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode")
    refused(lambda c: (c.confirm_delivery(), c.tx_select()), 406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode")


def test_commit_and_rollback_without_select(refused):
    refused(lambda c: c.tx_commit(), 406, "PRECONDITION_FAILED - channel is not transactional")
    refused(lambda c: c.tx_rollback(), 406, "PRECONDITION_FAILED - channel is not transactional")


def test_user_id_must_be_the_users(refused, make, ch):
    queue = make.queue()
    refused(
        lambda c: c.basic_publish("", queue, b"", Properties(user_id="bob")),
        406,
        "PRECONDITION_FAILED - user_id property set to 'bob' but authenticated user was 'guest'",
    )
    ch.confirm_delivery()
    ch.basic_publish("", queue, b"", Properties(user_id="guest"))
    assert ch.basic_get(queue)[1].user_id == "guest"


@pytest.mark.parametrize(
    "expiration, why",
    [
        ("abc", "no_integer"),
        ("", "no_integer"),
        (" 10", "no_integer"),
        ("-1", "{value_negative,-1}"),
        ("1.5", '{leftover_string,".5"}'),
        ("10x", '{leftover_string,"x"}'),
        ("10000000000000", "{value_too_large,10000000000000}"),
    ],
)
def test_invalid_expiration(refused, expiration, why):
    refused(
        lambda c: c.basic_publish("", "q", b"", Properties(expiration=expiration)),
        406,
        f"PRECONDITION_FAILED - invalid expiration '{expiration}': {why}",
    )


@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_cc_must_be_an_array(refused, header):
    refused(
        lambda c: c.basic_publish("", "q", b"", Properties(headers={header: "a"})),
        406,
        f'PRECONDITION_FAILED - invalid message: {{unacceptable_type_in_header,"{header}",longstr}}',
    )


@pytest.mark.parametrize(
    "value, text",
    [
        ("some", 'Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x'),
        (100000, "Invalid x-match field type signedint (value 100000); expected longstr"),
    ],
)
def test_invalid_x_match(refused, make, value, text):
    queue = make.queue()
    refused(lambda c: c.queue_bind(queue, "amq.headers", "", {"x-match": value}), 406, f"PRECONDITION_FAILED - {text}")


def test_consistent_hash_refusals(refused, make, name):
    exchange, queue = make.exchange("x-consistent-hash"), make.queue()
    refused(lambda c: c.queue_bind(queue, exchange, "heavy"), 406, 'PRECONDITION_FAILED - The binding key must be an integer: <<"heavy">>')
    refused(lambda c: c.queue_bind(queue, exchange, "0"), 406, "PRECONDITION_FAILED - The binding key must be greater than 0")
    refused(
        lambda c: c.exchange_declare(name, "x-consistent-hash", arguments={"hash-header": "h", "hash-property": "message_id"}),
        406,
        "PRECONDITION_FAILED - hash-header and hash-property are mutually exclusive",
    )
    refused(
        lambda c: c.exchange_declare(name, "x-consistent-hash", arguments={"hash-property": "weight"}),
        406,
        "PRECONDITION_FAILED - Unsupported property: weight",
    )


@pytest.mark.not_on_rabbit("needs the delayed-message plug-in")
def test_delayed_exchange_needs_a_type(refused, name):
    with pytest.raises(AssertionError, match="existing exchange type"):
        refused(lambda c: c.exchange_declare(name, "x-delayed-message"), 406, "any")


def test_no_queue_declared_yet(raw):
    from test_frames import bind, get

    for method in (get(""), bind("", "amq.direct", "k")):
        peer = raw()
        peer.channel()
        peer.method(1, *method)
        code, text, _, _ = peer.expect_close()
        assert (code, text) == (404, "NOT_FOUND - no previously declared queue")


def test_direct_reply_to_refusals(refused):
    reply = "amq.rabbitmq.reply-to"
    refused(lambda c: c.basic_consume(reply, lambda *_: None), 406, "PRECONDITION_FAILED - reply consumer cannot acknowledge")
    refused(
        lambda c: c.basic_publish("", "q", b"", Properties(reply_to=reply)), 406, "PRECONDITION_FAILED - fast reply consumer does not exist"
    )
    refused(
        lambda c: [c.basic_consume(reply, lambda *_: None, auto_ack=True) for _ in range(2)],
        406,
        "PRECONDITION_FAILED - reply consumer already set",
    )


def test_nowait_errors_close_the_channel_too(raw, name):
    from test_frames import queue_declare

    peer = raw()
    peer.channel()
    peer.method(1, *queue_declare(name, flags=1 | 16))
    assert peer.expect_close() == (404, f"NOT_FOUND - no queue '{name}' in vhost '/'", 50, 10)


def test_after_an_error_the_channel_ignores_all_until_close_ok(raw, name):
    from test_frames import publish, queue_declare

    peer = raw()
    peer.channel()
    peer.method(1, *queue_declare(name, flags=1))
    peer.method(1, *publish("", "q"))
    peer.content(1, 60, 1, body=b"x")
    peer.method(1, *queue_declare(name + "-other", flags=1))
    assert peer.expect_close()[0] == 404
    peer.method(1, 20, 41)
    peer.channel(1)
    peer.method(1, *queue_declare(name, flags=4))
    peer.expect(50, 11)


def test_decimal_is_no_integer(refused, name):
    refused(
        lambda c: c.queue_declare(name, arguments={"x-message-ttl": Decimal("1.5")}),
        406,
        "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'Q' in vhost '/': \"expected integer, got decimal\"",
    )
