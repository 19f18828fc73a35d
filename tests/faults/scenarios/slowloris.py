"""Thousands of peers that send a byte a second: those that are not through their handshake in time are cut, and come again; those
in the middle of a frame on an open connection cost no more than what they sent."""

import socket
import struct
import time

from broker import eventually
from stage import MIB
from wire import HEADER, Client, method, short, start_ok

NAME = "slowloris"
# A publish whose body is to be great, and a first frame of it that says it holds 100,000 bytes.
PROMISE = method(1, 60, 40, b"\0\0" + short("") + short("nowhere") + b"\0")
PROMISE += struct.pack(">BHIHHQH", 2, 1, 14, 60, 0, 16_000_000, 0) + b"\xce" + struct.pack(">BHI", 3, 1, 100_000)


class Peer:
    """Sends `begins` at once and `rest` a byte at a time, and counts how often it was cut."""

    def __init__(self, port, begins, rest):
        self.port, self.begins, self.rest = port, begins, rest
        self.cut, self.slowest_s = 0, 0.0
        self.connect()

    def connect(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        self.socket.sendall(self.begins)
        self.socket.setblocking(False)
        self.began, self.at = time.monotonic(), 0

    def drip(self):
        try:
            self.socket.send(self.rest[self.at : self.at + 1])
            self.at += 1
            # What the broker says is not of interest, but for its end.
            while self.socket.recv(4096):
                pass
            raise ConnectionError
        except BlockingIOError:
            self.slowest_s = max(self.slowest_s, time.monotonic() - self.began)
        except OSError:
            self.socket.close()
            self.cut += 1
            self.connect()


def play(stage):
    each, seconds, timeout_s, pace_s = (60, 1.6, 1, 0.1) if stage.quick else (2_000, 60, 10, 1)
    stage.outcome.did = f"{3 * each:,} peers that send a byte every {pace_s} s for {seconds} s: from the first byte, in the login, in a body"
    one = stage.start(amqp_handshake_timeout=f"{timeout_s}s")
    # A connection has its buffers, and each that is open a session.
    stage.bound(f"32 MiB + 16 KiB a connection", 32 * MIB + 3 * each * 16 * 1024)
    slow = [Peer(one.port, b"", HEADER + start_ok()) for _ in range(each)]
    slow += [Peer(one.port, HEADER, start_ok()) for _ in range(each)]
    deep = [deep_peer(one.port) for _ in range(each)]
    stage.phase("all connected")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        round_began = time.monotonic()
        for peer in slow + deep:
            peer.drip()
        time.sleep(max(0, pace_s - (time.monotonic() - round_began)))
    stage.phase("all leave")
    longest = max(peer.slowest_s for peer in slow)
    cuts = sum(peer.cut for peer in slow)
    stage.found(f"{cuts:,} cuts, none later than {longest:.1f} s; {len(deep):,} open connections stayed in the middle of a body")
    stage.check(all(peer.cut for peer in slow), "a peer was not cut by the handshake's timeout")
    stage.check(longest < timeout_s + 2 * pace_s + 1, f"a peer was cut only after {longest:.1f} s")
    stage.check(not any(peer.cut for peer in deep), "an open connection was cut for being slow")
    for peer in slow + deep:
        peer.socket.close()
    eventually(lambda: one.status()["connections"] == 1, 30, "a connection that was dropped is still there")
    stage.over()


def deep_peer(port):
    client = Client(port)
    peer = Peer.__new__(Peer)
    peer.socket, peer.rest, peer.at, peer.cut, peer.slowest_s = client.socket, b"x" * 100_000, 0, 0, 0.0
    peer.port, peer.begins, peer.began = port, b"", time.monotonic()
    client.send(PROMISE)
    client.socket.setblocking(False)
    return peer
