"""Reading, working and writing in transactions, while worker and broker are killed: each record has its effect once."""

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from conftest import DEADLINE_S, until

COUNT, PARTITIONS, KILLS = 4000, 2, 8
LOOP = Path(__file__).with_name("loop.py")


class Worker:
    """A loop in a process of its own, killed as often as it is told to; its transactions are counted."""

    def __init__(self, *arguments):
        self.arguments, self.done = arguments, 0
        self.start()

    def start(self):
        command = [sys.executable, LOOP, *self.arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.ear = threading.Thread(target=self.listen, args=(self.process.stdout,), daemon=True)
        self.ear.start()

    def listen(self, said):
        for line in said:
            self.done += int(line)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.ear.join(DEADLINE_S)
        self.process.stdout.close()


def test_exactly_once_while_worker_and_broker_are_killed(server):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    one = server()
    admin = AdminClient({"bootstrap.servers": one.address})
    for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in ("in", "out")]).values():
        made.result(DEADLINE_S)
    producer = Producer({"bootstrap.servers": one.address, "enable.idempotence": True, "message.timeout.ms": 60000})
    refused = []
    note = lambda error, _: refused.append(error) if error else None
    worker = Worker(one.address, "in", "out")
    try:
        for kill in range(KILLS):
            share = COUNT // KILLS
            for number in range(kill * share, (kill + 1) * share):
                producer.produce("in", b"%d" % number, partition=number % PARTITIONS, on_delivery=note)
            producer.poll(0)
            # Somewhere in its transactions.
            before = worker.done
            until(lambda: worker.done > before, 60, "the loop goes on")
            time.sleep(chance.uniform(0, 0.05))
            if kill % 2:
                one.restart(signal.SIGKILL)
            else:
                worker.kill()
                worker.start()
        assert producer.flush(60) == 0 and not refused, refused
        consumer = Consumer({"bootstrap.servers": one.address, "group.id": "look", "isolation.level": "read_committed", "enable.auto.commit": False})
        consumer.assign([TopicPartition("out", partition, 0) for partition in range(PARTITIONS)])
        got = {partition: [] for partition in range(PARTITIONS)}
        end = time.monotonic() + 90
        while sum(map(len, got.values())) < COUNT and time.monotonic() < end:
            for message in consumer.consume(500, 0.2):
                if message.error() is None:
                    got[message.partition()].append(int(message.value()))
        # Nothing comes after them.
        assert not [message for message in consumer.consume(1, 1.0) if message.error() is None]
        consumer.close()
    finally:
        worker.kill()
    for partition, numbers in got.items():
        assert numbers == [2 * number for number in range(partition, COUNT, PARTITIONS)], f"partition {partition}: lost, doubled or out of order"
