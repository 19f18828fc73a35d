"""kafka-python."""

from contextlib import closing

import pytest
from conftest import DEADLINE_S, until
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import TopicAlreadyExistsError


def reader(address, *topics, **kw):
    kw = {"auto_offset_reset": "earliest", "consumer_timeout_ms": 5000, **kw}
    return KafkaConsumer(*topics, bootstrap_servers=address, **kw)


def some(consumer, count):
    return [message for message, _ in zip(consumer, range(count))]


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_every_compression(address, topic, codec):
    name = topic()
    with closing(KafkaProducer(bootstrap_servers=address, compression_type=codec, linger_ms=10)) as producer:
        futures = [producer.send(name, b"%d" % i * 100, key=b"k", headers=[("h", b"v")]) for i in range(100)]
        assert [future.get(DEADLINE_S).offset for future in futures] == list(range(100))
    with closing(reader(address, name)) as consumer:
        got = some(consumer, 100)
    assert [m.value for m in got] == [b"%d" % i * 100 for i in range(100)]
    assert (got[0].key, got[0].headers) == (b"k", [("h", b"v")])


@pytest.mark.parametrize("acks", [0, 1, "all"])
def test_acks(address, topic, acks):
    name = topic()
    with closing(KafkaProducer(bootstrap_servers=address, acks=acks, enable_idempotence=False)) as producer:
        producer.send(name, b"a")
        producer.flush(DEADLINE_S)
    with closing(reader(address, name)) as consumer:
        assert some(consumer, 1)[0].value == b"a"


def test_a_group_goes_on_where_it_was(address, topic, name):
    data = topic(2)
    with closing(KafkaProducer(bootstrap_servers=address)) as producer:
        for i in range(10):
            producer.send(data, b"%d" % i, partition=i % 2)
        producer.flush(DEADLINE_S)
    with closing(reader(address, data, group_id=name, enable_auto_commit=False)) as consumer:
        some(consumer, 10)
        place = TopicPartition(data, 0)
        consumer.commit({place: OffsetAndMetadata(3, "remark", 0)})
        assert consumer.committed(place) == 3
        assert consumer.committed(place, metadata=True).metadata == "remark"
    with closing(reader(address, data, group_id=name, consumer_timeout_ms=3000)) as consumer:
        got = [(m.partition, m.offset) for m in consumer]
    assert sorted(got) == [(0, 3), (0, 4)] + [(1, i) for i in range(5)]


def test_offsets(address, topic):
    name = topic()
    with closing(KafkaProducer(bootstrap_servers=address)) as producer:
        for i in range(5):
            producer.send(name, b"x", timestamp_ms=1000 * (i + 1))
        producer.flush(DEADLINE_S)
    place = TopicPartition(name, 0)
    with closing(reader(address)) as consumer:
        assert consumer.beginning_offsets([place]) == {place: 0}
        assert consumer.end_offsets([place]) == {place: 5}
        assert consumer.offsets_for_times({place: 2500})[place].offset == 2
        assert consumer.offsets_for_times({place: 9999})[place] is None
        consumer.assign([place])
        consumer.seek(place, 3)
        assert some(consumer, 1)[0].offset == 3


def test_administration(address, name):
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic(name, 2, 1)])
    with pytest.raises(TopicAlreadyExistsError):
        admin.create_topics([NewTopic(name, 2, 1)])
    assert name in admin.list_topics()
    assert len(admin.describe_topics([name])[0]["partitions"]) == 2
    assert admin.describe_cluster()["controller_id"] == 1
    admin.delete_topics([name])
    until(lambda: name not in admin.list_topics())
    admin.close()
