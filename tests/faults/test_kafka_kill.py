"""kill -9 again and again while Kafka producers write: nothing acknowledged is lost, nothing is there twice, the order stays."""

import random
import time
from collections import deque

from broker import eventually
from kafka_wire import Kafka, batch, values_of
from worker import Worker

TOPIC = "kills"
PARTITIONS = 3


class Producer(Worker):
    """An idempotent producer of one partition, five batches in flight. What a crash leaves unanswered it sends again, in the
    same order with the same numbers, as clients do: the broker has to know which of it is there."""

    def __init__(self, port, name, partition):
        super().__init__(lambda: Kafka(port()))
        self.name, self.partition = name, partition
        self.identity, self.next, self.acknowledged = None, 0, {}
        self.waiting = deque()

    def is_done(self):
        return self.stopping.is_set() and not self.waiting

    def work(self, client):
        if self.identity is None:
            self.identity = client.producer_id()
        for _, _, records in self.waiting:
            client.send_produce(TOPIC, self.partition, records)
        while not self.is_done():
            while len(self.waiting) < 5 and not self.stopping.is_set():
                count = 1 + self.next % 4
                values = [f"{self.name}:{self.next + n}:".encode() + b"x" * ((self.next + n) % 200) for n in range(count)]
                self.waiting.append((self.next, count, batch(values, self.identity, self.next)))
                self.next += count
                client.send_produce(TOPIC, self.partition, self.waiting[-1][2])
            _, answer = client.answer()
            code, offset = client.produced(TOPIC, answer)
            first, count, _ = self.waiting[0]
            assert code == 0, f"{self.name}: error {code} for the batch that begins with {first}"
            self.waiting.popleft()
            self.acknowledged.update({first + n: offset + n for n in range(count)})


class Reader(Worker):
    """Reads a partition through all crashes: what it has seen must be there at the end as it saw it."""

    def __init__(self, port, partition):
        super().__init__(lambda: Kafka(port()))
        self.partition, self.seen = partition, []

    def work(self, client):
        while not self.stopping.is_set():
            code, _, data = client.fetch(TOPIC, self.partition, len(self.seen))
            assert code == 0, f"a fetch from offset {len(self.seen)} is answered with error {code}"
            self.seen += [one for one in values_of(data) if one[0] >= len(self.seen)]


def test_kill_while_producing(broker, request):
    kills = request.config.getoption("--kills")
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    one = broker(kafka_listen="127.0.0.1:0").start()
    port = lambda: one.kafka_port
    Kafka(one.kafka_port).create(TOPIC, PARTITIONS)
    # The last two share a partition.
    producers = [Producer(port, f"p{n}", min(n, PARTITIONS - 1)) for n in range(PARTITIONS + 1)]
    readers = [Reader(port, partition) for partition in range(PARTITIONS)]
    for worker in producers + readers:
        worker.start()
    for _ in range(kills):
        time.sleep(chance.uniform(0.05, 0.5))
        one.kill()
        one.start()
        before = [len(producer.acknowledged) for producer in producers]
        going_on = lambda: [p.failure or len(p.acknowledged) > count for p, count in zip(producers, before)]
        eventually(lambda: all(going_on()), 20, "a producer does not go on after the restart")
        assert not any(worker.failure for worker in producers + readers), [worker.failure for worker in producers + readers]
    for producer in producers:
        producer.stop()
    client = Kafka(one.kafka_port)
    for partition in range(PARTITIONS):
        there = client.read(TOPIC, partition)
        assert [offset for offset, _ in there] == list(range(len(there))), "offsets are missing"
        for producer in producers:
            mine = [(int(value.split(b":")[1]), offset) for offset, value in there if value.startswith(producer.name.encode() + b":")]
            if producer.partition == partition:
                numbers = [number for number, _ in mine]
                assert numbers == list(range(producer.next)), f"{producer.name}: lost, twice or out of order near {wrong(numbers)}"
                assert dict(mine) == producer.acknowledged, f"{producer.name} was told other offsets"
            else:
                assert not mine
        reader = readers[partition]
        eventually(lambda: len(reader.seen) >= len(there), what="a reader does not come to the end")
        reader.stop()
        assert reader.seen == there, "a reader saw what is not there"
    one.stop()
    print(f"{kills} kills: {sum(producer.next for producer in producers)} records")


def wrong(numbers):
    """Where numbers stop to be 0, 1, 2, ..."""
    return next(((at, numbers[at - 2 : at + 3]) for at, number in enumerate(numbers) if at != number), len(numbers))


def test_producer_is_known_after_a_kill(broker):
    one = broker(kafka_listen="127.0.0.1:0").start()
    client = Kafka(one.kafka_port)
    client.create(TOPIC)
    identity = client.producer_id()
    first, second = batch([b"a", b"b"], identity, 0), batch([b"c"], identity, 2)
    assert client.produce(TOPIC, 0, first) == (0, 0)
    assert client.produce(TOPIC, 0, second) == (0, 2)
    one.kill()
    one.start()
    client = Kafka(one.kafka_port)
    assert client.produce(TOPIC, 0, second) == (0, 2), "it is told the offset it has"
    assert client.produce(TOPIC, 0, batch([b"e"], identity, 4))[0] == 45, "a gap is refused (OUT_OF_ORDER_SEQUENCE_NUMBER)"
    assert client.produce(TOPIC, 0, batch([b"d"], identity, 3)) == (0, 3)
    assert client.producer_id()[0] != identity[0], "a number is given once"
    assert [value for _, value in client.read(TOPIC, 0)] == [b"a", b"b", b"c", b"d"]
