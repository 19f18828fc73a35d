"""A data folder that version 0.1.0 wrote, kept in tests/fixtures/data-v1: every later version opens it and finds all of it.

`python test_fixture.py FOLDER` writes such a folder (POLYBUS_BIN, and root for a small disk). A new format gets a fixture of its
own beside this one, which stays as it is."""

import pathlib
import shutil
import subprocess
import sys
import time

import pika
from broker import BIN, eventually
from fixture import write_folder

FIXTURE = pathlib.Path(__file__).parent.parent / "fixtures" / "data-v1"
QUEUES = {
    "plain": {},
    "second": {},
    "priorities": {"x-max-priority": 5},
    "quorum": {"x-queue-type": "quorum", "x-delivery-limit": 3},
    "dying": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead", "x-max-length": 1000},
    "dead": {},
    "headers": {},
}
PLAIN = [f"plain {n}" for n in range(40)]


def connect(port, user="guest", password="guest", host="/"):
    credentials = pika.PlainCredentials(user, password)
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, host, credentials))


def publish(channel, topic, key, body, **properties):
    channel.basic_publish(topic, key, body.encode(), pika.BasicProperties(delivery_mode=2, **properties), mandatory=True)


def publish_all(connection, bodies):
    """Without waiting for each, so that they share frames: the folder stays small."""
    channel = connection.channel()
    for body in bodies:
        publish(channel, "shop", "sale.new", body)
    channel.close()


def define(channel):
    channel.exchange_declare("shop", "topic", durable=True, arguments={"alternate-exchange": "rest"})
    channel.exchange_declare("rest", "fanout", durable=True)
    channel.exchange_declare("inner", "headers", durable=True, internal=False)
    for name, arguments in QUEUES.items():
        channel.queue_declare(name, durable=True, arguments=arguments)
    channel.queue_bind("plain", "shop", "sale.*")
    channel.queue_bind("second", "shop", "sale.#")
    channel.queue_bind("dead", "rest", "")
    channel.exchange_bind("inner", "shop", "audit")
    channel.queue_bind("headers", "inner", "", {"x-match": "all", "region": "eu", "level": 3})


def take(channel, queue):
    """What is in a queue, without taking it: (body, redelivered, properties)."""
    found, last = [], None
    while True:
        method, properties, body = channel.basic_get(queue)
        if method is None:
            break
        last = method.delivery_tag
        found.append((body.decode(), method.redelivered, properties))
    if last:
        channel.basic_nack(last, multiple=True)
    return found


def command(one, *words):
    subprocess.run([BIN, *words, "--data", one.data], check=True, capture_output=True)


def write(one):
    """Two runs: one that ends in order, with a snapshot, and one that is killed, with records behind it."""
    one.start()
    command(one, "users", "add", "alice", "--password", "wonder", "--tag", "administrator")
    command(one, "namespaces", "add", "kept")
    command(one, "permissions", "set", "alice", "--namespace", "kept", "--configure", "", "--write", ".*", "--read", "^q")
    connection = connect(one.port)
    channel = connection.channel()
    channel.confirm_delivery()
    define(channel)
    publish_all(connection, PLAIN[:20])
    for priority in (1, 5, 3):
        publish(channel, "", "priorities", f"priority {priority}", priority=priority)
    publish(channel, "shop", "audit", "for the eu", headers={"region": "eu", "level": 3}, content_type="text/plain", message_id="m1")
    for number in range(3):
        publish(channel, "", "quorum", f"quorum {number}")
    publish(channel, "", "dying", "rejected")
    method, _, _ = channel.basic_get("dying")
    channel.basic_reject(method.delivery_tag, requeue=False)
    publish(channel, "", "plain", "large " + "x" * 20_000)
    for _ in range(5):
        method, _, _ = channel.basic_get("plain")
        channel.basic_ack(method.delivery_tag)
    method, _, _ = channel.basic_get("quorum")
    channel.basic_nack(method.delivery_tag)
    eventually(lambda: one.queue("dead")["ready"] == 1 and one.queue("quorum")["ready"] == 3)
    connection.close()
    one.stop()
    one.start()
    connection = connect(one.port)
    channel = connection.channel()
    channel.confirm_delivery()
    publish_all(connection, PLAIN[20:])
    for _ in range(5):
        method, _, _ = channel.basic_get("second")
        channel.basic_ack(method.delivery_tag)
    publish(channel, "shop", "nowhere", "unrouted")
    channel.queue_declare("late", durable=True, arguments={"x-expires": 2_000_000_000, "x-overflow": "reject-publish"})
    channel.queue_unbind("second", "shop", "sale.#")
    channel.queue_bind("late", "shop", "late")
    connection.close()
    command(one, "users", "passwd", "alice", "--password", "mirror")
    # The mark of an idle journal.
    time.sleep(1.5)
    one.kill()


def test_fixture_of_version_1(broker, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(FIXTURE, data)
    check(broker(data=data).start())


def test_what_is_written_now(broker):
    one = broker()
    write(one)
    check(one.start())


def check(one):
    """Exactly what must be there; twice, since what was recovered is then written by this version."""
    for _ in range(2):
        connection = connect(one.port)
        channel = connection.channel()
        channel.confirm_delivery()
        define_again = connection.channel()
        # Declaring again what is there fails where it is not the same.
        for name in ("shop", "rest", "inner"):
            define_again.exchange_declare(name, passive=True)
        define_again.exchange_declare("shop", "topic", durable=True, arguments={"alternate-exchange": "rest"})
        for name, arguments in QUEUES.items():
            define_again.queue_declare(name, durable=True, arguments=arguments)
        define_again.queue_declare("late", durable=True, arguments={"x-expires": 2_000_000_000, "x-overflow": "reject-publish"})
        assert {queue["name"] for queue in one.ask("queues", "list")} == {*QUEUES, "late"}
        bindings = {(b["source"], b["destination"], b["key"]) for b in one.ask("bindings", "list") if b["source"]}
        assert bindings == {
            ("shop", "plain", "sale.*"),
            ("rest", "dead", ""),
            ("shop", "inner", "audit"),
            ("inner", "headers", ""),
            ("shop", "late", "late"),
        }
        assert one.ask("namespaces", "list") == ["/", "kept"]
        users = {user["name"]: user["tags"] for user in one.ask("users", "list")}
        assert users["alice"] == ["administrator"] and set(users) == {"alice", "guest"}
        alice = next(p for p in one.ask("permissions", "list") if p["user"] == "alice")
        assert alice == {"user": "alice", "namespace": "kept", "configure": "", "write": ".*", "read": "^q"}
        connect(one.port, "alice", "mirror", "kept").close()

        plain = [body for body, _, _ in take(channel, "plain")]
        assert plain == PLAIN[5:20] + ["large " + "x" * 20_000] + PLAIN[20:]
        assert [body for body, _, _ in take(channel, "second")] == PLAIN[5:]
        assert [body for body, _, _ in take(channel, "priorities")] == ["priority 5", "priority 3", "priority 1"]
        (audit,) = take(channel, "headers")
        assert audit[0] == "for the eu" and audit[2].headers == {"region": "eu", "level": 3}
        assert (audit[2].content_type, audit[2].message_id, audit[2].delivery_mode) == ("text/plain", "m1", 2)
        quorum = take(channel, "quorum")
        assert [body for body, _, _ in quorum] == ["quorum 0", "quorum 1", "quorum 2"]
        assert take(channel, "dying") == []
        dead, unrouted = take(channel, "dead")
        assert (dead[0], unrouted[0]) == ("rejected", "unrouted")
        (death,) = dead[2].headers["x-death"]
        assert (death["queue"], death["reason"], death["count"]) == ("dying", "rejected", 1)
        assert death["routing-keys"] == ["dying"]
        # It works on.
        publish(channel, "shop", "late", "now")
        method, _, body = channel.basic_get("late", auto_ack=True)
        assert body == b"now"
        connection.close()
        one.stop()
        one.start()
    one.stop()


if __name__ == "__main__":
    write_folder(write, sys.argv[1])
