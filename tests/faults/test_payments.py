"""What transactions write is handed to the bindings of their topic once they are committed: through kill -9 again and again, and
through an upgrade in the middle of a transaction."""

import os
import random
import struct
import time

import broker as brokers
import pytest
from broker import eventually
from kafka_wire import PRODUCE, Kafka, array, batch, produce_body, read_varint, string
from ledger import MARKERS, Consumer, Ledger
from test_fixture_logs import ADD_PARTITIONS, END, TRANSACTIONAL, after_name, transact, transactional
from wire import Client
from worker import Worker

TOPIC, QUEUE = "payments", "paid"
PARTITIONS = 2
CONTROL = 32


def call(client, api, body):
    """The error of an answer that begins with the time to wait."""
    return struct.unpack_from(">h", client.call(api, 0, body), 4)[0]


class Payer(Worker):
    """Transaction after transaction, each with records in both partitions; every fourth is aborted. What a kill leaves open is
    aborted by the next life of the same name."""

    def __init__(self, one, name):
        super().__init__(lambda: Kafka(one.kafka_port))
        self.name, self.number, self.committed = name, 0, set()

    def work(self, client):
        who = transactional(client, self.name)
        # A new epoch counts anew.
        sequences = [0] * PARTITIONS
        while not self.stopping.is_set():
            first, self.number = self.number, self.number + 3
            me = string(self.name) + struct.pack(">qh", *who)
            added = client.call(ADD_PARTITIONS, 0, me + array([string(TOPIC) + array([struct.pack(">i", n) for n in range(PARTITIONS)])]))
            assert struct.unpack_from(">h", added, after_name(added, TOPIC, 4))[0] == 0
            written = set()
            for partition in range(PARTITIONS):
                values = [f"{self.name}-{partition}:{number}:".encode() + b"x" * (number % 200) for number in range(first, first + 3)]
                body = produce_body(TOPIC, partition, batch(values, who, sequences[partition], TRANSACTIONAL))
                code = client.produced(TOPIC, client.call(PRODUCE, 7, string(self.name) + body[2:]))[0]
                assert code == 0, code
                sequences[partition] += 3
                written |= {(f"{self.name}-{partition}", number) for number in range(first, first + 3)}
            commits = first % 12 != 0
            assert call(client, END, me + struct.pack(">?", commits)) == 0
            if commits:
                self.committed |= written


def committed(client, partition):
    """What of a partition is committed, by the marks of the ends that stand in it."""
    offset, open_, found = 0, {}, set()
    while True:
        code, end, data = client.fetch(TOPIC, partition, offset, wait_ms=0)
        assert code == 0, code
        at = 0
        while len(data) - at >= 61 and at + 12 + (size := struct.unpack_from(">i", data, at + 8)[0]) <= len(data):
            attributes, last, producer = *struct.unpack_from(">hi", data, at + 21), struct.unpack_from(">q", data, at + 43)[0]
            records = struct.unpack_from(">i", data, at + 57)[0]
            values, place = [], at + 61
            for _ in range(records):
                length, place = read_varint(data, place)
                stop, place = place + length, place + 1
                for _ in range(2):
                    _, place = read_varint(data, place)
                key, place = read_varint(data, place)
                if attributes & CONTROL:
                    assert key == 4
                    kept = open_.pop(producer, [])
                    found |= set(kept if struct.unpack_from(">hh", data, place)[1] == 1 else [])
                else:
                    length, place = read_varint(data, place)
                    name, number, _ = data[place : place + length].split(b":")
                    values.append((name.decode(), int(number)))
                place = stop
            open_.setdefault(producer, []).extend(values)
            offset = struct.unpack_from(">q", data, at)[0] + last + 1
            at += 12 + size
        if offset >= end:
            return found


def bind(one):
    client = Client(one.port)
    client.declare_queue(MARKERS, x_max_length=1)
    client.declare_queue(QUEUE)
    client.bind(QUEUE, TOPIC, "")
    client.drop()


def test_kill_while_paying(broker, request):
    kills = request.config.getoption("--kills")
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    one = broker(kafka_listen="127.0.0.1:0").start()
    Kafka(one.kafka_port).create(TOPIC, PARTITIONS)
    bind(one)
    ledger = Ledger()
    payers = [Payer(one, name) for name in ("ada", "eve")]
    consumer = Consumer(lambda: one.port, ledger, QUEUE)
    for worker in [*payers, consumer]:
        worker.start()
    for _ in range(kills):
        before = [len(payer.committed) for payer in payers]
        going_on = lambda: [p.failure or len(p.committed) > count for p, count in zip(payers, before)]
        eventually(lambda: all(going_on()), 20, "a producer does not go on after the restart")
        assert not any(payer.failure for payer in payers), [payer.failure for payer in payers]
        time.sleep(chance.uniform(0.02, 0.3))
        one.kill()
        one.start()
    for payer in payers:
        payer.stop()
    # Where a kill took the answer of a commit, the log knows whether there was one.
    client = Kafka(one.kafka_port)
    expected = set().union(*(committed(client, partition) for partition in range(PARTITIONS)))
    told = set().union(*(payer.committed for payer in payers))
    assert told <= expected, f"committed and not in the log: {sorted(told - expected)[:10]} (seed {seed})"
    eventually(lambda: expected <= ledger.seen.keys(), 20, f"committed and not handed on: {sorted(expected - ledger.seen.keys())[:10]} (seed {seed})")
    eventually(lambda: one.queue(QUEUE)["ready"] + one.queue(QUEUE)["unacknowledged"] == 0)
    consumer.stop()
    assert ledger.seen.keys() == expected, f"handed on and not committed: {sorted(ledger.seen.keys() - expected)[:10]} (seed {seed})"
    assert not ledger.broken, (seed, ledger.broken[:10])
    one.stop()
    print(f"{kills} kills: {len(expected)} records paid, {len(ledger.settled)} settled for good, {ledger.redelivered} redelivered")


@pytest.mark.skipif("POLYBUS_0_3" not in os.environ, reason="POLYBUS_0_3 is to name the program of version 0.3.0")
@pytest.mark.parametrize("ends", ["in order", "killed"])
def test_a_transaction_over_the_upgrade_from_0_3(broker, monkeypatch, ends):
    """0.3 handed on at the append what is handed on at the commit now."""
    monkeypatch.setattr(brokers, "BIN", os.environ["POLYBUS_0_3"])
    one = broker(kafka_listen="127.0.0.1:0").start()
    client = Kafka(one.kafka_port)
    client.create(TOPIC)
    bind(one)
    who = transactional(client, "over")
    transact(client, "over", TOPIC, who, 0, b"before", None)
    eventually(lambda: one.queue(QUEUE)["ready"] == 1)
    if ends == "killed":
        one.stop()
        one.start()
        transact(Kafka(one.kafka_port), "over", TOPIC, who, 1, b"killed", None)
        one.kill()
    else:
        one.stop()
    monkeypatch.undo()
    one.start()
    # And once more, before anything of it ends.
    one.kill()
    one.start()
    sequence = 2 if ends == "killed" else 1
    transact(Kafka(one.kafka_port), "over", TOPIC, who, sequence, b"after", True)
    bodies = []
    client = Client(one.port)
    client.consume(QUEUE, "c")
    while events := client.poll(1):
        bodies += [event[4] for event in events]
    assert bodies == [b"before", *([b"killed"] if ends == "killed" else []), b"after"]
    client.close()
    one.stop()
