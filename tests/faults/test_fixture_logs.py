"""A data folder with logs, groups and transactions that version 0.2.0 wrote, kept in tests/fixtures/data-v2: every later version
opens it and finds all of it.

`python test_fixture_logs.py FOLDER` writes such a folder (POLYBUS_BIN, and root for a small disk). A new format gets a fixture of its
own beside this one, which stays as it is."""

import pathlib
import shutil
import struct
import sys
import time

import pika
from fixture import write_folder
from kafka_wire import INIT_PRODUCER_ID, PRODUCE, Kafka, array, batch, produce_body, string

FIXTURE = pathlib.Path(__file__).parent.parent / "fixtures" / "data-v2"
OFFSET_COMMIT, OFFSET_FETCH, DELETE_RECORDS, ADD_PARTITIONS, END = 8, 9, 21, 24, 26
TRANSACTIONAL = 16
# The first that a new broker gives out: what it sent is known by its number.
PRODUCER = (1, 0)


def partition(topic, *fields):
    """One partition of one topic, as most requests name them."""
    return array([string(topic) + array([b"".join(fields)])])


def number(value):
    return struct.pack(">i", value)


def after_name(data, topic, at):
    """Where the first partition's fields begin, behind its number."""
    return at + 4 + 2 + len(topic) + 4 + 4


def commit(kafka, group, topic, offset):
    body = string(group) + number(-1) + string("") + struct.pack(">q", -1)
    body += partition(topic, number(0), struct.pack(">q", offset), string("kept"))
    data = kafka.call(OFFSET_COMMIT, 2, body)
    assert struct.unpack_from(">h", data, after_name(data, topic, 0))[0] == 0


def committed(kafka, group, topic):
    data = kafka.call(OFFSET_FETCH, 1, string(group) + partition(topic, number(0)))
    return struct.unpack_from(">q", data, after_name(data, topic, 0))[0]


def trim(kafka, topic, offset):
    body = partition(topic, number(0), struct.pack(">q", offset)) + number(10_000)
    data = kafka.call(DELETE_RECORDS, 0, body)
    assert struct.unpack_from(">qh", data, after_name(data, topic, 4)) == (offset, 0)


def transactional(kafka, name):
    data = kafka.call(INIT_PRODUCER_ID, 1, string(name) + number(900_000))
    _, code, producer, epoch = struct.unpack_from(">ihqh", data)
    assert code == 0, code
    return producer, epoch


def transact(kafka, name, topic, producer, sequence, value, ends):
    """One record in a transaction, which is then committed (True), aborted (False) or left open (None)."""
    who = string(name) + struct.pack(">qh", *producer)
    data = kafka.call(ADD_PARTITIONS, 0, who + partition(topic, number(0)))
    assert struct.unpack_from(">h", data, after_name(data, topic, 4))[0] == 0
    body = produce_body(topic, 0, batch([value], producer, sequence, TRANSACTIONAL))
    # In place of the name of none.
    data = kafka.call(PRODUCE, 7, string(name) + body[2:])
    assert kafka.produced(topic, data)[0] == 0
    if ends is not None:
        data = kafka.call(END, 0, who + struct.pack(">?", ends))
        assert struct.unpack_from(">h", data, 4)[0] == 0


def ends(kafka, topic):
    """A partition's end, and the first offset that is in an open transaction."""
    partitions = array([struct.pack(">iqi", 0, 0, 1 << 20)])
    data = kafka.call(1, 4, struct.pack(">iiiib", -1, 0, 0, 1 << 20, 0) + array([string(topic) + partitions]))
    code, end, stable = struct.unpack_from(">hqq", data, after_name(data, topic, 4))
    assert code == 0, code
    return end, stable


def publish(one, count):
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", one.port))
    channel = connection.channel()
    channel.confirm_delivery()
    for at in range(count):
        channel.basic_publish("mixed", f"key {at}", b"from AMQP", pika.BasicProperties(delivery_mode=2))
    connection.close()


def write(one):
    """Two runs: one that ends in order, with a snapshot, and one that is killed, with records behind it."""
    one.start()
    kafka = Kafka(one.kafka_port)
    for topic, partitions in (("orders", 3), ("mixed", 1), ("accounts", 1)):
        kafka.create(topic, partitions)
    for at in range(9):
        assert kafka.produce("orders", at % 3, batch([b"%d" % at, b"%d again" % at]))[0] == 0
    assert kafka.producer_id() == PRODUCER
    assert kafka.produce("mixed", 0, batch([b"first"], PRODUCER, 0)) == (0, 0)
    publish(one, 2)
    transact(kafka, "teller", "accounts", transactional(kafka, "teller"), 0, b"kept", True)
    commit(kafka, "readers", "orders", 3)
    one.stop()
    one.start()
    kafka = Kafka(one.kafka_port)
    assert kafka.produce("mixed", 0, batch([b"second"], PRODUCER, 1)) == (0, 3)
    publish(one, 1)
    trim(kafka, "orders", 2)
    commit(kafka, "readers", "orders", 5)
    teller = transactional(kafka, "teller")
    transact(kafka, "teller", "accounts", teller, 0, b"taken back", False)
    transact(kafka, "teller", "accounts", teller, 1, b"left open", None)
    kafka.drop()
    # The mark of an idle journal.
    time.sleep(1.5)
    one.kill()


def check(one):
    """Exactly what must be there; twice, since what was recovered is then written by this version."""
    for again in range(2):
        kafka = Kafka(one.kafka_port)
        for at in range(3):
            expected = [b"%d%s" % (n, tail) for n in (at, at + 3, at + 6) for tail in (b"", b" again")]
            expected = list(enumerate(expected))
            assert kafka.read("orders", at, 2 if at == 0 else 0) == (expected[2:] if at == 0 else expected)
        # Before the start is out of range.
        assert kafka.fetch("orders", 0, 0)[0] == 1
        assert committed(kafka, "readers", "orders") == 5
        # What an idempotent producer sends once more is known, and it goes on.
        assert kafka.fetch("mixed", 0, 0)[1] == 5 + again
        assert kafka.produce("mixed", 0, batch([b"second"], PRODUCER, 1)) == (0, 3)
        assert kafka.produce("mixed", 0, batch([b"next"], PRODUCER, 2 + again)) == (0, 5 + again)
        # Kept and its end, taken back and its end; what was left open is aborted by its timeout or by its producer's next life.
        teller = transactional(kafka, "teller")
        assert ends(kafka, "accounts") == ((6, 6) if again == 0 else (8, 8))
        if again == 0:
            transact(kafka, "teller", "accounts", teller, 0, b"kept too", True)
        kafka.drop()
        one.stop()
        one.start()
    one.stop()


def test_fixture_of_version_2(broker, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(FIXTURE, data)
    check(broker(data=data, kafka_listen="127.0.0.1:0").start())


def test_logs_that_are_written_now(broker):
    one = broker(kafka_listen="127.0.0.1:0")
    write(one)
    check(one.start())


if __name__ == "__main__":
    write_folder(write, sys.argv[1], kafka_listen="127.0.0.1:0")
