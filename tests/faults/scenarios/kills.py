"""kill -9 again and again under load: nothing confirmed is lost, nothing settled comes back, the order stays."""

import random
import time

from broker import eventually
from ledger import Consumer, Ledger, Publisher, prepare
from stage import MIB
from wire import Client

NAME = "kills"
QUEUES = ["one", "two"]
KILLS, KILLS_QUICK = 200, 3


def play(stage):
    kills = stage.kills or (KILLS_QUICK if stage.quick else KILLS)
    stage.outcome.did = f"kill -9 {kills} times under four publishers and four consumers that keep account"
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    one = stage.start(has_neighbour=False)
    stage.bound("96 MiB", 96 * MIB)
    client = Client(one.port)
    prepare(client, QUEUES)
    one.ask("namespaces", "add", "kept")
    ledger = Ledger()
    port = lambda: one.port
    publishers = [Publisher(port, ledger, f"p{n}", "ledger", QUEUES[n % 2], window=50) for n in range(4)]
    consumers = [Consumer(port, ledger, queue) for queue in QUEUES + QUEUES]
    for worker in publishers + consumers:
        worker.start()
    for number in range(kills):
        time.sleep(chance.uniform(0.05, 0.5))
        kill(one, number)
        confirmed = len(ledger.confirmed)
        eventually(lambda: len(ledger.confirmed) > confirmed, what="nothing is confirmed after the restart")
    stage.phase("publishing ends")
    for publisher in publishers:
        publisher.stop()
    eventually(lambda: not ledger.missing(), 20, f"confirmed and lost: {sorted(ledger.missing())[:10]} (seed {seed})")
    for queue in QUEUES:
        eventually(lambda: one.queue(queue)["ready"] + one.queue(queue)["unacknowledged"] == 0)
    for consumer in consumers:
        consumer.stop()
    assert not ledger.broken, (seed, ledger.broken[:10])
    definitions_stayed(one, kills)
    stage.found(f"{len(ledger.confirmed):,} confirmed, {len(ledger.settled):,} settled for good, {ledger.redelivered:,} redelivered")
    stage.settle(gives_back=False)


def kill(one, number):
    """Declares, kills, and declares the same again, which has to be equal."""
    client = Client(one.port)
    client.declare_queue(f"def-{number}", x_max_length=7)
    client.bind(f"def-{number}", "amq.direct", "all")
    one.kill()
    one.start()
    client = Client(one.port)
    client.declare_queue(f"def-{number}", x_max_length=7)
    client.bind(f"def-{number}", "amq.direct", "all")
    client.drop()


def definitions_stayed(one, kills):
    client = Client(one.port)
    client.publish("amq.direct", "all", b"x")
    names = {queue["name"] for queue in one.ask("queues", "list")}
    assert names == {*QUEUES, "markers", *(f"def-{number}" for number in range(kills))}
    full = lambda: all(one.queue(f"def-{number}")["ready"] == 1 for number in range(kills))
    eventually(full, 60, "a binding is lost")
    assert one.ask("namespaces", "list") == ["/", "kept"]
    client.close()
