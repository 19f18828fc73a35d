"""What survives `kill -9` and a restart on the same data folder, by RabbitMQ's rules. Needs POLYBUS_BIN."""

import signal
import socket
import subprocess

import pika
import pytest
from conftest import BIN, drain, empty, get, parameters, ready
from pika import BasicProperties as Properties

pytestmark = pytest.mark.skipif(not BIN, reason="POLYBUS_BIN is not set")
PERSISTENT, TRANSIENT = Properties(delivery_mode=2), Properties(delivery_mode=1)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, data, *options):
        self.data, self.options, self.port, self.process = data, options, free_port(), None

    def start(self):
        command = [BIN, "serve", "--amqp-listen", f"127.0.0.1:{self.port}", "--kafka-listen", "off", "--nats-listen", "off", "--data", str(self.data), *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        for line in self.process.stdout:
            if line.strip() == "ready":
                return self
        raise AssertionError(f"exit code {self.process.wait()} before `ready`")

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(20)
        self.process.stdout.close()
        return code

    def restart(self, how=signal.SIGKILL):
        self.stop(how)
        return self.start()

    def connect(self, **kw):
        return pika.BlockingConnection(parameters(host="127.0.0.1", port=self.port, **kw))

    def command(self, *arguments):
        subprocess.run([BIN, *arguments, "--data", str(self.data)], check=True, stdout=subprocess.DEVNULL, input="", text=True)

    def channel(self):
        channel = self.connect().channel()
        channel.confirm_delivery()
        return channel


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path / "data").start()
    yield server
    if server.process.poll() is None:
        server.stop(signal.SIGKILL)


HOWS = pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "term"])


def is_missing(server, check):
    channel = server.connect().channel()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as error:
        check(channel)
    return error.value.reply_code == 404


@HOWS
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_confirmed_persistent_messages_survive(server, how, kind):
    channel = server.channel()
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": kind})
    for i in range(300):
        channel.basic_publish("", "q", str(i).encode() * 50, Properties(delivery_mode=2, message_id=str(i), headers={"i": i}))
    server.restart(how)
    channel = server.channel()
    for i in range(300):
        _, properties, body = get(channel, "q")
        assert (body, properties.message_id, properties.headers, properties.delivery_mode) == (str(i).encode() * 50, str(i), {"i": i}, 2)
    assert empty(channel, "q")


@HOWS
def test_transient_messages_do_not(server, how):
    channel = server.channel()
    channel.queue_declare("q", durable=True)
    channel.basic_publish("", "q", b"kept", PERSISTENT)
    channel.basic_publish("", "q", b"lost", TRANSIENT)
    channel.basic_publish("", "q", b"lost too")
    server.restart(how)
    channel = server.channel()
    assert drain(channel, "q", 1) == [b"kept"] and empty(channel, "q")


def test_quorum_queues_keep_transient_messages_too(server):
    channel = server.channel()
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
    channel.basic_publish("", "q", b"kept", TRANSIENT)
    server.restart()
    assert drain(server.channel(), "q", 1) == [b"kept"]


@HOWS
def test_transient_definitions_do_not(server, how):
    channel = server.channel()
    channel.queue_declare("transient")
    channel.queue_declare("exclusive", exclusive=True, durable=True)
    channel.exchange_declare("transient", "direct")
    channel.queue_declare("durable", durable=True)
    channel.queue_bind("durable", "transient", "k")
    channel.basic_publish("", "transient", b"x", PERSISTENT)
    server.restart(how)
    assert is_missing(server, lambda c: c.queue_declare("transient", passive=True))
    assert is_missing(server, lambda c: c.queue_declare("exclusive", passive=True))
    assert is_missing(server, lambda c: c.exchange_declare("transient", passive=True))
    server.channel().queue_declare("durable", passive=True)


@HOWS
def test_durable_definitions_survive(server, how):
    channel = server.channel()
    arguments = {"x-message-ttl": 3_600_000, "x-dead-letter-exchange": "dlx", "x-max-length": 1, "x-max-priority": 3}
    channel.queue_declare("q", durable=True, arguments=arguments)
    channel.queue_declare("dead", durable=True)
    channel.exchange_declare("dlx", "fanout", durable=True)
    channel.exchange_declare("front", "topic", durable=True, arguments={"alternate-exchange": "dlx"})
    channel.exchange_declare("headers", "headers", durable=True)
    channel.exchange_bind("front", "headers", "", {"a": 1})
    channel.queue_bind("dead", "dlx")
    channel.queue_bind("q", "front", "a.#")
    channel.queue_bind("q", "amq.direct", "k")
    server.restart(how)
    channel = server.channel()
    channel.queue_declare("q", durable=True, arguments=arguments)
    channel.exchange_declare("front", "topic", durable=True, arguments={"alternate-exchange": "dlx"})
    channel.basic_publish("front", "a.b", b"1", PERSISTENT)
    channel.basic_publish("amq.direct", "k", b"2", PERSISTENT)
    assert drain(channel, "dead", 1) == [b"1"]
    channel.basic_publish("front", "elsewhere", b"3")
    assert drain(channel, "dead", 1) == [b"3"]
    channel.basic_publish("headers", "a.c", b"4", Properties(headers={"a": 1}))
    assert drain(channel, "dead", 1) == [b"2"] and drain(channel, "q", 1) == [b"4"]


def test_acknowledged_messages_do_not_come_back(server):
    channel = server.channel()
    channel.queue_declare("q", durable=True)
    for i in range(100):
        channel.basic_publish("", "q", str(i).encode(), PERSISTENT)
    for _ in range(60):
        get(channel, "q", auto_ack=False)
    channel.basic_ack(50, multiple=True)
    channel.queue_declare("sync", durable=True)
    channel.basic_publish("", "sync", b"", PERSISTENT)
    server.restart()
    channel = server.channel()
    assert drain(channel, "q", 50) == [str(i).encode() for i in range(50, 100)] and empty(channel, "q")


def test_unacknowledged_messages_come_back_redelivered(server):
    channel = server.channel()
    channel.queue_declare("q", durable=True)
    channel.basic_publish("", "q", b"x", PERSISTENT)
    get(channel, "q", auto_ack=False)
    server.restart(signal.SIGTERM)
    assert get(server.channel(), "q")[2] == b"x"


def test_deleted_and_purged_stay_so(server):
    channel = server.channel()
    for queue in ("gone", "purged"):
        channel.queue_declare(queue, durable=True)
        channel.basic_publish("", queue, b"x", PERSISTENT)
    channel.exchange_declare("gone", "direct", durable=True)
    channel.queue_bind("purged", "amq.direct", "k")
    channel.queue_unbind("purged", "amq.direct", "k")
    channel.queue_purge("purged")
    channel.queue_delete("gone")
    channel.exchange_delete("gone")
    server.restart()
    assert is_missing(server, lambda c: c.queue_declare("gone", passive=True))
    assert is_missing(server, lambda c: c.exchange_declare("gone", passive=True))
    channel = server.channel()
    assert empty(channel, "purged")
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("amq.direct", "k", b"x", mandatory=True)


def test_ttl_goes_on_over_a_restart(server):
    channel = server.channel()
    channel.queue_declare("q", durable=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
    channel.queue_declare("dead", durable=True)
    channel.basic_publish("", "q", b"x", Properties(delivery_mode=2, expiration="500"))
    channel.basic_publish("", "q", b"y", PERSISTENT)
    server.restart()
    assert drain(server.channel(), "dead", 1) == [b"x"]
    assert drain(server.channel(), "q", 1) == [b"y"]


def test_delivery_count_survives(server):
    channel = server.channel()
    channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
    channel.basic_publish("", "q", b"x")
    for _ in range(3):
        channel.basic_reject(get(channel, "q", auto_ack=False)[0].delivery_tag, requeue=True)
    channel.basic_nack(get(channel, "q", auto_ack=False)[0].delivery_tag, requeue=True)
    channel.basic_publish("", "q", b"y")
    server.restart(signal.SIGTERM)
    headers = get(server.channel(), "q")[1].headers
    assert headers["x-delivery-count"] >= 3 and headers["x-acquired-count"] >= 4


def test_committed_transactions_survive(server):
    server.channel().queue_declare("q", durable=True)
    channel = server.connect().channel()
    channel.tx_select()
    for i in range(10):
        channel.basic_publish("", "q", str(i).encode(), PERSISTENT)
    channel.tx_commit()
    channel.basic_publish("", "q", b"not committed", PERSISTENT)
    server.restart()
    channel = server.channel()
    assert drain(channel, "q", 10) == [str(i).encode() for i in range(10)] and empty(channel, "q")


def test_killed_again_and_again(server):
    server.channel().queue_declare("q", durable=True)
    for round_ in range(4):
        channel = server.channel()
        for i in range(25):
            channel.basic_publish("", "q", f"{round_}-{i}".encode(), PERSISTENT)
        server.restart()
    channel = server.channel()
    assert ready(channel, "q") == 100
    assert drain(channel, "q", 100) == [f"{r}-{i}".encode() for r in range(4) for i in range(25)]


def test_killed_amid_publishing_keeps_all_that_was_confirmed(server):
    server.channel().queue_declare("q", durable=True)
    channel, confirmed = server.channel(), []
    try:
        for i in range(100_000):
            if i == 200:
                server.process.send_signal(signal.SIGKILL)
            channel.basic_publish("", "q", str(i).encode(), PERSISTENT)
            confirmed.append(str(i).encode())
    except pika.exceptions.AMQPError:
        pass
    server.restart()
    channel = server.channel()
    kept = drain(channel, "q", ready(channel, "q"))
    assert kept[: len(confirmed)] == confirmed and len(kept) <= len(confirmed) + 1


def test_a_taken_port_is_a_clear_error(server, tmp_path):
    command = [BIN, "serve", "--amqp-listen", f"127.0.0.1:{server.port}", "--kafka-listen", "off", "--nats-listen", "off", "--data", str(tmp_path / "other")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode != 0
    assert str(server.port) in done.stderr and "amqp" in done.stderr.lower()


def test_a_locked_data_folder_is_a_clear_error(server):
    command = [BIN, "serve", "--amqp-listen", f"127.0.0.1:{free_port()}", "--kafka-listen", "off", "--nats-listen", "off", "--data", str(server.data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and str(server.data) in done.stderr
    assert "panicked" not in done.stderr
