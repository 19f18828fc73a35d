"""A client that means no harm: a hundred times a second it publishes to one of its two queues, and waits for the confirm and the
delivery. A process of its own, so that what it measures is the broker and not the load beside it."""

import dataclasses
import multiprocessing
import time

from wire import Client

PACE_S = 0.01
QUEUES = ["neighbour-0", "neighbour-1"]


@dataclasses.dataclass
class Trips:
    """Round trips of a stretch of time."""

    count: int
    rate_per_s: float
    p50_s: float
    p99_s: float
    most_s: float

    def __str__(self):
        p50, p99, most = (f"{seconds * 1000:.1f} ms" for seconds in (self.p50_s, self.p99_s, self.most_s))
        return f"{self.rate_per_s:.0f}/s, p50 {p50}, p99 {p99}, slowest {most}"


class Neighbour:
    """Trips from when it is made until it is stopped."""

    def __init__(self, port):
        context = multiprocessing.get_context("fork")
        self.ours, theirs = context.Pipe()
        self.process = context.Process(target=trip, args=(port, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def phase(self):
        """What its trips were like since it was last asked."""
        self.ours.send("phase")
        assert self.ours.poll(30), "the neighbour waits for more than 30 s"
        try:
            return Trips(*self.ours.recv())
        except EOFError:
            raise AssertionError("the neighbour was cut off") from None

    def stop(self):
        self.ours.send("stop")
        self.process.join(30)

    def kill(self):
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


def trip(port, pipe):
    client = Client(port, timeout=60)
    for queue in QUEUES:
        client.declare_queue(queue)
        client.consume(queue, queue, no_ack=True)
    client.confirm()
    took, began, turn = [], time.monotonic(), 0
    while True:
        start = time.monotonic()
        client.publish("", QUEUES[turn % 2], b"x" * 200)
        turn += 1
        seen = set()
        while not {"ack", "deliver"} <= seen:
            seen |= {event[0] for event in client.poll(60)}
        took.append(time.monotonic() - start)
        if pipe.poll(max(0.0, PACE_S - took[-1])):
            if pipe.recv() == "stop":
                break
            took.sort()
            pipe.send((len(took), len(took) / (time.monotonic() - began), took[len(took) // 2], took[len(took) * 99 // 100], took[-1]))
            took, began = [], time.monotonic()
    for queue in QUEUES:
        client.delete_queue(queue)
    client.close()
