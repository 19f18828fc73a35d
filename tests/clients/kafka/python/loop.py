"""Reads, works and writes in transactions until it is killed: loop.py ADDRESS SOURCE TARGET. Each number that is read is written doubled, to the
same partition; what is read and what is written are committed together. A line on the standard output for each transaction."""

import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition


# librdkafka 2.16 drops all it knows of a cluster whose brokers are all gone, but for the coordinator's old handle: it waits for that for ever.
COMMON = {"metadata.recovery.strategy": "none"}


def run(address, source, target):
    # The same id as the worker before: what that one left open is aborted, and whatever of it still lives is fenced.
    producer = Producer({**COMMON, "bootstrap.servers": address, "transactional.id": f"loop-{source}", "transaction.timeout.ms": 20000})
    consumer = Consumer({
        **COMMON, "bootstrap.servers": address, "group.id": f"loop-{source}", "group.instance.id": "one", "session.timeout.ms": 6000,
        "enable.auto.commit": False, "auto.offset.reset": "earliest", "isolation.level": "read_committed",
    })
    producer.init_transactions(30)
    consumer.subscribe([source])
    while True:
        records = [one for one in consumer.consume(37, 0.2) if one.error() is None]
        if not records:
            continue
        producer.begin_transaction()
        for one in records:
            producer.produce(target, b"%d" % (2 * int(one.value())), partition=one.partition())
        ends = {one.partition(): one.offset() + 1 for one in records}
        offsets = [TopicPartition(source, partition, offset) for partition, offset in ends.items()]
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), 10)
        producer.commit_transaction(10)
        print(len(records), flush=True)


while True:
    try:
        run(*sys.argv[1:])
    except KafkaException as error:
        # As applications do: whatever cannot be gone on with is begun anew, from what was committed.
        code = error.args[0]
        if code.code() == KafkaError._FENCED:
            raise
        print("again:", code, file=sys.stderr, flush=True)
        time.sleep(0.05)
