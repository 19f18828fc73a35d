"""Brokers of a test's own: restarts and kills, logins, what is advertised."""

import shutil
import signal
import subprocess

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from conftest import BIN, DEADLINE_S, produce, take


def clients(server, **config):
    config = {"bootstrap.servers": server.address, **{key.replace("_", "."): value for key, value in config.items()}}
    group = {"group.id": "g", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    return Producer({"linger.ms": 5, **config}), Consumer({**config, **group}), AdminClient(config)


def test_all_is_there_after_a_kill(server):
    one = server()
    producer, consumer, admin = clients(one, enable_idempotence=True)
    admin.create_topics([NewTopic("t", 8, 1, config={"retention.ms": "-1"})])["t"].result(DEADLINE_S)
    confirmed = []
    for turn in range(4):
        values = [b"%d-%d" % (turn, i) for i in range(500)]
        produce(producer, "t", values)
        confirmed += values
        one.restart(signal.SIGKILL)
    consumer.subscribe(["t"])
    got = [m.value() for m in take(consumer, len(confirmed))]
    assert sorted(got) == sorted(confirmed)
    consumer.commit(asynchronous=False)
    consumer.close()
    one.restart(signal.SIGKILL)
    assert len(admin.list_topics(timeout=DEADLINE_S).topics["t"].partitions) == 8
    _, consumer, _ = clients(one)
    consumer.subscribe(["t"])
    produce(producer, "t", [b"last"])
    assert take(consumer, 1)[0].value() == b"last", "the group's offsets were kept"
    consumer.close()


def test_a_kill_in_the_middle_loses_and_doubles_nothing(server):
    one = server()
    producer, consumer, admin = clients(one, enable_idempotence=True, message_timeout_ms=60000)
    admin.create_topics([NewTopic("t", 3, 1)])["t"].result(DEADLINE_S)
    confirmed = []
    for i in range(6000):
        producer.produce("t", b"%d" % i, key=b"%d" % (i % 50), on_delivery=lambda e, m: confirmed.append((e, m.value())))
        if i % 2000 == 1000:
            producer.poll(0.05)
            one.restart(signal.SIGKILL)
    assert producer.flush(40) == 0
    assert [e for e, _ in confirmed if e] == []
    consumer.subscribe(["t"])
    got = take(consumer, 6000)
    assert consumer.poll(0.5) is None
    by_partition = {}
    for m in got:
        by_partition.setdefault(m.partition(), []).append(int(m.value()))
    assert all(values == sorted(values) for values in by_partition.values()), "reordered"
    assert sorted(sum(by_partition.values(), [])) == list(range(6000))
    consumer.close()


def test_logins(server):
    one = server(kafka_sasl="true")
    one.command("users", "add", "ada", "--password", "secret")
    one.command("permissions", "set", "ada", "--configure", ".*", "--write", ".*", "--read", ".*")
    login = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "PLAIN", "sasl.username": "ada", "sasl.password": "secret"}
    producer, consumer, _ = clients(one, **login)
    produce(producer, "t", [b"a"])
    consumer.subscribe(["t"])
    assert take(consumer, 1)[0].value() == b"a"
    consumer.close()
    for wrong in [{"sasl.password": "wrong"}, {"security.protocol": "PLAINTEXT"}]:
        _, _, admin = clients(one, **{**login, **wrong})
        with pytest.raises(KafkaException):
            admin.list_topics(timeout=2)


def test_permissions_are_by_topic(server):
    one = server(kafka_sasl="true")
    one.command("users", "add", "ada", "--password", "secret")
    one.command("permissions", "set", "ada", "--configure", "^mine", "--write", "^mine", "--read", "^mine")
    login = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "PLAIN", "sasl.username": "ada", "sasl.password": "secret"}
    producer, _, admin = clients(one, **login)
    produce(producer, "mine", [b"a"])
    with pytest.raises(KafkaException, match="AUTHORIZATION"):
        admin.create_topics([NewTopic("theirs", 1, 1)])["theirs"].result(DEADLINE_S)


def test_what_is_advertised(server):
    one = server(kafka_advertised="localhost", kafka_node_id=7, kafka_partitions=5)
    producer, _, admin = clients(one)
    produce(producer, "t", [b"a"])
    told = admin.list_topics(timeout=DEADLINE_S)
    assert [(b.host, b.port) for b in told.brokers.values()] == [("localhost", one.port)]
    assert list(told.brokers) == [7] and len(told.topics["t"].partitions) == 5


def test_a_taken_port_names_its_setting(server, tmp_path):
    one = server()
    command = [BIN, "serve", "--amqp-listen", "off", "--nats-listen", "off", "--kafka-listen", one.address, "--data", str(tmp_path / "other")]
    said = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert said.returncode == 1 and "kafka.listen: port" in said.stderr and "--kafka-listen off" in said.stderr


@pytest.mark.skipif(not shutil.which("kcat"), reason="kcat is not installed")
def test_kcat(server):
    one = server()

    def kcat(*arguments, input=None):
        command = ["kcat", "-q", "-b", one.address, *arguments]
        return subprocess.run(command, input=input, capture_output=True, text=True, timeout=30, check=True).stdout

    kcat("-P", "-t", "t", "-K:", "-z", "lz4", input="".join(f"k{i}:v{i}\n" for i in range(100)))
    assert 'topic "t" with 1 partitions' in kcat("-L")
    assert kcat("-C", "-t", "t", "-e", "-o", "beginning", "-f", "%o:%k:%s\n").split() == [f"{i}:k{i}:v{i}" for i in range(100)]
    assert kcat("-Q", "-t", "t:0:-1") == "t [0] offset 100\n"
    one.restart(signal.SIGKILL)
    assert kcat("-C", "-t", "t", "-e", "-o", "-1", "-f", "%s\n") == "v99\n"
