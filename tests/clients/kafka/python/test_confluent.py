"""librdkafka, by confluent-kafka."""

import time

import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)
from conftest import DEADLINE_S, produce, take, until


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("idempotent", [False, True])
def test_every_compression(topic, producer, consumer, codec, idempotent):
    name = topic()
    values = [b"%d " % i * 50 for i in range(200)]
    produce(producer(compression_type=codec, enable_idempotence=idempotent), name, values, key=b"k", headers=[("a", b"b"), ("a", None)])
    got = take(consumer(name), len(values))
    assert [m.value() for m in got] == values
    assert [m.offset() for m in got] == list(range(len(values)))
    assert got[0].key() == b"k" and got[0].headers() == [("a", b"b"), ("a", None)]


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_acks(topic, producer, consumer, acks):
    name = topic()
    places = produce(producer(acks=acks), name, [b"a", b"b", b"c"])
    assert acks == "0" or [offset for _, offset in places] == [0, 1, 2]
    assert [m.value() for m in take(consumer(name), 3)] == [b"a", b"b", b"c"]


def test_null_and_empty(topic, producer, consumer):
    name = topic()
    p = producer()
    p.produce(name, None, key=b"gone")
    p.produce(name, b"", key=None)
    p.flush(DEADLINE_S)
    assert [(m.key(), m.value()) for m in take(consumer(name), 2)] == [(b"gone", None), (None, b"")]


def test_large_messages(topic, producer, consumer):
    name = topic(max_message_bytes="10000000")
    values = [bytes([i]) * (3_000_000 + i) for i in range(5)]
    produce(producer(message_max_bytes=9_000_000), name, values)
    got = take(consumer(name, fetch_message_max_bytes=1_000_000), len(values))
    assert [m.value() for m in got] == values


def test_too_large_a_message_is_refused(topic, producer):
    name = topic(max_message_bytes="10000")
    seen = []
    p = producer()
    p.produce(name, b"x" * 50_000, on_delivery=lambda error, _: seen.append(error))
    p.flush(DEADLINE_S)
    assert seen[0].name() == "MSG_SIZE_TOO_LARGE"


def test_keys_keep_their_order_over_many_partitions(topic, producer, consumer):
    name = topic(64)
    p = producer(enable_idempotence=True)
    for i in range(5000):
        p.produce(name, b"%d" % i, key=b"key-%d" % (i % 97))
    assert p.flush(DEADLINE_S) == 0
    got = take(consumer(name), 5000)
    assert len({m.partition() for m in got}) > 20
    by_key = {}
    for m in got:
        by_key.setdefault(m.key(), []).append(int(m.value()))
    assert all(values == sorted(values) for values in by_key.values()) and len(by_key) == 97


def test_a_topic_is_made_when_it_is_written_to(admin, producer, consumer, name):
    produce(producer(), name, [b"a"])
    assert [m.value() for m in take(consumer(name), 1)] == [b"a"]
    admin.delete_topics([name])[name].result(DEADLINE_S)
    until(lambda: name not in admin.list_topics(timeout=DEADLINE_S).topics)


def test_a_topic_that_is_not_there_and_not_made(consumer, name):
    one = consumer(name)
    message = until(lambda: one.poll(0.5))
    assert message.error().name() == "UNKNOWN_TOPIC_OR_PART"


def test_seek_and_watermarks(topic, producer, consumer):
    name = topic()
    produce(producer(), name, [b"%d" % i for i in range(10)])
    one = consumer()
    place = TopicPartition(name, 0, 7)
    one.assign([place])
    assert take(one, 1)[0].value() == b"7"
    assert one.get_watermark_offsets(TopicPartition(name, 0), timeout=DEADLINE_S) == (0, 10)
    one.seek(TopicPartition(name, 0, OFFSET_BEGINNING))
    assert take(one, 1)[0].value() == b"0"
    one.seek(TopicPartition(name, 0, OFFSET_END))
    assert one.poll(0.3) is None


def test_offsets_by_time(topic, producer, consumer, admin):
    name = topic()
    p = producer()
    for i in range(10):
        p.produce(name, b"%d" % i, timestamp=1_000_000 + i * 1000)
    p.flush(DEADLINE_S)
    one = consumer()
    found = one.offsets_for_times([TopicPartition(name, 0, 1_004_500)], timeout=DEADLINE_S)
    assert found[0].offset == 5
    part = TopicPartition(name, 0)
    for spec, offset in [(OffsetSpec.latest(), 10), (OffsetSpec.earliest(), 0), (OffsetSpec.max_timestamp(), 9)]:
        assert admin.list_offsets({part: spec})[part].result(DEADLINE_S).offset == offset


def test_an_offset_out_of_range_is_reset(topic, producer, consumer):
    name = topic()
    produce(producer(), name, [b"a", b"b"])
    one = consumer()
    one.assign([TopicPartition(name, 0, 1000)])
    assert take(one, 1)[0].offset() == 0


def test_a_group_shares_remembers_and_hands_over(topic, producer, consumer, admin):
    name = topic(4)
    produce(producer(), name, [b"%d" % i for i in range(100)])
    first = consumer(name, enable_auto_commit=False)
    take(first, 100)
    first.commit(asynchronous=False)
    second = consumer(name, enable_auto_commit=False)

    def both():
        first.poll(0.05), second.poll(0.05)
        return len(first.assignment()) == 2 and len(second.assignment()) == 2

    until(both, what="two members with two partitions each")
    p = producer()
    for partition in range(4):
        produce(p, name, [b"x"], partition=partition)
    got = take(first, 2) + take(second, 2)
    assert sorted(m.partition() for m in got) == [0, 1, 2, 3]
    second.commit(asynchronous=False)
    second.close()
    until(lambda: first.poll(0.05) or len(first.assignment()) == 4, what="all partitions back")


def test_groups_are_listed_described_and_deleted(topic, producer, consumer, admin, name):
    data = topic(2)
    produce(producer(), data, [b"a", b"b"])
    one = consumer(data, group=name, enable_auto_commit=False)
    take(one, 2)
    one.commit(asynchronous=False)
    assert name in [g.group_id for g in admin.list_consumer_groups().result(DEADLINE_S).valid]
    described = admin.describe_consumer_groups([name])[name].result(DEADLINE_S)
    assert described.state.name == "STABLE" and len(described.members) == 1
    assert len(described.members[0].assignment.topic_partitions) == 2
    with pytest.raises(KafkaException, match="NON_EMPTY_GROUP"):
        admin.delete_consumer_groups([name])[name].result(DEADLINE_S)
    one.close()
    admin.delete_consumer_groups([name])[name].result(DEADLINE_S)
    assert name not in [g.group_id for g in admin.list_consumer_groups().result(DEADLINE_S).valid]


def test_a_static_member_keeps_its_place(topic, producer, consumer):
    name = topic(2)
    config = {"group_instance_id": "one", "session_timeout_ms": 30000}
    first = consumer(name, **config)
    produce(producer(), name, [b"a"])
    take(first, 1)
    first.commit(asynchronous=False)
    first.close()
    again = consumer(name, **config)
    produce(producer(), name, [b"b"])
    assert take(again, 1)[0].value() == b"b"


def test_cooperative_sticky(topic, producer, consumer):
    name = topic(4)
    config = {"partition_assignment_strategy": "cooperative-sticky"}
    first, second = consumer(name, **config), consumer(name, **config)
    until(lambda: [first.poll(0.05), second.poll(0.05)] and sorted(p.partition for p in first.assignment() + second.assignment()) == [0, 1, 2, 3] and first.assignment() and second.assignment())


def test_topics_settings(topic, admin):
    name = topic(1, retention_ms="1000")
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)

    def config(key):
        entry = admin.describe_configs([resource])[resource].result(DEADLINE_S)[key]
        return entry.value, entry.source

    assert config("retention.ms") == ("1000", 1)
    assert config("cleanup.policy") == ("delete", 5)
    change = ConfigEntry("max.message.bytes", "5000", incremental_operation=AlterConfigOpType.SET)
    back = ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE)
    admin.incremental_alter_configs([ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=[change, back])])
    until(lambda: config("max.message.bytes") == ("5000", 1))
    assert config("retention.ms") == ("604800000", 5)
    wrong = ConfigEntry("retention.ms", "soon", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=[wrong])
    with pytest.raises(KafkaException, match="INVALID_CONFIG"):
        admin.incremental_alter_configs([resource])[resource].result(DEADLINE_S)


def test_topics_that_cannot_be_made(admin, topic, name):
    made = topic()
    for new, code in [
        (NewTopic(made, 1, 1), "TOPIC_ALREADY_EXISTS"),
        (NewTopic("not a name", 1, 1), "TOPIC_EXCEPTION"),
        (NewTopic(name + "-r", 1, 3), "INVALID_REPLICATION_FACTOR"),
        (NewTopic(name + "-c", 1, 1, config={"no.such": "1"}), "INVALID_CONFIG"),
    ]:
        with pytest.raises(KafkaException, match=code):
            admin.create_topics([new])[new.topic].result(DEADLINE_S)


def test_more_partitions(admin, topic, producer):
    name = topic(1)
    admin.create_partitions([NewPartitions(name, 3)])[name].result(DEADLINE_S)
    assert len(admin.list_topics(name, timeout=DEADLINE_S).topics[name].partitions) == 3
    with pytest.raises(KafkaException, match="INVALID_PARTITIONS"):
        admin.create_partitions([NewPartitions(name, 2)])[name].result(DEADLINE_S)
    assert produce(producer(), name, [b"a"], partition=2) == [(2, 0)]


def test_records_given_up(admin, topic, producer, consumer):
    name = topic()
    p = producer(batch_num_messages=1)
    for i in range(10):
        produce(p, name, [b"%d" % i])
    part = TopicPartition(name, 0, 4)
    assert admin.delete_records([part])[part].result(DEADLINE_S).low_watermark == 4
    one = consumer(name)
    assert take(one, 1)[0].value() == b"4"
    assert one.get_watermark_offsets(TopicPartition(name, 0), timeout=DEADLINE_S) == (4, 10)


def test_the_cluster(admin):
    cluster = admin.describe_cluster().result(DEADLINE_S)
    assert len(cluster.cluster_id) == 22 and [node.id for node in cluster.nodes] == [cluster.controller.id]


def test_a_consumer_waits_for_what_comes(topic, producer, consumer):
    name = topic()
    one = consumer(name, fetch_wait_max_ms=5000)
    until(lambda: one.poll(0.05) or one.assignment())
    one.poll(0.5)
    p = producer(linger_ms=0)
    began = time.monotonic()
    produce(p, name, [b"now"])
    assert take(one, 1)[0].value() == b"now"
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
def test_compacted_topic_comes_to_the_latest_of_each_key(topic, producer, consumer, codec):
    name = topic(cleanup_policy="compact", min_cleanable_dirty_ratio="0.01", segment_ms="100", max_compaction_lag_ms="100")
    p = producer(compression_type=codec)
    for i in range(500):
        p.produce(name, key=b"k%d" % (i % 10), value=b"v%d" % i)
    p.produce(name, key=b"k0", value=None)
    p.flush(DEADLINE_S)
    latest = {b"k%d" % k: b"v%d" % (490 + k) for k in range(1, 10)} | {b"k0": None}
    reader = consumer()
    # Whoever reads while it is compacted comes to the same.
    count, deadline = 502, time.monotonic() + 120
    while count > 40:
        assert time.monotonic() < deadline, f"{count} records are left"
        [(_, last)] = produce(p, name, [b"end"], key=b"end")
        reader.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
        got = []
        while not got or got[-1].offset() < last:
            got += take(reader, 1)
        assert [m.offset() for m in got] == sorted({m.offset() for m in got})
        assert {m.key(): m.value() for m in got if m.key() != b"end"} == latest
        count = len(got)
        time.sleep(4)
