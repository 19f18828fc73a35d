"""A raw AMQP 0-9-1 peer on a socket, for what client libraries hide: frame order, table types and order, bad input.

Tables decode to lists of (name, type octet, value), so that order, duplicates and types are all seen.
"""

import socket
import struct

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
END = b"\xce"
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"


def shortstr(value):
    raw = value.encode() if isinstance(value, str) else value
    return bytes([len(raw)]) + raw


def longstr(value):
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack(">I", len(raw)) + raw


def field(kind, value):
    """One field value: `kind` is the type octet as a one-letter string."""
    fixed = {"t": ">?", "b": ">b", "B": ">B", "s": ">h", "u": ">H", "I": ">i", "i": ">I", "l": ">q", "f": ">f", "d": ">d", "T": ">Q"}
    if kind in fixed:
        body = struct.pack(fixed[kind], value)
    elif kind == "D":
        body = struct.pack(">Bi", *value)
    elif kind in ("S", "x"):
        body = longstr(value)
    elif kind == "A":
        body = longstr(b"".join(field(k, v) for k, v in value))
    elif kind == "F":
        body = table(value)
    elif kind == "V":
        body = b""
    else:
        raise ValueError(kind)
    return kind.encode() + body


def table(entries=()):
    return longstr(b"".join(shortstr(name) + field(kind, value) for name, kind, value in entries))


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, fmt):
        (value,) = struct.unpack_from(">" + fmt, self.data, self.at)
        self.at += struct.calcsize(">" + fmt)
        return value

    def raw(self, size):
        value = self.data[self.at : self.at + size]
        self.at += size
        return value

    def shortstr(self):
        return self.raw(self.take("B")).decode()

    def longstr(self):
        return self.raw(self.take("I"))

    def field(self):
        kind = chr(self.take("B"))
        fixed = {"t": "?", "b": "b", "B": "B", "s": "h", "u": "H", "I": "i", "i": "I", "l": "q", "f": "f", "d": "d", "T": "Q"}
        if kind in fixed:
            return kind, self.take(fixed[kind])
        if kind == "D":
            return kind, (self.take("B"), self.take("i"))
        if kind == "S":
            return kind, self.longstr().decode(errors="surrogateescape")
        if kind == "x":
            return kind, self.longstr()
        if kind == "A":
            inner, items = Reader(self.longstr()), []
            while inner.at < len(inner.data):
                items.append(inner.field())
            return kind, items
        if kind == "F":
            return kind, Reader(self.longstr()).table_body()
        if kind == "V":
            return kind, None
        raise ValueError(f"type octet {kind!r}")

    def table_body(self):
        entries = []
        while self.at < len(self.data):
            entries.append((self.shortstr(), *self.field()))
        return entries

    def table(self):
        return Reader(self.longstr()).table_body()

    def rest(self):
        return self.data[self.at :]


class Closed(Exception):
    pass


class Raw:
    """A blocking raw connection. `open()` does the handshake; `method()` sends, `expect()` reads the next method frame."""

    def __init__(self, host, port, timeout=5.0):
        self.sock = socket.create_connection((host, port), timeout=timeout)
        self.sock.settimeout(timeout)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def frame(self, kind, channel, payload):
        self.send(struct.pack(">BHI", kind, channel, len(payload)) + payload + END)

    def method(self, channel, class_id, method_id, args=b""):
        self.frame(METHOD, channel, struct.pack(">HH", class_id, method_id) + args)

    def content(self, channel, class_id, size, properties=b"\x00\x00", body=b"", body_frames=None):
        self.frame(HEADER, channel, struct.pack(">HHQ", class_id, 0, size) + properties)
        for part in body_frames if body_frames is not None else ([body] if body else []):
            self.frame(BODY, channel, part)

    def publish(self, channel, exchange, key, body=b"", properties=b"\x00\x00", mandatory=False):
        self.method(channel, 60, 40, struct.pack(">H", 0) + shortstr(exchange) + shortstr(key) + bytes([1 if mandatory else 0]))
        self.content(channel, 60, len(body), properties, body)

    def fill(self, size):
        while len(self.buffer) < size:
            data = self.sock.recv(65536)
            if not data:
                raise Closed(self.buffer)
            self.buffer += data

    def read_frame(self):
        """(type, channel, payload)"""
        self.fill(7)
        kind, channel, size = struct.unpack_from(">BHI", self.buffer)
        self.fill(7 + size + 1)
        payload, end = self.buffer[7 : 7 + size], self.buffer[7 + size : 8 + size]
        assert end == END, end
        self.buffer = self.buffer[8 + size :]
        return kind, channel, payload

    def read_method(self):
        """The next method frame, as (channel, class, method, Reader at the arguments); heartbeats are passed over."""
        while True:
            kind, channel, payload = self.read_frame()
            if kind == HEARTBEAT:
                continue
            assert kind == METHOD, (kind, channel, payload)
            class_id, method_id = struct.unpack_from(">HH", payload)
            return channel, class_id, method_id, Reader(payload[4:])

    def expect(self, class_id, method_id):
        channel, c, m, args = self.read_method()
        assert (c, m) == (class_id, method_id), describe(channel, c, m, args)
        return args

    def expect_close(self):
        """The close the server sends, of a channel or of the connection: (code, text, class, method)."""
        channel, c, m, args = self.read_method()
        assert (c, m) in ((20, 40), (10, 50)), describe(channel, c, m, args)
        return args.take("H"), args.shortstr(), args.take("H"), args.take("H")

    def at_end(self):
        """Whether the server has closed the socket (reads what is left)."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def start(self):
        self.send(PROTOCOL_HEADER)
        args = self.expect(10, 10)
        return (args.take("B"), args.take("B")), args.table(), args.longstr().decode(), args.longstr().decode()

    def start_ok(self, mechanism="PLAIN", response=b"\x00guest\x00guest", client=()):
        self.method(0, 10, 11, table(client) + shortstr(mechanism) + longstr(response) + shortstr("en_US"))

    def tune(self, channel_max=2047, frame_max=131072, heartbeat=0):
        args = self.expect(10, 30)
        offered = args.take("H"), args.take("I"), args.take("H")
        self.method(0, 10, 31, struct.pack(">HIH", channel_max, frame_max, heartbeat))
        return offered

    def open_vhost(self, vhost="/"):
        self.method(0, 10, 40, shortstr(vhost) + shortstr("") + b"\x00")

    def open(self, client=(), **tune):
        self.start()
        self.start_ok(client=client)
        offered = self.tune(**tune)
        self.open_vhost()
        self.expect(10, 41)
        return offered

    def channel(self, number=1):
        self.method(number, 20, 10, shortstr(""))
        self.expect(20, 11)
        return number


NAMES = {
    (10, 10): "connection.start", (10, 30): "connection.tune", (10, 41): "connection.open-ok", (10, 50): "connection.close",
    (10, 51): "connection.close-ok", (20, 11): "channel.open-ok", (20, 40): "channel.close", (20, 41): "channel.close-ok",
    (40, 11): "exchange.declare-ok", (40, 21): "exchange.delete-ok", (40, 31): "exchange.bind-ok", (40, 51): "exchange.unbind-ok",
    (50, 11): "queue.declare-ok", (50, 21): "queue.bind-ok", (50, 31): "queue.purge-ok", (50, 41): "queue.delete-ok",
    (50, 51): "queue.unbind-ok", (60, 11): "basic.qos-ok", (60, 21): "basic.consume-ok", (60, 30): "basic.cancel",
    (60, 31): "basic.cancel-ok", (60, 50): "basic.return", (60, 60): "basic.deliver", (60, 71): "basic.get-ok",
    (60, 72): "basic.get-empty", (60, 80): "basic.ack", (60, 120): "basic.nack", (60, 111): "basic.recover-ok",
    (85, 11): "confirm.select-ok", (90, 11): "tx.select-ok", (90, 21): "tx.commit-ok", (90, 31): "tx.rollback-ok",
}  # fmt: skip


def describe(channel, class_id, method_id, args):
    name = NAMES.get((class_id, method_id), f"{class_id}.{method_id}")
    if name in ("connection.close", "channel.close"):
        return f"{channel}:{name}({args.take('H')} {args.shortstr()!r} class {args.take('H')} method {args.take('H')})"
    return f"{channel}:{name} {args.rest()!r}"


def read_properties(payload):
    """A content header's (class, weight, size, flags, properties as an ordered dict of decoded values)."""
    r = Reader(payload)
    class_id, weight, size, flags = r.take("H"), r.take("H"), r.take("Q"), r.take("H")
    spec = ["content_type:s", "content_encoding:s", "headers:t", "delivery_mode:B", "priority:B", "correlation_id:s", "reply_to:s",
            "expiration:s", "message_id:s", "timestamp:Q", "type:s", "user_id:s", "app_id:s", "cluster_id:s"]  # fmt: skip
    values = {}
    for bit, entry in enumerate(spec):
        if flags & (1 << (15 - bit)):
            name, kind = entry.split(":")
            values[name] = r.shortstr() if kind == "s" else r.table() if kind == "t" else r.take(kind)
    return class_id, weight, size, flags, values
