"""A publisher ten times faster than its consumer, for ten minutes, beside a neighbour with two queues of its own."""

import multiprocessing
import time

from broker import eventually
from stage import MIB
from wire import Client, publication

NAME = "fast-publisher"
LIMIT = 128 * MIB
# A queue keeps an entry for each message that waits on disk, in a buffer that grows by doubling.
ENTRY_BYTES = 64
BODY = b"x" * 1000
BEAT_S = 0.02


def play(stage):
    seconds = stage.seconds or (2 if stage.quick else 600)
    slow, fast = 1_000, 10_000
    stage.outcome.did = f"{fast:,} messages of {len(BODY):,} bytes a second into a queue whose consumer takes {slow:,}, for {seconds:g} s"
    one = stage.start(limits_memory=LIMIT)
    client = Client(one.port)
    client.declare_queue("behind")
    context = multiprocessing.get_context("fork")
    published, consumed = context.Value("q", 0), context.Value("q", 0)
    work = [
        context.Process(target=publish, args=(one.port, fast, published), daemon=True),
        context.Process(target=consume, args=(one.port, slow, consumed), daemon=True),
    ]
    stage.bound(f"the 128 MiB of limits.memory + 64 MiB + {ENTRY_BYTES} bytes a message behind", LIMIT + 64 * MIB + ENTRY_BYTES * fast * seconds)
    began = time.monotonic()
    for process in work:
        process.start()
    while time.monotonic() < began + seconds:
        time.sleep(0.2)
        assert all(process.is_alive() for process in work), "the publisher or the consumer was cut off"
    for process in work:
        process.kill()
        process.join()
    took = time.monotonic() - began
    behind = one.queue("behind")
    rate_in, rate_out = published.value / took, consumed.value / took
    stage.found(f"{rate_in:,.0f} in and {rate_out:,.0f} out a second, {behind['ready']:,} messages ({behind['bytes'] / MIB:,.0f} MiB) behind at the end")
    stage.check(rate_in > 8 * rate_out, f"the publisher was not faster: {rate_in:,.0f} in, {rate_out:,.0f} out a second")
    stage.check(rate_out > 0.8 * slow, f"the consumer had only {rate_out:,.0f} a second of {slow:,}")
    stage.check(behind["ready"] + behind["unacknowledged"] + consumed.value >= published.value, "messages are lost")
    stage.phase("the queue is purged")
    began = time.monotonic()
    client.call(50, 30, b"\0\0\x06behind\0", timeout=60)
    stage.found(f"the purge took {time.monotonic() - began:.2f} s")
    client.delete_queue("behind")
    client.close()
    eventually(lambda: one.status()["connections"] == 1, 30)
    stage.over()


def publish(port, rate, published):
    client = Client(port, timeout=60)
    client.confirm()
    count = int(rate * BEAT_S)
    burst = publication("", "behind", BODY) * count
    sent, confirmed, due = 0, 0, time.monotonic()
    while True:
        client.send(burst)
        sent += count
        due += BEAT_S
        pause = 0.0
        while sent - confirmed >= 20 * count or pause >= 0:
            for event in client.poll(max(0.0001, pause)):
                if event[0] == "ack":
                    # Confirms of one publisher come in order.
                    confirmed = event[1]
            published.value = confirmed
            pause = due - time.monotonic()


def consume(port, rate, consumed):
    client = Client(port, timeout=60)
    client.consume("behind", "c", prefetch=200)
    began, count = time.monotonic(), 0
    while True:
        for event in client.poll(1):
            if event[0] == "deliver":
                count += 1
                if count % 20 == 0:
                    client.ack(event[2], multiple=True)
                    consumed.value = count
                    time.sleep(max(0.0, began + count / rate - time.monotonic()))
