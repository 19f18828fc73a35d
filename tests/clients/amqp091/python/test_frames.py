"""What a hostile or broken peer sends: it is told so and cut off; everyone else goes on."""

import struct

import pytest
from conftest import get as get_message
from wire import Closed, longstr, shortstr, table


def queue_declare(queue, flags=0, arguments=()):
    """flags: 1 passive, 2 durable, 4 exclusive, 8 auto-delete, 16 no-wait"""
    return 50, 10, struct.pack(">H", 0) + shortstr(queue) + bytes([flags]) + table(arguments)


def bind(queue, exchange, key):
    return 50, 20, struct.pack(">H", 0) + shortstr(queue) + shortstr(exchange) + shortstr(key) + b"\x00" + table()


def consume(queue, tag, flags=0, arguments=()):
    """flags: 1 no-local, 2 no-ack, 4 exclusive, 8 no-wait"""
    return 60, 20, struct.pack(">H", 0) + shortstr(queue) + shortstr(tag) + bytes([flags]) + table(arguments)


def get(queue, no_ack=1):
    return 60, 70, struct.pack(">H", 0) + shortstr(queue) + bytes([no_ack])


def publish(exchange, key, flags=0):
    """flags: 1 mandatory, 2 immediate"""
    return 60, 40, struct.pack(">H", 0) + shortstr(exchange) + shortstr(key) + bytes([flags])


def header(size=0, flags=0, rest=b"", class_id=60, weight=0):
    return struct.pack(">HHQH", class_id, weight, size, flags) + rest


@pytest.fixture
def cut_off(raw, ch, name):
    """Sends by `action(peer)`: the peer is closed with one of those codes (None: or just cut off); a bystander goes on."""

    def check(action, *codes, text=None, channel=1):
        ch.queue_declare(name, exclusive=True)
        peer = raw()
        if channel:
            peer.channel(channel)
        action(peer)
        try:
            code, reply, _, _ = peer.expect_close()
            assert code in codes, (code, reply)
            assert text is None or reply == text
            peer.method(0, 10, 51)
            assert peer.at_end()
        except (Closed, ConnectionError):
            assert None in codes
        ch.basic_publish("", name, b"still here")
        assert get_message(ch, name)[2] == b"still here"

    return check


STATE = "CHANNEL_ERROR - unexpected method in connection state running"
CHANNEL_0 = {
    "channel.open": (20, 10, shortstr("")),
    "basic.get": get("q"),
    "connection.open": (10, 40, shortstr("/") + shortstr("") + b"\x00"),
    "connection.start-ok": (10, 11, table() + shortstr("PLAIN") + longstr(b"") + shortstr("en_US")),
}


@pytest.mark.parametrize("case", CHANNEL_0)
def test_wrong_method_on_channel_0(cut_off, case):
    cut_off(lambda p: p.method(0, *CHANNEL_0[case]), 504, text=STATE)


def test_channel_opened_twice(cut_off):
    cut_off(lambda p: p.method(1, 20, 10, shortstr("")), 504, text="CHANNEL_ERROR - second 'channel.open' seen")


def test_channel_not_opened(cut_off):
    cut_off(lambda p: p.method(5, *queue_declare("x")), 504, text="CHANNEL_ERROR - expected 'channel.open'")


def test_channel_used_after_close(raw):
    peer = raw()
    peer.channel()
    peer.method(1, 20, 40, struct.pack(">H", 200) + shortstr("bye") + bytes(4))
    peer.method(1, *queue_declare("x"))
    peer.expect(20, 41)
    assert peer.expect_close()[:2] == (504, "CHANNEL_ERROR - expected 'channel.open'")


def test_channel_open_before_connection_open(raw):
    peer = raw(open=False)
    peer.start()
    peer.start_ok()
    peer.tune()
    peer.method(1, 20, 10, shortstr(""))
    code, text, _, _ = peer.expect_close()
    assert (code, text) == (505, "UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>>")


@pytest.mark.parametrize("method", [(10, 50, struct.pack(">H", 200) + shortstr("") + bytes(4)), (50, 11, shortstr("a") + bytes(8))])
def test_method_that_is_not_for_a_channel(cut_off, method):
    cut_off(lambda p: p.method(1, *method), 503, text="COMMAND_INVALID - unimplemented method")


def test_unknown_frame_type(cut_off):
    cut_off(lambda p: p.frame(9, 1, b"zz"), 501, text='FRAME_ERROR - type 9, all octets = <<"zz">>: unknown_frame')


def test_bad_frame_end(cut_off):
    cut_off(
        lambda p: p.send(struct.pack(">BHI", 1, 1, 4) + b"abcd\x00"),
        501,
        text='FRAME_ERROR - type 1, all octets = <<"abcd">>: {invalid_frame_end_marker,0}',
    )


@pytest.mark.parametrize("size", [200_000, 2**31, 2**32 - 1])
def test_frame_above_the_negotiated_size(cut_off, size):
    cut_off(
        lambda p: p.send(struct.pack(">BHI", 3, 1, size)),
        501,
        text=f"FRAME_ERROR - type 3, all octets = <<>>: {{frame_too_large,{size},131064}}",
    )


def test_heartbeat_on_a_channel(cut_off):
    cut_off(lambda p: p.frame(8, 1, b""), 505, 501, 503)


def test_heartbeat_with_a_payload(cut_off):
    cut_off(lambda p: p.frame(8, 0, b"abc"), 501, 505, 503)


@pytest.mark.parametrize("method", [(99, 10), (50, 99)])
def test_unknown_class_or_method(cut_off, method):
    cut_off(lambda p: p.method(1, *method), None, 501, 503, 540)


def test_truncated_arguments(cut_off):
    cut_off(lambda p: p.method(1, 50, 10, b"\x00"), 501, 502)


def test_method_frame_too_short_for_a_method(cut_off):
    cut_off(lambda p: p.frame(1, 1, b"\x00"), None, 501, 502, 503, 541)


def test_short_string_that_is_not_utf8(cut_off):
    cut_off(lambda p: p.method(1, *queue_declare(b"\xff\xfe", 8)), 501, 502, text="FRAME_ERROR - Malformed UTF-8 in shortstr")


EXPECTED_METHOD = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
EXPECTED_HEADER = "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"
EXPECTED_BODY = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"
CONTENT = {
    "header alone": (lambda p: p.frame(2, 1, header()), EXPECTED_METHOD),
    "body alone": (lambda p: p.frame(3, 1, b"aa"), EXPECTED_METHOD),
    "no header": (lambda p: (p.method(1, *publish("", "q")), p.frame(3, 1, b"aa")), EXPECTED_HEADER),
    "method for a header": (lambda p: (p.method(1, *publish("", "q")), p.method(1, *queue_declare("z"))), EXPECTED_HEADER),
    "method amid the body": (
        lambda p: (p.method(1, *publish("", "q")), p.frame(2, 1, header(10)), p.frame(3, 1, b"abc"), p.method(1, *queue_declare("z"))),
        EXPECTED_BODY,
    ),
    "header of another class": (
        lambda p: (p.method(1, *publish("", "q")), p.frame(2, 1, header(class_id=50))),
        "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead",
    ),
}


@pytest.mark.parametrize("case", CONTENT)
def test_content_out_of_order(cut_off, case):
    action, text = CONTENT[case]
    cut_off(action, 505, text=text)


@pytest.mark.not_on_rabbit("3.10 takes more body than the header says")
def test_more_body_than_announced(cut_off):
    cut_off(lambda p: (p.method(1, *publish("", "q")), p.frame(2, 1, header(3)), p.frame(3, 1, b"abcdef")), 501, 505, 502)


@pytest.mark.parametrize(
    "payload",
    [header(0, 0x8000, b"\x20ab"), header(0, 0x2000, longstr(b"\x01aQ")), header(0, 0, b"zz"), header(0, 0x2000, b"\xff\xff\xff\xff")],
    ids=["short string past the end", "unknown field type", "octets left over", "table of 4 GiB"],
)
def test_bad_properties(cut_off, payload):
    cut_off(lambda p: (p.method(1, *publish("", "q")), p.frame(2, 1, payload)), 501, 502, 541)


def test_empty_body_frames_are_harmless(raw, make):
    queue = make.queue()
    peer = raw()
    peer.channel()
    peer.method(1, *publish("", queue))
    peer.content(1, 60, 3, body_frames=[b"", b"ab", b"", b"c"])
    get_message(make.channel, queue)


@pytest.mark.parametrize("claim", [600 << 20, 2**63, 2**64 - 1])
def test_body_size_that_is_a_lie(raw, ch, name, claim):
    """Refused at once, or waited for: never allocated."""
    ch.queue_declare(name, exclusive=True)
    peer = raw()
    peer.channel()
    peer.method(1, *publish("", name))
    peer.frame(2, 1, header(claim))
    peer.frame(3, 1, b"abc")
    ch.basic_publish("", name, b"still here")
    assert get_message(ch, name)[2] == b"still here"


def test_table_with_unknown_type(cut_off):
    cut_off(lambda p: p.method(1, 50, 10, struct.pack(">H", 0) + shortstr("z") + b"\x08" + longstr(b"\x01aQ")), None, 501, 502, 503, 541)


@pytest.mark.parametrize("count", [2**16, 2**32 - 1])
def test_table_longer_than_its_frame(cut_off, count):
    raw_table = struct.pack(">I", count) + b"\x01at\x01"
    cut_off(lambda p: p.method(1, 50, 10, struct.pack(">H", 0) + shortstr("z") + b"\x08" + raw_table), None, 501, 502, 503, 541)


def nested(depth):
    body = b""
    for _ in range(depth):
        body = b"\x01aF" + longstr(body)
    return longstr(body)


@pytest.mark.not_on_rabbit("it takes any depth")
@pytest.mark.parametrize("authenticated", [True, False])
def test_tables_nested_10000_deep(raw, ch, name, authenticated):
    ch.queue_declare(name, exclusive=True)
    peer = raw(open=authenticated)
    if authenticated:
        peer.channel()
        peer.method(1, 50, 10, struct.pack(">H", 0) + shortstr(name) + b"\x08" + nested(10_000))
    else:
        peer.start()
        peer.method(0, 10, 11, nested(10_000) + shortstr("PLAIN") + longstr(b"\x00guest\x00guest") + shortstr("en_US"))
    with pytest.raises((Closed, ConnectionError)):
        assert peer.expect_close()[0] in (501, 502, 503)
        raise Closed
    ch.basic_publish("", name, b"still here")
    assert get_message(ch, name)[2] == b"still here"


def test_frame_larger_than_allowed_before_authentication(raw):
    peer = raw(open=False)
    peer.start()
    peer.send(struct.pack(">BHI", 1, 0, 100_000_000))
    with pytest.raises((Closed, ConnectionError, AssertionError)):
        peer.expect(10, 30)


def test_garbage_instead_of_frames(raw, ch, name):
    for seed in range(20):
        peer = raw()
        peer.send(bytes((i * 7919 + seed * 104729) % 251 for i in range(500)))
        peer.sock.close()
    ch.queue_declare(name, exclusive=True)


def test_cut_in_the_middle_of_a_frame(raw, ch, name):
    ch.queue_declare(name, exclusive=True)
    for cut in (1, 6, 7, 8, 20):
        peer = raw()
        peer.channel()
        peer.send((struct.pack(">BHI", 1, 1, 60) + bytes(60))[:cut])
        peer.sock.close()
    peer = raw()
    peer.channel()
    peer.method(1, *publish("", name))
    peer.frame(2, 1, header(1000))
    peer.frame(3, 1, bytes(500))
    peer.sock.close()
    ch.basic_publish("", name, b"whole")
    assert get_message(ch, name)[2] == b"whole"


def test_one_octet_at_a_time(raw, make):
    queue = make.queue()
    peer = raw()
    peer.channel()
    sent, peer.send = bytearray(), lambda data: sent.extend(data)
    peer.publish(1, "", queue, b"slowly")
    for octet in sent:
        peer.sock.sendall(bytes([octet]))
    assert get_message(make.channel, queue)[2] == b"slowly"


def test_access_request_is_answered(raw):
    peer = raw()
    peer.channel()
    peer.method(1, 30, 10, shortstr("/data") + b"\x00")
    peer.expect(30, 11)
