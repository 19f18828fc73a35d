"""Who comes in and what they may do, against brokers of a test's own."""

import kafka
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)
from conftest import DEADLINE_S, produce, take
from test_own_broker import clients

ALL = ("--configure", ".*", "--write", ".*", "--read", ".*")


def login(user, password="secret", mechanism="SCRAM-SHA-256"):
    return {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": mechanism, "sasl.username": user, "sasl.password": password}


@pytest.fixture
def guarded(server):
    """A broker that wants logins, with a user `ada` and its administrator."""
    one = server(kafka_sasl="true")
    one.command("users", "add", "ada", "--password", "secret")
    one.command("permissions", "set", "ada", *ALL)
    return one, clients(one, **login("guest", "guest"))[2]


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_scram(guarded, mechanism):
    one, _ = guarded
    producer, consumer, _ = clients(one, **login("ada", mechanism=mechanism))
    produce(producer, "t", [b"a"])
    consumer.subscribe(["t"])
    assert take(consumer, 1)[0].value() == b"a"
    consumer.close()
    same = {"bootstrap_servers": one.address, "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": mechanism}
    other = kafka.KafkaAdminClient(**same, sasl_plain_username="ada", sasl_plain_password="secret")
    assert "t" in other.list_topics()
    other.close()
    for wrong in [("ada", "wrong"), ("nobody", "secret")]:
        with pytest.raises(KafkaException):
            clients(one, **login(*wrong, mechanism=mechanism))[2].list_topics(timeout=2)


def test_scram_users_are_made_by_the_admin_client(guarded):
    one, admin = guarded
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8192)
    put = UserScramCredentialUpsertion("eve", info, b"secret")
    admin.alter_user_scram_credentials([put])["eve"].result(DEADLINE_S)
    one.restart()
    found = admin.describe_user_scram_credentials(["eve"])["eve"].result(DEADLINE_S)
    assert [(one.mechanism, one.iterations) for one in found.scram_credential_infos] == [(ScramMechanism.SCRAM_SHA_512, 8192)]
    everyone = admin.describe_user_scram_credentials().result(DEADLINE_S)
    assert set(everyone) == {"guest", "ada", "eve"}
    _, _, hers = clients(one, **login("eve", mechanism="SCRAM-SHA-512"))
    assert not hers.list_topics(timeout=DEADLINE_S).topics
    with pytest.raises(KafkaException, match="AUTHORIZATION"):
        hers.alter_user_scram_credentials([put])["eve"].result(DEADLINE_S)
    gone = UserScramCredentialDeletion("eve", ScramMechanism.SCRAM_SHA_512)
    admin.alter_user_scram_credentials([gone])["eve"].result(DEADLINE_S)
    with pytest.raises(KafkaException, match="RESOURCE_NOT_FOUND"):
        admin.alter_user_scram_credentials([gone])["eve"].result(DEADLINE_S)
    few = UserScramCredentialUpsertion("eve", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 100), b"secret")
    with pytest.raises(KafkaException, match="UNACCEPTABLE_CREDENTIAL"):
        admin.alter_user_scram_credentials([few])["eve"].result(DEADLINE_S)
