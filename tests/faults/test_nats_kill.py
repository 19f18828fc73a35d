"""kill -9 again and again while publishes to a stream and puts to a bucket are acknowledged and a consumer acknowledges: none is lost, none is
there twice, none comes again."""

import json
import random
import time
from base64 import b64decode, b64encode

from broker import eventually
from nats_wire import Wire
from worker import Worker

WINDOW = 64
BATCH = 500
KILLS_MIN = 20


class Client(Wire):
    """A connection that asks JetStream."""

    def __init__(self, port):
        super().__init__(("127.0.0.1", port), {}, 5)
        self.inbox = b"_INBOX.%d" % random.getrandbits(64)
        self.send(b"SUB %s.> 1\r\n" % self.inbox)

    def drop(self):
        self.socket.close()

    def line(self):
        while (line := super().line()) == b"PING":
            self.send(b"PONG\r\n")
        if not line:
            raise EOFError
        return line

    def ask(self, api, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        self.send(b"PUB $JS.API.%s %s.api %d\r\n%s\r\n" % (api.encode(), self.inbox, len(data), data))
        while True:
            message = self.message()
            if message[0] == self.inbox + b".api":
                return json.loads(message[4]) if message[4] else {"none": message[3]}


class Publisher(Worker):
    """Publishes numbers with their own ids, many at a time; what a crash leaves unanswered it publishes again."""

    def __init__(self, one):
        super().__init__(lambda: Client(one.nats_port))
        self.next, self.acknowledged, self.waiting = 0, {}, []

    def is_done(self):
        return self.stopping.is_set() and not self.waiting

    def publish(self, client, number):
        head = b"NATS/1.0\r\nNats-Msg-Id: %d\r\n\r\n" % number
        body = b"%d" % number
        client.send(b"HPUB kills.a %s.%d %d %d\r\n%s%s\r\n" % (client.inbox, number, len(head), len(head) + len(body), head, body))

    def work(self, client):
        for number in self.waiting:
            self.publish(client, number)
        while not self.is_done():
            while len(self.waiting) < WINDOW and not self.stopping.is_set():
                self.waiting.append(self.next)
                self.publish(client, self.next)
                self.next += 1
            subject, _, _, _, body = client.message()
            answer = json.loads(body)
            assert "seq" in answer, answer
            number = int(subject.rsplit(b".", 1)[1])
            self.acknowledged[number] = answer["seq"]
            self.waiting.remove(number)


class Keeper(Worker):
    """Puts numbers that grow under a few keys of a Key/Value bucket, one at a time."""

    KEYS = 5

    def __init__(self, one):
        super().__init__(lambda: Client(one.nats_port))
        # By key: the last number that was put and acknowledged, and the last one that was sent.
        self.kept, self.sent, self.next = {}, {}, 0

    def work(self, client):
        while not self.stopping.is_set():
            key, body = self.next % self.KEYS, b"%d" % self.next
            self.sent[key] = self.next
            client.send(b"PUB $KV.kept.k%d %s.kv.%d %d\r\n%s\r\n" % (key, client.inbox, self.next, len(body), body))
            subject, _, _, _, body = client.message()
            answer = json.loads(body)
            assert "seq" in answer, answer
            assert int(subject.rsplit(b".", 1)[1]) == self.next
            self.kept[key] = self.next
            self.next += 1

    def check(self, client):
        """What the bucket holds is what was last acknowledged, or what was sent since."""
        for key, kept in self.kept.items():
            message = client.ask("STREAM.MSG.GET.KV_kept", {"last_by_subj": f"$KV.kept.k{key}"})["message"]
            found = int(b64decode(message["data"]))
            assert kept <= found <= self.sent[key], (key, kept, found, self.sent[key])


class Reader(Worker):
    """Pulls with a durable consumer and acknowledges, each confirmed."""

    def __init__(self, one):
        super().__init__(lambda: Client(one.nats_port))
        # Of those in doubt an acknowledgement was sent, and the crash came before its answer.
        self.done, self.in_doubt, self.again = set(), set(), []

    def work(self, client):
        while not self.stopping.is_set():
            body = json.dumps({"batch": BATCH, "expires": 300_000_000}).encode()
            client.send(b"PUB $JS.API.CONSUMER.MSG.NEXT.KILLS.d %s.next %d\r\n%s\r\n" % (client.inbox, len(body), body))
            asked, waiting = BATCH, set()
            while asked > 0 or waiting:
                subject, _, reply, _, body = client.message()
                if subject.startswith(client.inbox + b".ack."):
                    number = int(subject.rsplit(b".", 1)[1])
                    waiting.discard(number)
                    self.in_doubt.discard(number)
                    self.done.add(number)
                elif reply.startswith(b"$JS.ACK."):
                    number, asked = int(body), asked - 1
                    if number in self.done:
                        self.again.append(number)
                    waiting.add(number)
                    self.in_doubt.add(number)
                    client.send(b"PUB %s %s.ack.%d 4\r\n+ACK\r\n" % (reply, client.inbox, number))
                else:
                    # The request has run out.
                    asked = 0


def test_kills_while_publishes_are_acknowledged(broker, pytestconfig):
    one = broker(nats_listen="127.0.0.1:0").start()
    with Client(one.nats_port) as client:
        made = client.ask("STREAM.CREATE.KILLS", {"name": "KILLS", "subjects": ["kills.>"], "storage": "file", "duplicate_window": 120_000_000_000})
        assert "error" not in made, made
        config = {"durable_name": "d", "ack_policy": "explicit", "deliver_policy": "all", "ack_wait": 2_000_000_000}
        made = client.ask("CONSUMER.DURABLE.CREATE.KILLS.d", {"stream_name": "KILLS", "config": config})
        assert "error" not in made, made
        bucket = {"name": "KV_kept", "subjects": ["$KV.kept.>"], "max_msgs_per_subject": 1, "storage": "file", "discard": "new", "allow_rollup_hdrs": True}
        made = client.ask("STREAM.CREATE.KV_kept", bucket)
        assert "error" not in made, made
    publisher, reader, keeper = Publisher(one), Reader(one), Keeper(one)
    workers = [publisher, reader, keeper]
    for worker in workers:
        worker.start()
    for _ in range(max(pytestconfig.getoption("kills"), KILLS_MIN)):
        before = len(publisher.acknowledged)
        eventually(lambda: len(publisher.acknowledged) > before + 50 or any(worker.failure for worker in workers), 20)
        time.sleep(random.uniform(0, 0.3))
        one.kill()
        one.start()
    publisher.stop()
    keeper.stop()
    eventually(lambda: len(reader.done | reader.in_doubt) == publisher.next or reader.failure, 30, "not all was read")
    reader.stop()
    with Client(one.nats_port) as client:
        keeper.check(client)
        state = client.ask("STREAM.INFO.KILLS")["state"]
        assert (state["messages"], state["last_seq"]) == (publisher.next, publisher.next), "something is there twice, or lost"
        # Each is where its acknowledgement said.
        for number in random.Random(1).sample(sorted(publisher.acknowledged), 50):
            got = client.ask("STREAM.MSG.GET.KILLS", {"seq": publisher.acknowledged[number]})
            assert got["message"]["data"] == b64encode(b"%d" % number).decode()
    assert reader.again == [], "what was acknowledged, and that confirmed, came again"
    one.stop()
