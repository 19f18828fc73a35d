"""The groups of Kafka 4, whose work the broker shares out (group.protocol=consumer), by librdkafka."""

import pytest
from confluent_kafka import ConsumerGroupType, TopicPartition
from conftest import DEADLINE_S, produce, take, until


@pytest.fixture
def shared(consumer):
    return lambda *topics, **config: consumer(*topics, group_protocol="consumer", **config)


def test_members_share_remember_and_hand_over(topic, producer, shared):
    name = topic(4)
    produce(producer(), name, [b"%d" % i for i in range(100)])
    first = shared(name, enable_auto_commit=False)
    assert len(take(first, 100)) == 100
    first.commit(asynchronous=False)
    second = shared(name, enable_auto_commit=False)

    def both():
        first.poll(0.05), second.poll(0.05)
        return len(first.assignment()) == 2 and len(second.assignment()) == 2

    until(both, deadline_s=40, what="two members with two partitions each")
    p = producer()
    for partition in range(4):
        produce(p, name, [b"x"], partition=partition)
    got = take(first, 2) + take(second, 2)
    assert sorted(m.partition() for m in got) == [0, 1, 2, 3]
    second.commit(asynchronous=False)
    second.close()
    until(lambda: first.poll(0.05) or len(first.assignment()) == 4, deadline_s=40, what="all partitions back")


def test_offsets_are_there_for_the_next_member(topic, producer, shared, admin):
    name = topic()
    produce(producer(), name, [b"a", b"b", b"c"])
    first = shared(name, enable_auto_commit=False)
    take(first, 3)
    first.commit(offsets=[TopicPartition(name, 0, 2)], asynchronous=False)
    assert [at.offset for at in first.committed([TopicPartition(name, 0)], timeout=DEADLINE_S)] == [2]
    first.close()
    assert take(shared(name), 1)[0].value() == b"c"


def test_a_group_is_listed_and_described(topic, shared, admin, name):
    data = topic(2)
    one = shared(data)
    until(lambda: one.poll(0.05) or len(one.assignment()) == 2)
    listed = {group.group_id: group for group in admin.list_consumer_groups().result(DEADLINE_S).valid}
    assert listed[name].type == ConsumerGroupType.CONSUMER
    described = until(lambda: admin.describe_consumer_groups([name])[name].result(DEADLINE_S))
    assert (described.type, described.partition_assignor) == (ConsumerGroupType.CONSUMER, "uniform")
    assert len(described.members[0].assignment.topic_partitions) == 2
