"""What needs a broker of its own: little room on the disk, users with few permissions. Needs POLYBUS_BIN."""

import signal

import pika
import pytest
from conftest import BIN, Inbox, drain, get, ready
from pika import BasicProperties as Properties
from test_durability import Server

pytestmark = pytest.mark.skipif(not BIN, reason="POLYBUS_BIN is not set")


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(*options):
        servers.append(Server(tmp_path / f"data{len(servers)}", *options).start())
        return servers[-1]

    yield start
    for server in servers:
        server.stop(signal.SIGKILL)


def test_publishers_wait_while_the_disk_is_full_and_others_go_on(serve):
    server = serve("--limits-disk-free-min", "1000TiB")
    connection, told = server.connect(), []
    connection.add_on_connection_blocked_callback(lambda _, frame: told.append(frame.method.reason))
    channel = connection.channel()
    channel.queue_declare("q")
    assert not told, "only who publishes is told"
    other = server.connect().channel()
    # The disk is looked at now and then: what comes before the first look is taken.
    while not told:
        channel.basic_publish("", "q", b"taken, or waits")
        connection.process_data_events(time_limit=0.05)
    taken = ready(other, "q")
    channel.basic_publish("", "q", b"waits")
    connection.process_data_events(time_limit=0.2)
    assert ready(other, "q") == taken
    assert drain(other, "q", taken) == [b"taken, or waits"] * taken
    other.queue_declare("q2")


@pytest.fixture
def limited(serve):
    """A server, and how to connect as a user who may touch `mine.*` only."""
    server = serve()
    server.command("users", "add", "ann", "--password", "secret")
    server.command("permissions", "set", "ann", "--configure", "^mine", "--write", "^(mine|amq.default)", "--read", "^mine")
    return server, lambda: server.connect(credentials=pika.PlainCredentials("ann", "secret"))


@pytest.mark.parametrize(
    "what, access, thing",
    [
        (lambda c: c.queue_declare("other"), "configure", "queue 'other'"),
        (lambda c: c.queue_delete("other"), "configure", "queue 'other'"),
        (lambda c: c.queue_declare("mine", arguments={"x-dead-letter-exchange": "other"}), "write", "exchange 'other'"),
        (lambda c: c.basic_get("other"), "read", "queue 'other'"),
        (lambda c: c.basic_consume("other", print), "read", "queue 'other'"),
        (lambda c: c.queue_purge("other"), "read", "queue 'other'"),
        (lambda c: c.exchange_declare("other"), "configure", "exchange 'other'"),
        (lambda c: c.queue_bind("other", "mine", "k"), "write", "queue 'other'"),
        (lambda c: c.queue_bind("mine", "amq.topic", "k"), "read", "exchange 'amq.topic'"),
        (lambda c: c.basic_publish("amq.topic", "k", b"x"), "write", "exchange 'amq.topic'"),
    ],
)
def test_permissions(limited, what, access, thing):
    server, connect = limited
    server.connect().channel().queue_declare("other")
    channel = connect().channel()
    channel.queue_declare("mine")
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as error:
        what(channel)
    assert (error.value.reply_code, error.value.reply_text) == (403, f"ACCESS_REFUSED - {access} access to {thing} in vhost '/' refused for user 'ann'")


def test_direct_reply_to_needs_no_permission_of_the_reply_queue(limited):
    server, connect = limited
    connection = connect()
    client, box = connection.channel(), Inbox(connection)
    client.queue_declare("mine.requests")
    client.basic_consume("amq.rabbitmq.reply-to", box, auto_ack=True)
    client.basic_publish("", "mine.requests", b"ping", Properties(reply_to="amq.rabbitmq.reply-to"))
    worker = connect().channel()
    _, properties, body = get(worker, "mine.requests")
    worker.basic_publish("", properties.reply_to, body + b" pong")
    assert box.wait(1)[0][2] == b"ping pong"


def test_a_user_of_no_namespace_is_turned_away(limited):
    server, _ = limited
    server.command("users", "add", "bob", "--password", "secret")
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        server.connect(credentials=pika.PlainCredentials("bob", "secret"))
