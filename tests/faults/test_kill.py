"""kill -9 again and again under load: nothing confirmed is lost, nothing settled comes back, the order stays."""

import random
import time

from broker import eventually
from ledger import Consumer, Ledger, Publisher, prepare
from wire import Client

QUEUES = ["one", "two"]


def test_kill_under_load(broker, request):
    kills = request.config.getoption("--kills")
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    one = broker().start()
    client = Client(one.port)
    prepare(client, QUEUES)
    one.ask("namespaces", "add", "kept")
    ledger = Ledger()
    port = lambda: one.port
    publishers = [Publisher(port, ledger, f"p{n}", "ledger", QUEUES[n % 2], window=50) for n in range(4)]
    consumers = [Consumer(port, ledger, queue) for queue in QUEUES + QUEUES]
    for worker in publishers + consumers:
        worker.start()
    for kill in range(kills):
        time.sleep(chance.uniform(0.05, 0.5))
        client = Client(one.port)
        client.declare_queue(f"def-{kill}", x_max_length=7)
        client.bind(f"def-{kill}", "amq.direct", "all")
        one.kill()
        one.start()
        client = Client(one.port)
        client.declare_queue(f"def-{kill}", x_max_length=7)
        client.bind(f"def-{kill}", "amq.direct", "all")
        client.drop()
        confirmed = len(ledger.confirmed)
        eventually(lambda: len(ledger.confirmed) > confirmed, what="nothing is confirmed after the restart")
    for publisher in publishers:
        publisher.stop()
    eventually(lambda: not ledger.missing(), 20, f"confirmed and lost: {sorted(ledger.missing())[:10]}")
    for queue in QUEUES:
        eventually(lambda: one.queue(queue)["ready"] + one.queue(queue)["unacknowledged"] == 0)
    for consumer in consumers:
        consumer.stop()
    assert not ledger.broken, ledger.broken[:10]
    client = Client(one.port)
    client.publish("amq.direct", "all", b"x")
    assert {queue["name"] for queue in one.ask("queues", "list")} == {*QUEUES, "markers", *(f"def-{k}" for k in range(kills))}
    eventually(lambda: all(one.queue(f"def-{k}")["ready"] == 1 for k in range(kills)), what="a binding is lost")
    assert one.ask("namespaces", "list") == ["/", "kept"]
    one.stop()
    print(f"{kills} kills: {len(ledger.confirmed)} confirmed, {len(ledger.settled)} settled for good, {ledger.redelivered} redelivered")
