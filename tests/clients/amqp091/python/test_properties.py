"""Properties arrive as they were sent: every field, every type, in the same order, octet for octet."""

import datetime
import struct
from decimal import Decimal

import pytest
from conftest import get, until
from pika import BasicProperties as Properties
from test_frames import consume
from test_frames import get as get_method
from wire import longstr, read_properties, shortstr, table

FIELDS = {
    "content_type": "text/plain; charset=utf-8",
    "content_encoding": "gzip",
    "headers": {"a": 1, "b": "text"},
    "delivery_mode": 2,
    "priority": 200,
    "correlation_id": "c" * 255,
    "reply_to": "somewhere",
    "expiration": "3600000",
    "message_id": "mäß-id",
    "timestamp": 2**40,
    "type": "order.created",
    "user_id": "guest",
    "app_id": "polybus-tests",
    "cluster_id": "old",
}


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_alone(ch, make, field):
    queue = make.queue()
    ch.basic_publish("", queue, b"x", Properties(**{field: FIELDS[field]}))
    got = get(ch, queue)[1]
    assert {k: v for k, v in vars(got).items() if v is not None} == {field: FIELDS[field]}


def test_all_fields(ch, make):
    queue = make.queue()
    ch.basic_publish("", queue, b"x", Properties(**FIELDS))
    assert vars(get(ch, queue)[1]) == FIELDS


def test_headers_as_pika_knows_them(ch, make):
    queue = make.queue()
    headers = {
        "bool": True,
        "not": False,
        "small": 1,
        "negative": -1,
        "int": 2**31 - 1,
        "long": 2**62,
        "text": "grüß dich",
        "long text": "x" * 70_000,
        "empty": "",
        "bytes": b"\x00\x01\xff",
        "decimal": Decimal("3.14"),
        "time": datetime.datetime(2026, 11, 20, 12, 30, 15, tzinfo=datetime.timezone.utc),
        "none": None,
        "table": {"inner": {"deeper": {"deepest": [1, {"x": "y"}]}}, "empty": {}},
        "array": ["a", 1, True, None, ["nested", []], {"t": 1}],
    }
    ch.basic_publish("", queue, b"x", Properties(headers=headers))
    assert get(ch, queue)[1].headers == headers


EVERY_TYPE = [
    ("z-first", "t", True),
    ("false", "t", False),
    ("byte", "b", -128),
    ("ubyte", "B", 255),
    ("short", "s", -32768),
    ("ushort", "u", 65535),
    ("int", "I", -(2**31)),
    ("uint", "i", 2**32 - 1),
    ("long", "l", -(2**63)),
    ("float", "f", 1.5),
    ("double", "d", 3.141592653589793),
    ("decimal", "D", (3, -12345)),
    ("text", "S", "grüß"),
    ("bytes", "x", b"\x00\xff"),
    ("time", "T", 1_700_000_000),
    ("void", "V", None),
    ("table", "F", [("b", "I", 1), ("a", "I", 2), ("t", "F", [("x", "A", [("S", "y")])])]),
    ("array", "A", [("I", 1), ("S", "a"), ("A", [("t", True)]), ("F", [("k", "l", 9)]), ("V", None)]),
    ("empty table", "F", []),
    ("empty array", "A", []),
    ("", "S", "no name"),
    ("a-last", "I", 7),
]


def round_trip(raw, queue, flags, properties):
    peer = raw()
    peer.channel()
    peer.publish(1, "", queue, b"x", struct.pack(">H", flags) + properties)

    def arrived():
        peer.method(1, *get_method(queue))
        return peer.read_method()[2] == 71

    until(arrived)
    kind, _, payload = peer.read_frame()
    assert kind == 2
    return payload


def test_every_type_in_the_order_sent(raw, make):
    payload = round_trip(raw, make.queue(), 0x2000, table(EVERY_TYPE))
    assert read_properties(payload)[4]["headers"] == EVERY_TYPE


def test_octet_for_octet(raw, make):
    properties = b"".join(
        [
            shortstr("text/plain"),
            shortstr("gzip"),
            table(EVERY_TYPE),
            b"\x02\x05",
            *(shortstr(s) for s in ("corr", "reply", "60000", "id")),
            struct.pack(">Q", 2**33),
            *(shortstr(s) for s in ("type", "guest", "app", "cluster")),
        ]
    )
    payload = round_trip(raw, make.queue(), 0xFFFC, properties)
    assert payload == struct.pack(">HHQH", 60, 0, 1, 0xFFFC) + properties


def test_headers_given_twice_are_kept(raw, make):
    entries = [("a", "I", 1), ("b", "I", 2), ("a", "I", 3)]
    payload = round_trip(raw, make.queue(), 0x2000, table(entries))
    assert read_properties(payload)[4]["headers"] == entries


def test_properties_through_a_consumer(raw, make):
    queue = make.queue()
    peer = raw()
    peer.channel()
    peer.method(1, *consume(queue, "tag", 2))
    peer.expect(60, 21)
    for i in range(5):
        peer.publish(1, "", queue, b"x" * i, struct.pack(">H", 0x2000) + table([*EVERY_TYPE, ("i", "I", i)]))
    for i in range(5):
        peer.expect(60, 60)
        _, _, size, _, properties = read_properties(peer.read_frame()[2])
        assert (size, properties["headers"]) == (i, [*EVERY_TYPE, ("i", "I", i)])
        if i:
            assert peer.read_frame()[2] == b"x" * i


def test_text_header_that_is_not_utf8(raw, make):
    entry = shortstr("bin") + b"S" + longstr(b"\xff\xfe\x00")
    payload = round_trip(raw, make.queue(), 0x2000, longstr(entry))
    assert payload.endswith(longstr(entry))


def test_many_headers(ch, make):
    queue = make.queue()
    headers = {f"header-{i}": i for i in range(2000)}
    ch.basic_publish("", queue, b"x", Properties(headers=headers))
    assert get(ch, queue)[1].headers == headers
