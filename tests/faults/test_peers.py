"""Peers that are slow, greedy or hostile: memory stays bounded, and the others do not notice."""

import socket
import subprocess
import time

import pytest
from broker import BIN, eventually
from ledger import Consumer, Ledger, Publisher, prepare
from wire import HEADER, Client, Closed, start_ok

MIB = 1 << 20


def round_trip(client, timeout=5):
    """A publish, its confirm and its delivery on a queue of its own; gives the seconds it took."""
    began = time.monotonic()
    client.publish("", "own", b"ping")
    seen = set()
    while not {"ack", "deliver"} <= seen:
        events = client.poll(timeout)
        assert events, "the others are held up"
        seen |= {event[0] for event in events}
    return time.monotonic() - began


def other(one):
    client = Client(one.port)
    client.declare_queue("own")
    client.confirm()
    client.consume("own", "c", no_ack=True)
    return client


def test_consumer_that_does_not_read(broker):
    one = broker(limits_memory="8 MiB").start()
    bystander = other(one)
    deaf = [Client(one.port, receive_bytes=4096) for _ in range(4)]
    deaf[0].declare_queue("q")
    for number, client in enumerate(deaf):
        client.consume("q", "c", no_ack=number % 2 == 0)
    before = one.resident_bytes()
    ledger = Ledger()
    publisher = Publisher(lambda: one.port, ledger, "p", "", "q", size=lambda _: 20_000)
    publisher.start()
    slowest, most = 0, 0
    until = time.monotonic() + 4
    while time.monotonic() < until:
        slowest = max(slowest, round_trip(bystander))
        most = max(most, one.resident_bytes() - before)
        time.sleep(0.02)
    publisher.stop()
    print(f"{len(ledger.confirmed)} confirmed, slowest round trip {slowest:.3f} s, {most / MIB:.0f} MiB more")
    assert len(ledger.confirmed) > 500
    assert most < 60 * MIB, f"{most / MIB} MiB"
    assert slowest < 2
    for client in deaf:
        client.drop()
    eventually(lambda: one.queue("q")["consumers"] == 0, what="their messages are held for ever")
    one.stop()


def test_publisher_faster_than_its_consumer(broker, request):
    one = broker(limits_memory="8 MiB").start()
    prepare(Client(one.port), ["q"])
    ledger = Ledger()
    port = lambda: one.port
    publishers = [Publisher(port, ledger, f"p{n}", "ledger", "q", window=500, size=lambda _: 4000) for n in range(2)]
    consumer = Consumer(port, ledger, "q", prefetch=50, pause=0.002)
    before = one.resident_bytes()
    for worker in [consumer, *publishers]:
        worker.start()
    most, until = 0, time.monotonic() + request.config.getoption("--seconds")
    # On a busy machine it takes longer until the queue is larger than the memory.
    while time.monotonic() < until or (one.queue("q")["bytes"] <= 8 * MIB and time.monotonic() < until + 40):
        most = max(most, one.resident_bytes() - before)
        time.sleep(0.05)
    for publisher in publishers:
        publisher.stop()
    behind = one.queue("q")
    consumer.pause = 0
    print(f"{len(ledger.confirmed)} confirmed, {behind['bytes'] / MIB:.0f} MiB behind, {most / MIB:.0f} MiB of memory more")
    assert behind["bytes"] > 8 * MIB, "the publisher was not faster"
    assert most < 80 * MIB, f"{most / MIB} MiB"
    eventually(lambda: not ledger.missing(), 30, "lost")
    consumer.stop()
    assert not ledger.broken, ledger.broken[:5]
    one.stop()


def test_consumer_that_never_acknowledges(broker):
    one = broker(limits_memory="8 MiB").start()
    hoarder = Client(one.port)
    hoarder.declare_queue("q")
    hoarder.consume("q", "c")
    before, most = one.resident_bytes(), 0
    ledger = Ledger()
    publisher = Publisher(lambda: one.port, ledger, "p", "", "q", size=lambda _: 20_000)
    publisher.start()
    got, until = 0, time.monotonic() + 4
    while time.monotonic() < until or (got <= 1000 and time.monotonic() < until + 40):
        got += sum(event[0] == "deliver" for event in hoarder.poll(0.1))
        most = max(most, one.resident_bytes() - before)
    publisher.stop()
    print(f"{got} held, {most / MIB:.0f} MiB more")
    assert got > 1000
    assert most < 60 * MIB, f"{got} held, {most / MIB} MiB"
    hoarder.drop()
    eventually(lambda: one.queue("q")["ready"] == len(ledger.confirmed), what="what it held did not come back")
    one.stop()


def test_two_thousand_connections_at_once(broker):
    one = broker().start()
    bystander = other(one)
    for talk in (b"", HEADER, HEADER + start_ok()):
        peers = []
        for _ in range(2000):
            peer = socket.create_connection(("127.0.0.1", one.port))
            peer.sendall(talk)
            peers.append(peer)
        assert round_trip(bystander) < 3
        for peer in peers:
            peer.close()
    eventually(lambda: one.status()["connections"] == 1, 30)
    assert round_trip(bystander) < 1
    bystander.close()
    most = one.resident_bytes()
    assert most < 200 * MIB, f"{most / MIB} MiB"
    one.stop()


def test_connection_limit(broker):
    one = broker(limits_connections=20).start()
    bystander = other(one)
    clients = [Client(one.port) for _ in range(19)]
    for _ in range(5):
        with pytest.raises((Closed, ConnectionError)):
            Client(one.port)
    assert round_trip(bystander) < 1
    assert one.status()["connections"] == 20
    clients.pop().drop()
    eventually(lambda: one.status()["connections"] == 19)
    clients.append(Client(one.port))
    for client in clients:
        client.close()
    bystander.close()
    one.stop()


def test_exclusive_queue_is_gone_with_close_ok(broker):
    """A client that has its close-ok may declare at once what was its alone."""
    one = broker().start()
    for _ in range(200):
        client = Client(one.port)
        client.declare_queue("mine", durable=False, exclusive=True)
        client.close()
    one.stop()


def test_commands_do_not_hold_up_clients(broker):
    """Listing three thousand queues, and looking at large messages, while others work."""
    one = broker().start()
    client = Client(one.port)
    for number in range(3000):
        client.declare_queue(f"q{number}", durable=False)
    for number in range(40):
        client.publish("", "q0", b"x" * MIB, durable=False)
    eventually(lambda: one.queue("q0")["ready"] == 40)
    bystander = other(one)
    calm = max(round_trip(bystander) for _ in range(20))
    slowest = 0
    for command in (["queues", "list"], ["queues", "peek", "q0", "--count", "40"], ["status"]):
        asking = subprocess.Popen([BIN, *command, "--json", "--data", one.data], stdout=subprocess.DEVNULL)
        while asking.poll() is None:
            slowest = max(slowest, round_trip(bystander))
        assert asking.returncode == 0
    print(f"slowest round trip: {calm:.3f} s calm, {slowest:.3f} s while asked")
    assert slowest < 1
    client.close()
    bystander.close()
    one.stop()
