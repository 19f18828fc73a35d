"""AMQP 0-9-1 over a plain socket, no more than the faults need: a test here has to see every byte and to misbehave, which a
client library does not let it."""

import socket
import struct
import time

HEADER = b"AMQP\x00\x00\x09\x01"


class Closed(Exception):
    """The broker closed the connection or the channel, with its code and text; 0 if it said nothing."""

    def __init__(self, code=0, text=""):
        super().__init__(f"{code} {text}")
        self.code, self.text = code, text


def short(text):
    data = text.encode() if isinstance(text, str) else text
    return bytes([len(data)]) + data


def table(fields):
    data = b""
    for name, value in fields.items():
        data += short(name)
        if isinstance(value, bool):
            data += b"t" + bytes([value])
        elif isinstance(value, int):
            data += b"l" + struct.pack(">q", value)
        elif isinstance(value, dict):
            data += b"F" + table(value)
        else:
            data += b"S" + struct.pack(">I", len(value)) + value.encode()
    return struct.pack(">I", len(data)) + data


def frame(kind, channel, payload):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def method(channel, class_id, method_id, arguments=b""):
    return frame(1, channel, struct.pack(">HH", class_id, method_id) + arguments)


def start_ok(user="guest", password="guest"):
    properties = table({"capabilities": {"connection.blocked": True, "publisher_confirms": True, "basic.nack": True}})
    response = f"\0{user}\0{password}".encode()
    return method(0, 10, 11, properties + short("PLAIN") + struct.pack(">I", len(response)) + response + short("en_US"))


def publication(exchange, key, body, durable=True, mandatory=False):
    """The three frames of a publish on channel 1."""
    header = struct.pack(">HHQH", 60, 0, len(body), 1 << 12) + bytes([2 if durable else 1])
    frames = method(1, 60, 40, b"\0\0" + short(exchange) + short(key) + bytes([mandatory])) + frame(2, 1, header)
    for at in range(0, len(body), 131_000):
        frames += frame(3, 1, body[at : at + 131_000])
    return frames


class Client:
    """A connection with one channel. What the broker says unasked is kept in `events`:
    ("ack"|"nack", tag, multiple), ("deliver", consumer, tag, redelivered, body), ("return", text), ("blocked", reason),
    ("unblocked",)."""

    def __init__(self, port, user="guest", password="guest", timeout=10, host="/", receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(timeout)
        self.timeout = timeout
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = bytearray()
        self.events = []
        self.content = None
        self.published = 0
        self.send(HEADER)
        self.wait_for((10, 10))
        self.send(start_ok(user, password))
        channels, frame_max, _ = struct.unpack(">HIH", self.wait_for((10, 30))[:8])
        self.send(method(0, 10, 31, struct.pack(">HIH", channels, frame_max, 0)) + method(0, 10, 40, short(host) + b"\0\0"))
        self.wait_for((10, 41))
        self.send(method(1, 20, 10, b"\0"))
        self.wait_for((20, 11))

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (ConnectionError, TimeoutError) as error:
            raise Closed(0, f"sending: {error}") from error

    # Reading.

    def fill(self, until):
        """Reads once; False if nothing came until then."""
        self.socket.settimeout(max(until - time.monotonic(), 0.0001))
        try:
            data = self.socket.recv(1 << 18)
        except TimeoutError:
            return False
        except ConnectionError as error:
            raise Closed(0, str(error)) from error
        finally:
            self.socket.settimeout(self.timeout)
        if not data:
            raise Closed(0, "end of input")
        self.input += data
        return True

    def next_frame(self):
        if len(self.input) < 7:
            return None
        kind, channel, size = struct.unpack_from(">BHI", self.input)
        if len(self.input) < size + 8:
            return None
        payload = bytes(self.input[7 : 7 + size])
        del self.input[: size + 8]
        return kind, channel, payload

    def wait_for(self, wanted, timeout=None):
        """Reads until a method comes; gives its arguments. What else comes becomes events."""
        until = time.monotonic() + (timeout or self.timeout)
        while True:
            while found := self.next_frame():
                name = self.handle(*found)
                if name == wanted:
                    return found[2][4:]
            if not self.fill(until):
                raise TimeoutError(f"no {wanted} came")

    def poll(self, timeout):
        """What comes next, waiting for at most so long: a list of events."""
        until = time.monotonic() + timeout
        while True:
            while found := self.next_frame():
                self.handle(*found)
            if self.events:
                events, self.events = self.events, []
                return events
            if not self.fill(until):
                return []

    def handle(self, kind, channel, payload):
        if kind == 1:
            name = struct.unpack_from(">HH", payload)
            self.handle_method(name, payload[4:])
            return name
        if kind == 2:
            self.content[1] = struct.unpack_from(">Q", payload, 4)[0]
        elif kind == 3:
            self.content[2] += payload
        if self.content and self.content[1] == len(self.content[2]):
            event, _, body = self.content
            self.content = None
            self.events.append((*event, bytes(body)) if event[0] == "deliver" else event)
        return None

    def handle_method(self, name, arguments):
        if name in ((60, 80), (60, 120)):
            tag, bits = struct.unpack_from(">QB", arguments)
            self.events.append(("ack" if name[1] == 80 else "nack", tag, bool(bits & 1)))
        elif name == (60, 60):
            end = 1 + arguments[0]
            tag, redelivered = struct.unpack_from(">QB", arguments, end)
            self.content = [("deliver", arguments[1:end].decode(), tag, bool(redelivered)), None, bytearray()]
        elif name == (60, 50):
            self.content = [("return", arguments[3 : 3 + arguments[2]].decode()), None, bytearray()]
        elif name == (10, 60):
            self.events.append(("blocked", arguments[1:].decode()))
        elif name == (10, 61):
            self.events.append(("unblocked",))
        elif name in ((10, 50), (20, 40)):
            code = struct.unpack_from(">H", arguments)[0]
            raise Closed(code, arguments[3 : 3 + arguments[2]].decode())

    # Asking.

    def call(self, class_id, method_id, arguments, timeout=None):
        self.send(method(1, class_id, method_id, arguments))
        return self.wait_for((class_id, method_id + 1), timeout)

    def declare_queue(self, name, durable=True, passive=False, exclusive=False, **arguments):
        bits = passive | durable << 1 | exclusive << 2
        fields = {key.replace("_", "-"): value for key, value in arguments.items()}
        answer = self.call(50, 10, b"\0\0" + short(name) + bytes([bits]) + table(fields))
        return struct.unpack(">II", answer[1 + answer[0] :])

    def declare_topic(self, name, kind="topic", durable=True, passive=False):
        self.call(40, 10, b"\0\0" + short(name) + short(kind) + bytes([passive | durable << 1]) + table({}))

    def bind(self, queue, topic, key):
        self.call(50, 20, b"\0\0" + short(queue) + short(topic) + short(key) + b"\0" + table({}))

    def delete_queue(self, name):
        self.call(50, 40, b"\0\0" + short(name) + b"\0")

    def purge(self, name):
        self.call(50, 30, b"\0\0" + short(name) + b"\0")

    def confirm(self):
        self.call(85, 10, b"\0")

    def consume(self, queue, tag, prefetch=0, no_ack=False):
        self.call(60, 10, struct.pack(">IHB", 0, prefetch, 0))
        self.call(60, 20, b"\0\0" + short(queue) + short(tag) + bytes([no_ack << 1]) + table({}))

    def ack(self, tag, multiple=False):
        self.send(method(1, 60, 80, struct.pack(">QB", tag, multiple)))

    def publish(self, exchange, key, body, durable=True):
        self.send(publication(exchange, key, body, durable))
        self.published += 1
        return self.published

    def publish_confirmed(self, exchange, key, body, timeout=10):
        """Publishes and waits; True for an ack, False for a nack."""
        number = self.publish(exchange, key, body)
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            for event in self.poll(until - time.monotonic()):
                if event[0] in ("ack", "nack") and (event[1] == number or (event[2] and event[1] > number)):
                    return event[0] == "ack"
        raise TimeoutError("no confirm came")

    def close(self):
        self.send(method(0, 10, 50, struct.pack(">H", 200) + short("") + struct.pack(">HH", 0, 0)))
        self.wait_for((10, 51))
        self.socket.close()

    def drop(self):
        """Leaves without a word."""
        self.socket.close()
