"""A data folder with JetStream streams, consumers, a key/value bucket and a stream queue that version 0.3.0 wrote, kept in
tests/fixtures/data-v3: every later version opens it and finds all of it.

`python test_fixture_streams.py FOLDER` writes such a folder (POLYBUS_BIN, and root for a small disk). A new format gets a fixture of its
own beside this one, which stays as it is."""

import pathlib
import shutil
import sys
import time

import pika
from fixture import write_folder
from jetstream import JetStream

FIXTURE = pathlib.Path(__file__).parent.parent / "fixtures" / "data-v3"
SECOND_NS = 10**9
# Longer than this fixture will be read.
YEARS_NS = 80 * 365 * 86_400 * SECOND_NS


def define(js):
    js.api(b"STREAM.CREATE.ORDERS", {"name": "ORDERS", "subjects": ["orders.>"], "duplicate_window": YEARS_NS, "allow_rollup_hdrs": True, "allow_direct": True})
    js.api(b"STREAM.CREATE.LATEST", {"name": "LATEST", "subjects": ["latest.*"], "max_msgs_per_subject": 2, "discard": "old"})
    js.api(b"STREAM.CREATE.WORK", {"name": "WORK", "subjects": ["work"], "retention": "workqueue"})
    js.api(b"STREAM.CREATE.KV_box", {"name": "KV_box", "subjects": ["$KV.box.>"], "max_msgs_per_subject": 1, "allow_rollup_hdrs": True, "allow_direct": True, "discard": "new"})
    for stream, consumer in ((b"ORDERS", b"slow"), (b"WORK", b"hand")):
        config = {"durable_name": consumer.decode(), "name": consumer.decode(), "ack_policy": "explicit", "ack_wait": SECOND_NS}
        js.api(b"CONSUMER.CREATE.%s.%s" % (stream, consumer), {"stream_name": stream.decode(), "config": config})


def write(one):
    """Two runs: one that ends in order, with a snapshot, and one that is killed, with records behind it."""
    one.start()
    js = JetStream(one)
    define(js)
    for at in range(6):
        js.publish(b"orders.a%d" % (at % 2), b"order %d" % at, (b"Nats-Msg-Id", b"id %d" % at))
        js.publish(b"latest.x", b"%d" % at)
    for at in range(4):
        js.publish(b"work", b"task %d" % at)
    js.publish(b"$KV.box.colour", b"red")
    taken = js.take(b"ORDERS", b"slow", 3)
    js.acknowledge(taken[0][2])
    js.acknowledge(js.take(b"WORK", b"hand", 2)[0][2])
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", one.port))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("history", durable=True, arguments={"x-queue-type": "stream", "x-max-age": "100Y"})
    for at in range(3):
        channel.basic_publish("", "history", b"%d" % at, pika.BasicProperties(delivery_mode=2))
    connection.close()
    js.close()
    one.stop()
    one.start()
    js = JetStream(one)
    js.api(b"STREAM.MSG.DELETE.ORDERS", {"seq": 3})
    js.publish(b"orders.a1", b"rolled", (b"Nats-Rollup", b"sub"))
    js.publish(b"latest.x", b"6")
    js.publish(b"$KV.box.colour", b"blue")
    js.publish(b"$KV.box.size", b"L")
    js.publish(b"$KV.box.size", b"", (b"KV-Operation", b"DEL"))
    time.sleep(1.1)
    js.acknowledge([reply for sequence, _, reply in js.take(b"ORDERS", b"slow", 5) if sequence == 5][0])
    js.close()
    # The mark of an idle journal.
    time.sleep(1.5)
    one.kill()


def check(one):
    """Exactly what must be there; twice, since what was recovered is then written by this version."""
    for again in range(2):
        js = JetStream(one)
        # Of six orders 2, 4 and 6 were rolled up and 3 was deleted; 1 was settled, and 5 in the second run.
        assert js.state(b"ORDERS") == (3, 1, 7)
        known = js.publish(b"orders.a0", b"order 4", (b"Nats-Msg-Id", b"id 4"))
        assert known["duplicate"] and known["seq"] == 5, known
        assert js.state(b"LATEST") == (2, 6, 7)
        assert js.state(b"WORK") == (3, 2, 4)
        assert js.last(b"KV_box", b"$KV.box.colour")[0] == b"blue"
        body, headers = js.last(b"KV_box", b"$KV.box.size")
        assert body == b"" and b"KV-Operation: DEL" in headers
        time.sleep(1.1 * again)
        assert [(sequence, body) for sequence, body, _ in js.take(b"ORDERS", b"slow", 9)] == [(7, b"rolled")]
        assert [(sequence, body) for sequence, body, _ in js.take(b"WORK", b"hand", 9)] == [(at, b"task %d" % (at - 1)) for at in (2, 3, 4)]
        js.close()
        connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", one.port))
        channel = connection.channel()
        channel.basic_qos(prefetch_count=10)
        got = []
        for method, _, body in channel.consume("history", arguments={"x-stream-offset": "first"}, inactivity_timeout=10):
            got.append(body)
            channel.basic_ack(method.delivery_tag)
            if len(got) == 3:
                break
        assert got == [b"0", b"1", b"2"]
        connection.close()
        one.stop()
        one.start()
    one.stop()


def test_fixture_of_version_3(broker, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(FIXTURE, data)
    check(broker(data=data, nats_listen="127.0.0.1:0").start())


def test_streams_that_are_written_now(broker):
    one = broker(nats_listen="127.0.0.1:0")
    write(one)
    check(one.start())


if __name__ == "__main__":
    write_folder(write, sys.argv[1], nats_listen="127.0.0.1:0")
