"""A stop in order: soon, whatever the clients do; exit code 0, the port free, and a clean start after it."""

import signal
import socket
import threading
import time

from broker import eventually
from ledger import Consumer, Ledger, Publisher, prepare
from wire import HEADER, Client, publication


def test_stop_with_clients_of_every_sort(broker):
    one = broker().start()
    prepare(Client(one.port), ["q"])
    ledger = Ledger()
    port = lambda: one.port
    busy = [Publisher(port, ledger, f"p{n}", "ledger", "q") for n in range(2)] + [Consumer(port, ledger, "q", marks=False)]
    for worker in busy:
        worker.start()
    silent = socket.create_connection(("127.0.0.1", one.port))
    in_handshake = socket.create_connection(("127.0.0.1", one.port))
    in_handshake.sendall(HEADER)
    # These never answer connection.close, one of them does not even read.
    idle = Client(one.port)
    deaf = Client(one.port, receive_bytes=4096)
    Client(one.port).declare_queue("large")
    deaf.consume("large", "c", no_ack=True)
    for _ in range(50):
        idle.publish("", "large", b"x" * 200_000)
    eventually(lambda: len(ledger.confirmed) > 200)
    port_before = one.port
    began = time.monotonic()
    one.stop(6)
    assert time.monotonic() - began < 5
    # Told, not just cut off.
    assert "320" in str(closing(idle)), "an idle client was not told"
    for worker in busy:
        worker.stopping.set()
    one.start(amqp_listen=f"127.0.0.1:{port_before}")
    assert "clean=true" in one.log(), one.log()
    for worker in busy:
        worker.stop()
    consumer = Consumer(port, ledger, "q", marks=False)
    consumer.start()
    eventually(lambda: not ledger.missing(), what=f"lost: {sorted(ledger.missing())[:5]}")
    consumer.stop()
    assert not ledger.broken, ledger.broken[:5]
    for peer in (silent, in_handshake):
        peer.close()
    deaf.drop()
    one.stop(6)


def closing(client):
    try:
        while True:
            assert client.poll(2)
    except Exception as error:
        return error


def test_stop_while_publishers_are_blocked(broker, small_disk):
    disk = small_disk(16)
    one = broker(disk / "data", limits_disk_free_min="64 MiB").start()
    clients = [Client(one.port) for _ in range(3)]
    for client in clients:
        client.declare_queue("q")
        client.confirm()
        client.publish("", "q", b"x")
        assert client.poll(2) == [("blocked", "low on disk")]
    # More than the sockets' buffers take.
    stuck = threading.Thread(target=lambda: flood(clients[0]), daemon=True)
    stuck.start()
    time.sleep(0.3)
    one.stop(6)
    one.start()
    assert "clean=true" in one.log()
    assert one.queue("q")["ready"] == 0
    one.stop()


def flood(client):
    try:
        while True:
            client.socket.sendall(publication("", "q", b"x" * 60_000))
    except OSError:
        pass


def test_second_signal_stops_at_once(broker):
    one = broker().start()
    client = Client(one.port)
    client.declare_queue("q")
    one.process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    one.process.send_signal(signal.SIGINT)
    assert one.wait(1) == 1 and "polybus: stopped at once" in one.log()
    one.start()
    assert one.queue("q")["ready"] == 0
    one.stop()


def test_idle_stop_is_quick(broker):
    one = broker().start()
    began = time.monotonic()
    one.stop()
    assert time.monotonic() - began < 1
