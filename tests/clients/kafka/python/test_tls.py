"""TLS and SASL_SSL, against brokers of a test's own: confluent-kafka, kafka-python and aiokafka."""

import asyncio
import ssl
import subprocess
from contextlib import closing

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from conftest import DEADLINE_S, free_port, produce, take
from kafka import KafkaConsumer, KafkaProducer
from test_access import ALL

MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """An authority, the certificates of a server and of a client called ada, and one that nobody trusts."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    for root in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{root}.key", "-out", f"{root}.pem", "-subj", f"/CN={root}", "-days", "2")
    for one in ("localhost", "ada"):
        (folder / "ext").write_text(f"subjectAltName=DNS:{one},IP:127.0.0.1")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{one}.key", "-out", f"{one}.csr", "-subj", f"/CN={one}")
        openssl("x509", "-req", "-in", f"{one}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out", f"{one}.pem", "-extfile", "ext")
    return folder


@pytest.fixture
def secured(server, authority):
    """A broker with TLS that wants logins, with a user ada; its address there."""

    def make(**flags):
        port = free_port()
        one = server(kafka_tls_listen=f"127.0.0.1:{port}", amqp_tls_listen="off", kafka_sasl="true",
                     tls_certificate=authority / "localhost.pem", tls_key=authority / "localhost.key", tls_client_ca=authority / "ca.pem", **flags)
        one.command("users", "add", "ada", "--password", "secret")
        one.command("permissions", "set", "ada", *ALL)
        return f"127.0.0.1:{port}"

    return make


def trusting(authority, **more):
    return {"security.protocol": "SSL", "ssl.ca.location": str(authority / "ca.pem"), **{key.replace("_", "."): value for key, value in more.items()}}


def login(mechanism):
    return {"security_protocol": "SASL_SSL", "sasl_mechanism": mechanism, "sasl_username": "ada", "sasl_password": "secret"}


def certificate(authority):
    return {"ssl_certificate_location": str(authority / "ada.pem"), "ssl_key_location": str(authority / "ada.key")}


def works(address, config):
    config = {"bootstrap.servers": address, **config}
    produce(Producer(config), "t", [b"a", b"b" * 100_000])
    consumer = Consumer({**config, "group.id": "g", "auto.offset.reset": "earliest"})
    consumer.subscribe(["t"])
    assert [len(message.value()) for message in take(consumer, 2)] == [1, 100_000]
    consumer.close()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_librdkafka_logs_in(secured, authority, mechanism):
    works(secured(), trusting(authority, **login(mechanism)))


def test_librdkafka_shows_a_certificate(secured, authority):
    address = secured(tls_require_client_certificate="true")
    works(address, trusting(authority, **certificate(authority)))


def refused(config):
    errors = []
    client = AdminClient({**config, "error_cb": errors.append})
    with pytest.raises(KafkaException):
        client.list_topics(timeout=2)
    client.poll(0)
    return " ".join(error.str() for error in errors)


def test_who_is_not_trusted(secured, authority):
    address = {"bootstrap.servers": secured(tls_require_client_certificate="true")}
    stranger = trusting(authority, **certificate(authority)) | {"ssl.ca.location": str(authority / "other.pem")}
    assert "certificate verify failed" in refused(address | stranger)
    assert refused(address | trusting(authority))
    wrong = trusting(authority, **certificate(authority), **login("PLAIN")) | {"sasl.password": "wrong"}
    assert "Authentication failed" in refused(address | wrong)


def test_who_does_not_log_in(secured, authority):
    assert refused({"bootstrap.servers": secured(), **trusting(authority)})


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_kafka_python(secured, authority, mechanism):
    same = {"bootstrap_servers": secured(), "security_protocol": "SASL_SSL", "ssl_cafile": str(authority / "ca.pem"),
            "sasl_mechanism": mechanism, "sasl_plain_username": "ada", "sasl_plain_password": "secret"}
    with closing(KafkaProducer(**same)) as producer:
        producer.send("t", b"a").get(DEADLINE_S)
    with closing(KafkaConsumer("t", auto_offset_reset="earliest", consumer_timeout_ms=DEADLINE_S * 1000, **same)) as consumer:
        assert next(consumer).value == b"a"


def test_kafka_python_shows_a_certificate(secured, authority):
    same = {"bootstrap_servers": secured(tls_require_client_certificate="true"), "security_protocol": "SSL", "ssl_cafile": str(authority / "ca.pem"),
            "ssl_certfile": str(authority / "ada.pem"), "ssl_keyfile": str(authority / "ada.key")}
    with closing(KafkaProducer(**same)) as producer:
        assert producer.send("t", b"a").get(DEADLINE_S).offset == 0


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_aiokafka(secured, authority, mechanism):
    context = ssl.create_default_context(cafile=authority / "ca.pem")
    same = {"bootstrap_servers": secured(), "security_protocol": "SASL_SSL", "ssl_context": context,
            "sasl_mechanism": mechanism, "sasl_plain_username": "ada", "sasl_plain_password": "secret"}

    async def main():
        async with AIOKafkaProducer(**same) as producer:
            await producer.send_and_wait("t", b"a")
        async with AIOKafkaConsumer("t", auto_offset_reset="earliest", **same) as consumer:
            assert (await consumer.getone()).value == b"a"

    asyncio.run(asyncio.wait_for(main(), DEADLINE_S))
