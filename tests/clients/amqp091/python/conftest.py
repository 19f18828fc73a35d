"""Fixtures: connections that are closed, names that are unique, and what the test made is deleted."""

import os
import time
import uuid
from pathlib import Path

import pika
import pytest

from wire import Raw

HOST = os.environ.get("AMQP_HOST", "127.0.0.1")
PORT = int(os.environ.get("AMQP_PORT", "5672"))
BIN = os.environ.get("POLYBUS_BIN")
DEADLINE_S = 15


def parameters(**kw):
    kw.setdefault("heartbeat", 0)
    kw.setdefault("credentials", pika.PlainCredentials("guest", "guest"))
    kw.setdefault("host", HOST)
    kw.setdefault("port", PORT)
    return pika.ConnectionParameters(**kw)


def until(condition, deadline_s=DEADLINE_S, what="condition"):
    """Polls until `condition()` is true; its value."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not in {deadline_s} s: {what}"
        time.sleep(0.01)


class Inbox:
    """What a consumer got: a list of (method, properties, body)."""

    def __init__(self, connection):
        self.connection, self.got, self.cancelled = connection, [], []

    def __call__(self, _channel, method, properties, body):
        self.got.append((method, properties, body))

    @property
    def bodies(self):
        return [body for _, _, body in self.got]

    def wait(self, count=1, deadline_s=DEADLINE_S):
        pump(self.connection, lambda: len(self.got) >= count, deadline_s)
        return self.got

    def quiet(self, for_s=0.2):
        """Nothing more arrives for a while."""
        before = len(self.got)
        self.connection.process_data_events(time_limit=for_s)
        assert len(self.got) == before, self.bodies


def pump(connection, condition, deadline_s=DEADLINE_S):
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not in {deadline_s} s"
        connection.process_data_events(time_limit=0.05)


def get(channel, queue, auto_ack=True, deadline_s=DEADLINE_S):
    """basic.get until there is a message: (method, properties, body)."""
    return until(lambda: (got := channel.basic_get(queue, auto_ack=auto_ack))[0] and got, deadline_s, f"a message in {queue}")


def drain(channel, queue, count):
    return [get(channel, queue)[2] for _ in range(count)]


def empty(channel, queue):
    return channel.basic_get(queue, auto_ack=True)[0] is None


def ready(channel, queue):
    return channel.queue_declare(queue, passive=True).method.message_count


@pytest.fixture
def connect():
    made = []

    def make(**kw):
        connection = pika.BlockingConnection(parameters(**kw))
        made.append(connection)
        return connection

    yield make
    for connection in made:
        if connection.is_open:
            connection.close()


@pytest.fixture
def conn(connect):
    return connect()


@pytest.fixture
def ch(conn):
    return conn.channel()


@pytest.fixture
def name(request):
    """A unique prefix for names."""
    return f"t-{request.node.originalname[5:35]}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def make(connect, name):
    """Declares queues and exchanges that are deleted after the test, on a connection of its own."""
    maker = Maker(connect, name)
    yield maker
    maker.clean()


class Maker:
    def __init__(self, connect, name):
        self.channel = connect().channel()
        self.name, self.queues, self.exchanges = name, [], []

    def queue(self, suffix="q", durable=False, **arguments):
        queue = f"{self.name}-{suffix}"
        self.channel.queue_declare(queue, durable=durable, arguments={f"x-{k.replace('_', '-')}": v for k, v in arguments.items()})
        self.queues.append(queue)
        return queue

    def quorum(self, suffix="q", **arguments):
        return self.queue(suffix, durable=True, queue_type="quorum", **arguments)

    def exchange(self, kind, suffix="x", durable=False, internal=False, arguments=None):
        exchange = f"{self.name}-{suffix}"
        self.channel.exchange_declare(exchange, kind, durable=durable, internal=internal, arguments=arguments)
        self.exchanges.append(exchange)
        return exchange

    def bind(self, exchange, key="", suffix=None, arguments=None, queue=None):
        queue = queue or self.queue(suffix or f"q{len(self.queues)}")
        self.channel.queue_bind(queue, exchange, key, arguments)
        return queue

    def clean(self):
        channel = self.channel if self.channel.is_open else self.channel.connection.channel()
        for queue in self.queues:
            channel.queue_delete(queue)
        for exchange in self.exchanges:
            channel.exchange_delete(exchange)


@pytest.fixture
def inbox(conn):
    def make(channel, queue, **kw):
        box = Inbox(channel.connection)
        kw.setdefault("auto_ack", True)
        channel.add_on_cancel_callback(lambda frame: box.cancelled.append(frame.method.consumer_tag))
        box.tag = channel.basic_consume(queue, box, **kw)
        return box

    return make


@pytest.fixture
def raw():
    made = []

    def make(open=True, **kw):
        peer = Raw(HOST, PORT, timeout=DEADLINE_S)
        made.append(peer)
        if open:
            capabilities = [("consumer_cancel_notify", "t", True), ("authentication_failure_close", "t", True)]
            peer.open(client=[("capabilities", "F", capabilities)], **kw)
        return peer

    yield make
    for peer in made:
        peer.sock.close()


class Product:
    def __init__(self):
        with Raw(HOST, PORT) as peer:
            _, entries, self.mechanisms, _ = peer.start()
        self.properties = {key: value for key, _, value in entries}
        # Polybus may call its product RabbitMQ, for clients that look at that; only RabbitMQ runs on Erlang.
        self.is_rabbit = self.properties["platform"].startswith("Erlang")
        self.version = tuple(int(part) for part in self.properties["version"].split(".")[:2] if part.isdigit())

    def older(self, *version):
        """Whether this is a RabbitMQ older than that."""
        return self.is_rabbit and self.version < version


@pytest.fixture(scope="session")
def product():
    return Product()


@pytest.fixture(autouse=True)
def _skips(request):
    """`@pytest.mark.since(4, 3)`: skipped on older RabbitMQ. `@pytest.mark.not_on_rabbit`: needs what it has not."""
    since, never = request.node.get_closest_marker("since"), request.node.get_closest_marker("not_on_rabbit")
    if since or never:
        product = request.getfixturevalue("product")
        if never and product.is_rabbit:
            pytest.skip(f"RabbitMQ: {never.args[0]}")
        if since and product.older(*since.args):
            pytest.skip(f"RabbitMQ {since.args[0]}.{since.args[1]} and later")


def pytest_configure(config):
    config.addinivalue_line("markers", "since(major, minor): as RabbitMQ of this version and later")
    config.addinivalue_line("markers", "not_on_rabbit(reason): not to be judged by RabbitMQ")


def pytest_collection_modifyitems(config, items):
    """expected_failures.txt: one test id a line (`file.py::test`), `#` comments; they run, and must fail."""
    path = Path(__file__).with_name("expected_failures.txt")
    listed = {line.split("#")[0].strip() for line in path.read_text().splitlines()} if path.exists() else set()
    for item in items:
        if item.nodeid.split("/")[-1] in listed or item.nodeid.split("/")[-1].split("[")[0] in listed:
            item.add_marker(pytest.mark.xfail(strict=False, reason="EXPECTED_FAILURES.md"))
