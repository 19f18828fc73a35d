"""A data folder with what version 0.4.0 added to streams and topics, written by it and kept in tests/fixtures/data-v4: mirrors, sources,
copies, schedules, counters, batches, terms, permissions by subject, a topic's history. Every later version opens it and finds all of it.

`python test_fixture_followers.py FOLDER` writes such a folder (POLYBUS_BIN, and root for a small disk). A new format gets a fixture of its
own beside this one, which stays as it is."""

import json
import pathlib
import shutil
import subprocess
import sys
import time

from broker import BIN, eventually
from fixture import write_folder
from jetstream import JetStream
from wire import Client

FIXTURE = pathlib.Path(__file__).parent.parent / "fixtures" / "data-v4"
# Far behind the time in which this is read.
SOME_DAY = b"@at 2126-01-01T00:00:00Z"


def define(js):
    js.api(b"STREAM.CREATE.ORDERS", {"name": "ORDERS", "subjects": ["orders.>"], "allow_direct": True, "first_seq": 100, "allow_msg_ttl": True,
                                     "republish": {"src": "orders.>", "dest": "copies.>"}})
    js.api(b"STREAM.CREATE.COPY", {"name": "COPY", "mirror": {"name": "ORDERS"}})
    source = {"name": "ORDERS", "subject_transforms": [{"src": "orders.*", "dest": "all.{{wildcard(1)}}"}]}
    js.api(b"STREAM.CREATE.ALL", {"name": "ALL", "sources": [source], "subjects": ["own"], "allow_direct": True})
    js.api(b"STREAM.CREATE.COUNTS", {"name": "COUNTS", "subjects": ["counts.*"], "allow_msg_counter": True, "allow_direct": True})
    js.api(b"STREAM.CREATE.PLANS", {"name": "PLANS", "subjects": ["plans.>"], "allow_msg_schedules": True, "allow_direct": True})
    js.api(b"STREAM.CREATE.BATCHES", {"name": "BATCHES", "subjects": ["batches.*"], "allow_atomic": True})


def command(one, *words):
    subprocess.run([BIN, *words, "--data", one.data], check=True, stdout=subprocess.DEVNULL)


def write(one):
    """Two runs: one that ends in order, with a snapshot, and one that is killed, with records behind it."""
    one.start()
    js = JetStream(one)
    define(js)
    for at in range(3):
        js.publish(b"orders.a%d" % at, b"order %d" % at)
        js.publish(b"counts.x", b"", (b"Nats-Incr", b"+5"))
    js.publish(b"orders.b", b"for a hundred years", (b"Nats-TTL", b"876000h"))
    js.publish(b"plans.one", b"some day", (b"Nats-Schedule", SOME_DAY), (b"Nats-Schedule-Target", b"plans.due"))
    eventually(lambda: js.state(b"ALL")[0] == 4)
    client = Client(one.port)
    client.confirm()
    client.declare_topic("history")
    command(one, "topics", "log", "add", "history", "--retention", "3650d")
    client.publish("history", "k", b"kept")
    assert client.poll(5)
    client.drop()
    js.close()
    one.stop()
    one.start()
    js = JetStream(one)
    js.publish(b"orders.a0", b"order 3")
    js.publish(b"counts.x", b"", (b"Nats-Incr", b"-1"))
    js.publish(b"plans.two", b"one day", (b"Nats-Schedule", SOME_DAY), (b"Nats-Schedule-Target", b"plans.due"))
    batch = (b"Nats-Batch-Id", b"b")
    js.ask(b"batches.a", b"1", (batch, (b"Nats-Batch-Sequence", b"1")))
    js.publish(b"batches.b", b"2", batch, (b"Nats-Batch-Sequence", b"2"), (b"Nats-Batch-Commit", b"1"))
    js.api(b"STREAM.MSG.DELETE.ORDERS", {"seq": 101})
    eventually(lambda: js.state(b"COPY")[2] == 104 and js.state(b"ALL")[0] == 5)
    js.close()
    # The mark of an idle journal.
    time.sleep(1.5)
    one.kill()


def check(one):
    """Exactly what must be there; twice, since what was recovered is then written by this version."""
    for again in range(2):
        js = JetStream(one)
        held = 4 + again
        assert js.state(b"ORDERS") == (held, 100, 104 + again)
        eventually(lambda: js.state(b"COPY")[2] == 104 + again)
        assert js.state(b"ALL") == (held + 1, 1, held + 1)
        assert js.last(b"ALL", b"all.a1")[0] == b"order 1"
        assert json.loads(js.last(b"COUNTS", b"counts.x")[0]) == {"val": "14"}
        body, headers = js.last(b"PLANS", b"plans.two")
        assert body == b"one day" and SOME_DAY in headers
        assert js.state(b"PLANS") == (2, 1, 2)
        assert js.state(b"BATCHES") == (2, 1, 2)
        # It goes on: followers take what comes, what is published again is told.
        js.wire.send(b"SUB copies.> 2\r\n")
        js.wire.send(b"PUB orders.a0 5\r\nagain\r\n")
        message = js.wire.message()
        assert (message[0], message[4]) == (b"copies.a0", b"again"), message
        eventually(lambda: js.last(b"ALL", b"all.a0")[0] == b"again")
        js.wire.send(b"UNSUB 2\r\n")
        js.close()
        kept = one.ask("topics", "log", "list")
        assert any(log["name"] == "history" and log["retention_ms"] == 3_650 * 86_400_000 for log in kept), kept
        one.stop()
        one.start()
    one.stop()


def test_fixture_of_version_4(broker, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(FIXTURE, data)
    check(broker(data=data, nats_listen="127.0.0.1:0").start())


def test_followers_that_are_written_now(broker):
    one = broker(nats_listen="127.0.0.1:0")
    write(one)
    check(one.start())


if __name__ == "__main__":
    write_folder(write, sys.argv[1], nats_listen="127.0.0.1:0")
