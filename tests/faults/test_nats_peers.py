"""NATS peers that send what no client sends, or do not read: they are told so and cut off, memory is bounded, and the others go on."""

import os
import random
import socket
import threading
import time

import pytest
from broker import eventually
from nats_wire import Wire

MIB = 1 << 20


@pytest.fixture
def one(broker):
    started = broker(nats_listen="127.0.0.1:0").start()
    # The first login is checked against a hash, which takes memory of its own.
    with client(started) as nc:
        nc.ping()
    yield started
    # Whatever was sent, the next client is served.
    assert started.is_running(), started.log()
    with client(started) as nc:
        nc.send(b"SUB after.* 1\r\nPUB after.all 2\r\nhi\r\n")
        assert nc.message()[4] == b"hi"
    started.stop()


def client(broker, timeout_s=10, **options):
    return Wire(("127.0.0.1", broker.nats_port), options, timeout_s)


def push(wire, data):
    """Sends what the server may not want to the end."""
    try:
        wire.send(data)
    except OSError:
        pass


def is_cut_after(broker, data, says=b"-ERR"):
    with client(broker) as peer:
        push(peer, data)
        try:
            line = peer.line()
        except ConnectionResetError:
            line = b""
        assert line == b"" or line.startswith(says), line
        return peer.is_cut()


@pytest.mark.parametrize("start", [b"PUB ", b"SUB ", b"HPUB ", b"UNSUB ", b"CONNECT {", b"PING", b"", b"\r"])
def test_lines_without_an_end(one, start):
    before = one.resident_bytes()
    assert is_cut_after(one, start + b"a" * 8 * MIB)
    assert one.resident_bytes() - before < 32 * MIB


@pytest.mark.parametrize("line", [b"PUB %s 2\r\nhi\r\n", b"SUB %s 1\r\n", b"HPUB %s 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", b"PUB a %s 2\r\nhi\r\n"])
@pytest.mark.parametrize("word", [b"a" * 100_000, b"a." * 50_000 + b"a"])
def test_subjects_of_100_kilobytes(one, line, word):
    assert is_cut_after(one, line % word)


def test_lines_that_never_end_on_many_connections(one):
    before = one.resident_bytes()
    peers = [client(one) for _ in range(500)]
    for peer in peers:
        peer.send(b"PUB " + b"a" * 4000)
    time.sleep(0.5)
    assert one.resident_bytes() - before < 100 * MIB
    for peer in peers:
        peer.socket.close()


@pytest.mark.parametrize("data", [
    b"PUB a 2\r\nabcdef\r\n",
    b"PUB a 4\r\nab\r\nPUB b 2\r\n",
    b"PUB a 99999999999999999999\r\n",
    b"PUB a 18446744073709551615\r\n",
    b"PUB a 4294967296\r\n",
    b"PUB a -1\r\n",
    b"PUB a +1\r\nx\r\n",
    b"PUB a 0x10\r\n",
    b"PUB a 1048577\r\n",
    b"HPUB a 20 10\r\n" + b"x" * 40,
    b"HPUB a 12 99999999999\r\n",
    b"HPUB a -1 10\r\n",
    b"HPUB a 12\r\n",
    b"HPUB a 0 1048577\r\n",
])
def test_sizes_that_lie(one, data):
    before = one.resident_bytes()
    for _ in range(20):
        assert is_cut_after(one, data)
    assert one.resident_bytes() - before < 32 * MIB


def test_headers_without_an_end(one):
    """Blocks as long as a payload may be, or that are none: taken or refused, and never more than their size in memory."""
    before = one.resident_bytes()
    blocks = [b"NATS/1.0\r\n" + b"A: b\r\n" * 150_000, b"NATS/1.0\r\n" + b"A" * 900_000, b"NATS/1.0" + b"\r\n" * 400_000, b"\r\n" * 10,
              b"NATS/1.0\r\n" + b":\r\n" * 100_000 + b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"NATS/1.0 " + b"9" * 500_000, os.urandom(100_000)]
    with client(one) as reader:
        reader.send(b"SUB heads 1\r\n")
        reader.ping()
        for block in blocks:
            with client(one) as peer:
                push(peer, b"HPUB heads %d %d\r\n%shi\r\nPING\r\n" % (len(block), len(block) + 2, block))
                while (line := peer.line()) and line != b"PONG":
                    assert line.startswith(b"-ERR"), line
        reader.send(b"PUB heads 3\r\nend\r\n")
        # All that was taken comes, as it was sent.
        while (message := reader.message())[4] != b"end":
            assert message[4] == b"hi" and message[3] in blocks
    assert one.resident_bytes() - before < 64 * MIB


def test_a_million_subscriptions_of_one_connection(one):
    before = one.resident_bytes()
    peer = client(one, timeout_s=60)
    refusals = 0

    def hear():
        nonlocal refusals
        while (line := peer.line()) and line != b"PONG":
            assert line.startswith(b"-ERR "), line
            refusals += 1

    ear = threading.Thread(target=hear)
    ear.start()
    for begin in range(0, 1_000_000, 10_000):
        push(peer, b"".join(b"SUB million.%d.* %d\r\n" % (i, i) for i in range(begin, begin + 10_000)))
    push(peer, b"PING\r\n")
    ear.join(60)
    assert not ear.is_alive()
    assert refusals >= 1, "a million were taken"
    assert one.resident_bytes() - before < 512 * MIB
    with client(one) as other:
        begin = time.monotonic()
        other.send(b"SUB other 1\r\nPUB other 2\r\nhi\r\n")
        assert other.message()[4] == b"hi" and time.monotonic() - begin < 1
    peer.socket.close()
    # Nobody waits until the last of them is gone.
    with client(one) as other:
        for _ in range(100):
            begin = time.monotonic()
            other.ping()
            assert time.monotonic() - begin < 1


def test_long_subjects_of_many_subscriptions(one):
    """As long as a line may be, as many as there may be: their bytes are bounded too."""
    before = one.resident_bytes()
    peer = client(one, timeout_s=60)
    drain = threading.Thread(target=peer.is_cut)
    drain.start()
    subject = b"long." + b"x" * 3900
    for begin in range(0, 200_000, 1000):
        push(peer, b"".join(b"SUB %s.%d %d\r\n" % (subject, i, i) for i in range(begin, begin + 1000)))
    time.sleep(1)
    with client(one) as other:
        other.ping()
    assert one.resident_bytes() - before < 512 * MIB
    peer.socket.shutdown(socket.SHUT_RDWR)
    drain.join(20)
    assert not drain.is_alive()


def test_words_without_number_are_routed_in_time(one):
    """Wildcards at every place, and a subject of as many words as a line has room for."""
    with client(one, timeout_s=20) as peer:
        for sid in range(1, 2000):
            words = [b"*"] * (sid % 40 + 1)
            peer.send(b"SUB w.%s.> %d\r\n" % (b".".join(words), sid))
        peer.ping()
        begin = time.monotonic()
        for i in range(50):
            peer.send(b"PUB none.%d.%s 0\r\n\r\n" % (i, b"a." * 1900 + b"a"))
        peer.ping()
        assert time.monotonic() - begin < 2


@pytest.mark.parametrize("text", [
    b"{", b"[]", b"null", b'"x"', b"{}}", b'{"verbose":1}', b'{"user":{}}', b"[" * 1900, b'{"a":' * 600, b'{"verbose":true,"verbose":false', b"\xff\xfe{}",
    b'{"user":"' + b"a" * 3000 + b'"}', b'{"a":1e999999}', b'{"a":"\\ud800"}',
])
def test_greetings_that_are_none(one, text):
    with Wire(("127.0.0.1", one.nats_port), None) as peer:
        push(peer, b"CONNECT " + text + b"\r\nPING\r\n")
        line = peer.line()
        assert line in (b"", b"PONG", b"+OK") or line.startswith(b"-ERR "), line


def test_other_protocols(one):
    for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"AMQP\0\0\x09\x01", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\0" * 600, b"*1\r\n$4\r\nPING\r\n"):
        with Wire(("127.0.0.1", one.nats_port), None) as peer:
            push(peer, data)
            peer.socket.shutdown(socket.SHUT_WR)
            assert peer.is_cut()


def test_random_bytes_and_broken_lines(one):
    seed = int(os.environ.get("SEED", time.time_ns()))
    print("seed", seed)
    chance = random.Random(seed)
    lines = [b"PUB a 2\r\nhi\r\n", b"SUB a.> 1\r\n", b"UNSUB 1 3\r\n", b"HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", b"PING\r\n", b"CONNECT {}\r\n", b"PONG\r\n"]
    for _ in range(200):
        data = bytearray(b"".join(chance.choice(lines) for _ in range(20)))
        for _ in range(chance.randrange(1, 12)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with client(one) as peer:
            push(peer, bytes(data))
    assert one.is_running()


def test_who_does_not_read_answers_is_not_heard_on(one):
    before = one.resident_bytes()
    with client(one, timeout_s=3, verbose=True) as peer:
        try:
            for _ in range(200):
                peer.send(b"PING\r\n" * 100_000)
        except OSError:
            pass
        assert one.resident_bytes() - before < 100 * MIB


def test_deaf_subscribers_are_cut_and_nobody_waits(broker):
    one = broker(nats_listen="127.0.0.1:0", nats_max_pending="1 MiB", nats_write_deadline="1s").start()
    before = one.resident_bytes()
    deaf = []
    for _ in range(30):
        peer = client(one)
        peer.send(b"SUB flood 1\r\n")
        peer.ping()
        deaf.append(peer)
    with client(one, timeout_s=30) as reader, client(one, timeout_s=30) as sender:
        reader.send(b"SUB flood 1\r\n")
        reader.ping()
        seen = [0]

        def read():
            while seen[0] < 3000:
                reader.message()
                seen[0] += 1

        ear = threading.Thread(target=read)
        ear.start()
        begin, peak = time.monotonic(), 0
        for i in range(3000):
            sender.send(b"PUB flood 16384\r\n" + b"x" * 16384 + b"\r\n")
            if i % 10 == 0:
                sender.ping()
                peak = max(peak, one.resident_bytes())
        ear.join(30)
        assert seen[0] == 3000, "one that reads was cut too"
        assert time.monotonic() - begin < 20
        assert peak - before < 256 * MIB
        for peer in deaf:
            assert peer.is_cut()
    eventually(lambda: one.resident_bytes() - before < 128 * MIB, 10)
    one.stop()


def test_silent_connections_cost_little(one):
    before = one.resident_bytes()
    peers = [socket.create_connection(("127.0.0.1", one.nats_port)) for _ in range(500)]
    time.sleep(0.5)
    assert one.resident_bytes() - before < 40 * MIB
    with client(one) as nc:
        nc.ping()
    for peer in peers:
        peer.close()
