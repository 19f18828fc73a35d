"""Opening, tuning and closing connections and channels."""

import os
import ssl
import struct
import time

import pika
import pytest
from conftest import HOST, PORT, get, parameters, until
from wire import HEARTBEAT, Closed, Raw, longstr, shortstr, table

CLOSES = [("capabilities", "F", [("authentication_failure_close", "t", True)])]
CAPABILITIES = [
    "publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify", "connection.blocked",
    "consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to",
]  # fmt: skip


def test_start_names_version_mechanisms_and_capabilities(raw):
    version, properties, mechanisms, locales = raw(open=False).start()
    assert version == (0, 9)
    assert {"PLAIN", "AMQPLAIN"} <= set(mechanisms.split())
    assert "en_US" in locales.split()
    by_name = {name: (kind, value) for name, kind, value in properties}
    assert {"capabilities", "product", "version", "platform"} <= set(by_name)
    assert all(by_name[name][0] == "S" for name in ("product", "version", "platform"))
    kind, capabilities = by_name["capabilities"]
    assert kind == "F"
    assert {(name, "t", True) for name in CAPABILITIES} <= set(capabilities)


def test_tune_offers_limits(raw):
    channel_max, frame_max, heartbeat = raw(open=False).open()
    assert channel_max == 2047
    assert frame_max == 131072
    assert heartbeat == 60


def test_open_and_close(connect):
    connection = connect()
    assert connection.is_open
    connection.close()
    assert connection.is_closed


def test_amqplain(raw):
    peer = raw(open=False)
    peer.start()
    response = table([("LOGIN", "S", "guest"), ("PASSWORD", "S", "guest")])[4:]
    peer.start_ok("AMQPLAIN", response)
    peer.tune()
    peer.open_vhost()
    peer.expect(10, 41)


@pytest.mark.parametrize("user, password", [("guest", "wrong"), ("nobody", "guest")])
def test_bad_login_is_closed_with_403(user, password):
    with pytest.raises(pika.exceptions.ProbableAuthenticationError) as error:
        pika.BlockingConnection(parameters(credentials=pika.PlainCredentials(user, password)))
    assert "(403) 'ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.'" in str(error.value)


def test_bad_login_by_amqplain(raw):
    peer = raw(open=False)
    peer.start()
    peer.start_ok("AMQPLAIN", table([("LOGIN", "S", "guest"), ("PASSWORD", "S", "bad")])[4:], CLOSES)
    assert peer.expect_close() == (
        403, "ACCESS_REFUSED - Login was refused using authentication mechanism AMQPLAIN. For details see the broker logfile.", 0, 0,
    )  # fmt: skip


def test_bad_login_without_the_capability_is_only_cut_off(raw):
    peer = raw(open=False)
    peer.start()
    peer.start_ok(response=b"\x00guest\x00wrong")
    with pytest.raises((Closed, ConnectionError)):
        peer.read_method()


@pytest.mark.parametrize("mechanism, response", [("NOSUCH", b""), ("PLAIN", b"guest"), ("AMQPLAIN", b"zzzz")])
def test_bad_mechanism_or_response_is_cut_off(raw, mechanism, response):
    peer = raw(open=False)
    peer.start()
    peer.start_ok(mechanism, response)
    with pytest.raises((Closed, ConnectionError, AssertionError)):
        peer.expect(10, 30)


@pytest.mark.parametrize("vhost", ["no-such-vhost", ""])
def test_unknown_vhost(raw, vhost):
    peer = raw(open=False)
    peer.start()
    peer.start_ok()
    peer.tune()
    peer.open_vhost(vhost)
    assert peer.expect_close() == (530, f"NOT_ALLOWED - vhost {vhost} not found", 10, 40)


def test_unknown_vhost_as_pika_sees_it():
    with pytest.raises(pika.exceptions.ProbableAccessDeniedError) as error:
        pika.BlockingConnection(parameters(virtual_host="no-such-vhost"))
    assert "(530) 'NOT_ALLOWED - vhost no-such-vhost not found'" in str(error.value)


def test_channel_max_is_kept(connect):
    connection = connect(channel_max=3)
    for _ in range(3):
        connection.channel()
    with pytest.raises(pika.exceptions.NoFreeChannels):
        connection.channel()


def test_more_channels_than_negotiated(raw):
    peer = raw(channel_max=2)
    peer.channel(1)
    peer.channel(2)
    peer.method(3, 20, 10, shortstr(""))
    code, text, _, _ = peer.expect_close()
    assert (code, text) == (530, "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)")


@pytest.mark.parametrize("limits", [{"channel_max": 5000}, {"frame_max": 1000}, {"frame_max": 200000}])
def test_tune_ok_outside_the_offer_is_cut_off(raw, limits):
    peer = raw(open=False)
    peer.start()
    peer.start_ok()
    peer.tune(**limits)
    peer.open_vhost()
    with pytest.raises((Closed, ConnectionError, AssertionError)):
        peer.expect(10, 41)


@pytest.mark.parametrize("size", [0, 1, 4087, 4088, 4089, 8176, 100_000])
def test_bodies_at_the_edges_of_a_small_frame_max(connect, make, size):
    channel = connect(frame_max=4096).channel()
    queue = make.queue()
    body = os.urandom(size)
    channel.basic_publish("", queue, body)
    assert get(channel, queue)[2] == body


def test_frames_never_exceed_the_negotiated_size(raw, make):
    queue = make.queue()
    peer = raw(frame_max=4096)
    peer.channel()
    body = bytes(9000)
    peer.method(1, 60, 40, struct.pack(">H", 0) + shortstr("") + shortstr(queue) + b"\x00")
    peer.content(1, 60, len(body), body_frames=[body[:4088], body[4088:8176], body[8176:]])
    sizes = []

    def arrived():
        peer.method(1, 60, 70, struct.pack(">H", 0) + shortstr(queue) + b"\x01")
        return peer.read_method()[2] == 71

    until(arrived)
    peer.read_frame()
    while sum(sizes) < 9000:
        sizes.append(len(peer.read_frame()[2]))
    assert sum(sizes) == 9000 and max(sizes) <= 4088


def test_empty_body_has_no_body_frame(raw, make):
    queue = make.queue()
    peer = raw()
    peer.channel()
    peer.publish(1, "", queue)
    peer.publish(1, "", queue, b"next")
    peer.method(1, 60, 20, struct.pack(">H", 0) + shortstr(queue) + shortstr("c") + b"\x02" + table())
    kinds = [peer.read_frame()[0] for _ in range(6)]
    assert kinds == [1, 1, 2, 1, 2, 3]


@pytest.mark.parametrize("size", [1 << 20, 10 << 20])
def test_bodies_of_megabytes(ch, make, size):
    queue = make.queue()
    body = os.urandom(1 << 20) * (size >> 20)
    ch.confirm_delivery()
    ch.basic_publish("", queue, body)
    assert get(ch, queue)[2] == body


def test_heartbeats_are_sent(raw):
    peer = raw(heartbeat=1)
    start = time.monotonic()
    kind, channel, payload = peer.read_frame()
    assert (kind, channel, payload) == (HEARTBEAT, 0, b"")
    assert time.monotonic() - start < 2.5


def test_a_silent_peer_is_cut_off(raw):
    peer = raw(heartbeat=1)
    start = time.monotonic()
    with pytest.raises((Closed, ConnectionError)):
        while True:
            assert peer.read_frame()[0] == HEARTBEAT
    assert 1.0 < time.monotonic() - start < 6


def test_no_heartbeats_where_none_are_asked_for(raw):
    peer = raw(heartbeat=0)
    peer.sock.settimeout(1.5)
    with pytest.raises(TimeoutError):
        peer.read_frame()


def test_heartbeats_keep_an_idle_connection(raw):
    peer = raw(heartbeat=1)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert peer.read_frame()[0] == HEARTBEAT
        peer.frame(HEARTBEAT, 0, b"")
    peer.channel()


def test_update_secret(conn):
    conn.update_secret("guest", "test")
    assert conn.channel().is_open


def test_update_secret_ok(raw):
    peer = raw()
    peer.method(0, 10, 70, longstr("guest") + shortstr("test"))
    peer.expect(10, 71)


def test_close_is_answered(raw):
    peer = raw()
    peer.method(0, 10, 50, struct.pack(">H", 200) + shortstr("bye") + bytes(4))
    peer.expect(10, 51)


def test_channel_error_leaves_the_rest_alone(conn, name):
    first, second = conn.channel(), conn.channel()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        first.queue_declare(name, passive=True)
    assert first.is_closed and second.is_open and conn.is_open
    second.queue_declare(name, exclusive=True)
    third = conn.channel()
    third.basic_publish("", name, b"x")
    assert get(second, name)[2] == b"x"


def test_a_closed_channel_number_can_be_opened_again(conn, name):
    channel = conn.channel(7)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        channel.queue_declare(name, passive=True)
    again = conn.channel(7)
    again.queue_declare(name, exclusive=True)


def test_channel_open_and_close_many_times(conn):
    for _ in range(200):
        conn.channel().close()


def test_channel_flow_on(raw):
    peer = raw()
    peer.channel()
    peer.method(1, 20, 20, b"\x01")
    assert peer.expect(20, 21).take("B") == 1


def test_many_connections(connect, name):
    connections = [connect() for _ in range(30)]
    connections[0].channel().queue_declare(name, auto_delete=True)
    for connection in connections:
        connection.channel().basic_publish("", name, b"x")
    channel = connections[0].channel()
    for _ in connections:
        get(channel, name)
    channel.queue_delete(name)


def test_another_protocol_is_told_ours(raw):
    peer = raw(open=False)
    peer.send(b"AMQP\x00\x00\x0a\x01")
    with pytest.raises((Closed, ConnectionError)):
        peer.fill(100)
    assert peer.buffer in (b"AMQP\x00\x00\x09\x01", b"")


@pytest.mark.skipif(not os.environ.get("AMQPS_PORT"), reason="AMQPS_PORT is not set")
def test_tls(connect, name):
    context = ssl.create_default_context(cafile=os.environ["AMQP_CA"])
    connection = connect(port=int(os.environ["AMQPS_PORT"]), ssl_options=pika.SSLOptions(context, "localhost"))
    channel = connection.channel()
    channel.queue_declare(name, exclusive=True)
    channel.basic_publish("", name, b"x" * 100_000)
    assert len(get(channel, name)[2]) == 100_000


@pytest.mark.skipif(not (os.environ.get("AMQPS_PORT") and os.environ.get("AMQP_CERT")), reason="AMQPS_PORT, AMQP_CERT are not set")
def test_tls_client_certificate_with_external(connect):
    context = ssl.create_default_context(cafile=os.environ["AMQP_CA"])
    context.load_cert_chain(os.environ["AMQP_CERT"], os.environ["AMQP_KEY"])
    connect(
        port=int(os.environ["AMQPS_PORT"]),
        ssl_options=pika.SSLOptions(context, "localhost"),
        credentials=pika.credentials.ExternalCredentials(),
    ).channel()


@pytest.mark.skipif(not os.environ.get("AMQPS_PORT"), reason="AMQPS_PORT is not set")
def test_plain_text_on_the_tls_port_is_cut_off():
    with Raw(HOST, int(os.environ["AMQPS_PORT"])) as peer, pytest.raises((Closed, ConnectionError)):
        peer.start()
    with Raw(HOST, PORT) as peer:
        peer.start()
