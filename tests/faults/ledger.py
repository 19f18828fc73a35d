"""Who was promised what: publishers with confirms and consumers with acks that go on through every crash, and what must hold
at the end.

A consumer follows its acks with a confirmed publish on the same channel from time to time: the journal keeps their order, so
once that is confirmed, the acks are on disk, and nothing they settled may come back."""

import threading
import time

from wire import Client, Closed
from worker import Worker

MARKERS = "markers"


class Ledger:
    """What publishers were confirmed and consumers saw. `broken` is what did not hold."""

    def __init__(self):
        self.lock = threading.Lock()
        self.confirmed = set()
        self.seen = {}
        self.settled = set()
        self.broken = []
        self.refused = 0
        self.redelivered = 0

    def delivered(self, name, redelivered):
        with self.lock:
            if name in self.settled:
                self.broken.append(f"{name} came back after its ack was on disk")
            if name in self.seen and not redelivered:
                self.broken.append(f"{name} came again without `redelivered`")
            self.seen[name] = self.seen.get(name, 0) + 1
            self.redelivered += redelivered

    def missing(self):
        with self.lock:
            return self.confirmed - self.seen.keys()


class Witness(Worker):
    """Works on connections to `port()` and writes into the ledger."""

    LOST = (Closed, TimeoutError, ConnectionError)

    def __init__(self, port, ledger):
        super().__init__(lambda: Client(port(), timeout=10))
        self.ledger = ledger

    def lost(self, error):
        if isinstance(error, Closed) and error.code not in (0, 320):
            self.ledger.broken.append(f"the broker closed a connection: {error}")


class Publisher(Witness):
    """Publishes `name:number` with `window` unconfirmed at a time, and never the same number twice."""

    def __init__(self, port, ledger, name, topic="", key="", window=100, size=lambda number: number % 700, pause=0.0):
        super().__init__(port, ledger)
        self.name, self.topic, self.key = name, topic, key
        self.window, self.size, self.pause = window, size, pause
        self.number = 0

    def work(self, client):
        client.confirm()
        waiting = {}
        while not self.stopping.is_set() or waiting:
            if len(waiting) < self.window and not self.stopping.is_set():
                body = f"{self.name}:{self.number}:".encode()
                tag = client.publish(self.topic, self.key, body + b"x" * self.size(self.number))
                waiting[tag] = (self.name, self.number)
                self.number += 1
                if self.pause:
                    time.sleep(self.pause)
            timeout = 5 if len(waiting) >= self.window or self.stopping.is_set() else 0
            events = client.poll(timeout)
            if timeout and not events:
                raise TimeoutError("no confirm")
            for event in events:
                if event[0] in ("ack", "nack"):
                    tags = [tag for tag in waiting if tag <= event[1]] if event[2] else [event[1]]
                    names = {waiting.pop(tag) for tag in tags}
                    if event[0] == "ack":
                        self.ledger.confirmed |= names
                    else:
                        self.ledger.refused += len(names)


class Consumer(Witness):
    """Consumes, checks and acknowledges. One that `marks` publishes too, and is not listened to while publishers are blocked."""

    def __init__(self, port, ledger, queue, prefetch=100, pause=0.0, marks=True):
        super().__init__(port, ledger)
        self.queue, self.prefetch, self.pause, self.marks = queue, prefetch, pause, marks

    def work(self, client):
        client.confirm()
        client.consume(self.queue, "c", self.prefetch)
        last, acked, marker = {}, [], None
        while not self.stopping.is_set():
            for event in client.poll(0.05):
                if event[0] == "deliver":
                    publisher, number, _ = event[4].split(b":", 2)
                    name = (publisher.decode(), int(number))
                    if last.get(name[0], -1) >= name[1]:
                        self.ledger.broken.append(f"{name} came after {last[name[0]]}")
                    last[name[0]] = name[1]
                    self.ledger.delivered(name, event[3])
                    client.ack(event[2], event[2] % 3 == 0)
                    acked.append(name)
                    time.sleep(self.pause)
                elif event[0] == "ack" and marker and event[1] == marker[0]:
                    with self.ledger.lock:
                        self.ledger.settled.update(marker[1])
                    marker = None
            if len(acked) >= 20 and marker is None and self.marks:
                marker, acked = (client.publish("", MARKERS, b"m"), acked), []


def prepare(client, queues, topic="ledger"):
    """Durable queues behind a durable topic, with the key that is their name, and the queue for markers."""
    client.declare_queue(MARKERS, x_max_length=1)
    client.declare_topic(topic)
    for queue in queues:
        client.declare_queue(queue)
        client.bind(queue, topic, queue)
