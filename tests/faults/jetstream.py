"""JetStream's API, asked by hand."""

import json
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).parent.parent / "clients" / "nats" / "python"))
from nats_wire import Wire


class JetStream:
    """Requests to the API, one after the other."""

    def __init__(self, one):
        self.wire = Wire(("127.0.0.1", one.nats_port), {})
        self.wire.send(b"SUB answers 1\r\n")

    def ask(self, subject, body=b"", headers=()):
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        head = b"".join(b"%s: %s\r\n" % pair for pair in headers)
        if head:
            head = b"NATS/1.0\r\n" + head + b"\r\n"
            self.wire.send(b"HPUB %s answers %d %d\r\n%s%s\r\n" % (subject, len(head), len(head) + len(body), head, body))
        else:
            self.wire.send(b"PUB %s answers %d\r\n%s\r\n" % (subject, len(body), body))
        return self.wire.message()

    def api(self, subject, body=b""):
        answer = json.loads(self.ask(b"$JS.API." + subject, body)[4])
        assert "error" not in answer, answer
        return answer

    def publish(self, subject, body, *headers):
        answer = json.loads(self.ask(subject, body, headers)[4])
        assert "error" not in answer, answer
        return answer

    def take(self, stream, consumer, count):
        """So many messages of a consumer at once: (sequence, body, reply)."""
        request = json.dumps({"batch": count, "no_wait": True}).encode()
        self.wire.send(b"PUB $JS.API.CONSUMER.MSG.NEXT.%s.%s answers %d\r\n%s\r\n" % (stream, consumer, len(request), request))
        got = []
        while len(got) < count:
            subject, _, reply, headers, body = self.wire.message()
            if not reply.startswith(b"$JS.ACK."):
                break
            got.append((int(reply.split(b".")[5]), body, reply))
        return got

    def acknowledge(self, reply):
        assert self.ask(reply, b"+ACK")[4] == b"", "it is answered when it is on disk"

    def state(self, stream):
        state = self.api(b"STREAM.INFO." + stream)["state"]
        return state["messages"], state["first_seq"], state["last_seq"]

    def last(self, stream, subject):
        message = self.ask(b"$JS.API.DIRECT.GET.%s.%s" % (stream, subject))
        return message[4], message[3]

    def close(self):
        self.wire.socket.close()
