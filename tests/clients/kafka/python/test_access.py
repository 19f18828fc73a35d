"""Who comes in and what they may do, against brokers of a test's own."""

import kafka
import pytest
from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
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


def acl(resource, name, operation, user="ada", prefixed=False, deny=False, host="*", kind=AclBinding):
    pattern = ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL
    permission = AclPermissionType.DENY if deny else AclPermissionType.ALLOW
    return kind(getattr(ResourceType, resource), name, pattern, f"User:{user}", host, getattr(AclOperation, operation), permission)


def add(admin, *acls):
    for one in admin.create_acls(list(acls)).values():
        one.result(DEADLINE_S)


def refused(action):
    with pytest.raises(KafkaException, match="AUTHORIZATION"):
        action()


@pytest.fixture
def restricted(guarded):
    """The broker, its administrator, and clients of a user who may nothing yet."""
    one, admin = guarded
    one.command("permissions", "set", "ada", "--configure", "^$", "--write", "^$", "--read", "^$")
    for name in ["orders.a", "orders.b", "other"]:
        admin.create_topics([NewTopic(name, 1, 1)])[name].result(DEADLINE_S)
    return one, admin, clients(one, **login("ada"), enable_auto_offset_store=False)


def test_rules_allow_and_deny(restricted):
    one, admin, (_, consumer, hers) = restricted
    told = []

    def send(topic):
        # librdkafka remembers for a while what it was refused.
        producer, _, _ = clients(one, **login("ada"))
        producer.produce(topic, b"a", on_delivery=lambda error, _: told.append(error and error.name()))
        assert producer.flush(DEADLINE_S) == 0
        return told.pop()

    assert send("orders.a") == "TOPIC_AUTHORIZATION_FAILED"
    assert not hers.list_topics(timeout=DEADLINE_S).topics
    add(admin, acl("TOPIC", "orders.", "WRITE", prefixed=True), acl("TOPIC", "orders.b", "WRITE", deny=True))
    one.restart()
    assert [send("orders.a"), send("orders.b"), send("other")] == [None, "TOPIC_AUTHORIZATION_FAILED", "TOPIC_AUTHORIZATION_FAILED"]
    assert set(hers.list_topics(timeout=DEADLINE_S).topics) == {"orders.a", "orders.b"}
    consumer.subscribe(["orders.a"])
    message = consumer.poll(DEADLINE_S)
    assert message.error().name() in ("GROUP_AUTHORIZATION_FAILED", "TOPIC_AUTHORIZATION_FAILED")
    consumer.close()
    add(admin, acl("GROUP", "g", "READ"), acl("TOPIC", "*", "READ", user="*", host="127.0.0.1"))
    _, consumer, _ = clients(one, **login("ada"))
    consumer.subscribe(["orders.a"])
    assert take(consumer, 1)[0].value() == b"a"
    consumer.commit(asynchronous=False)
    consumer.close()
    refused(lambda: hers.create_topics([NewTopic("mine", 1, 1)])["mine"].result(DEADLINE_S))
    refused(lambda: hers.delete_topics(["orders.a"])["orders.a"].result(DEADLINE_S))
    add(admin, acl("BROKER", "kafka-cluster", "CREATE"), acl("TOPIC", "mine", "ALTER"))
    hers.create_topics([NewTopic("mine", 1, 1)])["mine"].result(DEADLINE_S)
    refused(lambda: list(hers.alter_configs([ConfigResource(ConfigResource.Type.TOPIC, "mine", {"retention.ms": "1"})]).values())[0].result(DEADLINE_S))


def test_rules_of_transactions(restricted):
    one, admin, _ = restricted
    add(admin, acl("TOPIC", "orders.a", "WRITE"))
    producer, _, _ = clients(one, **login("ada"), transactional_id="tx-1")
    refused(lambda: producer.init_transactions(DEADLINE_S))
    add(admin, acl("TRANSACTIONAL_ID", "tx-", "WRITE", prefixed=True))
    producer, _, _ = clients(one, **login("ada"), transactional_id="tx-1")
    producer.init_transactions(DEADLINE_S)
    producer.begin_transaction()
    producer.produce("orders.a", b"a")
    producer.commit_transaction(DEADLINE_S)


def test_rules_are_listed_and_deleted(restricted):
    _, admin, (_, _, hers) = restricted
    both = [acl("TOPIC", "orders.", "WRITE", prefixed=True), acl("TOPIC", "orders.a", "READ", deny=True)]
    add(admin, *both)
    add(admin, both[0])
    every = AclBindingFilter(ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY)
    assert sorted(map(str, admin.describe_acls(every).result(DEADLINE_S))) == sorted(map(str, both))
    # What librdkafka is refused here it does not tell: it gives none.
    assert hers.describe_acls(every).result(DEADLINE_S) == []
    refused(lambda: hers.create_acls(both)[both[0]].result(DEADLINE_S))
    match = AclBindingFilter(ResourceType.TOPIC, "orders.x", ResourcePatternType.MATCH, "User:ada", None, AclOperation.ANY, AclPermissionType.ANY)
    assert len(admin.describe_acls(match).result(DEADLINE_S)) == 1
    assert len(admin.delete_acls([match])[match].result(DEADLINE_S)) == 1
    assert admin.describe_acls(every).result(DEADLINE_S) == [both[1]]
    with pytest.raises(KafkaException, match="INVALID_REQUEST"):
        add(admin, acl("BROKER", "else", "ALTER"))


def test_rules_of_offsets_and_settings(restricted):
    one, admin, (_, _, hers) = restricted
    add(admin, acl("GROUP", "g", "READ"), acl("TOPIC", "orders.a", "READ"), acl("TOPIC", "orders.b", "DESCRIBE"))
    _, consumer, _ = clients(one, **login("ada"))
    commit = lambda topic: consumer.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    assert commit("orders.a")[0].error is None
    refused(lambda: commit("orders.b"))
    consumer.close()
    settings = lambda name: hers.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, name)])
    refused(lambda: list(settings("orders.a").values())[0].result(DEADLINE_S))
    add(admin, acl("TOPIC", "other", "DESCRIBE_CONFIGS"))
    assert "retention.ms" in list(settings("other").values())[0].result(DEADLINE_S)
    add(admin, acl("GROUP", "g", "DELETE", deny=True))
    group = hers.describe_consumer_groups(["g"], include_authorized_operations=True)["g"].result(DEADLINE_S)
    assert set(group.authorized_operations) == {AclOperation.READ, AclOperation.DESCRIBE}
    found = hers.describe_topics(TopicCollection(["orders.a"]), include_authorized_operations=True)["orders.a"].result(DEADLINE_S)
    assert set(found.authorized_operations) == {AclOperation.READ, AclOperation.DESCRIBE}
    cluster = hers.describe_cluster(include_authorized_operations=True).result(DEADLINE_S)
    assert AclOperation.ALTER not in cluster.authorized_operations
    every = admin.describe_cluster(include_authorized_operations=True).result(DEADLINE_S).authorized_operations
    assert AclOperation.ALTER in every
