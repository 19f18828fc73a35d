"""Consumers that take what they get and never acknowledge, one with a prefetch and one without, while publishing goes on."""

import time

from broker import eventually
from ledger import Ledger, Publisher
from stage import MIB
from wire import Client

NAME = "never-acks"
LIMIT = 64 * MIB
# An entry and a lease for each.
HELD_BYTES = 192


def play(stage):
    seconds = stage.seconds or (1.5 if stage.quick else 120)
    stage.outcome.did = f"two consumers that never acknowledge, one with a prefetch of 1,000, while two publishers send 4,000 bytes a time for {seconds:g} s"
    one = stage.start(limits_memory=LIMIT)
    hoarders = {}
    for queue, prefetch in (("some", 1_000), ("all", 0)):
        hoarders[queue] = Client(one.port, timeout=60)
        hoarders[queue].declare_queue(queue)
        hoarders[queue].consume(queue, "c", prefetch)
    ledger = Ledger()
    publishers = [Publisher(lambda: one.port, ledger, queue, "", queue, window=200, size=lambda _: 4_000) for queue in hoarders]
    stage.bound("the 64 MiB of limits.memory + 64 MiB + 192 bytes a message", LIMIT + 64 * MIB)
    for publisher in publishers:
        publisher.start()
    held = dict.fromkeys(hoarders, 0)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for queue, client in hoarders.items():
            held[queue] += sum(event[0] == "deliver" for event in client.poll(0.05))
    stage.phase("publishing ends")
    for publisher in publishers:
        publisher.stop()
    for queue, client in hoarders.items():
        while events := client.poll(1):
            held[queue] += sum(event[0] == "deliver" for event in events)
    confirmed = {queue: sum(name[0] == queue for name in ledger.confirmed) for queue in hoarders}
    stage.bound("the 64 MiB of limits.memory + 64 MiB + 192 bytes a message", LIMIT + 64 * MIB + HELD_BYTES * sum(confirmed.values()))
    stage.found(f"{confirmed['some']:,} and {confirmed['all']:,} confirmed, {held['some']:,} and {held['all']:,} held")
    stage.check(held["some"] == min(1_000, confirmed["some"]), "the prefetch was not kept")
    stage.check(held["all"] == confirmed["all"], "the one without a prefetch did not get everything")
    for client in hoarders.values():
        client.drop()
    stage.phase("they leave")
    for queue in hoarders:
        back = lambda: one.queue(queue)["ready"] == confirmed[queue]
        eventually(back, 60, f"{confirmed[queue]} confirmed, but {one.queue(queue)}")
    client = Client(one.port, timeout=60)
    for queue in hoarders:
        client.delete_queue(queue)
    client.close()
    stage.phase("queues deleted")
    stage.over()
