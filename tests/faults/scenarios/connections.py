"""A hundred thousand connections, opened and dropped at every stage of their life, half of them with a reset."""

import socket
import struct

from broker import eventually
from stage import MIB
from wire import HEADER, method, short, start_ok, table

NAME = "connections"
AT_ONCE = 400
OPEN = method(0, 10, 31, struct.pack(">HIH", 2047, 131072, 0)) + method(0, 10, 40, short("/") + b"\0\0")
CHANNEL = method(1, 20, 10, b"\0")
QUEUE = method(1, 50, 10, b"\0\0" + short("") + b"\x04" + table({}))
# What each kind says, and the method it waits for before the next.
START, TUNE, OPEN_OK, CHANNEL_OK, DECLARED = (struct.pack(">HH", *name) for name in ((10, 10), (10, 30), (10, 41), (20, 11), (50, 11)))
KINDS = [
    [],
    [(HEADER[:5], None)],
    [(HEADER, START), (start_ok()[:40], None)],
    [(HEADER, START), (start_ok(), TUNE)],
    [(HEADER, START), (start_ok(), TUNE), (OPEN, OPEN_OK)],
    [(HEADER, START), (start_ok(), TUNE), (OPEN, OPEN_OK), (CHANNEL, CHANNEL_OK), (QUEUE, DECLARED)],
]


def play(stage):
    count = 1_200 if stage.quick else 100_000
    stage.outcome.did = f"{count:,} connections, {AT_ONCE} at a time, dropped as they come, in their handshake, open, and with an exclusive queue"
    one = stage.start()
    stage.bound("96 MiB", 96 * MIB)
    for begin in range(0, count, AT_ONCE):
        open_and_drop(one.port, range(begin, begin + AT_ONCE))
    stage.phase("all dropped")
    eventually(lambda: one.status()["connections"] == 1, 30, "a connection that was dropped is still there")
    eventually(lambda: len(one.ask("queues", "list")) == 2, 30, "an exclusive queue outlived its connection")
    stage.over()


def open_and_drop(port, numbers):
    peers = [(connect(port, number), KINDS[number % len(KINDS)], number) for number in numbers]
    for step in range(max(len(kind) for kind in KINDS)):
        talking = [(peer, *kind[step]) for peer, kind, _ in peers if step < len(kind)]
        for peer, said, _ in talking:
            peer.sendall(said)
        for peer, _, answer in talking:
            heard = b""
            while answer and answer not in heard:
                more = peer.recv(4096)
                assert more, f"cut off after {heard!r}"
                heard += more
    for peer, _, number in peers:
        if number // len(KINDS) % 2:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()


def connect(port, number):
    """From many addresses: each has only so many ports, and a port rests for a minute after its connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(f"127.0.0.{2 + number % 100}", 0))
