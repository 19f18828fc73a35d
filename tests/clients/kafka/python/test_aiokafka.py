"""aiokafka."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from conftest import DEADLINE_S


def run(main):
    asyncio.run(asyncio.wait_for(main, DEADLINE_S))


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("idempotent", [False, True])
def test_every_compression(address, topic, codec, idempotent):
    name = topic()

    async def main():
        async with AIOKafkaProducer(bootstrap_servers=address, compression_type=codec, enable_idempotence=idempotent) as producer:
            for i in range(50):
                await producer.send(name, b"%d" % i * 50, key=b"k", headers=[("h", b"v")])
            await producer.flush()
        async with AIOKafkaConsumer(name, bootstrap_servers=address, auto_offset_reset="earliest") as consumer:
            got = [await consumer.getone() for _ in range(50)]
        assert [m.value for m in got] == [b"%d" % i * 50 for i in range(50)]
        assert got[0].headers == (("h", b"v"),)

    run(main())


def test_a_group(address, topic, name):
    data = topic(2)

    async def main():
        async with AIOKafkaProducer(bootstrap_servers=address) as producer:
            for i in range(10):
                await producer.send_and_wait(data, b"%d" % i, partition=i % 2)
        config = dict(bootstrap_servers=address, group_id=name, auto_offset_reset="earliest", enable_auto_commit=False)
        async with AIOKafkaConsumer(data, **config) as consumer:
            assert len([await consumer.getone() for _ in range(10)]) == 10
            await consumer.commit()
            assert await consumer.committed(TopicPartition(data, 0)) == 5
        async with AIOKafkaConsumer(data, **config) as consumer:
            async with AIOKafkaProducer(bootstrap_servers=address) as producer:
                await producer.send_and_wait(data, b"new", partition=1)
            assert (await consumer.getone()).value == b"new"

    run(main())
