"""A queue declared a million times, and a million queues declared and deleted, every second one of them durable."""

import os
import time

from stage import MIB
from wire import Client, method, short, table

NAME = "declare-a-million"
# A channel does one thing after the other: what is durable waits for the disk, so there are many channels.
CHANNELS = 1_000
AT_ONCE = 2 * CHANNELS
DECLARED, DELETED = (50, 11), (50, 41)
# Four segments that wait to be used again, one that is used, and one that may go.
DISK_BYTES_MAX = 6 * 64 * MIB


def play(stage):
    count = 2_000 if stage.quick else 1_000_000
    queues = stage.queues or count
    stage.outcome.did = f"one queue declared {count:,} times; {queues:,} queues declared and deleted, half of them durable"
    one = stage.start()
    stage.bound("64 MiB", 64 * MIB)
    client = Client(one.port, timeout=60)
    for channel in range(2, CHANNELS + 1):
        client.send(method(channel, 20, 10, b"\0"))
        client.wait_for((20, 11))
    again = declare(1, "the-same", durable=True)
    began = time.monotonic()
    for _ in range(0, count, AT_ONCE):
        ask(client, again * AT_ONCE, DECLARED)
    stage.found(f"{count / (time.monotonic() - began):,.0f} declarations of one queue a second")
    stage.check([queue["name"] for queue in one.ask("queues", "list")].count("the-same") == 1, "it is not there once")
    stage.phase(f"{queues:,} queues")
    began = time.monotonic()
    for begin in range(0, queues, AT_ONCE):
        names = [(1 + number // 2, f"short-lived-{begin + number}", number % 2 == 0) for number in range(AT_ONCE)]
        ask(client, b"".join(declare(*name) for name in names), DECLARED)
        ask(client, b"".join(delete(*name) for name in names), DELETED)
    stage.found(f"{queues / (time.monotonic() - began):,.0f} queues declared and deleted a second")
    client.delete_queue("the-same")
    client.close()
    stage.check(len(one.ask("queues", "list")) == 2, "a deleted queue is still there")
    stage.over()
    folder = sum(os.path.getsize(os.path.join(where, file)) for where, _, files in os.walk(one.data) for file in files)
    stage.found(f"{folder / MIB:.0f} MiB on disk at the end")
    stage.check(folder < DISK_BYTES_MAX, f"{folder / MIB:.0f} MiB are left on disk")


def declare(channel, name, durable):
    return method(channel, 50, 10, b"\0\0" + short(name) + bytes([durable << 1]) + table({}))


def delete(channel, name, _):
    return method(channel, 50, 40, b"\0\0" + short(name) + b"\0")


def ask(client, requests, answer):
    """Sends so many at once, and waits for all the answers."""
    client.send(requests)
    for _ in range(AT_ONCE):
        client.wait_for(answer)
