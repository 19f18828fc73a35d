"""Lines over a plain socket: what a client library does not let a test say."""

import json
import socket


class Wire:
    def __init__(self, address, connect=None, timeout_s=10):
        self.socket = socket.create_connection(address, timeout_s)
        self.buffer = b""
        line = self.line()
        assert line.startswith(b"INFO "), line
        self.info = json.loads(line[5:])
        if connect is not None:
            options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "protocol": 1, "lang": "test", "version": "1"}
            self.send(b"CONNECT %s\r\n" % json.dumps({**options, **connect}).encode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(self.buffer)
        self.buffer += data

    def line(self):
        """The next line without its end, other than one more INFO; b"" when the server has closed."""
        line = self.any_line()
        while hasattr(self, "info") and line.startswith(b"INFO "):
            line = self.any_line()
        return line

    def any_line(self):
        while b"\r\n" not in self.buffer:
            try:
                self.more()
            except (EOFError, ConnectionResetError):
                return b""
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def take(self, count):
        while len(self.buffer) < count + 2:
            self.more()
        data, end, self.buffer = self.buffer[:count], self.buffer[count:count + 2], self.buffer[count + 2:]
        assert end == b"\r\n", end
        return data

    def ping(self, expect=b"PONG"):
        self.send(b"PING\r\n")
        line = self.line()
        assert line == expect, line

    def until(self, start):
        """Lines up to one that starts so, which is returned."""
        while True:
            line = self.line()
            if line.startswith(start) or not line:
                return line

    def message(self):
        """(subject, sid, reply, headers, body) of the next MSG or HMSG."""
        line = self.line()
        words = line.split(b" ")
        if words[0] == b"MSG":
            reply = words[3] if len(words) == 5 else b""
            return words[1], words[2], reply, b"", self.take(int(words[-1]))
        assert words[0] == b"HMSG", line
        reply = words[3] if len(words) == 6 else b""
        data = self.take(int(words[-1]))
        return words[1], words[2], reply, data[:int(words[-2])], data[int(words[-2]):]

    def is_cut(self):
        """Whether the server closes; what it says before is dropped."""
        try:
            while True:
                if not self.socket.recv(65536):
                    return True
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
