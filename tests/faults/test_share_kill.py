"""kill -9 again and again while a share group works: what was accepted does not come again, nothing is left out, no record is with two."""

import random
import struct
import threading
import time

from broker import eventually
from kafka_wire import Kafka, array, batch, string, values_of
from test_kafka_kill import Producer
from worker import Worker
import test_kafka_kill

ALTER, BEAT, TAKE, SETTLE = 44, 76, 78, 79
GROUP = "workers"
ACCEPT, RELEASE = 1, 2


def compact(text):
    return bytes([len(text) + 1]) + text.encode()


def compacts(items):
    return bytes([len(items) + 1]) + b"".join(items)


class Answer:
    """Reads an answer of a flexible version."""

    def __init__(self, data):
        self.data, self.at = data, 1

    def take(self, form):
        found = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return found[0] if len(found) == 1 else found

    def length(self):
        value = shift = 0
        while True:
            byte = self.take("B")
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value - 1

    def bytes(self):
        size = max(self.length(), 0)
        self.at += size
        return self.data[self.at - size : self.at]

    def each(self):
        return range(max(self.length(), 0))


class Ledger:
    """What all members know together."""

    def __init__(self):
        self.lock, self.held, self.accepted, self.seen, self.life = threading.Lock(), {}, set(), set(), 0


class Member(Worker):
    def __init__(self, one, name, ledger):
        super().__init__(lambda: Kafka(one.kafka_port))
        self.name, self.ledger, self.chance = name, ledger, random.Random(name)

    def beat(self, client):
        body = b"\0" + compact(GROUP) + compact(self.name) + struct.pack(">i", 0) + b"\0" + compacts([compact(test_kafka_kill.TOPIC)]) + b"\0"
        answer = Answer(client.call(BEAT, 1, body))
        code = answer.take("ih")[1]
        answer.bytes(), answer.bytes(), answer.take("iib"), answer.length()
        assert code == 0, code
        return answer.take("16s")

    def batches(self, records):
        each = [struct.pack(">qq", at, at) + compacts([bytes([kind])]) + b"\0" for at, kind in records]
        return compacts(each)

    def topics(self, topic, records):
        return compacts([topic + compacts([struct.pack(">i", 0) + self.batches(records) + b"\0"]) + b"\0"])

    def fetch(self, client, topic, epoch):
        head = b"\0" + compact(GROUP) + compact(self.name) + struct.pack(">iiiiii", epoch, 100, 1, 1 << 20, 20, 20)
        answer = Answer(client.call(TAKE, 1, head + self.topics(topic, []) + compacts([]) + b"\0"))
        code = answer.take("ih")[1]
        assert code == 0, code
        answer.bytes(), answer.take("i")
        values, offsets = {}, []
        for _ in answer.each():
            answer.take("16s")
            for _ in answer.each():
                code = answer.take("ih")[1]
                answer.bytes(), answer.take("h"), answer.bytes(), answer.take("iib")
                assert code == 0, code
                values = dict(values_of(answer.bytes()))
                for _ in answer.each():
                    first, last, _, _ = answer.take("qqhb")
                    offsets += range(first, last + 1)
                answer.take("b")
            answer.take("b")
        return {at: values[at] for at in offsets}

    def settle(self, client, topic, epoch, records):
        head = b"\0" + compact(GROUP) + compact(self.name) + struct.pack(">i", epoch)
        answer = Answer(client.call(SETTLE, 1, head + self.topics(topic, records) + b"\0"))
        code = answer.take("ih")[1]
        assert code == 0, code
        answer.bytes()
        answer.length(), answer.take("16s"), answer.length()
        code = answer.take("ih")[1]
        assert code == 0, f"{self.name}: error {code} for what it holds"

    def work(self, client):
        ledger, life = self.ledger, self.ledger.life
        topic, epoch = self.beat(client), 0
        while not self.stopping.is_set():
            got = self.fetch(client, topic, epoch)
            with ledger.lock:
                for at in got:
                    assert at not in ledger.accepted, f"{at} was accepted before"
                    holder = ledger.held.get(at)
                    assert holder is None or holder[1] != life, f"{at} is with {holder[0]} and with {self.name}"
                    ledger.held[at] = (self.name, life)
                ledger.seen.update(got.values())
            records = [(at, ACCEPT if self.chance.random() < 0.8 else RELEASE) for at in got]
            if records:
                with ledger.lock:
                    # Whoever gets it next may be told before this one is.
                    for at, kind in records:
                        ledger.held.pop(at, None)
                self.settle(client, topic, epoch + 1, records)
                with ledger.lock:
                    ledger.accepted.update(at for at, kind in records if kind == ACCEPT)
            epoch += 2 if records else 1


def test_kill_while_sharing(broker, request):
    kills = request.config.getoption("--kills")
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    one = broker(kafka_listen="127.0.0.1:0").start()
    client = Kafka(one.kafka_port)
    client.create(test_kafka_kill.TOPIC, 1)
    settings = {"share.auto.offset.reset": "earliest", "share.delivery.count.limit": "1000000"}
    configs = array([string(name) + b"\0" + string(value) for name, value in settings.items()])
    client.call(ALTER, 0, array([b"\x20" + string(GROUP) + configs]) + b"\0")
    ledger = Ledger()
    producer = Producer(lambda: one.kafka_port, "p0", 0)
    members = [Member(one, f"m{n}", ledger) for n in range(3)]
    for worker in members + [producer]:
        worker.start()
    for _ in range(kills):
        time.sleep(chance.uniform(0.1, 0.6))
        one.kill()
        with ledger.lock:
            ledger.life += 1
        one.start()
        before = len(ledger.accepted)
        failed = lambda: [worker.failure for worker in members + [producer] if worker.failure]
        eventually(lambda: failed() or len(ledger.accepted) > before, 20, "the group does not go on after the restart")
        assert not failed(), failed()
    producer.stop()
    # What was accepted last may have been answered by nobody, and is then accepted all the same.
    there = Kafka(one.kafka_port).read(test_kafka_kill.TOPIC, 0)
    eventually(lambda: failed() or all(value in ledger.seen for _, value in there), 30, "a record was given to nobody")
    assert not failed(), failed()
    for member in members:
        member.stop()
    one.stop()
    print(f"{kills} kills: {len(there)} records, {len(ledger.accepted)} known to be accepted")
