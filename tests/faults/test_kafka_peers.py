"""Kafka peers that send what no client sends: they are answered or cut off, nothing of it is stored, memory is bounded, and the others go
on."""

import gzip
import os
import random
import socket
import struct
import time
import zlib

import pytest
from broker import eventually
from kafka_wire import API_VERSIONS, FETCH, METADATA, Kafka, array, batch, fetch_body, produce_body, string

TOPIC = "peers"
MIB = 1 << 20
ALL = struct.pack(">i", -1)
LIST_OFFSETS = 2


@pytest.fixture
def one(broker):
    started = broker(kafka_listen="127.0.0.1:0").start()
    Kafka(started.kafka_port).create(TOPIC)
    yield started
    # Whatever was sent, the next client is served.
    assert started.is_running(), started.log()
    client = Kafka(started.kafka_port)
    code, offset = client.produce(TOPIC, 0, batch([b"after all"]))
    assert code == 0
    assert client.read(TOPIC, 0, offset) == [(offset, b"after all")]
    started.stop()


def framed(data):
    return struct.pack(">i", len(data)) + data


def test_counts_that_ask_for_memory(one):
    before = one.resident_bytes()
    # Sixteen bytes: Metadata 9 for 2^32 - 2 topics.
    small = struct.pack(">hhih", METADATA, 9, 1, -1) + b"\0" + b"\xff\xff\xff\xff\x0f"
    assert len(small) == 16
    for data in (framed(small), framed(struct.pack(">hhihi", METADATA, 1, 1, -1, 0x7FFFFFFF)), framed(struct.pack(">hhih", FETCH, 4, 1, -1) + struct.pack(">iiiibi", -1, 0, 0, 1, 0, 0x7FFFFFFF))):
        for _ in range(20):
            client = Kafka(one.kafka_port)
            client.send_raw(data)
            assert client.is_closed()
    assert one.resident_bytes() - before < 64 * MIB


@pytest.mark.parametrize("size", [-1, -0x80000000, 0, 1, 7, 0x7FFFFFFF, 101 * MIB])
def test_sizes_that_no_frame_has(one, size):
    client = Kafka(one.kafka_port)
    client.send_raw(struct.pack(">i", size) + b"\0" * 16)
    assert client.is_closed()


def test_other_protocols(one):
    for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"AMQP\0\0\x09\x01", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b"PING\r\n" * 10):
        client = Kafka(one.kafka_port)
        client.send_raw(data)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.is_closed()


def test_unknown_requests_and_versions(one):
    client = Kafka(one.kafka_port)
    # Whoever asks for too new a version is told those there are, in the oldest form.
    answer = client.call(API_VERSIONS, 99, b"")
    code, count = struct.unpack_from(">hi", answer)
    assert code == 35 and count > 10 and len(answer) == 6 + 6 * count
    for api, version in ((METADATA, 99), (METADATA, -1), (999, 0), (-1, 0), (4, 0)):
        other = Kafka(one.kafka_port)
        other.send(api, version, b"\0" * 20)
        assert other.is_closed(), (api, version)
    assert client.call(METADATA, 1, ALL)


def test_corrupt_batches(one):
    client = Kafka(one.kafka_port)
    good = batch([b"one", b"two"])
    flip = lambda at: good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
    wrong = {f"byte {at} flipped": flip(at) for at in (*range(8, 12), *range(16, 24), 30, 57, 60, 61, 65, len(good) - 1)}
    wrong |= {
        "cut off": good[:-1],
        "head alone": good[:61],
        "half a head": good[:20],
        "more than it says": good + b"\0",
        "too many": batch([b"x"], count=1000),
        "none": batch([b"x"], count=0),
        "fewer than none": batch([b"x"], count=-1),
        "control": batch([b"x"], attributes=1 << 5),
        "unknown compression": batch([b"x"], attributes=7),
        "empty": b"",
    }
    for what, records in wrong.items():
        code, _ = client.produce(TOPIC, 0, records)
        assert code != 0, f"{what}: it was taken"
    assert client.produce(TOPIC, 0, flip(61))[0] == 2, "CORRUPT_MESSAGE"
    assert client.fetch(TOPIC, 0, 0)[1:] == (0, b""), "nothing is stored"
    # One bad partition does not spoil the connection.
    assert client.produce(TOPIC, 0, good) == (0, 0)


@pytest.mark.xfail(reason="records stay opaque: behind a right CRC they are not unpacked and counted; Kafka answers INVALID_RECORD")
@pytest.mark.parametrize("lie", [{"values": [b"x", b"y"], "count": 1}, {"values": [b"x"], "attributes": 1}], ids=["too few", "not compressed"])
def test_records_that_are_not_what_their_batch_says(one, lie):
    assert Kafka(one.kafka_port).produce(TOPIC, 0, batch(**lie))[0] != 0


def bomb(bytes_in_all):
    """So many zeros as one record's value, in gzip: a thousandth of it on the wire."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    length = bytes_in_all + 20
    head = bytearray()
    value = length << 1
    while value > 127:
        head.append(value & 127 | 128)
        value >>= 7
    head.append(value)
    out = packer.compress(bytes(head))
    for _ in range(bytes_in_all // MIB):
        out += packer.compress(bytes(MIB))
    return out + packer.flush()


def test_compressed_bombs(one):
    body = bomb(600 * MIB)
    assert len(body) < MIB
    client = Kafka(one.kafka_port, timeout=30)
    before = one.resident_bytes()
    for count in (1, 100):
        code, _ = client.produce(TOPIC, 0, batch([b""] * count, attributes=1, body=body))
        # Who looks for a time in it has to look at the records.
        partition = array([struct.pack(">iq", 0, 1_700_000_000_000 - 1)])
        client.call(LIST_OFFSETS, 1, struct.pack(">i", -1) + array([string(TOPIC) + partition]))
        assert one.resident_bytes() - before < 300 * MIB, f"answered with {code}"
    client.produce(TOPIC, 0, batch([b"x"], attributes=1, body=gzip.compress(b"\xff" * 1000)))


def test_fetches_that_ask_for_the_moon(one):
    client = filled(one)
    before = one.resident_bytes()
    # The same partition a thousand times over in one request.
    deaf = Kafka(one.kafka_port)
    partitions = array([struct.pack(">iqi", 0, 0, 0x7FFFFFFF)] * 1000)
    deaf.send(FETCH, 4, struct.pack(">iiiib", -1, 0, 1, 0x7FFFFFFF, 0) + array([string(TOPIC) + partitions]))
    waiting = Kafka(one.kafka_port)
    waiting.send(FETCH, 4, fetch_body(TOPIC, 0, 60, wait_ms=0x7FFFFFFF, min_bytes=0x7FFFFFFF))
    for offset in (-1, -5, 1 << 62, -(1 << 63)):
        assert client.fetch(TOPIC, 0, offset)[0] == 1, "OFFSET_OUT_OF_RANGE"
    for wanted in (-1, 0, -0x80000000):
        client.fetch(TOPIC, 0, 0, max_bytes=wanted, min_bytes=wanted, wait_ms=0)
    assert client.fetch("nowhere", 0, 0)[0] == 3
    assert client.fetch(TOPIC, -1, 0)[0] == client.fetch(TOPIC, 0x7FFFFFFF, 0)[0] == 3
    assert one.resident_bytes() - before < 200 * MIB
    deaf.drop()
    waiting.drop()


def test_readers_that_are_deaf(one):
    filled(one)
    before = one.resident_bytes()
    deaf = [Kafka(one.kafka_port) for _ in range(20)]
    for each in deaf:
        for _ in range(5):
            each.send(FETCH, 4, fetch_body(TOPIC, 0, 0, max_bytes=0x7FFFFFFF))
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert one.resident_bytes() - before < 400 * MIB
        assert Kafka(one.kafka_port).call(METADATA, 1, ALL)
    for each in deaf:
        each.drop()


def filled(one):
    """A client of a topic that holds 42 MB."""
    client = Kafka(one.kafka_port)
    records = batch([b""], body=raw_record(os.urandom(700_000)))
    for _ in range(60):
        assert client.produce(TOPIC, 0, records)[0] == 0
    return client


def raw_record(value):
    length = lambda number: struct.pack("B", number) if number < 128 else struct.pack("B", number & 127 | 128) + length(number >> 7)
    inner = b"\0\0\0\x01" + length(len(value) << 1) + value + b"\0"
    return length(len(inner) << 1) + inner


def test_answers_that_nobody_reads(one):
    before = one.resident_bytes()
    deaf = Kafka(one.kafka_port, timeout=2)
    sent = 0
    try:
        while sent < 200_000:
            deaf.send_raw(framed(struct.pack(">hhih", METADATA, 1, sent, -1) + ALL) * 1000)
            sent += 1000
    except TimeoutError:
        pass
    assert one.resident_bytes() - before < 64 * MIB, f"after {sent} requests"
    deaf.drop()


def test_nonsense_for_every_request(one):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    answer = Kafka(one.kafka_port).call(API_VERSIONS, 0, b"")
    known = [struct.unpack_from(">hhh", answer, 6 + 6 * at) for at in range(struct.unpack_from(">i", answer, 2)[0])]
    before = one.resident_bytes()
    for api, low, high in known:
        for version in range(low, high + 1):
            for body in (b"", b"\xff" * 40, b"\x7f" * 40, b"\0" * 40, chance.randbytes(chance.randrange(200))):
                client = Kafka(one.kafka_port)
                client.send_raw(framed(struct.pack(">hhih", api, version, 1, -1) + body))
                client.socket.shutdown(socket.SHUT_WR)
                client.drop()
    assert one.is_running()
    eventually(lambda: one.resident_bytes() - before < 100 * MIB, what="memory is not given back")


def test_produces_that_are_wrong_elsewhere(one):
    client = Kafka(one.kafka_port)
    good = batch([b"x"])
    assert client.produce("nowhere-yet", 5, good)[0] == 3
    assert client.produce(TOPIC, -1, good)[0] == 3
    acks = client.call(0, 7, produce_body(TOPIC, 0, good, acks=7))
    assert client.produced(TOPIC, acks)[0] == 21, "INVALID_REQUIRED_ACKS"
    assert client.fetch(TOPIC, 0, 0)[1] == 0
    # Without acks there is nothing to answer with: the next answer is the next request's.
    client.send_produce(TOPIC, 0, good, acks=0)
    assert client.call(METADATA, 1, ALL)
    eventually(lambda: client.fetch(TOPIC, 0, 0)[1] == 1)
